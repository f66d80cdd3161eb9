"""Estimates, and what follows from them: deliveries, deadlines, the guard of bills, disputes."""

from datetime import UTC, datetime
from uuid import UUID

from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.billing.v1.service_code_pb2 import ServiceCode
from chassis.call import Call
from chassis.db import Database
from chassis.errors import BadRequest, Violation
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_date, to_instant, to_timestamp
from services.billing.domain.coverage import CoverageLine, beyond_all
from services.billing.domain.deadlines import Duty, Wanted
from services.billing.domain.estimates import Delivery, DeliveryMethod, Estimate, Line, Provider
from services.billing.domain.guard import Approval, Dispute
from services.billing.domain.prices import VisitKind
from services.billing.rpc.common import FIRST_ID, about, before_id, read_id, some_money
from services.billing.store import BillingStore
from services.billing.use_cases import estimates, guard
from services.billing.use_cases.guard import Coverage

FIRST = datetime(1, 1, 1, tzinfo=UTC)
"""Comes before every instant."""


class EstimateServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateEstimate(self, request: pb.CreateEstimateRequest, call: Call) -> pb.CreateEstimateResponse:
        command = estimates.CreateEstimate(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            visits=tuple(
                estimates.PlannedVisit(
                    VisitKind(visit.visit_type_code, visit.route_code, visit.band_code),
                    to_instant(visit.start_time),
                    read_id("resource", visit.resource_id),
                )
                for visit in request.visits
            ),
            separate_items=tuple(request.separate_items),
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
        if call.patient_id and request.site_id:  # All of a site's would be looked through for a few.
            raise BadRequest(Violation("site_id", "OF_STAFF_ONLY", "patients ask by patient or by course"))
        found = await self._db.read(
            call,
            request,
            BillingStore,
            lambda store: store.estimates(*about(request), before_id(page), page.limit, unpriced_only=unpriced),
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListEstimatesResponse(estimates=[_estimate(each) for each in kept], next_page_token=token)

    async def RecordEstimateDelivery(
        self, request: pb.RecordEstimateDeliveryRequest, call: Call
    ) -> pb.RecordEstimateDeliveryResponse:
        command = estimates.RecordDelivery(
            estimate_id=from_wire("estimate", request.estimate_id),
            method=DeliveryMethod(request.method),
            delivered_at=to_instant(request.deliver_time) if request.HasField("deliver_time") else None,
        )

        async def work(store: BillingStore) -> pb.RecordEstimateDeliveryResponse:
            return pb.RecordEstimateDeliveryResponse(
                estimate=_estimate(await estimates.record_delivery(store, command))
            )

        return await self._db.once(call, request, pb.RecordEstimateDeliveryResponse, BillingStore, work)

    async def AcknowledgeEstimate(
        self, request: pb.AcknowledgeEstimateRequest, call: Call
    ) -> pb.AcknowledgeEstimateResponse:
        estimate_id = from_wire("estimate", request.estimate_id)

        async def work(store: BillingStore) -> pb.AcknowledgeEstimateResponse:
            return pb.AcknowledgeEstimateResponse(estimate=_estimate(await estimates.acknowledge(store, estimate_id)))

        return await self._db.once(call, request, pb.AcknowledgeEstimateResponse, BillingStore, work)

    async def ListEstimateDeadlines(
        self, request: pb.ListEstimateDeadlinesRequest, call: Call
    ) -> pb.ListEstimateDeadlinesResponse:
        page, site_id, wanted = Page.of(request, call), from_wire("site", request.site_id), Wanted(request.filter)
        after = (datetime.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else (FIRST, FIRST_ID)

        async def work(store: BillingStore) -> list[Duty]:
            until = wanted.until(await store.site(site_id), call.now)
            return await store.deadlines(
                site_id, wanted.standings, until, after, page.limit, legal_only=wanted.legal_only
            )

        found = await self._db.read(call, request, BillingStore, work)
        kept, token = page.cut(found, key=lambda duty: [duty.act_by.isoformat(), str(duty.id)])
        deadlines = [_deadline(duty, call.now) for duty in kept]
        return pb.ListEstimateDeadlinesResponse(deadlines=deadlines, next_page_token=token)

    async def GetEstimateCoverage(
        self, request: pb.GetEstimateCoverageRequest, call: Call
    ) -> pb.GetEstimateCoverageResponse:
        course_id = from_wire("course", request.course_id)
        found = await self._db.read(call, request, BillingStore, lambda store: guard.coverage(store, course_id))
        return pb.GetEstimateCoverageResponse(coverage=_coverage(found))

    async def ApproveBeyondEstimate(
        self, request: pb.ApproveBeyondEstimateRequest, call: Call
    ) -> pb.ApproveBeyondEstimateResponse:
        command = guard.Approve(
            from_wire("course", request.course_id), money_from_wire(request.up_to, "up_to"), request.reason
        )

        async def work(store: BillingStore) -> pb.ApproveBeyondEstimateResponse:
            return pb.ApproveBeyondEstimateResponse(approval=_approval(await guard.approve(store, command)))

        return await self._db.once(call, request, pb.ApproveBeyondEstimateResponse, BillingStore, work)

    async def ListEstimateApprovals(
        self, request: pb.ListEstimateApprovalsRequest, call: Call
    ) -> pb.ListEstimateApprovalsResponse:
        page, course_id = Page.of(request, call), from_wire("course", request.course_id)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.approvals(course_id, before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda approval: [str(approval.id)])
        return pb.ListEstimateApprovalsResponse(approvals=map(_approval, kept), next_page_token=token)

    async def ListEstimateDisputes(
        self, request: pb.ListEstimateDisputesRequest, call: Call
    ) -> pb.ListEstimateDisputesResponse:
        page, open_only = Page.of(request, call), request.open_only
        found = await self._db.read(
            call,
            request,
            BillingStore,
            lambda store: store.estimate_disputes(*about(request), before_id(page), page.limit, open_only=open_only),
        )
        kept, token = page.cut(found, key=lambda dispute: [str(dispute.id)])
        return pb.ListEstimateDisputesResponse(disputes=map(_dispute, kept), next_page_token=token)

    async def OpenEstimateDispute(
        self, request: pb.OpenEstimateDisputeRequest, call: Call
    ) -> pb.OpenEstimateDisputeResponse:
        course_id = from_wire("course", request.course_id)

        async def work(store: BillingStore) -> pb.OpenEstimateDisputeResponse:
            return pb.OpenEstimateDisputeResponse(dispute=_dispute(await guard.open_dispute(store, course_id)))

        return await self._db.once(call, request, pb.OpenEstimateDisputeResponse, BillingStore, work)

    async def CloseEstimateDispute(
        self, request: pb.CloseEstimateDisputeRequest, call: Call
    ) -> pb.CloseEstimateDisputeResponse:
        dispute_id = from_wire("dispute", request.dispute_id)

        async def work(store: BillingStore) -> pb.CloseEstimateDisputeResponse:
            return pb.CloseEstimateDisputeResponse(dispute=_dispute(await guard.close_dispute(store, dispute_id)))

        return await self._db.once(call, request, pb.CloseEstimateDisputeResponse, BillingStore, work)


def _coverage(found: Coverage) -> pb.EstimateCoverage:
    guard = found.guard
    return pb.EstimateCoverage(
        estimate_id=some_to_wire("estimate", found.estimate_id),
        lines=[_coverage_line(line) for line in found.lines],
        beyond=some_money(beyond_all(found.lines, guard.billed.currency)),
        guard=pb.EstimateGuard(
            estimated=some_money(guard.estimated),
            billed=money_to_wire(guard.billed),
            over=money_to_wire(guard.over),
            level=pb.EstimateGuardLevel.ValueType(guard.level),
            approved=guard.approved,
            exceed_time=to_timestamp(found.exceeded_at) if found.exceeded_at else None,
            dispute_end_time=to_timestamp(found.dispute_end_at) if found.dispute_end_at else None,
            disputed=found.disputed,
        ),
    )


def _coverage_line(line: CoverageLine) -> pb.EstimateCoverageLine:
    return pb.EstimateCoverageLine(
        visit_type_code=line.kind.visit_type_code if line.kind else "",
        route_code=line.kind.route_code if line.kind else "",
        band_code=line.kind.band_code if line.kind else "",
        description=line.description,
        estimated_count=line.estimated_count,
        estimated=money_to_wire(line.estimated),
        count=line.count,
        amount=some_money(line.amount),
        beyond=some_money(line.beyond),
    )


def _approval(approval: Approval) -> pb.EstimateApproval:
    return pb.EstimateApproval(
        id=to_wire("approval", approval.id),
        course_id=to_wire("course", approval.course_id),
        up_to=money_to_wire(approval.up_to),
        reason=approval.reason,
        approved_by=approval.approved_by,
        approve_time=to_timestamp(approval.approved_at),
    )


def _dispute(dispute: Dispute) -> pb.EstimateDispute:
    return pb.EstimateDispute(
        id=to_wire("dispute", dispute.id),
        course_id=to_wire("course", dispute.course_id),
        patient_id=to_wire("patient", dispute.patient_id),
        open_time=to_timestamp(dispute.opened_at),
        close_time=to_timestamp(dispute.closed_at) if dispute.closed_at else None,
    )


def _deadline(duty: Duty, now: datetime) -> pb.EstimateDeadline:
    due_at = duty.clock.due_at
    return pb.EstimateDeadline(
        estimate_id=to_wire("estimate", duty.estimate_id),
        patient_id=to_wire("patient", duty.patient_id),
        course_id=some_to_wire("course", duty.course_id),
        trigger=pb.EstimateTrigger.ValueType(duty.clock.trigger),
        standing=pb.EstimateStanding.ValueType(duty.standing),
        due_time=to_timestamp(due_at) if due_at else None,
        late=due_at is not None and due_at <= now,
    )


def _estimate(estimate: Estimate) -> pb.Estimate:
    return pb.Estimate(
        id=to_wire("estimate", estimate.id),
        site_id=to_wire("site", estimate.site_id),
        patient_id=to_wire("patient", estimate.patient_id),
        course_id=some_to_wire("course", estimate.course_id),
        version=estimate.version,
        price_book_id=some_to_wire("pricebook", estimate.price_book_id),
        price_book_version=estimate.price_book_version,
        trigger=pb.EstimateTrigger.ValueType(estimate.trigger),
        service_date=to_date(estimate.service_date),
        lines=[_line(estimate, line) for line in estimate.lines],
        total=some_money(estimate.total),
        deposit_due=some_money(estimate.deposit),
        create_time=to_timestamp(estimate.created_at),
        due_time=to_timestamp(estimate.due_at) if estimate.due_at else None,
        last_date=to_date(estimate.last_date) if estimate.last_date else None,
        visit_count=estimate.visit_count,
        days_between=estimate.days_between,
        beyond_count=estimate.beyond_count,
        too_late=estimate.too_late,
        providers=[_provider(estimate, each) for each in estimate.content.providers],
        primary_item=estimate.primary.description,
        separate_items=estimate.content.separate_items,
        disclaimer_version=estimate.content.disclaimer_version,
        gaps=[pb.EstimateGap.ValueType(gap) for gap in estimate.gaps],
        deliveries=[_delivery(each) for each in estimate.deliveries],
        acknowledge_time=to_timestamp(estimate.acknowledged_at) if estimate.acknowledged_at else None,
    )


def _provider(estimate: Estimate, provider: Provider) -> pb.EstimateProvider:
    return pb.EstimateProvider(
        id=to_wire("site" if provider.id == estimate.site_id else "resource", provider.id),
        display_name=provider.display_name,
        credential=provider.credential,
        npi=provider.npi,
        tin=provider.tin,
        state=provider.state,
        address=provider.address,
    )


def _delivery(delivery: Delivery) -> pb.EstimateDelivery:
    return pb.EstimateDelivery(
        method=pb.EstimateDeliveryMethod.ValueType(delivery.method),
        deliver_time=to_timestamp(delivery.delivered_at),
        recorded_by=delivery.recorded_by,
        id=to_wire("estimatedelivery", delivery.id),
        return_time=to_timestamp(delivery.returned_at) if delivery.returned_at else None,
    )


def _line(estimate: Estimate, line: Line) -> pb.EstimateLine:
    return pb.EstimateLine(
        visit_type_code=line.kind.visit_type_code,
        route_code=line.kind.route_code,
        band_code=line.kind.band_code,
        description=line.description,
        count=line.count,
        unit_price=some_money(line.unit_price),
        amount=some_money(line.amount),
        price_item_id=some_to_wire("priceitem", line.item_id),
        codes=[ServiceCode(code=each.code, units=each.units, modifiers=each.modifiers) for each in line.codes],
        provider_id=to_wire("resource", line.provider_id) if line.provider_id else to_wire("site", estimate.site_id),
        tax=some_money(line.tax),
        service_dates=[to_date(day) for day in sorted(line.days)],
    )
