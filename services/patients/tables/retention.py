"""How long records are kept, restrictions, and what is left of a patient who is forgotten."""

from collections.abc import Iterator

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text

from chassis.tables import Instant, chain_table
from services.patients.tables.adverse_events import adverse_event
from services.patients.tables.base import belongs_to, id_, metadata, sealed
from services.patients.tables.changes import patient_change
from services.patients.tables.clearances import clearance, screening, screening_review
from services.patients.tables.consents import consent, consent_withdrawal
from services.patients.tables.duplicates import match_key
from services.patients.tables.measures import safety_flag
from services.patients.tables.records import (
    break_glass,
    contact_point,
    patient_identifier,
    patient_name,
    related_person,
)

retention_policy = chain_table(
    "retention_policy",
    metadata,
    Column("years", Integer, nullable=False),
    Column("years_of_age", Integer, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    CheckConstraint("years BETWEEN 1 AND 50 AND years_of_age BETWEEN 0 AND 50", name="years"),
)

# Each decision to restrict a record, to lift that, and to forget the patient: its reason is the law that was named.
restriction = chain_table(
    "restriction",
    metadata,
    id_("id", key=True),
    id_("patient_id"),
    *sealed("reason"),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Instant, nullable=False),
    belongs_to("patient", "patient_id"),
    append_only=True,
)

# What scheduling told of a patient's visits, as far as a contact is concerned: when the last of them ended.
last_visit = chain_table(
    "last_visit",
    metadata,
    id_("patient_id", key=True),
    Column("ended_at", Instant, nullable=False),
    belongs_to("patient", "patient_id"),
)

FORGOTTEN: tuple[Table, ...] = (patient_name, match_key, patient_identifier, contact_point, related_person)
"""Tables whose rows of a patient are deleted when the patient is forgotten."""
SCRUBBED: dict[Table, dict[str, str]] = {
    screening: {"answer_texts": "''"},
    patient_change: {"reason": "''", "changes": "''"},
    break_glass: {"reason": "''"},
    restriction: {"reason": "''"},
    clearance: {"conditions": "''", "override_reason": "''", "revoke_reason": "''"},
    screening_review: {"reason": "CASE WHEN reason = '' THEN '' ELSE '-' END"},
    consent: {"signer_name": "'-'", "witness_name": "'-'"},
    consent_withdrawal: {"reason": "''"},
    safety_flag: {"note": "CASE WHEN note = '' THEN '' ELSE '-' END"},
    adverse_event: {"description": "''"},
}
"""Columns of a patient's rows that hold what somebody wrote, and what is left of them (SQL)."""
KEPT: dict[str, frozenset[str]] = {
    "patient": frozenset({"mrn", "language", "time_zone", "gender", "self_pay_basis", "self_pay_recorded_by"}),
    "screening": frozenset({"answers", "recorded_by", "outcome", "reason_codes"}),
    "clearance": frozenset({"route_codes", "band_codes", "granted_by", "revoked_by"}),
    "screening_review": frozenset({"decision", "decided_by"}),
    "consent": frozenset({"language", "relationship", "method", "recorded_by"}),
    "consent_withdrawal": frozenset({"withdrawn_by"}),
    "permission": frozenset({"channel", "purpose", "use", "giver", "method", "wording_code", "recorded_by"}),
    "measure": frozenset({"instrument", "content", "recorded_by", "retracted_by"}),
    "safety_flag": frozenset({"kind", "acknowledged_by"}),
    "adverse_event": frozenset({"code", "grades", "resolved_by", "outcome", "allowed_by"}),
    "diagnosis": frozenset({"code", "rank", "recorded_by", "retracted_by"}),
    "patient_change": frozenset({"actor", "method", "cause", "fields"}),
    "break_glass": frozenset({"actor"}),
    "restriction": frozenset({"decided_by"}),
}
"""Texts that stay: codes, ids of staff, and answers that are no texts. The record number is one that tells nothing."""

_OF_PATIENT = "WHERE part.chain_id = chain AND part.patient_id = patient;"
_FORGET = "DELETE FROM {table} AS part " + _OF_PATIENT  # noqa: S608  # Of tables of ours.
_SCRUB = "UPDATE {table} AS part SET {columns} " + _OF_PATIENT  # noqa: S608
_FUNCTION = """
CREATE OR REPLACE FUNCTION anonymise_patient(patient uuid, instant timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
BEGIN
UPDATE public.patient AS part SET
    mrn = 'GONE-' || upper(right(replace(part.id::text, '-', ''), 24)), given_names = '{}', family_name = '',
    prefix = '', preferred_name = '', former_names = '[]', gender_identity = 'UNSPECIFIED', deceased_date = NULL,
    birth_date = make_date(extract(year FROM birth_date)::integer, 1, 1), restricted = true,
    version = version + 1, updated_at = instant, anonymised_at = instant
    WHERE part.chain_id = chain AND part.id = patient;
-- parts
UPDATE glass_review AS part SET note = '' FROM break_glass AS broken
    WHERE part.chain_id = chain AND broken.chain_id = chain AND broken.id = part.glass_break_id
    AND broken.patient_id = patient;
UPDATE patient_merge AS part SET reason = '', unmerge_reason = CASE WHEN unmerged_at IS NOT NULL THEN '' END
    WHERE part.chain_id = chain AND (part.merged_id = patient OR part.survivor_id = patient);
DELETE FROM screening_review AS part
    WHERE part.chain_id = chain AND part.patient_id = patient AND part.decision IS NULL;
DELETE FROM duplicate_pair AS part
    WHERE part.chain_id = chain AND (part.first_id = patient OR part.second_id = patient);
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$
"""


def _parts() -> Iterator[str]:
    for table in FORGOTTEN:
        yield _FORGET.format(table=table.name)
    for table, left in SCRUBBED.items():
        yield _SCRUB.format(table=table.name, columns=", ".join(f"{column} = {sql}" for column, sql in left.items()))


ANONYMISE = _FUNCTION.strip().replace("-- parts", "\n".join(_parts()))
"""Forgets a patient, in append-only tables, too, which the service itself cannot change. It can only erase. Row-level
security holds inside: of its owner, as of everybody."""
restriction.info["ddl"] = [
    ANONYMISE,
    "REVOKE EXECUTE ON FUNCTION anonymise_patient FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION anonymise_patient TO patients",
]
