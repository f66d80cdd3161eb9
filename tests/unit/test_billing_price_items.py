"""What items of a price book ask for: tiers, the least charge, add-ons, products; copies and differences."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch
from services.billing.domain.estimates import Estimate, Trigger, lines_of
from services.billing.domain.prices import (
    FeeAmount,
    FeeKind,
    FeeTerms,
    FeeTier,
    ItemCodeRepeated,
    ItemKind,
    Loss,
    MinimumAbovePrices,
    Price,
    PriceBook,
    PriceChange,
    PriceItem,
    PriceItemRepeated,
    PriceTier,
    PriceTiersDisordered,
    RoundingStep,
    VisitKind,
    candidates,
    copied,
    diff,
    price,
    runs,
)

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
SHORT, LONG = VisitKind("infusion", "iv", "short"), VisitKind("infusion", "iv", "long")
TALK = VisitKind("talk", "", "")


def usd(dollars: int) -> Money:
    return Money(100 * dollars)


def visit(dollars: int, *tiers: tuple[int, int], code: str = "infusion", band: str = "") -> PriceItem:
    steps = tuple(PriceTier(number, usd(each)) for number, each in tiers)
    return PriceItem(UUID(int=dollars), code, "", band, usd(dollars), "Visit", tiers=steps)


def product(code: str, dollars: int, *tiers: tuple[int, int]) -> PriceItem:
    steps = tuple(PriceTier(number, usd(each)) for number, each in tiers)
    return PriceItem(UUID(int=dollars), "", "", "", usd(dollars), "Lozenges", ItemKind.PRODUCT, code, steps)


def add_on(code: str, *visit_types: str) -> PriceItem:
    return PriceItem(UUID(int=77), "", "", "", usd(50), "Extra", ItemKind.ADD_ON, code, visit_type_codes=visit_types)


def fee(code: str, *tiers: FeeTier, kind: FeeKind = FeeKind.LATE_CANCELLATION) -> PriceItem:
    return PriceItem(UUID(int=78), "", "", "", usd(0), "Fee", ItemKind.FEE, code, fee=FeeTerms(kind, tiers))


def book(*items: PriceItem, minimum: int = 0, version: int = 1) -> PriceBook:
    least = usd(minimum) if minimum else None
    return PriceBook(UUID(int=version), UUID(int=9), date(2026, 1, 1), usd(100), items, NOW, version, NOW, least)


@pytest.mark.parametrize(("ordinal", "dollars"), [(1, 590), (6, 590), (7, 450), (11, 450), (12, 400), (1000, 400)])
def test_a_tiers_price_holds_from_its_number_until_the_next_tier(ordinal: int, dollars: int) -> None:
    found = price([book(visit(590, (7, 450), (12, 400)))], SHORT, ordinal)
    assert found
    assert found.amount == usd(dollars)
    assert (found.tier.from_number if found.tier else None) == {590: None, 450: 7, 400: 12}[dollars]


@pytest.mark.parametrize(
    ("dollars", "minimum", "amount", "applied"),
    [(100, 150, 150, True), (150, 150, 150, False), (0, 150, 0, False), (200, 0, 200, False)],
)
def test_a_visit_costs_at_least_the_least_charge_unless_it_is_free(
    dollars: int, minimum: int, amount: int, applied: bool
) -> None:
    found = price([book(visit(dollars), minimum=minimum)], SHORT)
    assert found
    assert (found.amount, found.minimum_applied) == (usd(amount), applied)


def test_visits_are_priced_by_how_many_the_item_priced_before() -> None:
    books = [book(visit(590, (3, 450)), visit(200, code="talk"))]
    found = [
        (run.kind, run.count, run.price.amount if run.price else None)
        for run in runs(books, [(SHORT, 1), (LONG, 3), (TALK, 2), (VisitKind("other", "", ""), 2)])
    ]
    assert found == [
        (SHORT, 1, usd(590)),
        (LONG, 1, usd(590)),
        (LONG, 2, usd(450)),
        (TALK, 2, usd(200)),
        (VisitKind("other", "", ""), 2, None),
    ]


@given(st.lists(st.sampled_from([SHORT, LONG, TALK]), max_size=30), st.randoms(use_true_random=False))
def test_a_course_costs_the_same_visit_by_visit_and_in_whatever_order_it_is_estimated(
    kinds: list[VisitKind], shuffler: object
) -> None:
    books = [book(visit(590, (3, 450), (8, 10)), visit(700, (2, 20), band="long"), minimum=30)]
    books.append(book(visit(200, (4, 100), code="talk"), version=2))
    done: dict[UUID, int] = {}
    one_by_one = Money(0)
    for kind in kinds:
        won = price(books, kind)
        assert won
        done[won.item.id] = done.get(won.item.id, 0) + 1
        one_by_one += Price(won.book, won.item, done[won.item.id]).amount
    shuffler.shuffle(kinds)  # type: ignore[attr-defined]
    estimated = Estimate(
        UUID(int=1),
        UUID(int=9),
        UUID(int=2),
        None,
        1,
        Trigger.REQUEST,
        date(2026, 9, 1),
        lines_of(kinds, [date(2026, 9, 1)] * len(kinds), {}),
        NOW,
        None,
    ).priced_by(books)
    assert sum((line.amount for line in estimated.lines if line.amount), Money(0)) == one_by_one
    assert estimated.priced_by(books) == estimated  # Priced again, lines that were parted are priced alike.


def test_an_estimate_has_a_line_for_each_price() -> None:
    estimate = Estimate(
        UUID(int=1),
        UUID(int=9),
        UUID(int=2),
        None,
        1,
        Trigger.REQUEST,
        date(2026, 9, 1),
        lines_of([SHORT] * 8, [date(2026, 9, 1)] * 8, {}),
        NOW,
        None,
    )
    priced = estimate.priced_by([book(visit(590, (7, 450)))])
    assert [(line.count, line.unit_price) for line in priced.lines] == [(6, usd(590)), (2, usd(450))]
    assert priced.total == usd(6 * 590 + 2 * 450)


def test_who_renders_the_first_visits_has_their_prices() -> None:
    """Tiers count the visits of a course, whoever renders them."""
    doctor, nurse = UUID(int=5), UUID(int=6)
    estimate = Estimate(
        UUID(int=1),
        UUID(int=9),
        UUID(int=2),
        None,
        1,
        Trigger.REQUEST,
        date(2026, 9, 1),
        lines_of([*[SHORT] * 5, TALK, SHORT, LONG], [date(2026, 9, 1)] * 8, {}, [*[nurse] * 6, doctor, doctor]),
        NOW,
        None,
    )
    priced = estimate.priced_by([book(visit(590, (4, 450)))])
    assert [(line.kind, line.provider_id, line.count, line.unit_price) for line in priced.lines] == [
        (SHORT, nurse, 3, usd(590)),
        (SHORT, nurse, 2, usd(450)),
        (SHORT, doctor, 1, usd(450)),
        (TALK, nurse, 1, None),
        (LONG, doctor, 1, usd(450)),
    ]
    assert priced.priced_by([book(visit(590, (4, 450)))]) == priced


def test_products_and_add_ons_are_found_by_code() -> None:
    lozenges, extra = product("lozenges", 200, (3, 150)), add_on("music", "infusion")
    found = book(visit(590), lozenges, extra)
    assert found.product("lozenges") is lozenges
    assert [lozenges.unit_price_at(quantity) for quantity in (1, 2, 3, 9)] == [usd(200), usd(200), usd(150), usd(150)]
    assert found.product("music") is found.product("infusion") is None
    assert (found.add_ons("infusion"), found.add_ons("talk")) == ([extra], [])


def test_only_items_of_visits_price_visits() -> None:
    assert book(product("infusion", 5), add_on("extra", "infusion")).item_for(SHORT) is None


def test_what_a_price_won_over_is_told_with_why() -> None:
    exact, wide = visit(600, band="short"), visit(500)
    books = [book(wide, visit(700, band="long"), exact), book(visit(550, band="short"), visit(450), version=2)]
    won = price(books, SHORT)
    assert won
    assert won.item is exact
    assert [(each.book.version, each.item.unit_price, each.loss) for each in candidates(books, SHORT, won)] == [
        (1, usd(500), Loss.LESS_SPECIFIC),
        (2, usd(550), Loss.LATER_PRICE_BOOK),
        (2, usd(450), Loss.LATER_PRICE_BOOK),
    ]


@pytest.mark.parametrize("numbers", [(7, 7), (7, 6), (1,), (2, 5, 5)])
def test_tiers_that_do_not_ascend_are_named(numbers: tuple[int, ...]) -> None:
    tiers = [(number, 10) for number in numbers]
    with pytest.raises(PriceTiersDisordered) as refused:
        book(visit(590), replace(visit(20, *tiers, code="talk"))).check("USD")
    last = len(numbers) - 1
    assert [each.field for each in refused.value.violations] == [f"items[1].tiers[{last}].from_number"]


def test_tiers_of_a_fee_ascend_too() -> None:
    tiers = [FeeTier(hours, FeeAmount(usd(50))) for hours in (24, 48, 48)]
    with pytest.raises(PriceTiersDisordered) as refused:
        book(visit(590), fee("late", *tiers)).check("USD")
    assert [each.field for each in refused.value.violations] == ["items[1].fee.tiers[2].notice_hours"]


def test_two_items_have_two_codes() -> None:
    with pytest.raises(ItemCodeRepeated) as refused:
        book(visit(590), product("extra", 5), add_on("extra", "infusion")).check("USD")
    assert [each.field for each in refused.value.violations] == ["items[2].code"]


def test_a_fee_of_a_kind_is_there_once_and_a_visits_code_is_no_items_code() -> None:
    tier = FeeTier(24, FeeAmount(usd(50)))
    with pytest.raises(PriceItemRepeated) as refused:
        book(visit(590), fee("one", tier), fee("two", tier)).check("USD")
    assert [each.field for each in refused.value.violations] == ["items[2]"]
    book(visit(590), visit(20, code="talk"), product("infusion", 5), fee("one", tier)).check("USD")


def test_every_amount_of_an_item_is_held_to_currency_and_bounds() -> None:
    wrong = Money(5, "CAD")
    tier = FeeTier(24, FeeAmount(wrong), FeeAmount(wrong))
    items = (
        replace(visit(590), tiers=(PriceTier(2, wrong),)),
        replace(product("lozenges", 5), unit_price=wrong),
        fee("late", tier, FeeTier(48, FeeAmount(None, 5000))),
    )
    with pytest.raises(CurrencyMismatch) as foreign:
        replace(book(*items), minimum=wrong).check("USD")
    assert [each.field for each in foreign.value.violations] == [
        "minimum_charge",
        "items[0].tiers[0].unit_price",
        "items[1].unit_price",
        "items[2].fee.tiers[0].amount.fixed",
        "items[2].fee.tiers[0].first_amount.fixed",
    ]
    negative = FeeTier(24, FeeAmount(usd(-1)))
    with pytest.raises(AmountOutOfRange) as wild:
        book(replace(visit(590), tiers=(PriceTier(2, usd(-1)),)), fee("late", negative)).check("USD")
    assert [each.field for each in wild.value.violations] == [
        "items[0].tiers[0].unit_price",
        "items[1].fee.tiers[0].amount.fixed",
    ]


@pytest.mark.parametrize(
    ("items", "minimum", "is_well"),
    [
        ((visit(590), visit(200, code="talk")), 590, True),
        ((visit(590), visit(200, code="talk")), 591, False),
        ((visit(200, (2, 600)),), 600, True),
        ((product("lozenges", 900),), 1, False),  # Is no visit.
        ((product("lozenges", 900),), 0, True),
    ],
)
def test_the_least_charge_is_not_above_every_visit(items: tuple[PriceItem, ...], minimum: int, is_well: bool) -> None:
    if is_well:
        book(*items, minimum=minimum).check("USD")
        return
    with pytest.raises(MinimumAbovePrices) as refused:
        book(*items, minimum=minimum).check("USD")
    assert [each.field for each in refused.value.violations] == ["minimum_charge"]


@pytest.mark.parametrize(
    ("basis_points", "step", "minor", "changed"),
    [
        (500, RoundingStep.CENT, 59000, 61950),
        (500, RoundingStep.DOLLAR, 59000, 62000),  # 619.50: half up.
        (500, RoundingStep.FIVE_DOLLARS, 59000, 62000),
        (500, RoundingStep.TEN_DOLLARS, 59000, 62000),
        (-500, RoundingStep.DOLLAR, 59000, 56100),  # 560.50.
        (-501, RoundingStep.DOLLAR, 59000, 56000),  # 560.441.
        (1, RoundingStep.CENT, 5000, 5001),  # 50.005.
        (0, RoundingStep.TEN_DOLLARS, 59050, 59050),  # Nothing changes, nothing is rounded.
        (-10_000, RoundingStep.CENT, 59000, 0),
        (1000, RoundingStep.DOLLAR, 0, 0),
        (-10_100, RoundingStep.DOLLAR, 59000, -600),  # Which is refused.
    ],
)
def test_a_percentage_is_rounded_to_its_step_half_up(
    basis_points: int, step: RoundingStep, minor: int, changed: int
) -> None:
    assert PriceChange(basis_points, step).of(Money(minor)) == Money(changed)


def copy(source: PriceBook, basis_points: int) -> PriceBook:
    return copied(
        source,
        PriceChange(basis_points, RoundingStep.DOLLAR),
        id=UUID(int=500),
        item_ids=[UUID(int=600 + n) for n in range(len(source.items))],
        site_id=UUID(int=10),
        effective_date=date(2027, 1, 1),
        created_at=NOW,
    )


def test_a_copy_is_a_draft_with_other_prices_and_the_same_deposit_and_fees() -> None:
    late = fee("late", FeeTier(24, FeeAmount(usd(50))))
    source = book(
        visit(590, (7, 450)), product("lozenges", 75, (2, 70)), add_on("extra", "infusion"), late, minimum=100
    )
    draft = copy(source, 1000)
    assert (draft.version, draft.published_at, draft.site_id, draft.deposit) == (0, None, UUID(int=10), usd(100))
    assert [item.unit_price for item in draft.items] == [usd(649), usd(83), usd(55), usd(0)]
    assert [tier.unit_price for item in draft.items for tier in item.tiers] == [usd(495), usd(77)]
    assert (draft.items[3].fee, draft.minimum) == (late.fee, usd(110))
    assert {item.id for item in draft.items}.isdisjoint(item.id for item in source.items)
    draft.check("USD")


def test_a_change_that_makes_amounts_negative_or_huge_is_refused_by_each() -> None:
    for basis_points in (-10_200, 1_000_000_000):
        with pytest.raises(AmountOutOfRange) as refused:
            copy(book(visit(590), visit(200, code="talk")), basis_points).check("USD")
        assert [each.field for each in refused.value.violations] == ["items[0].unit_price", "items[1].unit_price"]


def test_a_difference_tells_what_came_what_went_and_what_changed() -> None:
    old = book(visit(590), visit(200, code="talk"), product("lozenges", 75), add_on("extra", "infusion"), minimum=50)
    new = replace(
        copy(old, 0),
        items=(
            visit(600),
            product("lozenges", 75),
            replace(add_on("extra", "infusion"), description="Other"),
            visit(9, band="short"),
        ),
        minimum=None,
    )
    found = diff(old, new)
    assert [item.unit_price for item in found.added] == [usd(9)]
    assert [item.visit_type_code for item in found.removed] == ["talk"]
    assert [(was.unit_price, now.unit_price) for was, now in found.changed] == [
        (usd(590), usd(600)),
        (usd(50), usd(50)),
    ]
    assert (found.deposit, found.minimum) == (None, (usd(50), usd(0)))


def test_a_copy_without_a_change_differs_in_nothing() -> None:
    source = book(visit(590, (2, 5)), fee("late", FeeTier(24, FeeAmount(usd(50)))), minimum=5)
    found = diff(source, copy(source, 0))
    assert (found.added, found.removed, found.changed, found.deposit, found.minimum) == ((), (), (), None, None)
