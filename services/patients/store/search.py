"""SQL of the search.

Names are compared by operators that row-level security lets reach an index, and found in their order, so that a page
costs the same however many patients fit.
"""

from functools import cache
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ColumnElement, Date, Text, Uuid, and_, exists, literal, select, true, tuple_

from chassis.sql import Statement, param
from chassis.store import Store
from services.patients.domain.contacts import ContactSystem
from services.patients.domain.names import AFTER_EVERYTHING
from services.patients.domain.patients import PatientCard, Wanted
from services.patients.tables.records import contact_point, patient, patient_identifier, patient_name

CHAIN = param("chain_id", Uuid)
FIRST_ID = UUID(int=0)


def _of_patient(table: Any) -> ColumnElement[bool]:
    return and_(table.c.chain_id == CHAIN, table.c.patient_id == patient.c.id)


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


@cache
def search_statement(word_count: int, exactly: frozenset[str]) -> Statement:
    """Patients with a word in each [from_<n>, until_<n>), in the order of the first; without words, of their ids."""
    first = patient_name.alias("name_0")
    word, id = (first.c.word, first.c.patient_id) if word_count else (literal("", Text), patient.c.id)
    card = select(patient, word.label("word")).where(patient.c.chain_id == CHAIN, patient.c.restricted.is_(False))
    if word_count:
        card = card.join(first, and_(first.c.chain_id == CHAIN, first.c.patient_id == patient.c.id))
        card = card.where(_after(first), first.c.word < param("until_0", Text), ~_has_word_before(first))
        card = card.where(*(_has_word(n) for n in range(1, word_count)))
    else:
        card = card.where(patient.c.id > param("after_id", Uuid))
    card = card.where(*(_EXACTLY[name] for name in sorted(exactly)))
    return Statement(card.order_by(word, id).limit(param("limit")))


def _after(first: Any) -> ColumnElement[bool]:
    key = tuple_(param("after_word", Text), param("after_id", Uuid))
    return tuple_(first.c.word, first.c.patient_id) > key


def _has_word(n: int) -> ColumnElement[bool]:
    """As a subselect of its own: joined, PostgreSQL might read all of a common word before the first patient."""
    other = patient_name.alias(f"name_{n}")
    begins = and_(other.c.word >= param(f"from_{n}", Text), other.c.word < param(f"until_{n}", Text))
    return select(true()).where(_of_patient(other), begins).limit(1).scalar_subquery()


def _has_word_before(first: Any) -> ColumnElement[bool]:
    """Of two words that fit, the patient is found by the first."""
    other = patient_name.alias("name_before")
    begins = and_(other.c.word >= param("from_0", Text), other.c.word < first.c.word)
    return exists(select(other.c.word).where(_of_patient(other), begins))


class SearchStore(Store):
    async def search(self, wanted: Wanted, after: tuple[str, UUID] | None, limit: int) -> list[tuple[PatientCard, str]]:
        """Patients of the whole chain after the given word and id, each with the word that they were found by."""
        words = sorted(wanted.words, key=len, reverse=True)  # The longest leaves the fewest to look at.
        values: dict[str, Any] = {"limit": limit, "after_id": after[1] if after else FIRST_ID}
        for n, word in enumerate(words):
            values |= {f"from_{n}": word, f"until_{n}": word + AFTER_EVERYTHING}
        if words:
            values["after_word"] = after[0] if after else words[0]
        exactly = {"birth_date": wanted.birth_date, "mrn": wanted.mrn, "phone": wanted.phone, "email": wanted.email}
        exactly["identifier_value"] = wanted.identifier.value if wanted.identifier else None
        asked = {name: value for name, value in exactly.items() if value is not None}
        if wanted.identifier:
            values["identifier_system"] = wanted.identifier.system
        statement = search_statement(len(words), frozenset(asked))
        return [(_card(row), row["word"]) for row in await self.rows(statement, **values, **asked)]


def _card(row: Record) -> PatientCard:
    names = tuple(row["given_names"]), row["family_name"]
    return PatientCard(row["id"], row["mrn"], *names, row["birth_date"], row["home_site_id"])
