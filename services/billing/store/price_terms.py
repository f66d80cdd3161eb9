"""What only some kinds of price items have, as it is kept in `price_item.terms`."""

import json
from typing import Any

from chassis.money import Money
from services.billing.domain.prices import (
    DepositUse,
    FeeAmount,
    FeeKind,
    FeeTerms,
    FeeTier,
    NoticeHours,
    PriceItem,
    PriceTier,
)


def terms_of(item: PriceItem) -> str:
    terms: dict[str, Any] = {}
    if item.tiers:
        terms["tiers"] = [{"from": tier.from_number, "minor": tier.unit_price.minor} for tier in item.tiers]
    if item.visit_type_codes:
        terms["visit_types"] = item.visit_type_codes
    if item.fee:
        terms["fee"] = _fee(item.fee)
    return json.dumps(terms)


def read_terms(text: str, currency: str) -> dict[str, Any]:
    """As fields of a PriceItem."""
    terms = json.loads(text)
    return {
        "tiers": tuple(PriceTier(each["from"], Money(each["minor"], currency)) for each in terms.get("tiers", ())),
        "visit_type_codes": tuple(terms.get("visit_types", ())),
        "fee": _read_fee(terms["fee"], currency) if "fee" in terms else None,
    }


def _fee(fee: FeeTerms) -> dict[str, Any]:
    tiers = [
        {"hours": tier.notice_hours, "amount": _amount(tier.amount)}
        | ({"first": _amount(tier.first_amount)} if tier.first_amount else {})
        for tier in fee.tiers
    ]
    return {
        "kind": fee.kind,
        "hours": fee.hours,
        "grace": fee.grace_count,
        "late": fee.late_minutes,
        "prepay": fee.prepay_after_count,
        "deposit": fee.deposit_use,
        "tiers": tiers,
    }


def _amount(amount: FeeAmount) -> dict[str, int]:
    return {"minor": amount.fixed.minor} if amount.fixed else {"basis_points": amount.basis_points}


def _read_fee(kept: dict[str, Any], currency: str) -> FeeTerms:
    tiers = tuple(
        FeeTier(
            each["hours"],
            _read_amount(each["amount"], currency),
            _read_amount(each["first"], currency) if "first" in each else None,
        )
        for each in kept["tiers"]
    )
    return FeeTerms(
        kind=FeeKind(kept["kind"]),
        tiers=tiers,
        hours=NoticeHours(kept["hours"]),
        grace_count=kept["grace"],
        late_minutes=kept["late"],
        prepay_after_count=kept["prepay"],
        deposit_use=DepositUse(kept.get("deposit", DepositUse.CHARGED_APART)),
    )


def _read_amount(kept: dict[str, int], currency: str) -> FeeAmount:
    if "minor" in kept:
        return FeeAmount(Money(kept["minor"], currency))
    return FeeAmount(None, kept["basis_points"])
