"""Estimates with what surrounds them: changes of courses, deliveries, the guard, and documents that are written."""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from google.type.date_pb2 import Date

from atoll.billing.v1 import document_service_pb2
from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.billing.v1.document_service_pb2_grpc import DocumentServiceStub
from atoll.patients.v1 import diagnosis_service_pb2, patient_service_pb2
from atoll.scheduling.v1.events_pb2 import CourseBooked, CourseHeld
from chassis.client import connect
from chassis.ids import from_wire, new_id, to_wire
from chassis.keyring import KeyRing
from services.billing import rpc
from services.billing.__main__ import SERVICE
from services.billing.clients import Patients
from services.billing.domain.printing import Written
from services.billing.printing.writer import Writer
from services.billing.settings import BillingSettings
from services.billing.store import BillingStore
from tests.support.billing import Billing, BookedCourse, open_chain, usd
from tests.support.service import Running, running

LONG = timedelta(hours=1)
HOST = "127.0.0.1"
PAPER, EMAIL, ORAL = (
    pb.ESTIMATE_DELIVERY_METHOD_PAPER,
    pb.ESTIMATE_DELIVERY_METHOD_EMAIL,
    pb.ESTIMATE_DELIVERY_METHOD_ORAL,
)


def write_keys(path: Path, current: str, *names: str) -> None:
    """Those that are there stay."""
    keys = json.loads(path.read_text())["keys"] if path.exists() else {}
    keys |= {name: base64.b64encode(os.urandom(32)).decode() for name in (current, *names) if name not in keys}
    path.write_text(json.dumps({"current": current, "keys": keys}))


@dataclass
class FakePatients:
    """Tells who somebody is, and what they were found to have; of patients nothing else is asked here."""

    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    away: bool = False
    before_answer: Callable[[], Awaitable[object]] | None = None
    address: str = ""

    async def GetDocumentDetails(
        self, request: patient_service_pb2.GetDocumentDetailsRequest, context: Any
    ) -> patient_service_pb2.GetDocumentDetailsResponse:
        self.asked.append(request)
        if self.before_answer:
            await self.before_answer()
        if self.away:
            await context.abort(grpc.StatusCode.INTERNAL, "away")
        given, family = self.names.get(request.patient_id, ("Ana", "Ruiz"))
        details = patient_service_pb2.DocumentDetails(
            patient_id=request.patient_id,
            given_names=[given],
            family_name=family,
            birth_date=Date(year=1981, month=5, day=4),
        )
        return patient_service_pb2.GetDocumentDetailsResponse(document_details=details)

    async def GetCourseDiagnoses(
        self, request: diagnosis_service_pb2.GetCourseDiagnosesRequest, context: Any
    ) -> diagnosis_service_pb2.GetCourseDiagnosesResponse:
        self.asked.append(request)
        found = [diagnosis_service_pb2.Diagnosis(code=code) for code in self.codes]
        return diagnosis_service_pb2.GetCourseDiagnosesResponse(diagnoses=found)


@dataclass
class Office:
    """A service of billing that writes documents, and the patients service that it asks."""

    svc: Running
    patients: FakePatients
    settings: BillingSettings
    channel: grpc.aio.Channel
    keys_file: Path
    billing: Billing = field(init=False)

    async def open(self) -> None:
        self.billing = await open_chain(self.svc)
        self.patients.away, self.patients.before_answer = False, None
        self.patients.asked.clear()
        self.patients.codes[:] = ["F33.2"]

    def writer(self, db: Any = None, **changes: Any) -> Writer:
        patients, keys = Patients(self.settings, self.channel), KeyRing(self.keys_file)
        return Writer(db or self.svc.db, patients, keys, self.svc.clock, **changes)

    async def end_leases(self) -> None:
        """As if every lease and every back-off had run out."""
        await self.svc.admin.execute("UPDATE document_work SET not_before = clock_timestamp() - interval '1 second'")

    async def document(self, estimate_id: str, token: str | None = None) -> document_service_pb2.PrintedDocument:
        return await self.document_of(token, estimate_id=estimate_id)

    async def document_of(self, token: str | None = None, **about: str) -> document_service_pb2.PrintedDocument:
        request = document_service_pb2.GetDocumentRequest(**about)
        answer = await self.billing.svc.call(self.svc.stub(DocumentServiceStub).GetDocument, request, token)
        return answer.document  # type: ignore[no-any-return]


@asynccontextmanager
async def patients_server() -> AsyncIterator[FakePatients]:
    server, patients = grpc.aio.server(), FakePatients()
    served: dict[str, tuple[Any, ...]] = {
        "PatientService": (
            "GetDocumentDetails",
            patients.GetDocumentDetails,
            patient_service_pb2.GetDocumentDetailsRequest,
            patient_service_pb2.GetDocumentDetailsResponse,
        ),
        "DiagnosisService": (
            "GetCourseDiagnoses",
            patients.GetCourseDiagnoses,
            diagnosis_service_pb2.GetCourseDiagnosesRequest,
            diagnosis_service_pb2.GetCourseDiagnosesResponse,
        ),
    }
    for service, (name, handle, request_type, response_type) in served.items():
        handler = grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request_type.FromString,
            response_serializer=response_type.SerializeToString,
        )
        named = grpc.method_handlers_generic_handler(f"atoll.patients.v1.{service}", {name: handler})
        server.add_generic_rpc_handlers([named])
    patients.address = f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
    await server.start()
    try:
        yield patients
    finally:
        await server.stop(None)


@asynccontextmanager
async def open_office(server_url: str, folder: Path) -> AsyncIterator[Office]:
    keys_file = folder / f"document-keys-{uuid4().hex}.json"
    write_keys(keys_file, "1")
    service = replace(SERVICE, servicers=partial(rpc.servicers, keys=KeyRing(keys_file)))
    async with (
        running(service, server_url, folder) as svc,
        patients_server() as patients,
        connect(patients.address) as channel,
    ):
        token = folder / f"service-token-{uuid4().hex}"
        token.write_text(svc.issuer.service_token("billing"))
        settings = BillingSettings(
            mode="development",
            database_url=svc.urls.service,
            relay_database_url=svc.urls.relay,
            sealer_database_url=svc.urls.sealer,
            nats_url="nats://127.0.0.1:1",
            issuer="test",
            jwks="test",
            service_token_file=token,
            patients_address=patients.address,
            document_keys_file=keys_file,
        )
        yield Office(svc, patients, settings, channel, keys_file)


def held(event: CourseBooked) -> CourseHeld:
    """The hold that a booking was before."""
    fields = {field.name: value for field, value in event.ListFields() if field.name != "meta"}
    return CourseHeld(**fields)


def further(billing: Billing, course: BookedCourse, kinds: Sequence[Any], first: datetime) -> CourseBooked:
    """More visits of a course."""
    event = billing.course_event(kinds, first=first, patient_id=course.patient_id, site_id=course.site_id)
    event.course_id = course.id
    return event


async def deliver(
    billing: Billing, estimate_id: str, method: Any = PAPER, token: str | None = None, **changes: Any
) -> pb.Estimate:
    fields = {"request_id": str(uuid4()), "estimate_id": estimate_id, "method": method}
    request = pb.RecordEstimateDeliveryRequest(**fields | changes)
    answer = await billing.svc.call(billing.estimates.RecordEstimateDelivery, request, token)
    return answer.estimate  # type: ignore[no-any-return]


async def acknowledge(billing: Billing, estimate_id: str, token: str | None = None) -> pb.Estimate:
    request = pb.AcknowledgeEstimateRequest(request_id=str(uuid4()), estimate_id=estimate_id)
    answer = await billing.svc.call(billing.estimates.AcknowledgeEstimate, request, token)
    return answer.estimate  # type: ignore[no-any-return]


async def deadlines(billing: Billing, filter: str = "UNSPECIFIED", **changes: Any) -> list[pb.EstimateDeadline]:
    number = pb.EstimateDeadlineFilter.Value(f"ESTIMATE_DEADLINE_FILTER_{filter}")
    request = pb.ListEstimateDeadlinesRequest(site_id=billing.site_id, filter=number, **changes)
    return list((await billing.svc.call(billing.estimates.ListEstimateDeadlines, request)).deadlines)


async def coverage(billing: Billing, course: BookedCourse, token: str | None = None) -> pb.EstimateCoverage:
    request = pb.GetEstimateCoverageRequest(course_id=course.id)
    answer = await billing.svc.call(billing.estimates.GetEstimateCoverage, request, token)
    return answer.coverage  # type: ignore[no-any-return]


async def approve(
    billing: Billing, course: BookedCourse, dollars: float, token: str | None = None, **changes: Any
) -> pb.EstimateApproval:
    fields = {"request_id": str(uuid4()), "course_id": course.id, "up_to": usd(dollars), "reason": "Agreed by phone"}
    request = pb.ApproveBeyondEstimateRequest(**fields | changes)
    answer = await billing.svc.call(billing.estimates.ApproveBeyondEstimate, request, token)
    return answer.approval  # type: ignore[no-any-return]


async def open_dispute(billing: Billing, course_id: str, token: str | None = None) -> pb.EstimateDispute:
    request = pb.OpenEstimateDisputeRequest(request_id=str(uuid4()), course_id=course_id)
    answer = await billing.svc.call(billing.estimates.OpenEstimateDispute, request, token)
    return answer.dispute  # type: ignore[no-any-return]


async def close_dispute(billing: Billing, dispute_id: str, token: str | None = None) -> pb.EstimateDispute:
    request = pb.CloseEstimateDisputeRequest(request_id=str(uuid4()), dispute_id=dispute_id)
    answer = await billing.svc.call(billing.estimates.CloseEstimateDispute, request, token)
    return answer.dispute  # type: ignore[no-any-return]


async def leave_traces(billing: Billing, course: BookedCourse) -> None:
    """A row in each table of estimates and documents."""
    estimate = (await billing.estimates_of(course))[0]
    await deliver(billing, estimate.id)
    await acknowledge(billing, estimate.id)
    await approve(billing, course, 1)
    await open_dispute(billing, course.id)

    async def work(store: BillingStore) -> None:
        await store.exceed(from_wire("course", course.id), from_wire("site", course.site_id))
        [order, *_] = await store.take_work(1, LONG)
        sealed = bytes(40)
        await store.keep_document(order, Written("1", sealed, sealed, order.day))

    await billing.svc.db.job(billing.svc.inside("Test"), BillingStore, work)
    await billing.book()


async def code(
    billing: Billing, visit_type: str, text: str, *, since: str = "2020-01-01", until: str | None = None
) -> None:
    """A code of the chain's, as it is loaded."""
    await billing.execute(
        "INSERT INTO service_code (chain_id, id, visit_type_code, route_code, band_code, code, modifiers, units, "
        "effective_date, end_date) VALUES ($1, $2, $3, '', '', $4, '{}', 1, $5::text::date, $6::text::date)",
        billing.svc.chain_id,
        new_id(),
        visit_type,
        text,
        since,
        until,
    )


def resource_id() -> str:
    return to_wire("resource", new_id())
