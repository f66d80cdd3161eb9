"""Patients' tables, by noun, with the last line of each invariant. The chassis adds its own, and row-level security."""

from services.patients.tables import (
    adverse_events,
    changes,
    clearances,
    consents,
    diagnoses,
    measures,
    permissions,
    questionnaires,
    records,
)
from services.patients.tables.base import metadata

__all__ = [
    "adverse_events",
    "changes",
    "clearances",
    "consents",
    "diagnoses",
    "measures",
    "metadata",
    "permissions",
    "questionnaires",
    "records",
]
