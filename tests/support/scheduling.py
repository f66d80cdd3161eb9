"""A clinic in Denver for tests of scheduling: a site, its rooms and staff, and a protocol that it treats by.

Two nurses of two lanes each, one prescriber, two rooms. A treatment takes 10 minutes of preparation, 40 of
administration with both lanes of a nurse, 30 of observation with one, and 10 of turnover of the room.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from atoll.patients.v1.events_pb2 import ClearanceGranted, ClearanceRevoked, PatientRegistered
from atoll.scheduling.v1 import course_service_pb2 as courses
from atoll.scheduling.v1 import legal_entity_service_pb2 as entities
from atoll.scheduling.v1 import protocol_service_pb2 as protocols
from atoll.scheduling.v1 import resource_service_pb2 as resources
from atoll.scheduling.v1 import site_service_pb2 as sites
from atoll.scheduling.v1 import visit_pb2, waitlist_pb2
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1 import waitlist_service_pb2 as waitlist
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from atoll.scheduling.v1.legal_entity_service_pb2_grpc import LegalEntityServiceStub
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, ResourceKind
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from atoll.scheduling.v1.resource_service_pb2_grpc import ResourceServiceStub
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from atoll.scheduling.v1.visit_service_pb2_grpc import VisitServiceStub
from atoll.scheduling.v1.waitlist_service_pb2_grpc import WaitlistServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_instant, to_timestamp
from services.scheduling.__main__ import SERVICE
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.visits import EARLY_MAX
from services.scheduling.jobs import end_due_holds, offer_due_times
from services.scheduling.rpc.protocols import template_from_wire
from tests.support.service import NOW, Running, running

DENVER = ZoneInfo("America/Denver")
DAY = timedelta(days=1)
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
NPI = "1234567893"  # The example of the standard itself.


def local(month: int, day: int, hour: int, minute: int = 0, *, year: int = 2027) -> datetime:
    """An instant, by Denver's clocks."""
    return datetime(year, month, day, hour, minute, tzinfo=DENVER).astimezone(UTC)


def hours(start: int, end: int, days: Iterable[str] = WEEKDAYS) -> list[dict[str, Any]]:
    return [{"day": day, "start_time": {"hours": start}, "end_time": {"hours": end}} for day in days]


def requirement(key: str, kind: str, capability: str = "") -> dict[str, Any]:
    return {"key": key, "kind": f"RESOURCE_KIND_{kind}", "capability": capability}


def segment(kind: str, minutes: int, **lanes: int) -> dict[str, Any]:
    uses = [{"requirement_key": key, "lane_count": count} for key, count in lanes.items()]
    return {"kind": f"SEGMENT_KIND_{kind}", "minutes": minutes, "uses": uses}


def bands(**max_minutes: int) -> list[dict[str, Any]]:
    return [{"code": code, "max_minutes": minutes} for code, minutes in max_minutes.items()]


def phase(
    code: str, kind: str, visit_type: str, visits: tuple[int, int, int], gaps: tuple[int, int, int], **changes: Any
) -> dict[str, Any]:
    names = ("visits_min", "visits_default", "visits_max", "gap_days_min", "gap_days_preferred", "gap_days_max")
    numbers = dict(zip(names, (*visits, *gaps), strict=True))
    return {"code": code, "kind": f"PHASE_KIND_{kind}", "visit_type_code": visit_type, **numbers, **changes}


TREATMENT = {
    "code": "treatment",
    "display_name": "Treatment",
    "requirements": [requirement("nurse", "STAFF", "infusion"), requirement("room", "ROOM")],
    "segments": [
        segment("PREPARATION", 10, nurse=1, room=1),
        segment("ADMINISTRATION", 40, nurse=2, room=1),
        segment("OBSERVATION", 30, nurse=1, room=1),
        segment("TURNOVER", 10, room=1),
    ],
    "bands": bands(short=60, long=0),
}
TALK = {
    "code": "talk",
    "display_name": "Assessment",
    "requirements": [requirement("prescriber", "STAFF", "prescriber")],
    "segments": [segment("CONSULTATION", 30, prescriber=1)],
    "bands": bands(any=0),
    "telehealth": True,
}
TEMPLATE: Mapping[str, Any] = {
    "routes": [{"code": "iv", "display_name": "Infusion"}, {"code": "nasal", "display_name": "Nasal spray"}],
    "visit_types": [TALK, TREATMENT],
    "phases": [
        phase("assessment", "ASSESSMENT", "talk", (1, 1, 2), (0, 1, 30)),
        phase("induction", "INDUCTION", "treatment", (1, 6, 6), (2, 3, 5), needs_clearance=True),
        phase("follow_up", "FOLLOW_UP", "talk", (1, 1, 3), (7, 14, 30)),
    ],
}


def with_same_nurse() -> dict[str, Any]:
    """The template, by which one nurse is at all treatments of a course."""
    same = requirement("nurse", "STAFF", "infusion") | {"same_across_visits": True}
    treatment = {**TREATMENT, "requirements": [same, requirement("room", "ROOM")]}
    return {**TEMPLATE, "visit_types": [TALK, treatment]}


def domain_template(data: Mapping[str, Any] = TEMPLATE) -> Template:
    return template_from_wire(ParseDict(dict(data), ProtocolTemplate()))


@dataclass
class Clinic:
    svc: Running
    site_id: str = ""
    legal_entity_id: str = ""
    protocol_id: str = ""
    version_id: str = ""
    rooms: list[str] = field(default_factory=list)
    nurses: list[str] = field(default_factory=list)
    prescriber: str = ""

    def __post_init__(self) -> None:
        self.courses: Any = self.svc.stub(CourseServiceStub)
        self.visits: Any = self.svc.stub(VisitServiceStub)
        self.waitlist: Any = self.svc.stub(WaitlistServiceStub)
        self._heard = 0
        self.sites: Any = self.svc.stub(SiteServiceStub)
        self.resources: Any = self.svc.stub(ResourceServiceStub)
        self.protocols: Any = self.svc.stub(ProtocolServiceStub)
        self.entities: Any = self.svc.stub(LegalEntityServiceStub)

    async def open(self) -> None:
        """Registers everything, as its administrator would."""
        self.legal_entity_id = await self.add_legal_entity()
        self.site_id = await self.add_site("den")
        self.rooms = [await self.add_resource("ROOM", f"Room {n}") for n in (1, 2)]
        staff = {"capabilities": ["infusion"], "lane_count": 2}
        self.nurses = [await self.add_resource("STAFF", f"Nurse {n}", **staff) for n in (1, 2)]
        self.prescriber = await self.add_resource("STAFF", "Doctor", capabilities=["prescriber"], npi=NPI)
        self.protocol_id = await self.add_protocol("iv_six")
        self.version_id = await self.publish(TEMPLATE)
        await self.adopt()

    async def add_legal_entity(self) -> str:
        request = entities.CreateLegalEntityRequest(request_id=str(uuid4()), display_name="Front Range Care LLC")
        return str((await self.svc.call(self.entities.CreateLegalEntity, request)).legal_entity.id)

    def site_request(self, code: str, **changes: Any) -> sites.CreateSiteRequest:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "legal_entity_id": self.legal_entity_id,
            "code": code,
            "display_name": "Front Range Ketamine",
            "discreet_name": "Suite 200",
            "address": {
                "region_code": "US",
                "postal_code": "80202",
                "locality": "Denver",
                "address_lines": ["1600 Broadway", "Suite 200"],
            },
            "state": "CO",
            "time_zone": "America/Denver",
            "phone": "+13035550123",
            "opening_hours": hours(8, 18),
        }
        return ParseDict(fields | changes, sites.CreateSiteRequest())

    async def add_site(self, code: str, **changes: Any) -> str:
        return str((await self.svc.call(self.sites.CreateSite, self.site_request(code, **changes))).site.id)

    def resource_request(self, kind: str, name: str, **changes: Any) -> resources.CreateResourceRequest:
        fields = {"request_id": str(uuid4()), "site_id": self.site_id, "kind": f"RESOURCE_KIND_{kind}"}
        return ParseDict(fields | {"display_name": name, "lane_count": 1} | changes, resources.CreateResourceRequest())

    async def add_resource(self, kind: str, name: str, **changes: Any) -> str:
        request = self.resource_request(kind, name, **changes)
        assert request.kind != ResourceKind.RESOURCE_KIND_UNSPECIFIED
        return str((await self.svc.call(self.resources.CreateResource, request)).resource.id)

    async def add_protocol(self, code: str) -> str:
        request = protocols.CreateProtocolRequest(request_id=str(uuid4()), code=code, display_name="Six infusions")
        return str((await self.svc.call(self.protocols.CreateProtocol, request)).protocol.id)

    def publish_request(self, template: Mapping[str, Any]) -> protocols.PublishProtocolVersionRequest:
        return protocols.PublishProtocolVersionRequest(
            request_id=str(uuid4()),
            protocol_id=self.protocol_id,
            template=ParseDict(dict(template), ProtocolTemplate()),
        )

    async def publish(self, template: Mapping[str, Any]) -> str:
        answer = await self.svc.call(self.protocols.PublishProtocolVersion, self.publish_request(template))
        return str(answer.protocol_version.id)

    async def adopt(self, version_id: str = "", site_id: str = "") -> None:
        request = protocols.AdoptProtocolVersionRequest(
            request_id=str(uuid4()),
            site_id=site_id or self.site_id,
            protocol_version_id=version_id or self.version_id,
        )
        await self.svc.call(self.protocols.AdoptProtocolVersion, request)

    async def retire(self, resource_id: str, day: date) -> None:
        """From that day on it is booked no more."""
        changed = resources.Resource(id=resource_id, etag='"1"', retire_date=to_date(day))
        mask = FieldMask(paths=["retire_date"])
        request = resources.UpdateResourceRequest(request_id=str(uuid4()), resource=changed, update_mask=mask)
        await self.svc.call(self.resources.UpdateResource, request)

    async def add_patient(self, *, cleared: bool = True) -> str:
        patient_id = to_wire("patient", new_id())
        await self.svc.deliver(PatientRegistered(patient_id=patient_id, time_zone="America/Denver", language="en"))
        if cleared:
            await self.clear(patient_id)
        return patient_id

    def clearance(self, patient_id: str, **changes: Any) -> ClearanceGranted:
        fields: dict[str, Any] = {
            "clearance_id": to_wire("clearance", new_id()),
            "patient_id": patient_id,
            "protocol_id": self.protocol_id,
            "site_id": self.site_id,
            "route_codes": ["iv"],
            "effective_date": to_date(date(2027, 1, 1)),
            "expire_date": to_date(date(2027, 12, 31)),
        }
        return ClearanceGranted(**fields | changes)

    async def clear(self, patient_id: str, **changes: Any) -> None:
        await self.svc.deliver(self.clearance(patient_id, **changes))

    def treatments(
        self, starts: Sequence[datetime], nurse: str = "", room: str = ""
    ) -> list[courses.BookCourseRequest.VisitChoice]:
        chosen = {"nurse": nurse or self.nurses[0], "room": room or self.rooms[0]}
        return [visit_choice("induction", start, **chosen) for start in starts]

    def request(
        self, patient_id: str, visits: Sequence[courses.BookCourseRequest.VisitChoice], **changes: Any
    ) -> courses.BookCourseRequest:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "site_id": self.site_id,
            "patient_id": patient_id,
            "protocol_version_id": self.version_id,
            "route_code": "iv",
            "visits": visits,
        }
        return courses.BookCourseRequest(**fields | changes)

    async def book(self, request: courses.BookCourseRequest, token: str | None = None) -> courses.Course:
        course: courses.Course = (await self.svc.call(self.courses.BookCourse, request, token)).course
        return course

    async def hold(self, patient_id: str, starts: Sequence[datetime], **changes: Any) -> courses.Course:
        course: courses.Course = (
            await self.svc.call(self.courses.HoldCourse, self.hold_request(patient_id, starts, **changes))
        ).course
        return course

    def hold_request(self, patient_id: str, starts: Sequence[datetime], **changes: Any) -> courses.HoldCourseRequest:
        where = {name: changes.pop(name) for name in ("nurse", "room") if name in changes}
        asked = self.request(patient_id, self.treatments(starts, **where))
        fields = {field.name: value for field, value in asked.ListFields()}
        return courses.HoldCourseRequest(**fields | changes)

    async def book_hold(self, course_id: str, token: str | None = None) -> courses.Course:
        request = courses.BookHoldRequest(request_id=str(uuid4()), course_id=course_id)
        course: courses.Course = (await self.svc.call(self.courses.BookHold, request, token)).course
        return course

    async def wait_for(self, visit_id: str) -> None:
        """Until it may be checked in."""
        request = visits.GetVisitRequest(visit_id=visit_id)
        visit: visit_pb2.Visit = (await self.svc.call(self.visits.GetVisit, request)).visit
        self.svc.clock.now = max(self.svc.clock.now, to_instant(visit.start_time) - EARLY_MAX)

    async def release_hold(self, course_id: str, token: str | None = None) -> courses.Course:
        request = courses.ReleaseHoldRequest(request_id=str(uuid4()), course_id=course_id)
        course: courses.Course = (await self.svc.call(self.courses.ReleaseHold, request, token)).course
        return course

    async def end_holds(self) -> int:
        """As the elected process does."""
        return await end_due_holds(self.svc.db, self.svc.clock)

    def join_request(self, patient_id: str, **changes: Any) -> waitlist.JoinWaitlistRequest:
        """For a treatment that starts a course at nine o'clock on Tuesday, unless it is said otherwise."""
        day, nine = {"year": 2027, "month": 3, "day": 2}, {"hours": 9}
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "site_id": self.site_id,
            "patient_id": patient_id,
            "protocol_version_id": self.version_id,
            "route_code": "iv",
            "first_date": day,
            "last_date": day,
            "start_from": nine,
            "start_until": nine,
        }
        wanted = {} if "visit_type_code" in changes else {"phase_code": "induction"}
        return ParseDict(fields | wanted | changes, waitlist.JoinWaitlistRequest())

    async def join(self, patient_id: str, **changes: Any) -> waitlist_pb2.WaitlistEntry:
        token = changes.pop("token", None)
        request = self.join_request(patient_id, **changes)
        entry: waitlist_pb2.WaitlistEntry = (
            await self.svc.call(self.waitlist.JoinWaitlist, request, token)
        ).waitlist_entry
        return entry

    async def entry(self, id: str) -> waitlist_pb2.WaitlistEntry:
        request = waitlist.GetWaitlistEntryRequest(waitlist_entry_id=id)
        entry: waitlist_pb2.WaitlistEntry = (
            await self.svc.call(self.waitlist.GetWaitlistEntry, request)
        ).waitlist_entry
        return entry

    async def hear(self) -> None:
        """What the service tells itself, since it was last heard."""
        published = await self.published()
        told, self._heard = published[self._heard :], len(published)
        for _, event in told:
            if type(event) in self.svc.service.reads["SCHEDULING"]:
                await self.svc.deliver(event)

    async def offer_times(self) -> int:
        """As the elected process does, when all that was freed was heard of."""
        await self.hear()
        return await offer_due_times(self.svc.db, self.svc.clock)

    async def count(self, table: str) -> int:
        return int(
            await self.svc.admin.fetchval(f"SELECT count(*) FROM {table} WHERE chain_id = $1", self.svc.chain_id)
        )

    async def counts(self, *tables: str) -> list[int]:
        return [await self.count(table) for table in tables]

    async def published(self) -> list[tuple[str, Any]]:
        """Subject and event, of this chain."""
        chain = to_wire("chain", self.svc.chain_id)
        return [(subject, event) for subject, event in await self.svc.published() if event.meta.chain_id == chain]

    def token(self, role: str = "ROLE_FRONT_DESK", site_id: str = "", **changes: Any) -> str:
        """Of somebody at this site only."""
        return self.svc.token(role, sites=[from_wire("site", site_id or self.site_id)], **changes)

    @property
    def site_uuid(self) -> UUID:
        return from_wire("site", self.site_id)


def revoked(clearance: ClearanceGranted) -> ClearanceRevoked:
    return ClearanceRevoked(
        clearance_id=clearance.clearance_id, patient_id=clearance.patient_id, protocol_id=clearance.protocol_id
    )


def visit_choice(phase_code: str, start: datetime, **resources: str) -> courses.BookCourseRequest.VisitChoice:
    chosen = [visit_pb2.ResourceChoice(requirement_key=key, resource_id=id) for key, id in resources.items()]
    at = to_timestamp(start)
    return courses.BookCourseRequest.VisitChoice(phase_code=phase_code, start_time=at, resources=chosen)


@asynccontextmanager
async def open_scheduling(server_url: str, folder: Path) -> AsyncIterator[Running]:
    async with running(SERVICE, server_url, folder) as svc:
        yield svc


async def open_clinic(svc: Running) -> Clinic:
    """In a chain of its own, which keeps it apart from what other tests left in the database."""
    svc.chain_id, svc.clock.now = new_id(), NOW
    clinic = Clinic(svc)
    await clinic.open()
    return clinic
