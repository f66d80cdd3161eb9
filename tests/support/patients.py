"""The patients service, running in this process, with two sites that it has heard of."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from atoll.patients.v1 import clearance_service_pb2 as clearance_pb
from atoll.patients.v1 import patient_service_pb2 as pb
from atoll.patients.v1 import questionnaire_service_pb2 as questionnaire_pb
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from atoll.patients.v1.clearance_service_pb2_grpc import ClearanceServiceStub
from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from atoll.patients.v1.questionnaire_pb2 import QuestionnaireVersion
from atoll.patients.v1.questionnaire_service_pb2_grpc import QuestionnaireServiceStub
from atoll.patients.v1.screening_service_pb2_grpc import ScreeningServiceStub
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import new_id, to_wire
from services.patients.__main__ import SERVICE
from tests.support.patients_questionnaires import PSYCHOSIS
from tests.support.service import Running, running

ZONE, OTHER_ZONE = "America/Denver", "America/Phoenix"


@dataclass
class Desk:
    """Whoever calls: a chain's admin unless a token says otherwise."""

    service: Running
    site_id: UUID = field(default_factory=new_id)
    other_site_id: UUID = field(default_factory=new_id)

    async def open(self) -> None:
        self.patients: Any = self.service.stub(PatientServiceStub)
        self.screenings: Any = self.service.stub(ScreeningServiceStub)
        self.clearances: Any = self.service.stub(ClearanceServiceStub)
        self.questionnaires: Any = self.service.stub(QuestionnaireServiceStub)
        for site_id, zone in ((self.site_id, ZONE), (self.other_site_id, OTHER_ZONE)):
            await self.service.deliver(SiteRegistered(site_id=to_wire("site", site_id), time_zone=zone))

    def told(self, **changes: Any) -> Patient:
        """Ana Ruiz, who lives near the first site."""
        fields: dict[str, Any] = {
            "given_names": ["Ana"],
            "family_name": "Ruiz",
            "birth_date": {"year": 1980, "month": 5, "day": 17},
            "home_site_id": to_wire("site", self.site_id),
        }
        return Patient(**fields | changes)

    async def create(self, token: str | None = None, *, request_id: str = "", **changes: Any) -> Patient:
        request = pb.CreatePatientRequest(request_id=request_id or str(uuid4()), patient=self.told(**changes))
        created: Patient = (await self.service.call(self.patients.CreatePatient, request, token)).patient
        return created

    async def get(self, patient_id: str, token: str | None = None) -> Patient:
        request = pb.GetPatientRequest(patient_id=patient_id)
        got: Patient = (await self.service.call(self.patients.GetPatient, request, token)).patient
        return got

    async def update(self, seen: Patient, token: str | None = None, *, request_id: str = "", **changes: Any) -> Patient:
        request = pb.UpdatePatientRequest(
            request_id=request_id or str(uuid4()),
            patient=Patient(id=seen.id, etag=seen.etag, **changes),
            update_mask=FieldMask(paths=list(changes)),
        )
        changed: Patient = (await self.service.call(self.patients.UpdatePatient, request, token)).patient
        return changed

    async def search(self, token: str | None = None, **asked: Any) -> pb.SearchPatientsResponse:
        found: pb.SearchPatientsResponse = await self.service.call(
            self.patients.SearchPatients, pb.SearchPatientsRequest(**asked), token
        )
        return found

    async def found(self, name: str) -> list[str]:
        """Given names of those whom a search for `name` finds."""
        return [" ".join(card.given_names) for card in (await self.search(name=name)).cards]

    async def import_rows(self, *rows: Patient, token: str | None = None, request_id: str = "") -> list[Any]:
        request = pb.ImportPatientsRequest(request_id=request_id or str(uuid4()), rows=rows)
        return list((await self.service.call(self.patients.ImportPatients, request, token)).results)

    async def asks(self, protocol_id: str, content: Mapping[str, Any] | None = None) -> QuestionnaireVersion:
        """A new questionnaire is published and used for the protocol; one that asks for psychosis only, if None."""
        created = await self.service.call(
            self.questionnaires.CreateQuestionnaire,
            questionnaire_pb.CreateQuestionnaireRequest(
                request_id=str(uuid4()), code=f"q_{uuid4().hex[:12]}", display_name="Eligibility"
            ),
        )
        version = await self.publish(created.questionnaire.id, content)
        await self.assign(created.questionnaire.id, protocol_id)
        return version

    async def publish(
        self, questionnaire_id: str, content: Mapping[str, Any] | None = None, token: str | None = None, **changes: Any
    ) -> QuestionnaireVersion:
        request = questionnaire_pb.PublishQuestionnaireVersionRequest(
            **{"request_id": str(uuid4()), "questionnaire_id": questionnaire_id} | changes
        )
        ParseDict(dict(content or PSYCHOSIS), request.content)
        answer = await self.service.call(self.questionnaires.PublishQuestionnaireVersion, request, token)
        version: QuestionnaireVersion = answer.questionnaire_version
        return version

    async def assign(self, questionnaire_id: str, protocol_id: str, token: str | None = None) -> None:
        request = questionnaire_pb.AssignQuestionnaireRequest(
            request_id=str(uuid4()), questionnaire_id=questionnaire_id, protocol_id=protocol_id
        )
        await self.service.call(self.questionnaires.AssignQuestionnaire, request, token)

    async def screen(self, patient_id: str, token: str | None = None, **changes: Any) -> screening_pb.Screening:
        """For a protocol of its own, whose questionnaire asks for psychosis only, unless `changes` say otherwise."""
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "patient_id": patient_id,
            "protocol_id": to_wire("protocol", new_id()),
            "site_id": to_wire("site", self.site_id),
            "answers": [{"question_code": "psychosis", "bool_value": False}],
        } | changes
        if "questionnaire_version_id" not in fields:
            fields["questionnaire_version_id"] = (await self.asks(fields["protocol_id"])).id
        request = screening_pb.RecordScreeningRequest(**fields)
        token = token or self.clinician()
        recorded: screening_pb.Screening = (
            await self.service.call(self.screenings.RecordScreening, request, token)
        ).screening
        return recorded

    async def clear(self, patient_id: str, token: str | None = None, **changes: Any) -> clearance_pb.Clearance:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "patient_id": patient_id,
            "protocol_id": to_wire("protocol", new_id()),
            "site_id": to_wire("site", self.site_id),
            "route_codes": ["iv"],
            "effective_date": {"year": 2027, "month": 3, "day": 1},
            "expire_date": {"year": 2027, "month": 9, "day": 1},
        }
        request = clearance_pb.GrantClearanceRequest(**fields | changes)
        granted: clearance_pb.Clearance = (
            await self.service.call(self.clearances.GrantClearance, request, token or self.clinician())
        ).clearance
        return granted

    async def revoke(
        self, clearance_id: str, token: str | None = None, reason: str = "a new diagnosis"
    ) -> clearance_pb.Clearance:
        request = clearance_pb.RevokeClearanceRequest(request_id=str(uuid4()), clearance_id=clearance_id, reason=reason)
        revoked: clearance_pb.Clearance = (
            await self.service.call(self.clearances.RevokeClearance, request, token or self.clinician())
        ).clearance
        return revoked

    def clinician(self) -> str:
        return self.service.token("ROLE_CLINICIAN", subject="dr")

    def at_other_site(self, role: str = "ROLE_FRONT_DESK") -> str:
        return self.service.token(role, sites=[self.other_site_id])

    def of_other_chain(self, role: str = "ROLE_CHAIN_ADMIN") -> str:
        return self.service.token(role, chain_id=new_id())

    async def facts(self) -> list[str]:
        """Subjects of what was published."""
        return [subject for subject, _ in await self.service.published()]


@asynccontextmanager
async def open_desk(server_url: str, folder: Path, *, new: bool = False) -> AsyncIterator[Desk]:
    async with running(SERVICE, server_url, folder, new=new) as service:
        desk = Desk(service)
        await desk.open()
        yield desk


@pytest_asyncio.fixture
async def desk(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Desk]:
    """To be imported by the tests that sit at it."""
    async with open_desk(postgres_url, issuer_folder) as desk:
        yield desk
