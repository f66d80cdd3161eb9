"""Chains, legal entities and sites."""

import json
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, insert, select

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.scheduling.domain.sites import Chain, ChainNotFound, LegalEntity, LegalEntityNotFound, Site, SiteNotFound
from services.scheduling.store.columns import shifts_column, shifts_of
from services.scheduling.tables import chain, legal_entity, site

CHAIN, LIMIT = param("chain_id", Uuid), param("limit", Integer)
NO_ID = UUID(int=0)
"""Comes before every id."""

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
        return LegalEntity(row["id"], row["display_name"])

    async def legal_entities(self, page: Page) -> list[LegalEntity]:
        after = UUID(page.after[0]) if page.after else NO_ID
        found = await self.rows(LEGAL_ENTITIES, after=after, limit=page.limit)
        return [LegalEntity(row["id"], row["display_name"]) for row in found]

    async def add_site(self, new: Site) -> None:
        await self.rows(
            ADD_SITE,
            id=new.id,
            legal_entity_id=new.legal_entity_id,
            code=new.code,
            display_name=new.display_name,
            discreet_name=new.discreet_name,
            address=json.dumps(new.address),
            state=new.state,
            time_zone=new.time_zone,
            phone=new.phone,
            opening_hours=shifts_column(new.opening_hours),
            closed_dates=list(new.closed_dates),
        )

    async def site(self, id: UUID) -> Site:
        row = await self.row(SITE, id=id)
        if row is None:
            raise SiteNotFound(site_id=to_wire("site", id))
        return _site(row)

    async def sites(self, page: Page) -> list[Site]:
        found = await self.rows(SITES, after=page.after[0] if page.after else "", limit=page.limit)
        return [_site(row) for row in found]


def _site(row: Record) -> Site:
    values = {name: value for name, value in row.items() if name != "chain_id"}
    values |= {"address": json.loads(row["address"]), "closed_dates": tuple(row["closed_dates"])}
    return Site(**values | {"opening_hours": shifts_of(json.loads(row["opening_hours"]))})
