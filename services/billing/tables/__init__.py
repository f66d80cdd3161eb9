"""Billing's tables by noun, with the last line of each invariant. The chassis adds its own, and row-level security.

Documents (price books, estimates, charges, payments, invoices) and the ledger are append-only: the service's role may
not change them. What changes is kept beside them: what became of a visit, what is left of an invoice or a payment, the
last number of a series.
"""

from services.billing.tables.codes import service_code
from services.billing.tables.columns import metadata
from services.billing.tables.copies import (
    course,
    legal_entity,
    patient,
    patient_alias,
    rendered_visit,
    served_chain,
    site,
    staff,
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
from services.billing.tables.estimates import (
    estimate,
    estimate_acknowledgement,
    estimate_approval,
    estimate_delivery,
    estimate_dispute,
    estimate_duty,
    estimate_excess,
    estimate_line,
)
from services.billing.tables.ledger import entry, posting
from services.billing.tables.prices import pin, price_book, price_item, publication
from services.billing.tables.printing import document, document_order, document_work

__all__ = [
    "application",
    "charge",
    "course",
    "document",
    "document_order",
    "document_work",
    "entry",
    "estimate",
    "estimate_acknowledgement",
    "estimate_approval",
    "estimate_delivery",
    "estimate_dispute",
    "estimate_duty",
    "estimate_excess",
    "estimate_line",
    "invoice",
    "invoice_line",
    "invoice_series",
    "legal_entity",
    "metadata",
    "open_item",
    "patient",
    "patient_alias",
    "payment",
    "pin",
    "posting",
    "price_book",
    "price_item",
    "publication",
    "rendered_visit",
    "served_chain",
    "service_code",
    "site",
    "staff",
    "visit",
    "visit_type",
]
