"""Refunds."""

from collections.abc import Awaitable, Callable

from atoll.billing.v1 import refund_service_pb2 as pb
from atoll.billing.v1.payment_service_pb2 import Tender as WireTender
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.ledger import Tender
from services.billing.domain.refunds import AskedPart, Refund, RefundPart
from services.billing.rpc.common import after_id
from services.billing.store import BillingStore
from services.billing.use_cases import refunds


class RefundServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateRefund(self, request: pb.CreateRefundRequest, call: Call) -> pb.CreateRefundResponse:
        """A card's processor is asked by the job: the refund is committed first, and no caller waits for it."""
        command = refunds.CreateRefund(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            amount=money_from_wire(request.amount, "amount"),
            parts=tuple(
                AskedPart(
                    from_wire("payment", part.payment_id) if part.payment_id else None,
                    money_from_wire(part.amount, f"parts[{i}].amount"),
                    Tender(part.tender) if part.tender else None,
                    part.reference,
                    from_wire("credit", part.credit_id) if part.credit_id else None,
                )
                for i, part in enumerate(request.parts)
            ),
            reason=request.reason,
        )

        async def work(store: BillingStore) -> pb.CreateRefundResponse:
            return pb.CreateRefundResponse(refund=_refund(await refunds.create_refund(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.CreateRefundResponse, BillingStore, work, locks=locks)

    async def GetRefund(self, request: pb.GetRefundRequest, call: Call) -> pb.GetRefundResponse:
        refund_id = from_wire("refund", request.refund_id)
        refund = await self._db.read(call, request, BillingStore, lambda store: store.refund(refund_id))
        return pb.GetRefundResponse(refund=_refund(refund))

    async def ListRefunds(self, request: pb.ListRefundsRequest, call: Call) -> pb.ListRefundsResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, BillingStore, _listing(request, page))
        kept, token = page.cut(found, key=lambda refund: [str(refund.id)])
        return pb.ListRefundsResponse(refunds=map(_refund, kept), next_page_token=token)


def _listing(request: pb.ListRefundsRequest, page: Page) -> Callable[[BillingStore], Awaitable[list[Refund]]]:
    if request.patient_id:
        patient_id = from_wire("patient", request.patient_id)
        return lambda store: store.refunds_of_patient(patient_id, after_id(page), page.limit)
    site_id, day = from_wire("site", request.site_id), from_date(request.date, "date")
    return lambda store: store.refunds_of_day(site_id, day, after_id(page), page.limit)


def _refund(refund: Refund) -> pb.Refund:
    return pb.Refund(
        id=to_wire("refund", refund.id),
        site_id=to_wire("site", refund.site_id),
        patient_id=to_wire("patient", refund.patient_id),
        amount=money_to_wire(refund.amount),
        reason=refund.reason,
        business_date=to_date(refund.business_date),
        create_time=to_timestamp(refund.created_at),
        parts=map(_part, refund.parts),
    )


def _part(part: RefundPart) -> pb.Refund.Part:
    return pb.Refund.Part(
        id=to_wire("refundpart", part.id),
        payment_id=some_to_wire("payment", part.payment_id),
        credit_id=some_to_wire("credit", part.credit_id),
        amount=money_to_wire(part.amount),
        tender=WireTender.ValueType(part.tender),
        reference=part.reference,
        state=pb.RefundState.ValueType(part.state),
        failure_code=part.failure,
        change_time=to_timestamp(part.changed_at),
    )
