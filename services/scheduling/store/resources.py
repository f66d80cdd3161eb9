"""Rooms, staff and equipment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, SmallInteger, Uuid, any_, delete, func, insert, or_, select, update

from chassis.etags import StaleEtag
from chassis.ids import read_id, to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.hours import Hours, Off, Slot
from services.scheduling.domain.resources import Resource, ResourceKind, ResourceNotFound
from services.scheduling.store.columns import (
    credentials_column,
    credentials_of,
    offs_column,
    offs_of,
    shifts_column,
    shifts_of,
    working_shifts_column,
    working_shifts_of,
)
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID, hours_of
from services.scheduling.tables import allocation, closure, lent_resource, resource

SITE = param("site_id", Uuid)
ADD_RESOURCE = Statement(insert(resource).values(params(*resource.c.keys())))
_this = [resource.c.chain_id == CHAIN, resource.c.id == param("id", Uuid)]
RESOURCE = Statement(select(resource).where(*_this))
_changed = [each.name for each in resource.c if each.name not in ("chain_id", "id", "site_id", "kind")]
CHANGE_RESOURCE = Statement(
    update(resource)
    .where(*_this, resource.c.version == param("seen", Integer))
    .values(params(*_changed))
    .returning(resource.c.version)
)
# As an array, so that both sides of the OR are looked up by an index.
_lent = select(lent_resource.c.resource_id).where(lent_resource.c.chain_id == CHAIN, lent_resource.c.to_site_id == SITE)
AT_SITE = [
    resource.c.chain_id == CHAIN,
    or_(resource.c.site_id == SITE, resource.c.id == any_(func.array(_lent.scalar_subquery()))),
]
"""Whatever may be found at the site: its own, and what other sites lend it by a shift."""
_of_site = select(resource).where(*AT_SITE)
RESOURCES = Statement(_of_site.where(resource.c.id > param("after", Uuid)).order_by(resource.c.id).limit(LIMIT))
_to = rows("to_site", to_site_id=Uuid)
LEND = Statement(
    insert(lent_resource).from_select(
        ["chain_id", "resource_id", "to_site_id"], select(CHAIN, param("id", Uuid), _to.c.to_site_id)
    )
)
TAKE_BACK = Statement(
    delete(lent_resource).where(lent_resource.c.chain_id == CHAIN, lent_resource.c.resource_id == param("id", Uuid))
)
LAST_LANE = Statement(
    select(func.max(allocation.c.lane).label("lane")).where(
        allocation.c.chain_id == CHAIN,
        allocation.c.resource_id == param("id", Uuid),
        allocation.c.end_at > param("now", Instant),
        allocation.c.lane >= param("lane_count", SmallInteger),
    )
)


# Closures of the site, of its own resources and of those lent to it.
CLOSED = (
    select(func.jsonb_agg(func.jsonb_build_array(closure.c.resource_id, closure.c.start_at, closure.c.end_at)))
    .where(
        closure.c.chain_id == CHAIN,
        closure.c.cancelled_at.is_(None),
        closure.c.end_at > param("now", Instant),
        or_(closure.c.site_id == SITE, closure.c.resource_id == any_(func.array(_lent.scalar_subquery()))),
    )
    .scalar_subquery()
    .label("closed")
)


class ResourceStore(Store):
    async def add_resource(self, new: Resource) -> None:
        await self.rows(ADD_RESOURCE, site_id=new.site_id, kind=new.kind, **_changeable(new))
        await self._lend(new)

    async def change_resource(self, changed: Resource) -> None:
        """Unless somebody else did since it was read."""
        if not await self.row(CHANGE_RESOURCE, **_changeable(changed), seen=changed.version - 1):
            raise StaleEtag()
        await self.rows(TAKE_BACK, id=changed.id)
        await self._lend(changed)

    async def _lend(self, lent: Resource) -> None:
        if others := lent.site_ids - {lent.site_id}:
            await self.rows(LEND, id=lent.id, to_site_id=sorted(others))

    async def has_taken_lanes(self, id: UUID, lane_count: int) -> bool:
        """Whether a visit, at any site, that is not over takes a lane beyond so many."""
        row = await self.row(LAST_LANE, id=id, lane_count=lane_count, now=self.call.now)
        return bool(row and row["lane"] is not None)

    async def resource(self, id: UUID) -> Resource:
        row = await self.row(RESOURCE, id=id)
        if row is None:
            raise ResourceNotFound(resource_id=to_wire("resource", id))
        return _from_row(row)

    async def resources(self, site_id: UUID, page: Page) -> list[Resource]:
        after = UUID(page.after[0]) if page.after else NO_ID
        return [_from_row(row) for row in await self.rows(RESOURCES, site_id=site_id, after=after, limit=page.limit)]


def hours_at(row: Record) -> Hours:
    """Of the columns of a site, and CLOSED."""
    hours = hours_of(row)
    closed = _closed(row).get(None)
    return replace(hours, off=(*hours.off, *closed)) if closed else hours


def resources_at(row: Record) -> list[Resource]:
    """Of `resources`, as one JSON list, and CLOSED: a closure is time off."""
    closed, found = _closed(row), _resources_of(row["resources"] or "[]")
    return [replace(each, time_off=(*each.time_off, *closed[each.id])) if each.id in closed else each for each in found]


@lru_cache(maxsize=1_000)
def _resources_of(text: str) -> Sequence[Resource]:
    """Kept: the same few are booked together again and again."""
    return tuple(resource_of(each) for each in json.loads(text))


def _closed(row: Record) -> dict[UUID | None, list[Off]]:
    """By resource; None: the whole site."""
    closed: dict[UUID | None, list[Off]] = {}
    for id, start, end in json.loads(row["closed"] or "[]"):
        off = Slot(datetime.fromisoformat(start), datetime.fromisoformat(end))
        closed.setdefault(read_id(id) if id else None, []).append(off)
    return closed


def _changeable(each: Resource) -> dict[str, Any]:
    """The id, and the columns that may change."""
    return {
        "id": each.id,
        "display_name": each.display_name,
        "capabilities": sorted(each.capabilities),
        "lane_count": each.lane_count,
        "working_hours": shifts_column(each.working_hours),
        "time_off": offs_column(each.time_off),
        "credential": each.credential,
        "npi": each.npi,
        "credentials": credentials_column(each.credentials),
        "roles": sorted(each.roles),
        "shifts": working_shifts_column(each.shifts),
        "retire_date": each.retire_date,
        "version": each.version,
    }


def _from_row(row: Record) -> Resource:
    kept_as_json = ("working_hours", "time_off", "credentials", "shifts")
    values = {name: json.loads(row[name]) for name in kept_as_json}
    return resource_of({name: value for name, value in row.items() if name != "chain_id"} | values)


def resource_of(data: Mapping[str, Any]) -> Resource:
    """From plain values: those of a row, or of a row as JSON."""
    retire_date = data["retire_date"]
    return Resource(
        id=data["id"] if isinstance(data["id"], UUID) else read_id(data["id"]),
        site_id=data["site_id"] if isinstance(data["site_id"], UUID) else read_id(data["site_id"]),
        kind=ResourceKind(data["kind"]),
        display_name=data["display_name"],
        capabilities=frozenset(data["capabilities"]),
        lane_count=data["lane_count"],
        working_hours=shifts_of(data["working_hours"]),
        time_off=offs_of(data["time_off"]),
        credential=data["credential"],
        npi=data["npi"],
        credentials=credentials_of(data["credentials"]),
        roles=frozenset(data["roles"]),
        shifts=working_shifts_of(data["shifts"]),
        retire_date=date.fromisoformat(retire_date) if isinstance(retire_date, str) else retire_date,
        version=data["version"],
    )
