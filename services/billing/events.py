"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from uuid import UUID

from atoll.billing.v1.events_pb2 import (
    CardChargeFailed,
    ChargePosted,
    DepositForfeited,
    DepositReleased,
    DisputeClosed,
    DisputeOpened,
    EstimateIssued,
    InvoiceIssued,
    InvoicePaid,
    PaymentReceived,
    PaymentReversed,
    PriceBookPublished,
    RefundFailed,
    RefundSucceeded,
)
from chassis.ids import to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_timestamp
from services.billing.domain.accounts import Charge, Invoice, Payment
from services.billing.domain.cards import CardCharge
from services.billing.domain.disputes import Dispute
from services.billing.domain.estimates import Estimate
from services.billing.domain.payments import Forfeiture
from services.billing.domain.prices import PriceBook
from services.billing.domain.refunds import RefundPart


def price_book_published(book: PriceBook) -> PriceBookPublished:
    return PriceBookPublished(
        price_book_id=to_wire("pricebook", book.id), site_id=to_wire("site", book.site_id), version=book.version
    )


def estimate_issued(estimate: Estimate) -> EstimateIssued:
    assert estimate.total is not None
    assert estimate.deposit is not None
    return EstimateIssued(
        estimate_id=to_wire("estimate", estimate.id),
        patient_id=to_wire("patient", estimate.patient_id),
        site_id=to_wire("site", estimate.site_id),
        course_id=to_wire("course", estimate.course_id) if estimate.course_id else "",
        total=money_to_wire(estimate.total),
        deposit_due=money_to_wire(estimate.deposit),
        due_time=to_timestamp(estimate.due_at) if estimate.due_at else None,
    )


def payment_received(payment: Payment, *, deposit_covered: bool) -> PaymentReceived:
    return PaymentReceived(
        payment_id=to_wire("payment", payment.id),
        patient_id=to_wire("patient", payment.patient_id),
        site_id=to_wire("site", payment.site_id),
        course_id=to_wire("course", payment.course_id) if payment.course_id else "",
        amount=money_to_wire(payment.amount),
        deposit_covered=deposit_covered,
    )


def charge_posted(charge: Charge) -> ChargePosted:
    return ChargePosted(
        charge_id=to_wire("charge", charge.id),
        patient_id=to_wire("patient", charge.patient_id),
        site_id=to_wire("site", charge.site_id),
        course_id=to_wire("course", charge.course_id) if charge.course_id else "",
        visit_id=to_wire("visit", charge.visit_id) if charge.visit_id else "",
        amount=money_to_wire(charge.amount),
    )


def invoice_issued(invoice: Invoice) -> InvoiceIssued:
    return InvoiceIssued(
        invoice_id=to_wire("invoice", invoice.id),
        patient_id=to_wire("patient", invoice.patient_id),
        site_id=to_wire("site", invoice.site_id),
        course_id=to_wire("course", invoice.course_id) if invoice.course_id else "",
        legal_entity_id=to_wire("legalentity", invoice.legal_entity_id),
        number=invoice.number,
        total=money_to_wire(invoice.total),
        balance=money_to_wire(invoice.balance),
    )


def invoice_paid(invoice_id: UUID, by: Invoice | Payment) -> InvoicePaid:
    """`by` tells whose it is, and where: what pays an invoice is of the same patient and site."""
    return InvoicePaid(
        invoice_id=to_wire("invoice", invoice_id),
        patient_id=to_wire("patient", by.patient_id),
        site_id=to_wire("site", by.site_id),
    )


def payment_reversed(payment: Payment, *, deposit_uncovered: bool) -> PaymentReversed:
    return PaymentReversed(
        payment_id=to_wire("payment", payment.id),
        patient_id=to_wire("patient", payment.patient_id),
        site_id=to_wire("site", payment.site_id),
        course_id=to_wire("course", payment.course_id) if payment.course_id else "",
        amount=money_to_wire(payment.amount),
        deposit_uncovered=deposit_uncovered,
    )


def deposit_released(payment: Payment, amount: Money) -> DepositReleased:
    return DepositReleased(
        payment_id=to_wire("payment", payment.id),
        patient_id=to_wire("patient", payment.patient_id),
        site_id=to_wire("site", payment.site_id),
        course_id=to_wire("course", payment.course_id) if payment.course_id else "",
        amount=money_to_wire(amount),
    )


def deposit_forfeited(forfeited: Forfeiture) -> DepositForfeited:
    return DepositForfeited(
        payment_id=to_wire("payment", forfeited.payment_id),
        patient_id=to_wire("patient", forfeited.patient_id),
        site_id=to_wire("site", forfeited.site_id),
        course_id=to_wire("course", forfeited.course_id),
        amount=money_to_wire(forfeited.amount),
    )


def refund_succeeded(part: RefundPart) -> RefundSucceeded:
    return RefundSucceeded(
        refund_id=to_wire("refund", part.refund_id),
        payment_id=to_wire("payment", part.payment_id),
        patient_id=to_wire("patient", part.patient_id),
        site_id=to_wire("site", part.site_id),
        amount=money_to_wire(part.amount),
    )


def refund_failed(part: RefundPart) -> RefundFailed:
    return RefundFailed(
        refund_id=to_wire("refund", part.refund_id),
        payment_id=to_wire("payment", part.payment_id),
        patient_id=to_wire("patient", part.patient_id),
        site_id=to_wire("site", part.site_id),
        amount=money_to_wire(part.amount),
    )


def card_charge_failed(charge: CardCharge) -> CardChargeFailed:
    return CardChargeFailed(
        card_charge_id=to_wire("cardcharge", charge.id),
        patient_id=to_wire("patient", charge.patient_id),
        site_id=to_wire("site", charge.site_id),
        amount=money_to_wire(charge.amount),
    )


def dispute_opened(dispute: Dispute) -> DisputeOpened:
    return DisputeOpened(
        dispute_id=to_wire("dispute", dispute.id),
        payment_id=to_wire("payment", dispute.payment_id),
        patient_id=to_wire("patient", dispute.patient_id),
        site_id=to_wire("site", dispute.site_id),
        amount=money_to_wire(dispute.amount),
    )


def dispute_closed(dispute: Dispute, *, won: bool) -> DisputeClosed:
    return DisputeClosed(
        dispute_id=to_wire("dispute", dispute.id),
        payment_id=to_wire("payment", dispute.payment_id),
        patient_id=to_wire("patient", dispute.patient_id),
        site_id=to_wire("site", dispute.site_id),
        won=won,
    )
