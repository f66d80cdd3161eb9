"""SQL of sites and of patients' records, of one and of many at once."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
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
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.selectable import CTE

from chassis.errors import NotYetKnown
from chassis.ids import BadId, from_wire, read_id, to_wire
from chassis.sql import Statement, TypeArgument, param, params, rows
from chassis.store import NotedRead, Settling
from chassis.tables import Instant
from services.patients.domain.changes import NewChange, registration
from services.patients.domain.contacts import ContactPoint, ContactSystem, ContactUse
from services.patients.domain.duplicates import Pair, match_keys
from services.patients.domain.merges import PatientMerged
from services.patients.domain.names import line_of, search_words
from services.patients.domain.patients import (
    MRN_SYSTEM,
    PATIENT_SYSTEM,
    FormerName,
    Gender,
    GenderIdentity,
    Holder,
    Identifier,
    Patient,
    PatientNotFound,
    Person,
)
from services.patients.domain.related_persons import RelatedPerson, RelatedPersonRole
from services.patients.domain.self_pay import SelfPayBasis, SelfPayDeclaration
from services.patients.store.changes import NEW_CHANGES, change_columns
from services.patients.store.pairs import NEW_PAIRS, forgotten_pairs, pair_columns
from services.patients.store.persons import SURVIVOR, merged_ids
from services.patients.store.search import new_spellings
from services.patients.store.seen import AT_ITS_SITES, AT_ITS_SITES_OR_BEHIND_GLASS
from services.patients.store.texts import TextStore
from services.patients.tables.duplicates import match_key
from services.patients.tables.records import (
    contact_point,
    patient,
    patient_identifier,
    patient_name,
    patient_site,
    related_person,
    site,
)

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LINE = "\n"  # Parts the given names of one patient in an array of many patients': no name holds one.

# Sites.

KEEP_SITE = Statement(
    pg_insert(site)
    .values(params("chain_id", "id", "time_zone", "state"))
    .on_conflict_do_update(index_elements=["chain_id", "id"], set_=params("time_zone", "state"))
)
TIME_ZONES = Statement(
    select(site.c.id, site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.id == any_(param("ids", ARRAY(Uuid))))
)

# One patient.


def _of_patient(table: Table) -> ColumnElement[bool]:
    return and_(table.c.chain_id == CHAIN, table.c.patient_id == patient.c.id)


def list_of(table: Table, *columns: str) -> Any:
    """A patient's rows in `table`, each as a JSON list, in the order of the first column."""
    entry = func.jsonb_build_array(*(table.c[name] for name in columns))
    entries = select(func.jsonb_agg(aggregate_order_by(entry, table.c[columns[0]]))).where(_of_patient(table))
    return entries.scalar_subquery()


_POINT = ("place", "system", "value", "use", "rank", "verified", "confidential")
_RELATED = ("place", "role", "name", "relationship", "phone", "email", "address")
every_record = select(
    patient,
    list_of(contact_point, *_POINT).label("contact_points"),
    list_of(patient_identifier, "place", "system", "value").label("identifiers"),
    list_of(patient_site, "site_id").label("site_ids"),
    list_of(related_person, *_RELATED).label("related_persons"),
    merged_ids(patient.c.id).label("merged_ids"),
)
_record = every_record.where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT)
RECORD = NotedRead(
    every_record.where(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR).where(AT_ITS_SITES_OR_BEHIND_GLASS),
    shown=lambda found: func.array_prepend(found.c.id, found.c.merged_ids),
)
RECORD_TO_CHANGE = Statement(_record.where(AT_ITS_SITES).with_for_update(of=patient))

_records = every_record.where(patient.c.chain_id == CHAIN, patient.c.id == any_(param("ids", ARRAY(Uuid)))).order_by(
    patient.c.id
)
RECORDS = Statement(_records)
DECEASED = Statement(
    every_record.where(patient.c.chain_id == CHAIN, patient.c.deceased, patient.c.id > param("after", Uuid))
    .order_by(patient.c.id)
    .limit(param("limit"))
)
STANDING = Statement(_records.where(AT_ITS_SITES, patient.c.survivor_id.is_(None), patient.c.restricted.is_(False)))

# Who has an identifier. The record number is one, too.

_asked = rows("asked", asked_system=Text, asked_value=Text)
# A subselect, looked up for each: joined, PostgreSQL compares each with all of the chain while it thinks them few.
_known = patient.alias("known")
_holder = (
    select(func.coalesce(_known.c.survivor_id, patient_identifier.c.patient_id))
    .outerjoin_from(
        patient_identifier, _known, and_(_known.c.chain_id == CHAIN, _known.c.id == patient_identifier.c.patient_id)
    )
    .where(patient_identifier.c.chain_id == CHAIN, patient_identifier.c.system == _asked.c.asked_system)
    .where(patient_identifier.c.value == _asked.c.asked_value)
    .scalar_subquery()
)
_own = rows("own", own_text=Text, own_id=Uuid)
_named = (
    select(func.coalesce(_known.c.survivor_id, _known.c.id))
    .where(_known.c.chain_id == CHAIN, _known.c.id == _own.c.own_id)
    .scalar_subquery()
)
_numbered = select(
    literal(MRN_SYSTEM, Text).label("system"),
    patient.c.mrn.label("value"),
    func.coalesce(patient.c.survivor_id, patient.c.id).label("patient_id"),
    literal(True).label("is_number"),
).where(patient.c.chain_id == CHAIN, patient.c.mrn == any_(param("mrns", ARRAY(Text))))
HOLDERS = Statement(
    union_all(
        _numbered,
        select(_asked.c.asked_system, _asked.c.asked_value, _holder, literal(False)),
        select(literal(PATIENT_SYSTEM, Text), _own.c.own_text, _named, literal(False)),
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
    preferred_name=Text,
    former_names=JSONB,
    gender_identity=Text,
    deceased_date=Date,
    self_pay_basis=Text,
    self_pay_date=Date,
    self_pay_recorded_by=Text,
    registered_at=Instant,
)
_told = (
    "family_name", "prefix", "birth_date", "gender", "language", "time_zone", "home_site_id", "deceased",
    "preferred_name", "former_names", "gender_identity", "deceased_date",
    "self_pay_basis", "self_pay_date", "self_pay_recorded_by",
)  # fmt: skip
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
    return (inserted.on_conflict_do_nothing() if table in (patient_site, match_key) else inserted).cte(
        f"new_{table.name}s"
    )


NEW_NAMES = _new_rows(patient_name, patient_id=Uuid, word=Text, line=Text), new_spellings("patient_name_word")
"""What a search finds patients by; `name_columns` are its parameters."""
NEW_KEYS = _new_rows(match_key, patient_id=Uuid, key=Text)
"""What duplicates are found by; `key_columns` are its parameters."""
_belongings = (
    _new_rows(patient_site, patient_id=Uuid, site_id=Uuid, shared=Boolean),
    *NEW_NAMES,
    NEW_KEYS,
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
        confidential=Boolean,
    ),
    _new_rows(
        related_person,
        patient_id=Uuid,
        place=SmallInteger,
        role=Text,
        name=Text,
        relationship=Text,
        phone=Text,
        email=Text,
        address=Text,
    ),
)
NAME = Statement(select(func.count()).where(CHAIN.is_not(None)).add_cte(*NEW_NAMES))
FORGET_NAMES = Statement(
    delete(patient_name).where(
        patient_name.c.chain_id == CHAIN, patient_name.c.patient_id == any_(param("ids", ARRAY(Uuid)))
    )
)
ADD_PATIENTS = Settling(_new_patients.cte("new_patients"), *_belongings, NEW_PAIRS, NEW_CHANGES)
CHANGE_PATIENT = Settling(_changed_patient.cte("changed_patient"), *_belongings, NEW_PAIRS, NEW_CHANGES)


def _without(table: Table) -> Any:
    return delete(table).where(table.c.chain_id == CHAIN, table.c.patient_id == PATIENT)


FORGET_BELONGINGS = Statement(
    _without(patient_name).add_cte(
        _without(patient_identifier).cte("identifiers"),
        _without(contact_point).cte("points"),
        _without(related_person).cte("persons"),
        _without(match_key).cte("keys"),
        forgotten_pairs(PATIENT, param("anew", Boolean)).cte("pairs"),
    )
)


class RecordStore(TextStore):
    async def keep_site(self, site_id: UUID, time_zone: str, state: str) -> None:
        await self.rows(KEEP_SITE, id=site_id, time_zone=time_zone, state=state)

    async def time_zones(self, site_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Of the sites among them that the chain has."""
        return {row["id"]: row["time_zone"] for row in await self.rows(TIME_ZONES, ids=list(site_ids))}

    async def time_zone(self, site_id: UUID) -> str:
        if zone := (await self.time_zones([site_id])).get(site_id):
            return zone
        raise NotYetKnown("site", site_id)

    async def holders(self, identifiers: Collection[Identifier]) -> dict[Identifier, Holder]:
        """The patients who have one of them; an id of the chain's own names its record, whatever another record says it
        was known by. Of a merged record, the one that stands for it. A record number is looked for among identifiers,
        too: what took in another record keeps its number so."""
        if not identifiers:
            return {}
        mrns = [each.value for each in identifiers if each.system == MRN_SYSTEM]
        systems, values = [each.system for each in identifiers], [each.value for each in identifiers]
        own = dict(_ids_in(identifiers))
        named = {"own_text": list(own), "own_id": list(own.values())}
        found = await self.rows(HOLDERS, asked_system=systems, asked_value=values, mrns=mrns, **named)
        return {
            Identifier(row["system"], row["value"]): Holder(row["patient_id"], row["is_number"])
            for row in found
            if row["patient_id"]
        }

    def add_patients(self, patients: Sequence[Patient], pairs: Sequence[Pair] = ()) -> None:
        told = [_told_of(each.person) for each in patients]
        self.write_last(
            ADD_PATIENTS,
            id=[each.id for each in patients],
            mrn=[each.mrn for each in patients],
            given_names=[LINE.join(each.person.given_names) for each in patients],
            registered_at=[each.created_at for each in patients],
            **{name: [values[name] for values in told] for name in _told},
            **_belongings_of(patients),
            **pair_columns(pairs, self.call.now),
            **change_columns([registration(each) for each in patients], self.texts),
        )

    async def patient(self, patient_id: UUID) -> Patient:
        """Also for whoever broke the glass for it. Of a merged one, the record that stands for it."""
        found = patient_found(await self.noted_row(RECORD, patient_id=patient_id), patient_id)
        self.saw(*found.merged_ids)
        return found

    async def deceased(self, after: UUID, limit: int) -> list[Patient]:
        """Records that say that their patient has died, in the order of their making."""
        return [patient_of(row) for row in await self.rows(DECEASED, after=after, limit=limit)]

    async def patient_to_change(self, patient_id: UUID) -> Patient:
        """Nobody else changes it until the transaction ends. A merged one is not changed. The caller holds its lock, so
        that nothing is merged into it meanwhile."""
        found = patient_found(await self.row(RECORD_TO_CHANGE, patient_id=patient_id), patient_id)
        if found.survivor_id:
            raise PatientMerged(found.survivor_id)
        return await self.with_merged(found)

    async def with_merged(self, found: Patient) -> Patient:
        """With what the records tell that were merged into it."""
        return (await self._with_merged([found]))[0]

    async def _with_merged(self, found: Sequence[Patient]) -> list[Patient]:
        ids = [id for each in found for id in each.merged_ids]
        merged = {row["id"]: patient_of(row) for row in await self.rows(RECORDS, ids=ids)} if ids else {}
        return [replace(each, also_called=tuple(merged[id].person for id in each.merged_ids)) for each in found]

    async def standing_patients(self, ids: Collection[UUID]) -> list[Patient]:
        """Of those whom the caller sees: whose record stands for itself, and is not restricted."""
        return await self._with_merged([patient_of(row) for row in await self.rows(STANDING, ids=list(ids))])

    async def name_anew(self, records: Sequence[Patient]) -> None:
        """A search finds these by all names of their persons, and none of the records that were merged into them."""
        await self.rows(FORGET_NAMES, ids=[id for each in records for id in each.ids])
        await self.rows(NAME, **name_columns(records))

    async def change_patient(self, changed: Patient, change: NewChange, pairs: Sequence[Pair] | None = None) -> None:
        """`pairs` of who may be the same person are told where what is compared changed."""
        await self.rows(FORGET_BELONGINGS, patient_id=changed.id, anew=pairs is not None)
        self.write_last(
            CHANGE_PATIENT,
            patient_id=changed.id,
            given_names=list(changed.person.given_names),
            version=changed.version,
            updated_at=changed.updated_at,
            **_told_of(changed.person),
            **_belongings_of([changed]),
            **pair_columns(pairs or (), self.call.now),
            **change_columns([change], self.texts),
        )


def patient_found(row: Record | None, patient_id: UUID) -> Patient:
    if row is None:
        raise PatientNotFound(patient_id=to_wire("patient", patient_id))
    return patient_of(row)


def _told_of(person: Person) -> dict[str, Any]:
    declared = person.self_pay_declaration
    return {
        "family_name": person.family_name,
        "prefix": person.prefix,
        "birth_date": person.birth_date,
        "gender": person.gender,
        "language": person.language,
        "time_zone": person.time_zone,
        "home_site_id": person.home_site_id,
        "deceased": person.deceased,
        "preferred_name": person.preferred_name,
        "former_names": json.dumps([[each.given_names, each.family_name] for each in person.former_names]),
        "gender_identity": person.gender_identity,
        "deceased_date": person.deceased_date,
        "self_pay_basis": declared.basis if declared else None,
        "self_pay_date": declared.declare_date if declared else None,
        "self_pay_recorded_by": declared.recorded_by if declared else None,
    }


def _belongings_of(patients: Sequence[Patient]) -> dict[str, list[Any]]:
    """The parameters of `_belongings`: the rows of each table, column by column."""
    return {
        **_columns(
            "patient_site",
            ("patient_id", "site_id", "shared"),
            [(id, site, id != each.id) for each in patients for site in each.site_ids for id in each.ids],
        ),
        **name_columns(patients),
        **key_columns(patients),
        **_columns(
            "patient_identifier",
            ("patient_id", "place", "system", "value"),
            _identifier_rows(patients),
        ),
        **_columns(
            "contact_point",
            ("patient_id", "place", "system", "value", "use", "rank", "verified", "confidential"),
            [
                (each.id, place, at.system, at.value, at.use, at.rank, at.verified, at.confidential)
                for each in patients
                for place, at in enumerate(each.person.contact_points)
            ],
        ),
        **_columns(
            "related_person",
            ("patient_id", *_RELATED),
            [
                (each.id, place, who.role, who.name, who.relationship, who.phone, who.email, who.address)
                for each in patients
                for place, who in enumerate(each.person.related_persons)
            ],
        ),
    }


def name_columns(patients: Sequence[Patient]) -> dict[str, list[Any]]:
    """None of a patient who is restricted."""
    found = [each for each in patients if not each.restricted]
    entries = [(each.id, word, line) for each in found for words, line in [_words_and_line(each)] for word in words]
    return _columns("patient_name", ("patient_id", "word", "line"), entries)


def key_columns(patients: Sequence[Patient]) -> dict[str, list[Any]]:
    """In one order, so that of two calls that write the same keys one waits for the other, and none for both."""
    entries = sorted((each.id, key) for each in patients for key in match_keys(each))
    return _columns("match_key", ("patient_id", "key"), entries)


def _identifier_rows(patients: Sequence[Patient]) -> list[tuple[Any, ...]]:
    """In one order, so that of two imports of the same patients one waits for the other, and none for both."""
    found = [
        (identifier.system, identifier.value, each.id, place)
        for each in patients
        for place, identifier in enumerate(each.person.identifiers)
    ]
    return [(id, place, system, value) for system, value, id, place in sorted(found)]


def _words_and_line(record: Patient) -> tuple[Sequence[str], str]:
    words, person = record.search_words, record.person
    family_first = search_words(person.family_name, *person.given_names)
    return words, line_of(dict.fromkeys((*family_first, *words)))


def _columns(table: str, names: Sequence[str], entries: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return columns_of([f"{table}_{name}" for name in names], entries)


def columns_of(names: Sequence[str], entries: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as the parallel arrays in which a statement takes them."""
    columns = zip(*entries, strict=True) if entries else ((),) * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def patient_of(row: Record) -> Patient:
    person = Person(
        given_names=tuple(row["given_names"]),
        family_name=row["family_name"],
        prefix=row["prefix"],
        birth_date=row["birth_date"],
        gender=Gender(row["gender"]),
        contact_points=tuple(
            ContactPoint(ContactSystem(system), value, ContactUse(use), *more)
            for _, system, value, use, *more in entries_of(row["contact_points"])
        ),
        language=row["language"],
        time_zone=row["time_zone"],
        home_site_id=row["home_site_id"],
        identifiers=tuple(Identifier(system, value) for _, system, value in entries_of(row["identifiers"])),
        deceased=row["deceased"],
        preferred_name=row["preferred_name"],
        former_names=tuple(FormerName(tuple(given), family) for given, family in entries_of(row["former_names"])),
        gender_identity=GenderIdentity(row["gender_identity"]),
        related_persons=tuple(
            RelatedPerson(RelatedPersonRole(role), *more) for _, role, *more in entries_of(row["related_persons"])
        ),
        self_pay_declaration=_declaration(row),
        deceased_date=row["deceased_date"],
    )
    site_ids = frozenset(read_id(site_id) for [site_id] in entries_of(row["site_ids"]))
    stamps = row["version"], row["created_at"], row["updated_at"], row["restricted"]
    return Patient(row["id"], row["mrn"], person, site_ids, *stamps, tuple(row["merged_ids"]), row["survivor_id"])


def entries_of(column: str | None) -> list[Any]:
    """Of a list in JSON. No rows make none."""
    return json.loads(column) if column else []


def _declaration(row: Record) -> SelfPayDeclaration | None:
    if row["self_pay_basis"] is None:
        return None
    basis = SelfPayBasis(row["self_pay_basis"])
    return SelfPayDeclaration(basis, row["self_pay_date"], row["self_pay_recorded_by"])


def _ids_in(identifiers: Collection[Identifier]) -> Iterator[tuple[str, UUID]]:
    """Of identifiers that look like ids of records, as they were told."""
    for each in identifiers:
        if each.system == PATIENT_SYSTEM:
            with suppress(BadId):
                yield each.value, from_wire("patient", each.value)
