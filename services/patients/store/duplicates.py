"""SQL of duplicates: who shares something that duplicates share, and the worklist.

What is compared stands in tables that have no site: row-level security shows them to all of the chain. What a caller
may be shown of somebody is told by `patient_site`, whose rows it hides from calls of other sites.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from asyncpg import Record as Row
from sqlalchemy import (
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Text,
    Uuid,
    and_,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from chassis.ids import new_id, to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from services.patients.domain.contacts import ContactPoint, ContactSystem
from services.patients.domain.duplicates import (
    Candidate,
    DuplicateNotFound,
    Likeness,
    ListedPair,
    Pair,
    PairState,
    Record,
    identifier_key,
    match_keys,
    swapped,
    traits_of_people,
)
from services.patients.domain.patients import FormerName, Gender, Identifier, Patient, PatientCard, Person
from services.patients.store.pairs import NEW_PAIRS, SCORE_UNIT, pair_columns, read_evidence
from services.patients.store.records import NEW_KEYS, columns_of, entries_of, key_columns, list_of
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.duplicates import duplicate_pair, match_key
from services.patients.tables.records import contact_point, patient, patient_identifier, patient_site

CHAIN = param("chain_id", Uuid)
_ONE: ColumnElement[int] = literal_column("1")
LAST_ID = UUID(int=2**128 - 1)
CANDIDATES_MAX = 200
"""Of those who share one thing: more are not looked at, as where many were born on a day that was made up."""

# Each thing with the id of the record that is asked for.
_key = rows("asked_keys", key_for=Uuid, asked_key=Text)
_birth = rows("asked_births", birth_for=Uuid, asked_birth=Date)
_mrn = rows("asked_mrns", mrn_for=Uuid, asked_mrn=Text)
_point = rows("asked_points", point_for=Uuid, asked_system=Text, asked_value=Text)


def _sharing(asked: FromClause, asked_for: str, id: ColumnElement[UUID], *shared: ColumnElement[bool]) -> Any:
    few = select(id.label("id")).where(id.table.c.chain_id == CHAIN, *shared).limit(CANDIDATES_MAX).lateral()
    return select(asked.c[asked_for].label("asked_for"), few.c.id).select_from(asked.join(few, true()))


_hit = union_all(
    _sharing(_key, "key_for", match_key.c.patient_id, match_key.c.key == _key.c.asked_key),
    _sharing(
        _birth,
        "birth_for",
        patient.c.id,
        patient.c.birth_date == _birth.c.asked_birth,
        patient.c.restricted.is_(False),
    ),
    _sharing(_mrn, "mrn_for", patient.c.id, patient.c.mrn == _mrn.c.asked_mrn),
    _sharing(
        _point,
        "point_for",
        contact_point.c.patient_id,
        contact_point.c.system == _point.c.asked_system,
        contact_point.c.value == _point.c.asked_value,
    ),
).subquery("hit")
_hit_patient, _other = patient.alias("hit_patient"), patient.alias("other")
# Looked up for each, and with limits: joined, PostgreSQL would compare all of the chain with what it thinks are many. A
# bare COALESCE counts as leaky besides, and row-level security would keep it from the indexes.
_stands = (
    select(func.coalesce(_hit_patient.c.survivor_id, _hit_patient.c.id))
    .where(_hit_patient.c.chain_id == CHAIN, _hit_patient.c.id == _hit.c.id)
    .scalar_subquery()
)
_hits = select(_hit.c.asked_for, _stands.label("id")).distinct().subquery("hits")
_person = (
    select(_hits.c.id, func.array_agg(_hits.c.asked_for).label("asked_for"))
    .where(_hits.c.id != _hits.c.asked_for)
    .group_by(_hits.c.id)
    .cte("person")
)
_merged = (
    select(_other.c.id)
    .where(_other.c.chain_id == CHAIN, _other.c.survivor_id == _person.c.id)
    .limit(CANDIDATES_MAX)
    .lateral()
)
_ids = union_all(
    select(_person.c.id.label("person_id"), _person.c.asked_for, _person.c.id.label("id")),
    select(_person.c.id, _person.c.asked_for, _merged.c.id).join(_merged, true()),
).subquery("ids")


def _seen(id: ColumnElement[UUID], *at: ColumnElement[bool]) -> ColumnElement[Any]:
    """A subselect with a LIMIT: PostgreSQL would read all of what stands behind an EXISTS under an OR into a hash."""
    there = select(true()).where(patient_site.c.chain_id == CHAIN, patient_site.c.patient_id == id, *at)
    return there.limit(_ONE).scalar_subquery()


_compared = (
    "id", "mrn", "given_names", "family_name", "preferred_name", "former_names", "birth_date", "gender", "home_site_id",
)  # fmt: skip
_compared_record = (
    select(
        *(patient.c[name] for name in _compared),
        list_of(contact_point, "place", "system", "value").label("contact_points"),
        list_of(patient_identifier, "place", "system", "value").label("identifiers"),
        _seen(patient.c.id).label("seen"),
    )
    .where(patient.c.chain_id == CHAIN, patient.c.restricted.is_(False))
    .where(patient.c.id == _ids.c.id)
    .limit(_ONE)
    .lateral("compared")
)
CANDIDATES = Statement(
    select(_ids.c.person_id, _ids.c.asked_for, _compared_record)
    .join(_compared_record, true())
    .order_by(_ids.c.person_id)
)
KEEP_PAIRS = Settling(NEW_PAIRS, NEW_KEYS)

_one, _two = patient.alias("one"), patient.alias("two")
_card = ("id", "mrn", "given_names", "family_name", "birth_date", "home_site_id")


def _record(side: Any, name: str) -> list[ColumnElement[Any]]:
    return [*(side.c[column].label(f"{name}_{column}") for column in _card), _seen(side.c.id).label(f"{name}_seen")]


_pair = (
    select(duplicate_pair, *_record(_one, "one"), *_record(_two, "two"))
    .join(_one, and_(_one.c.chain_id == CHAIN, _one.c.id == duplicate_pair.c.first_id))
    .join(_two, and_(_two.c.chain_id == CHAIN, _two.c.id == duplicate_pair.c.second_id))
    .where(
        duplicate_pair.c.chain_id == CHAIN,
        _one.c.restricted.is_(False),
        _two.c.restricted.is_(False),
        or_(_seen(_one.c.id), _seen(_two.c.id)),
    )
)
PAIR = Statement(
    _pair.where(
        duplicate_pair.c.first_id == param("first_id", Uuid), duplicate_pair.c.second_id == param("second_id", Uuid)
    ).with_for_update(of=duplicate_pair)
)
_place = tuple_(duplicate_pair.c.score, duplicate_pair.c.first_id, duplicate_pair.c.second_id)
_before = tuple_(param("before_score", Integer), param("before_first", Uuid), param("before_second", Uuid))
_worklist = (
    _pair.where(
        duplicate_pair.c.state == param("state", Text),
        or_(
            duplicate_pair.c.state == PairState.MERGED.value,
            and_(_one.c.survivor_id.is_(None), _two.c.survivor_id.is_(None)),
        ),
        _place < _before,
    )
    .order_by(duplicate_pair.c.score.desc(), duplicate_pair.c.first_id.desc(), duplicate_pair.c.second_id.desc())
    .limit(param("limit"))
)
PAIRS = Statement(_worklist)
_at = patient_site.c.site_id == param("site_id", Uuid)
PAIRS_OF_SITE = Statement(_worklist.where(or_(_seen(_one.c.id, _at), _seen(_two.c.id, _at))))
_dismissal = ("state", "dismiss_reason", "dismissed_by", "dismissed_at")
DISMISS = Settling(
    update(duplicate_pair)
    .where(
        duplicate_pair.c.chain_id == CHAIN,
        duplicate_pair.c.first_id == param("first_id", Uuid),
        duplicate_pair.c.second_id == param("second_id", Uuid),
    )
    .values(params(*_dismissal, "dismissal_id"))
    .cte("dismissed_pair")
)


class DuplicateStore(TextStore):
    async def candidates(self, records: Sequence[Patient]) -> dict[UUID, list[Candidate]]:
        """For each, others of the chain who share something with the person, at whichever site."""
        found = dict[UUID, list[Candidate]]((each.id, []) for each in records)
        for asked_for, candidate in _candidates(await self.rows(CANDIDATES, **asked_of(records))):
            for id in asked_for:
                found[id].append(candidate)
        return found

    def keep_pairs(self, pairs: Sequence[Pair], compared: Sequence[Patient]) -> None:
        """With the keys of who was compared, which a record from before there were keys lacks."""
        self.write_last(KEEP_PAIRS, **pair_columns(pairs, self.call.now), **key_columns(compared))

    async def pair(self, one_id: UUID, other_id: UUID) -> ListedPair:
        """Nobody else changes it until the transaction ends."""
        first, second = sorted((one_id, other_id))
        if row := await self.row(PAIR, first_id=first, second_id=second):
            return _listed(row, self.texts)
        raise DuplicateNotFound(patient_id=to_wire("patient", one_id), other_patient_id=to_wire("patient", other_id))

    async def pairs(
        self, state: PairState, site_id: UUID | None, before: tuple[float, UUID, UUID] | None, limit: int
    ) -> list[ListedPair]:
        score, first, second = before or (2.0, LAST_ID, LAST_ID)
        asked: dict[str, Any] = {
            "state": state.value,
            "before_score": round(score * SCORE_UNIT),
            "before_first": first,
            "before_second": second,
            "limit": limit,
        }
        if site_id is None:
            found = await self.rows(PAIRS, **asked)
        else:
            found = await self.rows(PAIRS_OF_SITE, **asked, site_id=site_id)
        return [_listed(row, self.texts) for row in found]

    def dismiss(self, dismissed: ListedPair) -> None:
        told, id = {name: getattr(dismissed, name) for name in _dismissal}, new_id()
        told |= {"dismissal_id": id}
        told["dismiss_reason"] = self.texts.seal(duplicate_pair.c.dismiss_reason, dismissed.dismiss_reason, id)
        self.write_last(DISMISS, first_id=dismissed.first.id, second_id=dismissed.second.id, **told)


def _tells(point: ContactPoint) -> bool:
    return point.system is not ContactSystem.POSTAL


def asked_of(records: Sequence[Patient]) -> dict[str, list[Any]]:
    """The parameters of `CANDIDATES`: what is shared by whoever may be the same person as one of these."""
    keys, births, mrns, points = set[Any](), set[Any](), set[Any](), set[Any]()
    for record in records:
        people = (record.person, *record.also_called)
        days = {each.birth_date for each in people if each.birth_date}
        keys |= {(record.id, key) for key in (*match_keys(record), identifier_key(record.mrn))}
        turned = {other for each in days if (other := swapped(each))}
        births |= {(record.id, day) for day in days | turned}
        mrns |= {(record.id, each.value) for person in people for each in person.identifiers}
        points |= {(record.id, str(at.system), at.value) for each in people for at in each.contact_points if _tells(at)}
    return {
        **columns_of(("key_for", "asked_key"), sorted(keys)),
        **columns_of(("birth_for", "asked_birth"), sorted(births)),
        **columns_of(("mrn_for", "asked_mrn"), sorted(mrns)),
        **columns_of(("point_for", "asked_system", "asked_value"), sorted(points)),
    }


def _candidates(found: Sequence[Row]) -> Iterator[tuple[list[UUID], Candidate]]:
    """Each with the records that it was found for."""
    for person_id, rows_of in groupby(found, key=lambda row: row["person_id"]):
        records = list(rows_of)
        standing = next((row for row in records if row["id"] == person_id), None)
        if standing:
            traits = traits_of_people(map(_person_of, records), (row["mrn"] for row in records))
            card = _card_of(standing) if standing["seen"] else None
            yield standing["asked_for"], Candidate(person_id, standing["home_site_id"], traits, card)


def _person_of(row: Row) -> Person:
    points, identifiers = entries_of(row["contact_points"]), entries_of(row["identifiers"])
    return Person(
        given_names=tuple(row["given_names"]),
        family_name=row["family_name"],
        birth_date=row["birth_date"],
        home_site_id=row["home_site_id"],
        gender=Gender(row["gender"]),
        contact_points=tuple(ContactPoint(ContactSystem(system), value) for _, system, value in points),
        identifiers=tuple(Identifier(system, value) for _, system, value in identifiers),
        preferred_name=row["preferred_name"],
        former_names=tuple(FormerName(tuple(given), family) for given, family in entries_of(row["former_names"])),
    )


def _card_of(row: Row, side: str = "") -> PatientCard:
    told = {name: row[f"{side}{name}"] for name in _card}
    return PatientCard(**told | {"given_names": tuple(told["given_names"])})


def _listed(row: Row, texts: Texts) -> ListedPair:
    return ListedPair(
        first=_shown(row, "one_"),
        second=_shown(row, "two_"),
        likeness=Likeness(row["score"] / SCORE_UNIT, read_evidence(row["evidence"])),
        state=PairState(row["state"]),
        scored_at=row["scored_at"],
        dismiss_reason=texts.open(duplicate_pair.c.dismiss_reason, row["dismiss_reason"] or "", row["dismissal_id"]),
        dismissed_by=row["dismissed_by"] or "",
        dismissed_at=row["dismissed_at"],
    )


def _shown(row: Row, side: str) -> Record:
    return Record(row[f"{side}id"], row[f"{side}home_site_id"], _card_of(row, side) if row[f"{side}seen"] else None)
