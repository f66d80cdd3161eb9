"""Patients' tables, by noun, with the last line of each invariant. The chassis adds its own, and row-level security."""

from services.patients.tables import break_glass, changes, clearances, records, retention
from services.patients.tables.base import metadata

__all__ = ["break_glass", "changes", "clearances", "metadata", "records", "retention"]
