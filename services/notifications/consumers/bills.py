"""Events of billing: what is told of estimates, invoices, payments and packages, and what need not be told any more."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from atoll.billing.v1.events_pb2 import (
    CardChargeFailed,
    CreditNoteIssued,
    DepositForfeited,
    DepositReleased,
    DepositReturned,
    EstimateAcknowledged,
    EstimateClockStarted,
    EstimateIssued,
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
    RefundSucceeded,
)
from chassis.consumer import Reads
from chassis.ids import from_wire
from chassis.money import from_wire as money_from_wire
from chassis.times import from_date, to_instant
from services.notifications.domain.balances import GRACE
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.matters import Matter, MatterKind
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import balances, messages

Handler = Callable[[NotificationsStore, Any], Awaitable[None]]
MOMENT = timedelta(microseconds=1)
"""Before what a last day ends with, it is that day still."""


def _told(kind: MessageKind, of: MatterKind, id_field: str, amount_field: str = "", date_field: str = "") -> Handler:
    """Tells one kind of message of what an event says once, and that nothing takes back."""

    async def tell(store: NotificationsStore, event: Any) -> None:
        event_id = UUID(event.meta.event_id)
        matter = _matter(event_id, of, event, id_field, amount_field, date_field)
        await messages.tell_matter(store, messages.TellMatter(matter, (kind,), event_id))

    return tell


def _matter(
    id: UUID, of: MatterKind, event: Any, id_field: str, amount_field: str = "", date_field: str = ""
) -> Matter:
    return Matter(
        id,
        of,
        from_wire("site", event.site_id),
        from_wire("patient", event.patient_id),
        money_from_wire(getattr(event, amount_field), amount_field) if amount_field else None,
        _day(event, date_field) if date_field else None,
        number=getattr(event, "display_number", ""),
        about=getattr(event, id_field),
    )


def _day(event: Message, field: str) -> date | None:
    return from_date(getattr(event, field), field) if event.HasField(field) else None


async def tell_estimate(store: NotificationsStore, event: EstimateIssued) -> None:
    await _tell_estimate(store, event, messages.OF_ESTIMATE, "total")


async def recall_estimate(store: NotificationsStore, event: EstimateClockStarted) -> None:
    """It was told when its visits were held, and has a last day since they are booked."""
    await _tell_estimate(store, event, (MessageKind.ESTIMATE_DUE,))


async def _tell_estimate(
    store: NotificationsStore,
    event: EstimateIssued | EstimateClockStarted,
    kinds: tuple[MessageKind, ...],
    amount_field: str = "",
) -> None:
    estimate, last_day = _estimate(event, amount_field), None
    if event.HasField("due_time"):
        zone = await store.site_zone(estimate.site_id)
        last_day = (to_instant(event.due_time) - MOMENT).astimezone(zone).date()
    await messages.tell_matter(store, messages.TellMatter(estimate, kinds, UUID(event.meta.event_id), last_day))


async def close_estimate(store: NotificationsStore, event: EstimateAcknowledged) -> None:
    await messages.close_matter(store, _estimate(event), messages.OF_ESTIMATE)


async def withdraw_estimate(store: NotificationsStore, event: EstimateWithdrawn) -> None:
    await messages.withdraw_estimate(store, _estimate(event))


def _estimate(event: Any, amount_field: str = "") -> Matter:
    matter = _matter(from_wire("estimate", event.estimate_id), MatterKind.ESTIMATE, event, "estimate_id", amount_field)
    course_id = from_wire("course", event.course_id) if event.course_id else None
    return replace(matter, course_id=course_id, version=event.meta.aggregate_version)


async def tell_invoice(store: NotificationsStore, event: InvoiceIssued) -> None:
    """What is paid when it is issued asks for nothing."""
    invoice, event_id, version = _owed(event), UUID(event.meta.event_id), event.meta.aggregate_version
    await messages.tell_matter(store, messages.TellMatter(invoice, (MessageKind.INVOICE_ISSUED,), event_id))
    if invoice.amount and invoice.amount.minor > 0:
        await balances.ask(store, invoice, version, event_id)


async def settle_invoice(store: NotificationsStore, event: InvoicePaid) -> None:
    await balances.settle(store, from_wire("invoice", event.invoice_id), event.meta.aggregate_version)


async def reopen_invoice(store: NotificationsStore, event: InvoiceReopened) -> None:
    event_id, version = UUID(event.meta.event_id), event.meta.aggregate_version
    await balances.ask(store, _owed(event), version, event_id, GRACE)


def _owed(event: InvoiceIssued | InvoiceReopened) -> Matter:
    invoice_id = from_wire("invoice", event.invoice_id)
    return _matter(invoice_id, MatterKind.INVOICE, event, "invoice_id", "balance", "due_date")


async def tell_payment(store: NotificationsStore, event: PaymentReceived) -> None:
    matter = _matter(from_wire("payment", event.payment_id), MatterKind.PAYMENT, event, "payment_id", "amount")
    kinds = (MessageKind.PAYMENT_RECEIVED,)
    await messages.tell_matter(store, messages.TellMatter(matter, kinds, UUID(event.meta.event_id)))


async def tell_reversal(store: NotificationsStore, event: PaymentReversed) -> None:
    """Nobody is thanked any more for what was never taken."""
    matter = _matter(from_wire("payment", event.payment_id), MatterKind.PAYMENT, event, "payment_id")
    await messages.close_matter(store, matter, [MessageKind.PAYMENT_RECEIVED])
    await _reversal(store, event)


async def tell_credit_note(store: NotificationsStore, event: CreditNoteIssued) -> None:
    if event.voids:
        matter = _matter(from_wire("invoice", event.invoice_id), MatterKind.INVOICE, event, "invoice_id")
        await messages.close_matter(store, matter, [MessageKind.INVOICE_ISSUED])
        await balances.void(store, matter.id)
    await _credit_note(store, event)


_credit_note = _told(MessageKind.CREDIT_NOTE_ISSUED, MatterKind.CREDIT_NOTE, "credit_note_id", "total")
_reversal = _told(MessageKind.PAYMENT_REVERSED, MatterKind.PAYMENT, "payment_id", "amount")
_PACKAGE = MatterKind.PACKAGE_SALE, "package_sale_id"
READS: Reads = {
    EstimateIssued: tell_estimate,
    EstimateClockStarted: recall_estimate,
    EstimateAcknowledged: close_estimate,
    EstimateWithdrawn: withdraw_estimate,
    InvoiceIssued: tell_invoice,
    InvoicePaid: settle_invoice,
    InvoiceReopened: reopen_invoice,
    CreditNoteIssued: tell_credit_note,
    PaymentReceived: tell_payment,
    PaymentReversed: tell_reversal,
    RefundSucceeded: _told(MessageKind.REFUND_MADE, MatterKind.REFUND, "refund_id", "amount"),
    CardChargeFailed: _told(MessageKind.CARD_CHARGE_FAILED, MatterKind.CARD_CHARGE, "card_charge_id", "amount"),
    DepositReleased: _told(MessageKind.DEPOSIT_RELEASED, MatterKind.PAYMENT, "payment_id", "amount"),
    DepositForfeited: _told(MessageKind.DEPOSIT_FORFEITED, MatterKind.PAYMENT, "payment_id", "amount"),
    PackageSold: _told(MessageKind.PACKAGE_SOLD, *_PACKAGE, "price"),
    PackageExpiring: _told(MessageKind.PACKAGE_EXPIRING, *_PACKAGE, "", "expire_date"),
    PackageExpired: _told(MessageKind.PACKAGE_EXPIRED, *_PACKAGE),
    PackageStopped: _told(MessageKind.PACKAGE_STOPPED, *_PACKAGE, "refundable"),
    PackageTransferred: _told(MessageKind.PACKAGE_TRANSFERRED, *_PACKAGE),
    DepositReturned: _told(MessageKind.DEPOSIT_RETURNED, MatterKind.PAYMENT, "payment_id", "amount"),
}
