"""Payments."""

from collections.abc import Awaitable, Callable

from atoll.billing.v1 import payment_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.accounts import Application, Payment
from services.billing.domain.ledger import Tender
from services.billing.rpc.common import after_id, read_id, some_id
from services.billing.store import BillingStore
from services.billing.use_cases import payments


class PaymentServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordPayment(self, request: pb.RecordPaymentRequest, call: Call) -> pb.RecordPaymentResponse:
        command = payments.RecordPayment(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            course_id=read_id("course", request.course_id),
            invoice_id=read_id("invoice", request.invoice_id),
            amount=money_from_wire(request.amount, "amount"),
            tender=Tender(request.tender),
            terminal_reference=request.terminal_reference,
        )

        async def work(store: BillingStore) -> pb.RecordPaymentResponse:
            return pb.RecordPaymentResponse(payment=_payment(await payments.record_payment(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.RecordPaymentResponse, BillingStore, work, locks=locks)

    async def GetPayment(self, request: pb.GetPaymentRequest, call: Call) -> pb.GetPaymentResponse:
        payment_id = from_wire("payment", request.payment_id)
        payment = await self._db.read(call, request, BillingStore, lambda store: store.payment(payment_id))
        return pb.GetPaymentResponse(payment=_payment(payment))

    async def ListPayments(self, request: pb.ListPaymentsRequest, call: Call) -> pb.ListPaymentsResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, BillingStore, _listing(request, page))
        kept, token = page.cut(found, key=lambda payment: [str(payment.id)])
        return pb.ListPaymentsResponse(payments=[_payment(each) for each in kept], next_page_token=token)


def _listing(request: pb.ListPaymentsRequest, page: Page) -> Callable[[BillingStore], Awaitable[list[Payment]]]:
    if request.patient_id:
        patient_id = from_wire("patient", request.patient_id)
        return lambda store: store.payments_of_patient(patient_id, after_id(page), page.limit)
    site_id, day = from_wire("site", request.site_id), from_date(request.date, "date")
    return lambda store: store.payments_of_day(site_id, day, after_id(page), page.limit)


def _payment(payment: Payment) -> pb.Payment:
    return pb.Payment(
        id=to_wire("payment", payment.id),
        site_id=to_wire("site", payment.site_id),
        patient_id=to_wire("patient", payment.patient_id),
        course_id=some_id("course", payment.course_id),
        kind=pb.PaymentKind.ValueType(payment.kind),
        tender=pb.Tender.ValueType(payment.tender),
        terminal_reference=payment.terminal_reference,
        amount=money_to_wire(payment.amount),
        unapplied=money_to_wire(payment.unapplied),
        applications=[_application(each) for each in payment.applications],
        business_date=to_date(payment.business_date),
        receive_time=to_timestamp(payment.received_at),
    )


def _application(application: Application) -> pb.Payment.Application:
    return pb.Payment.Application(
        invoice_id=to_wire("invoice", application.share.invoice_id),
        amount=money_to_wire(application.share.amount),
        apply_time=to_timestamp(application.applied_at),
    )
