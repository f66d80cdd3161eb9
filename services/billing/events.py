"""Domain objects as the facts that other services read. Their subjects stand in the .proto."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from atoll.billing.v1.events_pb2 import (
    CardChargeFailed,
    ChargePosted,
    CreditNoteIssued,
    DepositForfeited,
    DepositReleased,
    DepositReturned,
    DisputeClosed,
    DisputeOpened,
    EntitlementRedeemed,
    EntitlementRestored,
    EstimateAcknowledged,
    EstimateClockStarted,
    EstimateDelivered,
    EstimateDeliveryReturned,
    EstimateIssued,
    EstimateOverdue,
    EstimateWithdrawn,
    InvoiceIssued,
    InvoicePaid,
    InvoiceReopened,
    PackageExpired,
    PackageExpiring,
    PackageSold,
    PackageStopped,
    PackageTransferred,
    PaymentReceived,
    PaymentReversed,
    PeriodClosed,
    PriceBookPublished,
    RefundFailed,
    RefundSucceeded,
)
from chassis.ids import some_to_wire, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_date, to_timestamp
from services.billing.domain.accounts import Charge, OpenItem, Payment
from services.billing.domain.cards import CardCharge
from services.billing.domain.credit_notes import CreditNote
from services.billing.domain.deadlines import Duty
from services.billing.domain.disputes import Dispute
from services.billing.domain.entitlements import Entitlement, Sale
from services.billing.domain.estimates import Delivery, Estimate
from services.billing.domain.invoices import Invoice
from services.billing.domain.payments import Forfeiture
from services.billing.domain.periods import Period
from services.billing.domain.prices import PriceBook
from services.billing.domain.redemptions import Redemption
from services.billing.domain.refunds import RefundPart
from services.billing.domain.stops import Stop


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
        replaces_charge_id=some_to_wire("charge", charge.replaces_id),
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
        due_date=to_date(invoice.due_date) if invoice.due_date else None,
        display_number=invoice.display_number,
    )


def invoice_paid(invoice_id: UUID, by: Invoice | Payment) -> InvoicePaid:
    """`by` tells whose it is, and where: what pays an invoice is of the same patient and site."""
    return InvoicePaid(
        invoice_id=to_wire("invoice", invoice_id),
        patient_id=to_wire("patient", by.patient_id),
        site_id=to_wire("site", by.site_id),
    )


def invoice_reopened(invoice: OpenItem, display_number: str, by: Payment) -> InvoiceReopened:
    """`by` paid it, and tells whose it is, and where."""
    return InvoiceReopened(
        invoice_id=to_wire("invoice", invoice.id),
        patient_id=to_wire("patient", by.patient_id),
        site_id=to_wire("site", by.site_id),
        course_id=some_to_wire("course", invoice.course_id),
        balance=money_to_wire(invoice.left),
        due_date=to_date(invoice.due_date) if invoice.due_date else None,
        display_number=display_number,
    )


def period_closed(period: Period) -> PeriodClosed:
    return PeriodClosed(
        period_id=to_wire("period", period.id),
        legal_entity_id=to_wire("legalentity", period.legal_entity_id),
        last_date=to_date(period.last_date),
    )


def package_sold(sale: Sale) -> PackageSold:
    return PackageSold(
        package_sale_id=to_wire("packagesale", sale.id),
        package_id=to_wire("package", sale.package.id),
        patient_id=to_wire("patient", sale.patient_id),
        site_id=to_wire("site", sale.site_id),
        price=money_to_wire(sale.price),
    )


def entitlement_redeemed(redemption: Redemption, left: Entitlement) -> EntitlementRedeemed:
    return EntitlementRedeemed(**_of_redemption(redemption), remaining_count=left.left_count)


def entitlement_restored(redemption: Redemption, left: Entitlement) -> EntitlementRestored:
    return EntitlementRestored(**_of_redemption(redemption), remaining_count=left.left_count)


def _of_redemption(redemption: Redemption) -> dict[str, Any]:
    return {
        "redemption_id": to_wire("redemption", redemption.id),
        "package_sale_id": to_wire("packagesale", redemption.sale_id),
        "entitlement_id": to_wire("entitlement", redemption.entitlement_id),
        "patient_id": to_wire("patient", redemption.patient_id),
        "site_id": to_wire("site", redemption.site_id),
        "visit_id": to_wire("visit", redemption.visit_id),
        "course_id": to_wire("course", redemption.course_id),
    }


def package_transferred(sale: Sale) -> PackageTransferred:
    return PackageTransferred(**_of_sale(sale, sale.holder_id))


def package_stopped(sale: Sale, stop: Stop) -> PackageStopped:
    return PackageStopped(**_of_sale(sale, sale.patient_id), refundable=money_to_wire(stop.refundable))


def package_expired(sale: Sale) -> PackageExpired:
    return PackageExpired(**_of_sale(sale, sale.holder_id))


def package_expiring(sale: Sale) -> PackageExpiring:
    last = sale.last_day(date.max)
    assert last
    return PackageExpiring(**_of_sale(sale, sale.holder_id), expire_date=to_date(last))


def _of_sale(sale: Sale, patient_id: UUID) -> dict[str, Any]:
    return {
        "package_sale_id": to_wire("packagesale", sale.id),
        "patient_id": to_wire("patient", patient_id),
        "site_id": to_wire("site", sale.site_id),
    }


def credit_note_issued(note: CreditNote, *, voids: bool) -> CreditNoteIssued:
    return CreditNoteIssued(
        credit_note_id=to_wire("creditnote", note.id),
        patient_id=to_wire("patient", note.patient_id),
        site_id=to_wire("site", note.site_id),
        invoice_id=to_wire("invoice", note.invoice_id),
        legal_entity_id=to_wire("legalentity", note.legal_entity_id),
        number=note.number,
        total=money_to_wire(note.total),
        returned=money_to_wire(note.returned),
        voids=voids,
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
    return DepositForfeited(**_of_deposit(forfeited, forfeited.amount, forfeited.tax))


def deposit_returned(returned: Forfeiture) -> DepositReturned:
    return DepositReturned(**_of_deposit(returned, -returned.amount, -returned.tax))


def _of_deposit(forfeited: Forfeiture, amount: Money, tax: Money) -> dict[str, Any]:
    return {
        "payment_id": to_wire("payment", forfeited.payment_id),
        "patient_id": to_wire("patient", forfeited.patient_id),
        "site_id": to_wire("site", forfeited.site_id),
        "course_id": to_wire("course", forfeited.course_id),
        "amount": money_to_wire(amount),
        "charge_id": some_to_wire("charge", forfeited.charge_id),
        "tax": money_to_wire(tax),
    }


def refund_succeeded(part: RefundPart) -> RefundSucceeded:
    return RefundSucceeded(
        refund_id=to_wire("refund", part.refund_id),
        payment_id=some_to_wire("payment", part.payment_id),
        patient_id=to_wire("patient", part.patient_id),
        site_id=to_wire("site", part.site_id),
        amount=money_to_wire(part.amount),
        credit_id=some_to_wire("credit", part.credit_id),
    )


def refund_failed(part: RefundPart) -> RefundFailed:
    return RefundFailed(
        refund_id=to_wire("refund", part.refund_id),
        payment_id=some_to_wire("payment", part.payment_id),
        patient_id=to_wire("patient", part.patient_id),
        site_id=to_wire("site", part.site_id),
        amount=money_to_wire(part.amount),
        credit_id=some_to_wire("credit", part.credit_id),
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


def estimate_delivered(estimate: Estimate, delivery: Delivery) -> EstimateDelivered:
    return EstimateDelivered(
        estimate_id=to_wire("estimate", estimate.id),
        patient_id=to_wire("patient", estimate.patient_id),
        site_id=to_wire("site", estimate.site_id),
        course_id=to_wire("course", estimate.course_id) if estimate.course_id else "",
        written=delivery.method.written,
        deliver_time=to_timestamp(delivery.delivered_at),
        delivery_id=to_wire("estimatedelivery", delivery.id),
    )


def estimate_delivery_returned(estimate: Estimate, delivery: Delivery) -> EstimateDeliveryReturned:
    return EstimateDeliveryReturned(
        estimate_id=to_wire("estimate", estimate.id),
        patient_id=to_wire("patient", estimate.patient_id),
        site_id=to_wire("site", estimate.site_id),
        course_id=some_to_wire("course", estimate.course_id),
        delivery_id=to_wire("estimatedelivery", delivery.id),
    )


def estimate_acknowledged(estimate: Estimate) -> EstimateAcknowledged:
    return EstimateAcknowledged(
        estimate_id=to_wire("estimate", estimate.id),
        patient_id=to_wire("patient", estimate.patient_id),
        site_id=to_wire("site", estimate.site_id),
        course_id=to_wire("course", estimate.course_id) if estimate.course_id else "",
    )


def estimate_clock_started(estimate: Estimate, due_at: datetime) -> EstimateClockStarted:
    return EstimateClockStarted(**_of_course(estimate), due_time=to_timestamp(due_at))


def estimate_withdrawn(estimate: Estimate) -> EstimateWithdrawn:
    return EstimateWithdrawn(**_of_course(estimate))


def _of_course(estimate: Estimate) -> dict[str, Any]:
    assert estimate.course_id
    return {
        "estimate_id": to_wire("estimate", estimate.id),
        "patient_id": to_wire("patient", estimate.patient_id),
        "site_id": to_wire("site", estimate.site_id),
        "course_id": to_wire("course", estimate.course_id),
    }


def estimate_overdue(duty: Duty) -> EstimateOverdue:
    assert duty.clock.due_at
    return EstimateOverdue(
        estimate_id=to_wire("estimate", duty.estimate_id),
        patient_id=to_wire("patient", duty.patient_id),
        site_id=to_wire("site", duty.site_id),
        course_id=to_wire("course", duty.course_id) if duty.course_id else "",
        due_time=to_timestamp(duty.clock.due_at),
    )
