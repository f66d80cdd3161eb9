"""`atoll export`: records taken away as FHIR R4, by the public API."""

import typer

from cli.exporting.command import export_app

__all__ = ["export_app", "register"]


def register(app: typer.Typer) -> None:
    app.add_typer(export_app, name="export")
