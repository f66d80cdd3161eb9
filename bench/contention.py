"""Fifty clients at once book courses that overlap: two can win, and all others have to be told so soon.

Held against the same clients at the same times with a team each, who all win: what is left is what racing costs. Not
more than ROUNDS_MAX rounds of each, and no longer than a benchmark's seconds. That as many win as can, and no more, is
checked.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc

from atoll.scheduling.v1.course_service_pb2 import BookCourseRequest
from atoll.scheduling.v1.visit_pb2 import ResourceChoice
from bench.board import REST_OF_TEAMS
from bench.booking import PATH, open_booking_clinic
from bench.clinic import DAYS_APART, KINDS, OPENING, Clinic
from bench.harness import SECONDS, WORKERS, Result, Stage, cpu_seconds, result_of
from bench.load import Load
from chassis.ids import to_wire
from chassis.times import to_timestamp

SERVICE = "scheduling"
CLIENTS, WINNERS, VISITS = 50, 2, 6
TEAMS = CLIENTS + 2
ROUNDS_MAX = 203
WARM_ROUNDS = 3
"""Before anything is counted: connections learn types and statements in them, as they do once in a server's life."""
FIRST_ROUNDS = 20
"""So that PostgreSQL knows tables with something in them: of those that it saw empty, it reads all at each booking."""
CONNECTIONS = 8
EVERY, PLACES, BLOCK = timedelta(hours=3), 16, timedelta(days=14)
"""Rounds that begin within two days, between the visits of one another; and those that come after all of these."""
WITHIN_S = 30.0

Team = Callable[[int], Sequence[int]]
"""By client, which room, nurse and pump it wants."""


@dataclass
class Race:
    won: Load = field(default_factory=Load)
    lost: Load = field(default_factory=Load)
    rounds: int = 0
    cpu_us: float = 0.0


async def run(stage: Stage) -> list[Result]:
    clinic = await open_booking_clinic(stage)
    admin = await asyncpg.connect(stage.admin_url)
    await admin.execute(REST_OF_TEAMS, clinic.chain_id, TEAMS)  # A refusal looks for other places among all there are.
    await admin.close()
    await _run(stage, clinic, _own, range(2 * ROUNDS_MAX, 2 * ROUNDS_MAX + FIRST_ROUNDS), CLIENTS)
    await stage.analyze()
    alone = await _run(stage, clinic, _own, range(ROUNDS_MAX), CLIENTS)
    raced = await _run(stage, clinic, _contested, range(ROUNDS_MAX, 2 * ROUNDS_MAX), WINNERS)
    return [
        result_of(name, CLIENTS, load, alone.won, raced.cpu_us, {})
        for name, load in (("win a race of fifty", raced.won), ("lose a race of fifty", raced.lost))
    ]


def _own(client: int) -> Sequence[int]:
    team = 2 + client
    return team, team, team


def _contested(client: int) -> Sequence[int]:
    """Of two rooms and two nurses; pumps there are enough."""
    return client // 2 % 2, client % 2, 2 + client


async def _run(stage: Stage, clinic: Clinic, team: Team, rounds: Sequence[int], winners: int) -> Race:
    race = Race()
    token = stage.issuer.token("bench", stage.chain, {"ROLE_FRONT_DESK": [to_wire("site", clinic.site_id)]})
    metadata = [("authorization", f"Bearer {token}")]
    with stage.server("-m", "services.scheduling", "serve", workers=WORKERS) as (address, process):
        async with AsyncExitStack() as stack:
            doors = [await stack.enter_async_context(_channel(address)) for _ in range(CONNECTIONS)]
            calls: list[Any] = [door.unary_unary(PATH) for door in doors]

            async def told(number: int) -> list[tuple[bool, float]]:
                bodies = [_request(clinic, number, n, team(n)) for n in range(CLIENTS)]
                answers = [_timed(calls[n % CONNECTIONS], body, metadata) for n, body in enumerate(bodies)]
                return await asyncio.gather(*answers)

            for number in rounds[:WARM_ROUNDS]:
                await told(number)
            cpu, began = cpu_seconds(process), perf_counter()
            for number in takewhile(lambda _: perf_counter() - began < SECONDS, rounds[WARM_ROUNDS:]):
                outcomes = await told(number)
                assert sum(won for won, _ in outcomes) == winners
                for won, seconds in outcomes:
                    (race.won if won else race.lost).latencies.append(seconds)
                race.rounds += 1
            race.cpu_us = (cpu_seconds(process) - cpu) / (race.rounds * CLIENTS) * 1e6
            race.won.seconds = race.lost.seconds = perf_counter() - began
    race.won.latencies.sort()
    race.lost.latencies.sort()
    return race


def _channel(address: str) -> grpc.aio.Channel:
    """With a connection of its own, so that both workers are called."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def _timed(call: Any, body: bytes, metadata: Sequence[tuple[str, str]]) -> tuple[bool, float]:
    """Whether it was booked, and in how many seconds that was told. Sent again where a lock was waited for in vain."""
    began = perf_counter()
    while True:
        try:
            await call(body, metadata=metadata, timeout=WITHIN_S)
            return True, perf_counter() - began
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return False, perf_counter() - began
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


def _request(clinic: Clinic, number: int, client: int, team: Sequence[int]) -> bytes:
    """A quarter of an hour apart from those of other clients or not at all: an hour's visits overlap anyway."""
    block, place = divmod(number, PLACES)
    start = OPENING + block * BLOCK + place * EVERY + client % 3 * timedelta(minutes=15)
    resources = [
        ResourceChoice(requirement_key=key, resource_id=to_wire("resource", UUID(int=kind * 1_000_000 + n)))
        for (key, (_, kind)), n in zip(KINDS.items(), team, strict=True)
    ]
    return BookCourseRequest(
        request_id=str(uuid4()),
        site_id=to_wire("site", clinic.site_id),
        patient_id=to_wire("patient", UUID(int=9_000_000_000 + client)),
        protocol_version_id=to_wire("protocolversion", clinic.protocol_version_id),
        route_code="iv",
        visits=[
            BookCourseRequest.VisitChoice(
                phase_code="induction",
                start_time=to_timestamp(start + visit * timedelta(days=DAYS_APART)),
                resources=resources,
            )
            for visit in range(VISITS)
        ],
    ).SerializeToString()
