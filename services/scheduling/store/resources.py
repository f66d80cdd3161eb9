"""Rooms, staff and equipment."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Uuid, insert, select

from chassis.ids import read_id, to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.scheduling.domain.resources import Resource, ResourceKind, ResourceNotFound
from services.scheduling.store.columns import offs_column, offs_of, shifts_column, shifts_of
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.tables import resource

ADD_RESOURCE = Statement(insert(resource).values(params(*resource.c.keys())))
RESOURCE = Statement(select(resource).where(resource.c.chain_id == CHAIN, resource.c.id == param("id", Uuid)))
_of_site = select(resource).where(resource.c.chain_id == CHAIN, resource.c.site_id == param("site_id", Uuid))
RESOURCES = Statement(_of_site.where(resource.c.id > param("after", Uuid)).order_by(resource.c.id).limit(LIMIT))


class ResourceStore(Store):
    async def add_resource(self, new: Resource) -> None:
        await self.rows(
            ADD_RESOURCE,
            id=new.id,
            site_id=new.site_id,
            kind=new.kind,
            display_name=new.display_name,
            capabilities=sorted(new.capabilities),
            lane_count=new.lane_count,
            working_hours=shifts_column(new.working_hours),
            time_off=offs_column(new.time_off),
            credential=new.credential,
            npi=new.npi,
        )

    async def resource(self, id: UUID) -> Resource:
        row = await self.row(RESOURCE, id=id)
        if row is None:
            raise ResourceNotFound(resource_id=to_wire("resource", id))
        return _from_row(row)

    async def resources(self, site_id: UUID, page: Page) -> list[Resource]:
        after = UUID(page.after[0]) if page.after else NO_ID
        return [_from_row(row) for row in await self.rows(RESOURCES, site_id=site_id, after=after, limit=page.limit)]


def _from_row(row: Record) -> Resource:
    times = {name: json.loads(row[name]) for name in ("working_hours", "time_off")}
    return resource_of({name: value for name, value in row.items() if name != "chain_id"} | times)


def resource_of(data: Mapping[str, Any]) -> Resource:
    """From plain values: those of a row, or of a row as JSON."""
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
    )
