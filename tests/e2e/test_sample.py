"""The sample chain on the whole stack, asked through the public edge by every protocol that it speaks."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from pypdf import PdfReader
from rich.progress import Progress

from atoll.billing.v1.account_service_pb2 import GetCourseAccountRequest
from atoll.billing.v1.account_service_pb2_grpc import AccountServiceStub
from atoll.billing.v1.document_service_pb2 import GetDocumentRequest
from atoll.billing.v1.document_service_pb2_grpc import DocumentServiceStub
from atoll.billing.v1.estimate_service_pb2 import ListEstimatesRequest
from atoll.billing.v1.estimate_service_pb2_grpc import EstimateServiceStub
from atoll.billing.v1.payment_service_pb2 import TENDER_CASH, RecordPaymentRequest
from atoll.billing.v1.payment_service_pb2_grpc import PaymentServiceStub
from atoll.billing.v1.tax_service_pb2 import ListTaxRulesRequest
from atoll.billing.v1.tax_service_pb2_grpc import TaxServiceStub
from atoll.patients.v1.consent_service_pb2 import CONSENT_STATUS_CURRENT, GetConsentStatusRequest
from atoll.patients.v1.consent_service_pb2_grpc import ConsentServiceStub
from atoll.patients.v1.patient_service_pb2 import GetPatientRequest, UpdatePatientRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from atoll.patients.v1.permission_pb2 import (
    MESSAGE_CHANNEL_EMAIL,
    MESSAGE_PURPOSE_TREATMENT_DETAIL,
    PERMISSION_GIVER_PATIENT,
)
from atoll.patients.v1.permission_service_pb2 import PERMISSION_METHOD_PAPER, RecordPermissionRequest
from atoll.patients.v1.permission_service_pb2_grpc import PermissionServiceStub
from atoll.scheduling.v1.course_service_pb2 import Course, GetCourseRequest, ListCoursesRequest
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from atoll.scheduling.v1.gate_service_pb2 import ListGatesRequest
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.protocol_pb2 import GateKind
from chassis.ids import new_id, to_wire
from chassis.times import utc_now
from cli.client import Client, open_channel
from cli.demo.queues import open_queues
from cli.sample.chain import protocol_files
from cli.sample.load import Sample, westernmost_day
from deploy.local.stack import Options, Stack

PATIENTS = 5  # One at each site.


@dataclass
class Loaded:
    stack: Stack
    sample: Sample
    channel: grpc.aio.Channel

    def token(self, role: str = "ROLE_FRONT_DESK", *, chain_id: str | None = None, site: str = "*") -> str:
        return self.stack.home.issuer.token("somebody", chain_id or self.sample.chain_id, {role: [site]})


@pytest_asyncio.fixture(scope="module")
async def loaded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loaded]:
    home = tmp_path_factory.mktemp("sample")
    async with Stack(Options.anywhere(home)) as stack, open_channel(stack.info.edge_url) as channel:
        sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), PATIENTS)
        await sample.load(None, Progress(disable=True))
        async with open_queues(stack.info) as queues:
            await queues.drained()
        yield Loaded(stack, sample, channel)


async def test_each_site_has_a_course_of_its_own_programme(loaded: Loaded) -> None:
    booked = {each.site.code: each.protocol.code for each in loaded.sample.booked}
    assert booked == {"abq": "p1", "phx": "p2", "nyc": "p3_iv", "chi": "p4", "sea": "p5"}


async def test_who_signed_the_samples_documents_has_passed_the_gate_of_consent(loaded: Loaded) -> None:
    [booked] = [each for each in loaded.sample.booked if each.protocol.code == "p4"]
    desk = loaded.sample.staff[booked.site.code].desk
    for visit in booked.course.visits:
        gates = (await desk.call(GateServiceStub, "ListGates", ListGatesRequest(visit_id=visit.id))).gates
        consent = [(each.passed, each.recorded_by) for each in gates if each.kind == GateKind.GATE_KIND_CONSENT]
        assert consent == ([(True, "patients")] if visit.visit_type_code == "session" else [])


async def test_json_and_grpc_show_the_same_course(loaded: Loaded) -> None:
    course_id, token = loaded.sample.booked[0].course.id, loaded.token()
    async with httpx.AsyncClient(base_url=loaded.stack.info.edge_url) as client:
        answer = await client.get(f"/v1/courses/{course_id}", headers={"authorization": f"Bearer {token}"})
    by_json = json_format.ParseDict(answer.json()["course"], Course())
    by_grpc = await CourseServiceStub(loaded.channel).GetCourse(
        GetCourseRequest(course_id=course_id), metadata=(("authorization", f"Bearer {token}"),), timeout=10
    )
    assert by_json == by_grpc.course == loaded.sample.booked[0].course


async def test_buf_curl_finds_the_course_by_reflection_alone(loaded: Loaded) -> None:
    course_id, url = loaded.sample.booked[0].course.id, loaded.stack.info.edge_url
    command = [
        str(Path(sys.executable).with_name("buf")), "curl", "--protocol", "grpc", "--http2-prior-knowledge",
        "--header", f"authorization: Bearer {loaded.token()}", "--data", json.dumps({"courseId": course_id}),
        f"{url}/atoll.scheduling.v1.CourseService/GetCourse",
    ]  # fmt: skip
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["course"]["id"] == course_id


@pytest.mark.parametrize(
    ("caller", "status", "code", "reason"),
    [
        ("nobody", 401, 16, ""),
        ("another chain", 404, 5, "COURSE_NOT_FOUND"),
        ("another site", 404, 5, "COURSE_NOT_FOUND"),
    ],
)
async def test_a_course_is_shown_to_nobody_else(
    loaded: Loaded, caller: str, status: int, code: int, reason: str
) -> None:
    elsewhere = loaded.sample.chain.sites[1].id
    headers = {
        "nobody": {},
        "another chain": {"authorization": f"Bearer {loaded.token(chain_id=to_wire('chain', new_id()))}"},
        "another site": {"authorization": f"Bearer {loaded.token(site=elsewhere)}"},
    }[caller]
    async with httpx.AsyncClient(base_url=loaded.stack.info.edge_url) as client:
        answer = await client.get(f"/v1/courses/{loaded.sample.booked[0].course.id}", headers=headers)
    reasons = [detail["reason"] for detail in answer.json()["details"] if "reason" in detail]
    assert (answer.status_code, answer.json()["code"], reasons) == (status, code, [reason] if reason else [])


async def test_billing_heard_of_the_course_and_of_its_deposit(loaded: Loaded) -> None:
    booked = loaded.sample.booked[0]
    account = await loaded.sample.staff[booked.site.code].billing.call(
        AccountServiceStub, "GetCourseAccount", GetCourseAccountRequest(course_id=booked.course.id)
    )
    assert account.course_account.estimated == booked.estimated
    assert account.course_account.deposit_covered


async def test_taxes_are_those_of_new_mexico(loaded: Loaded) -> None:
    for booked in loaded.sample.booked:
        metadata = [("authorization", f"Bearer {loaded.token('ROLE_BILLING')}")]
        rules = (
            await TaxServiceStub(loaded.channel).ListTaxRules(
                ListTaxRulesRequest(site_id=booked.site.id), metadata=metadata
            )
        ).tax_rules
        asked = ListEstimatesRequest(course_id=booked.course.id, page_size=1)
        [estimate] = (await EstimateServiceStub(loaded.channel).ListEstimates(asked, metadata=metadata)).estimates
        taxed = {line.HasField("tax") for line in estimate.lines}
        assert ([each.rate_ppm for each in rules], taxed) == (
            ([76_250], {True}) if booked.site.code == "abq" else ([], {False})
        )


async def test_each_patient_signed_what_applies_at_the_site_in_new_mexico_its_own(loaded: Loaded) -> None:
    for booked in loaded.sample.booked:
        desk = loaded.sample.staff[booked.site.code].desk
        request = GetConsentStatusRequest(patient_id=booked.patient_id, site_id=booked.site.id)
        documents = (await desk.call(ConsentServiceStub, "GetConsentStatus", request)).documents
        assert [(each.document_code, each.state_code, each.status) for each in documents] == [
            ("PRIVACY_PRACTICES", "", CONSENT_STATUS_CURRENT),
            ("TREATMENT", "NM" if booked.site.code == "abq" else "", CONSENT_STATUS_CURRENT),
        ]


async def test_loading_again_changes_nothing(loaded: Loaded) -> None:
    again = Sample(loaded.stack.home, loaded.stack.info, loaded.channel, westernmost_day(utc_now()), PATIENTS)
    await again.load(None, Progress(disable=True))
    assert [site.id for site in again.chain.sites] == [site.id for site in loaded.sample.chain.sites]
    desk = loaded.sample.client("demo", {"ROLE_CHAIN_ADMIN": ["*"]})
    courses = await desk.call(CourseServiceStub, "ListCourses", ListCoursesRequest())
    assert len(courses.courses) == PATIENTS


def test_every_protocol_that_ships_is_a_programme_of_a_site() -> None:
    assert set(protocol_files()) == {"p1", "p2", "p3_iv", "p3_spravato", "p4", "p5"}


async def test_the_estimate_of_a_course_is_printed_for_its_patient(loaded: Loaded) -> None:
    """By the job of billing, which asks patients who they are."""
    booked, metadata = loaded.sample.booked[0], [("authorization", f"Bearer {loaded.token('ROLE_BILLING')}")]
    asked = ListEstimatesRequest(course_id=booked.course.id, page_size=1)
    [estimate] = (await EstimateServiceStub(loaded.channel).ListEstimates(asked, metadata=metadata)).estimates
    documents, request = DocumentServiceStub(loaded.channel), GetDocumentRequest(estimate_id=estimate.id)
    pdf = b""
    for _ in range(100):
        with suppress(grpc.aio.AioRpcError):  # Pending.
            pdf = (await documents.GetDocument(request, metadata=metadata)).document.pdf
            break
        await asyncio.sleep(0.2)
    assert pdf.startswith(b"%PDF")


async def test_a_receipt_is_attached_to_the_mail_of_whoever_permits_it(loaded: Loaded) -> None:
    booked = loaded.sample.booked[0]
    staff = loaded.sample.staff[booked.site.code]
    permission = RecordPermissionRequest(
        request_id=str(uuid4()),
        patient_id=booked.patient_id,
        site_id=booked.site.id,
        channel=MESSAGE_CHANNEL_EMAIL,
        purpose=MESSAGE_PURPOSE_TREATMENT_DETAIL,
        permitted=True,
        giver=PERMISSION_GIVER_PATIENT,
        method=PERMISSION_METHOD_PAPER,
    )
    await staff.desk.call(PermissionServiceStub, "RecordPermission", permission)
    await _move_to_where_it_is_noon(staff.desk, booked.patient_id)
    async with open_queues(loaded.stack.info) as queues:
        await queues.drained()
    payment = RecordPaymentRequest(
        request_id=str(uuid4()),
        site_id=booked.site.id,
        patient_id=booked.patient_id,
        amount=Money(currency_code="USD", units=21),
        tender=TENDER_CASH,
    )
    await staff.desk.call(PaymentServiceStub, "RecordPayment", payment)
    async with httpx.AsyncClient(base_url=loaded.stack.info.mail_url) as client, asyncio.timeout(60):
        while not any("$21.00" in text for text in await _receipts(client)):  # noqa: ASYNC110  # The page tells nobody.
            await asyncio.sleep(0.2)


async def _move_to_where_it_is_noon(desk: Client, patient_id: str) -> None:
    """Else mail waits for the morning."""
    patient = (await desk.call(PatientServiceStub, "GetPatient", GetPatientRequest(patient_id=patient_id))).patient
    east = 12 - utc_now().hour
    patient.time_zone = f"Etc/GMT{-east:+}"  # The sign of these names is that of POSIX.
    mask = FieldMask(paths=["time_zone"])
    request = UpdatePatientRequest(request_id=str(uuid4()), patient=patient, update_mask=mask)
    await desk.call(PatientServiceStub, "UpdatePatient", request)


async def _receipts(client: httpx.AsyncClient) -> list[str]:
    """What stands in those that have come with mail."""
    listed = (await client.get("/messages.json")).json()["messages"]
    shown = [(await client.get(f"/messages/{each['id']}.json")).json() for each in listed]
    found = [each["id"] for each in shown if [name for name, _, _ in each["attachments"]] == ["receipt.pdf"]]
    pdfs = [(await client.get(f"/messages/{id}/attachments/0")).content for id in found]
    return ["".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages) for pdf in pdfs]
