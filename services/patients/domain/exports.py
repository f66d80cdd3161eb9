"""A record as a whole, with everything that belongs to it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Self
from uuid import UUID

from services.patients.domain.adverse_events import AdverseEvent
from services.patients.domain.clearances import Clearance
from services.patients.domain.consents import KeptConsent
from services.patients.domain.diagnoses import Diagnosis
from services.patients.domain.measures import Measure, SafetyFlag
from services.patients.domain.patients import Patient
from services.patients.domain.permissions import Permission
from services.patients.domain.screenings import Screening

PART_MAX = 200
"""Entries of one kind in one part."""


@dataclass(frozen=True, slots=True)
class PatientExport:
    """Every field but the first two is a kind of entry, the oldest first."""

    patient_id: UUID
    patient: Patient | None  # In the first part of the record only.
    screenings: tuple[Screening, ...] = ()
    clearances: tuple[Clearance, ...] = ()
    consents: tuple[KeptConsent, ...] = ()
    permissions: tuple[Permission, ...] = ()
    measures: tuple[Measure, ...] = ()
    adverse_events: tuple[AdverseEvent, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    safety_flags: tuple[SafetyFlag, ...] = ()
    merged_patients: tuple[Patient, ...] = ()  # Of an export of one: those of a chain come by themselves.

    def parts(self) -> Iterator[Self]:
        """So that none is too large for a message, however long a record is."""
        kinds = [field.name for field in fields(self)][2:]
        longest = max(len(getattr(self, kind)) for kind in kinds)
        for begin in range(0, max(1, longest), PART_MAX):
            cut = {kind: getattr(self, kind)[begin : begin + PART_MAX] for kind in kinds}
            yield replace(self, patient=None if begin else self.patient, **cut)
