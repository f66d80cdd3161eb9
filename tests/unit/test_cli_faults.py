"""What is given wrongly, or cut off, is told in one line; nothing is begun that it would end."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from cli.access import Access
from cli.app import main
from cli.client import Refused
from cli.events import instant_of
from cli.up import stop_on_signals
from deploy.envoy import config
from deploy.local.home import Home, ProcessInfo, StackInfo
from deploy.local.process import LocalError

NOW = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack as it describes itself, of which nothing answers."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "home"))
    home = Home.default()
    home.folder.mkdir()
    described: dict[str, Any] = {name: "" for name in StackInfo.__dataclass_fields__}
    described |= {"supervisor": ProcessInfo.of(os.getpid()), "services": {}, "processes": {}}
    home.record(StackInfo(**described))
    return home


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """With which code."""
    monkeypatch.setattr(sys, "argv", ["atoll", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code


def refused() -> Refused:
    error = AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, Metadata(), Metadata(), "no such day")
    return Refused("CreateSite", error)


# The demo, and the sample.


def test_a_demo_that_is_cut_off_says_so_and_ends_as_a_program_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*_: object) -> bool:
        stop_on_signals()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr("cli.demo.story.run", run)
    assert ended(monkeypatch, "demo") == 130
    assert capsys.readouterr().out.startswith("The demo was cut off.")


def test_a_demo_of_patients_that_are_not_there_begins_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("cli.demo.story.run", None)
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, "demo", "--patients", "typo") == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "work", "told"),
    [
        ("demo", "cli.demo.story.run", "the demo stopped: CreateSite: INVALID_ARGUMENT: no such day"),
        (
            "sample",
            "cli.sample.load.load",
            "loading the sample stopped: CreateSite: INVALID_ARGUMENT: no such day;",
        ),
    ],
)
def test_what_the_api_refuses_of_the_sample_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Home, command: str, work: str, told: str
) -> None:
    async def fail(*_: object) -> None:
        raise refused()

    monkeypatch.setattr(work, fail)
    assert ended(monkeypatch, command) == 1
    assert capsys.readouterr().err.startswith(f"atoll: {told}")


# Files.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["import", "fhir", ".", "--home-site", "abq"], "gone.json: No such file or directory"),
        (["export", "fhir", "--patient", "p", "--out", "no/x"], "--out no/x: there is no folder no"),
        (["export", "fhir", "--patient", "p", "--out", "."], "--out . is a folder: name a file"),
        (["status"], "ATOLL_HOME is {folder}/there, which is no folder"),
    ],
)
def test_a_file_or_folder_that_is_none_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    home: Home,
    tmp_path: Path,
    arguments: list[str],
    told: str,
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "there").touch()
    (folder / "gone.json").symlink_to("nowhere")
    monkeypatch.chdir(folder)
    if arguments == ["status"]:
        monkeypatch.setenv("ATOLL_HOME", "there")
    assert ended(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == f"atoll: {told.format(folder=folder)}\n"


def test_an_error_of_the_system_that_says_nothing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("cli.app.build", lambda *_: fail)
    assert ended(monkeypatch) == 1
    assert capsys.readouterr().err == "atoll: TimeoutError\n"


def test_protocols_are_not_exported_into_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, "protocols", "export", "README.md") == 2
    assert "is a file" in capsys.readouterr().err


# Options.


@pytest.mark.parametrize("text", ["999999d", "0001-01-01T00:00:00+14:00"])
def test_an_instant_before_the_calendar_begins_is_none(text: str) -> None:
    with pytest.raises(LocalError, match="beyond the calendar"):
        instant_of(text, NOW)


@pytest.mark.parametrize("token", ["tok\u00e9n", "tok\nen"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(LocalError, match="a character that none has") as caught:
        Access("http://127.0.0.1:1", token, "").client(cast(Any, None), "developer", "ROLE_AUDITOR")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--service", "patients", "'patients' is not NAME=HOST:PORT[,TLS_NAME]"),
        ("--service", "patients=host:http", "'host:http' is not HOST:PORT"),
        ("--accounts", "https://x", "'https://x' is not ISSUER=HOST:PORT"),
        ("--accounts", "https://x=host", "'host' is not HOST:PORT"),
        ("--listen", "8080", "'8080' is not HOST:PORT"),
        ("--admin", "localhost:99999", "'localhost:99999' is not HOST:PORT"),
    ],
)
def test_an_address_that_is_none_is_named_with_its_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    given = ["config", "--issuer", "https://x", "--jwks", "/keys", "--service", "patients=host:1", option, value]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit):
        config.main()
    assert f"argument {option}: {told}" in capsys.readouterr().err


def test_addresses_are_written_into_the_configuration_of_the_edge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["config", "--issuer", "https://x", "--jwks", "/keys", "--service", "patients=host:1,tls.name"]
    monkeypatch.setattr(sys, "argv", [*given, "--accounts", "https://y=tokens:7", "--listen", "0.0.0.0:8443"])
    config.main()
    written = capsys.readouterr().out
    for address in ('"host", port_value: 1', '"tokens", port_value: 7', '"0.0.0.0", port_value: 8443'):
        assert f"address: {address}" in written
