"""Packages that were sold, and what is drawn from them."""

from atoll.billing.v1 import package_sale_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_date, to_timestamp
from services.billing.domain.entitlements import Sale
from services.billing.domain.redemptions import Redemption
from services.billing.domain.stops import Stop
from services.billing.rpc.common import before_id
from services.billing.rpc.entitlements import entitlement_to_wire, entitlements_to_wire, redemption_to_wire
from services.billing.store import BillingStore
from services.billing.use_cases import redemptions, sales


class PackageSaleServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def SellPackage(self, request: pb.SellPackageRequest, call: Call) -> pb.SellPackageResponse:
        command = sales.SellPackage(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            package_id=from_wire("package", request.package_id),
        )

        async def work(store: BillingStore) -> pb.SellPackageResponse:
            return pb.SellPackageResponse(package_sale=_sale(await sales.sell_package(store, command), call))

        locks = [command.patient_id, command.package_id]
        return await self._db.once(call, request, pb.SellPackageResponse, BillingStore, work, locks=locks)

    async def GetPackageSale(self, request: pb.GetPackageSaleRequest, call: Call) -> pb.GetPackageSaleResponse:
        sale_id = from_wire("packagesale", request.package_sale_id)
        sale = await self._db.read(call, request, BillingStore, lambda store: store.package_sale(sale_id))
        return pb.GetPackageSaleResponse(package_sale=_sale(sale, call))

    async def ListEntitlements(self, request: pb.ListEntitlementsRequest, call: Call) -> pb.ListEntitlementsResponse:
        page, patient_id, open_only = (
            Page.of(request, call),
            from_wire("patient", request.patient_id),
            request.open_only,
        )
        found = await self._db.read(
            call,
            request,
            BillingStore,
            lambda store: store.entitlements(patient_id, before_id(page), page.limit, open_only=open_only),
        )
        kept, token = page.cut(found, key=lambda sale: [str(sale.entitlements[0].id)])
        entitlements = [entitlement_to_wire(each, call.now) for each in kept]
        return pb.ListEntitlementsResponse(entitlements=entitlements, next_page_token=token)

    async def ListRedemptions(self, request: pb.ListRedemptionsRequest, call: Call) -> pb.ListRedemptionsResponse:
        page, sale_id = Page.of(request, call), from_wire("packagesale", request.package_sale_id)

        async def work(store: BillingStore) -> list[Redemption]:
            await store.package_sale(sale_id)
            return await store.redemptions(sale_id, before_id(page), page.limit)

        found = await self._db.read(call, request, BillingStore, work)
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListRedemptionsResponse(redemptions=map(redemption_to_wire, kept), next_page_token=token)

    async def RedeemVisit(self, request: pb.RedeemVisitRequest, call: Call) -> pb.RedeemVisitResponse:
        command = redemptions.RedeemVisit(
            visit_id=from_wire("visit", request.visit_id),
            entitlement_id=from_wire("entitlement", request.entitlement_id),
            unpaid_reason=request.unpaid_reason,
        )

        async def work(store: BillingStore) -> pb.RedeemVisitResponse:
            redemption = await redemptions.redeem_visit(store, command)
            return pb.RedeemVisitResponse(redemption=redemption_to_wire(redemption))

        return await self._db.once(call, request, pb.RedeemVisitResponse, BillingStore, work)

    async def UndoRedemption(self, request: pb.UndoRedemptionRequest, call: Call) -> pb.UndoRedemptionResponse:
        redemption_id, reason = from_wire("redemption", request.redemption_id), request.reason

        async def work(store: BillingStore) -> pb.UndoRedemptionResponse:
            undone = await redemptions.undo_redemption(store, redemption_id, reason)
            return pb.UndoRedemptionResponse(redemption=redemption_to_wire(undone))

        return await self._db.once(call, request, pb.UndoRedemptionResponse, BillingStore, work)

    async def FreezePackage(self, request: pb.FreezePackageRequest, call: Call) -> pb.FreezePackageResponse:
        sale_id, version = from_wire("packagesale", request.package_sale_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.FreezePackageResponse:
            frozen = await sales.freeze_package(store, sale_id, version)
            return pb.FreezePackageResponse(package_sale=_sale(frozen, call))

        return await self._db.once(call, request, pb.FreezePackageResponse, BillingStore, work)

    async def UnfreezePackage(self, request: pb.UnfreezePackageRequest, call: Call) -> pb.UnfreezePackageResponse:
        sale_id, version = from_wire("packagesale", request.package_sale_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.UnfreezePackageResponse:
            unfrozen = await sales.unfreeze_package(store, sale_id, version)
            return pb.UnfreezePackageResponse(package_sale=_sale(unfrozen, call))

        return await self._db.once(call, request, pb.UnfreezePackageResponse, BillingStore, work)

    async def TransferPackage(self, request: pb.TransferPackageRequest, call: Call) -> pb.TransferPackageResponse:
        command = sales.TransferPackage(
            sale_id=from_wire("packagesale", request.package_sale_id),
            version=from_etag(request.etag),
            patient_id=from_wire("patient", request.patient_id),
            reason=request.reason,
        )

        async def work(store: BillingStore) -> pb.TransferPackageResponse:
            handed = await sales.transfer_package(store, command)
            return pb.TransferPackageResponse(package_sale=_sale(handed, call))

        return await self._db.once(call, request, pb.TransferPackageResponse, BillingStore, work)

    async def PreviewStop(self, request: pb.PreviewStopRequest, call: Call) -> pb.PreviewStopResponse:
        sale_id = from_wire("packagesale", request.package_sale_id)
        stop = await self._db.read(call, request, BillingStore, lambda store: sales.preview_stop(store, sale_id))
        return pb.PreviewStopResponse(stop=_stop(stop))

    async def StopPackage(self, request: pb.StopPackageRequest, call: Call) -> pb.StopPackageResponse:
        sale_id, version = from_wire("packagesale", request.package_sale_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.StopPackageResponse:
            ended, stop = await sales.stop_package(store, sale_id, version, request.reason)
            return pb.StopPackageResponse(package_sale=_sale(ended, call), stop=_stop(stop))

        return await self._db.once(call, request, pb.StopPackageResponse, BillingStore, work)


def _sale(sale: Sale, call: Call) -> pb.PackageSale:
    """What is paid is known where it was sold only."""
    sold_here = call.sites is None or sale.site_id in call.sites
    return pb.PackageSale(
        id=to_wire("packagesale", sale.id),
        package_id=to_wire("package", sale.package.id),
        package_code=sale.package.code,
        package_version=sale.package.version,
        site_id=to_wire("site", sale.site_id),
        patient_id=to_wire("patient", sale.patient_id),
        holder_patient_id=to_wire("patient", sale.holder_id),
        charge_id=to_wire("charge", sale.charge_id),
        price=money_to_wire(sale.price),
        paid=money_to_wire(sale.paid) if sold_here else None,
        sale_date=to_date(sale.sold_on),
        entitlements=entitlements_to_wire(sale, call.now),
        freeze_days_left=sale.freeze_days_left - sale.days_frozen(sale.day(call.now)),
        status=pb.PackageSaleStatus.ValueType(sale.status),
        end_time=to_timestamp(sale.ended_at) if sale.ended_at else None,
        etag=to_etag(sale.version),
        tax=money_to_wire(sale.tax_of(sale.price)),
    )


def _stop(stop: Stop) -> pb.PackageStop:
    return pb.PackageStop(
        price=money_to_wire(stop.price),
        paid=money_to_wire(stop.paid),
        consumed=money_to_wire(stop.consumed),
        fee=money_to_wire(stop.fee),
        forgiven=money_to_wire(stop.forgiven),
        refundable=money_to_wire(stop.refundable),
        tax=money_to_wire(stop.tax),
    )
