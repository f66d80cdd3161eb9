"""Booking one visit and a course of six through gRPC with everything on, beside what PostgreSQL alone can take.

The limit is pgbench with the same writes in the same shape of transaction, role, policies and number of clients
(`limit.sql`), in the same run.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import asyncpg
import grpc

from bench.clinic import TEAMS, Clinic, open_clinic, requests
from bench.harness import Limit, Operation, Result, Stage
from bench.pgbench import pgbench
from chassis.ids import to_wire
from cli.client import Client

SERVICE = "scheduling"
CONCURRENCY = 16
PATH = "/atoll.scheduling.v1.CourseService/BookCourse"
NAMES = {1: "book one visit", 6: "book a course of six"}
BOOKINGS_PER_S_MAX = 2_000
LIMIT = (Path(__file__).parent / "limit.sql").read_text()


async def run(stage: Stage) -> list[Result]:
    clinic = await open_booking_clinic(stage)
    book = Bookings(clinic)
    token = stage.issuer.token("bench", stage.chain, {"ROLE_FRONT_DESK": [to_wire("site", clinic.site_id)]})
    return [
        await stage.measure(
            Operation(
                name=name,
                path=PATH,
                token=token,
                bodies=partial(book.bodies, visits),
                limit=partial(limit, clinic, visits),
                concurrency=CONCURRENCY,
                ended=book.ended,
            )
        )
        for visits, name in NAMES.items()
    ]


class Bookings:
    """What one run leaves over the next one uses."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic, self._booked = clinic, 0

    def bodies(self, visits: int, seconds: float) -> Iterable[bytes]:
        wanted = range(self._booked, self._booked + round(seconds * BOOKINGS_PER_S_MAX))
        return [request.SerializeToString() for request in requests(self._clinic, visits, wanted)]

    def ended(self, calls: int) -> None:
        self._booked += calls


async def open_booking_clinic(stage: Stage) -> Clinic:
    admin = await asyncpg.connect(stage.admin_url)
    with stage.server("-m", "services.scheduling", "serve", workers=1) as (address, _):
        async with grpc.aio.insecure_channel(address) as channel:
            client = Client.issued(channel, stage.issuer, "bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})
            clinic = await open_clinic(client, admin)
    await admin.close()
    return clinic


async def limit(clinic: Clinic, visits: int, stage: Stage) -> Limit:
    given = {
        "last": visits - 1,
        "teams": TEAMS,
        "chain": clinic.chain_id,
        "site": clinic.site_id,
        "protocol_version": clinic.protocol_version_id,
    }
    return pgbench(stage.urls.service, [LIMIT], CONCURRENCY, given=given)
