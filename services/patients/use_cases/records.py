"""Records: registering and changing a patient."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID, uuid5

from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.errors import NotYetKnown, Violation
from chassis.etags import StaleEtag
from chassis.ids import new_id
from services.patients import events
from services.patients.domain import changes, self_pay
from services.patients.domain.duplicates import LikelyDuplicate, Match, Pair, likely, traits_of
from services.patients.domain.patients import (
    MRN_SYSTEM,
    Examined,
    Holder,
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
from services.patients.use_cases.duplicates import possible_duplicates

IDENTITY_LOCKS = 256


def birth_date_lock(chain_id: UUID, born: date | None) -> UUID:
    """What two registrations that refuse duplicates of each other may not hold at once."""
    return uuid5(chain_id, f"born {born}")


@dataclass(frozen=True, slots=True)
class RegisterPatient:
    person: Person
    other_site_ids: frozenset[UUID] = frozenset()
    mrn: str = ""  # Made if empty.
    refuse_likely_duplicates: bool = False

    @property
    def site_ids(self) -> frozenset[UUID]:
        home = self.person.home_site_id
        return self.other_site_ids if home is None else self.other_site_ids | {home}

    @property
    def identifiers(self) -> Mapping[str, Identifier]:
        """By which the patient would be known, by the field that tells it: no other may have one of them."""
        number = {"mrn": Identifier(MRN_SYSTEM, self.mrn)} if self.mrn else {}
        return number | {field: each for field, each in _told(self.person).items() if not never_kept(each)}


@dataclass(frozen=True, slots=True)
class ChangePatient:
    patient_id: UUID
    version: int  # As the caller saw it.
    told: Person
    fields: frozenset[str]  # Of `told`, those that are meant.

    @property
    def identifiers(self) -> Mapping[str, Identifier]:
        """By the field that tells it."""
        return _told(self.told) if "identifiers" in self.fields else {}


def _told(person: Person) -> dict[str, Identifier]:
    return {f"identifiers[{n}]": each for n, each in enumerate(person.identifiers)}


def identity_locks(chain_id: UUID, identifiers: Iterable[Identifier]) -> set[UUID]:
    """What two registrations that share an identifier may not hold at once."""
    buckets = {zlib.crc32(f"{each.system}|{each.value}".encode()) % IDENTITY_LOCKS for each in identifiers}
    return {uuid5(chain_id, f"identity {bucket}") for bucket in buckets}


async def register_patient(store: PatientsStore, command: RegisterPatient) -> tuple[Patient, list[Match]]:
    """And who is likely the same person, whoever else is registered under the same `birth_date_lock`.

    With the command's `identity_locks` held, what is free stays free; else the unique keys refuse, too."""
    examined = examine_told(command, await store.time_zones(command.site_ids), store.call)
    refuse("patient.", (*examined.faults, *examined.left_out))
    refuse_taken("patient.", command.identifiers, await store.holders(set(command.identifiers.values())))
    patient = registered(command, examined, store.call)
    found = await possible_duplicates(store, patient)
    alike = likely(found)
    if alike and command.refuse_likely_duplicates:
        raise LikelyDuplicate(each.patient_id for each in alike)
    store.add_patients([patient], [Pair.of(patient.id, each) for each in found])
    tell_registered(store, patient)
    return patient, alike


async def change_patient(store: PatientsStore, command: ChangePatient) -> Patient:
    current = await store.patient_to_change(command.patient_id)
    if current.version != command.version:
        raise StaleEtag()
    person = replace(current.person, **{name: getattr(command.told, name) for name in command.fields})
    home = person.home_site_id
    moving = frozenset({home} if home and home != current.person.home_site_id else ())
    time_zones = await store.time_zones([home] if home else [])
    check_sites(moving, time_zones, store.call)
    examined = examine(
        _recorded(person, current.person, store.call), time_zones.get(home) if home else None, store.call.now
    )
    refuse("patient.", (*examined.faults, *examined.left_out))
    kept = set(current.person.identifiers)
    new = {field: each for field, each in command.identifiers.items() if each not in kept}
    refuse_taken("patient.", new, await store.holders(set(new.values())))
    changed = replace(
        current,
        person=examined.person,
        site_ids=current.site_ids | moving,
        version=current.version + 1,
        updated_at=store.call.now,
    )
    await store.change_patient(changed, changes.update(current, changed), await _pairs_anew(store, current, changed))
    # Now: whoever forgets the patient later knows only the words of that day.
    if gone := set(current.search_words) - set(changed.search_words):
        await store.forget_words(sorted(gone))
    if events.patient_updated(changed) != events.patient_updated(current):
        store.emit(events.patient_updated(changed), about=changed.id, version=changed.version)
    return changed


async def _pairs_anew(store: PatientsStore, current: Patient, changed: Patient) -> list[Pair] | None:
    """None where nothing changed of what is compared: what was said of the record before still holds."""
    if traits_of(changed) == traits_of(current):
        return None
    return [Pair.of(changed.id, each) for each in await possible_duplicates(store, changed)]


def examine_told(command: RegisterPatient, time_zones: Mapping[UUID, str], call: Call) -> Examined:
    check_sites(command.site_ids, time_zones, call)
    home = command.person.home_site_id
    return examine(_recorded(command.person, None, call), time_zones[home] if home else None, call.now)


def _recorded(told: Person, kept: Person | None, call: Call) -> Person:
    """With whoever recorded its declaration."""
    before = kept.self_pay_declaration if kept else None
    declaration = self_pay.recorded(told.self_pay_declaration, before, call.actor)
    return told if declaration is told.self_pay_declaration else replace(told, self_pay_declaration=declaration)


def tell_registered(store: PatientsStore, patient: Patient) -> None:
    store.emit(events.patient_registered(patient), about=patient.id, version=patient.version)
    for site_id in sorted(patient.site_ids - {patient.home_site_id}):
        store.emit(events.patient_site_added(patient.id, site_id), about=patient.id, version=patient.version)


async def tell_deceased(store: PatientsStore, after: UUID, limit: int) -> list[Patient]:
    """Some of those who have died, as their records say now; nobody is left where it answers none."""
    found = await store.deceased(after, limit)
    for patient in found:
        store.emit(events.patient_updated(patient), about=patient.id, version=patient.version)
    return found


def check_sites(site_ids: Iterable[UUID], time_zones: Mapping[UUID, str], call: Call) -> None:
    """A record is made, or moves, at the caller's own sites only."""
    for site_id in sorted(site_ids):
        if call.sites is not None and site_id not in call.sites:
            raise AccessDenied()
        if site_id not in time_zones:
            raise NotYetKnown("site", site_id)


def refuse(path: str, faults: Sequence[Violation]) -> None:
    if faults:
        raise PatientRefused(*(replace(each, field=path + each.field) for each in faults))


def refuse_taken(path: str, told: Mapping[str, Identifier], holders: Mapping[Identifier, Holder]) -> None:
    """`told`: by the field of each, below `path`."""
    refusals = {
        path + field: MrnTaken if each.system == MRN_SYSTEM else IdentifierTaken
        for field, each in told.items()
        if each in holders
    }
    if refusals:
        whole = MrnTaken if MrnTaken in refusals.values() else IdentifierTaken
        raise whole(*(Violation(field, each.reason, "is another patient's") for field, each in refusals.items()))


def registered(command: RegisterPatient, examined: Examined, call: Call) -> Patient:
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
