"""Imports: many patients of another system at once, each answered by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.call import Call
from chassis.errors import DomainError, Violation
from services.patients.domain.patients import Holder, Identifier, IdentifierTaken, Patient, PatientRefused
from services.patients.store import PatientsStore
from services.patients.use_cases.records import (
    RegisterPatient,
    examine_told,
    refuse,
    refuse_taken,
    registered,
    tell_registered,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one row."""

    patient_id: UUID | None
    created: bool = False
    faults: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()


async def import_patients(store: PatientsStore, rows: Sequence[RegisterPatient | DomainError]) -> list[Imported]:
    """Each row by itself. A row that could not even be read comes as the refusal of reading it."""
    await store.forget_plans()
    readable = [row for row in rows if isinstance(row, RegisterPatient)]
    time_zones = await store.time_zones({id for row in readable for id in row.site_ids})
    holders = await store.holders({identifier for row in readable for identifier in row.identifiers.values()})
    added, imported = list[Patient](), list[Imported]()
    for row in rows:
        try:
            if isinstance(row, DomainError):
                raise row
            found = set(_known_by(row, holders))
            if len(found) > 1:
                raise IdentifierTaken(Violation("identifiers", "IDENTIFIER_TAKEN", "belong to several patients"))
            if found:
                imported.append(Imported(_known(row, found.pop(), holders)))
                continue
            patient, notes = _imported(row, time_zones, holders, store.call)
        except DomainError as refused:
            whole_row = Violation("", refused.reason, refused.message)
            imported.append(Imported(None, faults=refused.violations or (whole_row,)))
        else:
            added.append(patient)
            imported.append(Imported(patient.id, created=True, notes=notes))
            holders[patient.own_identifier] = Holder(patient.id, is_number=True)
            holders |= dict.fromkeys(patient.person.identifiers, Holder(patient.id))
    if added:
        store.add_patients(added)
    for patient in added:
        tell_registered(store, patient)
    return imported


def _known_by(row: RegisterPatient, holders: Mapping[Identifier, Holder]) -> Iterator[UUID]:
    """The patients whom its identifiers name, record numbers of others among these."""
    for each in row.person.identifiers:
        if (holder := holders.get(each)) and not holder.is_number:
            yield holder.patient_id


def _known(row: RegisterPatient, patient_id: UUID, holders: Mapping[Identifier, Holder]) -> UUID:
    """As what an export tells of them: the record number is theirs, or nobody's."""
    theirs = Holder(patient_id)
    others = {
        field: each for field, each in row.identifiers.items() if holders.get(each, theirs).patient_id != patient_id
    }
    refuse_taken("", others, holders)
    return patient_id


def _imported(
    row: RegisterPatient, time_zones: Mapping[UUID, str], holders: Mapping[Identifier, Holder], call: Call
) -> tuple[Patient, tuple[Violation, ...]]:
    examined = examine_told(row, time_zones, call)
    if not examined.person.identifiers:
        missing = Violation("identifiers", "IDENTIFIER_MISSING", "none by which a second import would know the patient")
        raise PatientRefused(*examined.faults, missing)
    refuse("", examined.faults)
    refuse_taken("", row.identifiers, holders)
    return registered(row, examined, call), (*examined.left_out, *examined.notes)
