"""SQL of the search.

Names are compared by operators that row-level security lets reach an index. Whoever fits every word comes first, in the
order of the first word that was asked for, the patient's line of names and the id; so a page of a common beginning is a
short stretch of one index, and nothing is sorted. Then come those of whom one word is a slip from what was asked for:
the fewer of its letters are wrong the earlier, then by line and id. More slips count only where nobody is nearer.

A question with a rare word, or with a number or a date, is answered by that: all whom it finds are looked at, ranked
and sorted. Whichever way is taken, the order is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    any_,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.selectable import CTE

from chassis.sql import Statement, param, rows
from chassis.store import Apart, Store
from services.patients.domain.contacts import ContactSystem
from services.patients.domain.names import AFTER_EVERYTHING, SPELT_MIN, is_slip, keys_of
from services.patients.domain.patients import PatientCard, Wanted
from services.patients.tables.records import contact_point, patient, patient_identifier, patient_name
from services.patients.tables.search import name_spelling

CHAIN = param("chain_id", Uuid)
FIRST_ID = UUID(int=0)
RARE = 1_000
"""A word that finds so many entries of the index is common: not all of them are looked at for it."""
RARER = 4
"""So many looks at a line for a word that fits cost as much as one for a slip."""
SLIP, LETTERS = 10_000, 1_000
"""A slip costs SLIP, and of LETTERS the share that one letter is of the word."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a patient in the order of an answer."""

    cost: int  # 0: every word fits.
    word: str  # That of the patient's words which begins with the first that was asked for, if every word fits.
    line: str
    patient_id: UUID


BEFORE_ALL = Place(-1, "", "", FIRST_ID)
AFTER_ALL_THAT_FIT = Place(SLIP - 1, "", "", FIRST_ID)


def new_spellings(words: str) -> CTE:
    """Adds what words misspelt are found by; `words` names their array. In one order: two at once never deadlock."""
    new = rows("new_word", **{words: Text}).c[words]
    # A subselect, looked up for each: joined, PostgreSQL reads all that the chain has while it knows little of it.
    known = (
        select(name_spelling.c.word)
        .where(name_spelling.c.chain_id == CHAIN, name_spelling.c.spelling == new, name_spelling.c.word == new)
        .scalar_subquery()
    )
    unknown = (
        select(new.label("word")).distinct().where(func.length(new) >= SPELT_MIN, known.is_(None)).subquery("unknown")
    )
    word = unknown.c.word
    without = func.generate_series(1, func.length(word) + 1).table_valued("n").render_derived(name="without").c.n
    spelling = func.left(word, without - 1).concat(func.substr(word, without + 1))
    spellings = select(CHAIN, spelling, word).distinct().select_from(unknown, without.table).order_by(word, spelling)
    return (
        pg_insert(name_spelling)
        .from_select(["chain_id", "spelling", "word"], spellings)
        .on_conflict_do_nothing()
        .cte("new_spellings")
    )


_forgotten = rows("forgotten", forgotten_word=Text).c.forgotten_word
_letter = func.generate_series(1, func.length(_forgotten) + 1).table_valued("n").render_derived(name="letter").c.n
_still_borne = exists(
    select(patient_name.c.word).where(patient_name.c.chain_id == CHAIN, patient_name.c.word == _forgotten)
)
FORGET_WORDS = Statement(
    delete(name_spelling).where(
        name_spelling.c.chain_id == CHAIN,
        name_spelling.c.word == _forgotten,
        name_spelling.c.spelling == func.left(_forgotten, _letter - 1).concat(func.substr(_forgotten, _letter + 1)),
        ~_still_borne,
    )
)


# What else a patient fits.


def _of_patient(table: Any, patient_id: Any = patient.c.id) -> ColumnElement[bool]:
    return and_(table.c.chain_id == CHAIN, table.c.patient_id == patient_id)


def _has_contact(system: ContactSystem, name: str) -> ColumnElement[bool]:
    at = contact_point.alias(name)
    alike = and_(at.c.system == system.value, at.c.value == param(name, Text))
    return exists(select(at.c.place).where(_of_patient(at), alike))


_EXACTLY: dict[str, ColumnElement[bool]] = {
    "birth_date": patient.c.birth_date == param("birth_date", Date),
    "mrn": patient.c.mrn == param("mrn", Text),
    "phone": _has_contact(ContactSystem.PHONE, "phone"),
    "email": _has_contact(ContactSystem.EMAIL, "email"),
    "identifier_value": exists(
        select(patient_identifier.c.place).where(
            _of_patient(patient_identifier),
            patient_identifier.c.system == param("identifier_system", Text),
            patient_identifier.c.value == param("identifier_value", Text),
        )
    ),
}

# How a row of patient_name fits the n-th word that was asked for. Its line tells, unless that was cut: then the
# patient's other rows do.


def _begins(name: FromClause, n: int) -> ColumnElement[bool]:
    other = patient_name.alias("other")
    elsewhere = _one(_of_patient(other, name.c.patient_id), _between(other, n))
    return case((_whole(name), func.strpos(name.c.line, param(f"start_{n}", Text)) > 0), else_=elsewhere)


def _slips(name: FromClause, n: int) -> ColumnElement[bool]:
    other, slips = patient_name.alias("other"), param(f"slips_{n}", ARRAY(Text))
    elsewhere = _one(_of_patient(other, name.c.patient_id), _is_slip(other, n))
    return case((_whole(name), func.string_to_array(name.c.line, " ").op("&&")(slips)), else_=elsewhere)


def _one(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """With a LIMIT: PostgreSQL would read all of what stands behind an EXISTS into a hash."""
    return func.coalesce(select(true()).where(*conditions).limit(1).scalar_subquery(), false())


def _first_word(name: FromClause) -> ColumnElement[str]:
    """Of the patient's words, the one that begins with the first word asked for: by it, they have their place."""
    other = patient_name.alias("other")
    elsewhere = select(func.min(other.c.word)).where(_of_patient(other, name.c.patient_id), _between(other, 0))
    in_line = func.substr(name.c.line, func.strpos(name.c.line, param("start_0", Text)) + 1)
    return case((_whole(name), func.split_part(in_line, " ", 1)), else_=elsewhere.scalar_subquery()).collate("C")


def _is_slip(name: Any, n: int) -> ColumnElement[bool]:
    is_one: ColumnElement[bool] = name.c.word == any_(param(f"slips_{n}", ARRAY(Text)))
    return is_one


def _whole(name: FromClause) -> ColumnElement[bool]:
    return func.right(name.c.line, 1) == " "


def _between(name: Any, n: int) -> ColumnElement[bool]:
    return and_(name.c.word >= param(f"from_{n}", Text), name.c.word < param(f"until_{n}", Text))


# The ways to an answer.


@cache
def in_order(word_count: int) -> Apart:
    """Those who fit every word, found in their order: by the index of names, from where the last page ended."""
    name = patient_name.alias("name")
    key = name.c.word, name.c.line, name.c.patient_id
    after = param("after_word", Text), param("after_line", Text), param("after_id", Uuid)
    found = (
        select(literal(0).label("cost"), *key)
        .where(name.c.chain_id == CHAIN, tuple_(*key) > tuple_(*after), name.c.word < param("until_0", Text))
        .where(name.c.word == _first_word(name), *(_begins(name, n) for n in range(1, word_count)))
        .order_by(*key)
        .limit(param("limit"))
    )
    return _cards(found)


@cache
def slips_of_one() -> Apart:
    """Those who have one of `slips_0`, and no word that begins with what was asked for."""
    slip = rows("slip", slips_0=Text)
    name = patient_name.alias("name")
    key, after = (name.c.line, name.c.patient_id), (param("after_line", Text), param("after_id", Uuid))
    of_each = (
        select(*key)
        .where(name.c.chain_id == CHAIN, name.c.word == slip.c.slips_0, tuple_(*key) > tuple_(*after))
        .where(~_begins(name, 0))
        .order_by(*key)
        .limit(param("limit"))
        .lateral("of_each")
    )
    cost = param("price_0", Integer).label("cost")
    found = select(cost, literal("", Text).label("word"), *of_each.c).distinct().select_from(slip.join(of_each, true()))
    return _cards(found.order_by(of_each.c.line, of_each.c.patient_id).limit(param("limit")))


@cache
def one_slip(by: tuple[int, ...]) -> Apart:
    """Those who have a slip of one of several words, and fit the others.

    Slips of the n-th word are found by that word, or, where `by` names another, by those who fit that.
    """
    found = list[Select[Any]]()
    for n, finding in enumerate(by):
        name = patient_name.alias("name")
        slipping = [_is_slip(name, n)] if finding == n else [_between(name, finding), _slips(name, n)]
        others = [_begins(name, other) for other in range(len(by)) if other != n]
        with_slip = select(param(f"price_{n}", Integer).label("cost"), name.c.line, name.c.patient_id)
        found.append(with_slip.where(name.c.chain_id == CHAIN, *slipping, *others, ~_begins(name, n)))
    slips = union(*found).subquery("slips")
    key = slips.c.cost, slips.c.line, slips.c.patient_id
    after = param("after_cost", Integer), param("after_line", Text), param("after_id", Uuid)
    found_after = select(slips.c.cost, literal("", Text).label("word"), *key[1:]).where(tuple_(*key) > tuple_(*after))
    return _cards(found_after.order_by(*key).limit(param("limit")))


@cache
def ranked(word_count: int, exactly: frozenset[str] = frozenset()) -> Statement:
    """Of all whom `finding` finds, or numbers exactly: who has each word or a slip of it."""
    found = _with_numbers(exactly) if exactly else _with_words()
    costs = [case((_begins(found, n), 0), else_=param(f"price_{n}", Integer)) for n in range(word_count)]
    cost = sum(costs[1:], costs[0]) if costs else literal(0)
    first = case((_begins(found, 0), _first_word(found)), else_="") if word_count else literal("", Text)
    priced = select(cost.label("cost"), first.label("first"), found.c.line, found.c.patient_id)
    priced_rows = priced.where(*(or_(_begins(found, n), _slips(found, n)) for n in range(word_count))).subquery(
        "priced"
    )
    word = case((priced_rows.c.cost == 0, priced_rows.c.first), else_="").collate("C").label("word")
    placed = select(priced_rows.c.cost, word, priced_rows.c.line, priced_rows.c.patient_id).subquery("placed")
    key = placed.c.cost, placed.c.word, placed.c.line, placed.c.patient_id
    after = param("after_cost", Integer), param("after_word", Text), param("after_line", Text), param("after_id", Uuid)
    return _cards(select(*key).where(tuple_(*key) > tuple_(*after)).order_by(*key).limit(param("limit")))


def _with_words() -> FromClause:
    """One statement, whichever of the words find: each connection plans it once, which takes longer than an answer."""
    name = patient_name.alias("name")
    of_chain = select(name.c.line, name.c.patient_id).where(name.c.chain_id == CHAIN)
    fitting = of_chain.where(name.c.word >= param("find_from", Text), name.c.word < param("find_until", Text))
    return union(fitting, of_chain.where(name.c.word == any_(param("find_words", ARRAY(Text))))).subquery("found")


def _with_numbers(exactly: frozenset[str]) -> FromClause:
    """A patient without words is hidden from every search. A merged record finds the one that stands for it."""
    name = patient_name.alias("name")
    stands = func.coalesce(patient.c.survivor_id, patient.c.id).label("patient_id")
    of_chain = select(stands).distinct().where(patient.c.chain_id == CHAIN)
    records = of_chain.where(*(_EXACTLY[name] for name in sorted(exactly))).subquery("records")
    line = select(name.c.line).where(_of_patient(name, records.c.patient_id)).limit(1).scalar_subquery().label("line")
    found = select(line, records.c.patient_id).subquery("with_numbers")
    return select(found).where(found.c.line.is_not(None)).subquery("found")


_card = [patient.c[name] for name in ("id", "mrn", "given_names", "family_name", "birth_date", "home_site_id")]


def _cards(places: Any) -> Apart:
    """The records come last: of those on the page only."""
    place = places.cte("place", nesting=True).prefix_with("MATERIALIZED")
    card = select(*_card, place.c.cost, place.c.word, place.c.line).join(place, place.c.patient_id == patient.c.id)
    return Apart(
        card.where(patient.c.chain_id == CHAIN).order_by(place.c.cost, place.c.word, place.c.line, place.c.patient_id)
    )


# What is asked before.

_key = rows("asked", asked_n=SmallInteger, asked_key=Text)
NEIGHBOURS = Apart(
    select(_key.c.asked_n, name_spelling.c.word)
    .distinct()
    .join(name_spelling, and_(name_spelling.c.chain_id == CHAIN, name_spelling.c.spelling == _key.c.asked_key))
)


@cache
def rarity(word_count: int) -> Apart:
    """How many entries of the index each word finds by fitting, and how many by a slip, counted as far as RARE."""

    def entries(n: int, find: Callable[[Any, int], ColumnElement[bool]]) -> Any:
        name = patient_name.alias("name")
        found = select(name.c.patient_id).where(name.c.chain_id == CHAIN, find(name, n)).order_by(name.c.word)
        return select(func.count()).select_from(found.limit(literal_column(str(RARE))).subquery()).scalar_subquery()

    counts = [
        (entries(n, _between).label(f"fit_{n}"), entries(n, _is_slip).label(f"slip_{n}")) for n in range(word_count)
    ]
    return Apart(select(*(count for both in counts for count in both)))


Found = list[Record]
"""See `card_of` and `place_of`."""
NOTHING: Mapping[str, Any] = {}


class SearchStore(Store):
    async def forget_words(self, words: Sequence[str]) -> None:
        """Those among them that nobody of the chain is called by. A namesake who is registered in the same instant is
        found misspelt from their next change on."""
        await self.rows(FORGET_WORDS, forgotten_word=list(words))

    async def search(self, wanted: Wanted, after: Place | None, limit: int) -> Found:
        """Patients of the whole chain after the given place."""
        words = sorted(wanted.words, key=lambda word: (-len(word), word))  # The longest finds the fewest.
        exactly = _exactly(wanted)
        after = after or BEFORE_ALL
        if exactly:
            return _nearest(await self._ranked(words, await self._slips(words), after, limit, exactly=exactly), after)
        if len(words) == 1:
            return await self._with_one_word(words[0], after, limit)
        return await self._with_words(words, after, limit)

    async def _with_one_word(self, word: str, after: Place, limit: int) -> Found:
        found = await self._in_order([word], after, limit)
        if len(found) == limit:
            return found
        [slips] = await self._slips([word])
        if not slips:
            return found
        last = after if after.cost > 0 else BEFORE_ALL
        places = {"after_line": last.line, "after_id": last.patient_id, "limit": limit - len(found)}
        return found + await self._cards(slips_of_one(), asked_words([word], [slips]) | places)

    async def _with_words(self, words: Sequence[str], after: Place, limit: int) -> Found:
        slips = await self._slips(words)
        fit, slip = await self._counted(words, slips)
        by = min(range(len(words)), key=lambda n: fit[n] + slip[n])
        if fit[by] + slip[by] < RARE:
            return _nearest(await self._ranked(words, slips, after, limit, finding(words[by], slips[by])), after)
        found: Found = []
        if after.cost <= 0:
            found = await self._fitting(words, fit, after, limit)
        if len(found) < limit and any(slips) and after.cost < 2 * SLIP:
            last = max(after, AFTER_ALL_THAT_FIT, key=lambda place: place.cost)
            places = {"after_cost": last.cost, "after_line": last.line, "after_id": last.patient_id}
            values = asked_words(words, slips) | places | {"limit": limit - len(found)}
            found += await self._cards(one_slip(_by(fit, slip)), values)
        if not found and sum(map(bool, slips)) > 1 and (after is BEFORE_ALL or after.cost >= 2 * SLIP):
            # Of two words that are slips, one is not the word with the most: the others find everybody.
            rarer = sorted((n for n in range(len(words)) if slips[n]), key=lambda n: slip[n])[:-1]
            find = finding("", [word for n in rarer for word in slips[n]])
            found = await self._ranked(words, slips, after, limit, find)
        return found

    async def _fitting(self, words: Sequence[str], fit: Sequence[int], after: Place, limit: int) -> Found:
        by = min(range(len(words)), key=lambda n: fit[n])
        if fit[by] < RARE:
            return await self._ranked(words, [[] for _ in words], after, limit, finding(words[by]))
        return await self._in_order(words, after, limit)

    async def _counted(self, words: Sequence[str], slips: Sequence[list[str]]) -> tuple[list[int], list[int]]:
        values = asked_words(words, slips)
        wanted = {name: value for name, value in values.items() if not name.startswith(("start_", "price_"))}
        [row] = await self.rows(rarity(len(words)), **wanted)
        numbers = range(len(words))
        return [row[f"fit_{n}"] for n in numbers], [row[f"slip_{n}"] for n in numbers]

    async def _slips(self, words: Sequence[str]) -> list[list[str]]:
        """For each word, those of the chain that are one slip from it, and do not begin with it."""
        keys = [(n, key) for n, word in enumerate(words) for key in keys_of(word)]
        if not keys:
            return [[] for _ in words]
        numbers, spellings = (list(column) for column in zip(*keys, strict=True))
        found: list[list[str]] = [[] for _ in words]
        for row in await self.rows(NEIGHBOURS, asked_n=numbers, asked_key=spellings):
            asked, word = words[row["asked_n"]], row["word"]
            if is_slip(asked, word) and not word.startswith(asked):
                found[row["asked_n"]].append(word)
        return found

    async def _in_order(self, words: Sequence[str], after: Place, limit: int) -> Found:
        if after.cost > 0:
            return []
        values = {"limit": limit} | asked_words(words)
        values |= {"after_word": after.word or words[0], "after_line": after.line, "after_id": after.patient_id}
        return await self._cards(in_order(len(words)), values)

    async def _ranked(
        self,
        words: Sequence[str],
        slips: Sequence[list[str]],
        after: Place,
        limit: int,
        find: Mapping[str, Any] = NOTHING,
        exactly: Mapping[str, Any] = NOTHING,
    ) -> Found:
        statement = ranked(len(words), frozenset(exactly.keys() - {"identifier_system"}))
        values = asked_words(words, slips) | {"limit": limit, **find, **exactly}
        values |= {"after_cost": after.cost, "after_word": after.word}
        values |= {"after_line": after.line, "after_id": after.patient_id}
        return await self._cards(statement, values)

    async def _cards(self, statement: Statement, values: dict[str, Any]) -> Found:
        return await self.rows(statement, **values)


def _nearest(found: Found, after: Place) -> Found:
    """Without those who have several slips, unless there is nobody else."""
    nearest = after if after is not BEFORE_ALL else place_of(found[0]) if found else after
    return found if nearest.cost >= 2 * SLIP else [each for each in found if each["cost"] < 2 * SLIP]


def _by(fit: Sequence[int], slip: Sequence[int]) -> tuple[int, ...]:
    """By which word the slips of each are found: itself, unless another finds far fewer."""
    found_by = list[int]()
    for n in range(len(fit)):
        rarest = min((m for m in range(len(fit)) if m != n), key=lambda m: fit[m])
        found_by.append(rarest if fit[rarest] * RARER < slip[n] else n)
    return tuple(found_by)


def _exactly(wanted: Wanted) -> dict[str, Any]:
    asked = {"birth_date": wanted.birth_date, "mrn": wanted.mrn, "phone": wanted.phone, "email": wanted.email}
    if wanted.identifier:
        asked |= {"identifier_value": wanted.identifier.value, "identifier_system": wanted.identifier.system}
    return {name: value for name, value in asked.items() if value is not None}


def asked_words(words: Sequence[str], slips: Sequence[list[str]] | None = None) -> dict[str, Any]:
    """The parameters of words; with `slips`, those of statements that find the misspelt."""
    values = dict[str, Any]()
    for n, word in enumerate(words):
        values |= {f"from_{n}": word, f"until_{n}": word + AFTER_EVERYTHING, f"start_{n}": f" {word}"}
        if slips is not None:
            values |= {f"slips_{n}": slips[n], f"price_{n}": SLIP + LETTERS // len(word)}
    return values


def finding(word: str, slips: Sequence[str] = ()) -> dict[str, Any]:
    """The parameters of those whom `ranked` looks at: who fit a word, if it is not empty, or bear one of `slips`."""
    return {"find_from": word, "find_until": word and word + AFTER_EVERYTHING, "find_words": slips}


def card_of(row: Record) -> PatientCard:
    names = tuple(row["given_names"]), row["family_name"]
    return PatientCard(row["id"], row["mrn"], *names, row["birth_date"], row["home_site_id"])


def place_of(row: Record) -> Place:
    return Place(row["cost"], row["word"], row["line"], row["id"])
