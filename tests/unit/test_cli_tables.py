"""What people called things is shown as it stands: a table of the terminal takes words in brackets for its own."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from atoll.patients.v1.access_service_pb2 import Access
from atoll.scheduling.v1.protocol_service_pb2 import Protocol
from cli.app import build
from cli.patients import table

NAME = "IV [/] [bold]"


def test_an_actor_of_an_access_report() -> None:
    told = io.StringIO()
    Console(file=told, width=200).print(table([Access(actor=NAME)]))
    assert NAME in told.getvalue()


def test_the_name_of_a_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("cli.protocols.ask", lambda *_: [Protocol(code="iv", display_name=NAME)])
    assert NAME in CliRunner().invoke(build(), ["protocols", "list"]).output
