"""Packages of a chain: offered, sold, drawn from; on top of `tests.support.billing`."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from atoll.billing.v1 import invoice_service_pb2 as invoice_pb
from atoll.billing.v1 import package_sale_service_pb2 as pb
from atoll.billing.v1 import package_service_pb2 as package_pb
from atoll.billing.v1 import settlement_service_pb2 as settlement_pb
from atoll.billing.v1.entitlement_pb2 import Entitlement, Redemption
from atoll.billing.v1.package_sale_service_pb2_grpc import PackageSaleServiceStub
from atoll.billing.v1.package_service_pb2_grpc import PackageServiceStub
from atoll.billing.v1.settlement_service_pb2_grpc import SettlementServiceStub
from chassis.ids import new_id, to_wire
from services.billing.jobs import end_due_packages
from tests.support.billing import Billing, BookedCourse, Kind, dollars, usd

Item = tuple[str, str, str, int]
SIX_INFUSIONS: tuple[Item, ...] = (("assessment", "", "", 1), ("infusion", "", "", 6))


@dataclass
class Packages:
    """A chain with prices (300 an assessment, 590 an infusion, 800 a long one) and a second site of another entity."""

    billing: Billing
    other_entity_id: str = field(default_factory=lambda: to_wire("legalentity", new_id()))
    other_site_id: str = ""

    def __post_init__(self) -> None:
        svc = self.billing.svc
        self.svc = svc
        self.offers = svc.stub(PackageServiceStub)
        self.sales = svc.stub(PackageSaleServiceStub)
        self.settlements = svc.stub(SettlementServiceStub)

    async def open(self) -> "Packages":
        """Whatever prices the first site has, it keeps."""
        if not await self.billing.count("price_book"):
            await self.billing.price()
        await self.billing.register_legal_entity(self.other_entity_id)
        self.other_site_id = await self.billing.register_site(legal_entity_id=self.other_entity_id)
        await self.billing.price(site_id=self.other_site_id)
        return self

    # Offers.

    def terms(self, items: tuple[Item, ...] = SIX_INFUSIONS, price: float | None = 3500, **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "name": "Six infusions",
            "items": [
                package_pb.PackageTerms.Item(visit_type_code=code, route_code=route, band_code=band, count=count)
                for code, route, band, count in items
            ],
            "price": None if price is None else usd(price),
            "valid_days": 365,
            "valid_from": package_pb.PACKAGE_START_SALE,
            "early_stop": package_pb.EARLY_STOP_PRO_RATA,
        }
        return package_pb.PackageTerms(**fields | changes)

    async def draft(self, terms: Any = None, code: str = "six", token: str | None = None) -> package_pb.Package:
        request = package_pb.CreatePackageRequest(request_id=str(uuid4()), code=code, terms=terms or self.terms())
        return (await self.svc.call(self.offers.CreatePackage, request, token)).package  # type: ignore[no-any-return]

    async def publish(self, draft: package_pb.Package, token: str | None = None) -> package_pb.Package:
        request = package_pb.PublishPackageRequest(request_id=str(uuid4()), package_id=draft.id, etag=draft.etag)
        return (await self.svc.call(self.offers.PublishPackage, request, token)).package  # type: ignore[no-any-return]

    async def offer(
        self, *items: Item, price: float | None = 3500, code: str = "six", **changes: Any
    ) -> package_pb.Package:
        return await self.publish(await self.draft(self.terms(items or SIX_INFUSIONS, price, **changes), code))

    # Sales.

    async def sell(self, package: package_pb.Package, token: str | None = None, **changes: str) -> pb.PackageSale:
        fields = {"site_id": self.billing.site_id, "patient_id": self.billing.patient_id, "package_id": package.id}
        request = pb.SellPackageRequest(request_id=str(uuid4()), **fields | changes)
        return (await self.svc.call(self.sales.SellPackage, request, token)).package_sale  # type: ignore[no-any-return]

    async def invoice(self, sale: pb.PackageSale) -> invoice_pb.Invoice:
        request = invoice_pb.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=[sale.charge_id])
        return (await self.svc.call(self.billing.invoices.IssueInvoice, request)).invoice  # type: ignore[no-any-return]

    async def sold(self, *items: Item, price: float = 3500, paid: float = -1, **changes: Any) -> pb.PackageSale:
        """Offered, sold, billed and paid: all of it, unless `paid` says how much."""
        sale = await self.sell(await self.offer(*items, price=price, **changes))
        await self.invoice(sale)
        if paid:
            await self.billing.pay(price if paid < 0 else paid)
        return await self.sale(sale.id)

    async def sale(self, sale_id: str, token: str | None = None) -> pb.PackageSale:
        request = pb.GetPackageSaleRequest(package_sale_id=sale_id)
        return (await self.svc.call(self.sales.GetPackageSale, request, token)).package_sale  # type: ignore[no-any-return]

    async def change(self, method: str, sale: pb.PackageSale, token: str | None = None, **more: Any) -> Any:
        """FreezePackage, UnfreezePackage, TransferPackage, StopPackage."""
        request = getattr(pb, f"{method}Request")(
            request_id=str(uuid4()), package_sale_id=sale.id, etag=sale.etag, **more
        )
        return await self.svc.call(getattr(self.sales, method), request, token)

    async def preview(self, sale: pb.PackageSale, token: str | None = None) -> pb.PackageStop:
        request = pb.PreviewStopRequest(package_sale_id=sale.id)
        return (await self.svc.call(self.sales.PreviewStop, request, token)).stop  # type: ignore[no-any-return]

    async def redeem(self, visit_id: str, entitlement_id: str, token: str | None = None, **more: str) -> Redemption:
        request = pb.RedeemVisitRequest(
            request_id=str(uuid4()), visit_id=visit_id, entitlement_id=entitlement_id, **more
        )
        return (await self.svc.call(self.sales.RedeemVisit, request, token)).redemption  # type: ignore[no-any-return]

    async def undo(self, redemption_id: str, token: str | None = None) -> Redemption:
        request = pb.UndoRedemptionRequest(request_id=str(uuid4()), redemption_id=redemption_id, reason="wrong patient")
        return (await self.svc.call(self.sales.UndoRedemption, request, token)).redemption  # type: ignore[no-any-return]

    async def held(self, patient_id: str = "", token: str | None = None, **more: Any) -> list[Entitlement]:
        """Under any of the patient's ids, the newest first."""
        request = pb.ListEntitlementsRequest(patient_id=patient_id or self.billing.patient_id, **more)
        return list((await self.svc.call(self.sales.ListEntitlements, request, token)).entitlements)

    async def redemptions(self, sale: pb.PackageSale, token: str | None = None, **more: Any) -> list[Redemption]:
        """The newest first."""
        request = pb.ListRedemptionsRequest(package_sale_id=sale.id, **more)
        return list((await self.svc.call(self.sales.ListRedemptions, request, token)).redemptions)

    async def treat(self, *kinds: Kind, first: datetime | None = None, **changes: Any) -> BookedCourse:
        """Visits that took place a week apart, from today on."""
        course = await self.billing.book(kinds, first=first or self.svc.now, **changes)
        await self.billing.complete(course)
        return course

    async def pass_days(self, days: int) -> None:
        """And lets the job do what is due."""
        self.svc.clock.now += timedelta(days=days)
        while await end_due_packages(self.svc.db, self.svc.clock):
            pass

    async def open_between(self, token: str | None = None, **changes: Any) -> list[settlement_pb.OpenSettlement]:
        """What the first legal entity owes the other."""
        fields: dict[str, Any] = {
            "debtor_legal_entity_id": self.billing.legal_entity_id,
            "creditor_legal_entity_id": self.other_entity_id,
        }
        request = settlement_pb.ListSettlementsRequest(**fields | changes)
        return list((await self.svc.call(self.settlements.ListSettlements, request, token)).settlements)

    async def settle(self, amount: float, token: str | None = None) -> list[settlement_pb.Settlement]:
        request = settlement_pb.SettleBetweenRequest(
            request_id=str(uuid4()),
            debtor_legal_entity_id=self.billing.legal_entity_id,
            creditor_legal_entity_id=self.other_entity_id,
            amount=usd(amount),
            bank_reference="WIRE-1",
        )
        return list((await self.svc.call(self.settlements.SettleBetween, request, token)).settlements)

    async def books(self, legal_entity_id: str = "", token: str | None = None) -> dict[str, float]:
        """The balance of each account that is not zero; debits above zero."""
        asked = replace(self.billing, legal_entity_id=legal_entity_id or self.billing.legal_entity_id)
        totals = await asked.trial_balance(token)
        balances = {name: round((debit or 0) - (credit or 0), 2) for name, (debit, credit) in totals.items()}
        return {name: balance for name, balance in balances.items() if balance}

    async def books_agree(self) -> None:
        """What is deferred is what is left; left, earned, given back and taken make the price; all books balance."""
        assert await self.billing.fetch(UNBALANCED) == []
        assert await self.billing.fetch(NOT_WHOLE) == []
        [sums] = await self.billing.fetch(SUMS)
        assert sums["deferred"] == sums["left"]
        assert sums["owed"] == sums["owing"]
        assert sums["credit"] == sums["refundable"]


async def story(billing: Billing) -> None:
    """A package with a row in every table: sold here, drawn from elsewhere, settled, handed over, stopped."""
    chain = await Packages(billing).open()
    here_and_there = [billing.site_id, chain.other_site_id]
    prices = [package_pb.PackageTerms.SitePrice(site_id=billing.site_id, price=usd(3500))]
    sale = await chain.sold(site_prices=prices, redeem_site_ids=here_and_there, transferable=True)
    await chain.treat(("infusion", "iv", "up_to_60"), site_id=chain.other_site_id)
    [between] = await chain.open_between()
    await chain.settle(dollars(between.amount) or 0)
    other_patient_id = await billing.register_patient()
    drawn = await chain.sale(sale.id)
    await chain.change("TransferPackage", drawn, patient_id=other_patient_id, reason="sister")
    await chain.change("StopPackage", await chain.sale(sale.id), reason="no candidate")


UNBALANCED = """
    SELECT legal_entity_id FROM posting GROUP BY legal_entity_id, site_id, currency HAVING sum(amount_minor) <> 0
"""
NOT_WHOLE = """
    SELECT id FROM package_sale WHERE price_minor <>
        (SELECT sum(left_minor) FROM entitlement WHERE sale_id = package_sale.id)
        + (SELECT coalesce(sum(value_minor), 0) FROM redemption WHERE sale_id = package_sale.id AND undone_at IS NULL)
        + (SELECT coalesce(sum(left_minor), 0) FROM package_end WHERE sale_id = package_sale.id)
"""
SUMS = """
    SELECT (SELECT coalesce(-sum(amount_minor), 0) FROM posting WHERE account = 11) AS deferred,
        (SELECT coalesce(sum(left_minor), 0) FROM entitlement) AS left,
        (SELECT coalesce(sum(amount_minor), 0) FROM posting WHERE account = 20) AS owed,
        (SELECT coalesce(-sum(amount_minor), 0) FROM posting WHERE account = 19) AS owing,
        (SELECT coalesce(-sum(amount_minor), 0) FROM posting WHERE account = 17) AS credit,
        (SELECT coalesce(sum(left_minor), 0) FROM open_item WHERE kind = 3) AS refundable
"""


def left(entitlements: Any) -> list[tuple[str, int, float | None]]:
    """Visit type, number and value of what is left."""
    return [(each.visit_type_code, each.remaining_count, dollars(each.remaining_value)) for each in entitlements]
