"""What the sample's patients sign: documents of the chain, one of them a state's own, and their signatures on paper;
and that messages may go to whoever takes them home."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from google.type.date_pb2 import Date

from atoll.patients.v1.consent_document_service_pb2 import (
    CreateConsentDocumentRequest,
    GetConsentDocumentVersionRequest,
    PublishConsentDocumentVersionRequest,
)
from atoll.patients.v1.consent_document_service_pb2_grpc import ConsentDocumentServiceStub
from atoll.patients.v1.consent_service_pb2 import (
    CONSENT_METHOD_PAPER,
    CONSENT_STATUS_CURRENT,
    SIGNER_RELATIONSHIP_PARENT,
    SIGNER_RELATIONSHIP_SELF,
    GetConsentStatusRequest,
    SignConsentRequest,
)
from atoll.patients.v1.consent_service_pb2_grpc import ConsentServiceStub
from atoll.patients.v1.patient_pb2 import RELATED_PERSON_ROLE_ESCORT
from atoll.patients.v1.patient_service_pb2 import GetPatientRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from atoll.patients.v1.permission_pb2 import (
    MESSAGE_CHANNEL_EMAIL,
    MESSAGE_CHANNEL_SMS,
    MESSAGE_PURPOSE_COMPANION,
    PERMISSION_GIVER_COMPANION,
    PERMISSION_GIVER_PATIENT,
    MessageChannel,
    PermissionGiver,
)
from atoll.patients.v1.permission_service_pb2 import PERMISSION_METHOD_PAPER, RecordPermissionRequest
from atoll.patients.v1.permission_service_pb2_grpc import PermissionServiceStub
from chassis.times import to_date
from cli.client import Client, request_id_for

FOLDER = Path(__file__).parent / "documents"
ADULT_YEARS = 18


def document_files() -> Mapping[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


async def load_documents(client: Client, today: date) -> None:
    """`today` is the first day of each version, and must be the same when it is run again: then nothing changes."""
    for name, file in document_files().items():
        create = CreateConsentDocumentRequest(request_id=request_id_for(client.chain_id, "consent document", name))
        created = await client.call(
            ConsentDocumentServiceStub, "CreateConsentDocument", ParseDict(file["document"], create)
        )
        publish = PublishConsentDocumentVersionRequest(
            request_id=request_id_for(client.chain_id, "consent document version", name),
            consent_document_id=created.consent_document.id,
            effective_date=to_date(today),
        )
        await client.call(
            ConsentDocumentServiceStub, "PublishConsentDocumentVersion", ParseDict(file["version"], publish)
        )


async def sign_documents(desk: Client, site_id: str, patient_id: str, today: date) -> None:
    """At the front desk, on paper: whatever applies at the site and is not signed yet."""
    got = await desk.call(PatientServiceStub, "GetPatient", GetPatientRequest(patient_id=patient_id))
    patient = got.patient
    status = GetConsentStatusRequest(patient_id=patient_id, site_id=site_id)
    for each in (await desk.call(ConsentServiceStub, "GetConsentStatus", status)).documents:
        if each.status == CONSENT_STATUS_CURRENT:
            continue
        version_id = each.consent_document_version_id
        read = GetConsentDocumentVersionRequest(consent_document_version_id=version_id, language_code=patient.language)
        version = await desk.call(ConsentDocumentServiceStub, "GetConsentDocumentVersion", read)
        signature = SignConsentRequest(
            patient_id=patient_id,
            site_id=site_id,
            consent_document_version_id=version_id,
            language_code=version.text.language_code,
            signer_name=" ".join([*patient.given_names, patient.family_name]),
            relationship=SIGNER_RELATIONSHIP_SELF,
            method=CONSENT_METHOD_PAPER,
        )
        if not of_age(patient.birth_date, today):
            signature.relationship, signature.signer_name = SIGNER_RELATIONSHIP_PARENT, "A parent"
        await desk.call(ConsentServiceStub, "SignConsent", signature)
    if any(each.role == RELATED_PERSON_ROLE_ESCORT for each in patient.related_persons):
        await _permit_companion(desk, site_id, patient_id)


async def _permit_companion(desk: Client, site_id: str, patient_id: str) -> None:
    """Both say yes, to emails and texts. Once, however often it is run."""
    for giver in (PERMISSION_GIVER_PATIENT, PERMISSION_GIVER_COMPANION):
        for channel in (MESSAGE_CHANNEL_EMAIL, MESSAGE_CHANNEL_SMS):
            told = f"{PermissionGiver.Name(giver)} {MessageChannel.Name(channel)}"
            permission = RecordPermissionRequest(
                request_id=request_id_for(desk.chain_id, f"companion {patient_id}", told),
                patient_id=patient_id,
                site_id=site_id,
                channel=channel,
                purpose=MESSAGE_PURPOSE_COMPANION,
                permitted=True,
                giver=giver,
                method=PERMISSION_METHOD_PAPER,
            )
            await desk.call(PermissionServiceStub, "RecordPermission", permission)


def of_age(birth_date: Date, today: date) -> bool:
    born = birth_date.year + ADULT_YEARS, birth_date.month, birth_date.day
    return born <= (today.year, today.month, today.day)
