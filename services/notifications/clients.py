"""Calls to other services. Never made inside a transaction."""

from uuid import UUID

import grpc

from atoll.billing.v1.document_service_pb2 import GetDocumentRequest
from atoll.billing.v1.document_service_pb2_grpc import DocumentServiceStub
from atoll.patients.v1 import patient_pb2, permission_pb2
from atoll.patients.v1.patient_service_pb2 import ContactDetails, GetContactDetailsRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from chassis.client import DEADLINE_S, metadata, reason_of
from chassis.ids import to_wire
from chassis.settings import Settings
from services.notifications.domain.contacts import Contact, Permission, Point, Related, Use
from services.notifications.domain.documents import Document, file_name
from services.notifications.domain.kinds import Channel, Purpose, Recipient
from services.notifications.domain.matters import Matter, MatterKind

CHANNELS = {
    permission_pb2.MESSAGE_CHANNEL_EMAIL: Channel.EMAIL,
    permission_pb2.MESSAGE_CHANNEL_SMS: Channel.SMS,
    permission_pb2.MESSAGE_CHANNEL_VOICE: Channel.VOICE,
    permission_pb2.MESSAGE_CHANNEL_PORTAL: Channel.IN_APP,
}
PURPOSES = {
    permission_pb2.MESSAGE_PURPOSE_APPOINTMENT: Purpose.APPOINTMENT,
    permission_pb2.MESSAGE_PURPOSE_BILLING: Purpose.BILLING,
    permission_pb2.MESSAGE_PURPOSE_COMPANION: Purpose.COMPANION,
}
USES = {
    patient_pb2.CONTACT_USE_HOME: Use.HOME,
    patient_pb2.CONTACT_USE_WORK: Use.WORK,
    patient_pb2.CONTACT_USE_MOBILE: Use.MOBILE,
    patient_pb2.CONTACT_USE_TEMPORARY: Use.TEMPORARY,
}
ROLES = {
    patient_pb2.RELATED_PERSON_ROLE_GUARANTOR: Recipient.PAYER,
    patient_pb2.RELATED_PERSON_ROLE_ESCORT: Recipient.COMPANION,
}


ABOUT = {
    MatterKind.ESTIMATE: "estimate_id",
    MatterKind.INVOICE: "invoice_id",
    MatterKind.CREDIT_NOTE: "credit_note_id",
    MatterKind.PAYMENT: "payment_id",
    MatterKind.REFUND: "refund_id",
}
"""The field of GetDocumentRequest that names what a document shows."""
PENDING = "DOCUMENT_PENDING"
NEVER = frozenset({"DOCUMENT_NOT_FOUND", "DOCUMENT_REFUSED"})
"""Why billing has no document that waiting would bring."""


class PatientsAway(Exception):
    """No contact details could be had now. `code` tells why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Patients:
    def __init__(self, settings: Settings, channel: grpc.aio.Channel) -> None:
        self._settings, self._stub = settings, PatientServiceStub(channel)

    async def contact(self, chain_id: UUID, patient_id: UUID, traceparent: str) -> Contact:
        """As it is now. It lives no longer than the message is being sent."""
        request = GetContactDetailsRequest(patient_id=to_wire("patient", patient_id))
        who = metadata(self._settings, chain_id, traceparent)
        try:
            answer = await self._stub.GetContactDetails(request, metadata=who, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            raise PatientsAway(f"PATIENTS_{error.code().name}") from error
        details = answer.contact_details
        return contact_of(details)


class BillingAway(Exception):
    """A document could not be had now. `code` tells why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Billing:
    def __init__(self, settings: Settings, channel: grpc.aio.Channel) -> None:
        self._settings, self._stub = settings, DocumentServiceStub(channel)

    async def document(self, chain_id: UUID, matter: Matter, traceparent: str) -> Document | None:
        """Of an estimate, an invoice, a credit note, a payment or a refund; None: there is none, and will be none."""
        request = GetDocumentRequest(**{ABOUT[matter.kind]: matter.about})
        who = metadata(self._settings, chain_id, traceparent)
        try:
            answer = await self._stub.GetDocument(request, metadata=who, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            if (reason := reason_of(error)) in NEVER:
                return None
            raise BillingAway(PENDING if reason == PENDING else f"BILLING_{error.code().name}") from error
        found = answer.document
        return Document(file_name(matter.kind, matter.number), found.pdf, found.voided)


def contact_of(details: ContactDetails) -> Contact:
    """None of the points that no longer reach the patient; permissions of what messages travel by here."""
    return Contact(
        given_name=details.given_name,
        language=details.language,
        deceased=details.deceased,
        minor=details.minor,
        confidential=any(point.confidential for point in details.contact_points),
        points=tuple(
            Point(
                point.system == patient_pb2.CONTACT_SYSTEM_PHONE, point.value, USES.get(point.use, Use.ANY), point.rank
            )
            for point in details.contact_points
            if point.system != patient_pb2.CONTACT_SYSTEM_POSTAL and point.use != patient_pb2.CONTACT_USE_OLD
        ),
        permissions=tuple(
            Permission(CHANNELS[each.channel], PURPOSES[each.purpose], USES.get(each.use, Use.ANY), each.permitted)
            for each in details.permissions
            if each.channel in CHANNELS and each.purpose in PURPOSES
        ),
        related=tuple(
            Related(ROLES[each.role], each.phone, each.email) for each in details.related_persons if each.role in ROLES
        ),
        may_name_treatment=any(
            each.permitted
            for each in details.permissions
            if each.channel == permission_pb2.MESSAGE_CHANNEL_EMAIL
            and each.purpose == permission_pb2.MESSAGE_PURPOSE_TREATMENT_DETAIL
        ),
    )
