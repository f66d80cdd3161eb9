"""Notifications with its neighbours: a mailbox, a patients service that knows what it is told, the events it reads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
from asyncpg import Record
from grpc_status import rpc_status

from atoll.billing.v1.document_service_pb2 import GetDocumentRequest, GetDocumentResponse, PrintedDocument
from atoll.notifications.v1.message_service_pb2_grpc import MessageServiceStub
from atoll.patients.v1.events_pb2 import PatientRegistered, PatientUpdated
from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, ContactPoint
from atoll.patients.v1.patient_service_pb2 import (
    ContactDetails,
    GetContactDetailsRequest,
    GetContactDetailsResponse,
)
from atoll.scheduling.v1.events_pb2 import (
    BookedVisit,
    CourseBooked,
    SiteRegistered,
    VisitCancelled,
    VisitCompleted,
    VisitConfirmed,
    VisitMissed,
)
from chassis.client import connect
from chassis.errors import DomainError
from chassis.ids import new_id, to_wire
from chassis.status import status_of
from chassis.times import to_timestamp
from services.billing.domain.printing import DocumentPending
from services.notifications.__main__ import SERVICE
from services.notifications.carriers import carriers_of
from services.notifications.channels.email import Mailer
from services.notifications.clients import Billing, Patients
from services.notifications.sender import Sender
from services.notifications.settings import NotificationsSettings
from services.notifications.texting import Texting
from services.notifications.use_cases.messages import AHEAD
from services.notifications.wording import Templates
from tests.support.service import NOW, Running, running
from tests.support.smtp import HOST, Mailbox, smtp_server

FIRST = NOW + timedelta(days=7)
"""A visit's start: Monday 8 March 2027, 9:00 in Denver."""


@dataclass
class FakePatients:
    """Answers GetContactDetails of whom it was told about; of PatientService nothing else is asked here."""

    details: dict[str, ContactDetails] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    """Metadata of each call."""
    before_answer: Callable[[], Awaitable[object]] | None = None
    address: str = ""

    async def GetContactDetails(
        self, request: GetContactDetailsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> GetContactDetailsResponse:
        self.asked.append({name: str(value) for name, value in context.invocation_metadata() or ()})
        if self.before_answer:
            await self.before_answer()
        if request.patient_id not in self.details:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such patient")
        return GetContactDetailsResponse(contact_details=self.details[request.patient_id])


@dataclass
class FakeBilling:
    """Answers GetDocument of what it was told is written; of all else that it is still to be."""

    documents: dict[str, PrintedDocument] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuses: type[DomainError] = DocumentPending
    """Why, as billing itself would."""
    away: bool = False
    before_answer: Callable[[], Awaitable[object]] | None = None
    address: str = ""

    def write(self, subject_id: str, pdf: bytes = b"%PDF-1.7 of a test", **changes: Any) -> None:
        self.documents[subject_id] = PrintedDocument(subject_id=subject_id, pdf=pdf, **changes)

    async def GetDocument(
        self, request: GetDocumentRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> GetDocumentResponse:
        about: str = getattr(request, str(request.WhichOneof("about")))
        self.asked.append(about)
        if self.before_answer:
            await self.before_answer()
        if self.away:
            await context.abort(grpc.StatusCode.INTERNAL, "away")
        if about not in self.documents:
            await context.abort_with_status(rpc_status.to_status(status_of(self.refuses())))
        return GetDocumentResponse(document=self.documents[about])


@dataclass
class Office:
    """One chain with a site and a patient, whose messages go through a real SMTP server."""

    svc: Running
    mailbox: Mailbox
    patients: FakePatients
    settings: NotificationsSettings
    channel: grpc.aio.Channel
    billing: FakeBilling
    billing_channel: grpc.aio.Channel
    texting: Texting = field(default_factory=lambda: Texting({}))
    site_id: UUID = field(default_factory=new_id)
    patient_id: UUID = field(default_factory=new_id)

    async def open(self) -> None:
        await self.svc.deliver(self.site_registered(self.site_id))
        await self.register(self.patient_id, "ana@example.org")

    def site_registered(self, site_id: UUID) -> SiteRegistered:
        return SiteRegistered(
            site_id=to_wire("site", site_id),
            code="abq",
            display_name="Albuquerque Ketamine Clinic",
            discreet_name="Harbor Lane",
            time_zone="America/Denver",
            address="1 Main St, Albuquerque, NM 87101",
            phone="+15055550100",
        )

    async def register(
        self, patient_id: UUID, *emails: str, zone: str = "America/Denver", language: str = "en"
    ) -> None:
        wire_id = to_wire("patient", patient_id)
        home = to_wire("site", self.site_id)
        event = PatientRegistered(patient_id=wire_id, home_site_id=home, time_zone=zone, language=language)
        await self.svc.deliver(event, version=1)
        points = [
            ContactPoint(system=CONTACT_SYSTEM_EMAIL, value=email, rank=rank) for rank, email in enumerate(emails, 1)
        ]
        self.patients.details[wire_id] = ContactDetails(
            patient_id=wire_id, given_name="Anahí", contact_points=points, language=language, time_zone=zone
        )

    def patient_updated(self, zone: str) -> PatientUpdated:
        home = to_wire("site", self.site_id)
        return PatientUpdated(patient_id=to_wire("patient", self.patient_id), home_site_id=home, time_zone=zone)

    def course_booked(
        self, *starts: datetime, patient_id: UUID | None = None, site_id: UUID | None = None
    ) -> CourseBooked:
        return CourseBooked(
            course_id=to_wire("course", new_id()),
            site_id=to_wire("site", site_id or self.site_id),
            patient_id=to_wire("patient", patient_id or self.patient_id),
            visits=[
                BookedVisit(
                    visit_id=to_wire("visit", new_id()), start_time=to_timestamp(start), visit_type_code="infusion"
                )
                for start in starts or (FIRST,)
            ],
        )

    async def book(self, *starts: datetime) -> CourseBooked:
        event = self.course_booked(*starts)
        await self.svc.deliver(event)
        return event

    def cancelled(self, booked: CourseBooked, visit: int = 0) -> VisitCancelled:
        return VisitCancelled(**self._of(booked, visit))

    def confirmed(self, booked: CourseBooked, visit: int = 0) -> VisitConfirmed:
        return VisitConfirmed(**self._of(booked, visit))

    def completed(self, booked: CourseBooked, visit: int = 0) -> VisitCompleted:
        return VisitCompleted(**self._of(booked, visit))

    def missed(self, booked: CourseBooked, visit: int = 0) -> VisitMissed:
        return VisitMissed(**self._of(booked, visit))

    def _of(self, booked: CourseBooked, visit: int) -> dict[str, Any]:
        named = {name: getattr(booked, name) for name in ("course_id", "site_id", "patient_id")}
        return {"visit_id": booked.visits[visit].visit_id, **named}

    def sender(self, port: int | None = None) -> Sender:
        mailer = Mailer(HOST, port or self.mailbox.port, timeout_s=5.0)
        patients = Patients(self.settings, self.channel)
        carriers = carriers_of(self.svc.db, mailer, self.settings, Templates(), self.texting)
        billing = Billing(self.settings, self.billing_channel)
        return Sender(self.svc.db, patients, billing, carriers, self.svc.clock, chance=lambda: 1.0)

    async def rows(self, kind: str = "%") -> list[Record]:
        return await self.svc.admin.fetch("SELECT * FROM message WHERE kind LIKE $1 ORDER BY due_at, kind", kind)

    async def ends(self) -> list[tuple[str, str, str | None]]:
        """Of what is said before a visit."""
        found = [row for row in await self.rows() if row["anchor"] in AHEAD]
        return [(row["kind"].removeprefix("VISIT_"), row["status"], row["reason"]) for row in found]

    async def outcomes(self) -> list[str]:
        """Of the MessageSettled that were published."""
        return [event.outcome for _, event in await self.svc.published()]

    async def end_holds(self) -> None:
        """As if every lease and every back-off had run out."""
        await self.svc.admin.execute("UPDATE message SET held_until = clock_timestamp() - interval '1 second'")

    @property
    def stub(self) -> Any:
        return self.svc.stub(MessageServiceStub)


@asynccontextmanager
async def patients_server() -> AsyncIterator[FakePatients]:
    patients = FakePatients()
    handler = grpc.unary_unary_rpc_method_handler(
        patients.GetContactDetails,
        request_deserializer=GetContactDetailsRequest.FromString,
        response_serializer=GetContactDetailsResponse.SerializeToString,
    )
    async with _server("atoll.patients.v1.PatientService", {"GetContactDetails": handler}) as patients.address:
        yield patients


@asynccontextmanager
async def billing_server() -> AsyncIterator[FakeBilling]:
    billing = FakeBilling()
    handler = grpc.unary_unary_rpc_method_handler(
        billing.GetDocument,
        request_deserializer=GetDocumentRequest.FromString,
        response_serializer=GetDocumentResponse.SerializeToString,
    )
    async with _server("atoll.billing.v1.DocumentService", {"GetDocument": handler}) as billing.address:
        yield billing


@asynccontextmanager
async def _server(service: str, handlers: dict[str, Any]) -> AsyncIterator[str]:
    """Its address."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    address = f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)


@asynccontextmanager
async def open_office(server_url: str, folder: Path) -> AsyncIterator[Office]:
    async with (
        running(SERVICE, server_url, folder) as svc,
        smtp_server() as mailbox,
        patients_server() as patients,
        connect(patients.address) as channel,
        billing_server() as billing,
        connect(billing.address) as billing_channel,
    ):
        token = folder / f"service-token-{uuid4().hex}"
        token.write_text(svc.issuer.service_token("notifications"))
        settings = NotificationsSettings(
            mode="development",
            database_url=svc.urls.service,
            relay_database_url=svc.urls.relay,
            sealer_database_url=svc.urls.sealer,
            nats_url="nats://127.0.0.1:1",
            issuer="test",
            jwks="test",
            service_token_file=token,
            patients_address=patients.address,
            billing_address=billing.address,
            smtp_port=mailbox.port,
        )
        office = Office(svc, mailbox, patients, settings, channel, billing, billing_channel)
        await office.open()
        yield office
