"""All SQL of billing, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError, TryAgain
from services.billing.domain.cash import CashCounted
from services.billing.domain.charges import ChargeInvoiced
from services.billing.domain.codes import CodesOverlap
from services.billing.domain.entitlements import EntitlementMissing, PackageEnded
from services.billing.domain.estimates import EstimateAcknowledged
from services.billing.domain.guard import DisputeOpen
from services.billing.domain.packages import PackageItemRepeated, PackagePublished
from services.billing.domain.payments import CreditTooLow, NothingUnapplied, PaymentRepeated, PaymentReversed
from services.billing.domain.periods import PeriodClosed
from services.billing.domain.prices import (
    EffectiveDateTooEarly,
    ItemCodeRepeated,
    PriceBookPublished,
    PriceItemRepeated,
)
from services.billing.domain.profiles import InvoicePrefixTaken
from services.billing.domain.redemptions import VisitNotRedeemable
from services.billing.domain.tax import TaxRuleDates
from services.billing.store.accounts import AccountStore
from services.billing.store.billable import BillableStore
from services.billing.store.cards import CardStore
from services.billing.store.cash import CashStore
from services.billing.store.charges import ChargeStore
from services.billing.store.codes import CodeStore
from services.billing.store.copies import CopyStore
from services.billing.store.credit_notes import CreditNoteStore
from services.billing.store.deadlines import DeadlineStore
from services.billing.store.documents import DocumentStore
from services.billing.store.drafts import DraftStore
from services.billing.store.entitlements import EntitlementStore
from services.billing.store.estimates import EstimateStore
from services.billing.store.guard import GuardStore
from services.billing.store.invoices import InvoiceStore
from services.billing.store.packages import PackageStore
from services.billing.store.payments import PaymentStore
from services.billing.store.payouts import PayoutStore
from services.billing.store.periods import PeriodStore
from services.billing.store.prices import PriceStore
from services.billing.store.printing import PrintingStore
from services.billing.store.profiles import ProfileStore
from services.billing.store.redemptions import RedemptionStore
from services.billing.store.refunds import RefundStore
from services.billing.store.settlements import SettlementStore
from services.billing.store.tax import TaxStore


class BillingStore(
    CopyStore,
    CodeStore,
    PriceStore,
    EstimateStore,
    DocumentStore,
    AccountStore,
    PeriodStore,
    ProfileStore,
    PackageStore,
    EntitlementStore,
    RedemptionStore,
    SettlementStore,
    InvoiceStore,
    BillableStore,
    DraftStore,
    CreditNoteStore,
    TaxStore,
    ChargeStore,
    PaymentStore,
    RefundStore,
    CardStore,
    PayoutStore,
    CashStore,
    DeadlineStore,
    GuardStore,
    PrintingStore,
):
    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "publication_pkey": PriceBookPublished,
        "publication_chain_id_site_id_version_key": EffectiveDateTooEarly,
        "publication_chain_id_site_id_effective_date_key": EffectiveDateTooEarly,
        "price_item_never_twice": PriceItemRepeated,
        "period_is_open": TryAgain,  # It was closed since the call began: begun again, it is posted after that.
        "period_chain_id_legal_entity_id_last_date_key": PeriodClosed,
        "invoice_prefix_is_one_entitys": InvoicePrefixTaken,
        "price_item_code_never_twice": ItemCodeRepeated,
        "published_price_book_stays": PriceBookPublished,
        "service_code_one_at_a_time": CodesOverlap,
        "diagnosis_code_one_at_a_time": CodesOverlap,
        "package_item_never_twice": PackageItemRepeated,
        "package_price_pkey": PackageItemRepeated,
        "published_package_stays": PackagePublished,
        "redemption_once_idx": VisitNotRedeemable,
        "entitlement_left_count_check": EntitlementMissing,
        "package_end_chain_id_sale_id_key": PackageEnded,
        "invoice_line_pkey": ChargeInvoiced,
        "tax_rule_chain_id_site_id_name_effective_date_key": TaxRuleDates,
        "taken_reference_pkey": PaymentRepeated,
        "reversal_pkey": PaymentReversed,
        "cash_is_counted_once": CashCounted,
        "open_item_left_check": NothingUnapplied,
        "open_item_credit_check": CreditTooLow,
        "estimate_acknowledgement_pkey": EstimateAcknowledged,
        "estimate_dispute_open_key": DisputeOpen,
    }
