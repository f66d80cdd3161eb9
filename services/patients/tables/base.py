"""What the tables of patients are made of."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table, Text, Uuid
from sqlalchemy.schema import SchemaItem

from chassis.tables import chain_table, service_metadata

# The functions are called by policies: in a subselect, so that PostgreSQL asks once for each statement, and only if it
# must. As functions, since each policy of each table would be planned anew. They see what the caller's role sees,
# and compare with variables: a setting that is read in a comparison counts as leaky, and keeps it from the indexes.
_FUNCTION = """
CREATE FUNCTION {name} RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    own constant uuid := nullif(current_setting('app.patient', true), '')::uuid;
    caller constant text := current_setting('app.actor', true);
    instant constant timestamptz := clock_timestamp();
BEGIN
RETURN {ids};
END $$
""".strip()
ALL_OF_PERSONS = """
WITH known AS (
    SELECT unnest(named) AS id UNION SELECT survivor_id FROM patient
        WHERE chain_id = chain AND id = ANY (named) AND survivor_id IS NOT NULL
)
SELECT id FROM known
UNION SELECT id FROM patient WHERE chain_id = chain AND survivor_id = ANY (ARRAY(SELECT id FROM known))
""".strip()
GLASS = """
SELECT patient_id FROM break_glass
    WHERE chain_id = chain AND actor = caller AND expire_at > instant
""".strip()
PERSONS = _FUNCTION.format(
    name="ids_of_persons(named uuid[])",
    ids=f"ARRAY({ALL_OF_PERSONS})",
)
"""All ids of the persons who have one of `named`."""
OWN_IDS = _FUNCTION.format(name="own_ids()", ids="ids_of_persons(ARRAY[own])")
"""Of a patient who calls for themselves."""
GLASS_IDS = _FUNCTION.format(name="glass_ids()", ids=f"ids_of_persons(ARRAY({GLASS}))")
"""Of whoever's record the caller broke the glass for, at one of the caller's sites."""

metadata = service_metadata(own_ids="(SELECT own_ids())::uuid[]")
metadata.info["ddl"] = [PERSONS, OWN_IDS, GLASS_IDS]

RECORD_OWN = """'*' = current_setting('app.sites', true)
OR (SELECT true FROM patient_site AS seen
    WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id LIMIT 1)"""
"""The record is changed by staff of its sites: the table shows own sites only.

Subselects with a LIMIT: PostgreSQL would read all of what stands behind an EXISTS into a hash."""
BROKE_GLASS = "OR {table}.patient_id = ANY ((SELECT glass_ids())::uuid[])"
RECORD_SEEN = f"{RECORD_OWN} {BROKE_GLASS}"
"""It is seen by them, and by whoever broke the glass for it, under any id of the person."""

SEES_RESTRICTED = "{CHAIN_ADMIN,AUDITOR,CLINICIAN,PATIENT,SERVICE}"
"""Roles that still see a record which is restricted: the others see it no more than one that is not there. Another
service asks for contact details only, and is refused those by name."""
NOT_RESTRICTED = (
    "NOT restricted OR '' = coalesce(current_setting('app.roles', true), '') "
    "OR string_to_array(current_setting('app.roles', true), ',') "
    f"&& '{SEES_RESTRICTED}'::text[]"
)
"""Of a patient's own row. A job has no role, and sees all."""
OF_ONE_SHOWN = """(SELECT true FROM patient AS shown
    WHERE shown.chain_id = {table}.chain_id AND shown.id = {table}.patient_id LIMIT 1)"""
"""Of a part of a record: a part is shown with the patient."""
OF_ONE_KNOWN = OF_ONE_SHOWN.replace("SELECT true", "SELECT anonymised_at IS NULL")
"""Of a new part: nothing is added to a record that the caller does not see, or whose patient is forgotten."""


def id_(name: str = "id", *, key: bool = False, nullable: bool = False) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=nullable)


SEALED = "s1"
"""How a sealed text begins. After a dot each, the id of its key, and nonce and ciphertext in base64, follow."""
ERASED = "-"
"""What is left of a sealed text that is erased where a rule wants one to be there. Sealed, it would not be this."""
_SEALED_OR_NONE = "{name} = '' OR {name} = '" + ERASED + "' OR {name} ~ '^" + SEALED + "[.].+[.][A-Za-z0-9_-]+$'"


# Answers that are remembered tell of patients, too. A claim has none yet.
_answers = metadata.tables["idempotency"]
_answers.c.response.info["sealed_by"] = ("actor", "method", "request_id")
_answers.append_constraint(
    CheckConstraint(_SEALED_OR_NONE.format(name="convert_from(response, 'UTF8')"), name="response_sealed")
)


def sealed(
    name: str, *, by: tuple[str, ...] = ("id",), nullable: bool = False, later: bool = False
) -> tuple[Column[str], CheckConstraint]:
    """A column that holds what somebody wrote about a patient: sealed by the store under the chain's key, bound to the
    column and to the row, which the columns `by` tell. The database takes no clear text. `later`: rows are older."""
    default = "" if later else None
    return (
        Column(name, Text, nullable=nullable, server_default=default, info={"sealed_by": by}),
        CheckConstraint(_SEALED_OR_NONE.format(name=name), name=f"{name}_sealed"),
    )


def record_table(name: str, *items: SchemaItem, append_only: bool = False) -> Table:
    """A part of a patient's record: `patient_id`, and `site_id` of whoever wrote it. Who sees the record, sees it."""
    parts = (RECORD_SEEN, RECORD_OWN, OF_ONE_SHOWN, OF_ONE_KNOWN)
    seen, own, shown, known = (" ".join(sql.format(table=name).split()) for sql in parts)
    changed_by = None if append_only else own
    return chain_table(
        name,
        metadata,
        *items,
        append_only=append_only,
        own_sites=seen,
        changed_by=changed_by,
        shown_if=shown,
        written_if=known,
    )


def belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


def seen_at_its_site() -> ForeignKeyConstraint:
    """What a site writes about a patient, it writes about one whose record it may see."""
    return ForeignKeyConstraint(
        ["chain_id", "patient_id", "site_id"],
        ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
    )


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=column)
