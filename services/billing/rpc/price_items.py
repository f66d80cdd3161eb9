"""Items of price books: visits, add-ons, products, fees."""

from collections.abc import Iterable

from atoll.billing.v1 import price_book_service_pb2 as pb
from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from services.billing.domain.prices import (
    DepositUse,
    FeeAmount,
    FeeKind,
    FeeTerms,
    FeeTier,
    ItemKind,
    NoticeHours,
    PriceItem,
    PriceTier,
)

Told = pb.CreatePriceBookRequest.Item


def items_from_wire(told: Iterable[Told], currency: str = "USD") -> tuple[PriceItem, ...]:
    """With new ids. `currency` is that of what a fee's item costs by itself, which is nothing."""
    return tuple(_item(item, f"items[{i}]", currency) for i, item in enumerate(told))


def item_to_wire(item: PriceItem) -> pb.PriceItem:
    return pb.PriceItem(
        id=to_wire("priceitem", item.id),
        visit_type_code=item.visit_type_code,
        route_code=item.route_code,
        band_code=item.band_code,
        unit_price=None if item.fee else money_to_wire(item.unit_price),
        description=item.description,
        kind=pb.PriceItemKind.ValueType(item.kind),
        code=item.code,
        tiers=map(tier_to_wire, item.tiers),
        visit_type_codes=item.visit_type_codes,
        fee=_fee_to_wire(item.fee) if item.fee else None,
    )


def tier_to_wire(tier: PriceTier) -> pb.PriceTier:
    return pb.PriceTier(from_number=tier.from_number, unit_price=money_to_wire(tier.unit_price))


def _item(told: Told, path: str, currency: str) -> PriceItem:
    return PriceItem(
        id=new_id(),
        visit_type_code=told.visit_type_code,
        route_code=told.route_code,
        band_code=told.band_code,
        unit_price=Money(0, currency)
        if told.HasField("fee")
        else money_from_wire(told.unit_price, f"{path}.unit_price"),
        description=told.description,
        kind=ItemKind(told.kind or ItemKind.VISIT),
        code=told.code,
        tiers=tuple(
            PriceTier(tier.from_number, money_from_wire(tier.unit_price, f"{path}.tiers[{n}].unit_price"))
            for n, tier in enumerate(told.tiers)
        ),
        visit_type_codes=tuple(told.visit_type_codes),
        fee=_fee(told.fee, f"{path}.fee") if told.HasField("fee") else None,
    )


def _fee(told: pb.FeeTerms, path: str) -> FeeTerms:
    return FeeTerms(
        kind=FeeKind(told.kind),
        tiers=tuple(_fee_tier(tier, f"{path}.tiers[{n}]") for n, tier in enumerate(told.tiers)),
        hours=NoticeHours(told.hours or NoticeHours.CLOCK),
        grace_count=told.grace_count,
        late_minutes=told.late_minutes,
        prepay_after_count=told.prepay_after_count,
        deposit_use=DepositUse(told.deposit_use or DepositUse.CHARGED_APART),
    )


def _fee_tier(told: pb.FeeTerms.FeeTier, path: str) -> FeeTier:
    first = _fee_amount(told.first_amount, f"{path}.first_amount") if told.HasField("first_amount") else None
    return FeeTier(told.notice_hours, _fee_amount(told.amount, f"{path}.amount"), first)


def _fee_amount(told: pb.FeeTerms.FeeAmount, path: str) -> FeeAmount:
    if told.HasField("fixed"):
        return FeeAmount(money_from_wire(told.fixed, f"{path}.fixed"))
    return FeeAmount(None, told.basis_points)


def _fee_to_wire(fee: FeeTerms) -> pb.FeeTerms:
    return pb.FeeTerms(
        kind=pb.FeeKind.ValueType(fee.kind),
        hours=pb.NoticeHours.ValueType(fee.hours),
        tiers=[
            pb.FeeTerms.FeeTier(
                notice_hours=tier.notice_hours,
                amount=_amount_to_wire(tier.amount),
                first_amount=_amount_to_wire(tier.first_amount) if tier.first_amount else None,
            )
            for tier in fee.tiers
        ],
        grace_count=fee.grace_count,
        late_minutes=fee.late_minutes,
        prepay_after_count=fee.prepay_after_count,
        deposit_use=pb.DepositUse.ValueType(fee.deposit_use),
    )


def _amount_to_wire(amount: FeeAmount) -> pb.FeeTerms.FeeAmount:
    if amount.fixed:
        return pb.FeeTerms.FeeAmount(fixed=money_to_wire(amount.fixed))
    return pb.FeeTerms.FeeAmount(basis_points=amount.basis_points)
