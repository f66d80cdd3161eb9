"""Packages that were sold: what is left of them, what was drawn, and what became of the rest."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import NO_CHAIN, Instant
from services.billing.domain.accounts import ItemKind
from services.billing.domain.entitlements import (
    Entitlement,
    EntitlementMissing,
    PackageSaleNotFound,
    Sale,
    SaleStatus,
)
from services.billing.domain.stops import PackageEnd
from services.billing.store.copies import PATIENTS, is_about, kind_of
from services.billing.store.packages import package_of
from services.billing.tables import (
    entitlement,
    invoice,
    invoice_line,
    open_item,
    package,
    package_chain,
    package_end,
    package_sale,
    package_transfer,
    site,
)

CHAIN, ID, SALE, PATIENT = (param(name, Uuid) for name in ("chain_id", "id", "sale_id", "patient_id"))

# Writes.

_now_sold = [name for name in package_sale.c.keys() if name not in ("warned_at", "ended_at", "ended_as")]  # noqa: SIM118
_new_sale = insert(package_sale).values(params(*_now_sold))
_whose = ["chain_id", "id", "sale_id", "site_id", "patient_id", "redeem_site_ids", "currency"]
_of_entitlement = ["visit_type_code", "route_code", "band_code", "count", "value_minor"]
_new_entitlement = rows(
    "new_entitlement",
    entitlement_id=Uuid,
    visit_type_code=Text,
    route_code=Text,
    band_code=Text,
    count=Integer,
    value_minor=BigInteger,
)
_currency, _redeem_sites = param("currency", Text), param("redeem_site_ids", package_sale.c.redeem_site_ids.type)
ADD_SALE = Statement(_new_sale)
ADD_ENTITLEMENTS = Statement(
    insert(entitlement).from_select(
        [*_whose, *_of_entitlement, "left_count", "left_minor"],
        select(
            CHAIN,
            _new_entitlement.c.entitlement_id,
            SALE,
            param("site_id", Uuid),
            PATIENT,
            _redeem_sites,
            _currency,
            *(_new_entitlement.c[name] for name in _of_entitlement),
            _new_entitlement.c.count,
            _new_entitlement.c.value_minor,
        ),
    )
)
KEEP_CHAIN = Statement(pg_insert(package_chain).values(chain_id=CHAIN).on_conflict_do_nothing())
CHANGE_SALE = Statement(
    update(package_sale)
    .where(package_sale.c.chain_id == CHAIN, package_sale.c.id == ID)
    .values(
        params(
            "holder_id", "expires_on", "expire_at", "frozen_on", "frozen_days", "ended_at", "ended_as", "row_version"
        )
    )
)
HAND_OVER = Statement(
    update(entitlement)
    .where(entitlement.c.chain_id == CHAIN, entitlement.c.sale_id == SALE)
    .values(patient_id=param("holder_id", Uuid))
)
EMPTY = Statement(
    update(entitlement)
    .where(entitlement.c.chain_id == CHAIN, entitlement.c.sale_id == SALE)
    .values(left_count=0, left_minor=0)
)
LEAVE = Statement(
    update(entitlement)
    .where(entitlement.c.chain_id == CHAIN, entitlement.c.id == ID)
    .values(params("left_count", "left_minor"))
)
ADD_TRANSFER = Statement(insert(package_transfer).values(params(*package_transfer.c.keys())))
ADD_END = Statement(insert(package_end).values(params(*package_end.c.keys())))
ADD_CREDIT = Statement(
    insert(open_item).values(
        params("chain_id", "id", "site_id", "patient_id", "currency", "left_minor", "since")
        | {"kind": ItemKind.CREDIT.value}
    )
)
FORGIVE = Statement(
    update(open_item)
    .where(open_item.c.chain_id == CHAIN, open_item.c.id == ID)
    .values(left_minor=open_item.c.left_minor - param("forgiven_minor", BigInteger), version=open_item.c.version + 1)
)

# Reads.

_own = [column for column in package_sale.c if column.name != "warned_at"]
_terms = "name", "valid_days", "valid_from", "transferable", "freeze_days", "early_stop", "stop_fee_percent"
_version = "redeemable_unpaid", "code", "created_at", "version", "published_at", "retired_at"
_of_package = [package.c[name] for name in (*_terms, *_version)]
_of_items = [
    entitlement.c.id.label("entitlement_id"),
    *(entitlement.c[name] for name in ("visit_type_code", "route_code", "band_code", "count", "value_minor")),
    entitlement.c.left_count,
    entitlement.c.left_minor,
]
_stopped = package_sale.alias("stopped")
_stopped_line = invoice_line.alias("stopped_line")
# Packages of the same invoice: what is forgiven of one need not be paid; and one that gave money back was paid to the
# last cent but for that, so that all of it is no other's.
_settled = case(
    (package_end.c.refundable_minor > literal_column("0"), _stopped.c.price_minor + _stopped_line.c.tax_minor),
    else_=package_end.c.forgiven_minor,
)
_stopped_beside = (
    select(func.coalesce(func.sum(_settled), 0))
    .join(package_end, and_(package_end.c.chain_id == _stopped.c.chain_id, package_end.c.sale_id == _stopped.c.id))
    .join(
        _stopped_line,
        and_(_stopped_line.c.chain_id == _stopped.c.chain_id, _stopped_line.c.charge_id == _stopped.c.charge_id),
    )
    .where(
        package_end.c.chain_id == invoice_line.c.chain_id,
        package_end.c.invoice_id == invoice_line.c.invoice_id,
        package_end.c.forgiven_minor > literal_column("0"),  # As in the index, in any plan.
        _stopped.c.id != package_sale.c.id,
    )
    .correlate(invoice_line, package_sale)
    .scalar_subquery()
)
_sales = (
    select(
        *_own,
        *_of_package,
        *_of_items,
        site.c.time_zone,
        invoice_line.c.invoice_id,
        invoice_line.c.tax_minor,
        invoice_line.c.included_tax_minor,
        invoice.c.total_minor.label("invoice_minor"),
        open_item.c.left_minor.label("unpaid_minor"),
        open_item.c.credited_minor,
        cast(_stopped_beside, BigInteger).label("stopped_minor"),
    )
    .join(
        entitlement, and_(entitlement.c.chain_id == package_sale.c.chain_id, entitlement.c.sale_id == package_sale.c.id)
    )
    .join(package, and_(package.c.chain_id == package_sale.c.chain_id, package.c.id == package_sale.c.package_id))
    .join(site, and_(site.c.chain_id == package_sale.c.chain_id, site.c.id == package_sale.c.site_id))
    .outerjoin(
        invoice_line,
        and_(invoice_line.c.chain_id == package_sale.c.chain_id, invoice_line.c.charge_id == package_sale.c.charge_id),
    )
    .outerjoin(invoice, and_(invoice.c.chain_id == invoice_line.c.chain_id, invoice.c.id == invoice_line.c.invoice_id))
    .outerjoin(open_item, and_(open_item.c.chain_id == invoice.c.chain_id, open_item.c.id == invoice.c.id))
    .where(package_sale.c.chain_id == CHAIN)
)
PACKAGE_SALE = Statement(_sales.where(package_sale.c.id == ID).order_by(entitlement.c.id))
_held = and_(entitlement.c.chain_id == CHAIN, entitlement.c.patient_id == any_(PATIENTS.all_ids(PATIENT)))
HOLDS_ANY = Statement(select(exists().where(_held, entitlement.c.left_count > 0).label("any")))
TO_DRAW = Statement(
    _sales.where(_held, entitlement.c.left_count > 0, package_sale.c.ended_at.is_(None)).order_by(
        package_sale.c.id, entitlement.c.id
    )
)
_listed = _sales.where(is_about(entitlement, "patient_id"))
_is_open = and_(entitlement.c.left_count > 0, package_sale.c.ended_at.is_(None))
ENTITLEMENTS = Statement(
    _listed.where(
        entitlement.c.id < param("before_id", Uuid),
        or_(param("open_only", Boolean) == literal(False), _is_open),
    )
    .order_by(entitlement.c.id.desc())
    .limit(param("limit", Integer))
)
OPEN_ENTITLEMENTS = Statement(
    _listed.where(_is_open)
    .order_by(package_sale.c.expire_at.asc().nulls_last(), entitlement.c.id)
    .limit(param("limit", Integer))
)
SALE_OF_ENTITLEMENT = Statement(
    select(entitlement.c.sale_id).where(entitlement.c.chain_id == CHAIN, entitlement.c.id == ID)
)
PACKAGE_CHAINS = Statement(select(package_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(package_chain.c.chain_id))
_unended = and_(package_sale.c.chain_id == CHAIN, package_sale.c.ended_at.is_(None))
OVER = Statement(
    select(package_sale.c.id)
    .where(_unended, package_sale.c.expire_at <= param("until", Instant))
    .order_by(package_sale.c.expire_at)
    .limit(param("limit", Integer))
)
_expiring = and_(
    _unended,
    package_sale.c.expire_at > param("since", Instant),
    package_sale.c.expire_at <= param("until", Instant),
    package_sale.c.warned_at.is_(None),
)
WARN = Statement(
    update(package_sale)
    .where(_expiring, package_sale.c.id == ID)
    .values(params("warned_at"))
    .returning(package_sale.c.id)
)
EXPIRING = Statement(
    select(package_sale.c.id).where(_expiring).order_by(package_sale.c.expire_at).limit(param("limit", Integer))
)


class EntitlementStore(Store):
    async def add_sale(self, new: Sale) -> None:
        redeem_site_ids = sorted(new.package.terms.redeem_site_ids)
        await self.rows(KEEP_CHAIN)
        await self.rows(
            ADD_SALE,
            package_id=new.package.id,
            site_id=new.site_id,
            legal_entity_id=new.legal_entity_id,
            patient_id=new.patient_id,
            charge_id=new.charge_id,
            redeem_site_ids=redeem_site_ids,
            currency=new.price.currency,
            price_minor=new.price.minor,
            sold_on=new.sold_on,
            sold_at=new.sold_at,
            **_state(new),
        )
        await self.rows(
            ADD_ENTITLEMENTS,
            sale_id=new.id,
            site_id=new.site_id,
            patient_id=new.holder_id,
            redeem_site_ids=redeem_site_ids,
            currency=new.price.currency,
            entitlement_id=[each.id for each in new.entitlements],
            visit_type_code=[each.kind.visit_type_code for each in new.entitlements],
            route_code=[each.kind.route_code for each in new.entitlements],
            band_code=[each.kind.band_code for each in new.entitlements],
            count=[each.count for each in new.entitlements],
            value_minor=[each.value.minor for each in new.entitlements],
        )

    async def change_sale(self, changed: Sale) -> None:
        """But for what is left of it."""
        await self.rows(CHANGE_SALE, ended_at=changed.ended_at, ended_as=changed.ended_as, **_state(changed))

    async def leave(self, left: Entitlement) -> None:
        await self.rows(LEAVE, id=left.id, left_count=left.left_count, left_minor=left.left.minor)

    async def transfer_package(self, id: UUID, before: Sale, after: Sale, reason: str) -> None:
        await self.change_sale(after)
        await self.rows(HAND_OVER, sale_id=after.id, holder_id=after.holder_id)
        await self.rows(
            ADD_TRANSFER,
            id=id,
            sale_id=after.id,
            site_id=after.site_id,
            from_patient_id=before.holder_id,
            patient_id=after.holder_id,
            reason=reason,
            actor=self.call.actor,
            transferred_at=self.call.now,
        )

    async def end_package(self, end: PackageEnd, ended: Sale) -> None:
        """Nothing is left of it. What need not be paid any more is off its invoice; what comes back is an open item."""
        await self.change_sale(ended)
        await self.rows(EMPTY, sale_id=ended.id)
        whose = {"site_id": ended.site_id, "patient_id": ended.patient_id, "currency": ended.price.currency}
        await self.rows(
            ADD_END,
            id=end.id,
            sale_id=ended.id,
            ended_as=ended.ended_as,
            reason=end.reason,
            left_minor=end.left.minor,
            invoice_id=ended.invoice_id,
            forgiven_minor=end.forgiven.minor,
            refundable_minor=end.refundable.minor,
            rerated_minor=end.rerated.minor,
            fee_minor=end.fee.minor,
            breakage_minor=end.breakage.minor,
            tax_minor=end.tax.minor,
            included_tax_minor=end.included_tax.minor,
            ended_at=ended.ended_at,
            **whose,
        )
        if end.refundable.minor:
            await self.rows(ADD_CREDIT, id=end.id, left_minor=end.refundable.minor, since=ended.ended_at, **whose)
        if end.forgiven.minor:
            await self.rows(FORGIVE, id=ended.invoice_id, forgiven_minor=end.forgiven.minor)

    async def warn_of_expiry(self, sale_id: UUID, since: datetime, until: datetime) -> bool:
        """Whether it is one of `packages_expiring`, as it no longer is then."""
        row = await self.row(WARN, id=sale_id, since=since, until=until, warned_at=self.call.now)
        return row is not None

    async def package_sale(self, sale_id: UUID) -> Sale:
        found = await self.rows(PACKAGE_SALE, id=sale_id)
        if not found:
            raise PackageSaleNotFound(package_sale_id=to_wire("packagesale", sale_id))
        return self._shown(_sale(found))

    def _shown(self, sale: Sale) -> Sale:
        """Who may draw from it may be another than who bought it."""
        self.saw(sale.holder_id)
        return sale

    async def sale_of_entitlement(self, entitlement_id: UUID) -> UUID:
        row = await self.row(SALE_OF_ENTITLEMENT, id=entitlement_id)
        if row is None:
            raise EntitlementMissing()
        sale_id: UUID = row["sale_id"]
        return sale_id

    async def holds_any(self, patient_id: UUID) -> bool:
        """Whether the patient has anything left to draw, under any of their ids."""
        row = await self.row(HOLDS_ANY, patient_id=patient_id)
        assert row
        return bool(row["any"])

    async def sales_to_draw(self, patient_id: UUID) -> list[Sale]:
        """With those entitlements of which something is left, under any of the patient's ids."""
        found = await self.rows(TO_DRAW, patient_id=patient_id)
        return [_sale(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]

    async def entitlements(self, patient_id: UUID, before_id: UUID, limit: int, *, open_only: bool) -> list[Sale]:
        """Sales, each with one of its entitlements; the newest first."""
        place = {"before_id": before_id, "limit": limit, "open_only": open_only}
        return [self._shown(_sale([row])) for row in await self.rows(ENTITLEMENTS, about_id=patient_id, **place)]

    async def open_entitlements(self, patient_id: UUID, limit: int) -> list[Sale]:
        """Sales, each with one entitlement of which something is left; those first that expire first."""
        return [
            self._shown(_sale([row])) for row in await self.rows(OPEN_ENTITLEMENTS, about_id=patient_id, limit=limit)
        ]

    async def package_chains(self) -> list[UUID]:
        """Those that ever sold a package, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(PACKAGE_CHAINS)]

    async def packages_over(self, until: datetime, limit: int) -> list[UUID]:
        """Sales that are not ended, and whose last day was over by then."""
        return [row["id"] for row in await self.rows(OVER, until=until, limit=limit)]

    async def packages_expiring(self, since: datetime, until: datetime, limit: int) -> list[UUID]:
        """Sales whose last day is over in that time, and of which nobody was told."""
        return [row["id"] for row in await self.rows(EXPIRING, since=since, until=until, limit=limit)]


def _state(sale: Sale) -> dict[str, Any]:
    return {
        "id": sale.id,
        "holder_id": sale.holder_id,
        "expires_on": sale.expires_on,
        "expire_at": sale.expire_at,
        "frozen_on": sale.frozen_on,
        "frozen_days": sale.frozen_days,
        "row_version": sale.version,
    }


def _sale(found: Sequence[Record]) -> Sale:
    row = found[0]
    price = Money(row["price_minor"], row["currency"])
    return Sale(
        id=row["id"],
        package=package_of(dict(row) | {"id": row["package_id"], "price_minor": None}),
        site_id=row["site_id"],
        legal_entity_id=row["legal_entity_id"],
        zone=ZoneInfo(row["time_zone"]),
        patient_id=row["patient_id"],
        holder_id=row["holder_id"],
        charge_id=row["charge_id"],
        price=price,
        paid=_paid(row, price.minor + (row["tax_minor"] or 0)),
        invoice_id=row["invoice_id"],
        sold_on=row["sold_on"],
        sold_at=row["sold_at"],
        entitlements=tuple(
            Entitlement(
                each["entitlement_id"],
                kind_of(each),
                each["count"],
                Money(each["value_minor"], price.currency),
                each["left_count"],
                Money(each["left_minor"], price.currency),
            )
            for each in found
        ),
        expires_on=row["expires_on"],
        frozen_on=row["frozen_on"],
        frozen_days=row["frozen_days"],
        ended_at=row["ended_at"],
        ended_as=SaleStatus(row["ended_as"]) if row["ended_as"] else None,
        version=row["row_version"],
        tax_minor=row["tax_minor"] or 0,
        included_tax_minor=row["included_tax_minor"] or 0,
    )


def _paid(row: Record, owed_minor: int) -> Money:
    """Of an invoice that bills more than the package, its share of what is paid. What is credited is of the others, and
    what is left to pay is not of packages that were stopped."""
    if row["invoice_id"] is None:
        return Money(0, row["currency"])
    whole = row["invoice_minor"] - row["credited_minor"] - row["stopped_minor"]
    paid = Money(whole - row["unpaid_minor"], row["currency"])
    rest = whole - owed_minor
    return paid.split([owed_minor, rest])[0] if rest > 0 else min(paid, Money(owed_minor, row["currency"]))
