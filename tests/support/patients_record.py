"""What a desk does with a record beside reading and changing it: its history, and the sites that see it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.json_format import MessageToDict

from atoll.patients.v1 import patient_change_service_pb2 as change_pb
from atoll.patients.v1 import patient_service_pb2 as pb
from atoll.patients.v1 import patient_site_service_pb2 as site_pb
from atoll.patients.v1.patient_change_service_pb2_grpc import PatientChangeServiceStub
from atoll.patients.v1.patient_site_service_pb2_grpc import PatientSiteServiceStub
from chassis.ids import from_wire, to_wire
from tests.support.patients import Desk


@dataclass
class Records:
    desk: Desk

    def __post_init__(self) -> None:
        self.changes: Any = self.desk.service.stub(PatientChangeServiceStub)
        self.sites: Any = self.desk.service.stub(PatientSiteServiceStub)

    async def add_site(self, patient_id: str, token: str | None = None, **changes: Any) -> str:
        request = site_pb.AddPatientSiteRequest(**self._site(patient_id) | changes)
        etag: str = (await self.desk.service.call(self.sites.AddPatientSite, request, token)).etag
        return etag

    async def remove_site(self, patient_id: str, token: str | None = None, **changes: Any) -> str:
        request = site_pb.RemovePatientSiteRequest(**self._site(patient_id) | changes)
        etag: str = (await self.desk.service.call(self.sites.RemovePatientSite, request, token)).etag
        return etag

    def _site(self, patient_id: str) -> dict[str, Any]:
        """The other site's."""
        site_id = to_wire("site", self.desk.other_site_id)
        return {"request_id": str(uuid4()), "patient_id": patient_id, "site_id": site_id, "reason": "a visit"}

    async def page(
        self, patient_id: str, token: str | None = None, **page: Any
    ) -> change_pb.ListPatientChangesResponse:
        request = change_pb.ListPatientChangesRequest(patient_id=patient_id, **page)
        listed: change_pb.ListPatientChangesResponse = await self.desk.service.call(
            self.changes.ListPatientChanges, request, token
        )
        return listed

    async def history(self, patient_id: str, token: str | None = None) -> list[dict[str, tuple[Any, Any]]]:
        """Of each change, the latest first: by field, the value before and after."""
        return [fields_of(each) for each in (await self.page(patient_id, token)).changes]

    async def contact_details(self, patient_id: str) -> pb.ContactDetails:
        service = self.desk.service
        token = service.token("ROLE_SERVICE", chain="*", subject="notifications")
        request, chain = pb.GetContactDetailsRequest(patient_id=patient_id), to_wire("chain", service.chain_id)
        answer = await service.call(self.desk.patients.GetContactDetails, request, token, atoll_chain=chain)
        details: pb.ContactDetails = answer.contact_details
        return details

    async def break_glass(self, patient_id: str, actor: str, *, site_id: UUID | None = None, minutes: int = 30) -> None:
        """As the row is left behind by it. Negative minutes: it is over."""
        await self.desk.service.admin.execute(
            "INSERT INTO break_glass SELECT $1, gen_random_uuid(), $2, $3, $4, '', now() - interval '1 hour' + "
            "make_interval(mins => $5), now() + make_interval(mins => $5)",
            self.desk.service.chain_id,
            from_wire("patient", patient_id),
            site_id or self.desk.other_site_id,
            actor,
            minutes,
        )


def fields_of(change: change_pb.PatientChange) -> dict[str, tuple[Any, Any]]:
    return {each.field: (MessageToDict(each.before), MessageToDict(each.after)) for each in change.fields}
