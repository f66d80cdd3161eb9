"""All SQL of billing, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.billing.domain.entitlements import EntitlementMissing, PackageEnded
from services.billing.domain.packages import PackageItemRepeated, PackagePublished
from services.billing.domain.prices import EffectiveDateTooEarly, PriceBookPublished, PriceItemRepeated
from services.billing.domain.redemptions import VisitNotRedeemable
from services.billing.store.accounts import AccountStore
from services.billing.store.codes import CodeStore
from services.billing.store.copies import CopyStore
from services.billing.store.documents import DocumentStore
from services.billing.store.entitlements import EntitlementStore
from services.billing.store.estimates import EstimateStore
from services.billing.store.packages import PackageStore
from services.billing.store.prices import PriceStore
from services.billing.store.redemptions import RedemptionStore
from services.billing.store.settlements import SettlementStore


class BillingStore(
    CopyStore,
    CodeStore,
    PriceStore,
    EstimateStore,
    DocumentStore,
    AccountStore,
    PackageStore,
    EntitlementStore,
    RedemptionStore,
    SettlementStore,
):
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "publication_pkey": PriceBookPublished,
        "publication_chain_id_site_id_version_key": EffectiveDateTooEarly,
        "publication_chain_id_site_id_effective_date_key": EffectiveDateTooEarly,
        "price_item_never_twice": PriceItemRepeated,
        "package_item_never_twice": PackageItemRepeated,
        "package_price_pkey": PackageItemRepeated,
        "published_package_stays": PackagePublished,
        "redemption_once_idx": VisitNotRedeemable,
        "entitlement_left_count_check": EntitlementMissing,
        "package_end_chain_id_sale_id_key": PackageEnded,
    }
