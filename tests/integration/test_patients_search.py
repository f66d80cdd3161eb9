"""Patients are found across the chain by any beginnings of their names, and by their numbers."""

import json
import unicodedata
from typing import Any

import pytest
from grpc import StatusCode

from chassis.ids import from_wire, to_wire
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


@pytest.mark.parametrize("name", ["se", "rade", "jose ruiz", "josepp", "sjoe", "x", "andrase jose luis", "jos\u4f1f"])
async def test_what_is_neither_a_beginning_of_a_name_nor_a_slip_finds_nobody(desk: Desk, name: str) -> None:
    await desk.create(given_names=["José"], family_name="Andrade")
    assert await desk.found(name) == []


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("Łukasz", "Żak"), "lukasz zak"),
        (("Анна", "Ёлкина"), "елк анна"),
        (("伟", "王"), "王"),
        (("小明", "王"), "王小明"),
        (("王小明", ""), "小明"),
        (("민준", "김"), "김민준"),
        (("민준", "김"), unicodedata.normalize("NFD", "민준 김")),
        (("さくら", "田中"), "田中さくら"),
        (("محمد", "الحسن"), "الحسن محمد"),
        (("فاطمة", "علي"), "فاطمه على"),
        (("राम", "शर्मा"), "शर्मा"),
        (("Li", "Wu"), "l w"),
        (("Bo", "O"), "o bo"),
    ],
)
async def test_names_of_any_script_and_length_are_found(desk: Desk, names: tuple[str, str], asked: str) -> None:
    await desk.create(given_names=[names[0]], family_name=names[1])
    assert await desk.found(asked) == [names[0]]


@pytest.mark.parametrize(
    "asked",
    [
        "andrada",
        "andade",
        "anddrade",
        "nadrade",
        "bndrade",
        "andrde",
        "joze",
        "jse",
        "jose andrada",
        "jos andarde",
        "josse amdrade",
    ],
)
async def test_a_word_that_is_one_slip_away_finds_the_patient(desk: Desk, asked: str) -> None:
    await desk.create(given_names=["José"], family_name="Andrade")
    await desk.create(given_names=["Bea"], family_name="Ruiz")
    assert await desk.found(asked) == ["José"]


async def test_who_fits_comes_before_the_misspelt_and_these_by_likeness_and_name(desk: Desk) -> None:
    for given, family in (
        ("Zoe", "Martin"),
        ("Ana", "Martins"),
        ("Bob", "Marten"),
        ("Abe", "Marten"),
        ("Cy", "Martinez"),
    ):
        await desk.create(given_names=[given], family_name=family)
    assert await desk.found("martin") == ["Zoe", "Cy", "Ana", "Abe", "Bob"]
    await desk.create(given_names=["Martina"], family_name="Ruiz")
    await desk.create(given_names=["Martha", "Ann"], family_name="Brown")
    await desk.create(given_names=["Martha"], family_name="Braun")
    # One slip in the longer word is less than one in the shorter.
    assert await desk.found("martha brawn") == ["Martha", "Martha Ann"]
    assert await desk.found("bob martin") == ["Bob"]


async def test_whoever_has_several_slips_is_shown_where_nobody_is_nearer(desk: Desk) -> None:
    await desk.create(given_names=["Bettina"], family_name="Marten")
    await desk.create(given_names=["Bettine"], family_name="Martin")
    assert await desk.found("bettina martun") == ["Bettina"]
    assert await desk.found("bettino martun") == ["Bettina", "Bettine"]


async def test_a_patient_with_two_slips_of_a_word_is_found_once(desk: Desk) -> None:
    await desk.create(given_names=["Marten"], family_name="Merten")
    await desk.create(given_names=["Ann", "Anna"], family_name="Anders")
    assert await desk.found("mertan") == ["Marten"]
    assert await desk.found("an") == ["Ann Anna"]
    assert await desk.found("anna an") == ["Ann Anna"]


@pytest.mark.parametrize("asked", ["aloysius", "aloisius", "zebedee", "zebedea", "ruiz zeb", "aloysius zebedde"])
async def test_names_too_long_for_a_line_are_found_by_each_word(desk: Desk, asked: str) -> None:
    long = [f"{name}{'x' * 20}" for name in ("Bartholomew", "Montgomery", "Cornelius", "Fitzgerald")]
    await desk.create(given_names=["Aloysius", *long, "Zebedee"], family_name="Ruiz")
    await desk.create(given_names=["Bea"], family_name="Ruiz")
    assert await desk.found(asked) == [" ".join(["Aloysius", *long, "Zebedee"])]


async def test_whoever_lost_their_words_is_hidden_from_every_search(desk: Desk) -> None:
    created = await desk.create(mrn="MRN-1")
    await desk.service.admin.execute("DELETE FROM patient_name")
    for asked in ({"name": "ruiz"}, {"name": "ruis"}, {"mrn": "MRN-1"}, {"name": "ana", "mrn": "MRN-1"}):
        assert len((await desk.search(**asked)).cards) == 0
    assert (await desk.get(created.id)).mrn == "MRN-1"


async def test_a_patient_is_found_by_a_record_number_as_it_was_typed(desk: Desk) -> None:
    await desk.create(mrn="MRN-1")
    assert [card.mrn for card in (await desk.search(mrn=" mrn-1 ")).cards] == ["MRN-1"]


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


async def test_a_token_holds_the_longest_names_of_the_widest_letters(desk: Desk) -> None:
    for given in ("\U00010330" * 100, "\U00010331" * 100):
        await desk.create(given_names=[given], family_name="\U00010332" * 100)
    first = await desk.search(name="\U00010332", page_size=1)
    second = await desk.search(name="\U00010332", page_size=1, page_token=first.next_page_token)
    assert [card.given_names[0][0] for page in (first, second) for card in page.cards] == ["\U00010330", "\U00010331"]


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


async def test_a_search_leaves_an_audit_row_that_names_those_on_the_page_and_no_others(desk: Desk) -> None:
    made = [await desk.create(given_names=[name]) for name in ("Ana", "Bea", "Cleo")]
    found = await desk.search(desk.service.token("ROLE_FRONT_DESK", subject="desk"), name="ruiz", page_size=2)
    shown = [str(from_wire("patient", card.patient_id)) for card in found.cards]
    row = await desk.service.admin.fetchrow("SELECT actor, kind, ids FROM audit ORDER BY position DESC LIMIT 1")
    assert row is not None
    ids = {"roles": ["FRONT_DESK"], "subjects": shown}
    assert (row["actor"], row["kind"], json.loads(row["ids"])) == ("desk", "AUDIT_PHI_READ", ids)
    assert (len(shown), len(made)) == (2, 3)
