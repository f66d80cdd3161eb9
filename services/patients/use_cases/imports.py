"""Imports: many patients of another system at once, each answered by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.call import Call
from chassis.errors import DomainError, Violation
from services.patients.domain.patients import MRN_SYSTEM, Identifier, IdentifierTaken, Patient, PatientRefused
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
    holders = await store.holders({identifier for row in readable for identifier in row.identifiers})
    added, imported = list[Patient](), list[Imported]()
    for row in rows:
        try:
            if isinstance(row, DomainError):
                raise row
            found = {holders[each] for each in row.identifiers if each in holders and each.system != MRN_SYSTEM}
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
            holders |= dict.fromkeys((*patient.person.identifiers, patient.own_identifier), patient.id)
    if added:
        store.add_patients(added)
    for patient in added:
        tell_registered(store, patient)
    return imported


def _known(row: RegisterPatient, patient_id: UUID, holders: Mapping[Identifier, UUID]) -> UUID:
    """As what an export tells of them: the record number is theirs, or nobody's."""
    refuse_taken((each for each in row.identifiers if holders.get(each, patient_id) != patient_id), holders)
    return patient_id


def _imported(
    row: RegisterPatient, time_zones: Mapping[UUID, str], holders: Mapping[Identifier, UUID], call: Call
) -> tuple[Patient, tuple[Violation, ...]]:
    examined = examine_told(row, time_zones, call)
    if not examined.person.identifiers:
        missing = Violation("identifiers", "IDENTIFIER_MISSING", "none by which a second import would know the patient")
        raise PatientRefused(*examined.faults, missing)
    refuse("", examined.faults)
    refuse_taken(row.identifiers, holders)
    return registered(row, examined, call), (*examined.left_out, *examined.notes)
