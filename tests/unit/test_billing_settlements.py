"""Rules of settlements between legal entities."""

from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.amounts import AMOUNT_MAX_MINOR, AmountOutOfRange
from services.billing.domain.settlements import OpenSettlement, SettlementChanged, check_settled

SOLD, RENDERED = UUID(int=1), UUID(int=2)


def usd(minor: int) -> Money:
    return Money(minor)


def open_of(minor: int) -> OpenSettlement:
    return OpenSettlement(SOLD, RENDERED, usd(minor), (UUID(int=3),))


def test_what_is_settled_is_all_that_is_open() -> None:
    check_settled(usd(700), [open_of(1_000), open_of(-300)])
    with pytest.raises(SettlementChanged):
        check_settled(usd(701), [open_of(1_000), open_of(-300)])


def test_the_sum_of_many_visits_may_be_more_than_any_one_amount() -> None:
    check_settled(usd(2 * AMOUNT_MAX_MINOR), [open_of(AMOUNT_MAX_MINOR), open_of(AMOUNT_MAX_MINOR)])


@pytest.mark.parametrize("minor", [0, -1])
def test_nothing_is_not_settled(minor: int) -> None:
    with pytest.raises(AmountOutOfRange):
        check_settled(usd(minor), [open_of(minor)])
