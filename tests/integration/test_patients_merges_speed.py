"""How PostgreSQL finds, for the service's own role, what merges read, and what the rights of a whole person rest on."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.patients.store.merges import CLAIM, FIRST_ID, IDS, LAST_ID, MERGE, MERGES, STANDING, TO_MERGE, WRITTEN
from services.patients.store.records import HOLDERS
from services.patients.tables.base import ALL_OF_PERSONS, GLASS
from tests.integration.test_patients_speed import MANY, ROWS_LOOKED_AT_MAX, explained, most_rows, read_through
from tests.support.patients import Desk, desk

__all__ = ["desk"]

EMPTY = {"consent", "permission", "measure", "adverse_event", "diagnosis"}  # In this test.
MERGED = """
    WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM patient WHERE chain_id = $1),
         paired AS (SELECT survivor.id AS survivor_id, merged.id AS merged_id FROM numbered AS survivor
                    JOIN numbered AS merged ON merged.n = survivor.n + 1 WHERE survivor.n % 4 = 0),
         pointed AS (UPDATE patient SET survivor_id = paired.survivor_id FROM paired WHERE id = merged_id)
    INSERT INTO patient_merge
    SELECT $1, gen_random_uuid(), survivor_id, merged_id, 1, '-', 'dr', now() FROM paired
"""


@pytest.mark.timeout(300)
async def test_merges_and_all_ids_of_a_person_are_found_by_index_among_many(desk: Desk) -> None:
    """Row-level security leaves leakproof operators only to the indexes."""
    admin, chain_id = desk.service.admin, desk.service.chain_id
    await admin.execute(MANY, chain_id, desk.site_id, 10_000)
    await admin.execute(MERGED, chain_id)
    await admin.execute("VACUUM ANALYZE")
    [merge] = await admin.fetch("SELECT * FROM patient_merge LIMIT 1")
    survivor, merged = merge["survivor_id"], merge["merged_id"]
    claimed = {"actor": "user", "method": "Method", "request_id": uuid4(), "request_hash": b"1"}
    known: tuple[Any, ...] = ("patient_pkey",)
    for statement, values, indexes in (
        (CLAIM, claimed | {"lock_id": [survivor, merged], "named_ids": [survivor, merged]}, known),
        (IDS, {"patient_id": merged}, (*known, "patient_survivor_idx")),
        (
            TO_MERGE,
            {"ids": [survivor, merged]},
            (*known, "patient_survivor_idx", "patient_merge_chain_id_merged_id_version_key"),
        ),
        (STANDING, {"patient_id": merged}, (*known, "patient_merge_standing_key")),
        (MERGE, {"merge_id": merge["id"]}, ("patient_merge_pkey",)),
        (
            MERGES,
            {"patient_id": merged, "before": LAST_ID, "limit": 51},
            ("patient_merge_survivor_idx", "patient_merge_chain_id_merged_id_version_key"),
        ),
        (
            WRITTEN,
            {"patient_id": survivor, "after": FIRST_ID, "until": LAST_ID, "limit": 51},
            ("screening_chain_id_patient_id_id_key",),
        ),
        (
            HOLDERS,
            {
                "asked_system": ["urn:old"],
                "asked_value": ["M1"],
                "mrns": ["M2"],
                "own_text": ["x"],
                "own_id": [survivor],
            },
            ("patient_identifier_pkey", *known),
        ),
    ):
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, indexes
        assert not [index for index in indexes if index not in json.dumps(plan)], statement.text
        assert read_through(plan) <= EMPTY, indexes
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, indexes
    for sql, index in ((ALL_OF_PERSONS, "patient_survivor_idx"), (GLASS, "break_glass_actor_idx")):
        plan = await explained_in_function(desk, sql, [merged])
        assert index in json.dumps(plan)
        assert read_through(plan) == set()
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, index


async def explained_in_function(desk: Desk, sql: str, named: list[UUID]) -> dict[str, Any]:
    """What a function that policies call looks up: with its variables as parameters."""
    call = replace(desk.service.inside("Explain", sites=frozenset({desk.site_id})), actor="dr")
    text = sql.replace("= chain", "= $1::uuid").replace("(named)", "($2::uuid[])")
    text = text.replace("= caller", "= $2").replace("> instant", "> $3")
    values = [call.chain_id, named] if "unnest" in text else [call.chain_id, call.actor, call.now]
    async with desk.service.db.transaction(call) as conn:
        [(plan,)] = await conn.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *values)
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found
