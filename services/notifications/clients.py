"""Calls to other services. Never made inside a transaction."""

from uuid import UUID

import grpc

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, CONTACT_USE_OLD
from atoll.patients.v1.patient_service_pb2 import ContactDetails, GetContactDetailsRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from chassis.client import DEADLINE_S, metadata
from chassis.ids import to_wire
from chassis.settings import Settings
from services.notifications.domain.messages import Contact

UNRANKED = 1000


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
        return Contact(details.given_name, details.language, email_of(details), details.deceased)


def email_of(details: ContactDetails) -> str | None:
    """The address that is tried first: by rank, an unranked one last; none that no longer reaches the patient."""
    usable = [
        point
        for point in details.contact_points
        if point.system == CONTACT_SYSTEM_EMAIL and point.use != CONTACT_USE_OLD
    ]
    return min(usable, key=lambda point: point.rank or UNRANKED).value if usable else None
