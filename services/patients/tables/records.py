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
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
)

from chassis.tables import Instant, chain_table
from services.patients.domain.contacts import ContactSystem, ContactUse
from services.patients.domain.patients import Gender
from services.patients.tables.base import belongs_to, id_, metadata, one_of

# What scheduling told of a site.
site = chain_table("site", metadata, id_(key=True), Column("time_zone", Text, nullable=False))

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
    UniqueConstraint("chain_id", "mrn"),
    belongs_to("site", "home_site_id"),
    one_of("gender", Gender),
    Index("patient_birth_date_idx", "chain_id", "birth_date"),
)

patient_site = chain_table(
    "patient_site",
    metadata,
    id_("patient_id", key=True),
    id_("site_id", key=True),
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
    Column("reason", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("expire_at", Instant, nullable=False),
    belongs_to("patient", "patient_id"),
    belongs_to("site", "site_id"),
    CheckConstraint("started_at < expire_at AND expire_at <= started_at + interval '60 minutes'", name="minutes"),
    Index("break_glass_patient_idx", "chain_id", "patient_id", "actor", "expire_at"),
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
    belongs_to("patient", "patient_id"),
    one_of("system", ContactSystem),
    one_of("use", ContactUse),
    Index("contact_point_value_idx", "chain_id", "system", "value"),
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
