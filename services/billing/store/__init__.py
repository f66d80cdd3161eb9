"""All SQL of billing, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.billing.domain.cash import CashCounted
from services.billing.domain.payments import CreditTooLow, NothingUnapplied, PaymentRepeated, PaymentReversed
from services.billing.domain.prices import EffectiveDateTooEarly, PriceBookPublished, PriceItemRepeated
from services.billing.store.accounts import AccountStore
from services.billing.store.cards import CardStore
from services.billing.store.cash import CashStore
from services.billing.store.codes import CodeStore
from services.billing.store.copies import CopyStore
from services.billing.store.documents import DocumentStore
from services.billing.store.estimates import EstimateStore
from services.billing.store.payments import PaymentStore
from services.billing.store.payouts import PayoutStore
from services.billing.store.prices import PriceStore
from services.billing.store.refunds import RefundStore


class BillingStore(
    CopyStore,
    CodeStore,
    PriceStore,
    EstimateStore,
    DocumentStore,
    AccountStore,
    PaymentStore,
    RefundStore,
    CardStore,
    PayoutStore,
    CashStore,
):
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "publication_pkey": PriceBookPublished,
        "publication_chain_id_site_id_version_key": EffectiveDateTooEarly,
        "publication_chain_id_site_id_effective_date_key": EffectiveDateTooEarly,
        "price_item_never_twice": PriceItemRepeated,
        "taken_reference_pkey": PaymentRepeated,
        "reversal_pkey": PaymentReversed,
        "cash_is_counted_once": CashCounted,
        "open_item_left_check": NothingUnapplied,
        "open_item_credit_check": CreditTooLow,
    }
