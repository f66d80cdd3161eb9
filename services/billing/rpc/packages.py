"""Packages that are offered."""

from atoll.billing.v1 import package_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.billing.domain.packages import (
    EarlyStop,
    Package,
    PackageItem,
    PackageStart,
    PackageTerms,
    SitePrice,
)
from services.billing.domain.prices import VisitKind
from services.billing.rpc.common import before_id, some_money
from services.billing.store import BillingStore
from services.billing.use_cases import packages


class PackageServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreatePackage(self, request: pb.CreatePackageRequest, call: Call) -> pb.CreatePackageResponse:
        terms = _terms(request.terms)

        async def work(store: BillingStore) -> pb.CreatePackageResponse:
            return pb.CreatePackageResponse(package=_package(await packages.create_package(store, request.code, terms)))

        return await self._db.once(call, request, pb.CreatePackageResponse, BillingStore, work)

    async def UpdatePackage(self, request: pb.UpdatePackageRequest, call: Call) -> pb.UpdatePackageResponse:
        package_id, version = from_wire("package", request.package_id), from_etag(request.etag)
        terms = _terms(request.terms)

        async def work(store: BillingStore) -> pb.UpdatePackageResponse:
            changed = await packages.update_package(store, package_id, version, terms)
            return pb.UpdatePackageResponse(package=_package(changed))

        return await self._db.once(call, request, pb.UpdatePackageResponse, BillingStore, work, locks=[package_id])

    async def PublishPackage(self, request: pb.PublishPackageRequest, call: Call) -> pb.PublishPackageResponse:
        package_id, version = from_wire("package", request.package_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.PublishPackageResponse:
            published = await packages.publish_package(store, package_id, version)
            return pb.PublishPackageResponse(package=_package(published))

        return await self._db.once(call, request, pb.PublishPackageResponse, BillingStore, work, locks=[package_id])

    async def RetirePackage(self, request: pb.RetirePackageRequest, call: Call) -> pb.RetirePackageResponse:
        package_id, version = from_wire("package", request.package_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.RetirePackageResponse:
            retired = await packages.retire_package(store, package_id, version)
            return pb.RetirePackageResponse(package=_package(retired))

        return await self._db.once(call, request, pb.RetirePackageResponse, BillingStore, work, locks=[package_id])

    async def GetPackage(self, request: pb.GetPackageRequest, call: Call) -> pb.GetPackageResponse:
        package_id = from_wire("package", request.package_id)
        package = await self._db.read(call, request, BillingStore, lambda store: store.package(package_id))
        return pb.GetPackageResponse(package=_package(package))

    async def ListPackages(self, request: pb.ListPackagesRequest, call: Call) -> pb.ListPackagesResponse:
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.packages(request.status, before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda package: [str(package.id)])
        return pb.ListPackagesResponse(packages=[_package(each) for each in kept], next_page_token=token)


def _terms(wire: pb.PackageTerms) -> PackageTerms:
    return PackageTerms(
        name=wire.name,
        items=tuple(
            PackageItem(VisitKind(item.visit_type_code, item.route_code, item.band_code), item.count)
            for item in wire.items
        ),
        price=money_from_wire(wire.price, "terms.price") if wire.HasField("price") else None,
        site_prices=tuple(
            SitePrice(from_wire("site", each.site_id), money_from_wire(each.price, f"terms.site_prices[{i}].price"))
            for i, each in enumerate(wire.site_prices)
        ),
        valid_days=wire.valid_days,
        valid_from=PackageStart(wire.valid_from),
        transferable=wire.transferable,
        redeem_site_ids=frozenset(from_wire("site", id) for id in wire.redeem_site_ids),
        freeze_days=wire.freeze_days,
        early_stop=EarlyStop(wire.early_stop),
        stop_fee_percent=wire.stop_fee_percent,
        redeemable_unpaid=wire.redeemable_unpaid,
    )


def _package(package: Package) -> pb.Package:
    terms = package.terms
    return pb.Package(
        id=to_wire("package", package.id),
        code=package.code,
        version=package.version,
        status=pb.PackageStatus.ValueType(package.status),
        terms=pb.PackageTerms(
            name=terms.name,
            items=[
                pb.PackageTerms.Item(
                    visit_type_code=item.kind.visit_type_code,
                    route_code=item.kind.route_code,
                    band_code=item.kind.band_code,
                    count=item.count,
                )
                for item in terms.items
            ],
            price=some_money(terms.price),
            site_prices=[
                pb.PackageTerms.SitePrice(site_id=to_wire("site", each.site_id), price=money_to_wire(each.price))
                for each in terms.site_prices
            ],
            valid_days=terms.valid_days,
            valid_from=pb.PackageStart.ValueType(terms.valid_from),
            transferable=terms.transferable,
            redeem_site_ids=[to_wire("site", id) for id in sorted(terms.redeem_site_ids)],
            freeze_days=terms.freeze_days,
            early_stop=pb.EarlyStop.ValueType(terms.early_stop),
            stop_fee_percent=terms.stop_fee_percent,
            redeemable_unpaid=terms.redeemable_unpaid,
        ),
        create_time=to_timestamp(package.created_at),
        publish_time=to_timestamp(package.published_at) if package.published_at else None,
        retire_time=to_timestamp(package.retired_at) if package.retired_at else None,
        etag=to_etag(package.row_version),
    )
