"""Planning a course of six and finding openings at a busy site; booking while four plans are asked for all the time.

What plans and openings are held against is the reckoning alone, in this one process: the rest is gRPC, the calendar's
way out of the database, and the way to the process that reckons and back. Bookings beside plans are held against the
same without plans.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from itertools import cycle, islice
from time import perf_counter
from typing import Any
from uuid import UUID

import asyncpg
import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from atoll.scheduling.v1.course_service_pb2 import PlanCourseRequest
from atoll.scheduling.v1.legal_entity_service_pb2 import CreateLegalEntityRequest
from atoll.scheduling.v1.legal_entity_service_pb2_grpc import LegalEntityServiceStub
from atoll.scheduling.v1.opening_service_pb2 import FindOpeningsRequest
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from atoll.scheduling.v1.protocol_service_pb2 import (
    AdoptProtocolVersionRequest,
    CreateProtocolRequest,
    PublishProtocolVersionRequest,
)
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from atoll.scheduling.v1.site_service_pb2 import CreateSiteRequest
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from bench import booking, busy
from bench.harness import SECONDS, Beside, Limit, Operation, Result, Stage
from bench.load import Load
from chassis.ids import from_wire, to_wire
from chassis.times import to_date
from cli.client import Client
from services.scheduling.domain.hours import DAY, MINUTE
from services.scheduling.domain.planning import Between, OpeningsWish, Place, Tastes, answer, find_openings

SERVICE = "scheduling"
COURSES = "/atoll.scheduling.v1.CourseService"
FIND = "/atoll.scheduling.v1.OpeningService/FindOpenings"
SIZES = {"8 rooms": (8, 12), "40 rooms": (40, 80)}
PLANS_AT_ONCE = 4
CALLS_PER_S_MAX = 500
KEPT: dict[str, tuple[str, ...]] = {"": (), ", one nurse": ("nurse",), ", one nurse and room": ("nurse", "room")}
PLAN_S, BOOKING_S = min(2.0, SECONDS), min(5.0, SECONDS)
"""The whole benchmark is to take less than two minutes."""
PATIENT = UUID(int=8_000_000_000)

RESOURCE = """
    INSERT INTO resource (chain_id, id, site_id, kind, display_name, capabilities, lane_count, working_hours, time_off,
        credential, npi)
    VALUES ($1, $2, $3, $4, 'one', $5, $6, '[]', '[]', '', '')
"""
TAKEN = """
    INSERT INTO allocation (chain_id, visit_id, site_id, resource_id, lane, start_at, end_at)
    SELECT $1, gen_random_uuid(), $2, $3, $4, start_at, end_at FROM unnest($5::timestamptz[], $6::timestamptz[])
        AS span (start_at, end_at)
"""


async def run(stage: Stage) -> list[Result]:
    clinic = await booking.open_booking_clinic(stage)
    sites = {size: await _open_busy_site(stage, size, number) for number, size in enumerate(SIZES)}
    token = stage.issuer.token("bench", stage.chain, {"ROLE_FRONT_DESK": ["*"]})
    results = list[Result]()
    for size, (site_id, version_id, place) in sites.items():
        for kept, keys in KEPT.items():
            body = _plan_request(site_id, version_id, keys).SerializeToString()
            wish = replace(busy.wish(), same=keys)
            reckon = partial(answer, [place], wish, busy.NOW, explain=False)
            results.append(await stage.measure(_reckoned(f"plan a course of six, {size}{kept}", token, body, reckon)))
    site_id, version_id, place = sites["8 rooms"]
    days = Between(busy.FIRST, busy.FIRST + 13 * DAY)
    openings = OpeningsWish("induction", days, (), Tastes(), (), 51, None, False)
    body = _openings_request(site_id, version_id).SerializeToString()
    finding = _reckoned("find openings", token, body, partial(find_openings, [place], openings, busy.NOW))
    results.append(await stage.measure(replace(finding, path=FIND)))
    book = booking.Bookings(clinic)
    plan = _plan_request(site_id, version_id, ()).SerializeToString()
    operation = Operation(
        name="book a course of six while four plans run",
        path=f"{COURSES}/BookCourse",
        token=token,
        bodies=partial(book.bodies, 6),
        limit=lambda stage: _without_plans(operation, stage),
        concurrency=booking.CONCURRENCY,
        ended=book.ended,
        beside=Beside(f"{COURSES}/PlanCourse", partial(_again, plan), PLANS_AT_ONCE),
        seconds=BOOKING_S,
    )
    results.append(await stage.measure(operation))
    return results


def _reckoned(name: str, token: str, body: bytes, reckon: Callable[[], object]) -> Operation:
    return Operation(
        name=name,
        path=f"{COURSES}/PlanCourse",
        token=token,
        bodies=partial(_again, body),
        limit=partial(_reckoning, reckon),
        concurrency=1,
        workers=1,
        seconds=PLAN_S,
    )


async def _without_plans(operation: Operation, stage: Stage) -> Limit:
    alone = replace(operation, beside=None, seconds=operation.seconds / 2)

    async def take() -> Load:
        await stage.analyze()
        load, _ = await stage.loaded(alone)
        return load

    return take


def _again(body: bytes, seconds: float) -> Iterable[bytes]:
    return islice(cycle([body]), round(seconds * CALLS_PER_S_MAX) + 1)


async def _reckoning(work: Callable[[], object], stage: Stage) -> Limit:
    return partial(_alone, work)


async def _alone(work: Callable[[], object]) -> Load:
    load, began = Load(), perf_counter()
    while (now := perf_counter()) - began < PLAN_S / 2:
        work()
        load.latencies.append(perf_counter() - now)
        await asyncio.sleep(0)
    load.seconds = perf_counter() - began
    load.latencies.sort()
    return load


async def _open_busy_site(stage: Stage, size: str, number: int) -> tuple[str, str, Place]:
    """The site and its protocol through the API; who is there and what is taken straight into the tables."""
    place = busy.place(*SIZES[size], first_id=10_000 * (number + 1))
    with stage.server("-m", "services.scheduling", "serve", workers=1) as (address, _):
        async with grpc.aio.insecure_channel(address) as channel:
            client = Client.issued(channel, stage.issuer, "bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})
            site_id, version_id = await _register(client, f"busy_{number}")
    admin = await asyncpg.connect(stage.admin_url)
    await admin.execute("SET session_replication_role = replica")  # What is taken is of no visit.
    chain, site = from_wire("chain", stage.chain), from_wire("site", site_id)
    calendar = place.calendar
    for each in calendar.resources:
        await admin.execute(RESOURCE, chain, each.id, site, each.kind, sorted(each.capabilities), each.lane_count)
    for (id, lane), spans in calendar.taken.items():
        starts, ends = ([calendar.origin + minute * MINUTE for minute in spans[n::2]] for n in (0, 1))
        await admin.execute(TAKEN, chain, site, id, lane, starts, ends)
    await admin.execute("ANALYZE")
    await admin.close()
    return site_id, version_id, place


async def _register(client: Client, code: str) -> tuple[str, str]:
    async def call(stub: Any, name: str, request: Message) -> Any:
        return await client.call(stub, name, request)

    entity = await call(LegalEntityServiceStub, "CreateLegalEntity", CreateLegalEntityRequest(display_name="Bench"))
    open_days = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
    hours = {"start_time": {"hours": busy.OPENS // 60}, "end_time": {"hours": busy.CLOSES // 60}}
    site_request = {
        "legal_entity_id": entity.legal_entity.id,
        "code": code,
        "display_name": "Busy",
        "discreet_name": "Busy",
        "address": {"region_code": "US", "locality": "Denver", "address_lines": ["1 Main St"]},
        "state": "CO",
        "time_zone": busy.ZONE.key,
        "phone": "+13035550110",
        "opening_hours": [{"day": day, **hours} for day in open_days],
    }
    site = await call(SiteServiceStub, "CreateSite", ParseDict(site_request, CreateSiteRequest()))
    protocol = await call(ProtocolServiceStub, "CreateProtocol", CreateProtocolRequest(code=code, display_name="Six"))
    template = ParseDict(asdict(busy.template()), ProtocolTemplate())
    publish = PublishProtocolVersionRequest(protocol_id=protocol.protocol.id, template=template)
    version_id = (await call(ProtocolServiceStub, "PublishProtocolVersion", publish)).protocol_version.id
    adopt = AdoptProtocolVersionRequest(site_id=site.site.id, protocol_version_id=version_id)
    await call(ProtocolServiceStub, "AdoptProtocolVersion", adopt)
    return site.site.id, version_id


def _plan_request(site_id: str, version_id: str, same: Iterable[str]) -> PlanCourseRequest:
    wish = busy.wish()
    return PlanCourseRequest(
        site_id=site_id,
        patient_id=to_wire("patient", PATIENT),
        protocol_version_id=version_id,
        route_code=wish.route_code,
        earliest_date=to_date(wish.earliest),
        latest_date=to_date(wish.latest),
        same_requirement_keys=same,
    )


def _openings_request(site_id: str, version_id: str) -> FindOpeningsRequest:
    return FindOpeningsRequest(
        site_id=site_id,
        patient_id=to_wire("patient", PATIENT),
        protocol_version_id=version_id,
        phase_code="induction",
        earliest_date=to_date(busy.FIRST),
        latest_date=to_date(busy.FIRST + 13 * DAY),
    )
