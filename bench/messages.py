"""Reminders that are due at once, sent by the service's own job to a real SMTP server on this machine, every rule on:
contact looked up for each, suppressions asked for, intent and end committed.

The limit is the same number of letters, handed to the same server by as many conversations, and nothing else. Beside
the rate: the memory that the service takes while ten times as many wait.

And how long it takes from the event of a booking, as it is published, until its confirmation is handed over, where
nothing holds it back: to be under two seconds for 99 of 100. The limit there: letters handed over at the same rate.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import grpc
import nats
import psutil
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console

from atoll.common.v1.event_meta_pb2 import EventMeta
from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, ContactPoint
from atoll.patients.v1.patient_service_pb2 import ContactDetails, GetContactDetailsRequest, GetContactDetailsResponse
from atoll.scheduling.v1.events_pb2 import BookedVisit, CourseBooked
from bench.harness import Result, Stage, cpu_seconds, result_of
from bench.load import Load
from chassis.consumer import fact_of
from chassis.ids import from_wire, new_id, to_wire
from chassis.service import ensure_stream
from chassis.times import to_timestamp
from services.notifications.channels.email import Letter, Mailer, compose
from services.notifications.sender import IN_HAND_MAX

SERVICE = "notifications"
DUE, WAITING = 10_000, 100_000
EVENTS, EVENTS_A_SECOND, WARM = 600, 20, 60
TOLD_WITHIN_S = 2.0
PATIENCE_S, SENT_WITHIN_S = 60.0, 600.0
"""What is not over by then will not be: the run fails instead of waiting."""
HOST = "127.0.0.1"
PATIENTS_SERVICE = "atoll.patients.v1.PatientService"
SITE = UUID(int=7)
FILL = (
    "INSERT INTO chain VALUES ($1)",
    f"INSERT INTO site VALUES ($1, '{SITE}', 'Harbor Lane', 'America/Denver', '1 Main St', '+15055550100', 1)",
    "INSERT INTO patient SELECT $1, md5('patient ' || n)::uuid, 'Etc/GMT' || zone, 1 FROM generate_series(1, $2) n, "
    "(SELECT CASE WHEN hour > 12 THEN '+' || hour - 12 ELSE '-' || 12 - hour END AS zone "
    "FROM (SELECT extract(hour FROM now() AT TIME ZONE 'UTC')::int AS hour) AS clock) AS noon",
    "INSERT INTO visit (chain_id, id, site_id, patient_id, status, start_at, end_at, telehealth) "
    f"SELECT $1, md5('visit ' || n)::uuid, '{SITE}', md5('patient ' || n)::uuid, 'BOOKED', now() + interval '2 days', "
    "now() + interval '2 days 1 hour', false FROM generate_series(1, $2) n",
    "INSERT INTO message (chain_id, id, site_id, patient_id, visit_id, for_start, kind, rule, cadence_version, anchor, "
    "anchor_at, offset_minutes, until_at, channel, channels, due_at, status, event_id) "
    f"SELECT $1, md5('message ' || n)::uuid, '{SITE}', visit.patient_id, visit.id, start_at, 'VISIT_REMINDER', "
    "'visit_reminder', 0, 'START', start_at, -2880, start_at, 'EMAIL', '{EMAIL,SMS}', now(), 'SCHEDULED', "
    "gen_random_uuid() FROM generate_series(1, $2) n JOIN visit ON visit.id = md5('visit ' || n)::uuid",
)
"""Whatever the hour, it is noon where the patients are."""


@dataclass
class Neighbours:
    """A mail server that counts, and a patients service that knows everybody."""

    smtp_port: int = 0
    patients: str = ""
    arrived: int = 0
    arrived_at: dict[str, float] = field(default_factory=dict)
    """When the last letter to each address came."""
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd calls it by this name for each letter."""
        self.arrived += 1
        self.arrived_at[envelope.rcpt_tos[0]] = time.perf_counter()
        self.began.set()
        return "250 OK"

    async def contact(
        self, request: GetContactDetailsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> GetContactDetailsResponse:
        point = ContactPoint(system=CONTACT_SYSTEM_EMAIL, value=f"{request.patient_id}@example.org")
        details = ContactDetails(patient_id=request.patient_id, given_name="Ana", language="en", contact_points=[point])
        return GetContactDetailsResponse(contact_details=details)


@asynccontextmanager
async def neighbours() -> AsyncIterator[Neighbours]:
    made, loop = Neighbours(), asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(made, hostname="mail.example.org", loop=loop), HOST, 0)
    made.smtp_port = mail.sockets[0].getsockname()[1]
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        made.contact, GetContactDetailsRequest.FromString, GetContactDetailsResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(PATIENTS_SERVICE, {"GetContactDetails": handler})]
    )
    made.patients = f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
    await server.start()
    yield made
    await server.stop(None)
    mail.close()


async def run(stage: Stage) -> list[Result]:
    admin = await asyncpg.connect(stage.admin_url)
    chain_id = from_wire("chain", stage.chain)
    async with neighbours() as around:
        limit = await _bare(around, DUE // 4)
        await _fill(admin, chain_id, DUE)
        load, cpu, _ = await _sent(stage, admin, around, DUE)
        await admin.execute("TRUNCATE message, attempt, visit, patient, site, chain CASCADE")
        await _fill(admin, chain_id, WAITING)
        _, _, memory = await _sent(stage, admin, around, DUE)
        await admin.execute("TRUNCATE message, attempt, visit, patient, site, chain CASCADE")
        await _fill(admin, chain_id, EVENTS, FILL[:3])
        paced = await _bare_at_rate(around)
        told, told_cpu = await _told(stage, around)
    await admin.close()
    Console().print(f"{WAITING:,} messages waiting: the service takes {memory / 2**20:.0f} MB at most")
    p99 = told.percentile(0.99)
    Console().print(f"event to SMTP: p99 {p99:.2f} s, to be under {TOLD_WITHIN_S:.0f} s")
    return [
        result_of(f"{DUE:,} reminders to SMTP", IN_HAND_MAX, load, limit, cpu / DUE * 1e6, {}),
        result_of("event to SMTP", 1, told, paced, told_cpu / EVENTS * 1e6, {}),
    ]


async def _fill(admin: asyncpg.Connection, chain_id: UUID, count: int, statements: Sequence[str] = FILL) -> None:
    for statement in statements:
        await admin.execute(statement, *([chain_id, count] if "$2" in statement else [chain_id]))
    await admin.execute("VACUUM ANALYZE")


async def _sent(stage: Stage, admin: asyncpg.Connection, around: Neighbours, count: int) -> tuple[Load, float, int]:
    """Until so many have arrived: how long each took in turn, the CPU time of the service, and its memory at most."""
    around.arrived = 0
    around.began.clear()
    more = _environment(stage, around)
    with stage.server("-m", f"services.{SERVICE}", "serve", workers=1, **more) as (_, process):
        async with asyncio.timeout(SENT_WITHIN_S):
            await around.began.wait()
            began, cpu, memory, first = time.perf_counter(), cpu_seconds(process), 0, around.arrived
            while around.arrived < count:
                memory = max(memory, _memory(process))
                await asyncio.sleep(0.1)
        seconds, done = time.perf_counter() - began, around.arrived - first
        return Load(seconds, [seconds / done] * done), cpu_seconds(process) - cpu, memory


def _environment(stage: Stage, around: Neighbours) -> dict[str, str]:
    token = stage.folder / "service-token"
    token.write_text(stage.issuer.service_token(SERVICE))
    return {
        "ATOLL_PATIENTS_ADDRESS": around.patients,
        "ATOLL_SMTP_PORT": str(around.smtp_port),
        "ATOLL_SERVICE_TOKEN_FILE": str(token),
    }


async def _told(stage: Stage, around: Neighbours) -> tuple[Load, float]:
    """Bookings, published one after another at a steady rate: how long until each is confirmed by email, and the CPU
    time of the service. The first of them, by which it gets warm, are not counted."""
    around.arrived_at.clear()
    published = dict[str, float]()
    client = await nats.connect(stage.nats_url)
    js = client.jetstream()
    await ensure_stream(js, "SCHEDULING")
    with stage.server("-m", f"services.{SERVICE}", "serve", workers=1, **_environment(stage, around)) as (_, process):
        cpu, began = cpu_seconds(process), time.perf_counter()
        for number in range(EVENTS):
            await asyncio.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.perf_counter()))
            event = _booking(stage.chain, number)
            subject, about = f"{fact_of(CourseBooked)}.{stage.chain}", f"{event.patient_id}@example.org"
            published[about] = time.perf_counter()
            headers = {"Nats-Msg-Id": event.meta.event_id}
            await js.publish(subject, event.SerializeToString(), headers=headers)
        async with asyncio.timeout(PATIENCE_S):
            while len(around.arrived_at) < EVENTS:  # noqa: ASYNC110  # The server that counts knows nobody who waits.
                await asyncio.sleep(0.05)
        seconds, cpu = time.perf_counter() - began, cpu_seconds(process) - cpu
    await client.close()
    waited = [around.arrived_at[about] - at for about, at in list(published.items())[WARM:]]
    return Load(seconds, sorted(waited)), cpu


def _booking(chain: str, number: int) -> CourseBooked:
    """Of a patient's only visit, weeks ahead."""
    patient_id = UUID(hashlib.md5(f"patient {number + 1}".encode(), usedforsecurity=False).hexdigest())
    now = datetime.now(UTC)
    site_id = to_wire("site", SITE)
    return CourseBooked(
        meta=EventMeta(
            event_id=str(uuid4()),
            occur_time=to_timestamp(now),
            chain_id=chain,
            site_id=site_id,
            actor="bench",
            cause=str(uuid4()),
            aggregate_version=1,
        ),
        course_id=to_wire("course", new_id()),
        site_id=site_id,
        patient_id=to_wire("patient", patient_id),
        visits=[BookedVisit(visit_id=to_wire("visit", new_id()), start_time=to_timestamp(now + timedelta(days=21)))],
    )


def _memory(process: psutil.Process) -> int:
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


async def _bare(around: Neighbours, count: int) -> Load:
    """Letters to the same server and nothing else."""
    mailer, now, left = Mailer(HOST, around.smtp_port), datetime.now(UTC), iter(range(count))
    mail = compose(Letter("a@example.org", "A", "b@example.org", "Reminder", "Text\n" * 20, "message", "en", now))

    async def hand_over() -> None:
        for _ in left:
            await mailer.send(mail)

    began = time.perf_counter()
    await asyncio.gather(*(hand_over() for _ in range(IN_HAND_MAX)))
    seconds = time.perf_counter() - began
    return Load(seconds, [seconds / count] * count)


async def _bare_at_rate(around: Neighbours) -> Load:
    """Letters to the same server, as many a second as there are events."""
    mailer, now, waited = Mailer(HOST, around.smtp_port), datetime.now(UTC), list[float]()
    mail = compose(Letter("a@example.org", "A", "b@example.org", "Booked", "Text\n" * 20, "message", "en", now))
    began = time.perf_counter()
    for number in range(EVENTS // 4):
        await asyncio.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.perf_counter()))
        handed_over = time.perf_counter()
        await mailer.send(mail)
        waited.append(time.perf_counter() - handed_over)
    return Load(time.perf_counter() - began, sorted(waited))
