"""Patients are found across the chain by any part of their names and by their numbers, and by index."""

import json
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from grpc import StatusCode

from chassis.ids import to_wire
from services.patients.domain.names import AFTER_EVERYTHING
from services.patients.store.search import search_statement
from tests.support.patients import Desk, desk
from tests.support.service import refusal

__all__ = ["desk"]

PHONE, EMAIL = 1, 2  # ContactSystem.


@pytest.mark.parametrize(
    "name",
    [
        "José Andrade",
        "jose",
        "JOSÉ",
        "José",
        "and jos",
        "Andr",
        "lui",
        "Ángel",
        "obrien",
        "O\u2019Brien",
        "o'br",
        "brien-a",
    ],
)
async def test_any_beginnings_of_the_names_find_the_patient(desk: Desk, name: str) -> None:
    await desk.create(given_names=["José Ángel", "Luis"], family_name="O'Brien Brien-Andrade")
    await desk.create(given_names=["Ana"], family_name="Ruiz")
    assert await desk.found(name) == ["José Ángel Luis"]


@pytest.mark.parametrize("name", ["ose", "rade", "jose ruiz", "josep", "x"])
async def test_what_is_no_beginning_of_a_name_finds_nobody(desk: Desk, name: str) -> None:
    await desk.create(given_names=["José"], family_name="Andrade")
    assert await desk.found(name) == []


@pytest.mark.parametrize(
    ("names", "asked"),
    [(("Łukasz", "Żak"), "lukasz zak"), (("Анна", "Ёлкина"), "елк анна"), (("伟", "王"), "王"), (("Li", "Wu"), "l w")],
)
async def test_names_of_any_script_and_length_are_found(desk: Desk, names: tuple[str, str], asked: str) -> None:
    await desk.create(given_names=[names[0]], family_name=names[1])
    assert await desk.found(asked) == [names[0]]


async def test_cards_come_from_the_whole_chain_and_say_as_much_as_tells_two_apart(desk: Desk) -> None:
    created = await desk.create(contact_points=[{"system": EMAIL, "value": "ana@example.org"}])
    [card] = (await desk.search(desk.at_other_site(), name="ruiz")).cards
    assert (card.patient_id, card.mrn, card.home_site_id) == (created.id, created.mrn, to_wire("site", desk.site_id))
    assert (list(card.given_names), card.family_name) == (["Ana"], "Ruiz")
    assert card.birth_date == created.birth_date
    assert {field.name for field in card.DESCRIPTOR.fields} == {
        "patient_id", "given_names", "family_name", "birth_date", "mrn", "home_site_id",
    }  # fmt: skip


async def test_another_chain_finds_nobody(desk: Desk) -> None:
    await desk.create(mrn="MRN-1")
    for asked in ({"name": "ruiz"}, {"mrn": "MRN-1"}):
        assert len((await desk.search(desk.of_other_chain(), **asked)).cards) == 0
        assert len((await desk.search(**asked)).cards) == 1


@pytest.mark.parametrize(
    ("asked", "missed"),
    [
        ({"birth_date": {"year": 1980, "month": 5, "day": 17}}, {"birth_date": {"year": 1980, "month": 5, "day": 18}}),
        ({"phone": "505 842 2000"}, {"phone": "505 842 2001"}),
        ({"email": "ANA@example.org"}, {"email": "an@example.org"}),
        ({"mrn": "MRN-1"}, {"mrn": "MRN"}),
        ({"identifier": {"system": "urn:clinic", "value": "7"}}, {"identifier": {"system": "urn:lab", "value": "7"}}),
    ],
)
async def test_numbers_and_dates_find_exactly(desk: Desk, asked: dict[str, Any], missed: dict[str, Any]) -> None:
    points = [{"system": PHONE, "value": "+15058422000"}, {"system": EMAIL, "value": "ana@example.org"}]
    created = await desk.create(
        mrn="MRN-1", contact_points=points, identifiers=[{"system": "urn:clinic", "value": "7"}]
    )
    await desk.create(birth_date={"year": 1990, "month": 1, "day": 1})
    assert [card.patient_id for card in (await desk.search(**asked)).cards] == [created.id]
    assert [card.patient_id for card in (await desk.search(name="ruiz", **asked)).cards] == [created.id]
    assert len((await desk.search(**missed)).cards) == 0
    assert len((await desk.search(name="andrade", **asked)).cards) == 0


async def test_a_changed_name_is_found_and_the_former_is_not(desk: Desk) -> None:
    await desk.update(await desk.create(), family_name="Peña")
    assert (await desk.found("pena"), await desk.found("ruiz")) == (["Ana"], [])


async def test_pages_hold_everybody_once_in_the_order_of_the_name(desk: Desk) -> None:
    names = ["Anna", "Ann", "Anne", "Andrea", "Anders", "Bob"]
    for name in names:
        await desk.create(given_names=[name], family_name="Anderson" if name == "Ann" else "Ruiz")
    seen, token = list[str](), ""
    for _ in range(3):
        page = await desk.search(name="an", page_size=2, page_token=token)
        seen += [card.given_names[0] for card in page.cards]
        token = page.next_page_token
    assert seen == ["Anders", "Ann", "Andrea", "Anna", "Anne"]  # Ann by her family name, Anderson.
    assert token == ""


async def test_pages_without_a_name_hold_everybody_once(desk: Desk) -> None:
    made = [(await desk.create()).id for _ in range(3)]
    asked: dict[str, Any] = {"birth_date": {"year": 1980, "month": 5, "day": 17}}
    first = await desk.search(page_size=2, **asked)
    second = await desk.search(page_size=2, page_token=first.next_page_token, **asked)
    assert [card.patient_id for page in (first, second) for card in page.cards] == made


async def test_a_page_token_is_good_for_its_own_question_only(desk: Desk) -> None:
    for _ in range(2):
        await desk.create()
    token = (await desk.search(name="ruiz", page_size=1)).next_page_token
    refused = await refusal(desk.search(name="ana", page_size=1, page_token=token))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({}, ("", "search.asks_something")),
        ({"name": "?!"}, ("name", "NAME_MISSING")),
        ({"name": "a b c d e f g h i"}, ("name", "NAME_TOO_LONG")),
        ({"phone": "12"}, ("phone", "PHONE_NOT_POSSIBLE")),
        ({"birth_date": {"year": 1981, "month": 2, "day": 29}}, ("birth_date", "date.exists")),
    ],
)
async def test_a_question_that_nobody_can_fit_is_refused(
    desk: Desk, asked: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.search(**asked))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", [fault])


async def test_a_search_leaves_an_audit_row(desk: Desk) -> None:
    await desk.search(desk.service.token("ROLE_FRONT_DESK", subject="desk"), name="ruiz")
    row = await desk.service.admin.fetchrow("SELECT actor, kind, ids FROM audit")
    assert row is not None
    assert (row["actor"], row["kind"], row["ids"]) == ("desk", "AUDIT_PHI_READ", "{}")


MANY = """
    WITH made AS (INSERT INTO patient SELECT $1, gen_random_uuid(), 'M' || n, ARRAY['Given' || n % 1000], 'Family' || n,
                  '', date '1950-01-01' + n % 20000, 'FEMALE', 'en-US', 'America/Denver', $2, false, 1, now(), now()
                  FROM generate_series(1, 100000) AS n RETURNING id, mrn, given_names, family_name),
         called AS (INSERT INTO patient_name SELECT $1, lower(name), id
                    FROM made, unnest(given_names || family_name) AS name),
         known AS (INSERT INTO patient_identifier SELECT $1, 'urn:old', mrn, id, 0 FROM made)
    INSERT INTO contact_point SELECT $1, id, 0, 'PHONE', '+1505' || family_name, 'HOME', 1, false FROM made
"""
QUESTIONS: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (("family777",), {}, "patient_name_pkey"),
    (("f",), {}, "patient_name_pkey"),
    (("family777", "given7"), {}, "patient_name_pkey"),
    (("family", "given"), {}, "patient_name_pkey"),
    ((), {"phone": "+1505Family777"}, "contact_point_value_idx"),
    ((), {"mrn": "M777"}, "patient_chain_id_mrn_key"),
    ((), {"birth_date": date(1950, 1, 8)}, "patient_birth_date_idx"),
    ((), {"identifier_value": "M777", "identifier_system": "urn:old"}, "patient_identifier_pkey"),
]


async def test_the_services_role_finds_among_100_000_by_index_and_looks_at_few(desk: Desk) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id)
    await desk.service.admin.execute("ANALYZE")
    for words, exactly, index in QUESTIONS:
        values = {"chain_id": desk.service.chain_id, "after_id": UUID(int=0), "limit": 51} | exactly
        for n, word in enumerate(words):
            values |= {f"from_{n}": word, f"until_{n}": word + AFTER_EVERYTHING, "after_word": words[0]}
        plan = await explained(desk, values, len(words), frozenset(exactly) - {"identifier_system"})
        assert plan["Actual Rows"] >= 1
        assert index in json.dumps(plan), words or exactly
        assert "Seq Scan" not in json.dumps(plan), words or exactly
        assert most_rows(plan) <= 1200, words or exactly


async def explained(desk: Desk, values: dict[str, Any], words: int, exactly: frozenset[str]) -> dict[str, Any]:
    statement = search_statement(words, exactly)
    call = desk.service.inside("SearchPatients", sites=frozenset({desk.other_site_id}))
    async with desk.service.db.transaction(call, read_only=True) as conn:
        sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        [(plan,)] = await conn.fetch(sql, *statement.args(values))
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def most_rows(plan: dict[str, Any]) -> float:
    """Of any step, the rows that it looked at."""
    own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return float(max([own, *(most_rows(step) for step in plan.get("Plans", ()))]))
