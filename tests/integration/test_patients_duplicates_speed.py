"""How PostgreSQL finds candidates and pairs for the service's own role, among many."""

import json
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from atoll.patients.v1 import duplicate_service_pb2 as pb
from atoll.patients.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from chassis.ids import to_wire
from services.patients.store.duplicates import CANDIDATES, PAIR, PAIRS, PAIRS_OF_SITE
from tests.integration.test_patients_speed import MANY, explained, most_rows, read_through, round_trips
from tests.support.patients import Desk, desk

__all__ = ["desk"]

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
ONE = [UUID(int=1)]
SCORE = 6  # begin, claim, patients, candidates, everything written, commit


@pytest.mark.timeout(300)  # On a busy machine the patients alone take a minute.
@pytest.mark.parametrize("many", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_candidates_and_pairs_are_found_by_index_and_few_are_looked_at(desk: Desk, many: int) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute(KEYS)
    await desk.service.admin.execute(PAIRED)
    await desk.service.admin.execute("VACUUM ANALYZE")
    page = {"state": "OPEN", "before_score": 20_000, "before_first": LAST, "before_second": LAST, "limit": 51}
    [pair] = await desk.service.admin.fetch("SELECT first_id, second_id FROM duplicate_pair LIMIT 1")
    asked: dict[str, list[Any]] = {
        **{name: [] for name in ("key_of", "birth_of", "mrn_of", "point_of")},
        **{f"asked_{name}": [] for name in ("key", "birth", "mrn", "system", "value")},
    }
    for statement, values, index in (
        (CANDIDATES, asked | {"key_of": ONE, "asked_key": ["n:family777|1952"]}, "match_key_pkey"),
        (CANDIDATES, asked | {"birth_of": ONE, "asked_birth": [date(1950, 1, 8)]}, "patient_birth_date_idx"),
        (
            CANDIDATES,
            asked | {"point_of": ONE, "asked_system": ["PHONE"], "asked_value": ["+1505Family777"]},
            "contact_point_value_idx",
        ),
        (CANDIDATES, asked | {"mrn_of": ONE, "asked_mrn": ["M777"]}, "patient_chain_id_mrn_key"),
        (PAIR, dict(pair), "duplicate_pair_second_idx"),
        (PAIRS, page, "duplicate_pair_worklist_idx"),
        (PAIRS_OF_SITE, page | {"site_id": desk.site_id}, "duplicate_pair_worklist_idx"),
    ):
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, index
        assert index in json.dumps(plan)
        assert read_through(plan) <= {"site"}, index
        assert most_rows(plan) <= 1200, index


async def test_scoring_takes_as_many_round_trips_however_many_are_scored(desk: Desk) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, 200)
    rows = await desk.service.admin.fetch("SELECT id FROM patient ORDER BY id LIMIT 101")
    ids = [to_wire("patient", row["id"]) for row in rows]
    await desk.service.call(desk.service.stub(DuplicateServiceStub).ScoreDuplicates, scoring(ids[:1]))
    for some in (ids[1:2], ids[1:]):
        asked = desk.service.call(desk.service.stub(DuplicateServiceStub).ScoreDuplicates, scoring(some))
        assert await round_trips(desk, asked) == SCORE


def scoring(patient_ids: list[str]) -> pb.ScoreDuplicatesRequest:
    return pb.ScoreDuplicatesRequest(request_id=str(uuid4()), patient_ids=patient_ids)
