"""Rules of packages: shares, which entitlement a visit is drawn from, expiry and freezing, what a stop gives back."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from chassis.errors import DomainError
from chassis.money import Money
from services.billing.domain import entitlements as rules
from services.billing.domain import redemptions, stops
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch
from services.billing.domain.entitlements import (
    Entitlement,
    PackageEnded,
    PackageExpired,
    PackageFrozen,
    PackageNotFreezable,
    Sale,
    SaleStatus,
    choose,
)
from services.billing.domain.ledger import Account, Source
from services.billing.domain.packages import (
    EarlyStop,
    Package,
    PackageItem,
    PackageItemRepeated,
    PackageNotOnSale,
    PackagePublished,
    PackageStart,
    PackageStatus,
    PackageTerms,
    PackageVisitTypeUnknown,
    SitePrice,
    shares,
    single_price,
)
from services.billing.domain.prices import PriceBook, PriceItem, VisitKind
from services.billing.domain.redemptions import Redemption
from services.billing.domain.sites import Site
from services.billing.domain.stops import stop

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
TODAY, DAY = date(2027, 3, 1), timedelta(days=1)
DENVER = ZoneInfo("America/Denver")
HERE, THERE, SELLER, OTHER = UUID(int=1), UUID(int=2), UUID(int=11), UUID(int=12)
CLINIC = Site(HERE, SELLER, DENVER)
ANY_INFUSION = VisitKind("infusion", "", "")
IV, LONG_IV = VisitKind("infusion", "iv", "up_to_60"), VisitKind("infusion", "iv", "over_60")
ASSESSMENT = VisitKind("assessment", "", "standard")


def terms(*items: PackageItem, **changes: Any) -> PackageTerms:
    fields: dict[str, Any] = {
        "name": "Six",
        "items": items or (PackageItem(ANY_INFUSION, 6),),
        "price": Money(300_000),
        "site_prices": (),
        "valid_days": 365,
        "valid_from": PackageStart.SALE,
        "transferable": True,
        "redeem_site_ids": frozenset(),
        "freeze_days": 60,
        "early_stop": EarlyStop.PRO_RATA,
        "stop_fee_percent": 0,
        "redeemable_unpaid": False,
    }
    return PackageTerms(**fields | changes)


def entitlement(kind: VisitKind = ANY_INFUSION, count: int = 6, minor: int = 300_000, id: int = 1) -> Entitlement:
    return Entitlement(UUID(int=id), kind, count, Money(minor), count, Money(minor))


def sale(*entitlements: Entitlement, paid: int = 300_000, of: PackageTerms | None = None, **changes: Any) -> Sale:
    package = Package(UUID(int=5), "six", of or terms(), NOW, version=1, published_at=NOW)
    fields: dict[str, Any] = {
        "id": UUID(int=100),
        "package": package,
        "site_id": HERE,
        "legal_entity_id": SELLER,
        "patient_id": UUID(int=20),
        "holder_id": UUID(int=20),
        "charge_id": UUID(int=30),
        "price": Money(300_000),
        "paid": Money(paid),
        "invoice_id": UUID(int=31),
        "sold_on": TODAY,
        "sold_at": NOW,
        "entitlements": entitlements or (entitlement(),),
        "zone": DENVER,
        "expires_on": rules.first_expiry(package, TODAY),
    }
    return Sale(**fields | changes)


def redemption(value: int, listed: int | None = 59_000, **changes: Any) -> Redemption:
    fields: dict[str, Any] = {
        "id": UUID(int=200),
        "sale_id": UUID(int=100),
        "entitlement_id": UUID(int=1),
        "visit_id": UUID(int=201),
        "course_id": UUID(int=202),
        "patient_id": UUID(int=20),
        "site_id": HERE,
        "legal_entity_id": SELLER,
        "selling_site_id": HERE,
        "selling_legal_entity_id": SELLER,
        "service_date": TODAY,
        "item_code": "infusion",
        "list_price": None if listed is None else Money(listed),
        "value": Money(value),
        "redeemed_at": NOW,
    }
    return Redemption(**fields | changes)


def drawn(of: Sale, count: int, listed: int | None = 59_000) -> tuple[Sale, list[Redemption]]:
    """With so many visits of its first entitlement drawn."""
    redemptions = list[Redemption]()
    for _ in range(count):
        first = of.entitlements[0]
        redemptions.append(redemption(first.next_value.minor, listed))
        of = of.with_entitlement(first.drawn())
    return of, redemptions


# Offers


def test_a_site_sells_at_its_own_price_and_else_at_the_chains() -> None:
    offered = terms(site_prices=(SitePrice(THERE, Money(280_000)),))
    assert (offered.price_at(HERE), offered.price_at(THERE)) == (Money(300_000), Money(280_000))
    assert replace(offered, price=None).price_at(HERE) is None


@pytest.mark.parametrize(
    ("changes", "refusal", "fields"),
    [
        ({"price": None}, AmountOutOfRange, ["terms.price"]),
        ({"price": Money(0)}, AmountOutOfRange, ["terms.price"]),
        ({"price": Money(-1)}, AmountOutOfRange, ["terms.price"]),
        ({"price": Money(100_000_001)}, AmountOutOfRange, ["terms.price"]),
        ({"site_prices": (SitePrice(HERE, Money(1, "CAD")),)}, CurrencyMismatch, ["terms.site_prices[0].price"]),
        ({"site_prices": (SitePrice(HERE, Money(1)),) * 2}, PackageItemRepeated, ["terms.site_prices[1]"]),
        ({"items": (PackageItem(IV, 1), PackageItem(IV, 2))}, PackageItemRepeated, ["terms.items[1]"]),
        (
            {"items": (PackageItem(IV, 1), PackageItem(VisitKind("massage", "", ""), 1))},
            PackageVisitTypeUnknown,
            ["terms.items[1].visit_type_code"],
        ),
    ],
)
def test_terms_that_could_not_be_sold_are_refused_by_field(
    changes: dict[str, Any], refusal: type[DomainError], fields: list[str]
) -> None:
    with pytest.raises(refusal) as refused:
        terms(**changes).check({"infusion", "assessment"})
    assert [each.field for each in refused.value.violations] == fields


def test_a_version_is_drafted_published_and_retired() -> None:
    draft = Package(UUID(int=1), "six", terms(), NOW)
    published = replace(draft, version=1, published_at=NOW)
    retired = replace(published, retired_at=NOW)
    assert [each.status for each in (draft, published, retired)] == list(PackageStatus)
    draft.need_draft()
    published.need_on_sale()
    for each in (published, retired):
        with pytest.raises(PackagePublished):
            each.need_draft()
    for each in (draft, retired):
        with pytest.raises(PackageNotOnSale):
            each.need_on_sale()


# The price is split


def test_the_price_is_split_by_what_the_visits_cost_one_by_one() -> None:
    items = [PackageItem(ASSESSMENT, 1), PackageItem(ANY_INFUSION, 6)]
    assert shares(Money(450_000), items, [Money(30_000), Money(70_000)]) == [Money(30_000), Money(420_000)]
    assert sum(each.minor for each in shares(Money(350_001), items, [Money(30_000), Money(59_000)])) == 350_001


@pytest.mark.parametrize("listed", [[None, Money(59_000)], [Money(0), Money(0)]])
def test_the_price_is_split_by_number_where_a_visit_has_no_price_or_all_are_free(listed: list[Money | None]) -> None:
    items = [PackageItem(ASSESSMENT, 1), PackageItem(ANY_INFUSION, 6)]
    assert shares(Money(700), items, listed) == [Money(100), Money(600)]


def test_a_free_visit_beside_dear_ones_takes_no_share() -> None:
    items = [PackageItem(ASSESSMENT, 1), PackageItem(ANY_INFUSION, 6)]
    assert shares(Money(700), items, [Money(0), Money(100)]) == [Money(0), Money(700)]


def test_an_item_for_any_route_costs_what_the_cheapest_that_it_covers_does() -> None:
    prices = [PriceItem(UUID(int=n), "infusion", "iv", band, Money(minor), "x") for n, band, minor in
              ((1, "up_to_60", 59_000), (2, "over_60", 80_000))]  # fmt: skip
    book = PriceBook(UUID(int=1), HERE, TODAY, Money(0), tuple(prices), NOW, 1, NOW)
    assert single_price([book], ANY_INFUSION) == Money(59_000)
    assert single_price([book], LONG_IV) == Money(80_000)
    assert single_price([book], ASSESSMENT) is None


def test_the_shares_of_all_visits_make_the_price_whatever_is_put_back_between() -> None:
    left, values = entitlement(count=7, minor=100), list[Money]()
    for _ in range(3):
        values.append(left.next_value)
        left = left.drawn()
    left = left.restored(values.pop(0))
    while left.left_count:
        values.append(left.next_value)
        left = left.drawn()
    assert (left.left, sum(each.minor for each in values), len(values)) == (Money(0), 100, 7)
    assert all(each.minor in (14, 15) for each in values)


# Which entitlement


def test_a_visit_is_drawn_from_what_expires_first() -> None:
    sooner = sale(id=UUID(int=101), expires_on=TODAY + DAY, sold_at=NOW + timedelta(hours=1))
    found = choose([sale(), sooner, sale(id=UUID(int=102), expires_on=None)], IV, CLINIC, TODAY)
    assert found
    assert (found.sale.id, found.value) == (sooner.id, Money(50_000))


def test_of_one_package_the_most_specific_item_has_it() -> None:
    several = (
        entitlement(ANY_INFUSION, id=1),
        entitlement(VisitKind("infusion", "", "over_60"), id=2),
        entitlement(VisitKind("infusion", "iv", ""), id=3),
        entitlement(LONG_IV, id=4),
    )
    for n in (3, 2, 1, 0):
        found = choose([sale(*several[: n + 1], paid=10**9)], LONG_IV, CLINIC, TODAY)
        assert found
        assert found.entitlement.id == (UUID(int=[1, 2, 3, 4][n]))
    found = choose([sale(*several)], IV, CLINIC, TODAY)
    assert found
    assert found.entitlement.id == UUID(int=3)


@pytest.mark.parametrize(
    "unfit",
    [
        {"expires_on": TODAY - DAY},
        {"sold_at": NOW + DAY},
        {"frozen_on": TODAY},
        {"ended_at": NOW, "ended_as": SaleStatus.STOPPED},
        {"paid": Money(49_999)},
        {"entitlements": (replace(entitlement(), left_count=0, left=Money(0)),)},
        {"entitlements": (entitlement(ASSESSMENT),)},
        {"entitlements": (entitlement(LONG_IV),)},
        {"package": Package(UUID(int=5), "six", terms(redeem_site_ids=frozenset({THERE})), NOW, 1, NOW)},
    ],
)
def test_a_visit_is_drawn_from_no_package_that_does_not_have_it(unfit: dict[str, Any]) -> None:
    assert choose([sale()], IV, CLINIC, TODAY)
    assert choose([replace(sale(), **unfit)], IV, CLINIC, TODAY) is None


def test_what_was_bought_where_it_is_the_next_day_already_has_the_visits_of_this_one() -> None:
    bought = sale(site_id=THERE, zone=ZoneInfo("Pacific/Guam"), sold_on=TODAY + DAY, sold_at=NOW)
    assert choose([bought], IV, CLINIC, TODAY)
    assert choose([bought], IV, CLINIC, TODAY - DAY) is None


def test_the_last_day_is_a_day_on_which_visits_are_drawn() -> None:
    last = replace(sale(), expires_on=TODAY)
    assert choose([last], IV, CLINIC, TODAY)
    last.need_open(TODAY)
    with pytest.raises(PackageExpired):
        last.need_open(TODAY + DAY)


def test_visits_are_drawn_as_far_as_they_are_paid() -> None:
    half = sale(paid=149_999)
    assert half.missing_for(Money(50_000)) == Money(0)
    two_drawn, _ = drawn(half, 2)
    assert two_drawn.missing_for(Money(50_000)) == Money(1)
    trusted = sale(paid=0, of=terms(redeemable_unpaid=True))
    assert trusted.missing_for(Money(50_000)) == Money(0)


# Days


def test_validity_counts_from_the_sale_or_from_the_first_use() -> None:
    assert sale().expires_on == TODAY + 365 * DAY
    on_use = sale(of=terms(valid_from=PackageStart.FIRST_USE, valid_days=30))
    assert (on_use.expires_on, on_use.expire_at, on_use.last_day(TODAY)) == (None, None, None)
    used = on_use.with_first_use(TODAY + 10 * DAY)
    assert used.expires_on == TODAY + 40 * DAY
    assert used.with_first_use(TODAY + 20 * DAY) == used


def test_a_package_expires_when_its_last_day_is_over_at_the_site() -> None:
    """Of the night on which clocks change, by the time there; and after a leap day."""
    spring = replace(sale(), expires_on=date(2027, 3, 14))
    assert spring.expire_at == datetime(2027, 3, 15, 6, tzinfo=UTC)
    assert replace(spring, expires_on=date(2027, 3, 13)).expire_at == datetime(2027, 3, 14, 7, tzinfo=UTC)
    assert rules.first_expiry(spring.package, date(2028, 2, 29)) == date(2029, 2, 28)


def test_a_freeze_moves_the_expiry_by_its_days() -> None:
    frozen = rules.frozen(sale(), TODAY)
    assert (frozen.frozen_on, frozen.version, frozen.is_frozen(TODAY), frozen.is_frozen(TODAY - DAY)) == (
        TODAY,
        2,
        True,
        False,
    )
    assert frozen.last_day(TODAY + 10 * DAY) == TODAY + 375 * DAY
    thawed = rules.unfrozen(frozen, TODAY + 10 * DAY)
    assert (thawed.expires_on, thawed.frozen_on, thawed.frozen_days) == (TODAY + 375 * DAY, None, 10)
    assert thawed.freeze_days_left == 50


def test_a_freeze_ends_by_itself_when_its_days_are_used_up() -> None:
    frozen = rules.frozen(sale(), TODAY)
    assert frozen.is_frozen(TODAY + 59 * DAY)
    assert not frozen.is_frozen(TODAY + 60 * DAY)
    assert frozen.last_day(TODAY + 100 * DAY) == TODAY + 425 * DAY
    assert frozen.expire_at == replace(sale(), expires_on=TODAY + 425 * DAY).expire_at
    with pytest.raises(PackageNotFreezable):
        rules.frozen(frozen, TODAY + 60 * DAY)
    assert rules.unfrozen(frozen, TODAY + 100 * DAY).frozen_days == 60


def test_a_freeze_before_the_first_use_moves_no_validity_that_starts_with_it() -> None:
    on_use = sale(of=terms(valid_from=PackageStart.FIRST_USE, valid_days=90))
    frozen = rules.frozen(on_use, TODAY)
    first = TODAY + 80 * DAY  # It ran out twenty days before.
    used = frozen.with_first_use(first)
    assert used.last_day(first + 50 * DAY) == first + 90 * DAY
    assert (used.frozen_on, used.freeze_days_left) == (None, 0)


def test_a_freeze_goes_on_that_began_after_the_first_use_that_is_told_late() -> None:
    on_use = sale(of=terms(valid_from=PackageStart.FIRST_USE, valid_days=90))
    used = rules.frozen(on_use, TODAY + 5 * DAY).with_first_use(TODAY)
    assert used.is_frozen(TODAY + 5 * DAY)
    assert used.last_day(TODAY + 15 * DAY) == TODAY + 100 * DAY


def test_what_is_frozen_ended_or_may_not_be_frozen_is_not_frozen_again() -> None:
    with pytest.raises(PackageFrozen):
        rules.frozen(rules.frozen(sale(), TODAY), TODAY + DAY)
    with pytest.raises(PackageNotFreezable):
        rules.frozen(sale(of=terms(freeze_days=0)), TODAY)
    with pytest.raises(PackageNotFreezable):
        rules.unfrozen(sale(), TODAY)
    ended = sale(ended_at=NOW, ended_as=SaleStatus.STOPPED)
    for change in (rules.frozen, rules.unfrozen):
        with pytest.raises(PackageEnded):
            change(ended, TODAY)
    with pytest.raises(PackageExpired):
        rules.frozen(sale(), TODAY + 366 * DAY)


# Stops


def test_by_pro_rata_what_is_left_comes_back_less_the_fee() -> None:
    some, redemptions = drawn(sale(of=terms(stop_fee_percent=5)), 2)
    found = stop(some, redemptions)
    assert (found.consumed, found.fee, found.refundable) == (Money(100_000), Money(15_000), Money(185_000))
    assert (found.forgiven, found.rerated) == (Money(0), Money(0))


def test_by_rerating_the_visits_drawn_cost_what_they_cost_one_by_one() -> None:
    some, redemptions = drawn(sale(of=terms(early_stop=EarlyStop.RERATE)), 4)
    found = stop(some, redemptions)
    assert (found.consumed, found.rerated, found.refundable) == (Money(236_000), Money(36_000), Money(64_000))


def test_a_rerated_visit_costs_no_less_than_its_share_and_without_a_price_just_that() -> None:
    of = terms(early_stop=EarlyStop.RERATE)
    for listed in (10_000, None):
        some, redemptions = drawn(sale(of=of), 2, listed)
        assert stop(some, redemptions).refundable == Money(200_000)


def test_nothing_comes_back_below_zero() -> None:
    some, redemptions = drawn(sale(of=terms(early_stop=EarlyStop.RERATE, stop_fee_percent=50)), 5, 100_000)
    found = stop(some, redemptions)
    assert (found.refundable, found.forgiven, found.fee, found.rerated) == (Money(0), Money(0), Money(0), Money(50_000))


def test_what_is_not_paid_is_forgiven_before_anything_comes_back() -> None:
    some, redemptions = drawn(sale(paid=120_000), 2)
    found = stop(some, redemptions)
    assert (found.forgiven, found.refundable) == (Money(180_000), Money(20_000))
    owing, redemptions = drawn(sale(paid=10_000, of=terms(redeemable_unpaid=True)), 2)
    found = stop(owing, redemptions)
    assert (found.forgiven, found.refundable) == (Money(200_000), Money(0))  # 90,000 of the 100,000 is still to pay.


def test_an_unused_package_comes_back_whole_or_less_the_fee() -> None:
    assert stop(sale(), []).refundable == Money(300_000)
    assert stop(sale(of=terms(stop_fee_percent=5)), []).refundable == Money(285_000)
    assert stop(sale(of=terms(stop_fee_percent=100)), []).refundable == Money(0)


def test_a_stop_and_an_expiry_post_all_that_is_left() -> None:
    some, redemptions = drawn(sale(paid=250_000, of=terms(early_stop=EarlyStop.RERATE, stop_fee_percent=5)), 2)
    end = stops.end_of_stop(UUID(int=9), "moves away", some, stop(some, redemptions))
    entry = stops.entry_of_end(end, "six")
    assert entry
    assert (entry.source, entry.source_id) == (Source.PACKAGE_END, UUID(int=9))
    assert {each.account: each.amount.minor for each in entry.postings} == {
        Account.DEFERRED_REVENUE: 200_000,
        Account.ACCOUNTS_RECEIVABLE: -50_000,
        Account.PATIENT_CREDIT: -117_000,
        Account.REVENUE: -18_000,
        Account.FEE_REVENUE: -15_000,
    }
    expired = stops.entry_of_end(stops.end_of_expiry(UUID(int=9), some), "six")
    assert expired
    accounts = {each.account: each.amount.minor for each in expired.postings}
    assert accounts == {Account.DEFERRED_REVENUE: 200_000, Account.BREAKAGE: -200_000}
    used, _ = drawn(sale(), 6)
    assert stops.entry_of_end(stops.end_of_expiry(UUID(int=9), used), "six") is None


def test_what_comes_back_brings_its_tax_and_what_is_kept_keeps_it() -> None:
    """7.625 % of 3,000 is 228.75; of the 1,850 that two visits and a fee of 5 % leave, 141.06."""
    some, redemptions = drawn(sale(of=terms(stop_fee_percent=5), tax_minor=22_875, paid=322_875), 2)
    found = stop(some, redemptions)
    assert (found.tax, found.refundable, found.forgiven) == (Money(14_106), Money(199_106), Money(0))
    unused = stop(sale(tax_minor=22_875, paid=322_875), [])
    assert (unused.tax, unused.refundable) == (Money(22_875), Money(322_875))
    part_paid, redemptions = drawn(sale(tax_minor=22_875, paid=120_000), 2)
    found = stop(part_paid, redemptions)
    assert (found.tax, found.forgiven, found.refundable) == (Money(15_250), Money(202_875), Money(12_375))
    kept, redemptions = drawn(sale(of=terms(stop_fee_percent=100), tax_minor=22_875, paid=322_875), 2)
    assert (stop(kept, redemptions).tax, stop(kept, redemptions).refundable) == (Money(0), Money(0))


def test_a_stop_posts_the_tax_that_it_gives_back() -> None:
    added, redemptions = drawn(sale(tax_minor=22_875, paid=322_875), 2)
    inside, _ = drawn(sale(included_tax_minor=21_254), 2)
    books = []
    for each in (added, inside):
        entry = stops.entry_of_end(stops.end_of_stop(UUID(int=9), "x", each, stop(each, redemptions)), "six")
        assert entry
        books.append({posting.account: posting.amount.minor for posting in entry.postings})
    assert books == [
        {Account.DEFERRED_REVENUE: 200_000, Account.PATIENT_CREDIT: -215_250, Account.TAX_PAYABLE: 15_250},
        {
            Account.DEFERRED_REVENUE: 200_000,
            Account.PATIENT_CREDIT: -200_000,
            Account.TAX_PAYABLE: 14_169,
            Account.REVENUE: -14_169,
        },
    ]
    expired = stops.entry_of_end(stops.end_of_expiry(UUID(int=9), added), "six")
    assert expired
    assert {each.account for each in expired.postings} == {Account.DEFERRED_REVENUE, Account.BREAKAGE}


def test_a_visit_is_paid_when_its_tax_is() -> None:
    some = sale(tax_minor=22_875, paid=53_812)
    assert some.missing_for(Money(50_000)) == Money(1)
    assert sale(tax_minor=22_875, paid=53_813).missing_for(Money(50_000)) == Money(0)


# Books


def test_a_visit_where_it_was_sold_turns_what_is_deferred_into_revenue() -> None:
    [booked] = redemptions.entries_of(redemption(50_000), UUID(int=200), Money(50_000))
    assert (booked.legal_entity_id, booked.site_id, booked.entry.source) == (SELLER, HERE, Source.REDEMPTION)
    assert [(each.account, each.amount.minor, each.item_code) for each in booked.entry.postings] == [
        (Account.DEFERRED_REVENUE, 50_000, ""),
        (Account.REVENUE, -50_000, "infusion"),
    ]


def test_a_visit_at_a_site_of_the_same_legal_entity_is_that_sites_revenue() -> None:
    [booked] = redemptions.entries_of(redemption(50_000, site_id=THERE), UUID(int=200), Money(50_000))
    assert (booked.legal_entity_id, booked.site_id) == (SELLER, THERE)


def test_a_visit_at_another_legal_entity_is_owed_to_it() -> None:
    there = redemption(50_000, site_id=THERE, legal_entity_id=OTHER)
    owing, owed = redemptions.entries_of(there, UUID(int=200), Money(50_000))
    assert (owing.legal_entity_id, owing.site_id, owed.legal_entity_id, owed.site_id) == (SELLER, HERE, OTHER, THERE)
    assert [(each.account, each.amount.minor, each.counterparty_id) for each in owing.entry.postings] == [
        (Account.DEFERRED_REVENUE, 50_000, None),
        (Account.DUE_TO, -50_000, OTHER),
    ]
    assert [(each.account, each.amount.minor, each.counterparty_id) for each in owed.entry.postings] == [
        (Account.DUE_FROM, 50_000, SELLER),
        (Account.REVENUE, -50_000, None),
    ]


def test_a_visit_whose_share_is_nothing_posts_nothing() -> None:
    assert redemptions.entries_of(redemption(0), UUID(int=200), Money(0)) == []
