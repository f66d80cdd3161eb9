"""Estimates."""

from atoll.billing.v1 import estimate_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_date, to_instant, to_timestamp
from services.billing.domain.estimates import Estimate, Line
from services.billing.domain.prices import VisitKind
from services.billing.rpc.common import about, before_id, some_id, some_money
from services.billing.store import BillingStore
from services.billing.use_cases import estimates


class EstimateServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateEstimate(self, request: pb.CreateEstimateRequest, call: Call) -> pb.CreateEstimateResponse:
        command = estimates.CreateEstimate(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            visits=tuple(
                estimates.PlannedVisit(
                    VisitKind(visit.visit_type_code, visit.route_code, visit.band_code), to_instant(visit.start_time)
                )
                for visit in request.visits
            ),
        )

        async def work(store: BillingStore) -> pb.CreateEstimateResponse:
            return pb.CreateEstimateResponse(estimate=_estimate(await estimates.create_estimate(store, command)))

        return await self._db.once(call, request, pb.CreateEstimateResponse, BillingStore, work)

    async def GetEstimate(self, request: pb.GetEstimateRequest, call: Call) -> pb.GetEstimateResponse:
        estimate_id = from_wire("estimate", request.estimate_id)
        estimate = await self._db.read(call, request, BillingStore, lambda store: store.estimate(estimate_id))
        return pb.GetEstimateResponse(estimate=_estimate(estimate))

    async def ListEstimates(self, request: pb.ListEstimatesRequest, call: Call) -> pb.ListEstimatesResponse:
        page, unpriced = Page.of(request, call), request.unpriced_only
        found = await self._db.read(
            call,
            request,
            BillingStore,
            lambda store: store.estimates(*about(request), before_id(page), page.limit, unpriced_only=unpriced),
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListEstimatesResponse(estimates=[_estimate(each) for each in kept], next_page_token=token)


def _estimate(estimate: Estimate) -> pb.Estimate:
    return pb.Estimate(
        id=to_wire("estimate", estimate.id),
        site_id=to_wire("site", estimate.site_id),
        patient_id=to_wire("patient", estimate.patient_id),
        course_id=some_id("course", estimate.course_id),
        version=estimate.version,
        price_book_id=some_id("pricebook", estimate.price_book_id),
        price_book_version=estimate.price_book_version,
        trigger=pb.EstimateTrigger.ValueType(estimate.trigger),
        service_date=to_date(estimate.service_date),
        lines=[_line(line) for line in estimate.lines],
        total=some_money(estimate.total),
        deposit_due=some_money(estimate.deposit),
        create_time=to_timestamp(estimate.created_at),
        due_time=to_timestamp(estimate.due_at) if estimate.due_at else None,
    )


def _line(line: Line) -> pb.EstimateLine:
    return pb.EstimateLine(
        visit_type_code=line.kind.visit_type_code,
        route_code=line.kind.route_code,
        band_code=line.kind.band_code,
        description=line.description,
        count=line.count,
        unit_price=some_money(line.unit_price),
        amount=some_money(line.amount),
        price_item_id=some_id("priceitem", line.item_id),
    )
