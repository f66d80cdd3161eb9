"""Disputes and payouts."""

from dataclasses import replace

from asyncpg import Record

from atoll.billing.v1 import dispute_service_pb2 as dispute_pb
from atoll.billing.v1 import payout_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_date, to_timestamp
from services.billing.domain.disputes import Decision, Dispute
from services.billing.domain.payouts import Payout, PayoutLine
from services.billing.rpc.common import after_id, before_id
from services.billing.store import BillingStore
from services.billing.use_cases import cards


class DisputeServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListDisputes(
        self, request: dispute_pb.ListDisputesRequest, call: Call
    ) -> dispute_pb.ListDisputesResponse:
        page, site_id = Page.of(request, call), from_wire("site", request.site_id)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.disputes(site_id, before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda dispute: [str(dispute.id)])
        return dispute_pb.ListDisputesResponse(disputes=map(_dispute, kept), next_page_token=token)

    async def DecideDispute(
        self, request: dispute_pb.DecideDisputeRequest, call: Call
    ) -> dispute_pb.DecideDisputeResponse:
        dispute_id, decision = from_wire("dispute", request.dispute_id), Decision(request.decision)

        async def work(store: BillingStore) -> dispute_pb.DecideDisputeResponse:
            decided = await cards.decide_dispute(store, dispute_id, decision, request.reason)
            return dispute_pb.DecideDisputeResponse(dispute=_dispute(decided))

        return await self._db.once(call, request, dispute_pb.DecideDisputeResponse, BillingStore, work)


class PayoutServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListPayouts(self, request: pb.ListPayoutsRequest, call: Call) -> pb.ListPayoutsResponse:
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.payouts(before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda payout: [str(payout.id)])
        return pb.ListPayoutsResponse(payouts=map(_payout, kept), next_page_token=token)

    async def GetPayout(self, request: pb.GetPayoutRequest, call: Call) -> pb.GetPayoutResponse:
        payout_id, page = from_wire("payout", request.payout_id), Page.of(request, call)
        payout = await self._db.read(
            call, request, BillingStore, lambda store: store.payout(payout_id, after_id(page), page.limit)
        )
        kept, token = page.cut(payout.lines, key=lambda line: [str(line.id)])
        return pb.GetPayoutResponse(payout=_payout(replace(payout, lines=tuple(kept))), next_page_token=token)

    async def SettlePayoutLine(self, request: pb.SettlePayoutLineRequest, call: Call) -> pb.SettlePayoutLineResponse:
        line_id, entry_id = from_wire("payoutline", request.payout_line_id), from_wire("entry", request.entry_id)

        async def work(store: BillingStore) -> pb.SettlePayoutLineResponse:
            settled = await cards.settle_payout_line(store, line_id, entry_id, request.note)
            return pb.SettlePayoutLineResponse(line=_payout_line(settled))

        return await self._db.once(call, request, pb.SettlePayoutLineResponse, BillingStore, work, locks=[line_id])

    async def ListUnmatchedEvents(
        self, request: pb.ListUnmatchedEventsRequest, call: Call
    ) -> pb.ListUnmatchedEventsResponse:
        page = Page.of(request, call)
        after = (page.after[0], page.after[1]) if page.after else ("", "")
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.unmatched_events(after, page.limit)
        )
        kept, token = page.cut(found, key=lambda event: [event["account"], event["event_id"]])
        return pb.ListUnmatchedEventsResponse(events=map(_event, kept), next_page_token=token)


def _dispute(dispute: Dispute) -> dispute_pb.Dispute:
    return dispute_pb.Dispute(
        id=to_wire("dispute", dispute.id),
        site_id=to_wire("site", dispute.site_id),
        patient_id=to_wire("patient", dispute.patient_id),
        payment_id=to_wire("payment", dispute.payment_id),
        amount=money_to_wire(dispute.amount),
        state=dispute_pb.DisputeState.ValueType(dispute.state),
        reason_code=dispute.reason,
        open_time=to_timestamp(dispute.opened_at),
        change_time=to_timestamp(dispute.changed_at),
    )


def _payout(payout: Payout) -> pb.Payout:
    return pb.Payout(
        id=to_wire("payout", payout.id),
        account=payout.account,
        processor_id=payout.processor_id,
        amount=money_to_wire(payout.amount),
        arrival_date=to_date(payout.arrival_date),
        lines=map(_payout_line, payout.lines),
    )


def _payout_line(line: PayoutLine) -> pb.Payout.Line:
    return pb.Payout.Line(
        id=to_wire("payoutline", line.id),
        type=line.type,
        source=line.source,
        amount=money_to_wire(line.amount),
        fee=money_to_wire(line.fee),
        site_id=some_to_wire("site", line.site_id),
        entry_id=some_to_wire("entry", line.entry_id),
        note=line.note,
    )


def _event(row: Record) -> pb.ProcessorEvent:
    return pb.ProcessorEvent(
        account=row["account"],
        event_code=row["event_id"],
        type=row["type"],
        object_code=row["object_id"],
        receive_time=to_timestamp(row["received_at"]),
    )
