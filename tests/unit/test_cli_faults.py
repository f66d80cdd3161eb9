"""What is given wrongly, or cut off, is told in one line; nothing is begun that it would end."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from chassis.signing import new_key
from cli.access import Access
from cli.app import main
from cli.audit.verify import read_exports
from cli.client import Refused, open_channel
from cli.databases import asked
from cli.doctor import ports
from cli.events import instant_of
from cli.status import without_password
from cli.up import stop_on_signals
from deploy.envoy import config
from deploy.local.home import Home, ProcessInfo, StackInfo
from deploy.local.process import LocalError, free_ports
from deploy.local.stack import Options, Stack

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


def test_a_demo_of_a_folder_without_a_file_to_import_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.demo.story.run", None)
    (tmp_path / "notes.txt").touch()
    assert ended(monkeypatch, "demo", "--patients", str(tmp_path)) == 1
    assert "there are no files to import" in capsys.readouterr().err


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


def test_a_damaged_export_of_heads_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(json.dumps(new_key("2027")))
    (tmp_path / "h.jsonl").write_bytes(b"\xff\n")
    assert read_exports([tmp_path / "h.jsonl"], tmp_path / "key").faults == ["line 1 of h.jsonl is no head"]


def test_a_folder_is_no_export_of_heads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(monkeypatch, "audit", "verify", "--heads", ".") == 2
    assert "is a directory" in capsys.readouterr().err


# Servers elsewhere.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://admin:s3@cret/?@db.example:5432/postgres", "postgresql://db.example:5432/postgres"),
        ("postgresql://db.example/postgres?user=admin&password=s3cret", "postgresql://db.example/postgres"),
        ("nats://token@one.example:4222,nats://a:b@two.example:4222", "nats://two.example:4222"),
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_who_comes_and_with_which_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_status_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Home
) -> None:
    described = json.loads(home.stack_file.read_text())
    urls = {"postgres_url": "postgresql://admin:s3cret@db.example/postgres", "nats_url": "nats://s3cret@127.0.0.1:1"}
    home.stack_file.write_text(json.dumps(described | urls))
    assert ended(monkeypatch, "status") == 1
    told = capsys.readouterr().out
    assert "db.example" in told
    assert "s3cret" not in told


async def test_a_server_that_is_silent_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def silent(*_: object, **options: object) -> None:
        raise TimeoutError

    async def ask(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("asyncpg.connect", silent)
    monkeypatch.setattr("cli.databases.open_pool", silent)
    with pytest.raises(LocalError, match="ATOLL_POSTGRES_URL names a server that cannot be used: it does not answer"):
        async with Stack(replace(Options.anywhere(tmp_path), postgres_url="postgresql://db.example/postgres")):
            pass
    with pytest.raises(LocalError, match="the database of notes cannot be asked: it does not answer"):
        await asked({"notes": "postgresql://db.example/notes"}, ask)


# Options.


@pytest.mark.parametrize("url", ["localhost:8080", "127.0.0.1:8080", "ftp://api.example", "https://", ""])
def test_what_is_no_url_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(LocalError, match="is no URL of an API"):
        open_channel(url)


def test_ports_that_are_not_fixed_are_not_said_to_be_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    settings = [f"ATOLL_{name}" for name in ("PORT", "MAIL_PORT", "LOGIN_PORT", "CARDS_PORT", "TEXTS_PORT")]
    for setting in settings:
        monkeypatch.setenv(setting, "0")
    assert ports() == "any that are free"
    [port] = free_ports(1)
    monkeypatch.setenv("ATOLL_TEXTS_PORT", str(port))
    assert ports() == f"{port} are free"


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


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--image", "gen/none", "--image gen/none: No such file or directory"),
        ("--issuer", "https://127.0.0.1:9", "--issuer https://127.0.0.1:9 does not say where its keys are"),
    ],
)
def test_what_the_edge_is_configured_from_is_named_where_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    given = ["config", "--issuer", "https://127.0.0.1:9", "--service", "patients=host:1", option, value]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit):
        config.main()
    assert told in capsys.readouterr().err


def test_addresses_are_written_into_the_configuration_of_the_edge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["config", "--issuer", "https://x", "--jwks", "/keys", "--service", "patients=host:1,tls.name"]
    monkeypatch.setattr(sys, "argv", [*given, "--accounts", "https://y=tokens:7", "--listen", "0.0.0.0:8443"])
    config.main()
    written = capsys.readouterr().out
    for address in ('"host", port_value: 1', '"tokens", port_value: 7', '"0.0.0.0", port_value: 8443'):
        assert f"address: {address}" in written
