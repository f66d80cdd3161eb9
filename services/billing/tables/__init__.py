"""Billing's tables by noun, with the last line of each invariant. The chassis adds its own, and row-level security.

Documents (price books, estimates, charges, payments, invoices) and the ledger are append-only: the service's role may
not change them. What changes is kept beside them: what became of a visit, what is left of an invoice or a payment, the
last number of a series.
"""

from services.billing.tables.cards import (
    card,
    card_charge,
    dispute,
    payout,
    payout_line,
    payout_share,
    processor_customer,
    processor_event,
)
from services.billing.tables.codes import service_code
from services.billing.tables.columns import metadata
from services.billing.tables.copies import (
    course,
    legal_entity,
    patient,
    patient_alias,
    rendered_visit,
    site,
    visit,
    visit_type,
)
from services.billing.tables.documents import (
    application,
    charge,
    invoice,
    invoice_line,
    invoice_series,
    open_item,
    payment,
)
from services.billing.tables.estimates import estimate, estimate_line
from services.billing.tables.ledger import entry, posting
from services.billing.tables.payments import (
    cash_count,
    credit_transfer,
    forfeiture,
    refund,
    refund_part,
    reversal,
    taken_reference,
    unapplication,
)
from services.billing.tables.prices import pin, price_book, price_item, publication

__all__ = [
    "application",
    "card",
    "card_charge",
    "cash_count",
    "charge",
    "course",
    "credit_transfer",
    "dispute",
    "entry",
    "estimate",
    "estimate_line",
    "forfeiture",
    "invoice",
    "invoice_line",
    "invoice_series",
    "legal_entity",
    "metadata",
    "open_item",
    "patient",
    "patient_alias",
    "payment",
    "payout",
    "payout_line",
    "payout_share",
    "pin",
    "posting",
    "price_book",
    "price_item",
    "processor_customer",
    "processor_event",
    "publication",
    "refund",
    "refund_part",
    "rendered_visit",
    "reversal",
    "service_code",
    "site",
    "taken_reference",
    "unapplication",
    "visit",
    "visit_type",
]
