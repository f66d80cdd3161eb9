"""Scheduling's tables, with the last line of each invariant. The chassis adds its own, and row-level security."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.schema import SchemaItem

from chassis.aliases import OWN, OWN_IDS, alias_table
from chassis.tables import NOT_FOR_PATIENTS, OWN_SITES, Instant, chain_list, chain_table, service_metadata, shown_with

metadata = service_metadata(own_ids=OWN)
metadata.info["ddl"] = [OWN_IDS]


def _id(name: str = "id", *, key: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _json(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False)


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


def _version() -> Column[int]:
    """Counts the events about a row."""
    return Column("version", Integer, nullable=False, server_default="1")


def _day_at_most(*, key: bool = False) -> list[SchemaItem]:
    """[start_at, end_at) of what lasts no longer than a day."""
    return [
        Column("start_at", Instant, primary_key=key, nullable=False),
        Column("end_at", Instant, nullable=False),
        CheckConstraint("start_at < end_at AND end_at <= start_at + interval '24 hours'", name="a_day_at_most"),
    ]


def _time_of(table: str, *holder: str, key: bool = False) -> list[SchemaItem]:
    """[start_at, end_at) of a row whose holder is never taken twice. Nothing lasts longer than a day."""
    during = func.tstzrange(column("start_at"), column("end_at"))
    never_twice = ((name, "=") for name in ("chain_id", *holder))
    return [
        *_day_at_most(key=key),
        ExcludeConstraint(*never_twice, (during, "&&"), name=f"{table}_never_twice"),
    ]


LENT_HERE = (
    "EXISTS (SELECT FROM lent_resource AS lent WHERE lent.chain_id = resource.chain_id "
    "AND lent.resource_id = resource.id "
    "AND lent.to_site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
)
"""Who works at a site is seen there, wherever their home is."""


chain = chain_table("chain", metadata, _text("display_name"))

legal_entity = chain_table("legal_entity", metadata, _id(key=True), _text("display_name"), _version())

site = chain_table(
    "site",
    metadata,
    _id(key=True),
    _id("legal_entity_id"),
    _text("code"),
    _text("display_name"),
    _text("discreet_name"),
    _json("address"),
    _text("state"),
    _text("time_zone"),
    _text("phone"),
    _json("opening_hours"),
    Column("closed_dates", ARRAY(Date), nullable=False),
    Column("exceptions", JSONB, nullable=False, server_default=text("'[]'")),
    Column("observed_holidays", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _version(),
    _belongs_to("legal_entity", "legal_entity_id"),
    UniqueConstraint("chain_id", "code", name="site_code_key"),
)

resource = chain_table(
    "resource",
    metadata,
    _id(key=True),
    _id("site_id"),
    _text("kind"),
    _text("display_name"),
    Column("capabilities", ARRAY(Text), nullable=False),
    Column("lane_count", SmallInteger, nullable=False),
    _json("working_hours"),
    _json("time_off"),
    _text("credential"),
    _text("npi"),
    Column("credentials", JSONB, nullable=False, server_default=text("'[]'")),
    Column("roles", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("shifts", JSONB, nullable=False, server_default=text("'[]'")),
    Column("retire_date", Date),
    _version(),
    _belongs_to("site", "site_id"),
    CheckConstraint("lane_count > 0", name="lanes"),
    Index("resource_by_site", "chain_id", "site_id", "id"),
    own_sites=f"{OWN_SITES} OR {LENT_HERE}",
    changed_by=OWN_SITES,
)

# Sites, other than the home site, at which a resource has shifts. It holds no data of patients, and each site has to
# see what others lend it: so it is of no site.
lent_resource = chain_table(
    "lent_resource",
    metadata,
    _id("resource_id", key=True),
    _id("to_site_id", key=True),
    _belongs_to("resource", "resource_id"),
    ForeignKeyConstraint(["chain_id", "to_site_id"], ["site.chain_id", "site.id"], name="lent_resource_site_fkey"),
    Index("lent_resource_by_site", "chain_id", "to_site_id", "resource_id"),
)

protocol = chain_table(
    "protocol",
    metadata,
    _id(key=True),
    _text("code"),
    _text("display_name"),
    UniqueConstraint("chain_id", "code", name="protocol_code_key"),
)

protocol_version = chain_table(
    "protocol_version",
    metadata,
    _id(key=True),
    _id("protocol_id"),
    Column("version", Integer, nullable=False),
    _json("template"),
    Column("published_at", Instant, nullable=False),
    _belongs_to("protocol", "protocol_id"),
    UniqueConstraint("chain_id", "protocol_id", "version", name="protocol_version_version_key"),
    append_only=True,
)

# The next version while it is worked on.
protocol_draft = chain_table(
    "protocol_draft",
    metadata,
    _id("protocol_id", key=True),
    _json("template"),
    Column("version", Integer, nullable=False),
    Column("updated_at", Instant, nullable=False),
    _text("updated_by"),
    _belongs_to("protocol", "protocol_id"),
)

# Versions by which nothing new is booked.
protocol_version_retirement = chain_table(
    "protocol_version_retirement",
    metadata,
    _id("protocol_version_id", key=True),
    Column("retired_at", Instant, nullable=False),
    _text("reason"),
    _text("retired_by"),
    _belongs_to("protocol_version", "protocol_version_id"),
    append_only=True,
)

adoption = chain_table(
    "adoption",
    metadata,
    _id("site_id", key=True),
    _id("protocol_version_id", key=True),
    Column("adopted_at", Instant, nullable=False),
    Column("narrowed_template", JSONB),  # The site's own form; None: the version as it is.
    _belongs_to("site", "site_id"),
    _belongs_to("protocol_version", "protocol_version_id"),
)

# What events told of patients. No site: a patient may be treated at any site of the chain.
# A column that came later has a default, for a version of the service that does not know of it.
patient = chain_table(
    "patient",
    metadata,
    _id("patient_id", key=True),
    Column("deceased", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False, server_default="0"),  # Of the record that told it.
    Column("anonymised", Boolean, nullable=False, server_default=text("false")),
)

# Which id of a patient is another's now; rows stay under the id that they were written with.
patient_alias = alias_table("patient_alias", metadata)

# Every merge and unmerge that was heard of, in whatever order: between a merge and its unmerge lie the visits that a
# person has to assign.
patient_merge = chain_table(
    "patient_merge",
    metadata,
    _id("alias_id", key=True),
    Column("version", Integer, primary_key=True),
    Column("survivor_id", Uuid),  # None: it was taken back.
    Column("at", Instant, nullable=False),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# What events told of consent documents and of signatures under them. Of a document of one state `state` is its code;
# empty: every state. No site: what applies at one hangs on its state, and a patient may have signed at another.
consent_document = chain_table(
    "consent_document",
    metadata,
    _id(key=True),
    _text("code"),
    _text("state"),
    Column("retired_at", Instant),
)

consent_document_version = chain_table(
    "consent_document_version",
    metadata,
    _id("document_id", key=True),
    Column("number", Integer, primary_key=True),
    Column("effective_date", Date, nullable=False),
    Column("earlier_signatures_stay_good", Boolean, nullable=False),
    _belongs_to("consent_document", "document_id"),
    append_only=True,
)

# Of one patient and document the one with the highest id, which was made last, holds; none does where it is withdrawn.
consent_signature = chain_table(
    "consent_signature",
    metadata,
    _id(key=True),
    _id("patient_id"),
    _id("document_id"),
    Column("version_number", Integer, nullable=False),
    Column("signed_at", Instant),  # Unknown of some that are withdrawn.
    Column("withdrawn", Boolean, nullable=False),
    Index("consent_signature_by_patient", "chain_id", "patient_id", "document_id", "id"),
)

VITALS_KEPT = timedelta(days=30)
# What events told of vital signs: of each sign that has limits and was taken, by its number, whether it was within.
# They matter until the visit is over at which they were taken; what was measured stays with patients. No site: who
# comes in the afternoon may have been looked at elsewhere in the morning.
vital_signs = chain_table(
    "vital_signs",
    metadata,
    _id(key=True),  # Of the measure.
    _id("patient_id"),
    Column("taken_at", Instant),  # Unknown of some that are retracted.
    Column("within", JSONB, nullable=False),
    Column("retracted", Boolean, nullable=False),
    Column("told_at", Instant, nullable=False, server_default=func.now()),
    Index("vital_signs_by_patient", "chain_id", "patient_id", "taken_at"),
    Index("vital_signs_told_at_idx", "told_at"),
    kept=VITALS_KEPT,
    aged_by="told_at",
)

# The chains that may have published and signed what was never told here: what is told of theirs decides nothing.
chain_without_consents = chain_table("chain_without_consents", metadata)

# While it is pausing, no treatment of the course that it names begins; without one, none of the patient's.
adverse_event = chain_table(
    "adverse_event",
    metadata,
    _id(key=True),
    _id("patient_id"),
    Column("course_id", Uuid),
    Column("pausing", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Index("adverse_event_pausing_idx", "chain_id", "patient_id", postgresql_where=column("pausing")),
)

clearance = chain_table(
    "clearance",
    metadata,
    _id(key=True),
    _id("patient_id"),
    _id("protocol_id"),
    Column("route_codes", ARRAY(Text), nullable=False),
    Column("effective_date", Date),  # Unknown of a clearance whose end was heard of before its beginning.
    Column("expire_date", Date),
    Column("revoked", Boolean, nullable=False),
    Column("band_codes", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # Empty: all.
    Column("session_minutes_max", Integer, nullable=False, server_default="0"),  # 0: as the protocol has it.
    Index("clearance_by_patient", "chain_id", "patient_id", "protocol_id"),
)

course = chain_table(
    "course",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("protocol_version_id"),
    _text("route_code"),
    Column("booked_at", Instant),  # None: nothing of it is booked yet.
    Column("version", Integer, nullable=False),  # Counts the events about the course, its visits' among them.
    Column("deposit_paid_at", Instant),  # As billing told; None: not yet, or there is none.
    Column("estimate_delivered_at", Instant),  # The first time that stands, in writing; as `estimate_delivery` has it.
    Column("estimate_version", Integer, nullable=False, server_default="0"),  # The latest that the law asks for.
    _belongs_to("site", "site_id"),
    _belongs_to("protocol_version", "protocol_version_id"),
    Index("course_by_site", "chain_id", "site_id", "id"),
    Index("course_by_patient", "chain_id", "patient_id", "id"),
)

visit = chain_table(
    "visit",
    metadata,
    _id(key=True),
    _id("course_id"),
    _id("site_id"),
    _id("patient_id"),
    _text("phase_code"),
    _text("visit_type_code"),
    _text("route_code"),
    _text("band_code"),
    Column("telehealth", Boolean, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    _json("resources"),
    _text("status"),
    _json("segment_minutes"),
    Column("cancellation_reason", Text),
    _belongs_to("course", "course_id"),
    CheckConstraint("start_at < end_at AND end_at <= start_at + interval '24 hours'", name="a_day_at_most"),
    Index("visit_by_course", "chain_id", "course_id"),
    Index("visit_by_site", "chain_id", "site_id", "start_at"),
)

# A visit reaches each status once.
visit_status_change = chain_table(
    "visit_status_change",
    metadata,
    _id("visit_id", key=True),
    Column("status", Text, primary_key=True),
    _id("site_id"),
    Column("at", Instant, nullable=False),
    _text("actor"),
    # Why it was booked, or held, where the version's spacing does not allow it.
    Column("reason", Text, nullable=False, server_default=text("''")),
    _belongs_to("visit", "visit_id"),
    append_only=True,
    shown_if=shown_with("visit_status_change", "visit", "visit_id"),
)

# How estimates of a course were delivered in writing, in whatever order billing's events tell it.
estimate_delivery = chain_table(
    "estimate_delivery",
    metadata,
    _id(key=True),
    _id("course_id"),
    Column("version", Integer, nullable=False),  # Of the estimate.
    Column("delivered_at", Instant),  # None: that it came back was heard of first.
    Column("returned", Boolean, nullable=False),
    _belongs_to("course", "course_id"),
    Index("estimate_delivery_by_course", "chain_id", "course_id"),
    shown_if=shown_with("estimate_delivery", "course", "course_id"),
)

# What somebody saw last of a gate of a visit.
gate_record = chain_table(
    "gate_record",
    metadata,
    _id("visit_id", key=True),
    Column("kind", Text, primary_key=True),
    _id("site_id"),
    Column("passed", Boolean, nullable=False),
    Column("at", Instant, nullable=False),
    _text("actor"),
    _belongs_to("visit", "visit_id"),
    shown_if=shown_with("gate_record", "visit", "visit_id"),
)

# Why a visit went on although a gate was not passed.
gate_override = chain_table(
    "gate_override",
    metadata,
    _id("visit_id", key=True),
    Column("kind", Text, primary_key=True),
    Column("stage", Text, primary_key=True),
    _id("site_id"),
    _text("reason"),
    Column("at", Instant, nullable=False),
    _text("actor"),
    _belongs_to("visit", "visit_id"),
    append_only=True,
    shown_if=shown_with("gate_override", "visit", "visit_id"),
)

# What is taken now. Rows of visits that will not take place are deleted.
# Capacity above one is lanes: a nurse who may observe two patients has lanes 0 and 1, each never taken twice.
allocation = chain_table(
    "allocation",
    metadata,
    _id("visit_id", key=True),
    _id("site_id"),
    _id("resource_id", key=True),
    Column("lane", SmallInteger, primary_key=True),
    *_time_of("allocation", "resource_id", "lane", key=True),
    Column("held_until", Instant),  # None: it is booked. Past: it is in nobody's way, and may be cleared away.
    _belongs_to("visit", "visit_id"),
    _belongs_to("resource", "resource_id"),
    # Look-ups compare the plain columns: row-level security keeps `&&`, which is not leakproof, from any index.
    Index("allocation_by_time", "chain_id", "resource_id", "end_at"),
    # What another site has taken of a resource is taken here too. It tells of no patient, and who calls for themselves
    # must see what is taken; of others' they may clear away what was held, once it is not any more.
    own_sites="true",
    changed_by=f"({OWN_SITES}) AND {shown_with('allocation', 'visit', 'visit_id', 'held_until IS NOT NULL OR ')}",
)

# When a patient is somewhere, found by the exclusion constraint's index: one patient has few. Without a site, so that
# every site of the chain sees it and none books them twice.
presence = chain_table(
    "presence",
    metadata,
    _id("visit_id", key=True),
    _id("patient_id"),
    *_time_of("presence", "patient_id"),
    Column("held_until", Instant),  # As of an allocation.
    _belongs_to("visit", "visit_id"),
)

# What somebody at a front desk has to see to, since no rule can: what a merge of two patients, or its undoing, left, or
# a closure, a patient who asks for another time, money for a course that will not take place, an offer taken in vain, a
# death.
task = chain_table(
    "task",
    metadata,
    _id(key=True),
    _id("site_id"),
    _text("kind"),
    _id("patient_id"),
    Column("merged_patient_id", Uuid),  # Of what a merge left, as is the next.
    Column("merge_version", Integer),
    Column("visit_ids", ARRAY(Uuid), nullable=False),
    Column("created_at", Instant, nullable=False),
    _text("state"),
    Column("version", Integer, nullable=False),
    _text("note"),
    Column("completed_by", Text),
    Column("completed_at", Instant),
    Column("closure_id", Uuid),  # Of what a closure left.
    Column("course_id", Uuid),  # Of a deposit that was released.
    _belongs_to("site", "site_id"),
    CheckConstraint(
        "kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS', "
        "'TASK_KIND_VISIT_TO_MOVE', 'TASK_KIND_DEPOSIT_TO_SETTLE', 'TASK_KIND_OFFER_TO_SETTLE', "
        "'TASK_KIND_VISITS_TO_CANCEL')",
        name="kind",
    ),
    CheckConstraint(
        "(kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN')) = (merged_patient_id IS NOT NULL) "
        "AND (merged_patient_id IS NULL) = (merge_version IS NULL)",
        name="left_by_a_merge",
    ),
    CheckConstraint("(kind = 'TASK_KIND_BROKEN_VISITS') = (closure_id IS NOT NULL)", name="left_by_a_closure"),
    CheckConstraint("state IN ('TASK_STATE_OPEN', 'TASK_STATE_DONE')", name="state"),
    CheckConstraint("(kind = 'TASK_KIND_DEPOSIT_TO_SETTLE') = (course_id IS NOT NULL)", name="left_by_a_deposit"),
    CheckConstraint("(cardinality(visit_ids) > 0) = (course_id IS NULL)", name="visits"),
    CheckConstraint(
        "(state = 'TASK_STATE_DONE') = (completed_at IS NOT NULL) AND (completed_by IS NULL) = (completed_at IS NULL)",
        name="completed",
    ),
    # However often a merge is told of, it leaves each task once.
    UniqueConstraint(
        "chain_id", "site_id", "kind", "merged_patient_id", "merge_version", "visit_ids", name="task_never_twice"
    ),
    UniqueConstraint("chain_id", "closure_id", "site_id", "patient_id", name="task_of_closure"),
    # Whoever asks twice for another time is one task, while it is open.
    Index(
        "task_to_move",
        "chain_id",
        "visit_ids",
        unique=True,
        postgresql_where=text("kind = 'TASK_KIND_VISIT_TO_MOVE' AND state = 'TASK_STATE_OPEN'"),
    ),
    Index(
        "task_of_deposit",
        "chain_id",
        "course_id",
        unique=True,
        postgresql_where=text("kind = 'TASK_KIND_DEPOSIT_TO_SETTLE' AND state = 'TASK_STATE_OPEN'"),
    ),
    Index(
        "task_of_offer",
        "chain_id",
        "visit_ids",
        unique=True,
        postgresql_where=text("kind = 'TASK_KIND_OFFER_TO_SETTLE' AND state = 'TASK_STATE_OPEN'"),
    ),
    # One at a site for each patient who died, while it is open.
    Index(
        "task_to_cancel",
        "chain_id",
        "site_id",
        "patient_id",
        unique=True,
        postgresql_where=text("kind = 'TASK_KIND_VISITS_TO_CANCEL' AND state = 'TASK_STATE_OPEN'"),
    ),
    Index("task_by_site", "chain_id", "site_id", "id"),
    Index("task_by_state", "chain_id", "site_id", "state", "id"),
)

# What is kept free for somebody, while it is: a row goes when the hold is booked, given up or cleared away. Seen from
# every site, since a patient holds at one only.
_held = func.tstzrange(column("held_at"), column("expire_at"))
hold = chain_table(
    "hold",
    metadata,
    _id("course_id", key=True),
    _id("site_id"),
    _id("patient_id"),
    _text("actor"),
    Column("held_at", Instant, nullable=False),
    Column("expire_at", Instant, nullable=False),
    Column("offer_id", Uuid),  # Of what the waitlist offers: its one visit.
    _belongs_to("course", "course_id"),
    CheckConstraint(
        "held_at < expire_at AND expire_at <= held_at + "
        "CASE WHEN offer_id IS NULL THEN interval '1 hour' ELSE interval '2 hours' END",
        name="not_for_long",
    ),
    ExcludeConstraint(("chain_id", "="), ("patient_id", "="), (_held, "&&"), name="hold_one_at_a_time"),
    Index("hold_by_actor", "chain_id", "actor"),
    Index("hold_by_end", "chain_id", "expire_at"),
    own_sites="true",
    changed_by=OWN_SITES,
)

CHANGES_KEPT = timedelta(days=7)
# What was written of a site's visits, for those who watch the site. Of two changes the later may have the lower
# transaction and be committed first: `chassis.feed` says how they are read. No foreign key: it is a log of what was.
site_change = chain_table(
    "site_change",
    metadata,
    _id("site_id", key=True),
    Column("transaction", BigInteger, primary_key=True, server_default=text("pg_current_xact_id()::text::bigint")),
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    _text("kind"),
    _id("visit_id"),
    _id("course_id"),
    _text("status"),
    Column("course_version", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False, server_default=func.now()),
    Index("site_change_recorded_at_idx", "recorded_at"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
    kept=CHANGES_KEPT,
    aged_by="recorded_at",
)
# A site, or one of its resources, cannot be had for a while. Seen by the whole chain, since a resource may be lent.
closure = chain_table(
    "closure",
    metadata,
    _id(key=True),
    _id("site_id"),
    Column("resource_id", Uuid),  # None: the whole site.
    _text("kind"),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    _text("created_by"),
    Column("cancelled_at", Instant),
    _version(),
    _belongs_to("site", "site_id"),
    _belongs_to("resource", "resource_id"),
    CheckConstraint("start_at < end_at AND end_at <= start_at + interval '367 days'", name="a_year_at_most"),
    Index("closure_by_site", "chain_id", "site_id", "end_at", "id"),
    Index("closure_by_resource", "chain_id", "resource_id", "end_at"),
    own_sites="true",
    changed_by=OWN_SITES,
)

# When staff are busy by calendars of their own. It holds no data of patients, and each site has to see it.
busy_time = chain_table(
    "busy_time",
    metadata,
    _id("resource_id", key=True),
    Column("source", Text, primary_key=True),
    *_day_at_most(key=True),
    _belongs_to("resource", "resource_id"),
    Index("busy_time_by_time", "chain_id", "resource_id", "end_at"),
)

# What resources can do and protocols ask for, in the chain's words.
capability = chain_table("capability", metadata, Column("code", Text, primary_key=True), _text("display_name"))

service_account = chain_table(
    "service_account",
    metadata,
    _id(key=True),
    _text("display_name"),
    Column("roles", ARRAY(Text), nullable=False),
    Column("site_ids", ARRAY(Uuid), nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
)

# Of the secret a digest alone is kept: it is random, and nobody finds it from there.
service_account_key = chain_table(
    "service_account_key",
    metadata,
    _id(key=True),
    _id("account_id"),
    Column("secret_digest", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("expire_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    _belongs_to("service_account", "account_id"),
    CheckConstraint("octet_length(secret_digest) = 32", name="a_digest"),
)
Index("service_account_key_of_account", service_account_key.c.chain_id, service_account_key.c.account_id)

# Who waits for one visit at a site.
waitlist_entry = chain_table(
    "waitlist_entry",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("protocol_version_id"),
    Column("course_id", Uuid),  # None: the visit is to be of a course of its own.
    _text("phase_code"),
    _text("visit_type_code"),
    _text("route_code"),
    Column("first_date", Date, nullable=False),
    Column("last_date", Date, nullable=False),
    Column("weekdays", ARRAY(SmallInteger), nullable=False),  # Empty: any.
    Column("start_from", SmallInteger, nullable=False),
    Column("start_until", SmallInteger, nullable=False),
    Column("notice_minutes", Integer, nullable=False),
    Column("joined_at", Instant, nullable=False),
    Column("over_at", Instant, nullable=False),  # When the last day is, by the site's clocks.
    _text("status"),
    Column("end_reason", Text),
    _belongs_to("site", "site_id"),
    _belongs_to("protocol_version", "protocol_version_id"),
    _belongs_to("course", "course_id"),
    CheckConstraint("(phase_code = '') <> (visit_type_code = '')", name="one_visit"),
    CheckConstraint("first_date <= last_date", name="days"),
    CheckConstraint(
        "status IN ('WAITLIST_STATUS_WAITING', 'WAITLIST_STATUS_OFFERED', 'WAITLIST_STATUS_BOOKED', "
        "'WAITLIST_STATUS_ENDED')",
        name="status",
    ),
    CheckConstraint("(status = 'WAITLIST_STATUS_ENDED') = (end_reason IS NOT NULL)", name="ended"),
    Index("waitlist_entry_by_site", "chain_id", "site_id", "joined_at", "id"),
    Index("waitlist_entry_by_status", "chain_id", "site_id", "status", "joined_at", "id"),
    Index("waitlist_entry_by_patient", "chain_id", "patient_id"),
    Index(
        "waitlist_entry_by_end",
        "chain_id",
        "over_at",
        postgresql_where=text("status = 'WAITLIST_STATUS_WAITING'"),
    ),
)

# What somebody who waits was offered: its id is that of the visit that is held. Nobody is offered one time twice.
waitlist_offer = chain_table(
    "waitlist_offer",
    metadata,
    _id(key=True),
    _id("entry_id"),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id"),
    *_time_of("waitlist_offer", "entry_id"),
    Column("expire_at", Instant, nullable=False),
    Column("outcome", Text),  # None: it can be accepted yet.
    _belongs_to("waitlist_entry", "entry_id"),
    CheckConstraint(
        "outcome IN ('OFFER_OUTCOME_ACCEPTED', 'OFFER_OUTCOME_DECLINED', 'OFFER_OUTCOME_EXPIRED', "
        "'OFFER_OUTCOME_WITHDRAWN')",
        name="outcome",
    ),
    Index(
        "waitlist_offer_one_at_a_time", "chain_id", "entry_id", unique=True, postgresql_where=text("outcome IS NULL")
    ),
    Index("waitlist_offer_open", "chain_id", "site_id", postgresql_where=text("outcome IS NULL")),
)

# Why a waitlist is to be looked at: something was freed at its site, or somebody joined. It holds no data of patients.
waitlist_look = chain_table(
    "waitlist_look",
    metadata,
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    _id("site_id"),
    _belongs_to("site", "site_id"),
    Index("waitlist_look_by_site", "chain_id", "site_id", "place"),
)

# The chains in which anybody ever waited.
waiting_chain = chain_list("waiting_chain", metadata, "scheduling")

# The chains that ever held anything.
holding_chain = chain_list("holding_chain", metadata, "scheduling")
