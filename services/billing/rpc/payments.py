"""Payments."""

from collections.abc import Awaitable, Callable, Iterable

from atoll.billing.v1 import payment_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.accounts import Application, Payment
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import Allocation
from services.billing.rpc.common import after_id, read_id
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
            check_number=request.check_number,
            benefit_account=request.benefit_account,
            allocations=_allocations(request.allocations),
            excess_to_credit=request.excess_to_credit,
        )

        async def work(store: BillingStore) -> pb.RecordPaymentResponse:
            return pb.RecordPaymentResponse(payment=_payment(await payments.record_payment(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.RecordPaymentResponse, BillingStore, work, locks=locks)

    async def ApplyPayment(self, request: pb.ApplyPaymentRequest, call: Call) -> pb.ApplyPaymentResponse:
        payment_id, parts = from_wire("payment", request.payment_id), _allocations(request.allocations)

        async def work(store: BillingStore) -> pb.ApplyPaymentResponse:
            return pb.ApplyPaymentResponse(payment=_payment(await payments.apply_payment(store, payment_id, parts)))

        return await self._db.once(call, request, pb.ApplyPaymentResponse, BillingStore, work)

    async def UnapplyPayment(self, request: pb.UnapplyPaymentRequest, call: Call) -> pb.UnapplyPaymentResponse:
        payment_id, invoice_id = from_wire("payment", request.payment_id), from_wire("invoice", request.invoice_id)

        async def work(store: BillingStore) -> pb.UnapplyPaymentResponse:
            payment = await payments.unapply_payment(store, payment_id, invoice_id, request.reason)
            return pb.UnapplyPaymentResponse(payment=_payment(payment))

        return await self._db.once(call, request, pb.UnapplyPaymentResponse, BillingStore, work)

    async def ReversePayment(self, request: pb.ReversePaymentRequest, call: Call) -> pb.ReversePaymentResponse:
        payment_id = from_wire("payment", request.payment_id)

        async def work(store: BillingStore) -> pb.ReversePaymentResponse:
            payment = await payments.reverse_payment(store, payment_id, request.reason)
            return pb.ReversePaymentResponse(payment=_payment(payment))

        return await self._db.once(call, request, pb.ReversePaymentResponse, BillingStore, work)

    async def MoveToCredit(self, request: pb.MoveToCreditRequest, call: Call) -> pb.MoveToCreditResponse:
        payment_id = from_wire("payment", request.payment_id)
        amount = money_from_wire(request.amount, "amount") if request.HasField("amount") else None

        async def work(store: BillingStore) -> pb.MoveToCreditResponse:
            return pb.MoveToCreditResponse(payment=_payment(await payments.move_to_credit(store, payment_id, amount)))

        return await self._db.once(call, request, pb.MoveToCreditResponse, BillingStore, work)

    async def UseCredit(self, request: pb.UseCreditRequest, call: Call) -> pb.UseCreditResponse:
        invoice_id, amount = from_wire("invoice", request.invoice_id), money_from_wire(request.amount, "amount")

        async def work(store: BillingStore) -> pb.UseCreditResponse:
            paying, credits = await payments.use_credit(store, invoice_id, amount)
            return pb.UseCreditResponse(payments=map(_payment, paying), credits=map(_used, credits))

        return await self._db.once(call, request, pb.UseCreditResponse, BillingStore, work)

    async def ForfeitDeposit(self, request: pb.ForfeitDepositRequest, call: Call) -> pb.ForfeitDepositResponse:
        course_id, amount = from_wire("course", request.course_id), money_from_wire(request.amount, "amount")

        async def work(store: BillingStore) -> pb.ForfeitDepositResponse:
            forfeited, found = await payments.forfeit_deposit(store, course_id, amount, request.reason)
            return pb.ForfeitDepositResponse(forfeited=money_to_wire(forfeited), payments=map(_payment, found))

        return await self._db.once(call, request, pb.ForfeitDepositResponse, BillingStore, work)

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


def _used(credit: payments.UsedCredit) -> pb.UseCreditResponse.UsedCredit:
    return pb.UseCreditResponse.UsedCredit(
        credit_id=to_wire("credit", credit.id), used=money_to_wire(credit.used), left=money_to_wire(credit.left)
    )


def _payment(payment: Payment) -> pb.Payment:
    return pb.Payment(
        id=to_wire("payment", payment.id),
        site_id=to_wire("site", payment.site_id),
        patient_id=to_wire("patient", payment.patient_id),
        course_id=some_to_wire("course", payment.course_id),
        kind=pb.PaymentKind.ValueType(payment.kind),
        tender=pb.Tender.ValueType(payment.tender),
        terminal_reference=payment.terminal_reference,
        amount=money_to_wire(payment.amount),
        unapplied=money_to_wire(payment.unapplied),
        applications=[_application(each) for each in payment.applications],
        business_date=to_date(payment.business_date),
        receive_time=to_timestamp(payment.received_at),
        check_number=payment.check_number,
        benefit_account=pb.BenefitAccount.ValueType(payment.benefit_account),
        credit=money_to_wire(payment.credit),
        gone=money_to_wire(payment.gone),
        reverse_time=to_timestamp(payment.reversed_at) if payment.reversed_at else None,
        card_charge_id=some_to_wire("cardcharge", payment.card_charge_id),
        disputed=payment.disputed,
    )


def _allocations(parts: Iterable[pb.Allocation]) -> tuple[Allocation, ...]:
    return tuple(
        Allocation(from_wire("invoice", part.invoice_id), money_from_wire(part.amount, f"allocations[{i}].amount"))
        for i, part in enumerate(parts)
    )


def _application(application: Application) -> pb.Payment.Application:
    return pb.Payment.Application(
        invoice_id=to_wire("invoice", application.share.invoice_id),
        amount=money_to_wire(application.share.amount),
        apply_time=to_timestamp(application.applied_at),
    )
