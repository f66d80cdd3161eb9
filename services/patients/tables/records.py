"""Records, and what they are found by.

A patient's own row has no site, so that a search reaches the whole chain; who may open it stands in `patient_site`,
whose rows the database hides from calls of other sites.
"""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import Instant, chain_table
from services.patients.domain.contacts import ContactSystem, ContactUse
from services.patients.domain.patients import Gender, GenderIdentity
from services.patients.domain.related_persons import RelatedPersonRole
from services.patients.domain.self_pay import SelfPayBasis
from services.patients.tables.base import NOT_RESTRICTED, belongs_to, id_, metadata, one_of, sealed

# What scheduling told of a site. `state` is empty while it was told by an event from before there was a column for it.
site = chain_table(
    "site",
    metadata,
    id_(key=True),
    Column("time_zone", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=""),
)

patient = chain_table(
    "patient",
    metadata,
    id_(key=True),
    Column("mrn", Text, nullable=False),
    Column("given_names", ARRAY(Text), nullable=False),
    Column("family_name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("birth_date", Date, nullable=False),
    Column("gender", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    id_("home_site_id"),
    Column("deceased", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # What came later has a default, for a version of the service that does not know of it.
    Column("preferred_name", Text, nullable=False, server_default=""),
    Column("former_names", JSONB, nullable=False, server_default=text("'[]'")),  # Each its given names and family name.
    Column("gender_identity", Text, nullable=False, server_default=GenderIdentity.UNSPECIFIED),
    Column("deceased_date", Date),
    Column("self_pay_basis", Text),
    Column("self_pay_date", Date),
    Column("self_pay_recorded_by", Text),
    Column("restricted", Boolean, nullable=False, server_default=text("false")),
    Column("anonymised_at", Instant),
    # Of a merged record: the one that stands for it now, which is never merged itself.
    id_("survivor_id", nullable=True),
    UniqueConstraint("chain_id", "mrn"),
    ForeignKeyConstraint(["chain_id", "survivor_id"], ["patient.chain_id", "patient.id"]),
    CheckConstraint("survivor_id <> id", name="survivor"),
    belongs_to("site", "home_site_id"),
    one_of("gender", Gender),
    one_of("gender_identity", GenderIdentity),
    one_of("self_pay_basis", SelfPayBasis),
    CheckConstraint("num_nonnulls(self_pay_basis, self_pay_date, self_pay_recorded_by) IN (0, 3)", name="self_pay"),
    CheckConstraint("birth_date <= self_pay_date", name="self_pay_date"),
    CheckConstraint("deceased_date IS NULL OR deceased AND birth_date <= deceased_date", name="deceased_date"),
    CheckConstraint("anonymised_at IS NULL OR restricted AND family_name = ''", name="anonymised"),
    Index("patient_birth_date_idx", "chain_id", "birth_date"),
    Index("patient_survivor_idx", "chain_id", "survivor_id", postgresql_where=text("survivor_id IS NOT NULL")),
    Index("patient_updated_idx", "chain_id", "updated_at", "id", postgresql_where=text("anonymised_at IS NULL")),
    shown_if=NOT_RESTRICTED,
    changed_by="anonymised_at IS NULL",
)

patient_site = chain_table(
    "patient_site",
    metadata,
    id_("patient_id", key=True),
    id_("site_id", key=True),
    # Through another record of the same person, with which this one is merged.
    Column("shared", Boolean, nullable=False, server_default=text("false")),
    belongs_to("patient", "patient_id"),
    belongs_to("site", "site_id"),
)

# Staff of a site that may not see a record opened it for a while, with a reason. Real time, since it is about access.
break_glass = chain_table(
    "break_glass",
    metadata,
    id_(key=True),
    id_("patient_id"),
    id_("site_id"),
    Column("actor", Text, nullable=False),
    *sealed("reason"),
    Column("started_at", Instant, nullable=False),
    Column("expire_at", Instant, nullable=False),
    belongs_to("patient", "patient_id"),
    belongs_to("site", "site_id"),
    CheckConstraint("started_at < expire_at AND expire_at <= started_at + interval '60 minutes'", name="minutes"),
    UniqueConstraint("chain_id", "id", "actor"),
    Index("break_glass_patient_idx", "chain_id", "patient_id", "actor", "expire_at"),
    Index("break_glass_actor_idx", "chain_id", "actor", "expire_at"),
    append_only=True,
)

contact_point = chain_table(
    "contact_point",
    metadata,
    id_("patient_id", key=True),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("system", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("confidential", Boolean, nullable=False, server_default=text("false")),
    belongs_to("patient", "patient_id"),
    one_of("system", ContactSystem),
    one_of("use", ContactUse),
    Index("contact_point_value_idx", "chain_id", "system", "value"),
)

related_person = chain_table(
    "related_person",
    metadata,
    id_("patient_id", key=True),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("relationship", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("address", Text, nullable=False),
    belongs_to("patient", "patient_id"),
    one_of("role", RelatedPersonRole),
    Index(
        "related_person_guarantor_idx",
        "chain_id",
        "patient_id",
        unique=True,
        postgresql_where=text(f"role = '{RelatedPersonRole.GUARANTOR}'"),
    ),
)

# One system gives one value to one patient of the chain: what an import run twice is stopped by.
patient_identifier = chain_table(
    "patient_identifier",
    metadata,
    Column("system", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    id_("patient_id"),
    Column("place", SmallInteger, nullable=False),
    belongs_to("patient", "patient_id"),
    Index("patient_identifier_patient_idx", "chain_id", "patient_id"),
)

# The words of a patient's names as a search sees them. In the order of code points, whatever the database's language:
# so a prefix is a range, compared by operators that row-level security lets reach the index. `line` holds all the words
# of the patient, beginning with the family name, so that one look at the index tells whether others fit, too. Without
# these rows no search finds the patient.
patient_name = chain_table(
    "patient_name",
    metadata,
    Column("word", Text(collation="C"), primary_key=True),
    Column("line", Text(collation="C"), primary_key=True, server_default=""),
    id_("patient_id", key=True),
    belongs_to("patient", "patient_id"),
    Index("patient_name_patient_idx", "chain_id", "patient_id"),  # With the word, PostgreSQL would take it for names.
)
