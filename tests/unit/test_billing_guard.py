"""How far bills may go beyond an estimate."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.coverage import beyond_all, cover
from services.billing.domain.estimates import Estimate, Line, Trigger
from services.billing.domain.guard import (
    Comparison,
    Item,
    Level,
    compare,
    expected_of,
    judge,
    judge_course,
    last_day_to_dispute,
    level_of,
    measure_of,
)
from services.billing.domain.prices import PriceBook, PriceItem, PriceTier, VisitKind
from services.billing.domain.sites import BookedVisit

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
SITE, OTHER, THIRD = UUID(int=1), UUID(int=2), UUID(int=3)
INFUSION, THERAPY = VisitKind("infusion", "iv", "short"), VisitKind("therapy", "", "standard")


def estimate(*lines: tuple[VisitKind, int, int]) -> Estimate:
    made = tuple(
        Line(kind, kind.visit_type_code, (date(2027, 3, 22),) * count, Money(minor), UUID(int=9))
        for kind, count, minor in lines
    )
    days = date(2027, 3, 22), (), NOW, None
    first, _, created, due = days
    return Estimate(UUID(int=7), SITE, UUID(int=8), UUID(int=5), 1, Trigger.REQUEST, first, made, created, due)


ESTIMATE = estimate((INFUSION, 2, 59000))


@pytest.mark.parametrize(
    ("more", "level"),
    [
        (118000, Level.OK),
        (118000 + 29999, Level.OK),
        (118000 + 30000, Level.NEAR),  # 75 % of 400 dollars.
        (118000 + 39999, Level.NEAR),
        (118000 + 40000, Level.BEYOND),
    ],
)
def test_a_bill_of_400_dollars_beyond_the_estimate_is_beyond(more: int, level: Level) -> None:
    result = judge(ESTIMATE, [], Money(more))
    assert (result.level, result.over, result.estimated) == (level, Money(more - 118000), Money(118000))
    assert level_of(more - 118000) is level


def test_what_was_billed_before_counts() -> None:
    billed = [Item(SITE, INFUSION, 2, 118000), Item(SITE, None, 1, 5000)]
    result = judge(ESTIMATE, billed, Money(35000))
    assert (result.billed, result.more, result.over, result.level) == (
        Money(123000),
        Money(35000),
        Money(40000),
        Level.BEYOND,
    )


def test_what_is_not_on_the_estimate_counts_in_full() -> None:
    billed = [Item(SITE, INFUSION, 2, 118000), Item(SITE, THERAPY, 2, 40000)]
    assert judge(ESTIMATE, billed, Money(0)).level is Level.BEYOND
    assert compare([], [Item(SITE, THERAPY, 2, 40000)]) == [Comparison(SITE, 0, 40000)]


def test_a_course_without_an_estimate_has_nothing_to_go_beyond() -> None:
    result = judge(None, [Item(SITE, INFUSION, 9, 900000)], Money(100000))
    assert (result.estimated, result.billed, result.level) == (None, Money(900000), Level.OK)


def test_each_provider_is_compared_with_what_was_expected_of_it() -> None:
    expected = [Item(SITE, INFUSION, 2, 118000), Item(OTHER, THERAPY, 1, 20000)]
    billed = [Item(SITE, INFUSION, 2, 118000), Item(OTHER, THERAPY, 1, 60000)]
    assert compare(expected, billed) == [Comparison(SITE, 118000, 118000), Comparison(OTHER, 20000, 60000)]


def test_a_replacing_provider_takes_over_what_was_expected_of_the_items() -> None:
    """One of two infusions moved to another; that the first bills less leaves it no room for more."""
    expected = [Item(SITE, INFUSION, 2, 118000)]
    billed = [Item(SITE, INFUSION, 1, 59000), Item(OTHER, INFUSION, 1, 98999)]
    assert compare(expected, billed) == [Comparison(SITE, 59000, 59000), Comparison(OTHER, 59000, 98999)]
    assert compare(expected, [Item(OTHER, INFUSION, 2, 118000)]) == [Comparison(OTHER, 118000, 118000)]


def test_a_replacing_provider_takes_over_no_more_than_is_left() -> None:
    expected = [Item(SITE, INFUSION, 2, 118000)]
    billed = [Item(SITE, INFUSION, 2, 118000), Item(OTHER, INFUSION, 1, 40000)]
    assert compare(expected, billed) == [Comparison(SITE, 118000, 118000), Comparison(OTHER, 0, 40000)]
    assert compare(expected, [Item(OTHER, THERAPY, 1, 40000)]) == [
        Comparison(SITE, 118000, 0),
        Comparison(OTHER, 0, 40000),
    ]


def test_several_may_replace_one_and_nothing_is_lost() -> None:
    expected = [Item(SITE, INFUSION, 3, 100000)]
    billed = [Item(OTHER, INFUSION, 1, 1), Item(THIRD, INFUSION, 1, 1)]
    found = {each.provider_id: each.expected for each in compare(expected, billed)}
    assert found == {SITE: 33334, OTHER: 33333, THIRD: 33333}


def test_the_provider_that_is_farthest_beyond_decides() -> None:
    result = judge(ESTIMATE, [Item(OTHER, THERAPY, 1, 40000)], Money(100))
    assert (result.level, result.over, result.billed, result.more) == (
        Level.BEYOND,
        Money(40000),
        Money(40000),
        Money(100),
    )


def test_what_is_of_a_day_is_measured_by_the_estimate_of_its_twelve_months() -> None:
    second = replace(ESTIMATE, id=UUID(int=77), service_date=date(2028, 4, 5))
    both = [ESTIMATE, second]
    days = [date(2027, 3, 1), date(2028, 3, 22), date(2028, 3, 23), date(2030, 1, 1)]
    assert [measure_of(both, day) for day in days] == [ESTIMATE, ESTIMATE, second, second]
    assert (measure_of([], days[0]), measure_of([ESTIMATE], days[-1])) == (None, ESTIMATE)


def test_the_twelve_months_that_are_farthest_beyond_decide_of_those_that_are_billed() -> None:
    second = replace(ESTIMATE, id=UUID(int=77), service_date=date(2028, 4, 5))
    billed = [Item(SITE, None, 1, 118000 + 30000, date(2027, 4, 1)), Item(SITE, None, 1, 118000, date(2028, 4, 5))]
    more = [Item(SITE, None, 1, 100, date(2028, 5, 1))]
    assert judge_course([ESTIMATE, second], billed, more, "USD").over == Money(100)
    assert judge_course([ESTIMATE, second], billed, [], "USD").over == Money(30000)
    assert judge_course([], billed, more, "USD").estimated is None


def test_a_dispute_may_begin_for_120_days() -> None:
    assert last_day_to_dispute(date(2028, 2, 1)) == date(2028, 5, 31)  # Over a leap day.


def test_all_tiers_of_a_price_are_expected() -> None:
    tiered = estimate((INFUSION, 3, 60000), (INFUSION, 3, 30000))
    result = judge(tiered, [Item(SITE, INFUSION, 3, 180000)], Money(90000))
    assert (result.estimated, result.over, result.level) == (Money(270000), Money(0), Level.OK)
    taken_over = [Item(SITE, INFUSION, 3, 180000), Item(OTHER, INFUSION, 3, 90000)]
    assert sum(each.expected for each in compare(expected_of(tiered), taken_over)) == 270000


BOOK = PriceBook(
    UUID(int=4),
    SITE,
    date(2027, 1, 1),
    Money(0),
    (PriceItem(UUID(int=9), "infusion", "", "", Money(59000), "Infusion"),),
    NOW,
)


def visits(*kinds: VisitKind) -> list[BookedVisit]:
    return [BookedVisit(UUID(int=n), kind, NOW) for n, kind in enumerate(kinds)]


def test_a_course_is_shown_line_by_line_beside_its_estimate() -> None:
    charged = [Item(SITE, INFUSION, 1, 65000), Item(SITE, None, 1, 5000)]
    booked = visits(*[INFUSION] * 3)
    booked[0] = replace(booked[0], settled=True)
    found = cover(ESTIMATE, booked, charged, [BOOK], {"infusion": "Infusion"}, "USD")
    infusion, fee = found
    assert (infusion.estimated_count, infusion.estimated, infusion.count) == (2, Money(118000), 3)
    assert (infusion.amount, infusion.beyond) == (Money(65000 + 2 * 59000), Money(65000))
    assert (fee.kind, fee.estimated, fee.amount, fee.beyond) == (None, Money(0), Money(5000), Money(5000))


def test_a_line_without_a_price_has_no_amount_and_one_below_the_estimate_is_not_beyond_it() -> None:
    infusion, therapy = cover(ESTIMATE, visits(INFUSION, THERAPY), [], [BOOK], {"therapy": "Talk"}, "USD")
    assert (infusion.amount, infusion.beyond) == (Money(59000), Money(0))
    assert (therapy.description, therapy.amount, therapy.beyond) == ("Talk", None, None)
    assert beyond_all([infusion, therapy], "USD") is None
    assert beyond_all([infusion], "USD") == Money(0)


def test_tiers_go_on_where_what_is_charged_has_come_to() -> None:
    tiered = replace(BOOK.items[0], tiers=(PriceTier(3, Money(45000)),))
    charged, booked = [Item(SITE, INFUSION, 1, 59000)], visits(*[INFUSION] * 4)
    booked[0] = replace(booked[0], settled=True)
    [line] = cover(ESTIMATE, booked, charged, [replace(BOOK, items=(tiered,))], {}, "USD")
    assert (line.count, line.amount) == (4, Money(2 * 59000 + 2 * 45000))
