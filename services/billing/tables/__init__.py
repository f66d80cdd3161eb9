"""Billing's tables by noun, with the last line of each invariant. The chassis adds its own, and row-level security.

Documents (price books, estimates, charges, payments, invoices) and the ledger are append-only: the service's role may
not change them. What changes is kept beside them: what became of a visit, what is left of an invoice or a payment, the
last number of a series.
"""

from services.billing.tables.codes import diagnosis_code, service_code
from services.billing.tables.columns import metadata
from services.billing.tables.copies import (
    NO_CHAIN,
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
from services.billing.tables.invoices import (
    credit_note,
    credit_note_line,
    credit_note_series,
    credit_use,
    invoice_draft,
    invoice_tax,
    unapplication,
)
from services.billing.tables.ledger import adjustment, entry, period, period_balance, posting
from services.billing.tables.offences import offence
from services.billing.tables.packages import (
    entitlement,
    package,
    package_chain,
    package_end,
    package_item,
    package_price,
    package_sale,
    package_transfer,
    redemption,
    settlement,
    settlement_item,
)
from services.billing.tables.prices import pin, price_book, price_item, publication
from services.billing.tables.printing import document, document_order, document_work
from services.billing.tables.profiles import legal_entity_billing, site_billing
from services.billing.tables.tax import tax_rule

__all__ = [
    "NO_CHAIN",
    "adjustment",
    "application",
    "charge",
    "course",
    "credit_note",
    "credit_note_line",
    "credit_note_series",
    "credit_use",
    "diagnosis_code",
    "document",
    "document_order",
    "document_work",
    "entitlement",
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
    "invoice_draft",
    "invoice_line",
    "invoice_series",
    "invoice_tax",
    "legal_entity",
    "legal_entity_billing",
    "metadata",
    "offence",
    "open_item",
    "package",
    "package_chain",
    "package_end",
    "package_item",
    "package_price",
    "package_sale",
    "package_transfer",
    "patient",
    "patient_alias",
    "payment",
    "period",
    "period_balance",
    "pin",
    "posting",
    "price_book",
    "price_item",
    "publication",
    "redemption",
    "rendered_visit",
    "served_chain",
    "service_code",
    "settlement",
    "settlement_item",
    "site",
    "site_billing",
    "staff",
    "tax_rule",
    "unapplication",
    "visit",
    "visit_type",
]
