"""Every patient is found by whatever is known of them, misspelt or not; an answer is the same however it is paged."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.patients.v1.patient_pb2 import ContactPoint, ContactSystem, Identifier, Patient
from services.patients.__main__ import SERVICE
from services.patients.domain.names import SPELT_MIN, is_slip, keys_of, search_words
from services.patients.store import search
from tests.support.patients import Desk
from tests.support.service import running

WORDS = st.text(st.characters(categories=("Ll", "Lo")), min_size=1, max_size=12)
ALPHABETS = {
    "Latin": "abcdefghijklmnopqrstuvwxyzéñøß",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщыэюяё",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Devanagari": "कखगघचछजटडणतथदधनपफबभमयरलवशसहािीो",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "Han": "王李张刘陈杨黄赵周吴徐孙马朱胡林",
    "Hangul": "김이박최정강조윤장임민준서연",
}


@settings(deadline=None)
@given(WORDS, st.data())
def test_a_slip_shares_a_key_with_its_word(word: str, data: st.DataObject) -> None:
    asked = slip(word, Random(data.draw(st.integers(0, 2**32))))  # noqa: S311
    assert is_slip(asked, word) == (asked != word)
    if len(word) >= SPELT_MIN and len(asked) >= SPELT_MIN - 1:
        assert set(keys_of(asked)) & set(keys_of(word))


@settings(deadline=None)
@given(WORDS, WORDS)
def test_a_slip_is_one_edit_and_works_both_ways(one: str, other: str) -> None:
    assert is_slip(one, other) == is_slip(other, one) == (edits(one, other) == 1)


def edits(one: str, other: str) -> int:
    """Letters too many, too few or other ones, and neighbours that changed places, by the textbook's table."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            same = one[i - 1] == other[j - 1]
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (not same))
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(one), len(other)]


def slip(word: str, dice: Random) -> str:
    at, letter = dice.randrange(len(word)), dice.choice(word)
    return dice.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
        ]
    )


def some_patient(dice: Random, number: int, site_id: str) -> Patient:
    """Of a few letters, so that many share beginnings and are slips of one another."""
    alphabet = ALPHABETS[dice.choice([*ALPHABETS])]
    letters = dice.sample(alphabet, 4)
    longest = 3 if alphabet in (ALPHABETS["Han"], ALPHABETS["Hangul"]) else 8

    def name() -> str:
        return "".join(dice.choices(letters, k=dice.randint(1, longest)))

    return Patient(
        mrn=f"M{number}",
        given_names=[name() for _ in range(dice.randint(1, 3))],
        family_name=name(),
        birth_date={"year": 1950 + number % 7, "month": 1 + number % 12, "day": 1 + number % 28},
        home_site_id=site_id,
        contact_points=[
            ContactPoint(system=ContactSystem.CONTACT_SYSTEM_PHONE, value=f"+1505842{number:04}"),
            ContactPoint(system=ContactSystem.CONTACT_SYSTEM_EMAIL, value=f"p{number}@example.org"),
        ],
        identifiers=[Identifier(system="urn:clinic", value=str(number))],
    )


SHORT = 0
SEEDS = [
    SHORT,
    pytest.param(1, marks=pytest.mark.long),
    pytest.param(2, marks=pytest.mark.long),
    pytest.param(3, marks=pytest.mark.long),
]


ANSWERS: dict[int, list[list[str]]] = {}
"""Of each seed: the record numbers that each question finds, in their order."""


@pytest.fixture(params=[pytest.param(0, marks=pytest.mark.long), 30, pytest.param(search.RARE, marks=pytest.mark.long)])
def rare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """So that every way to an answer is gone: by common words only, by either, by rare words only."""
    monkeypatch.setattr(search, "RARE", request.param)
    search.rarity.cache_clear()
    yield request.param
    search.rarity.cache_clear()


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_patient_is_found_by_any_of_their_own_fields_and_pages_part_the_answer(
    postgres_url: str, issuer_folder: Path, seed: int, rare: int
) -> None:
    dice = Random(seed)  # noqa: S311
    async with running(SERVICE, postgres_url, issuer_folder) as service:
        desk = Desk(service)
        await desk.open()
        site_id = desk.told().home_site_id
        people = [some_patient(dice, number, site_id) for number in range(200)]
        results = await desk.import_rows(*people)
        ids = {person.mrn: result.patient_id for person, result in zip(people, results, strict=True)}
        numbers = {id: mrn for mrn, id in ids.items()}
        answers = list[list[str]]()
        for person in dice.sample(people, 15 if seed == SHORT else 40):
            for asked in (*by_numbers(person), *by_names(person, dice)):
                found = await whole_answer(desk, asked, 200)
                assert slips_of(person, asked) is not None
                assert ids[person.mrn] in found or (slips_of(person, asked) or 0) > 1, (asked, person)
                assert found == await whole_answer(desk, asked, 200)
                paged = await whole_answer(desk, asked, max(1, len(found) // 3))
                assert paged == found
                assert len(set(found)) == len(found)
                assert set(found) == expected(people, ids, asked), (asked, person)
                answers.append([numbers[id] for id in found])
        assert ANSWERS.setdefault(seed, answers) == answers  # Whichever way it was found.


def by_numbers(person: Patient) -> list[dict[str, Any]]:
    phone, email = (point.value for point in person.contact_points)
    numbers: list[dict[str, Any]] = [
        {"birth_date": person.birth_date},
        {"phone": phone},
        {"email": email.upper()},
        {"mrn": person.mrn},
        {"identifier": person.identifiers[0]},
    ]
    return [*numbers, {"birth_date": person.birth_date, "phone": phone, "name": person.family_name}]


def by_names(person: Patient, dice: Random) -> list[dict[str, Any]]:
    words = search_words(person.family_name, *person.given_names)
    asked = [
        person.family_name,
        " ".join([*person.given_names, person.family_name]),
        person.family_name + "".join(person.given_names) if len(words) == 1 else person.family_name,
        " ".join(word[: dice.randint(1, len(word))] for word in dice.sample(words, min(2, len(words)))),
        " ".join(word if len(word) < SPELT_MIN else slip(word, dice) for word in words),
    ]
    long = [word for word in words if len(word) >= SPELT_MIN]
    questions: list[dict[str, Any]] = [{"name": name} for name in asked]
    questions += [{"name": slip(word, dice)} for word in long]
    return questions + [{"name": slip(word, dice), "birth_date": person.birth_date} for word in long]


def expected(people: Sequence[Patient], ids: dict[str, str], asked: dict[str, Any]) -> set[str]:
    """By a model that knows neither indexes nor ways: it looks at everybody."""
    found = {ids[person.mrn]: slips for person in people if (slips := slips_of(person, asked)) is not None}
    nearest = min(found.values(), default=0)
    return {id for id, slips in found.items() if slips <= max(1, nearest) or nearest > 1}


def slips_of(person: Patient, asked: dict[str, Any]) -> int | None:
    phone, email = (point.value for point in person.contact_points)
    own = {"birth_date": person.birth_date, "phone": phone, "mrn": person.mrn, "identifier": person.identifiers[0]}
    if any(own[name] != value for name, value in asked.items() if name in own):
        return None
    if asked.get("email", email).lower() != email:
        return None
    words = search_words(person.family_name, *person.given_names)
    slips = [min(slip_of(asked_word, word) for word in words) for asked_word in search_words(asked.get("name", ""))]
    return None if NO_FIT in slips else sum(slips)


NO_FIT = 1_000


def slip_of(asked: str, word: str) -> int:
    if word.startswith(asked):
        return 0
    return 1 if len(word) >= SPELT_MIN and len(asked) >= SPELT_MIN - 1 and is_slip(asked, word) else NO_FIT


async def whole_answer(desk: Desk, asked: dict[str, Any], page_size: int) -> list[str]:
    found, token = list[str](), ""
    while True:
        page = await desk.search(**asked, page_size=page_size, page_token=token)
        found += [card.patient_id for card in page.cards]
        token = page.next_page_token
        if not token:
            return found
