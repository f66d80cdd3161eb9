"""Reminders that are due at once, sent by the service's own job to a real SMTP server on this machine, every rule on:
contact looked up for each, suppressions asked for, intent and end committed.

The limit is the same number of letters, handed to the same server by as many conversations, and nothing else. Beside
the rate: the memory that the service takes while ten times as many wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import grpc
import psutil
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, ContactPoint
from atoll.patients.v1.patient_service_pb2 import ContactDetails, GetContactDetailsRequest, GetContactDetailsResponse
from bench.harness import Result, Stage, cpu_seconds, result_of
from bench.load import Load
from chassis.ids import from_wire
from services.notifications.channels.email import Letter, Mailer, compose
from services.notifications.sender import IN_HAND_MAX

SERVICE = "notifications"
DUE, WAITING = 10_000, 100_000
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
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd calls it by this name for each letter."""
        self.arrived += 1
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
    await admin.close()
    Console().print(f"{WAITING:,} messages waiting: the service takes {memory / 2**20:.0f} MB at most")
    return [result_of(f"{DUE:,} reminders to SMTP", IN_HAND_MAX, load, limit, cpu / DUE * 1e6, {})]


async def _fill(admin: asyncpg.Connection, chain_id: UUID, count: int) -> None:
    for statement in FILL:
        await admin.execute(statement, *([chain_id, count] if "$2" in statement else [chain_id]))
    await admin.execute("VACUUM ANALYZE")


async def _sent(stage: Stage, admin: asyncpg.Connection, around: Neighbours, count: int) -> tuple[Load, float, int]:
    """Until so many have arrived: how long each took in turn, the CPU time of the service, and its memory at most."""
    around.arrived = 0
    around.began.clear()
    token = stage.folder / "service-token"
    token.write_text(stage.issuer.service_token(SERVICE))
    more = {
        "ATOLL_PATIENTS_ADDRESS": around.patients,
        "ATOLL_SMTP_PORT": str(around.smtp_port),
        "ATOLL_SERVICE_TOKEN_FILE": str(token),
    }
    with stage.server("-m", f"services.{SERVICE}", "serve", workers=1, **more) as (_, process):
        await around.began.wait()
        began, cpu, memory, first = time.perf_counter(), cpu_seconds(process), 0, around.arrived
        while around.arrived < count:
            memory = max(memory, _memory(process))
            await asyncio.sleep(0.1)
        seconds, done = time.perf_counter() - began, around.arrived - first
        return Load(seconds, [seconds / done] * done), cpu_seconds(process) - cpu, memory


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
