"""Protocols, their versions, and which site treats by which."""

import json
from collections import OrderedDict
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Text, Uuid, func, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.scheduling.domain.protocols import (
    Protocol,
    ProtocolNotFound,
    ProtocolVersion,
    ProtocolVersionNotFound,
    template_of,
)
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.tables import adoption, protocol, protocol_version

VERSIONS_KEPT = 1_000
_kept: "OrderedDict[tuple[UUID, UUID], ProtocolVersion]" = OrderedDict()
"""Versions by chain and id: published, they never change, and reading one costs more than booking by it."""

ADD_PROTOCOL = Statement(insert(protocol).values(params(*protocol.c.keys())))
_versions = select(protocol_version).where(
    protocol_version.c.chain_id == protocol.c.chain_id, protocol_version.c.protocol_id == protocol.c.id
)
_latest = _versions.order_by(protocol_version.c.version.desc()).limit(1).lateral("latest")
_protocols = (
    select(protocol, _latest.c.id.label("latest_version_id"), _latest.c.version.label("latest_version"))
    .outerjoin_from(protocol, _latest, _latest.c.chain_id == protocol.c.chain_id)
    .where(protocol.c.chain_id == CHAIN)
)
PROTOCOL = Statement(_protocols.where(protocol.c.id == param("id", Uuid)))
PROTOCOLS = Statement(_protocols.where(protocol.c.code > param("after", Text)).order_by(protocol.c.code).limit(LIMIT))
ADD_VERSION = Statement(insert(protocol_version).values(params(*protocol_version.c.keys())))
VERSION = Statement(
    select(protocol_version).where(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == param("id", Uuid))
)
ADOPT = Statement(
    pg_insert(adoption).values(params(*adoption.c.keys())).on_conflict_do_nothing().returning(adoption.c.adopted_at)
)
ADOPTED_AT = Statement(
    select(func.min(adoption.c.adopted_at).label("adopted_at")).where(
        adoption.c.chain_id == CHAIN,
        adoption.c.site_id == param("site_id", Uuid),
        adoption.c.protocol_version_id == param("protocol_version_id", Uuid),
    )
)


class ProtocolStore(Store):
    async def add_protocol(self, new: Protocol) -> None:
        await self.rows(ADD_PROTOCOL, id=new.id, code=new.code, display_name=new.display_name)

    async def protocol(self, id: UUID) -> Protocol:
        row = await self.row(PROTOCOL, id=id)
        if row is None:
            raise ProtocolNotFound(protocol_id=to_wire("protocol", id))
        return _protocol(row)

    async def protocols(self, page: Page) -> list[Protocol]:
        found = await self.rows(PROTOCOLS, after=page.after[0] if page.after else "", limit=page.limit)
        return [_protocol(row) for row in found]

    async def add_version(self, new: ProtocolVersion) -> None:
        await self.rows(
            ADD_VERSION,
            id=new.id,
            protocol_id=new.protocol_id,
            version=new.version,
            template=json.dumps(asdict(new.template)),
            published_at=new.published_at,
        )

    async def version(self, id: UUID) -> ProtocolVersion:
        """Read once per process, and kept."""
        key = self.call.chain_id, id
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        row = await self.row(VERSION, id=id)
        if row is None:
            raise ProtocolVersionNotFound(protocol_version_id=to_wire("protocolversion", id))
        template = template_of(json.loads(row["template"]))
        found = ProtocolVersion(row["id"], row["protocol_id"], row["version"], template, row["published_at"])
        _kept[key] = found
        if len(_kept) > VERSIONS_KEPT:
            _kept.popitem(last=False)
        return found

    async def adopt(self, site_id: UUID, version_id: UUID) -> bool:
        """Whether the site had not adopted the version before."""
        ids = {"site_id": site_id, "protocol_version_id": version_id}
        return await self.row(ADOPT, **ids, adopted_at=self.call.now) is not None

    async def adopted_at(self, site_id: UUID, version_id: UUID) -> datetime:
        row = await self.row(ADOPTED_AT, site_id=site_id, protocol_version_id=version_id)
        assert row
        at: datetime = row["adopted_at"]
        return at


def _protocol(row: Record) -> Protocol:
    return Protocol(row["id"], row["code"], row["display_name"], row["latest_version_id"], row["latest_version"] or 0)
