"""Screenings and clearances."""

from uuid import UUID

from atoll.patients.v1 import clearance_service_pb2 as pb
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.clearances import Clearance, Screening
from services.patients.store import PatientsStore
from services.patients.use_cases import clearances as use_cases
from services.patients.use_cases.clearances import GrantClearance


class ScreeningServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordScreening(
        self, request: screening_pb.RecordScreeningRequest, call: Call
    ) -> screening_pb.RecordScreeningResponse:
        screening = Screening(
            id=new_id(),
            patient_id=from_wire("patient", request.patient_id),
            protocol_id=from_wire("protocol", request.protocol_id),
            site_id=from_wire("site", request.site_id),
            answers=tuple((each.question_code, _value(each)) for each in request.answers),
            recorded_by=call.actor,
            recorded_at=call.now,
        )

        async def work(store: PatientsStore) -> screening_pb.RecordScreeningResponse:
            recorded = use_cases.record_screening(store, screening)
            return screening_pb.RecordScreeningResponse(screening=to_screening(recorded))

        return await self._db.once(call, request, screening_pb.RecordScreeningResponse, PatientsStore, work)

    async def GetScreening(
        self, request: screening_pb.GetScreeningRequest, call: Call
    ) -> screening_pb.GetScreeningResponse:
        screening_id = from_wire("screening", request.screening_id)
        screening = await self._db.read(call, request, PatientsStore, lambda store: store.screening(screening_id))
        return screening_pb.GetScreeningResponse(screening=to_screening(screening))

    async def ListScreenings(
        self, request: screening_pb.ListScreeningsRequest, call: Call
    ) -> screening_pb.ListScreeningsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.screenings(patient_id, _before(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return screening_pb.ListScreeningsResponse(
            screenings=[to_screening(each) for each in kept], next_page_token=token
        )


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
        )

        async def work(store: PatientsStore) -> pb.GrantClearanceResponse:
            return pb.GrantClearanceResponse(clearance=to_clearance(await use_cases.grant_clearance(store, command)))

        return await self._db.once(call, request, pb.GrantClearanceResponse, PatientsStore, work)

    async def RevokeClearance(self, request: pb.RevokeClearanceRequest, call: Call) -> pb.RevokeClearanceResponse:
        clearance_id = from_wire("clearance", request.clearance_id)

        async def work(store: PatientsStore) -> pb.RevokeClearanceResponse:
            revoked = await use_cases.revoke_clearance(store, clearance_id)
            return pb.RevokeClearanceResponse(clearance=to_clearance(revoked))

        return await self._db.once(call, request, pb.RevokeClearanceResponse, PatientsStore, work)

    async def GetClearance(self, request: pb.GetClearanceRequest, call: Call) -> pb.GetClearanceResponse:
        clearance_id = from_wire("clearance", request.clearance_id)
        clearance = await self._db.read(call, request, PatientsStore, lambda store: store.clearance(clearance_id))
        return pb.GetClearanceResponse(clearance=to_clearance(clearance))

    async def ListClearances(self, request: pb.ListClearancesRequest, call: Call) -> pb.ListClearancesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.clearances(patient_id, _before(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListClearancesResponse(clearances=[to_clearance(each) for each in kept], next_page_token=token)


def _before(page: Page) -> UUID | None:
    return UUID(page.after[0]) if page.after else None


def _value(answer: screening_pb.Answer) -> bool | int | str:
    value: bool | int | str = getattr(answer, str(answer.WhichOneof("value")))
    return value


def _answer(code: str, value: bool | int | str) -> screening_pb.Answer:
    if isinstance(value, bool):  # A bool is an int, too.
        return screening_pb.Answer(question_code=code, bool_value=value)
    if isinstance(value, int):
        return screening_pb.Answer(question_code=code, int_value=value)
    return screening_pb.Answer(question_code=code, text_value=value)


def to_screening(screening: Screening) -> screening_pb.Screening:
    return screening_pb.Screening(
        id=to_wire("screening", screening.id),
        patient_id=to_wire("patient", screening.patient_id),
        protocol_id=to_wire("protocol", screening.protocol_id),
        site_id=to_wire("site", screening.site_id),
        answers=[_answer(code, value) for code, value in screening.answers],
        create_time=to_timestamp(screening.recorded_at),
        recorded_by=screening.recorded_by,
    )


def to_clearance(clearance: Clearance) -> pb.Clearance:
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
    )
