"""Estimates with their lines."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    exists,
    insert,
    not_,
    or_,
    select,
)

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.estimates import Estimate, EstimateNotFound, Line, Trigger
from services.billing.store.copies import is_about, kind_of
from services.billing.tables import estimate, estimate_line

CHAIN, ID, SITE = (param(name, Uuid) for name in ("chain_id", "id", "site_id"))

_new_line = rows(
    "new_line",
    position=SmallInteger,
    visit_type_code=Text,
    route_code=Text,
    band_code=Text,
    description=Text,
    count=Integer,
    unit_price_minor=BigInteger,
    price_item_id=Uuid,
)
_copied = [column.name for column in _new_line.c]
_new_estimate = insert(estimate).values(params(*estimate.c.keys()))
ADD_ESTIMATE = Statement(
    insert(estimate_line)
    .from_select(
        ["chain_id", "estimate_id", "site_id", *_copied],
        select(CHAIN, ID, SITE, *_new_line.c),
    )
    .add_cte(_new_estimate.cte("new_estimate"))
)

_line_columns = [estimate_line.c[name] for name in _copied]
_later = estimate.alias("later")
_latest = not_(
    exists().where(
        _later.c.chain_id == estimate.c.chain_id,
        _later.c.course_id == estimate.c.course_id,
        _later.c.version > estimate.c.version,
    )
)
_unpriced = and_(estimate.c.total_minor.is_(None), _latest)


def _with_lines(found: Select[Any]) -> Statement:
    page = found.subquery("page")
    of_it = and_(estimate_line.c.chain_id == page.c.chain_id, estimate_line.c.estimate_id == page.c.id)
    return Statement(
        select(page, *_line_columns).join(estimate_line, of_it).order_by(page.c.id.desc(), estimate_line.c.position)
    )


_of_chain = select(estimate).where(estimate.c.chain_id == CHAIN)
ESTIMATE = _with_lines(_of_chain.where(estimate.c.id == ID))
LISTINGS = {
    about: _with_lines(
        _of_chain.where(
            is_about(estimate, about),
            estimate.c.id < param("before_id", Uuid),
            or_(not_(param("unpriced_only", Boolean)), _unpriced),
        )
        .order_by(estimate.c.id.desc())
        .limit(param("limit", Integer))
    )
    for about in ("patient_id", "course_id", "site_id")
}
UNPRICED = _with_lines(
    _of_chain.where(estimate.c.site_id == SITE, estimate.c.course_id.is_not(None), _unpriced)
    .order_by(estimate.c.id)
    .limit(param("limit", Integer))
)


LAST_ID = UUID(int=2**128 - 1)
"""Comes after every id."""


class EstimateStore(Store):
    async def add_estimate(self, new: Estimate) -> None:
        priced = new.total
        await self.rows(
            ADD_ESTIMATE,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            course_id=new.course_id,
            version=new.version,
            trigger=new.trigger,
            service_date=new.service_date,
            price_book_id=new.price_book_id,
            price_book_version=new.price_book_version,
            currency=new.deposit.currency if new.deposit else None,
            total_minor=priced.minor if priced else None,
            deposit_minor=new.deposit.minor if new.deposit else None,
            created_at=new.created_at,
            due_at=new.due_at,
            position=list(range(len(new.lines))),
            visit_type_code=[line.kind.visit_type_code for line in new.lines],
            route_code=[line.kind.route_code for line in new.lines],
            band_code=[line.kind.band_code for line in new.lines],
            description=[line.description for line in new.lines],
            count=[line.count for line in new.lines],
            unit_price_minor=[line.unit_price.minor if line.unit_price else None for line in new.lines],
            price_item_id=[line.item_id for line in new.lines],
        )

    async def estimate(self, estimate_id: UUID) -> Estimate:
        found = await self.rows(ESTIMATE, id=estimate_id)
        if not found:
            raise EstimateNotFound(estimate_id=to_wire("estimate", estimate_id))
        return _estimate(found)

    async def estimates(
        self, about: str, about_id: UUID, before_id: UUID, limit: int, *, unpriced_only: bool
    ) -> list[Estimate]:
        """`about` is one of LISTINGS. The newest first."""
        place = {"before_id": before_id, "limit": limit, "unpriced_only": unpriced_only}
        return _estimates(await self.rows(LISTINGS[about], about_id=about_id, **place))

    async def latest_estimate(self, course_id: UUID) -> Estimate | None:
        found = await self.estimates("course_id", course_id, LAST_ID, 1, unpriced_only=False)
        return found[0] if found else None

    async def unpriced_estimates(self, site_id: UUID, limit: int) -> list[Estimate]:
        """Of each course of a site the latest, if a line of it has no price; those that wait longest."""
        return _estimates(await self.rows(UNPRICED, site_id=site_id, limit=limit))


def _estimates(found: Sequence[Record]) -> list[Estimate]:
    return [_estimate(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def _estimate(found: Sequence[Record]) -> Estimate:
    row = found[0]

    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(minor, row["currency"])

    lines = tuple(
        Line(kind_of(line), line["description"], line["count"], money(line["unit_price_minor"]), line["price_item_id"])
        for line in found
    )
    return Estimate(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        version=row["version"],
        trigger=Trigger(row["trigger"]),
        service_date=row["service_date"],
        lines=lines,
        created_at=row["created_at"],
        due_at=row["due_at"],
        price_book_id=row["price_book_id"],
        price_book_version=row["price_book_version"],
        deposit=money(row["deposit_minor"]),
    )
