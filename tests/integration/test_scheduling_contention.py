"""Many clients race for overlapping courses: nothing is taken twice, as many win as can, nobody meets a deadlock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1.course_service_pb2 import Course
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from chassis.db import Database
from chassis.pool import open_pool
from chassis.server import Server
from services.scheduling.__main__ import SERVICE
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running, tokens_of

CLIENTS = 50
ROUNDS_A_WEEK = 8
WINNERS = 2  # There are two rooms and two nurses, and clients for each pair of them.
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
OVERLAPS = """
    SELECT count(*) FROM {table} AS one JOIN {table} AS two USING (chain_id, {holder})
    WHERE one.visit_id < two.visit_id AND one.start_at < two.end_at AND two.start_at < one.end_at
"""


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


@pytest_asyncio.fixture
async def doors(clinic: Clinic) -> AsyncIterator[list[Any]]:
    """Of two workers with connections of their own, on one database."""
    svc = clinic.svc
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(svc.urls.service, size=8))
        server = Server(tokens_of(svc.issuer), svc.clock)
        for descriptor, servicer in SERVICE.servicers(Database(pool)).items():
            server.add(descriptor, servicer)
        ports = await server.start("127.0.0.1:0", "127.0.0.1:0")
        stack.push_async_callback(server.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}"))
        yield [clinic.courses, CourseServiceStub(channel)]


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
async def test_of_fifty_clients_racing_for_overlapping_courses_as_many_win_as_can(
    clinic: Clinic, doors: list[Any], rounds: int
) -> None:
    patients = [await clinic.add_patient() for _ in range(CLIENTS)]
    for number in range(rounds):
        answers = await asyncio.gather(*(race(clinic, doors, patients, number, n) for n in range(CLIENTS)))
        assert sum(isinstance(answer, Course) for answer in answers) == WINNERS
        codes = {answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)}
        assert codes == {StatusCode.FAILED_PRECONDITION}
    assert await clinic.counts("course", "visit", "presence") == [rounds * WINNERS * n for n in (1, 2, 2)]
    assert await clinic.svc.admin.fetchval(DEADLOCKS) == 0
    for table, holder in (("allocation", "resource_id, lane"), ("presence", "patient_id")):
        assert await clinic.svc.admin.fetchval(OVERLAPS.format(table=table, holder=holder)) == 0


async def race(clinic: Clinic, doors: list[Any], patients: list[str], number: int, client: int) -> object:
    """Monday and Thursday, or Tuesday and Friday, at a time that no other round has, give or take a quarter of an
    hour."""
    week, place = divmod(number, ROUNDS_A_WEEK)
    monday = local(3, 15, 8) + 7 * week * DAY
    start = monday + place // 4 * DAY + timedelta(hours=2 * (place % 4), minutes=15 * (client % 3))
    chosen = clinic.nurses[client % 2], clinic.rooms[client // 2 % 2]
    request = clinic.request(patients[client], clinic.treatments([start, start + 3 * DAY], *chosen))
    while True:
        try:
            return (await clinic.svc.call(doors[client % 2].BookCourse, request, within_s=30)).course
        except grpc.aio.AioRpcError as error:
            if error.code() is not StatusCode.UNAVAILABLE:  # Two seconds for a lock, on a machine that is too busy.
                return error
