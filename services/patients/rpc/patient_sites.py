"""Sites that may see a record."""

from atoll.patients.v1 import patient_site_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import to_etag
from chassis.ids import from_wire
from services.patients.store import PatientsStore
from services.patients.use_cases import patient_sites as use_cases
from services.patients.use_cases.patient_sites import ChangePatientSite


class PatientSiteServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def AddPatientSite(self, request: pb.AddPatientSiteRequest, call: Call) -> pb.AddPatientSiteResponse:
        command = _command(request)

        async def work(store: PatientsStore) -> pb.AddPatientSiteResponse:
            change = await use_cases.add_patient_site(store, command)
            return pb.AddPatientSiteResponse(etag=to_etag(change.version))

        return await self._db.once(call, request, pb.AddPatientSiteResponse, PatientsStore, work)

    async def RemovePatientSite(self, request: pb.RemovePatientSiteRequest, call: Call) -> pb.RemovePatientSiteResponse:
        command = _command(request)

        async def work(store: PatientsStore) -> pb.RemovePatientSiteResponse:
            change = await use_cases.remove_patient_site(store, command)
            return pb.RemovePatientSiteResponse(etag=to_etag(change.version))

        return await self._db.once(call, request, pb.RemovePatientSiteResponse, PatientsStore, work)


def _command(request: pb.AddPatientSiteRequest | pb.RemovePatientSiteRequest) -> ChangePatientSite:
    return ChangePatientSite(
        patient_id=from_wire("patient", request.patient_id),
        site_id=from_wire("site", request.site_id),
        reason=request.reason.strip(),
    )
