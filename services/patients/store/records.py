"""SQL of sites and of patients' records, of one and of many at once."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Date,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.selectable import CTE

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, TypeArgument, param, params, rows
from chassis.store import Store, settling
from chassis.tables import Instant
from services.patients.domain.contacts import ContactPoint, ContactSystem, ContactUse
from services.patients.domain.names import line_of, search_words
from services.patients.domain.patients import MRN_SYSTEM, Gender, Identifier, Patient, PatientNotFound, Person
from services.patients.store.search import new_spellings
from services.patients.tables.records import (
    contact_point,
    patient,
    patient_identifier,
    patient_name,
    patient_site,
    site,
)

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LINE = "\n"  # Parts the given names of one patient in an array of many patients': no name holds one.

# Sites.

KEEP_SITE = Statement(
    pg_insert(site)
    .values(params("chain_id", "id", "time_zone"))
    .on_conflict_do_update(index_elements=["chain_id", "id"], set_={"time_zone": param("time_zone")})
)
TIME_ZONES = Statement(
    select(site.c.id, site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.id == any_(param("ids", ARRAY(Uuid))))
)

# One patient.


def _of_patient(table: Table) -> ColumnElement[bool]:
    return and_(table.c.chain_id == CHAIN, table.c.patient_id == patient.c.id)


def _list(table: Table, *columns: str) -> Any:
    """A patient's rows in `table`, each as a JSON list, in the order of the first column."""
    entry = func.jsonb_build_array(*(table.c[name] for name in columns))
    entries = select(func.jsonb_agg(aggregate_order_by(entry, table.c[columns[0]]))).where(_of_patient(table))
    return entries.scalar_subquery()


_record = (
    select(
        patient,
        _list(contact_point, "place", "system", "value", "use", "rank", "verified").label("contact_points"),
        _list(patient_identifier, "place", "system", "value").label("identifiers"),
        _list(patient_site, "site_id").label("site_ids"),
    )
    .where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT)
    .where(exists(select(patient_site.c.site_id).where(_of_patient(patient_site))))
)
RECORD = Statement(_record)
RECORD_TO_CHANGE = Statement(_record.with_for_update(of=patient))

# Who has an identifier. The record number is one, too.

_asked = rows("asked", asked_system=Text, asked_value=Text)
_is_asked = and_(
    patient_identifier.c.system == _asked.c.asked_system, patient_identifier.c.value == _asked.c.asked_value
)
HOLDERS = Statement(
    union_all(
        select(patient_identifier.c.system, patient_identifier.c.value, patient_identifier.c.patient_id)
        .join(_asked, _is_asked)
        .where(patient_identifier.c.chain_id == CHAIN),
        select(literal(MRN_SYSTEM, Text), patient.c.mrn, patient.c.id).where(
            patient.c.chain_id == CHAIN, patient.c.mrn == any_(param("mrns", ARRAY(Text)))
        ),
    )
)

# New and changed patients.

_new = rows(
    "new_patient",
    id=Uuid,
    mrn=Text,
    given_names=Text,
    family_name=Text,
    prefix=Text,
    birth_date=Date,
    gender=Text,
    language=Text,
    time_zone=Text,
    home_site_id=Uuid,
    deceased=Boolean,
    registered_at=Instant,
)
_told = ("family_name", "prefix", "birth_date", "gender", "language", "time_zone", "home_site_id", "deceased")
_new_patients = insert(patient).from_select(
    ["chain_id", "id", "mrn", "given_names", *_told, "version", "created_at", "updated_at"],
    select(
        CHAIN,
        _new.c.id,
        _new.c.mrn,
        func.string_to_array(_new.c.given_names, LINE),
        *(_new.c[name] for name in _told),
        literal(1),
        _new.c.registered_at,
        _new.c.registered_at,
    ),
)
_changed_patient = (
    update(patient)
    .where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT)
    .values(params("given_names", *_told, "version", "updated_at"))
)


def _new_rows(table: Table, **columns: TypeArgument) -> CTE:
    """Inserts rows of many patients into `table`, whose name stands before those of its parameters."""
    new = rows(f"new_{table.name}", **{f"{table.name}_{name}": type_ for name, type_ in columns.items()})
    values = select(CHAIN, *(new.c[f"{table.name}_{name}"] for name in columns))
    inserted = pg_insert(table).from_select(["chain_id", *columns], values)
    return (inserted.on_conflict_do_nothing() if table is patient_site else inserted).cte(f"new_{table.name}s")


_belongings = (
    _new_rows(patient_site, patient_id=Uuid, site_id=Uuid),
    _new_rows(patient_name, patient_id=Uuid, word=Text, line=Text),
    new_spellings("patient_name_word"),
    _new_rows(patient_identifier, patient_id=Uuid, place=SmallInteger, system=Text, value=Text),
    _new_rows(
        contact_point,
        patient_id=Uuid,
        place=SmallInteger,
        system=Text,
        value=Text,
        use=Text,
        rank=SmallInteger,
        verified=Boolean,
    ),
)
ADD_PATIENTS = settling(_new_patients.cte("new_patients"), *_belongings)
CHANGE_PATIENT = settling(_changed_patient.cte("changed_patient"), *_belongings)


def _without(table: Table) -> Any:
    return delete(table).where(table.c.chain_id == CHAIN, table.c.patient_id == PATIENT)


FORGET_BELONGINGS = Statement(
    _without(patient_name).add_cte(
        _without(patient_identifier).cte("identifiers"), _without(contact_point).cte("points")
    )
)


class RecordStore(Store):
    async def keep_site(self, site_id: UUID, time_zone: str) -> None:
        await self.rows(KEEP_SITE, id=site_id, time_zone=time_zone)

    async def time_zones(self, site_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Of the sites among them that the chain has."""
        return {row["id"]: row["time_zone"] for row in await self.rows(TIME_ZONES, ids=list(site_ids))}

    async def time_zone(self, site_id: UUID) -> str:
        if zone := (await self.time_zones([site_id])).get(site_id):
            return zone
        raise NotYetKnown("site", site_id)

    async def holders(self, identifiers: Collection[Identifier]) -> dict[Identifier, UUID]:
        """The patients who have one of them."""
        if not identifiers:
            return {}
        others = [each for each in identifiers if each.system != MRN_SYSTEM]
        mrns = [each.value for each in identifiers if each.system == MRN_SYSTEM]
        systems, values = [each.system for each in others], [each.value for each in others]
        found = await self.rows(HOLDERS, asked_system=systems, asked_value=values, mrns=mrns)
        return {Identifier(row["system"], row["value"]): row["patient_id"] for row in found}

    def add_patients(self, patients: Sequence[Patient]) -> None:
        told = [_told_of(each.person) for each in patients]
        self.write_last(
            ADD_PATIENTS,
            id=[each.id for each in patients],
            mrn=[each.mrn for each in patients],
            given_names=[LINE.join(each.person.given_names) for each in patients],
            registered_at=[each.created_at for each in patients],
            **{name: [values[name] for values in told] for name in _told},
            **_belongings_of(patients),
        )

    async def patient(self, patient_id: UUID) -> Patient:
        return _found(await self.row(RECORD, patient_id=patient_id), patient_id)

    async def patient_to_change(self, patient_id: UUID) -> Patient:
        """Nobody else changes it until the transaction ends."""
        return _found(await self.row(RECORD_TO_CHANGE, patient_id=patient_id), patient_id)

    async def change_patient(self, changed: Patient) -> None:
        await self.rows(FORGET_BELONGINGS, patient_id=changed.id)
        self.write_last(
            CHANGE_PATIENT,
            patient_id=changed.id,
            given_names=list(changed.person.given_names),
            version=changed.version,
            updated_at=changed.updated_at,
            **_told_of(changed.person),
            **_belongings_of([changed]),
        )


def _found(row: Record | None, patient_id: UUID) -> Patient:
    if row is None:
        raise PatientNotFound(patient_id=to_wire("patient", patient_id))
    return _patient_of(row)


def _told_of(person: Person) -> dict[str, Any]:
    return {name: getattr(person, name) for name in _told}


def _belongings_of(patients: Sequence[Patient]) -> dict[str, list[Any]]:
    """The parameters of `_belongings`: the rows of each table, column by column."""
    return {
        **_columns(
            "patient_site", ("patient_id", "site_id"), [(each.id, id) for each in patients for id in each.site_ids]
        ),
        **_columns(
            "patient_name",
            ("patient_id", "word", "line"),
            [
                (each.id, word, line)
                for each in patients
                for words, line in [_words_and_line(each.person)]
                for word in words
            ],
        ),
        **_columns(
            "patient_identifier",
            ("patient_id", "place", "system", "value"),
            [
                (each.id, place, identifier.system, identifier.value)
                for each in patients
                for place, identifier in enumerate(each.person.identifiers)
            ],
        ),
        **_columns(
            "contact_point",
            ("patient_id", "place", "system", "value", "use", "rank", "verified"),
            [
                (each.id, place, point.system, point.value, point.use, point.rank, point.verified)
                for each in patients
                for place, point in enumerate(each.person.contact_points)
            ],
        ),
    }


def _words_and_line(person: Person) -> tuple[Sequence[str], str]:
    words = person.search_words
    family_first = search_words(person.family_name, *person.given_names)
    return words, line_of(dict.fromkeys((*family_first, *words)))


def _columns(table: str, names: Sequence[str], entries: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    columns = zip(*entries, strict=True) if entries else ((),) * len(names)
    return {f"{table}_{name}": list(column) for name, column in zip(names, columns, strict=True)}


def _patient_of(row: Record) -> Patient:
    points, identifiers = json.loads(row["contact_points"] or "[]"), json.loads(row["identifiers"] or "[]")
    person = Person(
        given_names=tuple(row["given_names"]),
        family_name=row["family_name"],
        prefix=row["prefix"],
        birth_date=row["birth_date"],
        gender=Gender(row["gender"]),
        contact_points=tuple(
            ContactPoint(ContactSystem(system), value, ContactUse(use), rank, verified)
            for _, system, value, use, rank, verified in points
        ),
        language=row["language"],
        time_zone=row["time_zone"],
        home_site_id=row["home_site_id"],
        identifiers=tuple(Identifier(system, value) for _, system, value in identifiers),
        deceased=row["deceased"],
    )
    site_ids = frozenset(UUID(site_id) for [site_id] in json.loads(row["site_ids"]))
    stamps = row["version"], row["created_at"], row["updated_at"]
    return Patient(row["id"], row["mrn"], person, site_ids, *stamps)
