"""What an estimate says."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.estimates import (
    Estimate,
    Line,
    Trigger,
    VisitInPast,
    lines_of,
    refuse_past,
    refuse_unpriced,
)
from services.billing.domain.prices import PriceBook, PriceItem, PriceMissing, VisitKind

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
ASSESSMENT, INFUSION = VisitKind("assessment", "", "standard"), VisitKind("infusion", "iv", "short")
EVALUATION = PriceItem(UUID(int=1), "assessment", "", "", Money(30000), "Evaluation")
DRIP = PriceItem(UUID(int=2), "infusion", "iv", "", Money(59000), "IV infusion")


def book(*items: PriceItem, version: int = 3) -> PriceBook:
    return PriceBook(UUID(int=version), UUID(int=9), date(2026, 1, 1), Money(15000), items, NOW, version, NOW)


def estimate(*kinds: VisitKind) -> Estimate:
    return Estimate(
        id=UUID(int=7),
        site_id=UUID(int=9),
        patient_id=UUID(int=8),
        course_id=None,
        version=1,
        trigger=Trigger.REQUEST,
        service_date=date(2026, 8, 10),
        lines=lines_of(kinds, {"infusion": "Infusion"}),
        created_at=NOW,
        due_at=None,
    )


def test_visits_of_the_same_kind_stand_on_one_line_named_by_their_type_until_priced() -> None:
    lines = estimate(ASSESSMENT, INFUSION, INFUSION).lines
    assert lines == (Line(ASSESSMENT, "assessment", 1), Line(INFUSION, "Infusion", 2))


def test_a_priced_line_has_its_items_text_and_the_estimate_its_total_and_deposit() -> None:
    priced = estimate(ASSESSMENT, INFUSION, INFUSION, INFUSION).priced_by([book(EVALUATION, DRIP)])
    assert priced.lines == (
        Line(ASSESSMENT, "Evaluation", 1, Money(30000), EVALUATION.id),
        Line(INFUSION, "IV infusion", 3, Money(59000), DRIP.id),
    )
    assert (priced.total, priced.deposit) == (Money(207000), Money(15000))
    assert (priced.price_book_id, priced.price_book_version) == (UUID(int=3), 3)


def test_a_line_without_a_price_leaves_the_total_open() -> None:
    priced = estimate(ASSESSMENT, INFUSION).priced_by([book(DRIP)])
    assert not priced.priced
    assert priced.total is None
    assert [line.amount for line in priced.lines] == [None, Money(59000)]


def test_what_is_free_has_a_price() -> None:
    free = PriceItem(UUID(int=4), "assessment", "", "", Money(0), "Talk")
    assert estimate(ASSESSMENT).priced_by([book(free)]).total == Money(0)


def test_the_first_price_book_is_the_one_it_is_pinned_to_though_a_later_one_fills_a_gap() -> None:
    priced = estimate(ASSESSMENT, INFUSION).priced_by([book(DRIP), book(EVALUATION, version=4)])
    assert (priced.total, priced.price_book_version) == (Money(89000), 3)


def test_without_any_price_book_it_stays_as_it_is() -> None:
    bare = estimate(INFUSION)
    assert bare.priced_by([]) is bare


def test_every_visit_without_a_price_is_named() -> None:
    kinds = [INFUSION, ASSESSMENT, INFUSION]
    with pytest.raises(PriceMissing) as refused:
        refuse_unpriced(kinds, estimate(*kinds).priced_by([book(EVALUATION)]))
    assert [each.field for each in refused.value.violations] == ["visits[0]", "visits[2]"]
    refuse_unpriced(kinds, estimate(*kinds).priced_by([book(EVALUATION, DRIP)]))


def test_a_visit_may_be_estimated_that_starts_now_and_not_one_before() -> None:
    refuse_past([NOW], NOW)
    with pytest.raises(VisitInPast) as refused:
        refuse_past([NOW, NOW - timedelta(seconds=1)], NOW)
    assert [each.field for each in refused.value.violations] == ["visits[1].start_time"]
