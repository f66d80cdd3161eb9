"""How often consents and permissions go to PostgreSQL, and how it finds their rows for the service's own role."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.sql import Statement
from services.patients.jobs import recall_some
from services.patients.store.consents import CONSENT, CONSENTS, LAST_CONSENTS, LAST_SIGNATURE
from services.patients.store.permissions import LAST_WORDS, PERMISSIONS
from services.patients.store.recalls import SIGNATURES, SIGNERS, SITES_TO_SIGN_AT
from tests.integration.test_patients_speed import explained, most_rows, round_trips
from tests.support.patients_consents import ConsentDesk, desk
from tests.support.patients_parts import several_many

__all__ = ["desk"]

ROWS_LOOKED_AT_MAX = 100
REFERENCE = {"consent_document", "consent_document_version", "consent_text", "site"}
"""A chain has dozens of rows of them."""
MANY = """
    WITH made AS (INSERT INTO patient SELECT $1, gen_random_uuid(), 'M' || n, ARRAY['Given' || n % 1000], 'Family' || n,
                  '', date '1950-01-01' + n % 20000, 'FEMALE', 'en-US', 'America/Denver', $2, false, 1, now(), now()
                  FROM generate_series(1, $5::integer) AS n RETURNING id),
         seen AS (INSERT INTO patient_site SELECT $1, id, $2 FROM made),
         opened AS (INSERT INTO break_glass SELECT $1, gen_random_uuid(), id, $2, 'dr', '',
                    now() - interval '1 day', now() - interval '23 hours' FROM made),
         signed AS (INSERT INTO consent SELECT $1, id, id, $2, $3, $4, 1, 'en-US', '-', 'SELF', 'PAPER', '',
                    '2027-03-01', 'dr', '2027-03-01' FROM made),
         withdrawn AS (INSERT INTO consent_withdrawal SELECT $1, id, id, $2, '', 'dr', '2027-03-01' FROM made)
    INSERT INTO permission SELECT $1, gen_random_uuid(), id, $2, 'SMS', purpose, 'UNSPECIFIED', true, 'PATIENT',
                                  'PAPER', '2027-03-01', '', NULL, 'dr', '2027-03-01'
    FROM made, unnest(ARRAY['APPOINTMENT', 'BILLING']) AS purpose
"""


async def test_each_call_keeps_its_budget_of_round_trips(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    await desk.status(patient.id)  # Types are introspected once for each connection.
    await desk.permit(patient.id)
    budget = {
        "sign": (desk.sign(patient.id, version.id), 9),
        "status": (desk.status(patient.id), 6),
        "list": (desk.list_consents(patient.id), 4),
        "permit": (desk.permit(patient.id), 5),
        "list permissions": (desk.list_permissions(patient.id), 5),
        "publish": (desk.publish_document(version.consent_document_id), 6),
        "retire": (desk.retire(version.consent_document_id), 6),
    }
    taken = {name: await round_trips(desk, answer) for name, (answer, _) in budget.items()}
    [signed] = (await desk.list_consents(patient.id)).consents
    taken["withdraw"] = await round_trips(desk, desk.withdraw(signed))
    assert taken == {name: trips for name, (_, trips) in budget.items()} | {"withdraw": 6}


async def test_many_who_are_told_at_once_cost_no_more_round_trips_than_one(desk: ConsentDesk) -> None:
    """Others may not publish meanwhile: the documents are held."""
    for code, count in (("WARM", 1), ("FEW", 1), ("MANY", 5)):  # Types are introspected once for each connection.
        first = await desk.published(code=code)
        for _ in range(count):
            await desk.sign((await desk.create()).id, first.id)
        await desk.publish_document(first.consent_document_id)
    desk.service.clock.now += timedelta(days=1)
    taken = [await round_trips(desk, recall_some(desk.service.db, desk.service.clock)) for _ in range(6)]
    assert len([1 for subject, _ in await desk.service.published() if subject.endswith("consent.outdated")]) == 7
    assert taken[2::2] == [13, 13]  # After each come those of the look that finds nobody any more.


@pytest.mark.timeout(300)  # On a busy machine the patients alone take a minute.
@several_many
async def test_a_patients_consents_are_found_by_index_among_those_of_many(desk: ConsentDesk, many: int) -> None:
    """Row-level security leaves leakproof operators only to the indexes."""
    admin = desk.service.admin
    await desk.published()
    [(document_id, version_id)] = await admin.fetch("SELECT document_id, id FROM consent_document_version")
    await admin.execute(MANY, desk.service.chain_id, desk.site_id, document_id, version_id, many)
    await admin.execute("ANALYZE")
    one: UUID = await admin.fetchval("SELECT id FROM patient LIMIT 1")
    few = {"patient_ids": [row["id"] for row in await admin.fetch("SELECT id FROM patient LIMIT 20")]}
    page = {"patient_id": one, "before": UUID(int=2**128 - 1), "limit": 51}
    until = datetime(2027, 3, 2, tzinfo=UTC)
    line, by_id = "consent_chain_id_patient_id_document_id_sequence_key", "consent_chain_id_patient_id_id_key"
    cases: list[tuple[Statement, dict[str, Any], tuple[str, ...]]] = [
        (LAST_CONSENTS, {"patient_id": one, "until": until}, (line, "consent_withdrawal_pkey")),
        (LAST_SIGNATURE, {"patient_id": one, "document_id": document_id}, (line, by_id)),
        (CONSENTS, page, (by_id,)),
        (CONSENT, {"patient_id": one, "consent_id": one}, ("consent_pkey", by_id, line)),
        (PERMISSIONS, page, ("permission_patient_idx",)),
        (LAST_WORDS, {"patient_id": one}, ("permission_patient_idx",)),
        (SIGNERS, {"document_ids": [document_id], "after_id": UUID(int=0), "limit": 20}, (line, by_id)),
        (SIGNATURES, few | {"document_ids": [document_id]}, (line, by_id)),
        (SITES_TO_SIGN_AT, few, ("patient_site_pkey",)),
    ]
    for statement, values, indexes in cases:
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, indexes
        assert any(index in json.dumps(plan) for index in indexes), indexes
        assert scanned_whole(plan) <= REFERENCE, indexes
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, indexes
    assert await desk.stands((await desk.create()).id) == {"TREATMENT": "MISSING"}


def scanned_whole(plan: dict[str, Any]) -> set[str]:
    """Tables of which every row was read."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*(scanned_whole(step) for step in plan.get("Plans", ())))
