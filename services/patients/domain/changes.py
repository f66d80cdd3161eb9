"""The history of a record: each change, by field, with what stood there before and after."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from services.patients.domain.patients import Patient, Person


@dataclass(frozen=True, slots=True)
class FieldChange:
    field: str
    before: Any  # Values of the domain when it is written, JSON when it is read. None: nothing was there.
    after: Any


@dataclass(frozen=True, slots=True)
class NewChange:
    """How a record comes to a version. Who did it, by which call and when, is the call's."""

    patient_id: UUID
    version: int
    site_id: UUID  # One of the caller's, at which it is written.
    changes: tuple[FieldChange, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PatientChange:
    """A change as it is read."""

    patient_id: UUID
    version: int
    actor: str
    method: str  # Full name of the RPC.
    cause: str  # Its request_id.
    changed_at: datetime
    reason: str
    changes: tuple[FieldChange, ...]


_NOBODY = Person((), "", None, None)
_FIELDS = tuple(field.name for field in fields(Person))


def registration(patient: Patient) -> NewChange:
    """Everything that was told of a new patient."""
    told = (
        FieldChange("mrn", None, patient.mrn),
        FieldChange("site_ids", None, patient.site_ids),
        *person_changes(_NOBODY, patient.person),
    )
    return NewChange(patient.id, patient.version, _writing_site(patient), told)


def update(before: Patient, after: Patient) -> NewChange:
    changes = person_changes(before.person, after.person)
    if new := after.site_ids - before.site_ids:
        changes = (*changes, FieldChange("site_ids", None, new))
    return NewChange(after.id, after.version, _writing_site(after), changes)


def person_changes(before: Person, after: Person) -> tuple[FieldChange, ...]:
    values = ((name, getattr(before, name), getattr(after, name)) for name in _FIELDS)
    return tuple(FieldChange(name, old or None, new or None) for name, old, new in values if old != new)


def _writing_site(patient: Patient) -> UUID:
    """Of the sites through which the caller sees the record: the home site, if it is one of them."""
    home = patient.home_site_id
    return home if home in patient.site_ids else min(patient.site_ids)
