"""How PostgreSQL finds candidates and pairs for the service's own role, among many."""

import json
from datetime import date
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest

from services.patients.store.duplicates import CANDIDATES, PAIR, PAIRS, PAIRS_OF_SITE, asked_of
from tests.integration.test_patients_duplicates import Duplicates, duplicates
from tests.integration.test_patients_speed import MANY, explained, most_rows, read_through, round_trips
from tests.support.patients import Desk, desk

__all__ = ["desk", "duplicates"]

KEYS = """
    INSERT INTO match_key
    SELECT chain_id, 'n:' || lower(family_name) || '|' || extract(year FROM birth_date)::integer, id FROM patient
"""
PAIRED = """
    INSERT INTO duplicate_pair
    SELECT chain_id, id, next, n % 10000, '', CASE n % 3 WHEN 0 THEN 'OPEN' ELSE 'MERGED' END, now()
    FROM (SELECT chain_id, id, lead(id) OVER (ORDER BY id) AS next, row_number() OVER (ORDER BY id) AS n FROM patient)
    WHERE next IS NOT NULL
"""
LAST = UUID(int=2**128 - 1)
SCORED_AT_ONCE = 100


@pytest.mark.timeout(300)  # On a busy machine the patients alone take a minute.
@pytest.mark.parametrize("many", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_candidates_and_pairs_are_found_by_index_and_few_are_looked_at(desk: Desk, many: int) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute(KEYS)
    await desk.service.admin.execute(PAIRED)
    await desk.service.admin.execute("VACUUM ANALYZE")
    page = {"state": "OPEN", "before_score": 20_000, "before_first": LAST, "before_second": LAST, "limit": 51}
    [pair] = await desk.service.admin.fetch("SELECT first_id, second_id FROM duplicate_pair LIMIT 1")
    nothing: dict[str, list[Any]] = asked_of([])
    one = [desk.site_id]
    for statement, values, index in (
        (CANDIDATES, nothing | {"key_for": one, "asked_key": ["n:family777|1952"]}, "match_key_pkey"),
        (CANDIDATES, nothing | {"birth_for": one, "asked_birth": [date(1950, 1, 8)]}, "patient_birth_date_idx"),
        (
            CANDIDATES,
            nothing | {"point_for": one, "asked_system": ["PHONE"], "asked_value": ["+1505Family777"]},
            "contact_point_value_idx",
        ),
        (CANDIDATES, nothing | {"mrn_for": one, "asked_mrn": ["M777"]}, "patient_chain_id_mrn_key"),
        (PAIR, dict(pair), "duplicate_pair_second_idx"),
        (PAIRS, page, "duplicate_pair_worklist_idx"),
        (PAIRS_OF_SITE, page | {"site_id": desk.site_id}, "duplicate_pair_worklist_idx"),
    ):
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, index
        assert index in json.dumps(plan)
        assert read_through(plan) <= {"site"}, index
        assert most_rows(plan) <= 1200, index


async def test_a_hundred_records_are_scored_in_as_many_round_trips_as_one(desk: Desk, duplicates: Duplicates) -> None:
    identifiers = ([{"system": "urn:old", "value": str(n)}] for n in range(SCORED_AT_ONCE))
    rows = [desk.told(identifiers=each, birth_date={"year": 1980, "month": 1, "day": 2}) for each in identifiers]
    ids = [each.patient_id for each in await desk.import_rows(*rows)]
    await duplicates.score(*ids)  # Types are introspected once for each connection.
    assert await round_trips(desk, duplicates.score(ids[0])) == 6
    assert await round_trips(desk, duplicates.score(*ids)) == 6


async def test_of_records_that_are_scored_together_each_is_compared_with_all_others(
    desk: Desk, duplicates: Duplicates
) -> None:
    rows = [desk.told(identifiers=[{"system": "urn:old", "value": f"of-five-{n}"}]) for n in range(5)]
    ids = [each.patient_id for each in await desk.import_rows(*rows)]
    pairs = {(each.first_patient_id, each.second_patient_id) for each in await duplicates.score(*ids)}
    assert pairs == set(combinations(sorted(ids), 2))
