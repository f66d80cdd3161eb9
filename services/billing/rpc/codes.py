"""Code sets."""

from datetime import date
from uuid import UUID

from google.type.date_pb2 import Date

from atoll.billing.v1 import code_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date
from services.billing.domain.codes import DiagnosisCode, ServiceCode, ServiceCodeRow, with_dot
from services.billing.domain.prices import VisitKind
from services.billing.rpc.common import FIRST_ID
from services.billing.store import BillingStore
from services.billing.use_cases import codes


class CodeServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def LoadServiceCodes(self, request: pb.LoadServiceCodesRequest, call: Call) -> pb.LoadServiceCodesResponse:
        rows = [_told(row, f"rows[{n}]") for n, row in enumerate(request.rows)]

        async def work(store: BillingStore) -> pb.LoadServiceCodesResponse:
            loaded = await codes.load_service_codes(store, rows)
            return pb.LoadServiceCodesResponse(
                added_count=loaded.added, changed_count=loaded.changed, unchanged_count=loaded.unchanged
            )

        return await self._db.once(call, request, pb.LoadServiceCodesResponse, BillingStore, work)

    async def ListServiceCodes(self, request: pb.ListServiceCodesRequest, call: Call) -> pb.ListServiceCodesResponse:
        page, day = Page.of(request, call), _day(request)
        after = (page.after[0], UUID(page.after[1])) if page.after else ("", FIRST_ID)
        found = await self._db.read(
            call,
            request,
            BillingStore,
            lambda store: store.list_service_codes(request.visit_type_code, day, after, page.limit),
        )
        kept, token = page.cut(found, key=lambda row: [row.code.code, str(row.id)])
        return pb.ListServiceCodesResponse(service_code_rows=map(_service_row, kept), next_page_token=token)

    async def EndServiceCode(self, request: pb.EndServiceCodeRequest, call: Call) -> pb.EndServiceCodeResponse:
        id, version = from_wire("servicecode", request.service_code_id), from_etag(request.etag)
        end_date = from_date(request.end_date, "end_date")

        async def work(store: BillingStore) -> pb.EndServiceCodeResponse:
            ended = await codes.end_service_code(store, id, version, end_date)
            return pb.EndServiceCodeResponse(service_code_row=_service_row(ended))

        return await self._db.once(call, request, pb.EndServiceCodeResponse, BillingStore, work)

    async def LoadDiagnosisCodes(
        self, request: pb.LoadDiagnosisCodesRequest, call: Call
    ) -> pb.LoadDiagnosisCodesResponse:
        rows = [
            DiagnosisCode(
                with_dot(row.code),
                from_date(row.effective_date, f"rows[{n}].effective_date"),
                _end(row, f"rows[{n}].end_date"),
            )
            for n, row in enumerate(request.rows)
        ]

        async def work(store: BillingStore) -> pb.LoadDiagnosisCodesResponse:
            loaded = await codes.load_diagnosis_codes(store, rows)
            return pb.LoadDiagnosisCodesResponse(
                added_count=loaded.added, changed_count=loaded.changed, unchanged_count=loaded.unchanged
            )

        return await self._db.once(call, request, pb.LoadDiagnosisCodesResponse, BillingStore, work)

    async def ListDiagnosisCodes(
        self, request: pb.ListDiagnosisCodesRequest, call: Call
    ) -> pb.ListDiagnosisCodesResponse:
        page, day = Page.of(request, call), _day(request)
        after = (page.after[0], date.fromisoformat(page.after[1])) if page.after else ("", date.min)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.list_diagnosis_codes(day, after, page.limit)
        )
        kept, token = page.cut(found, key=lambda row: [row.code, row.effective_date.isoformat()])
        return pb.ListDiagnosisCodesResponse(diagnosis_codes=map(_diagnosis, kept), next_page_token=token)

    async def FindCodes(self, request: pb.FindCodesRequest, call: Call) -> pb.FindCodesResponse:
        day, services, diagnoses = from_date(request.date, "date"), request.service_codes, request.diagnosis_codes
        found = await self._db.read(
            call, request, BillingStore, lambda store: codes.find_codes(store, services, diagnoses, day)
        )
        return pb.FindCodesResponse(
            service_code_rows=map(_service_row, found.services), diagnosis_codes=map(_diagnosis, found.diagnoses)
        )


def _day(request: pb.ListServiceCodesRequest | pb.ListDiagnosisCodesRequest) -> date | None:
    return from_date(request.date, "date") if request.HasField("date") else None


def _end(row: pb.LoadServiceCodesRequest.Row | pb.DiagnosisCode, field: str) -> date | None:
    return from_date(row.end_date, field) if row.HasField("end_date") else None


def _end_to_wire(end_date: date | None) -> Date | None:
    return to_date(end_date) if end_date else None


def _told(row: pb.LoadServiceCodesRequest.Row, path: str) -> ServiceCodeRow:
    return ServiceCodeRow(
        id=new_id(),
        kind=VisitKind(row.visit_type_code, row.route_code, row.band_code),
        code=ServiceCode(row.code, row.units, tuple(row.modifiers)),
        effective_date=from_date(row.effective_date, f"{path}.effective_date"),
        end_date=_end(row, f"{path}.end_date"),
    )


def _service_row(row: ServiceCodeRow) -> pb.ServiceCodeRow:
    return pb.ServiceCodeRow(
        id=to_wire("servicecode", row.id),
        visit_type_code=row.kind.visit_type_code,
        route_code=row.kind.route_code,
        band_code=row.kind.band_code,
        code=row.code.code,
        units=row.code.units,
        modifiers=row.code.modifiers,
        effective_date=to_date(row.effective_date),
        end_date=_end_to_wire(row.end_date),
        etag=to_etag(row.version),
    )


def _diagnosis(row: DiagnosisCode) -> pb.DiagnosisCode:
    return pb.DiagnosisCode(
        code=row.code, effective_date=to_date(row.effective_date), end_date=_end_to_wire(row.end_date)
    )
