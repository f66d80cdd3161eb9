"""Screenings, clearances, and what a clinician has to decide."""

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)

from chassis.tables import Instant
from services.patients.domain.questionnaires import Outcome
from services.patients.domain.screenings import Decision
from services.patients.tables.base import belongs_to, id_, one_of, record_table, sealed, seen_at_its_site

# Of rows older than their columns.
EMPTY_LIST = text("'{}'")

screening = record_table(
    "screening",
    id_(key=True),
    id_("patient_id"),
    id_("protocol_id"),
    id_("site_id"),
    *sealed("answers"),  # JSON. Free text is not in it, but in a column of its own, so that it is erased by itself.
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    id_("questionnaire_version_id", nullable=True),  # Null of answers older than questionnaires.
    Column("outcome", Text, nullable=False, server_default=Outcome.NEEDS_REVIEW),
    Column("reason_codes", ARRAY(Text), nullable=False, server_default=EMPTY_LIST),
    *sealed("answer_texts", later=True),  # JSON: the texts among the answers, in their order.
    seen_at_its_site(),
    belongs_to("questionnaire_version", "questionnaire_version_id"),
    one_of("outcome", Outcome),
    CheckConstraint(
        f"questionnaire_version_id IS NULL OR (outcome = '{Outcome.ELIGIBLE}') = (reason_codes = '{{}}')",
        name="reasons",
    ),
    CheckConstraint(
        f"questionnaire_version_id IS NOT NULL OR outcome = '{Outcome.NEEDS_REVIEW}'", name="judged_by_rules"
    ),
    UniqueConstraint("chain_id", "patient_id", "id"),
    append_only=True,
)

clearance = record_table(
    "clearance",
    id_(key=True),
    id_("patient_id"),
    id_("protocol_id"),
    id_("site_id"),
    Column("route_codes", ARRAY(Text), nullable=False),
    Column("effective_date", Date, nullable=False),
    Column("expire_date", Date, nullable=False),
    id_("screening_id", nullable=True),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_by", Text),
    Column("revoked_at", Instant),
    Column("band_codes", ARRAY(Text), nullable=False, server_default=EMPTY_LIST),
    Column("session_minutes_max", Integer, nullable=False, server_default="0"),
    *sealed("conditions", later=True),  # JSON.
    *sealed("override_reason", later=True),
    *sealed("revoke_reason", later=True),
    seen_at_its_site(),
    belongs_to("screening", "screening_id"),  # Which may be under another id of the same person.
    CheckConstraint("effective_date <= expire_date", name="dates"),
    CheckConstraint("(revoked_by IS NULL) = (revoked_at IS NULL)", name="revoked"),
    CheckConstraint("revoked_at IS NOT NULL OR revoke_reason = ''", name="revoke_reason"),
    CheckConstraint("session_minutes_max BETWEEN 0 AND 720", name="session_minutes_max"),
    # The site's day may be one ahead of UTC's, and the months are counted from it: it may be the first of March.
    CheckConstraint("expire_date <= (granted_at AT TIME ZONE 'UTC')::date + 1 + interval '12 months'", name="length"),
    Index("clearance_patient_idx", "chain_id", "patient_id", "id"),
)

# What a clinician has to decide, or had to. A screening without a row never waited.
screening_review = record_table(
    "screening_review",
    id_("screening_id", key=True),
    id_("patient_id"),
    id_("protocol_id"),
    id_("site_id"),
    Column("decision", Text),
    Column("decided_by", Text),
    Column("decided_at", Instant),
    *sealed("reason", by=("screening_id",)),
    id_("clearance_id", nullable=True),
    seen_at_its_site(),
    ForeignKeyConstraint(
        ["chain_id", "patient_id", "screening_id"],
        ["screening.chain_id", "screening.patient_id", "screening.id"],
    ),
    belongs_to("clearance", "clearance_id"),
    one_of("decision", Decision),
    CheckConstraint("num_nonnulls(decision, decided_by, decided_at) IN (0, 3)", name="decided"),
    CheckConstraint(
        "(clearance_id IS NOT NULL) = "
        f"coalesce(decision IN ('{Decision.CLEARED}', '{Decision.CLEARANCE_REVOKED}'), false)",
        name="clearance",
    ),
    CheckConstraint(f"(reason <> '') = coalesce(decision = '{Decision.NOT_CLEARED}', false)", name="reason"),
    Index("screening_review_patient_idx", "chain_id", "patient_id"),
    Index(
        "screening_review_open_idx", "chain_id", "site_id", "screening_id", postgresql_where=text("decision IS NULL")
    ),
)
