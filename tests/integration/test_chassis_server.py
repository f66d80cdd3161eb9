"""A server: health on its own port, an end that lets calls finish, reflection, what is refused at start."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chassis.durability import NotDurable, check_durability
from chassis.election import cancelled, lead
from chassis.ids import new_id
from chassis.metrics import serve_metrics
from chassis.pool import open_pool
from chassis.server import Server
from chassis.service import IMAGE, Events, _stop
from chassis.taking import keep_taking
from deploy.local.nats import nats
from deploy.local.process import free_port, start
from tests.support.notes import DESCRIPTOR, NoteServicer, create_request, pb_grpc
from tests.support.service import Running, refusal, tokens_of

PUBLIC = ("billing", "notifications", "patients", "scheduling")


def create(notes: Running) -> "asyncio.Task[Any]":
    stub, token = notes.stub(pb_grpc.NoteServiceStub), notes.token("ROLE_FRONT_DESK")
    return asyncio.create_task(notes.call(stub.CreateNote, create_request(new_id()), token))


async def health(port: int) -> Any:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status


def server_on(notes: Running) -> Server:
    return Server(tokens_of(notes.issuer), notes.clock)


async def test_health_answers_on_a_port_of_its_own(notes: Running) -> None:
    assert await health(notes.ports[1]) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError):
        await health(notes.ports[0])


async def test_health_says_when_a_server_is_not_healthy(notes: Running) -> None:
    await notes.server.set_healthy(False)
    assert await health(notes.ports[1]) == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_calls_in_hand_finish_when_the_server_stops_and_new_ones_are_sent_elsewhere(notes: Running) -> None:
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        call = create(notes)
        await until_in_hand(notes)
        stopping = asyncio.create_task(notes.server.stop())
        await asyncio.sleep(0.2)
        assert await health(notes.ports[1]) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await refusal(create(notes))).code is grpc.StatusCode.UNAVAILABLE
    assert (await call).note.id
    await stopping


async def test_a_call_that_outlives_the_grace_is_over_when_the_server_has_stopped(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would meet a closed pool."""
    monkeypatch.setattr("chassis.server.GRACE_S", 0.05)
    async with notes.admin.transaction():
        await notes.admin.execute("LOCK TABLE note")
        call = create(notes)
        await until_in_hand(notes)
        await notes.server.stop()
        assert notes.pool.get_idle_size() == notes.pool.get_size()
    await refusal(call)
    assert await notes.count("note") == 0


async def until_in_hand(notes: Running) -> None:
    for _ in range(200):
        if notes.server._in_hand and notes.pool.get_idle_size() < notes.pool.get_size():
            return
        await asyncio.sleep(0.01)
    pytest.fail("no call arrives")


async def reflected(port: int, **question: Any) -> Any:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # Blocking only.
        asked = reflection_pb2.ServerReflectionRequest(**question)
        async for answer in stub.ServerReflectionInfo(iter([asked]), timeout=5):
            return answer


async def test_reflection_answers_for_every_public_package_whichever_service_is_asked(notes: Running) -> None:
    server = server_on(notes)
    server.add(DESCRIPTOR, NoteServicer(notes.db))
    server.reflect(IMAGE.read_bytes())
    port, _ = await server.start("127.0.0.1:0", "127.0.0.1:0")
    listed = await reflected(port, list_services="")
    packages = {each.name.split(".")[1] for each in listed.list_services_response.service if "atoll" in each.name}
    assert packages == set(PUBLIC)
    for symbol in ("atoll.scheduling.v1.CourseService", "atoll.patients.v1.PatientService"):
        found = await reflected(port, file_containing_symbol=symbol)
        assert found.file_descriptor_response.file_descriptor_proto, symbol
    await server.stop()


async def test_reflection_is_absent_unless_it_is_asked_for(notes: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reflected(notes.ports[0], list_services="")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_refuses_a_service_whose_rpcs_do_not_say_who_may_call_them(notes: Running) -> None:
    without: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]
    servicer: Any = type("Servicer", (), dict.fromkeys(("Check", "List", "Watch"), lambda self, *_: None))()
    with pytest.raises(RuntimeError, match=r"grpc\.health\.v1\.Health\.\w+ lacks"):
        server_on(notes).add(without, servicer)


async def test_a_server_refuses_a_service_that_lacks_a_handler(notes: Running) -> None:
    with pytest.raises(AttributeError, match="CreateNote"):
        server_on(notes).add(DESCRIPTOR, object())


async def test_the_metrics_page_tells_how_long_each_rpc_took_and_how_it_ended(notes: Running) -> None:
    await create(notes)
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"http://127.0.0.1:{serve_metrics('127.0.0.1:0', 3)}/metrics")).text
    assert 'atoll_rpc_seconds_bucket{code="OK",le="10.0",method="atoll.notes.v1.NoteService.CreateNote"}' in page
    assert str(notes.chain_id) not in page


async def test_a_second_worker_has_the_next_port_for_its_metrics() -> None:
    port = free_port()
    assert serve_metrics(f"127.0.0.1:{port}", 1) == port + 1


# Who leads

LEADERS = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_only_one_of_two_leads_and_the_other_takes_over_when_its_connection_is_cut(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.election.RETRY_S", 0.05)
    monkeypatch.setattr("chassis.election.HEARTBEAT_S", 0.05)
    working, history = set[str](), list[str]()

    def work(name: str) -> Any:
        async def run() -> None:
            working.add(name)
            history.append(name)
            try:
                await asyncio.sleep(3600)
            finally:
                working.discard(name)

        return run

    tasks = [asyncio.create_task(lead(notes.urls.relay, {"work": work(name)})) for name in ("one", "other")]
    await until(lambda: bool(working))
    await asyncio.sleep(0.3)
    assert (len(working), len(history)) == (1, 1)
    assert await notes.admin.fetchval(f"SELECT pg_terminate_backend(pid) FROM ({LEADERS}) AS leader")
    await until(lambda: len(history) == 2 and len(working) == 1)  # The one that lost has stopped, whoever leads now.
    await asyncio.sleep(0.3)
    assert (len(working), len(history)) == (1, 2)
    assert await notes.admin.fetchval(f"SELECT count(*) FROM ({LEADERS}) AS leader") == 1
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not working


async def test_a_part_that_fails_is_started_again_and_stops_none_of_the_others(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.election.RETRY_S", 0.01)
    starts = {"fails": 0, "ends": 0, "works": 0}

    async def fails() -> None:
        starts["fails"] += 1
        raise ZeroDivisionError

    async def ends() -> None:
        starts["ends"] += 1

    async def works() -> None:
        starts["works"] += 1
        await asyncio.sleep(3600)

    leading = asyncio.create_task(lead(notes.urls.relay, {"fails": fails, "ends": ends, "works": works}))
    await until(lambda: starts["fails"] >= 3 and starts["ends"] >= 3)
    assert starts["works"] == 1
    leading.cancel()
    await asyncio.wait([leading])
    assert leading.cancelled()


async def test_work_that_takes_a_cancellation_for_an_error_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nats-py and asyncpg make of one now and then, in a loop that goes on after errors."""
    monkeypatch.setattr("chassis.election.CANCEL_AGAIN_S", 0.05)
    begun, survived = asyncio.Event(), list[str]()

    async def stubborn() -> None:
        try:
            begun.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            survived.append("once")
        await asyncio.sleep(3600)

    task = asyncio.create_task(stubborn())
    await begun.wait()
    await asyncio.wait_for(cancelled(task), timeout=5)
    assert task.cancelled()
    assert survived == ["once"]


async def test_what_is_in_hand_when_a_process_stops_is_finished_however_often_it_is_told_to_stop(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a message that is being sent: what came of it can still be written down."""
    monkeypatch.setattr("chassis.election.CANCEL_AGAIN_S", 0.05)
    begun, settled = asyncio.Event(), list[int]()

    async def take(_: int) -> list[tuple[UUID, str]]:
        taken = [] if begun.is_set() else [(notes.chain_id, "message")]
        begun.set()
        return taken

    async def see_to(_: UUID, __: str) -> None:
        await asyncio.sleep(1)
        settled.append(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    async with open_pool(notes.urls.service, size=1) as pool:
        job = partial(keep_taking, take, see_to, most=4, drain_s=30.0, failed="not_taken")
        leading = asyncio.create_task(lead(notes.urls.relay, {"job": job}))
        await asyncio.wait_for(begun.wait(), timeout=5)
        await cancelled(leading)
    assert leading.cancelled()
    assert len(settled) == 1
    assert settled[0] > 0  # No other process led meanwhile.


async def test_who_is_cancelled_while_it_ends_others_waits_for_them_and_is_cancelled_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chassis.election.CANCEL_AGAIN_S", 60.0)
    may_end = asyncio.Event()

    async def slow() -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    task = asyncio.create_task(slow())
    ending = asyncio.create_task(cancelled(task))
    for _ in range(3):
        await asyncio.sleep(0.02)
        ending.cancel()
    await asyncio.sleep(0.02)
    assert not ending.done()
    may_end.set()
    await asyncio.wait([ending], timeout=5)
    assert task.done()
    assert ending.cancelled()


async def test_a_service_that_stops_takes_no_calls_while_its_jobs_finish_what_they_have_in_hand(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.election.CANCEL_AGAIN_S", 60.0)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def jobs() -> None:
        try:
            begun.set()
            await asyncio.sleep(3600)
        finally:
            await may_end.wait()

    background = asyncio.create_task(jobs())
    await begun.wait()
    stopping = asyncio.create_task(_stop(notes.server, background))
    await asyncio.sleep(0.2)
    assert (await refusal(create(notes))).code is grpc.StatusCode.UNAVAILABLE
    assert not stopping.done()
    may_end.set()
    await asyncio.wait_for(stopping, timeout=5)
    assert background.cancelled()


async def until(holds: Any, within_s: float = 5) -> None:
    for _ in range(int(within_s / 0.02)):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came about")


# What production asks of its servers


async def test_production_refuses_a_postgresql_that_may_lose_what_it_acknowledged(notes: Running) -> None:
    async with notes.pool.acquire() as conn:
        await conn.execute("SET synchronous_commit = off")
        with pytest.raises(NotDurable, match="PostgreSQL has synchronous_commit = off"):
            await check_durability(only(conn), None)
        await conn.execute("RESET synchronous_commit")
    with pytest.raises(NotDurable, match="ATOLL_NATS_MONITOR_URL"):
        await check_durability(notes.pool, None)


def only(conn: Any) -> Any:
    """Of a pool, what a check asks of it."""
    return conn


@pytest.mark.parametrize("syncs", [True, False])
async def test_production_refuses_a_nats_that_acknowledges_before_it_has_written(
    notes: Running, tmp_path: Path, syncs: bool
) -> None:
    monitor = free_port()
    program = nats(tmp_path, free_port(), monitor)
    config = tmp_path / "nats.conf"
    if not syncs:
        config.write_text(config.read_text().replace("sync_interval: always", "sync_interval: 2m"))
    process = await asyncio.to_thread(start, program, tmp_path / "logs")
    try:
        check = check_durability(notes.pool, f"http://127.0.0.1:{monitor}")
        if syncs:
            await check
        else:
            with pytest.raises(NotDurable, match="sync_interval: always"):
                await check
    finally:
        await asyncio.to_thread(process.stop)


async def test_nothing_is_published_to_a_nats_that_came_later_and_acknowledges_before_it_has_written(
    tmp_path: Path, nats_url: str
) -> None:
    monitor = free_port()
    program, config = nats(tmp_path, free_port(), monitor), tmp_path / "nats.conf"
    config.write_text(config.read_text().replace("sync_interval: always", "sync_interval: 2m"))
    events = Events(nats_url, f"http://127.0.0.1:{monitor}")
    process = await asyncio.to_thread(start, program, tmp_path / "logs")
    try:
        with pytest.raises(NotDurable, match="sync_interval: always"):
            await events.connected()
    finally:
        await asyncio.to_thread(process.stop)
