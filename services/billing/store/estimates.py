"""Estimates with their lines, and how they came to their patients."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    insert,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import read_id, to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.codes import ServiceCode
from services.billing.domain.estimates import (
    Content,
    Delivery,
    DeliveryMethod,
    Estimate,
    EstimateNotFound,
    Line,
    Provider,
    Trigger,
)
from services.billing.store.copies import is_about, kind_of
from services.billing.tables import (
    estimate,
    estimate_acknowledgement,
    estimate_delivery,
    estimate_duty,
    estimate_line,
    estimate_return,
)

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
    provider_id=Uuid,
    codes=JSONB,
    tax_minor=BigInteger,
    service_dates=JSONB,
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
    its_duty = and_(estimate_duty.c.chain_id == page.c.chain_id, estimate_duty.c.estimate_id == page.c.id)
    its_answer = and_(
        estimate_acknowledgement.c.chain_id == page.c.chain_id, estimate_acknowledgement.c.estimate_id == page.c.id
    )
    return Statement(
        select(
            page,
            *_line_columns,
            estimate_duty.c.trigger.label("duty_trigger"),
            estimate_duty.c.due_at.label("duty_due_at"),
            estimate_acknowledgement.c.acknowledged_at,
        )
        .join(estimate_line, of_it)
        .outerjoin(estimate_duty, its_duty)
        .outerjoin(estimate_acknowledgement, its_answer)
        .order_by(page.c.id.desc(), estimate_line.c.position)
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
_its_return = and_(
    estimate_return.c.chain_id == estimate_delivery.c.chain_id,
    estimate_return.c.message_id == estimate_delivery.c.message_id,
)
DELIVERIES = Statement(
    select(estimate_delivery, estimate_return.c.returned_at)
    .outerjoin(estimate_return, _its_return)
    .where(
        estimate_delivery.c.chain_id == CHAIN,
        estimate_delivery.c.estimate_id == any_(param("ids", ARRAY(Uuid))),
    )
    .order_by(estimate_delivery.c.id)
)
ADD_DELIVERY = Statement(insert(estimate_delivery).values(params(*estimate_delivery.c.keys())))
ADD_RETURN = Statement(pg_insert(estimate_return).values(params(*estimate_return.c.keys())).on_conflict_do_nothing())
ACKNOWLEDGE = Statement(insert(estimate_acknowledgement).values(params(*estimate_acknowledgement.c.keys())))
_issued = and_(
    estimate.c.chain_id == CHAIN,
    estimate.c.course_id == param("course_id", Uuid),
    estimate.c.total_minor.is_not(None),
)
# The first that was issued, and each later one that was issued in time; of those of the same 12 months the last.
_year: ColumnElement[timedelta] = literal_column("interval '12 months'")
_replaced = exists().where(
    _later.c.chain_id == estimate.c.chain_id,
    _later.c.course_id == estimate.c.course_id,
    _later.c.version > estimate.c.version,
    _later.c.total_minor.is_not(None),
    not_(_later.c.too_late),
    _later.c.service_date <= estimate.c.service_date + _year,
    estimate.c.service_date <= _later.c.service_date + _year,
)
VALID = _with_lines(select(estimate).where(_issued, not_(estimate.c.too_late), not_(_replaced)))
LEAVES_SOME = Statement(
    select(estimate.c.service_date, estimate.c.beyond_count)
    .where(estimate.c.chain_id == CHAIN, estimate.c.course_id == param("course_id", Uuid))
    .order_by(estimate.c.version.desc())
    .limit(literal_column("1"))
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
            last_date=new.last_date,
            beyond_count=new.beyond_count,
            too_late=new.too_late,
            content=json.dumps(_to_content(new.content)),
            provider_id=[line.provider_id for line in new.lines],
            codes=[json.dumps([asdict(code) for code in line.codes]) for line in new.lines],
            tax_minor=[line.tax.minor if line.tax else None for line in new.lines],
            service_dates=[json.dumps([day.isoformat() for day in line.days]) for line in new.lines],
        )

    async def estimate(self, estimate_id: UUID) -> Estimate:
        found = await self.rows(ESTIMATE, id=estimate_id)
        if not found:
            raise EstimateNotFound(estimate_id=to_wire("estimate", estimate_id))
        return (await self._with_deliveries([_estimate(found)]))[0]

    async def valid_estimates(self, course_id: UUID) -> list[Estimate]:
        """What bills are measured by: the latest that was issued in time; where the course is longer than 12 months, of
        each 12 of them, in their order."""
        found = _estimates(await self.rows(VALID, course_id=course_id))
        return sorted(found, key=lambda each: each.service_date)

    async def leaves_some(self, course_id: UUID) -> date | None:
        """The first day of the course's latest estimate, if that leaves visits more than 12 months after it."""
        row = await self.row(LEAVES_SOME, course_id=course_id)
        return row["service_date"] if row and row["beyond_count"] else None

    async def add_delivery(self, delivered: Estimate, delivery: Delivery) -> None:
        await self.rows(
            ADD_DELIVERY,
            id=delivery.id,
            site_id=delivered.site_id,
            patient_id=delivered.patient_id,
            estimate_id=delivered.id,
            method=delivery.method,
            delivered_at=delivery.delivered_at,
            recorded_by=delivery.recorded_by,
            message_id=delivery.message_id,
        )

    async def add_return(self, returned: Estimate, message_id: UUID, returned_at: datetime) -> None:
        """Also of what is not known to have been delivered, or will never be."""
        await self.rows(
            ADD_RETURN,
            message_id=message_id,
            site_id=returned.site_id,
            patient_id=returned.patient_id,
            estimate_id=returned.id,
            returned_at=returned_at,
        )

    async def acknowledge(self, acknowledged: Estimate) -> None:
        await self.rows(
            ACKNOWLEDGE,
            estimate_id=acknowledged.id,
            site_id=acknowledged.site_id,
            patient_id=acknowledged.patient_id,
            acknowledged_at=self.call.now,
            recorded_by=self.call.actor,
        )

    async def _with_deliveries(self, found: Sequence[Estimate]) -> list[Estimate]:
        told = await self.rows(DELIVERIES, ids=[each.id for each in found])
        return [
            replace(
                each,
                deliveries=tuple(_delivery(row) for row in told if row["estimate_id"] == each.id),
            )
            for each in found
        ]

    async def estimates(
        self, about: str, about_id: UUID, before_id: UUID, limit: int, *, unpriced_only: bool
    ) -> list[Estimate]:
        """`about` is one of LISTINGS. The newest first."""
        place = {"before_id": before_id, "limit": limit, "unpriced_only": unpriced_only}
        return await self._with_deliveries(_estimates(await self.rows(LISTINGS[about], about_id=about_id, **place)))

    async def latest_estimate(self, course_id: UUID) -> Estimate | None:
        found = await self.estimates("course_id", course_id, LAST_ID, 1, unpriced_only=False)
        return found[0] if found else None

    async def unpriced_estimates(self, site_id: UUID, limit: int) -> list[Estimate]:
        """Of each course of a site the latest, if a line of it has no price; those that wait longest."""
        return _estimates(await self.rows(UNPRICED, site_id=site_id, limit=limit))


def _estimates(found: Sequence[Record]) -> list[Estimate]:
    return [_estimate(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=row["id"],
        method=DeliveryMethod(row["method"]),
        delivered_at=row["delivered_at"],
        recorded_by=row["recorded_by"],
        message_id=row["message_id"],
        returned_at=row["returned_at"],
    )


def _estimate(found: Sequence[Record]) -> Estimate:
    row = found[0]

    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(minor, row["currency"])

    lines = tuple(
        Line(
            kind_of(line),
            line["description"],
            _days(line),
            money(line["unit_price_minor"]),
            line["price_item_id"],
            line["provider_id"],
            tuple(map(_code, json.loads(line["codes"]))),
            money(line["tax_minor"]),
        )
        for line in found
    )
    on_duty = row["duty_trigger"] is not None
    return Estimate(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        version=row["version"],
        trigger=Trigger(row["duty_trigger"] if on_duty else row["trigger"]),
        service_date=row["service_date"],
        lines=lines,
        created_at=row["created_at"],
        due_at=row["duty_due_at"] if on_duty else row["due_at"],
        price_book_id=row["price_book_id"],
        price_book_version=row["price_book_version"],
        deposit=money(row["deposit_minor"]),
        last_date=row["last_date"],
        beyond_count=row["beyond_count"],
        too_late=row["too_late"],
        content=_content(json.loads(row["content"])),
        acknowledged_at=row["acknowledged_at"],
    )


def _days(line: Record) -> tuple[date, ...]:
    """Of lines that were made before they had days, that of the first visit."""
    kept = tuple(map(date.fromisoformat, json.loads(line["service_dates"])))
    return kept or (line["service_date"],) * line["count"]


def _code(kept: dict[str, Any]) -> ServiceCode:
    return ServiceCode(kept["code"], kept["units"], tuple(kept["modifiers"]))


def _to_content(content: Content) -> dict[str, Any]:
    return {
        "providers": [{**asdict(each), "id": str(each.id)} for each in content.providers],
        "separate_items": content.separate_items,
        "disclaimer_version": content.disclaimer_version,
    }


def _content(kept: dict[str, Any]) -> Content:
    """Of versions that were made before there was any, nothing."""
    providers = tuple(Provider(**{**each, "id": read_id(each["id"])}) for each in kept.get("providers", ()))
    return Content(providers, tuple(kept.get("separate_items", ())), kept.get("disclaimer_version", 0))
