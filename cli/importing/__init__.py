"""`atoll import`: patients of another system, through the public API.

Files are read one document or record after another and sent in batches. What cannot be taken is told in the report, by
file and row, and harms nothing else; run again, an import adds only what is not there yet. One that was cut off goes on
where it was.
"""

import typer

from cli.importing.batches import Assign, Assignment, Caller, ImportedPatient, import_fhir
from cli.importing.command import import_app
from cli.importing.report import Entry, Outcome, Report

__all__ = [
    "Assign",
    "Assignment",
    "Caller",
    "Entry",
    "ImportedPatient",
    "Outcome",
    "Report",
    "import_app",
    "import_fhir",
    "register",
]


def register(app: typer.Typer) -> None:
    app.add_typer(import_app, name="import")
