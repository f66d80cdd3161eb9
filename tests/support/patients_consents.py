"""Consents and permissions at the desk: documents of its chain, signed and withdrawn at its sites."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio

from atoll.patients.v1 import consent_document_service_pb2 as document_pb
from atoll.patients.v1 import consent_service_pb2 as pb
from atoll.patients.v1 import permission_service_pb2 as permission_pb
from atoll.patients.v1.consent_document_service_pb2_grpc import ConsentDocumentServiceStub
from atoll.patients.v1.consent_service_pb2_grpc import ConsentServiceStub
from atoll.patients.v1.permission_service_pb2_grpc import PermissionServiceStub
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import to_wire
from chassis.times import to_date
from services.patients.__main__ import SERVICE
from tests.support.patients import OTHER_ZONE, ZONE, Desk
from tests.support.service import running

STATE, OTHER_STATE = "CO", "AZ"
TODAY = date(2027, 3, 1)


@dataclass
class ConsentDesk(Desk):
    async def open(self) -> None:
        await super().open()
        self.documents: Any = self.service.stub(ConsentDocumentServiceStub)
        self.consents: Any = self.service.stub(ConsentServiceStub)
        self.permissions: Any = self.service.stub(PermissionServiceStub)
        for site_id, zone, state in ((self.site_id, ZONE, STATE), (self.other_site_id, OTHER_ZONE, OTHER_STATE)):
            told = SiteRegistered(site_id=to_wire("site", site_id), time_zone=zone, state=state)
            await self.service.deliver(told)

    async def document(self, token: str | None = None, *, request_id: str = "", **changes: Any) -> Any:
        fields: dict[str, Any] = {"code": "TREATMENT", "display_name": "Consent to treatment"}
        request = document_pb.CreateConsentDocumentRequest(request_id=request_id or str(uuid4()), **fields | changes)
        return (await self.service.call(self.documents.CreateConsentDocument, request, token)).consent_document

    async def publish_document(
        self,
        document_id: str,
        token: str | None = None,
        *,
        from_day: date = TODAY,
        request_id: str = "",
        **changes: Any,
    ) -> Any:
        fields: dict[str, Any] = {"texts": [text()], "effective_date": to_date(from_day)}
        request = document_pb.PublishConsentDocumentVersionRequest(
            request_id=request_id or str(uuid4()), consent_document_id=document_id, **fields | changes
        )
        answer = await self.service.call(self.documents.PublishConsentDocumentVersion, request, token)
        return answer.consent_document_version

    async def published(self, **changes: Any) -> Any:
        """A document's first version."""
        return await self.publish_document((await self.document(**changes)).id)

    async def retire(self, document_id: str, token: str | None = None, *, request_id: str = "") -> Any:
        request = document_pb.RetireConsentDocumentRequest(
            request_id=request_id or str(uuid4()), consent_document_id=document_id
        )
        return (await self.service.call(self.documents.RetireConsentDocument, request, token)).consent_document

    async def get_version(self, version_id: str, language: str = "", token: str | None = None) -> Any:
        request = document_pb.GetConsentDocumentVersionRequest(
            consent_document_version_id=version_id, language_code=language
        )
        return await self.service.call(self.documents.GetConsentDocumentVersion, request, token)

    async def sign(self, patient_id: str, version_id: str, token: str | None = None, **changes: Any) -> pb.Consent:
        request = self.signature(patient_id, version_id, **changes)
        signed: pb.Consent = (await self.service.call(self.consents.SignConsent, request, token)).consent
        return signed

    def signature(self, patient_id: str, version_id: str, **changes: Any) -> pb.SignConsentRequest:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "patient_id": patient_id,
            "site_id": to_wire("site", self.site_id),
            "consent_document_version_id": version_id,
            "language_code": "en-US",
            "signer_name": "Ana Ruiz",
            "relationship": pb.SIGNER_RELATIONSHIP_SELF,
            "method": pb.CONSENT_METHOD_ELECTRONIC,
        }
        return pb.SignConsentRequest(**fields | changes)

    async def withdraw(self, consent: pb.Consent, token: str | None = None, **changes: Any) -> pb.Consent:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "patient_id": consent.patient_id,
            "consent_id": consent.id,
            "site_id": consent.site_id,
            "reason": "changed their mind",
        }
        request = pb.WithdrawConsentRequest(**fields | changes)
        withdrawn: pb.Consent = (await self.service.call(self.consents.WithdrawConsent, request, token)).consent
        return withdrawn

    async def status(
        self, patient_id: str, token: str | None = None, *, day: date | None = None, **changes: Any
    ) -> Any:
        fields: dict[str, Any] = {"patient_id": patient_id, "site_id": to_wire("site", self.site_id)}
        request = pb.GetConsentStatusRequest(**fields | changes, date=to_date(day) if day else None)
        return await self.service.call(self.consents.GetConsentStatus, request, token)

    async def stands(self, patient_id: str, **asked: Any) -> dict[str, str]:
        """Status by document code."""
        found = (await self.status(patient_id, **asked)).documents
        return {
            each.document_code: pb.ConsentStatus.Name(each.status).removeprefix("CONSENT_STATUS_") for each in found
        }

    async def list_consents(self, patient_id: str, token: str | None = None, **page: Any) -> Any:
        request = pb.ListConsentsRequest(patient_id=patient_id, **page)
        return await self.service.call(self.consents.ListConsents, request, token)

    async def permit(self, patient_id: str, token: str | None = None, **changes: Any) -> Any:
        """Texts about appointments, said by the patient."""
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "patient_id": patient_id,
            "site_id": to_wire("site", self.site_id),
            "channel": "MESSAGE_CHANNEL_SMS",
            "purpose": "MESSAGE_PURPOSE_APPOINTMENT",
            "permitted": True,
            "giver": "PERMISSION_GIVER_PATIENT",
            "method": "PERMISSION_METHOD_ELECTRONIC",
        }
        request = permission_pb.RecordPermissionRequest(**fields | changes)
        return (await self.service.call(self.permissions.RecordPermission, request, token)).permission

    async def list_permissions(self, patient_id: str, token: str | None = None, **page: Any) -> Any:
        request = permission_pb.ListPermissionsRequest(patient_id=patient_id, **page)
        return await self.service.call(self.permissions.ListPermissions, request, token)

    def as_patient(self, patient_id: str) -> str:
        return self.service.token("ROLE_PATIENT", subject="the-patient", patient=patient_id)

    @property
    def there(self) -> dict[str, Any]:
        return {"site_id": to_wire("site", self.other_site_id)}


def text(
    language: str = "en-US", content: str = "I agree.", format: int = document_pb.CONSENT_TEXT_FORMAT_PLAIN
) -> Any:
    return document_pb.ConsentText(language_code=language, format=format, content=content)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def desk(postgres_url: str, issuer_folder: Path) -> AsyncIterator[ConsentDesk]:
    """To be imported by the tests that sit at it."""
    async with running(SERVICE, postgres_url, issuer_folder) as service:
        desk = ConsentDesk(service)
        await desk.open()
        yield desk
