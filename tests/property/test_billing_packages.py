"""A package that is sold, paid, drawn from at two companies, put back, frozen and ended: nothing is lost or made."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chassis.errors import DomainError
from chassis.money import Money
from services.billing.domain import entitlements as rules
from services.billing.domain import redemptions, stops
from services.billing.domain.entitlements import Entitlement, Sale, SaleStatus
from services.billing.domain.ledger import Account, Booked, Entry, Source, move, of_application, of_charge
from services.billing.domain.packages import EarlyStop, Package, PackageItem, PackageStart, PackageTerms, shares
from services.billing.domain.prices import VisitKind
from services.billing.domain.redemptions import Redemption
from services.billing.domain.sites import Site
from services.billing.domain.stops import PackageEnd

NOW, TODAY = datetime(2027, 3, 1, 16, tzinfo=UTC), date(2027, 3, 1)
SELLER, OTHER = UUID(int=11), UUID(int=12)
SITES = {UUID(int=1): SELLER, UUID(int=2): SELLER, UUID(int=3): OTHER}
KINDS = [VisitKind("infusion", "iv", "up_to_60"), VisitKind("infusion", "im", ""), VisitKind("assessment", "", "")]
ITEMS = [VisitKind("infusion", "", ""), VisitKind("infusion", "iv", ""), VisitKind("assessment", "", "")]
counts = st.lists(
    st.tuples(st.sampled_from(ITEMS), st.integers(1, 7)), min_size=1, max_size=3, unique_by=lambda x: x[0]
)


class OnePackage(RuleBasedStateMachine):
    sale: Sale

    def __init__(self) -> None:
        super().__init__()
        self.day, self.made = TODAY, 1000
        self.books = dict[UUID, list[Entry]]()
        self.standing = list[Redemption]()
        self.end: PackageEnd | None = None

    def id(self) -> UUID:
        self.made += 1
        return UUID(int=self.made)

    def post(self, booked: list[Booked]) -> None:
        for each in booked:
            self.books.setdefault(each.legal_entity_id, []).append(each.entry)

    def total(self, account: Account, entity: UUID = SELLER) -> int:
        postings = [posting for entry in self.books.get(entity, []) for posting in entry.postings]
        return sum(posting.amount.minor for posting in postings if posting.account is account)

    @initialize(
        price=st.integers(1, 600_000),
        items=counts,
        costs=st.lists(st.none() | st.integers(0, 90_000), min_size=3, max_size=3),
        rule=st.sampled_from(EarlyStop),
        start=st.sampled_from(PackageStart),
        fee=st.integers(0, 100),
        freeze_days=st.integers(0, 40),
        unpaid=st.booleans(),
        tax_percent=st.integers(0, 50),
        included=st.booleans(),
    )
    def sell(
        self,
        price: int,
        items: list[tuple[VisitKind, int]],
        costs: list[int | None],
        rule: EarlyStop,
        start: PackageStart,
        fee: int,
        freeze_days: int,
        unpaid: bool,
        tax_percent: int,
        included: bool,
    ) -> None:
        packed = tuple(PackageItem(kind, count) for kind, count in items)
        terms = PackageTerms(
            "x", packed, Money(price), (), 60, start, True, frozenset(), freeze_days, rule, fee, unpaid
        )
        package = Package(self.id(), "x", terms, NOW, 1, NOW)
        listed = [None if each is None else Money(each) for each in costs[: len(packed)]]
        values = shares(Money(price), packed, listed)
        entitlements = tuple(
            Entitlement(self.id(), item.kind, item.count, value, item.count, value)
            for item, value in zip(packed, values, strict=True)
        )
        tax = price * tax_percent // 100
        self.sale = Sale(
            id=self.id(),
            package=package,
            site_id=UUID(int=1),
            legal_entity_id=SELLER,
            patient_id=UUID(int=20),
            holder_id=UUID(int=20),
            charge_id=self.id(),
            price=Money(price),
            paid=Money(0),
            invoice_id=self.id(),
            sold_on=TODAY,
            sold_at=NOW,
            entitlements=entitlements,
            zone=ZoneInfo("America/Denver"),
            expires_on=rules.first_expiry(package, TODAY),
            tax_minor=0 if included else tax,
            included_tax_minor=tax if included else 0,
        )
        charge = of_charge(self.sale.charge_id, Money(price), Account.DEFERRED_REVENUE, "x")
        assert charge
        self.books[SELLER] = [charge]
        if tax:
            bears = Account.REVENUE if included else Account.ACCOUNTS_RECEIVABLE
            self.books[SELLER].append(move(Source.INVOICE, self.id(), bears, Account.TAX_PAYABLE, Money(tax)))

    @rule(share=st.integers(1, 100))
    @precondition(lambda self: not self.end and self.sale.paid < self.sale.owed)
    def pay(self, share: int) -> None:
        part = (self.sale.owed - self.sale.paid).split([share, 100 - share])[0]
        if part.minor:
            self.sale = replace(self.sale, paid=self.sale.paid + part)
            self.books[SELLER].append(of_application(self.id(), part))

    @rule(kind=st.sampled_from(KINDS), site=st.sampled_from(sorted(SITES)), cost=st.none() | st.integers(0, 90_000))
    def visit(self, kind: VisitKind, site: UUID, cost: int | None) -> None:
        drawn = rules.choose([self.sale], kind, Site(site, SITES[site], self.sale.zone), self.day)
        if drawn is None:
            return
        assert not self.end
        assert not self.sale.is_frozen(self.day)
        self.sale = self.sale.with_entitlement(drawn.entitlement.drawn()).with_first_use(self.day)
        redemption = Redemption(
            id=self.id(),
            sale_id=self.sale.id,
            entitlement_id=drawn.entitlement.id,
            visit_id=self.id(),
            course_id=self.id(),
            patient_id=self.sale.holder_id,
            site_id=site,
            legal_entity_id=SITES[site],
            selling_site_id=self.sale.site_id,
            selling_legal_entity_id=SELLER,
            service_date=self.day,
            item_code=kind.visit_type_code,
            list_price=None if cost is None else Money(cost),
            value=drawn.value,
            redeemed_at=NOW,
        )
        self.standing.append(redemption)
        self.post(redemptions.entries_of(redemption, redemption.id, redemption.value))

    @rule(which=st.integers(0, 50))
    @precondition(lambda self: self.standing and not self.end)
    def undo(self, which: int) -> None:
        undone = self.standing.pop(which % len(self.standing))
        [entitlement] = [each for each in self.sale.entitlements if each.id == undone.entitlement_id]
        self.sale = self.sale.with_entitlement(entitlement.restored(undone.value))
        self.post(redemptions.entries_of(undone, self.id(), -undone.value))

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        before = self.sale.last_day(self.day)
        self.day += timedelta(days)
        after = self.sale.last_day(self.day)
        if before and after:
            assert timedelta() <= after - before <= timedelta(days)

    @rule()
    def freeze(self) -> None:
        try:
            self.sale = rules.frozen(self.sale, self.day)
        except DomainError:
            return
        assert self.sale.freeze_days_left > 0

    @rule()
    def unfreeze(self) -> None:
        last = self.sale.last_day(self.day)
        try:
            self.sale = rules.unfrozen(self.sale, self.day)
        except DomainError:
            return
        assert self.sale.expires_on == last

    @rule()
    def stop(self) -> None:
        try:
            self.sale.need_open(self.day)
        except DomainError:
            return
        found = stops.stop(self.sale, self.standing)
        assert 0 <= found.refundable.minor <= self.sale.paid.minor
        assert 0 <= found.forgiven.minor <= (self.sale.owed - self.sale.paid).minor
        assert found.returned.minor <= (self.sale.left + found.tax).minor
        self._end(stops.end_of_stop(self.id(), "x", self.sale, found), SaleStatus.STOPPED)

    @rule()
    @precondition(lambda self: not self.end and self.sale.expire_at)
    def expire(self) -> None:
        last = self.sale.last_day(date.max)
        assert last
        self.day = max(self.day, last + timedelta(1))
        self._end(stops.end_of_expiry(self.id(), self.sale), SaleStatus.EXPIRED)

    def _end(self, end: PackageEnd, ended_as: SaleStatus) -> None:
        entry = stops.entry_of_end(end, "x")
        if entry:
            self.books[SELLER].append(entry)
        emptied = tuple(each.emptied() for each in self.sale.entitlements)
        self.sale = replace(self.sale, entitlements=emptied, ended_at=NOW, ended_as=ended_as)
        self.end = end

    @invariant()
    def nothing_is_below_zero(self) -> None:
        for each in self.sale.entitlements:
            assert 0 <= each.left_count <= each.count
            assert 0 <= each.left.minor <= each.value.minor
            assert each.left_count or not each.left.minor

    @invariant()
    def what_is_left_is_what_is_deferred(self) -> None:
        assert self.total(Account.DEFERRED_REVENUE) == -self.sale.left.minor

    @invariant()
    def earned_given_back_taken_and_left_make_the_price(self) -> None:
        earned = sum(each.value.minor for each in self.standing)
        ended = self.end.left.minor if self.end else 0
        assert earned + ended + self.sale.left.minor == self.sale.price.minor
        rerated = self.end.rerated.minor if self.end else 0
        taxed = self.sale.included_tax_minor - (self.end.included_tax.minor if self.end else 0)
        assert self.total(Account.REVENUE) + self.total(Account.REVENUE, OTHER) == taxed - earned - rerated

    @invariant()
    def what_is_kept_bears_its_part_of_the_tax(self) -> None:
        """To half a cent: the tax of what came back is rounded, and what is kept bears the rest."""
        end = self.end
        returned = end.forgiven + end.refundable - end.tax if end else Money(0)
        for whole, back in (
            (self.sale.tax_minor, end.tax.minor if end else 0),
            (self.sale.included_tax_minor, end.included_tax.minor if end else 0),
        ):
            assert abs(back - Fraction(whole * returned.minor, self.sale.price.minor)) <= Fraction(1, 2)
        given = end.tax.minor + end.included_tax.minor if end else 0
        assert self.total(Account.TAX_PAYABLE) == given - self.sale.tax_minor - self.sale.included_tax_minor

    @invariant()
    def what_one_owes_is_owed_to_the_other(self) -> None:
        between = sum(each.value.minor for each in self.standing if each.legal_entity_id == OTHER)
        assert self.total(Account.DUE_TO) == -between
        assert self.total(Account.DUE_FROM, OTHER) == between
        for entity in self.books:
            assert sum(self.total(account, entity) for account in Account) == 0

    @invariant()
    def who_bought_owes_what_is_not_paid_nor_forgiven(self) -> None:
        forgiven = self.end.forgiven.minor if self.end else 0
        assert self.total(Account.ACCOUNTS_RECEIVABLE) == self.sale.owed.minor - self.sale.paid.minor - forgiven


OnePackage.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOnePackage = OnePackage.TestCase
