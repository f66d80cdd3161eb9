"""ClearanceService."""

from uuid import UUID

from atoll.patients.v1 import clearance_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.clearances import Clearance, ClearanceCondition, Limits
from services.patients.store import PatientsStore
from services.patients.use_cases import clearances as use_cases
from services.patients.use_cases.clearances import GrantClearance


class ClearanceServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GrantClearance(self, request: pb.GrantClearanceRequest, call: Call) -> pb.GrantClearanceResponse:
        command = GrantClearance(
            patient_id=from_wire("patient", request.patient_id),
            protocol_id=from_wire("protocol", request.protocol_id),
            site_id=from_wire("site", request.site_id),
            route_codes=tuple(request.route_codes),
            effective_date=from_date(request.effective_date, "effective_date"),
            expire_date=from_date(request.expire_date, "expire_date"),
            screening_id=from_wire("screening", request.screening_id) if request.screening_id else None,
            limits=Limits(
                band_codes=tuple(request.band_codes),
                session_minutes_max=request.session_minutes_max,
                conditions=tuple(ClearanceCondition(each.code, each.text) for each in request.conditions),
            ),
            override_reason=request.override_reason,
        )

        async def work(store: PatientsStore) -> pb.GrantClearanceResponse:
            return pb.GrantClearanceResponse(clearance=to_clearance(await use_cases.grant_clearance(store, command)))

        return await self._db.once(
            call, request, pb.GrantClearanceResponse, PatientsStore, work, locks=[command.patient_id]
        )

    async def RevokeClearance(self, request: pb.RevokeClearanceRequest, call: Call) -> pb.RevokeClearanceResponse:
        clearance_id = from_wire("clearance", request.clearance_id)

        async def work(store: PatientsStore) -> pb.RevokeClearanceResponse:
            revoked = await use_cases.revoke_clearance(store, clearance_id, request.reason)
            return pb.RevokeClearanceResponse(clearance=to_clearance(revoked))

        return await self._db.once(call, request, pb.RevokeClearanceResponse, PatientsStore, work)

    async def GetClearance(self, request: pb.GetClearanceRequest, call: Call) -> pb.GetClearanceResponse:
        clearance_id = from_wire("clearance", request.clearance_id)
        clearance = await self._db.read(call, request, PatientsStore, lambda store: store.clearance(clearance_id))
        return pb.GetClearanceResponse(clearance=to_clearance(clearance))

    async def ListClearances(self, request: pb.ListClearancesRequest, call: Call) -> pb.ListClearancesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        day = from_date(request.in_force_date, "in_force_date") if request.HasField("in_force_date") else None
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.clearances(patient_id, before, page.limit, day)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListClearancesResponse(clearances=map(to_clearance, kept), next_page_token=token)


def to_clearance(clearance: Clearance) -> pb.Clearance:
    limits = clearance.limits
    return pb.Clearance(
        id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
        route_codes=clearance.route_codes,
        effective_date=to_date(clearance.effective_date),
        expire_date=to_date(clearance.expire_date),
        screening_id=to_wire("screening", clearance.screening_id) if clearance.screening_id else "",
        create_time=to_timestamp(clearance.granted_at),
        granted_by=clearance.granted_by,
        revoke_time=to_timestamp(clearance.revoked_at) if clearance.revoked_at else None,
        revoked_by=clearance.revoked_by or "",
        band_codes=limits.band_codes,
        session_minutes_max=limits.session_minutes_max,
        conditions=[pb.ClearanceCondition(code=each.code, text=each.text) for each in limits.conditions],
        override_reason=clearance.override_reason,
        revoke_reason=clearance.revoke_reason,
    )
