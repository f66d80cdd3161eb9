"""What patients can do: a command and a function for each change. Each runs in one transaction its caller opened."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID, uuid5

from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.errors import DomainError, NotYetKnown, Violation
from chassis.etags import StaleEtag
from chassis.ids import new_id
from services.patients import events
from services.patients.domain.clearances import Clearance, Screening
from services.patients.domain.patients import (
    MRN_SYSTEM,
    Examined,
    Identifier,
    IdentifierTaken,
    MrnTaken,
    Patient,
    PatientRefused,
    Person,
    examine,
    mrn_of,
    never_kept,
)
from services.patients.store import PatientsStore

IDENTITY_LOCKS = 256
"""An import of many patients takes no more locks than this, whatever it has of identifiers."""


@dataclass(frozen=True, slots=True)
class RegisterPatient:
    person: Person
    other_site_ids: frozenset[UUID] = frozenset()
    mrn: str = ""  # Made if empty.

    @property
    def site_ids(self) -> frozenset[UUID]:
        home = self.person.home_site_id
        return self.other_site_ids if home is None else self.other_site_ids | {home}

    @property
    def identifiers(self) -> frozenset[Identifier]:
        """By which the patient would be known: no other may have one of them."""
        kept = {each for each in self.person.identifiers if not never_kept(each)}
        return frozenset(kept | {Identifier(MRN_SYSTEM, self.mrn)} if self.mrn else kept)


@dataclass(frozen=True, slots=True)
class ChangePatient:
    patient_id: UUID
    version: int  # As the caller saw it.
    told: Person
    fields: frozenset[str]  # Of `told`, those that are meant.

    @property
    def identifiers(self) -> frozenset[Identifier]:
        return frozenset(self.told.identifiers if "identifiers" in self.fields else ())


@dataclass(frozen=True, slots=True)
class GrantClearance:
    patient_id: UUID
    protocol_id: UUID
    site_id: UUID
    route_codes: tuple[str, ...]
    effective_date: date
    expire_date: date
    screening_id: UUID | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one row."""

    patient_id: UUID | None
    created: bool = False
    faults: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()


def identity_locks(chain_id: UUID, identifiers: Iterable[Identifier]) -> set[UUID]:
    """What two registrations that share an identifier may not hold at once."""
    buckets = {zlib.crc32(f"{each.system}|{each.value}".encode()) % IDENTITY_LOCKS for each in identifiers}
    return {uuid5(chain_id, f"identity {bucket}") for bucket in buckets}


async def register_patient(store: PatientsStore, command: RegisterPatient) -> Patient:
    """With the command's `identity_locks` held, what is free stays free; else the unique keys refuse, too."""
    examined = _examined(command, await store.time_zones(command.site_ids), store.call)
    _refuse("patient.", (*examined.faults, *examined.left_out))
    _refuse_taken(command.identifiers, await store.holders(command.identifiers))
    patient = _registered(command, examined, store.call)
    store.add_patients([patient])
    store.emit(events.patient_registered(patient), about=patient.id, version=patient.version)
    return patient


async def import_patients(store: PatientsStore, rows: Sequence[RegisterPatient | DomainError]) -> list[Imported]:
    """Each row by itself. A row that could not even be read comes as the refusal of reading it."""
    readable = [row for row in rows if isinstance(row, RegisterPatient)]
    time_zones = await store.time_zones({id for row in readable for id in row.site_ids})
    holders = await store.holders({identifier for row in readable for identifier in row.identifiers})
    added, imported = list[Patient](), list[Imported]()
    for row in rows:
        try:
            if isinstance(row, DomainError):
                raise row
            if found := [holders[each] for each in row.identifiers if each in holders and each.system != MRN_SYSTEM]:
                imported.append(Imported(found[0]))
                continue
            patient, notes = _imported(row, time_zones, holders, store.call)
        except DomainError as refused:
            whole_row = Violation("", refused.reason, refused.message)
            imported.append(Imported(None, faults=refused.violations or (whole_row,)))
        else:
            added.append(patient)
            imported.append(Imported(patient.id, created=True, notes=notes))
            holders |= dict.fromkeys((*patient.person.identifiers, patient.own_identifier), patient.id)
    if added:
        store.add_patients(added)
    for patient in added:
        store.emit(events.patient_registered(patient), about=patient.id, version=patient.version)
    return imported


def _imported(
    row: RegisterPatient, time_zones: Mapping[UUID, str], holders: Mapping[Identifier, UUID], call: Call
) -> tuple[Patient, tuple[Violation, ...]]:
    examined = _examined(row, time_zones, call)
    if not examined.person.identifiers:
        missing = Violation("identifiers", "IDENTIFIER_MISSING", "none by which a second import would know the patient")
        raise PatientRefused(*examined.faults, missing)
    _refuse("", examined.faults)
    _refuse_taken(row.identifiers, holders)
    return _registered(row, examined, call), (*examined.left_out, *examined.notes)


async def change_patient(store: PatientsStore, command: ChangePatient) -> Patient:
    current = await store.patient_to_change(command.patient_id)
    if current.version != command.version:
        raise StaleEtag()
    person = replace(current.person, **{name: getattr(command.told, name) for name in command.fields})
    home = person.home_site_id
    moving = frozenset({home} if home and home != current.person.home_site_id else ())
    time_zones = await store.time_zones([home] if home else [])
    _check_sites(moving, time_zones, store.call)
    examined = examine(person, time_zones.get(home) if home else None, store.call.now)
    _refuse("patient.", (*examined.faults, *examined.left_out))
    new = command.identifiers - set(current.person.identifiers)
    _refuse_taken(new, await store.holders(new))
    changed = replace(
        current,
        person=examined.person,
        site_ids=current.site_ids | moving,
        version=current.version + 1,
        updated_at=store.call.now,
    )
    await store.change_patient(changed)
    if events.patient_updated(changed) != events.patient_updated(current):
        store.emit(events.patient_updated(changed), about=changed.id, version=changed.version)
    return changed


def record_screening(store: PatientsStore, screening: Screening) -> Screening:
    """Whether the site may see the patient's record, the database tells."""
    store.add_screening(screening)
    store.emit(events.screening_recorded(screening), about=screening.patient_id)
    return screening


async def grant_clearance(store: PatientsStore, command: GrantClearance) -> Clearance:
    """Whether the site may see the patient's record, and whether the screening is the patient's, the database tells."""
    call = store.call
    clearance = Clearance(
        id=new_id(),
        patient_id=command.patient_id,
        protocol_id=command.protocol_id,
        site_id=command.site_id,
        route_codes=command.route_codes,
        effective_date=command.effective_date,
        expire_date=command.expire_date,
        screening_id=command.screening_id,
        granted_by=call.actor,
        granted_at=call.now,
    )
    clearance.check(await store.time_zone(command.site_id))
    store.add_clearance(clearance)
    store.emit(events.clearance_granted(clearance), about=clearance.patient_id, version=1)
    return clearance


async def revoke_clearance(store: PatientsStore, clearance_id: UUID) -> Clearance:
    clearance = await store.clearance_to_change(clearance_id)
    revoked = clearance.revoked(by=store.call.actor, at=store.call.now)
    store.revoke(revoked)
    store.emit(events.clearance_revoked(revoked), about=revoked.patient_id, version=2)
    return revoked


def _examined(command: RegisterPatient, time_zones: Mapping[UUID, str], call: Call) -> Examined:
    _check_sites(command.site_ids, time_zones, call)
    home = command.person.home_site_id
    return examine(command.person, time_zones[home] if home else None, call.now)


def _check_sites(site_ids: Iterable[UUID], time_zones: Mapping[UUID, str], call: Call) -> None:
    """A record is made, or moves, at the caller's own sites only."""
    for site_id in sorted(site_ids):
        if call.sites is not None and site_id not in call.sites:
            raise AccessDenied()
        if site_id not in time_zones:
            raise NotYetKnown("site", site_id)


def _refuse(path: str, faults: Sequence[Violation]) -> None:
    if faults:
        raise PatientRefused(*(replace(each, field=path + each.field) for each in faults))


def _refuse_taken(identifiers: Iterable[Identifier], holders: Mapping[Identifier, UUID]) -> None:
    taken = {each.system for each in identifiers if each in holders}
    if taken:
        raise MrnTaken() if MRN_SYSTEM in taken else IdentifierTaken()


def _registered(command: RegisterPatient, examined: Examined, call: Call) -> Patient:
    patient_id = new_id()
    return Patient(
        id=patient_id,
        mrn=command.mrn or mrn_of(patient_id),
        person=examined.person,
        site_ids=command.site_ids,
        version=1,
        created_at=call.now,
        updated_at=call.now,
    )
