"""The day board of a site with 200 visits, through gRPC with everything on, as a front desk reads it all day.

25 teams of a room, a nurse and a pump have eight visits each, of courses of six; some are over, some under way. The
limit is pgbench with the same SQL, recorded. The next limit beside it is the 20 ms that its slowest hundredth may take.
"""

import itertools
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import grpc

from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1.board_service_pb2 import GetDayBoardRequest
from atoll.scheduling.v1.course_service_pb2 import BookCourseRequest
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, Segment, SegmentKind
from atoll.scheduling.v1.protocol_service_pb2 import (
    AdoptProtocolVersionRequest,
    GetProtocolVersionRequest,
    PublishProtocolVersionRequest,
)
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from atoll.scheduling.v1.visit_pb2 import ResourceChoice
from atoll.scheduling.v1.visit_service_pb2_grpc import VisitServiceStub
from bench.clinic import DAYS_APART, KINDS, OPENING, Clinic, open_clinic
from bench.harness import Limit, Operation, Result, Stage
from bench.pgbench import pgbench, recorded, script
from chassis.call import Call
from chassis.clock import set_clock
from chassis.db import Database
from chassis.ids import to_wire
from chassis.times import to_date, to_timestamp, utc_now
from cli.client import Client
from services.scheduling.rpc.board import BoardServicer

SERVICE = "scheduling"
PATH = "/atoll.scheduling.v1.BoardService/GetDayBoard"
CONCURRENCY = 1
"""A board's p99 is what one who looks at it waits, not how long eight wait for one another."""
TEAMS, VISITS_EACH, EVERY = 25, 8, timedelta(hours=2)
MINUTES = {"PREPARATION": 10, "ADMINISTRATION": 40, "OBSERVATION": 30, "TURNOVER": 10}
COURSE_VISITS = 6
REST_OF_TEAMS = "DELETE FROM resource WHERE chain_id = $1 AND substr(display_name, 6)::int >= $2"
EARLY = timedelta(hours=4)
"""Before the day, it is booked, and its patients come."""
UNDER_WAY = (("CheckInVisit", 100), ("StartTreatment", 90), ("StartObservation", 80), ("CompleteVisit", 60))
"""How many of the day's visits came so far."""


async def run(stage: Stage) -> list[Result]:
    clinic = await _open_day(stage)
    request = GetDayBoardRequest(site_id=to_wire("site", clinic.site_id), date=to_date(OPENING.date()))
    token = stage.issuer.token("bench", stage.chain, {"ROLE_FRONT_DESK": [request.site_id]})
    return [
        await stage.measure(
            Operation(
                name=f"day board of {TEAMS * VISITS_EACH} visits",
                path=PATH,
                token=token,
                bodies=partial(_bodies, request),
                limit=partial(_limit, clinic, request),
                concurrency=CONCURRENCY,
                workers=1,
            )
        )
    ]


def _bodies(request: GetDayBoardRequest, seconds: float) -> Iterable[bytes]:
    return itertools.repeat(request.SerializeToString())


async def _limit(clinic: Clinic, request: GetDayBoardRequest, stage: Stage) -> Limit:
    async def read(db: Database) -> None:
        method = PATH[1:].replace("/", ".")
        call = Call(clinic.chain_id, frozenset({clinic.site_id}), "bench", method, "", AUDIT_PHI_READ, utc_now())
        await BoardServicer(db).GetDayBoard(request, call)

    queries = await recorded(stage.urls.service, read)
    return pgbench(stage.urls.service, [script(queries, {})], CONCURRENCY)


async def _open_day(stage: Stage) -> Clinic:
    admin = await asyncpg.connect(stage.admin_url)
    clock = stage.folder / "clock"
    set_clock(clock, OPENING - EARLY)
    with stage.server("-m", "services.scheduling", "serve", workers=1, ATOLL_CLOCK=str(clock)) as (address, _):
        async with grpc.aio.insecure_channel(address) as channel:
            roles = {"ROLE_CHAIN_ADMIN": ["*"], "ROLE_NURSE": ["*"]}
            client = Client.issued(channel, stage.issuer, "bench", stage.chain, roles)
            clinic = await open_clinic(client, admin)
            await admin.execute(REST_OF_TEAMS, clinic.chain_id, TEAMS)
            version_id = await _publish(client, clinic)
            booked = [await _book(client, clinic, version_id, n) for n in range(TEAMS * VISITS_EACH)]
            for name, count in UNDER_WAY:
                for visit_id in booked[:count]:
                    await client.call(VisitServiceStub, name, getattr(visits, f"{name}Request")(visit_id=visit_id))
    await admin.close()
    return clinic


async def _publish(client: Client, clinic: Clinic) -> str:
    """A version with the four segments of a treatment."""
    get = GetProtocolVersionRequest(protocol_version_id=to_wire("protocolversion", clinic.protocol_version_id))
    found = (await client.call(ProtocolServiceStub, "GetProtocolVersion", get)).protocol_version
    template: ProtocolTemplate = found.template
    segments = template.visit_types[0].segments
    uses = list(segments[0].uses)
    del segments[:]
    segments.extend(
        Segment(kind=SegmentKind.Value(f"SEGMENT_KIND_{kind}"), minutes=minutes, uses=uses)
        for kind, minutes in MINUTES.items()
    )
    publish = PublishProtocolVersionRequest(protocol_id=found.protocol_id, template=template)
    version_id = str((await client.call(ProtocolServiceStub, "PublishProtocolVersion", publish)).protocol_version.id)
    adopt = AdoptProtocolVersionRequest(site_id=to_wire("site", clinic.site_id), protocol_version_id=version_id)
    await client.call(ProtocolServiceStub, "AdoptProtocolVersion", adopt)
    return version_id


async def _book(client: Client, clinic: Clinic, version_id: str, n: int) -> str:
    """The first visit of a course of six, which is on the day."""
    team = [
        ResourceChoice(requirement_key=key, resource_id=to_wire("resource", UUID(int=number * 1_000_000 + n % TEAMS)))
        for key, (_, number) in KINDS.items()
    ]
    start = OPENING + EVERY * (n // TEAMS)
    choices = [
        BookCourseRequest.VisitChoice(
            phase_code="induction", start_time=to_timestamp(start + k * timedelta(days=DAYS_APART)), resources=team
        )
        for k in range(COURSE_VISITS)
    ]
    request = BookCourseRequest(
        site_id=to_wire("site", clinic.site_id),
        patient_id=to_wire("patient", UUID(int=9_000_000_000 + n)),
        protocol_version_id=version_id,
        route_code="iv",
        visits=choices,
    )
    return str((await client.call(CourseServiceStub, "BookCourse", request)).course.visits[0].id)
