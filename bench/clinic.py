"""The clinic that the booking benchmark books at: one site that never closes, teams of a room, a nurse and a pump."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.postal_address_pb2 import PostalAddress
from google.type.timeofday_pb2 import TimeOfDay

from atoll.scheduling.v1.chain_service_pb2 import CreateChainRequest
from atoll.scheduling.v1.chain_service_pb2_grpc import ChainServiceStub
from atoll.scheduling.v1.course_service_pb2 import BookCourseRequest
from atoll.scheduling.v1.hours_pb2 import DayHours
from atoll.scheduling.v1.legal_entity_service_pb2 import CreateLegalEntityRequest
from atoll.scheduling.v1.legal_entity_service_pb2_grpc import LegalEntityServiceStub
from atoll.scheduling.v1.protocol_pb2 import (
    DurationBand,
    Phase,
    PhaseKind,
    ProtocolTemplate,
    Requirement,
    ResourceKind,
    Route,
    Segment,
    SegmentKind,
    VisitType,
)
from atoll.scheduling.v1.protocol_service_pb2 import (
    AdoptProtocolVersionRequest,
    CreateProtocolRequest,
    PublishProtocolVersionRequest,
)
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from atoll.scheduling.v1.site_service_pb2 import CreateSiteRequest
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from atoll.scheduling.v1.visit_pb2 import ResourceChoice
from chassis.ids import from_wire, to_wire
from chassis.times import to_timestamp
from cli.client import Client

TEAMS = 2_000
PATIENTS = 90_000
KINDS = {"room": ("ROOM", 1), "nurse": ("STAFF", 2), "pump": ("EQUIPMENT", 3)}
OPENING = datetime(2030, 1, 1, 8, tzinfo=UTC)
VISIT_EVERY = timedelta(minutes=90)
DAYS_APART = 2

RESOURCES = """
    INSERT INTO resource (chain_id, id, site_id, kind, display_name, capabilities, lane_count, working_hours, time_off,
        credential, npi)
    SELECT $1, ('00000000-0000-0000-0000-' || lpad(to_hex($4 * 1000000 + n), 12, '0'))::uuid, $2, $3, 'team ' || n,
        '{}', 1, '[]', '[]', '', ''
    FROM generate_series(0, $5 - 1) AS n
"""
PATIENT_ROWS = """
    INSERT INTO patient (chain_id, patient_id)
    SELECT $1, ('00000000-0000-0000-0000-' || lpad(to_hex(9000000000 + n), 12, '0'))::uuid
    FROM generate_series(0, $2 - 1) AS n
"""
CLEARANCES = """
    INSERT INTO clearance (chain_id, id, patient_id, protocol_id, route_codes, effective_date, expire_date, revoked)
    SELECT $1, gen_random_uuid(), patient_id, $2, '{iv}', '2026-01-01', '2050-01-01', false
    FROM patient WHERE chain_id = $1
"""


@dataclass(frozen=True, slots=True)
class Clinic:
    chain_id: UUID
    site_id: UUID
    protocol_version_id: UUID


async def open_clinic(client: Client, admin: "asyncpg.Connection[asyncpg.Record]") -> Clinic:
    """The site and its protocol through the API; two thousand teams and the patients straight into the tables."""
    await client.call(ChainServiceStub, "CreateChain", CreateChainRequest(display_name="Bench"))
    entity = await client.call(
        LegalEntityServiceStub, "CreateLegalEntity", CreateLegalEntityRequest(display_name="Bench")
    )
    site = await client.call(SiteServiceStub, "CreateSite", _site_request(entity.legal_entity.id))
    protocol = await client.call(
        ProtocolServiceStub, "CreateProtocol", CreateProtocolRequest(code="iv", display_name="Infusions")
    )
    version = await client.call(
        ProtocolServiceStub,
        "PublishProtocolVersion",
        PublishProtocolVersionRequest(protocol_id=protocol.protocol.id, template=_template()),
    )
    version_id = version.protocol_version.id
    adoption = AdoptProtocolVersionRequest(site_id=site.site.id, protocol_version_id=version_id)
    await client.call(ProtocolServiceStub, "AdoptProtocolVersion", adoption)
    chain_id, site_id = from_wire("chain", client.chain_id), from_wire("site", site.site.id)
    for kind, number in KINDS.values():
        await admin.execute(RESOURCES, chain_id, site_id, f"RESOURCE_KIND_{kind}", number, TEAMS)
    await admin.execute(PATIENT_ROWS, chain_id, PATIENTS)
    await admin.execute(CLEARANCES, chain_id, from_wire("protocol", protocol.protocol.id))
    await admin.execute("ANALYZE")
    return Clinic(chain_id, site_id, from_wire("protocolversion", version_id))


def requests(clinic: Clinic, visits: int, numbers: range) -> Iterator[BookCourseRequest]:
    """Each for another patient, each on a free slot of the next team; a number gives the same booking each time."""
    assert numbers.stop <= PATIENTS
    site_id = to_wire("site", clinic.site_id)
    version_id = to_wire("protocolversion", clinic.protocol_version_id)
    for n in numbers:
        team = [
            ResourceChoice(
                requirement_key=key, resource_id=to_wire("resource", UUID(int=number * 1_000_000 + n % TEAMS))
            )
            for key, (_, number) in KINDS.items()
        ]
        start = OPENING + timedelta(days=100 * visits) + VISIT_EVERY * (n // TEAMS)
        yield BookCourseRequest(
            request_id=str(uuid4()),
            site_id=site_id,
            patient_id=to_wire("patient", UUID(int=9_000_000_000 + n)),
            protocol_version_id=version_id,
            route_code="iv",
            visits=[
                BookCourseRequest.VisitChoice(
                    phase_code="induction",
                    start_time=to_timestamp(start + timedelta(days=DAYS_APART * visit)),
                    resources=team,
                )
                for visit in range(visits)
            ],
        )


def _site_request(legal_entity_id: str) -> CreateSiteRequest:
    always: list[Any] = [
        DayHours(day=DayOfWeek.ValueType(day), start_time=TimeOfDay(hours=0), end_time=TimeOfDay(hours=24))
        for day in range(1, 8)
    ]
    return CreateSiteRequest(
        legal_entity_id=legal_entity_id,
        code="bench",
        display_name="Bench",
        discreet_name="Bench",
        address=PostalAddress(region_code="US", locality="Albuquerque", address_lines=["1 Main St"]),
        state="NM",
        time_zone="America/Denver",
        phone="+15055550110",
        opening_hours=always,
    )


def _template() -> ProtocolTemplate:
    uses = [Segment.Use(requirement_key=key, lane_count=1) for key in KINDS]
    visit_type = VisitType(
        code="infusion",
        display_name="Infusion",
        requirements=[
            Requirement(key=key, kind=ResourceKind.Value(f"RESOURCE_KIND_{kind}")) for key, (kind, _) in KINDS.items()
        ],
        segments=[Segment(kind=SegmentKind.SEGMENT_KIND_ADMINISTRATION, minutes=60, uses=uses)],
        bands=[DurationBand(code="any")],
    )
    phase = Phase(
        code="induction",
        kind=PhaseKind.PHASE_KIND_INDUCTION,
        visit_type_code="infusion",
        visits_min=1,
        visits_default=6,
        visits_max=6,
        gap_days_min=1,
        gap_days_preferred=DAYS_APART,
        gap_days_max=30,
        needs_clearance=True,
    )
    routes = [Route(code="iv", display_name="Intravenous")]
    return ProtocolTemplate(routes=routes, visit_types=[visit_type], phases=[phase])
