"""From a service's parts to its processes: `python -m services.<name> serve | migrate`.

`serve` runs one worker, or spawns several that share the port; each answers calls. One of them is elected to run the
relay, the consumers, the sealer and the service's jobs.
"""

import asyncio
import gc
import importlib
import multiprocessing
import multiprocessing.connection
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import nats.errors
import nats.js.errors
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NATS
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from sqlalchemy import Table

from chassis.auth import Tokens
from chassis.backlog import show_backlog
from chassis.clock import Clock, business_clock
from chassis.consumer import Consumer, Reads
from chassis.db import Database
from chassis.durability import check_durability, until_durable
from chassis.election import Work, cancelled, kept_running, lead
from chassis.heads import Exporter
from chassis.housekeeping import keep_house
from chassis.logs import configure_process, log_of_loop, masked
from chassis.metrics import serve_metrics
from chassis.pool import Pool, open_pool
from chassis.relay import Relay
from chassis.sealer import Sealer
from chassis.server import Server
from chassis.settings import MigrationSettings, Settings, SettingsRefused, read
from chassis.store import Store

log = structlog.get_logger()

IMAGE = Path(__file__).parents[1] / "gen" / "image.binpb"
JOB_POOL_SIZE = 2
YOUNG_MAX = 20_000
"""New objects that are let be before the collector looks at them: a few dozen calls."""
DUPLICATES_S = 120.0
STREAM_AGE_S = 30 * 24 * 3600.0
"""Longer than any reader may be away. Outboxes keep their events for less: see `chassis.housekeeping`."""
STREAM_WAIT_S = 0.5
SPAWN = multiprocessing.get_context("spawn")  # Never fork after importing grpc.

gc.set_threshold(YOUNG_MAX, 20, 20)  # Before a service's own modules are loaded, of which little becomes garbage.

Connected: TypeAlias = Callable[[], Awaitable[NATS]]
Job: TypeAlias = Callable[[Database, Any, Clock], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    name: str
    store_type: type[Store]
    servicers: Callable[[Database], Mapping[ServiceDescriptor, object]]
    reads: Mapping[str, Reads] = field(default_factory=dict)
    jobs: Sequence[Job] = ()
    settings_type: type[Settings] = Settings
    short_lived: Sequence[Table] = ()
    """Its own tables whose old rows are deleted."""
    commands: Mapping[str, Callable[["Service"], None]] = field(default_factory=dict)
    """Beside `serve` and `migrate`, by the word that they are called by."""

    @property
    def stream(self) -> str:
        return self.name.upper()


def main(service: Service) -> None:
    commands = {"serve": serve, "migrate": migrate_service, **service.commands}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: python -m services.{service.name} {' | '.join(commands)}")
    try:
        commands[sys.argv[1]](service)
    except SettingsRefused as error:
        sys.exit(_refusal(service, error))


def _refusal(service: Service, error: SettingsRefused) -> str:
    return f"{service.name} does not start: {error}"


def migrate_service(service: Service) -> None:
    from chassis.migrate import migrate  # With Alembic, which a process that serves need not load.

    asyncio.run(migrate(read(MigrationSettings).owner_database_url, service.name))


def serve(service: Service) -> None:
    workers = read(service.settings_type).workers
    if workers == 1:
        work(service)
        return
    processes = [SPAWN.Process(target=_run_worker, args=(service.name, number)) for number in range(workers)]
    for process in processes:
        process.start()
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if not asked:  # Once: a worker that has stopped, and is about to end, would be killed by it.
            asked = True
            for process in processes:
                process.terminate()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    # One worker that dies takes the service with it: whoever started it starts it again whole.
    multiprocessing.connection.wait([process.sentinel for process in processes])
    stop()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


def _run_worker(name: str, number: int) -> None:
    work(importlib.import_module(f"services.{name}.__main__").SERVICE, number)


def work(service: Service, number: int = 0) -> None:
    """One worker. Each has a metrics port of its own, since each counts for itself."""
    configure_process(service.name)
    settings = read(service.settings_type)
    try:
        uvloop.run(_work(service, settings, number))
    except SettingsRefused as error:  # Of what the service has beside what every service is told.
        sys.exit(_refusal(service, error))
    except Exception as error:  # What started this process, be it Python or multiprocessing, would write it out whole.
        log.exception("crashed")
        sys.exit(masked(str(error)) if isinstance(error, RuntimeError) else 1)  # Ours, about settings and servers.


def spare_collector() -> None:
    """What is there when serving begins stays: code, statements, descriptors. The collector need not look at it again,
    which takes tens of milliseconds each time."""
    gc.collect()
    gc.freeze()


async def _work(service: Service, settings: Settings, number: int) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(log_of_loop)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    if parent := multiprocessing.parent_process():
        loop.add_reader(parent.sentinel, stopped.set)  # Who started it is gone, however that happened.
    clock = business_clock(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(settings.database_url, size=settings.pool_size, planned_once=True)
        )
        db = Database(pool)
        if settings.production:
            await check_durability(pool, settings.nats_monitor_url)
        server = Server(Tokens(settings.trusted), clock, settings.tls)
        for descriptor, servicer in service.servicers(db).items():
            server.add(descriptor, servicer)
        if settings.reflects:
            server.reflect(IMAGE.read_bytes())  # Before anything is served.
        spare_collector()
        ports = await server.start(settings.listen, settings.probe_listen)
        background = asyncio.create_task(kept_running("background", partial(_background, service, settings, db, clock)))
        stack.push_async_callback(_stop, server, background)
        log.info("serving", ports=ports, metrics_port=serve_metrics(settings.metrics_listen, number))
        await stopped.wait()
        log.info("stopping")


async def _stop(server: Server, background: asyncio.Task[None]) -> None:
    """Both at once: no call comes in while jobs finish what they have in hand, and neither waits for the other."""
    stopping = asyncio.create_task(server.stop())
    try:
        await cancelled(background)
    finally:
        await stopping


async def _background(service: Service, settings: Settings, db: Database, clock: Clock) -> None:
    """Calls are answered without it. Of its parts, only the relay and the consumers wait for NATS."""
    relay_pool = open_pool(settings.relay_database_url, size=JOB_POOL_SIZE)
    sealer_pool = open_pool(settings.sealer_database_url, size=1)
    async with AsyncExitStack() as stack:
        events = Events(settings.nats_url, settings.nats_monitor_url if settings.production else None)
        stack.push_async_callback(events.close)
        await stack.enter_async_context(relay_pool)
        await stack.enter_async_context(sealer_pool)
        work = _elected(service, settings, db, events.connected, clock, relay_pool, sealer_pool)
        await lead(settings.relay_database_url, work)


class Events:
    """The connection to NATS of all who publish and read. It is begun when the first of them asks for it."""

    def __init__(self, url: str, monitor_url: str | None = None) -> None:
        """With a `monitor_url`, NATS is asked each time whether it keeps what it acknowledges."""
        self._url, self._monitor_url = url, monitor_url
        self._connecting: asyncio.Task[NATS] | None = None

    async def connected(self) -> NATS:
        """Waits for as long as NATS is away. Who gives up leaves it to the others; one that failed is begun anew, and
        so is one that the client closed: it connects again by itself after most errors, and after some never."""
        if self._connecting is None or _is_over(self._connecting):
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> NATS:
        if self._monitor_url:
            await until_durable(self._monitor_url)
        return await nats.connect(self._url, max_reconnect_attempts=-1, reconnect_time_wait=0.5)

    async def close(self) -> None:
        if self._connecting is None:
            return
        if self._connecting.done() and not _is_over(self._connecting):
            await self._connecting.result().close()
        await cancelled(self._connecting)


def _is_over(connecting: "asyncio.Task[NATS]") -> bool:
    return connecting.done() and (connecting.exception() is not None or connecting.result().is_closed)


def _elected(
    service: Service,
    settings: Settings,
    db: Database,
    connected: Connected,
    clock: Clock,
    relay_pool: Pool,
    sealer_pool: Pool,
) -> Work:
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "relay": partial(_publish, service, settings, connected, relay_pool),
        "sealer": Sealer(sealer_pool).run,
        "housekeeping": partial(keep_house, relay_pool, service.short_lived),
        "backlog": partial(show_backlog, relay_pool),
    }
    if settings.audit_heads_file and settings.audit_key_file:
        exporter = Exporter(sealer_pool, service.name, settings.audit_heads_file, settings.audit_key_file)
        work["audit heads"] = exporter.run
    for stream, reads in service.reads.items():
        consumer = Consumer(db, service.name, service.store_type, reads, clock)
        work[f"consumer of {stream}"] = partial(_consume, consumer, connected, stream)
    every = {event_type: handle for reads in service.reads.values() for event_type, handle in reads.items()}
    replays = Consumer(db, service.name, service.store_type, every, clock)
    work["replays"] = partial(replays.run_replays, relay_pool)
    for job in service.jobs:
        work[getattr(job, "__name__", str(job))] = partial(job, db, settings, clock)
    return work


async def _publish(service: Service, settings: Settings, connected: Connected, relay_pool: Pool) -> None:
    """Makes the stream, also when NATS has lost it."""
    client = await connected()
    await ensure_stream(client.jetstream(), service.stream, settings.nats_replicas)
    await Relay(relay_pool, client).run()


async def _consume(consumer: Consumer, connected: Connected, stream: str) -> None:
    """Until cancelled, or until the connection is closed for good. The producer makes its stream; a reader that starts
    first waits for it."""
    js = (await connected()).jetstream()
    try:
        while True:
            try:
                await js.stream_info(stream)
                break
            except nats.js.errors.NotFoundError:
                await asyncio.sleep(STREAM_WAIT_S)
        await consumer.run(js, stream)
    except nats.errors.ConnectionClosedError:
        log.warning("consumer.retry", stream=stream)


async def ensure_stream(js: JetStreamContext, stream: str, replicas: int = 1) -> None:
    config = StreamConfig(
        stream,
        subjects=[f"{stream.lower()}.>"],
        max_age=STREAM_AGE_S,
        duplicate_window=DUPLICATES_S,
        num_replicas=replicas,
    )
    try:
        await js.add_stream(config)
    except nats.js.errors.BadRequestError:  # It is there with other settings.
        await js.update_stream(config)
