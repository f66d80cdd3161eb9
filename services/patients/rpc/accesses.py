"""Who saw and who changed a patient's data."""

from atoll.patients.v1 import access_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.accesses import Access
from services.patients.store import PatientsStore


class AccessServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListAccesses(self, request: pb.ListAccessesRequest, call: Call) -> pb.ListAccessesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = int(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.accesses(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.position)])
        return pb.ListAccessesResponse(accesses=[_access(each) for each in kept], next_page_token=token)


def _access(access: Access) -> pb.Access:
    return pb.Access(
        access_time=to_timestamp(access.at),
        actor=access.actor,
        kind=pb.AccessKind.Value(f"ACCESS_KIND_{access.kind}"),
        method=access.method,
        roles=access.roles,
        site_ids=access.site_ids,
        cause=access.cause,
    )
