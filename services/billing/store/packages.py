"""Packages that are offered: their versions, items and prices."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Integer, SmallInteger, Text, Uuid, any_, case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.packages import (
    EarlyStop,
    Package,
    PackageItem,
    PackageNotFound,
    PackageStart,
    PackageStatus,
    PackageTerms,
    SitePrice,
)
from services.billing.store.copies import kind_of
from services.billing.tables import package, package_item, package_price, visit_type

CHAIN, ID = param("chain_id", Uuid), param("id", Uuid)
PACKAGES = param("package_ids", ARRAY(Uuid))

_terms = [
    "name",
    "currency",
    "price_minor",
    "valid_days",
    "valid_from",
    "transferable",
    "redeem_site_ids",
    "freeze_days",
    "early_stop",
    "stop_fee_percent",
    "redeemable_unpaid",
]
ADD_PACKAGE = Statement(
    insert(package).values(params("chain_id", "id", "code", "created_at", "row_version", *_terms) | {"version": 0})
)
_this = package.c.chain_id == CHAIN, package.c.id == ID
CHANGE_PACKAGE = Statement(update(package).where(*_this).values(params(*_terms, "row_version")))
PUBLISH_PACKAGE = Statement(update(package).where(*_this).values(params("version", "published_at", "row_version")))
RETIRE_PACKAGE = Statement(update(package).where(*_this).values(params("retired_at", "row_version")))
CLEAR_ITEMS = Statement(delete(package_item).where(package_item.c.chain_id == CHAIN, package_item.c.package_id == ID))
CLEAR_PRICES = Statement(
    delete(package_price).where(package_price.c.chain_id == CHAIN, package_price.c.package_id == ID)
)
_new_item = rows(
    "new_item", position=SmallInteger, visit_type_code=Text, route_code=Text, band_code=Text, count=Integer
)
_of_item = ["position", "visit_type_code", "route_code", "band_code", "count"]
ADD_ITEMS = Statement(
    insert(package_item).from_select(
        ["chain_id", "package_id", *_of_item], select(CHAIN, ID, *(_new_item.c[name] for name in _of_item))
    )
)
_new_price = rows("new_price", price_site_id=Uuid, site_price_minor=BigInteger)
ADD_PRICES = Statement(
    insert(package_price).from_select(
        ["chain_id", "package_id", "site_id", "price_minor"],
        select(CHAIN, ID, _new_price.c.price_site_id, _new_price.c.site_price_minor),
    )
)

PACKAGE = Statement(select(package).where(*_this))
_status = case(
    (package.c.retired_at.is_not(None), PackageStatus.RETIRED.value),
    (package.c.published_at.is_not(None), PackageStatus.PUBLISHED.value),
    else_=PackageStatus.DRAFT.value,
)
_wanted = param("status", SmallInteger)
PACKAGES_OF_CHAIN = Statement(
    select(package)
    .where(
        package.c.chain_id == CHAIN,
        package.c.id < param("before_id", Uuid),
        case((_wanted == 0, _status), else_=_wanted) == _status,
    )
    .order_by(package.c.id.desc())
    .limit(param("limit", Integer))
)
ITEMS = Statement(
    select(package_item)
    .where(package_item.c.chain_id == CHAIN, package_item.c.package_id == any_(PACKAGES))
    .order_by(package_item.c.package_id, package_item.c.position)
)
PRICES = Statement(
    select(package_price)
    .where(package_price.c.chain_id == CHAIN, package_price.c.package_id == any_(PACKAGES))
    .order_by(package_price.c.package_id, package_price.c.site_id)
)
LAST_VERSION = Statement(
    select(func.coalesce(func.max(package.c.version), 0).label("version")).where(
        package.c.chain_id == CHAIN, package.c.code == param("code", Text), package.c.version > 0
    )
)
VISIT_TYPE_CODES = Statement(
    select(visit_type.c.code)
    .distinct()
    .where(visit_type.c.chain_id == CHAIN, visit_type.c.code == any_(param("codes", ARRAY(Text))))
)


class PackageStore(Store):
    async def add_package(self, new: Package) -> None:
        header = {"code": new.code, "created_at": new.created_at, "row_version": new.row_version}
        await self.rows(ADD_PACKAGE, id=new.id, **header, **_header(new.terms))
        await self._add_terms(new)

    async def change_package(self, changed: Package) -> None:
        """A draft, as a whole."""
        await self.rows(CLEAR_ITEMS, id=changed.id)
        await self.rows(CLEAR_PRICES, id=changed.id)
        await self.rows(CHANGE_PACKAGE, id=changed.id, row_version=changed.row_version, **_header(changed.terms))
        await self._add_terms(changed)

    async def _add_terms(self, of: Package) -> None:
        items, prices = of.terms.items, of.terms.site_prices
        await self.rows(
            ADD_ITEMS,
            id=of.id,
            position=list(range(len(items))),
            visit_type_code=[item.kind.visit_type_code for item in items],
            route_code=[item.kind.route_code for item in items],
            band_code=[item.kind.band_code for item in items],
            count=[item.count for item in items],
        )
        await self.rows(
            ADD_PRICES,
            id=of.id,
            price_site_id=[each.site_id for each in prices],
            site_price_minor=[each.price.minor for each in prices],
        )

    async def publish_package(self, published: Package) -> None:
        values = {"version": published.version, "published_at": published.published_at}
        await self.rows(PUBLISH_PACKAGE, id=published.id, row_version=published.row_version, **values)

    async def retire_package(self, retired: Package) -> None:
        await self.rows(RETIRE_PACKAGE, id=retired.id, row_version=retired.row_version, retired_at=retired.retired_at)

    async def package(self, package_id: UUID) -> Package:
        found = await self._packages(await self.rows(PACKAGE, id=package_id))
        if not found:
            raise PackageNotFound(package_id=to_wire("package", package_id))
        return found[0]

    async def packages(self, status: int, before_id: UUID, limit: int) -> list[Package]:
        """`status` 0: any. The newest first."""
        return await self._packages(await self.rows(PACKAGES_OF_CHAIN, status=status, before_id=before_id, limit=limit))

    async def last_package_version(self, code: str) -> int:
        row = await self.row(LAST_VERSION, code=code)
        assert row
        return int(row["version"])

    async def known_visit_types(self, codes: Sequence[str]) -> set[str]:
        """Those of them that a protocol of the chain has."""
        return {row["code"] for row in await self.rows(VISIT_TYPE_CODES, codes=sorted(set(codes)))}

    async def _packages(self, found: Sequence[Record]) -> list[Package]:
        """Of their prices those at the caller's sites."""
        if not found:
            return []
        ids, by_package = [row["id"] for row in found], itemgetter("package_id")
        items = {id: list(of) for id, of in groupby(await self.rows(ITEMS, package_ids=ids), key=by_package)}
        prices = {id: list(of) for id, of in groupby(await self.rows(PRICES, package_ids=ids), key=by_package)}
        return [package_of(dict(row), items[row["id"]], prices.get(row["id"], ())) for row in found]


def package_of(row: Mapping[str, Any], items: Sequence[Record] = (), prices: Sequence[Record] = ()) -> Package:
    return Package(
        id=row["id"],
        code=row["code"],
        terms=PackageTerms(
            name=row["name"],
            items=tuple(PackageItem(kind_of(item), item["count"]) for item in items),
            price=None if row["price_minor"] is None else Money(row["price_minor"], row["currency"]),
            site_prices=tuple(
                SitePrice(each["site_id"], Money(each["price_minor"], row["currency"])) for each in prices
            ),
            valid_days=row["valid_days"],
            valid_from=PackageStart(row["valid_from"]),
            transferable=row["transferable"],
            redeem_site_ids=frozenset(row["redeem_site_ids"]),
            freeze_days=row["freeze_days"],
            early_stop=EarlyStop(row["early_stop"]),
            stop_fee_percent=row["stop_fee_percent"],
            redeemable_unpaid=row["redeemable_unpaid"],
        ),
        created_at=row["created_at"],
        version=row["version"],
        published_at=row["published_at"],
        retired_at=row["retired_at"],
        row_version=row["row_version"],
    )


def _header(terms: PackageTerms) -> dict[str, Any]:
    return {
        "name": terms.name,
        "currency": terms.currency,
        "price_minor": terms.price.minor if terms.price else None,
        "valid_days": terms.valid_days,
        "valid_from": terms.valid_from,
        "transferable": terms.transferable,
        "redeem_site_ids": sorted(terms.redeem_site_ids),
        "freeze_days": terms.freeze_days,
        "early_stop": terms.early_stop,
        "stop_fee_percent": terms.stop_fee_percent,
        "redeemable_unpaid": terms.redeemable_unpaid,
    }
