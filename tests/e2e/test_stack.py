"""The whole local stack: what it starts, what it answers, what it does when something dies, what it leaves."""

import asyncio
import os
import re
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg
import grpc
import httpx
import psutil
import pytest
import pytest_asyncio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chassis.backlog import Backlog
from chassis.ids import new_id, to_wire
from cli.status import backlogs, is_healthy, pss
from deploy.local.home import Home
from deploy.local.login.protocol import challenge_of
from deploy.local.postgres import postgres
from deploy.local.process import PYTHON, ROOT, LocalError, answers_http
from deploy.local.process import start as start_program
from deploy.local.services import SERVICES
from deploy.local.stack import Options, Stack
from deploy.local.supervisor import State

PROCESSES = ["postgres", "nats", "mail", "login", "cards", "envoy", *SERVICES]
TOGETHER_MAX = 1_000_000_000
COURSE = "/v1/courses/course_01h455vb4pex5vsknk084sn02q"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@dataclass(frozen=True)
class Start:
    stack: Stack
    ready: list[str]
    """In this order."""


@pytest_asyncio.fixture(scope="module")
async def start(home: Path) -> AsyncIterator[Start]:
    ready: list[str] = []

    def report(name: str, state: State, detail: str) -> None:
        if state is State.READY:
            ready.append(name)

    async with Stack(Options.anywhere(home), report) as stack:
        yield Start(stack, list(ready))


@pytest.fixture(scope="module")
def stack(start: Start) -> Stack:
    return start.stack


async def test_it_serves_from_nothing(start: Start) -> None:
    assert list(start.stack.info.pids) == PROCESSES
    for name in PROCESSES:
        await eventually(partial(is_healthy, start.stack.info, name), 30)


async def test_it_starts_the_database_then_the_events_then_the_edge_then_the_services(start: Start) -> None:
    ready = start.ready
    assert [ready[:2], sorted(ready[2:5]), ready[5:6]] == [["postgres", "nats"], ["cards", "login", "mail"], ["envoy"]]
    assert set(ready[6:]) == set(SERVICES)


async def test_all_processes_together_stay_small(stack: Stack) -> None:
    sizes = {name: pss(process) for name, process in stack.info.processes.items()}
    assert sum(sizes.values()) < TOGETHER_MAX, sizes


async def test_the_database_keeps_what_it_acknowledged(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.info.postgres_url)
    shown = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")]
    await connection.close()
    assert shown == ["on", "on", "on"]


async def test_without_a_token_nobody_gets_in(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.info.edge_url) as client:
        answer = await client.get(COURSE)
        assert (await client.get("/healthz")).status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stack, "/atoll.scheduling.v1.CourseService/GetCourse")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_is_not_there_is_not_found_with_its_reason(stack: Stack) -> None:
    answer = await get(stack, COURSE)
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (404, "COURSE_NOT_FOUND")


async def test_every_call_can_be_discovered(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.info.edge_url.removeprefix("http://")) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # Typed for blocking channels.
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        async for answer in stub.ServerReflectionInfo(asked):
            names = {service.name for service in answer.list_services_response.service}
    for package in SERVICES:
        assert [name for name in names if name.startswith(f"atoll.{package}.v1.")]


async def test_a_second_stack_on_the_same_folder_is_refused(stack: Stack, home: Path) -> None:
    with pytest.raises(LocalError) as caught:
        async with Stack(Options.anywhere(home)):
            pass
    assert str(caught.value) == f"a stack already runs on {home} (process {os.getpid()}): stop it first"
    assert is_healthy(stack.info, "envoy")


@pytest.mark.parametrize("name", PROCESSES)
async def test_what_is_killed_comes_back(stack: Stack, name: str) -> None:
    killed = stack.home.running().processes[name]
    os.kill(killed.pid, signal.SIGKILL)
    await eventually(lambda: stack.home.running().processes[name].restarts == killed.restarts + 1, 60)
    assert stack.home.running().pids[name] != killed.pid
    await eventually(lambda: is_healthy(stack.home.running(), name), 30)
    await eventually_answers(stack)


async def test_mail_is_kept_and_shown(stack: Stack) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "clinic@atoll.test", "jo@example.org", "Your visit"
    message.set_content("Tuesday at 10:00.")
    message.add_attachment(b"%PDF-1.7 <script>", "application", "pdf", filename='a "receipt".pdf')
    host, _, port = stack.info.smtp_address.rpartition(":")
    with smtplib.SMTP(host, int(port)) as smtp:
        smtp.send_message(message)
    async with httpx.AsyncClient(base_url=stack.info.mail_url) as client:
        (listed,) = (await client.get("/messages.json")).json()["messages"]
        shown = (await client.get(f"/messages/{listed['id']}.json")).json()
        page = (await client.get("/")).text
        attached = await client.get(f"/messages/{listed['id']}/attachments/0")
        assert (await client.get(f"/messages/{listed['id']}/attachments/1")).status_code == HTTPStatus.NOT_FOUND
        assert f"/messages/{listed['id']}/attachments/0" in (await client.get(f"/messages/{listed['id']}")).text
    assert (attached.headers["content-type"], attached.content) == ("application/pdf", b"%PDF-1.7 <script>")
    assert attached.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22receipt%22.pdf"
    assert (listed["recipients"], listed["subject"]) == (["jo@example.org"], "Your visit")
    assert shown["text"].strip() == "Tuesday at 10:00."
    assert "Your visit" in page


async def test_who_signs_in_on_the_login_page_may_call(stack: Stack) -> None:
    verifier = "a-verifier-that-nobody-else-has-seen-before"
    asked = {
        "client_id": "booking-web",
        "redirect_uri": "http://localhost:5173/",
        "response_type": "code",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    form = {"chain": to_wire("chain", new_id()), "subject": "desk-1", "role": "ROLE_FRONT_DESK"}
    async with httpx.AsyncClient(base_url=stack.info.issuer) as browser:
        back = (await browser.post("/authorize", params=asked, data=form)).headers["location"]
        code = parse_qs(urlsplit(back).query)["code"][0]
        exchanged = {**asked, "grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        token = (await browser.post("/token", data=exchanged)).json()["access_token"]
    async with httpx.AsyncClient(base_url=stack.info.edge_url, timeout=30) as client:
        answer = await client.get("/v1/sites", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["sites"]) == (200, [])


async def test_a_system_of_the_chain_calls_by_a_key_of_its_account(stack: Stack) -> None:
    chain = to_wire("chain", new_id())
    admin = {"authorization": f"Bearer {stack.home.issuer.token('admin', chain, {'ROLE_CHAIN_ADMIN': ['*']})}"}
    new = {"requestId": str(uuid4()), "displayName": "Booking site", "roles": ["ROLE_INTEGRATION"]}
    async with httpx.AsyncClient(base_url=stack.info.edge_url, timeout=30) as client:
        account = (await client.post("/v1/serviceAccounts", json=new, headers=admin)).json()["serviceAccount"]
        path, asked = f"/v1/serviceAccounts/{account['id']}/keys", {"requestId": str(uuid4())}
        key = (await client.post(path, json=asked, headers=admin)).json()
        proof, form = (key["clientId"], key["clientSecret"]), {"grant_type": "client_credentials"}
        token = (await client.post("/oauth/token", auth=proof, data=form)).json()["access_token"]
        wrong = await client.post("/oauth/token", auth=(proof[0], "guess"), data=form)
        answer = await client.get("/v1/sites", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["sites"], wrong.status_code) == (200, [], 401)


async def test_status_counts_what_waits_in_every_service(stack: Stack) -> None:
    assert await backlogs(stack.info) == dict.fromkeys(SERVICES, Backlog(0, 0.0, 0))


async def test_up_stops_on_ctrl_c_goes_on_where_it_was_and_leaves_nothing_when_killed(tmp_path: Path) -> None:
    with up(tmp_path) as process:
        text = read_until(process, "State")
        api = re.search(r"API\s+(http://\S+)", text)
        assert api
        assert answers_http(f"{api[1]}/healthz")
        await in_database(tmp_path, "CREATE TABLE mark AS SELECT 1")
        processes = processes_of(tmp_path)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert [each for each in processes if lives(each)] == []
    assert not (tmp_path / "stack.json").exists()
    with up(tmp_path) as process:
        read_until(process, "State")
        await in_database(tmp_path, "DROP TABLE mark")
        processes = processes_of(tmp_path)
        process.kill()
    await eventually(lambda: not any(lives(each) for each in processes), 60)


async def test_a_sample_that_was_cut_off_is_loaded_to_its_end_by_the_next_up_and_never_again(tmp_path: Path) -> None:
    with up(tmp_path, "--sample") as process:
        loading = await started_by(process, "sample")
        await eventually(lambda: Home(tmp_path).sites_file.exists(), 60)
        loading.kill()
        assert "atoll: the sample is not loaded" in read_until(process, "not loaded")
        assert process.wait(60) == 1
    with up(tmp_path, "--sample") as process:
        loading = await started_by(process, "sample")
        process.send_signal(signal.SIGTERM)
        assert read_until(process, "Stopped.")
        assert not lives(loading)
        assert process.wait(60) == 0
    with up(tmp_path, "--sample") as process:
        assert "The sample is loaded: 5 sites, 40 courses booked." in read_until(process, "Serving")
        again = [sys.executable, "-m", "cli", "sample"]
        environment = {**os.environ, **PYTHON, "ATOLL_HOME": str(tmp_path)}
        said = await asyncio.to_thread(subprocess.run, again, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (0, "The sample was loaded before.\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_port_in_use_is_one_line_and_a_1(stack: Stack, tmp_path: Path) -> None:
    taken = stack.info.edge_url.rpartition(":")[2]
    with up(tmp_path, ATOLL_PORT=taken) as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert text == f"atoll: port {taken} (the edge) is in use; stop what uses it, or set ATOLL_PORT\n"


def test_a_broken_data_directory_is_one_line_and_a_1(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    with up(tmp_path) as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    why = "is not a PostgreSQL data directory (no PG_VERSION): restore it, or move it away"
    assert text == f"atoll: {tmp_path}/postgres/data {why}\n"


def test_a_damaged_data_directory_is_one_line_that_names_the_damage(tmp_path: Path) -> None:
    data, logs = tmp_path / "data", tmp_path / "logs"
    start_program(postgres(data, logs), logs).stop()
    (data / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(LocalError) as caught:
        start_program(postgres(data, logs), logs)
    why = 'could not read file "global/pg_control": read 0 of '
    assert str(caught.value).startswith(f"PostgreSQL did not start on {data}: {why}")


def test_a_killed_database_is_not_taken_for_ready_by_what_it_left(tmp_path: Path) -> None:
    data, logs = tmp_path / "data", tmp_path / "logs"
    killed = start_program(postgres(data, logs), logs)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    program = postgres(data, logs)
    assert not program.ready(os.getpid())
    start_program(program, logs).stop()


def up(home: Path, *options: str, **settings: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        **PYTHON,
        "ATOLL_HOME": str(home),
        "ATOLL_PORT": "0",
        "ATOLL_MAIL_PORT": "0",
        "ATOLL_LOGIN_PORT": "0",
        "ATOLL_CARDS_PORT": "0",
        "ATOLL_TEXTS_PORT": "0",
        **settings,
    }
    command = [sys.executable, "-m", "cli", "up", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT)


async def started_by(process: "subprocess.Popen[str]", command: str) -> psutil.Process:
    """The program of ours that it starts for the command."""

    def found() -> list[psutil.Process]:
        return [each for each in psutil.Process(process.pid).children() if each.cmdline()[-1:] == [command]]

    await eventually(lambda: bool(found()), 90)
    return found()[0]


def processes_of(home: Path) -> list[psutil.Process]:
    recorded = Home(home).running().pids.values()
    return [each for pid in recorded for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


async def in_database(home: Path, statement: str) -> None:
    connection = await asyncpg.connect(Home(home).running().postgres_url)
    await connection.execute(statement)
    await connection.close()


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    text = ""
    assert process.stdout
    for line in process.stdout:
        text += line
        if word in line:
            return text
    raise AssertionError(text)


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def token(stack: Stack) -> str:
    return stack.home.issuer.token("jo", to_wire("chain", new_id()), {"ROLE_FRONT_DESK": ["*"]})


async def get(stack: Stack, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.info.edge_url, timeout=30) as client:
        return await client.get(path, headers={"authorization": f"Bearer {token(stack)}"})


async def call(stack: Stack, method: str) -> None:
    async with grpc.aio.insecure_channel(stack.info.edge_url.removeprefix("http://")) as channel:
        unary: Any = channel.unary_unary(method)
        await unary(b"", timeout=10)


async def eventually_answers(stack: Stack) -> None:
    """Through every service, from the edge to its database."""
    until = time.monotonic() + 60
    for path in (COURSE, "/v1/patients/patient_01h455vb4pex5vsknk084sn02q"):
        while (answer := await get(stack, path)).status_code != 404:
            assert time.monotonic() < until, answer.text
            await asyncio.sleep(0.2)


async def eventually(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
