"""Patients' tables, by noun, with the last line of each invariant. The chassis adds its own, and row-level security."""

from services.patients.tables import clearances, records, search
from services.patients.tables.base import metadata

__all__ = ["clearances", "metadata", "records", "search"]
