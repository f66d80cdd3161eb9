"""Which price applies to a visit, and what a price book must be."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from chassis.money import Money
from services.billing.domain.amounts import AMOUNT_MAX_MINOR, AmountOutOfRange, CurrencyMismatch
from services.billing.domain.prices import (
    EffectiveDateTooEarly,
    PriceBook,
    PriceBookPublished,
    PriceItem,
    PriceItemRepeated,
    VisitKind,
    next_version,
    price,
    since,
)

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
DAY = timedelta(days=1)


def item(
    dollars: int, visit_type_code: str = "infusion", route_code: str = "", band_code: str = "", currency: str = "USD"
) -> PriceItem:
    price = Money(100 * dollars, currency)
    return PriceItem(UUID(int=dollars), visit_type_code, route_code, band_code, price, f"{dollars} dollars")


def book(
    *items: PriceItem, version: int = 1, effective: date = date(2026, 8, 1), published: datetime = NOW
) -> PriceBook:
    return PriceBook(
        id=UUID(int=1000 + version),
        site_id=UUID(int=1),
        effective_date=effective,
        deposit=Money(10000),
        items=items or (item(500),),
        created_at=NOW,
        version=version,
        published_at=published,
    )


DRAFT = replace(book(version=0), published_at=None)
IV_SHORT = VisitKind("infusion", "iv", "short")


@pytest.mark.parametrize(
    ("kind", "dollars"),
    [
        (VisitKind("infusion", "iv", "short"), 4),  # Route and band.
        (VisitKind("infusion", "iv", "long"), 3),  # The route says more than the band.
        (VisitKind("infusion", "im", "long"), 2),
        (VisitKind("infusion", "im", "short"), 1),
        (VisitKind("infusion", "", ""), 1),
    ],
)
def test_the_most_specific_item_wins(kind: VisitKind, dollars: int) -> None:
    items = (
        item(1),
        item(2, band_code="long"),
        item(3, route_code="iv"),
        item(4, route_code="iv", band_code="short"),
        item(5, "assessment"),
    )
    for order in (items, items[::-1]):
        found = book(*order).item_for(kind)
        assert found
        assert found.unit_price == Money(100 * dollars)


def test_an_item_of_another_visit_type_route_or_band_covers_nothing() -> None:
    only = book(item(1, route_code="iv", band_code="short"))
    for kind in (
        VisitKind("therapy", "iv", "short"),
        VisitKind("infusion", "im", "short"),
        VisitKind("infusion", "iv", ""),
    ):
        assert only.item_for(kind) is None


def test_the_price_book_in_force_is_the_latest_that_has_taken_effect() -> None:
    books = [book(version=n, effective=date(2026, 8, n)) for n in (1, 2, 3)]
    assert since(books, date(2026, 8, 2), NOW) == books[1:]
    assert since(books, date(2026, 8, 9), NOW) == books[2:]


def test_what_is_published_after_a_booking_is_not_in_force_at_it_however_it_is_dated() -> None:
    books = [book(version=1), book(version=2, effective=date(2026, 8, 2), published=NOW + DAY)]
    assert since(books, date(2026, 8, 3), NOW) == books
    assert since(books, date(2026, 8, 3), NOW + DAY) == books[1:]


def test_a_sites_first_price_book_covers_what_was_booked_before_it() -> None:
    first = book(effective=date(2026, 9, 1))
    assert since([first], date(2026, 8, 3), NOW) == [first]


def test_a_later_price_book_prices_only_what_the_pinned_one_does_not() -> None:
    pinned = book(item(1, band_code="short"))
    later = book(item(2, band_code="short"), item(3, band_code="long"), version=2)
    short, long = price([pinned, later], IV_SHORT), price([pinned, later], VisitKind("infusion", "iv", "long"))
    assert short
    assert long
    assert (short.book.version, short.item.unit_price) == (1, Money(100))
    assert (long.book.version, long.item.unit_price) == (2, Money(300))
    assert price([pinned, later], VisitKind("therapy", "", "")) is None


def test_versions_count_from_one() -> None:
    assert next_version(DRAFT, []) == 1
    assert next_version(replace(DRAFT, effective_date=date(2026, 8, 2)), [book(version=7)]) == 8


def test_a_price_book_is_published_once() -> None:
    with pytest.raises(PriceBookPublished):
        next_version(replace(DRAFT, id=book().id, effective_date=date(2027, 1, 1)), [book(), book(version=2)])


@pytest.mark.parametrize("days", [0, -1])
def test_a_price_book_takes_effect_after_those_published_before_it(days: int) -> None:
    with pytest.raises(EffectiveDateTooEarly) as refused:
        next_version(replace(DRAFT, effective_date=date(2026, 8, 1) + days * DAY), [book(version=2)])
    assert refused.value.metadata == {"version": "2", "effective_date": "2026-08-01"}


def test_a_site_keeps_its_currency() -> None:
    with pytest.raises(CurrencyMismatch):
        next_version(replace(DRAFT, deposit=Money(0, "CAD"), effective_date=date(2027, 1, 1)), [book()])


def test_every_amount_in_another_currency_is_named() -> None:
    with pytest.raises(CurrencyMismatch) as refused:
        replace(DRAFT, items=(item(1), item(2, "therapy", currency="CAD")), deposit=Money(1, "EUR")).check("USD")
    assert [each.field for each in refused.value.violations] == ["deposit", "items[1].unit_price"]


@pytest.mark.parametrize("minor", [-1, AMOUNT_MAX_MINOR + 1])
def test_a_price_is_not_negative_and_not_huge(minor: int) -> None:
    wrong = replace(item(1), unit_price=Money(minor))
    with pytest.raises(AmountOutOfRange) as refused:
        replace(DRAFT, items=(wrong,)).check("USD")
    assert [each.field for each in refused.value.violations] == ["items[0].unit_price"]


@pytest.mark.parametrize("minor", [0, AMOUNT_MAX_MINOR])
def test_a_visit_may_be_free_or_dear(minor: int) -> None:
    replace(DRAFT, items=(replace(item(1), unit_price=Money(minor)),)).check("USD")


def test_two_items_for_the_same_visits_are_refused() -> None:
    with pytest.raises(PriceItemRepeated) as refused:
        replace(DRAFT, items=(item(1), item(2, route_code="iv"), item(3))).check("USD")
    assert [each.field for each in refused.value.violations] == ["items[2]"]
