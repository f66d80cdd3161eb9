"""Signatures, withdrawals, and where a patient stands."""

from uuid import UUID

from atoll.patients.v1 import consent_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_instant, to_timestamp
from services.patients.domain.consents import DocumentConsent, KeptConsent, Method, Relationship, Signing
from services.patients.domain.documents import language_tag
from services.patients.store import PatientsStore
from services.patients.use_cases import consents as use_cases
from services.patients.use_cases.consents import SignConsent, WithdrawConsent


class ConsentServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def SignConsent(self, request: pb.SignConsentRequest, call: Call) -> pb.SignConsentResponse:
        command = SignConsent(
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            version_id=from_wire("consentdocumentversion", request.consent_document_version_id),
            signer_name=request.signer_name.strip(),
            signing=_signing(request, call),
        )

        async def work(store: PatientsStore) -> pb.SignConsentResponse:
            return pb.SignConsentResponse(consent=to_consent(await use_cases.sign_consent(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.SignConsentResponse, PatientsStore, work, locks=locks)

    async def WithdrawConsent(self, request: pb.WithdrawConsentRequest, call: Call) -> pb.WithdrawConsentResponse:
        command = WithdrawConsent(
            patient_id=from_wire("patient", request.patient_id),
            consent_id=from_wire("consent", request.consent_id),
            site_id=from_wire("site", request.site_id),
            reason=request.reason.strip(),
        )

        async def work(store: PatientsStore) -> pb.WithdrawConsentResponse:
            return pb.WithdrawConsentResponse(consent=to_consent(await use_cases.withdraw_consent(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.WithdrawConsentResponse, PatientsStore, work, locks=locks)

    async def GetConsentStatus(self, request: pb.GetConsentStatusRequest, call: Call) -> pb.GetConsentStatusResponse:
        patient_id, site_id = from_wire("patient", request.patient_id), from_wire("site", request.site_id)
        asked = from_date(request.date, "date") if request.HasField("date") else None
        day, documents = await self._db.read(
            call, request, PatientsStore, lambda store: use_cases.consent_status(store, patient_id, site_id, asked)
        )
        return pb.GetConsentStatusResponse(documents=[_standing(each) for each in documents], date=to_date(day))

    async def ListConsents(self, request: pb.ListConsentsRequest, call: Call) -> pb.ListConsentsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.consents(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.consent.id)])
        return pb.ListConsentsResponse(consents=[to_consent(each) for each in kept], next_page_token=token)


def _signing(request: pb.SignConsentRequest, call: Call) -> Signing:
    relationship = pb.SignerRelationship.Name(request.relationship).removeprefix("SIGNER_RELATIONSHIP_")
    return Signing(
        language=language_tag(request.language_code),
        relationship=Relationship(relationship),
        method=Method(pb.ConsentMethod.Name(request.method).removeprefix("CONSENT_METHOD_")),
        witness_name=request.witness_name.strip(),
        signed_at=to_instant(request.sign_time) if request.HasField("sign_time") else None,
        by_patient=call.patient_id is not None,
    )


def _standing(found: DocumentConsent) -> pb.DocumentConsent:
    document, version = found.document, found.in_effect
    return pb.DocumentConsent(
        consent_document_id=to_wire("consentdocument", document.id),
        document_code=document.code,
        state_code=document.state,
        display_name=document.display_name,
        status=pb.ConsentStatus.Value(f"CONSENT_STATUS_{found.status}"),
        consent_document_version_id=to_wire("consentdocumentversion", version.id),
        version_number=version.number,
        effective_date=to_date(version.effective_date),
        consent=to_consent(found.signature) if found.signature else None,
    )


def to_consent(kept: KeptConsent) -> pb.Consent:
    consent = kept.consent
    answer = pb.Consent(
        id=to_wire("consent", consent.id),
        patient_id=to_wire("patient", consent.patient_id),
        site_id=to_wire("site", consent.site_id),
        consent_document_id=to_wire("consentdocument", consent.document_id),
        document_code=kept.document_code,
        state_code=kept.state,
        consent_document_version_id=to_wire("consentdocumentversion", consent.version_id),
        version_number=kept.version_number,
        language_code=consent.language,
        content_hash=kept.content_hash,
        signer_name=consent.signer_name,
        relationship=pb.SignerRelationship.Value(f"SIGNER_RELATIONSHIP_{consent.relationship}"),
        method=pb.ConsentMethod.Value(f"CONSENT_METHOD_{consent.method}"),
        witness_name=consent.witness_name,
        sign_time=to_timestamp(consent.signed_at),
        create_time=to_timestamp(consent.recorded_at),
        recorded_by=consent.recorded_by,
    )
    if withdrawal := consent.withdrawal:
        answer.withdraw_time.CopyFrom(to_timestamp(withdrawal.withdrawn_at))
        answer.withdraw_reason, answer.withdrawn_by = withdrawal.reason, withdrawal.withdrawn_by
        answer.withdraw_site_id = to_wire("site", withdrawal.site_id)
    return answer
