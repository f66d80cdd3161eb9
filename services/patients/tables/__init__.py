"""Patients' tables, by noun, with the last line of each invariant. The chassis adds its own, and row-level security."""

from services.patients.tables import (
    adverse_events,
    break_glass,
    changes,
    clearances,
    consents,
    diagnoses,
    duplicates,
    measures,
    merges,
    permissions,
    questionnaires,
    recalls,
    records,
    retention,
    search,
)
from services.patients.tables.base import metadata

__all__ = [
    "adverse_events",
    "break_glass",
    "changes",
    "clearances",
    "consents",
    "diagnoses",
    "duplicates",
    "measures",
    "merges",
    "metadata",
    "permissions",
    "questionnaires",
    "recalls",
    "records",
    "retention",
    "search",
]
