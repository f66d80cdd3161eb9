"""Chains, legal entities and sites."""

import json
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, insert, select, update

from chassis.etags import StaleEtag
from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.scheduling.domain.holidays import Holiday
from services.scheduling.domain.hours import Hours
from services.scheduling.domain.sites import Chain, ChainNotFound, LegalEntity, LegalEntityNotFound, Site, SiteNotFound
from services.scheduling.store.columns import dated_column, dated_of, shifts_column, shifts_of
from services.scheduling.tables import chain, legal_entity, site

CHAIN, LIMIT = param("chain_id", Uuid), param("limit", Integer)
NO_ID = UUID(int=0)
"""Comes before every id."""
LONG_AGO = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
"""Comes before every instant."""

ADD_CHAIN = Statement(insert(chain).values(params("chain_id", "display_name")))
GET_CHAIN = Statement(select(chain).where(chain.c.chain_id == CHAIN))
ADD_LEGAL_ENTITY = Statement(insert(legal_entity).values(params("chain_id", "id", "display_name")))
_entities = select(legal_entity).where(legal_entity.c.chain_id == CHAIN)
LEGAL_ENTITY = Statement(_entities.where(legal_entity.c.id == param("id", Uuid)))
_page_of_entities = _entities.where(legal_entity.c.id > param("after", Uuid)).order_by(legal_entity.c.id)
LEGAL_ENTITIES = Statement(_page_of_entities.limit(LIMIT))
ADD_SITE = Statement(insert(site).values(params(*site.c.keys())))
_sites = select(site).where(site.c.chain_id == CHAIN)
SITE = Statement(_sites.where(site.c.id == param("id", Uuid)))
CHANGE_SITE = Statement(
    update(site)
    .where(site.c.chain_id == CHAIN, site.c.id == param("id", Uuid), site.c.version == param("seen", Integer))
    .values(
        params(
            *("display_name", "discreet_name", "address", "phone", "opening_hours", "closed_dates"),
            *("exceptions", "observed_holidays", "version"),
        )
    )
    .returning(site.c.version)
)
CHANGE_LEGAL_ENTITY = Statement(
    update(legal_entity)
    .where(
        legal_entity.c.chain_id == CHAIN,
        legal_entity.c.id == param("id", Uuid),
        legal_entity.c.version == param("seen", Integer),
    )
    .values(params("display_name", "version"))
    .returning(legal_entity.c.version)
)
SITES = Statement(_sites.where(site.c.code > param("after", Text)).order_by(site.c.code).limit(LIMIT))


class SiteStore(Store):
    async def add_chain(self, new: Chain) -> None:
        await self.rows(ADD_CHAIN, display_name=new.display_name)

    async def chain(self) -> Chain:
        row = await self.row(GET_CHAIN)
        if row is None:
            raise ChainNotFound(chain_id=to_wire("chain", self.call.chain_id))
        return Chain(row["chain_id"], row["display_name"])

    async def add_legal_entity(self, new: LegalEntity) -> None:
        await self.rows(ADD_LEGAL_ENTITY, id=new.id, display_name=new.display_name)

    async def legal_entity(self, id: UUID) -> LegalEntity:
        row = await self.row(LEGAL_ENTITY, id=id)
        if row is None:
            raise LegalEntityNotFound(legal_entity_id=to_wire("legalentity", id))
        return _entity(row)

    async def change_legal_entity(self, changed: LegalEntity) -> None:
        """Unless somebody else did since it was read."""
        values = {"id": changed.id, "display_name": changed.display_name}
        if not await self.row(CHANGE_LEGAL_ENTITY, **values, version=changed.version, seen=changed.version - 1):
            raise StaleEtag()

    async def legal_entities(self, page: Page) -> list[LegalEntity]:
        after = UUID(page.after[0]) if page.after else NO_ID
        found = await self.rows(LEGAL_ENTITIES, after=after, limit=page.limit)
        return [_entity(row) for row in found]

    async def add_site(self, new: Site) -> None:
        fixed = {"legal_entity_id": new.legal_entity_id, "code": new.code, "time_zone": new.time_zone}
        await self.rows(ADD_SITE, **fixed, state=new.state, **_changeable(new))

    async def change_site(self, changed: Site) -> None:
        """Unless somebody else did since it was read."""
        if not await self.row(CHANGE_SITE, **_changeable(changed), seen=changed.version - 1):
            raise StaleEtag()

    async def site(self, id: UUID) -> Site:
        row = await self.row(SITE, id=id)
        if row is None:
            raise SiteNotFound(site_id=to_wire("site", id))
        return _site(row)

    async def sites(self, page: Page) -> list[Site]:
        found = await self.rows(SITES, after=page.after[0] if page.after else "", limit=page.limit)
        return [_site(row) for row in found]


def _entity(row: Record) -> LegalEntity:
    return LegalEntity(row["id"], row["display_name"], row["version"])


def _changeable(each: Site) -> dict[str, Any]:
    """The id, and the columns that may change."""
    return {
        "id": each.id,
        "display_name": each.display_name,
        "discreet_name": each.discreet_name,
        "address": json.dumps(each.address),
        "phone": each.phone,
        "opening_hours": shifts_column(each.opening_hours),
        "closed_dates": list(each.closed_dates),
        "exceptions": dated_column(each.exceptions),
        "observed_holidays": sorted(each.observed_holidays),
        "version": each.version,
    }


def hours_of(row: Record) -> Hours:
    """Of a row that has a site's columns, and maybe others."""
    return _hours_of(*_plain(row))


def _site(row: Record) -> Site:
    return _site_of(*_plain(row))


_COLUMNS = [each.name for each in site.c if each.name != "chain_id"]


def _plain(row: Record) -> Iterator[Any]:
    return (tuple(value) if isinstance(value, list) else value for value in (row[name] for name in _COLUMNS))


@lru_cache(maxsize=2_000)
def _hours_of(*plain: Any) -> Hours:
    """Kept, and with them what they know of a day: a site's row is read with each booking, and seldom another."""
    return _site_of(*plain).hours


def _site_of(*plain: Any) -> Site:
    values = dict(zip(_COLUMNS, plain, strict=True))
    values |= {
        "address": json.loads(values["address"]),
        "opening_hours": shifts_of(json.loads(values["opening_hours"])),
        "exceptions": dated_of(json.loads(values["exceptions"])),
        "observed_holidays": frozenset(map(Holiday, values["observed_holidays"])),
    }
    return Site(**values)
