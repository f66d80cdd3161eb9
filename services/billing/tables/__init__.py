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
    payout_line_settlement,
    payout_share,
    processor_customer,
    processor_event,
)
from services.billing.tables.codes import diagnosis_code, service_code
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
    NO_CHAIN,
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
from services.billing.tables.payments import (
    cash_count,
    credit_transfer,
    forfeiture,
    refund,
    refund_part,
    reversal,
    taken_reference,
)
from services.billing.tables.prices import pin, price_book, price_item, publication
from services.billing.tables.profiles import legal_entity_billing, site_billing
from services.billing.tables.tax import tax_rule

__all__ = [
    "NO_CHAIN",
    "adjustment",
    "application",
    "card",
    "card_charge",
    "cash_count",
    "charge",
    "course",
    "credit_note",
    "credit_note_line",
    "credit_note_series",
    "credit_transfer",
    "credit_use",
    "diagnosis_code",
    "dispute",
    "entitlement",
    "entry",
    "estimate",
    "estimate_line",
    "forfeiture",
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
    "payout",
    "payout_line",
    "payout_line_settlement",
    "payout_share",
    "period",
    "period_balance",
    "pin",
    "posting",
    "price_book",
    "price_item",
    "processor_customer",
    "processor_event",
    "publication",
    "redemption",
    "refund",
    "refund_part",
    "rendered_visit",
    "reversal",
    "service_code",
    "settlement",
    "settlement_item",
    "site",
    "site_billing",
    "taken_reference",
    "tax_rule",
    "unapplication",
    "visit",
    "visit_type",
]
