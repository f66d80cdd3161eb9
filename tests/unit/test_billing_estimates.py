"""What an estimate says."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.accounts import ChargeKind
from services.billing.domain.codes import ServiceCode, ServiceCodeRow
from services.billing.domain.estimates import (
    Estimate,
    Line,
    Trigger,
    VisitInPast,
    are_of_one,
    coded,
    first_of,
    lines_of,
    refuse_past,
    refuse_unpriced,
)
from services.billing.domain.prices import PriceBook, PriceItem, PriceMissing, VisitKind
from services.billing.domain.tax import TaxRule

NOW, DAY, DAY_LONG = datetime(2026, 8, 3, 15, tzinfo=UTC), date(2026, 8, 10), timedelta(days=1)
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
        service_date=DAY,
        lines=lines_of(kinds, [DAY] * len(kinds), {"infusion": "Infusion"}),
        created_at=NOW,
        due_at=None,
    )


def test_visits_of_a_course_are_of_twelve_months_from_the_first_and_from_the_first_after_these() -> None:
    days = [date(2028, 2, 29), date(2029, 2, 28), date(2029, 3, 1), date(2030, 3, 1), date(2030, 3, 2)]
    assert [first_of(days, each) for each in days] == [days[0], days[0], days[2], days[2], days[4]]
    assert [are_of_one(days[0], each) for each in days] == [True, True, False, False, False]
    assert are_of_one(days[1], days[0])
    assert not are_of_one(days[2], days[0])


def test_visits_of_the_same_kind_stand_on_one_line_named_by_their_type_until_priced() -> None:
    lines = estimate(ASSESSMENT, INFUSION, INFUSION).lines
    assert lines == (Line(ASSESSMENT, "assessment", (DAY,)), Line(INFUSION, "Infusion", (DAY,) * 2))


def test_a_priced_line_has_its_items_text_and_the_estimate_its_total_and_deposit() -> None:
    priced = estimate(ASSESSMENT, INFUSION, INFUSION, INFUSION).priced_by([book(EVALUATION, DRIP)])
    assert priced.lines == (
        Line(ASSESSMENT, "Evaluation", (DAY,), Money(30000), EVALUATION.id),
        Line(INFUSION, "IV infusion", (DAY,) * 3, Money(59000), DRIP.id),
    )
    assert (priced.total, priced.deposit) == (Money(207000), Money(15000))
    assert (priced.price_book_id, priced.price_book_version) == (UUID(int=3), 3)


def test_visits_of_days_with_other_codes_stand_on_lines_of_their_own() -> None:
    """S0013 until the end of 2025, J0013 after it; 96365 on all days."""
    eve, new_year = date(2025, 12, 31), date(2026, 1, 1)

    def row(code: str, first: date, last: date | None = None) -> ServiceCodeRow:
        return ServiceCodeRow(UUID(int=1), VisitKind("infusion", "", ""), ServiceCode(code, 1), first, last)

    rows = [row("S0013", date(2020, 1, 1), eve), row("J0013", new_year), row("96365", date(2020, 1, 1))]
    days = [eve - DAY_LONG, eve, new_year, new_year + DAY_LONG]
    lines = coded(lines_of([INFUSION] * 4, days, {}), rows)
    assert [([each.code for each in line.codes], line.days) for line in lines] == [
        (["96365", "S0013"], tuple(days[:2])),
        (["96365", "J0013"], tuple(days[2:])),
    ]
    whole = replace(estimate(INFUSION), lines=lines)
    priced = whole.priced_by([book(DRIP)])
    assert [(line.count, line.codes) for line in priced.lines] == [(line.count, line.codes) for line in lines]
    assert priced.priced_by([book(DRIP)]) == priced


def test_each_visit_of_an_estimate_bears_the_taxes_of_its_own_day_as_on_an_invoice_of_all() -> None:
    """5 % in the old year, 7.625 % in the new, each reckoned over all its lines and rounded once; what both years have
    in common does not part them."""
    eve, new_year = date(2026, 12, 31), date(2027, 1, 1)

    def rule(number: int, rate_ppm: int, first: date, last: date | None = None) -> TaxRule:
        visits = frozenset({ChargeKind.VISIT})
        return TaxRule(UUID(int=number), UUID(int=9), "Tax", rate_ppm, visits, frozenset(), False, first, last)

    lines = lines_of([ASSESSMENT, INFUSION, INFUSION, INFUSION], [eve, eve, new_year, new_year], {})
    priced = replace(estimate(INFUSION), lines=lines).priced_by([book(EVALUATION, DRIP)])
    rules = [rule(1, 50_000, DAY, eve), rule(2, 76_250, new_year), rule(3, 1_000, DAY)]
    taxed = priced.taxed_by(rules)
    assert [(line.count, line.days, line.tax) for line in taxed.lines] == [
        (1, (eve,), Money(1_530)),
        (1, (eve,), Money(3_009)),
        (2, (new_year,) * 2, Money(8_998 + 118)),
    ]
    assert taxed.total == Money(30_000 + 3 * 59_000 + 1_530 + 3_009 + 9_116)
    assert taxed.priced_by([book(EVALUATION, DRIP)]).taxed_by(rules) == taxed
    assert priced.taxed_by(rules[2:]).lines[1].count == 3


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
