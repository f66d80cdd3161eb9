"""Receipts: ordered with the payment or the refund, as it stands then, and written later."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from chassis.ids import new_id
from services.billing.domain.accounts import Payment
from services.billing.domain.printing import Order, PrintedKind
from services.billing.domain.refunds import Refund
from services.billing.printing import NOBODY
from services.billing.printing.receipt import content_of, refund_content_of
from services.billing.store import BillingStore


async def order_receipt(store: BillingStore, payment: Payment) -> None:
    await store.order_document(await receipt_of(store, payment))


async def receipt_of(store: BillingStore, payment: Payment) -> Order:
    """For whoever orders it with the payment's own last statement."""
    place = await store.site_to_bill(payment.site_id)
    paid = [each.share.invoice_id for each in payment.applications]
    numbers = await store.invoice_numbers(paid) if paid else {}
    day = place.site.day(payment.received_at)
    content = content_of(payment, day, numbers, NOBODY, asdict(place.issuer))
    return _order(store, PrintedKind.RECEIPT, payment, payment.course_id, day, content)


async def order_refund_receipt(store: BillingStore, refund: Refund) -> None:
    place = await store.site_to_bill(refund.site_id)
    day = place.site.day(refund.created_at)
    content = refund_content_of(refund, day, NOBODY, asdict(place.issuer))
    await store.order_document(_order(store, PrintedKind.REFUND_RECEIPT, refund, None, day, content))


def _order(
    store: BillingStore,
    kind: PrintedKind,
    of: Payment | Refund,
    course_id: UUID | None,
    day: date,
    content: Mapping[str, Any],
) -> Order:
    return Order(
        id=new_id(),
        kind=kind,
        subject_id=of.id,
        version=1,
        site_id=of.site_id,
        patient_id=of.patient_id,
        course_id=course_id,
        day=day,
        content=content,
        ordered_at=store.call.now,
    )
