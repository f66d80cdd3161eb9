"""How often a call about a record's history and sites goes to PostgreSQL, and how PostgreSQL finds their rows."""

import json
from typing import Any
from uuid import UUID

import pytest

from services.patients.store.changes import CHANGES, SEEN, VERSION_MAX
from services.patients.store.patient_sites import PATIENT_SITE
from services.patients.store.records import RECORD, RECORD_TO_CHANGE
from tests.integration.test_patients_speed import ROWS_LOOKED_AT_MAX, explained, most_rows, round_trips
from tests.support.patients import Desk, desk
from tests.support.patients_record import Records

__all__ = ["desk"]

MANY = """
    WITH made AS (INSERT INTO patient SELECT $1, gen_random_uuid(), 'M' || n, ARRAY['Given'], 'Family', '',
                  date '1950-01-01', 'FEMALE', 'en-US', 'America/Denver', $2, false, 1, now(), now()
                  FROM generate_series(1, 20000) AS n RETURNING id),
         seen AS (INSERT INTO patient_site SELECT $1, id, $2 FROM made),
         opened AS (INSERT INTO break_glass SELECT $1, gen_random_uuid(), id, $2, 'dr', '',
                    now() - interval '1 day', now() - interval '23 hours' FROM made),
         known AS (INSERT INTO patient_identifier SELECT $1, 'urn:old', id::text, id, 0 FROM made),
         reached AS (INSERT INTO contact_point SELECT $1, id, 0, 'EMAIL', id::text, 'HOME', 1, false FROM made),
         related AS (INSERT INTO related_person SELECT $1, id, 0, 'GUARANTOR', 'Eva', '', '', 'e@x.org', '' FROM made)
    INSERT INTO patient_change SELECT $1, id, version, $2, 'user', 'Method', '', now(), '', ''
    FROM made, generate_series(1, 5) AS version
"""


async def test_each_call_keeps_its_budget_of_round_trips(desk: Desk) -> None:
    history, created = Records(desk), await desk.create()
    await history.page(created.id)  # Types are introspected once for each connection.
    full: dict[str, Any] = {
        "preferred_name": "Annie",
        "related_persons": [{"role": 2, "name": "Bo", "phone": "+15058422000"}],
        "self_pay_declaration": {"basis": 1, "declare_date": {"year": 2027, "month": 3, "day": 1}},
    }
    budget = {
        "create with all": (desk.create(**full), 6),
        "update with all": (desk.update(created, **full), 8),
        "get": (desk.get(created.id), 1),
        "list changes": (history.page(created.id), 5),
        "add a site": (history.add_site(created.id), 5),
        "remove a site": (history.remove_site(created.id), 6),
    }
    taken = {name: await round_trips(desk, answer) for name, (answer, _) in budget.items()}
    assert taken == {name: trips for name, (_, trips) in budget.items()}


@pytest.mark.timeout(300)
async def test_a_record_and_its_history_are_found_by_index_among_many(desk: Desk) -> None:
    """Row-level security leaves leakproof operators only to the indexes."""
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id)
    await desk.service.admin.execute("ANALYZE")
    one: UUID = await desk.service.admin.fetchval("SELECT id FROM patient LIMIT 1")
    for statement, values, indexes in (
        (RECORD.unnoted, {}, ("patient_pkey", "patient_site_pkey", "related_person_pkey")),
        (RECORD_TO_CHANGE, {}, ("patient_pkey", "patient_site_pkey")),
        (SEEN, {}, ("patient_pkey", "patient_site_pkey")),
        (CHANGES, {"before": VERSION_MAX, "limit": 51}, ("patient_change_pkey",)),
        (PATIENT_SITE, {"site_id": desk.site_id}, ("patient_pkey", "patient_site_pkey")),
    ):
        plan = await explained(desk, statement, {"patient_id": one} | values)
        text = json.dumps(plan)
        assert plan["Actual Rows"] >= 1, indexes
        assert not [index for index in indexes if index not in text], statement.text
        assert read_whole(plan) <= {"site"}, indexes  # Of which there are two.
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, indexes


def read_whole(plan: dict[str, Any]) -> set[str]:
    """The tables that a plan reads from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*(read_whole(step) for step in plan.get("Plans", ())))
