"""What patients hold, and what was drawn from it, as it is shown in several places."""

from datetime import datetime

from atoll.billing.v1.entitlement_pb2 import Entitlement, Redemption
from chassis.ids import to_wire
from chassis.money import to_wire as money_to_wire
from chassis.times import to_date, to_timestamp
from services.billing.domain import redemptions as domain
from services.billing.domain.entitlements import Sale
from services.billing.rpc.common import some_money


def entitlements_to_wire(sale: Sale, now: datetime) -> list[Entitlement]:
    day = sale.day(now)
    last = sale.last_day(day)
    return [
        Entitlement(
            id=to_wire("entitlement", each.id),
            package_sale_id=to_wire("packagesale", sale.id),
            package_code=sale.package.code,
            package_name=sale.package.terms.name,
            patient_id=to_wire("patient", sale.holder_id),
            site_id=to_wire("site", sale.site_id),
            visit_type_code=each.kind.visit_type_code,
            route_code=each.kind.route_code,
            band_code=each.kind.band_code,
            count=each.count,
            remaining_count=each.left_count,
            remaining_value=money_to_wire(each.left),
            expire_date=to_date(last) if last else None,
            frozen=not sale.ended_at and sale.is_frozen(day),
            redeem_site_ids=[to_wire("site", id) for id in sorted(sale.package.terms.redeem_site_ids)],
        )
        for each in sale.entitlements
    ]


def entitlement_to_wire(sale: Sale, now: datetime) -> Entitlement:
    """Of a sale that was read with one of its entitlements."""
    [only] = entitlements_to_wire(sale, now)
    return only


def redemption_to_wire(redemption: domain.Redemption) -> Redemption:
    return Redemption(
        id=to_wire("redemption", redemption.id),
        package_sale_id=to_wire("packagesale", redemption.sale_id),
        entitlement_id=to_wire("entitlement", redemption.entitlement_id),
        visit_id=to_wire("visit", redemption.visit_id),
        course_id=to_wire("course", redemption.course_id),
        patient_id=to_wire("patient", redemption.patient_id),
        site_id=to_wire("site", redemption.site_id),
        service_date=to_date(redemption.service_date),
        list_price=some_money(redemption.list_price),
        recognized=money_to_wire(redemption.value),
        redeem_time=to_timestamp(redemption.redeemed_at),
        undo_time=to_timestamp(redemption.undone_at) if redemption.undone_at else None,
    )
