"""How often a call goes to PostgreSQL, and how PostgreSQL finds rows for the service's own role."""

import json
from collections.abc import Awaitable
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import from_wire
from chassis.sql import Statement
from services.patients.store.clearances import CLEARANCES, CLEARANCES_IN_FORCE, GROUNDS
from services.patients.store.records import HOLDERS, NAME, RECORD
from services.patients.store.screenings import ASKED, SCREENINGS
from services.patients.store.search import (
    FIRST_ID,
    NEIGHBOURS,
    asked_words,
    finding,
    in_order,
    one_slip,
    ranked,
    rarity,
    slips_of_one,
)
from tests.support.patients import Desk, desk
from tests.support.patients_parts import several_many

__all__ = ["desk"]

SMALL = {"site", "questionnaire", "questionnaire_version", "protocol_questionnaire"}  # None or two rows in this test.
IDENTIFIERS = [{"system": "urn:old", "value": "1"}]
ROWS_LOOKED_AT_MAX = 1200
NAME20200_SPELLINGS = len({"name20200", *("name20200"[:n] + "name20200"[n + 1 :] for n in range(9))})
MANY = """
    WITH made AS (INSERT INTO patient SELECT $1, gen_random_uuid(), 'M' || n, ARRAY['Given' || n % 1000], 'Family' || n,
                  '', date '1950-01-01' + n % 20000, 'FEMALE', 'en-US', 'America/Denver', $2, false, 1, now(), now()
                  FROM generate_series(1, $3::integer) AS n RETURNING id, mrn, given_names, family_name),
         called AS (INSERT INTO patient_name (chain_id, word, patient_id, line)
                    SELECT $1, lower(name), id, lower(' ' || family_name || ' ' || given_names[1] || ' ')
                    FROM made, unnest(given_names || family_name) AS name),
         spelt AS (INSERT INTO name_spelling SELECT DISTINCT $1::uuid, left(word, i - 1) || substr(word, i + 1), word
                   FROM (SELECT DISTINCT lower(name) AS word FROM made, unnest(given_names || family_name) AS name)
                        AS called, generate_series(1, length(word) + 1) AS i),
         known AS (INSERT INTO patient_identifier SELECT $1, 'urn:old', mrn, id, 0 FROM made),
         seen AS (INSERT INTO patient_site SELECT $1, id, $2 FROM made),
         opened AS (INSERT INTO break_glass SELECT $1, gen_random_uuid(), id, $2, 'dr', '',
                    now() - interval '1 day', now() - interval '23 hours' FROM made),
         related AS (INSERT INTO related_person SELECT $1, id, 0, 'GUARANTOR', 'Eva', '', '', '', '' FROM made),
         asked AS (INSERT INTO screening SELECT $1, gen_random_uuid(), id, id, $2, '', 'dr', now() FROM made
                   RETURNING id, patient_id),
         waiting AS (INSERT INTO screening_review SELECT $1, id, patient_id, patient_id, $2, NULL, NULL, NULL, ''
                     FROM asked),
         cleared AS (INSERT INTO clearance SELECT $1, gen_random_uuid(), id, id, $2, '{iv}', '2027-03-01', '2027-09-01',
                     NULL, 'dr', now() FROM made)
    INSERT INTO contact_point SELECT $1, id, 0, 'PHONE', '+1505' || family_name, 'HOME', 1, false FROM made
"""


async def round_trips(desk: Desk, answer: Awaitable[object]) -> int:
    queries = list[str]()

    def note(query: Any) -> None:
        queries.append(query.query)

    async with desk.service.pool.acquire() as conn:  # The connection that the next call takes: the pool is a stack.
        conn.add_query_logger(note)
    await answer
    async with desk.service.pool.acquire() as conn:
        conn.remove_query_logger(note)
    return len(queries)


async def test_each_call_keeps_its_budget_of_round_trips(desk: Desk) -> None:
    created = await desk.create(identifiers=IDENTIFIERS)  # Types are introspected once for each connection.
    await desk.import_rows(desk.told(identifiers=IDENTIFIERS))
    await desk.get(created.id)
    rows = [desk.told(identifiers=[{"system": "urn:new", "value": str(n)}]) for n in range(200)]
    granted = await desk.clear(created.id)
    screened = await desk.screen(created.id)
    again = {
        "protocol_id": screened.protocol_id,
        "questionnaire_version_id": screened.questionnaire_version_id,
        "token": desk.clinician(),
    }
    budget = {
        "create": (desk.create(), 6),
        "create with an identifier": (desk.create(identifiers=[{"system": "urn:new", "value": "x"}]), 7),
        "get": (desk.get(created.id), 1),
        "update": (desk.update(created, prefix="Dr."), 7),
        "search": (desk.search(name="ana", page_size=1), 2),
        "search with few hits": (desk.search(name="ana"), 3),
        "search for a rare name": (desk.search(name="ana ruiz"), 4),
        "search by a number": (desk.search(phone="+15058422000"), 2),
        "import of 200": (desk.import_rows(*rows), 7),
        "screen": (desk.screen(created.id, **again), 5),
        "clear": (desk.clear(created.id), 5),
        "revoke": (desk.revoke(granted.id), 6),
    }
    taken = {name: await round_trips(desk, answer) for name, (answer, _) in budget.items()}
    assert taken == {name: trips for name, (_, trips) in budget.items()}


@pytest.mark.timeout(300)  # On a busy machine the patients alone take a minute.
@several_many
async def test_rows_are_found_by_index_among_many_and_few_are_looked_at(desk: Desk, many: int) -> None:
    """Row-level security leaves leakproof operators only to the indexes."""
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute("VACUUM ANALYZE")
    one: UUID = await desk.service.admin.fetchval("SELECT id FROM patient LIMIT 1")
    last = UUID(int=2**128 - 1)
    for statement, values, index in (
        (*named("family777"), "patient_name_pkey"),
        (*named("f"), "patient_name_pkey"),
        (*named("family777", "given7"), "patient_name_pkey"),
        (*named("family", "given"), "patient_name_pkey"),
        (slips_of_one(), misspelt("famly777", slips=[["family777"]]), "patient_name_pkey"),
        (
            one_slip((0, 0)),
            misspelt("famly777", "given777", slips=[["family777"], ["given77"]]) | {"after_cost": 0},
            "patient_name_pkey",
        ),
        (
            ranked(2),
            misspelt("famly777", "given777", slips=[["family777"], []])
            | {"after_cost": 0, "after_word": ""}
            | finding("famly777", ["family777"]),
            "patient_name_pkey",
        ),
        (rarity(2), numbers_only(misspelt("family77", "given77", slips=[["family7"], []])), "patient_name_pkey"),
        (NEIGHBOURS, {"asked_n": [0], "asked_key": ["famly777"]}, "name_spelling_pkey"),
        (*exactly(phone="+1505Family777"), "contact_point_value_idx"),
        (*exactly(mrn="M777"), "patient_chain_id_mrn_key"),
        (*exactly(birth_date=date(1950, 1, 8)), "patient_birth_date_idx"),
        (*exactly(identifier_value="M777", identifier_system="urn:old"), "patient_identifier_pkey"),
        (RECORD.unnoted, {"patient_id": one}, "patient_pkey"),
        (RECORD.unnoted, {"patient_id": one}, "patient_site_pkey"),
        (HOLDERS, {"asked_system": ["urn:old"], "asked_value": ["M1"], "mrns": ["M2"], "own_text": ["x"],
                   "own_id": [one]}, "patient_identifier_pkey"),
        (SCREENINGS, {"patient_id": one, "before": last, "limit": 51}, "screening_chain_id_patient_id_id_key"),
        (CLEARANCES, {"patient_id": one, "before": last, "limit": 51}, "clearance_patient_idx"),
        (CLEARANCES_IN_FORCE, {"patient_id": one, "before": last, "limit": 51, "day": date(2027, 3, 1)},
         "clearance_patient_idx"),
        (GROUNDS, {"patient_id": one, "protocol_id": one, "site_id": desk.site_id, "screening_id": None},
         "screening_chain_id_patient_id_id_key"),
        (ASKED, {"patient_id": one, "protocol_id": one, "site_id": desk.site_id, "version_id": one,
                 "now": desk.service.now}, "patient_pkey"),
    ):  # fmt: skip
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, index
        assert index in json.dumps(plan)
        assert read_through(plan) <= SMALL, index
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, index


async def test_new_names_are_looked_up_each_for_itself_while_a_chain_grows(desk: Desk) -> None:
    """In the middle of an import PostgreSQL knows little of the table, and is tempted to read all of it."""
    created = await desk.create()
    spelt = "INSERT INTO name_spelling SELECT $1, 'name' || n, 'name' || n FROM generate_series(1, 20000) AS n"
    await desk.service.admin.execute(spelt, desk.service.chain_id)
    words = [f"name{n}" for n in range(19_801, 20_201)]  # Half of them are there.
    ids, lines = [from_wire("patient", created.id)] * len(words), ["line"] * len(words)
    values = {"patient_name_patient_id": ids, "patient_name_word": words, "patient_name_line": lines}
    plan = await explained(desk, NAME, values)
    assert most_rows(plan) <= 10 * len(words)
    assert read_through(plan) <= SMALL
    spellings = "SELECT count(*) FROM name_spelling WHERE chain_id = $1 AND word = 'name20200'"
    assert await desk.service.admin.fetchval(spellings, desk.service.chain_id) == NAME20200_SPELLINGS


async def test_names_are_kept_in_the_order_of_code_points_whatever_the_databases_language(desk: Desk) -> None:
    column = "table_name = 'patient_name' AND column_name = 'word'"
    collation = f"SELECT collation_name FROM information_schema.columns WHERE {column}"
    assert await desk.service.admin.fetchval(collation) == "C"


def named(*words: str) -> tuple[Statement, dict[str, Any]]:
    place = {"after_id": FIRST_ID, "after_word": words[0], "after_line": "", "limit": 51}
    return in_order(len(words)), asked_words(words) | place


def misspelt(*words: str, slips: list[list[str]]) -> dict[str, Any]:
    return asked_words(words, slips) | {"after_id": FIRST_ID, "after_line": "", "limit": 51}


def exactly(**values: Any) -> tuple[Statement, dict[str, Any]]:
    statement = ranked(0, frozenset(values.keys() - {"identifier_system"}))
    place = {"after_id": FIRST_ID, "after_cost": -1, "after_word": "", "after_line": "", "limit": 51}
    return statement, place | values


def numbers_only(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name.startswith(("from_", "until_", "slips_"))}


async def explained(desk: Desk, statement: Statement, values: dict[str, Any]) -> dict[str, Any]:
    call = desk.service.inside("Explain", sites=frozenset({desk.site_id}))
    async with desk.service.db.transaction(call) as conn:
        sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        [(plan,)] = await conn.fetch(sql, *statement.args(values | {"chain_id": call.chain_id}))
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def most_rows(plan: dict[str, Any]) -> float:
    """Of any step, the rows that it looked at."""
    own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return float(max([own, *(most_rows(step) for step in plan.get("Plans", ()))]))


def read_through(plan: dict[str, Any]) -> set[str]:
    """Tables that were read from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set[str]()
    return own.union(*(read_through(step) for step in plan.get("Plans", ())))
