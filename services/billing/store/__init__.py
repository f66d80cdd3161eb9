"""All SQL of billing, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.billing.domain.estimates import EstimateAcknowledged
from services.billing.domain.guard import DisputeOpen
from services.billing.domain.prices import EffectiveDateTooEarly, PriceBookPublished, PriceItemRepeated
from services.billing.store.accounts import AccountStore
from services.billing.store.codes import CodeStore
from services.billing.store.copies import CopyStore
from services.billing.store.deadlines import DeadlineStore
from services.billing.store.documents import DocumentStore
from services.billing.store.estimates import EstimateStore
from services.billing.store.guard import GuardStore
from services.billing.store.prices import PriceStore
from services.billing.store.printing import PrintingStore


class BillingStore(
    CopyStore,
    CodeStore,
    PriceStore,
    EstimateStore,
    DocumentStore,
    AccountStore,
    DeadlineStore,
    GuardStore,
    PrintingStore,
):
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "publication_pkey": PriceBookPublished,
        "publication_chain_id_site_id_version_key": EffectiveDateTooEarly,
        "publication_chain_id_site_id_effective_date_key": EffectiveDateTooEarly,
        "price_item_never_twice": PriceItemRepeated,
        "estimate_acknowledgement_pkey": EstimateAcknowledged,
        "estimate_dispute_open_key": DisputeOpen,
    }
