"""All SQL of billing, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.billing.domain.charges import ChargeInvoiced
from services.billing.domain.prices import EffectiveDateTooEarly, PriceBookPublished, PriceItemRepeated
from services.billing.domain.tax import TaxRuleDates
from services.billing.store.accounts import AccountStore
from services.billing.store.billable import BillableStore
from services.billing.store.charges import ChargeStore
from services.billing.store.codes import CodeStore
from services.billing.store.copies import CopyStore
from services.billing.store.credit_notes import CreditNoteStore
from services.billing.store.documents import DocumentStore
from services.billing.store.drafts import DraftStore
from services.billing.store.estimates import EstimateStore
from services.billing.store.invoices import InvoiceStore
from services.billing.store.prices import PriceStore
from services.billing.store.tax import TaxStore


class BillingStore(
    CopyStore,
    CodeStore,
    PriceStore,
    EstimateStore,
    DocumentStore,
    AccountStore,
    InvoiceStore,
    BillableStore,
    DraftStore,
    CreditNoteStore,
    TaxStore,
    ChargeStore,
):
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "publication_pkey": PriceBookPublished,
        "publication_chain_id_site_id_version_key": EffectiveDateTooEarly,
        "publication_chain_id_site_id_effective_date_key": EffectiveDateTooEarly,
        "price_item_never_twice": PriceItemRepeated,
        "invoice_line_pkey": ChargeInvoiced,
        "tax_rule_chain_id_site_id_name_effective_date_key": TaxRuleDates,
    }
