"""Protocols, their versions, and which site treats by which."""

import json
from collections import OrderedDict
from dataclasses import asdict
from datetime import date, datetime
from functools import lru_cache
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, and_, delete, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.protocols import (
    Adoption,
    Draft,
    Protocol,
    ProtocolDraftNotFound,
    ProtocolNotFound,
    ProtocolVersion,
    ProtocolVersionNotFound,
    Retirement,
    Template,
    template_of,
)
from services.scheduling.store.sites import CHAIN, LIMIT, LONG_AGO, NO_ID
from services.scheduling.tables import (
    adoption,
    protocol,
    protocol_draft,
    protocol_version,
    protocol_version_retirement,
)

VERSION_MAX = 2**31 - 1
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
_by_code = _protocols.where(protocol.c.code > param("after", Text)).order_by(protocol.c.code).limit(LIMIT)
PROTOCOLS = {False: Statement(_by_code), True: Statement(_by_code.where(_latest.c.id.is_not(None)))}
"""All; those with a version."""
ADD_VERSION = Statement(insert(protocol_version).values(params(*protocol_version.c.keys())))
VERSION = Statement(
    select(protocol_version).where(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == param("id", Uuid))
)
_of_protocol = [protocol_version.c.chain_id == CHAIN, protocol_version.c.protocol_id == param("protocol_id", Uuid)]
_retirement = and_(
    protocol_version_retirement.c.chain_id == protocol_version.c.chain_id,
    protocol_version_retirement.c.protocol_version_id == protocol_version.c.id,
)
# A page goes on below the number of the version above it.
VERSIONS = Statement(
    select(protocol_version, protocol_version_retirement.c.retired_at, protocol_version_retirement.c.reason)
    .outerjoin_from(protocol_version, protocol_version_retirement, _retirement)
    .where(*_of_protocol, protocol_version.c.version < param("below", Integer))
    .order_by(protocol_version.c.version.desc())
    .limit(LIMIT)
)

_this_draft = [protocol_draft.c.chain_id == CHAIN, protocol_draft.c.protocol_id == param("protocol_id", Uuid)]
DRAFT = Statement(select(protocol_draft).where(*_this_draft))
ADD_DRAFT = Statement(
    pg_insert(protocol_draft)
    .values(params(*protocol_draft.c.keys()))
    .on_conflict_do_nothing()
    .returning(protocol_draft.c.version)
)
CHANGE_DRAFT = Statement(
    update(protocol_draft)
    .where(*_this_draft, protocol_draft.c.version == param("version", Integer) - 1)
    .values(params("template", "version", "updated_at", "updated_by"))
    .returning(protocol_draft.c.version)
)
REMOVE_DRAFT = Statement(
    delete(protocol_draft)
    .where(*_this_draft, protocol_draft.c.version == param("version", Integer))
    .returning(protocol_draft.c.version)
)

RETIRE = Statement(
    pg_insert(protocol_version_retirement)
    .values(params(*protocol_version_retirement.c.keys()))
    .on_conflict_do_nothing()
    .returning(protocol_version_retirement.c.retired_at)
)
RETIREMENT = Statement(
    select(protocol_version_retirement.c.retired_at, protocol_version_retirement.c.reason).where(
        protocol_version_retirement.c.chain_id == CHAIN,
        protocol_version_retirement.c.protocol_version_id == param("protocol_version_id", Uuid),
    )
)

_adopting = pg_insert(adoption).values(params(*adoption.c.keys()))
_narrowed = _adopting.excluded.narrowed_template
# Answers nothing where the site treats by the version in this form already.
ADOPT = Statement(
    _adopting.on_conflict_do_update(
        index_elements=[adoption.c.chain_id, adoption.c.site_id, adoption.c.protocol_version_id],
        set_={"narrowed_template": _narrowed},
        where=adoption.c.narrowed_template.is_distinct_from(_narrowed),
    ).returning(adoption.c.adopted_at)
)
_of_site = [adoption.c.chain_id == CHAIN, adoption.c.site_id == param("site_id", Uuid)]
_this_adoption = [*_of_site, adoption.c.protocol_version_id == param("protocol_version_id", Uuid)]
ADOPTION = Statement(select(adoption).where(*_this_adoption))
_in_order = adoption.c.adopted_at, adoption.c.protocol_version_id
ADOPTIONS = Statement(
    select(adoption)
    .where(*_of_site, tuple_(*_in_order) > tuple_(param("after", Instant), param("after_id", Uuid)))
    .order_by(*_in_order)
    .limit(LIMIT)
)
END_ADOPTION = Statement(delete(adoption).where(*_this_adoption).returning(adoption.c.adopted_at))


class ProtocolStore(Store):
    async def add_protocol(self, new: Protocol) -> None:
        await self.rows(ADD_PROTOCOL, id=new.id, code=new.code, display_name=new.display_name)

    async def protocol(self, id: UUID) -> Protocol:
        row = await self.row(PROTOCOL, id=id)
        if row is None:
            raise ProtocolNotFound(protocol_id=to_wire("protocol", id))
        return _protocol(row)

    async def protocols(self, page: Page, *, published: bool = False) -> list[Protocol]:
        found = await self.rows(PROTOCOLS[published], after=page.after[0] if page.after else "", limit=page.limit)
        return [_protocol(row) for row in found]

    async def add_version(self, new: ProtocolVersion) -> None:
        await self.rows(
            ADD_VERSION,
            id=new.id,
            protocol_id=new.protocol_id,
            version=new.version,
            template=template_column(new.template),
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
        found = _kept[key] = _version(row)
        if len(_kept) > VERSIONS_KEPT:
            _kept.popitem(last=False)
        return found

    async def versions(self, protocol_id: UUID, page: Page) -> list[tuple[ProtocolVersion, Retirement | None]]:
        below = int(page.after[0]) if page.after else VERSION_MAX
        found = await self.rows(VERSIONS, protocol_id=protocol_id, below=below, limit=page.limit)
        return [(_version(row), _retired(row)) for row in found]

    async def draft(self, protocol_id: UUID) -> Draft:
        row = await self.row(DRAFT, protocol_id=protocol_id)
        if row is None:
            raise ProtocolDraftNotFound(protocol_id=to_wire("protocol", protocol_id))
        template = template_of(json.loads(row["template"]))
        return Draft(protocol_id, template, row["version"], row["updated_at"], row["updated_by"])

    async def save_draft(self, draft: Draft) -> bool:
        """Whether the one before it was of the version before, or there was none before the first."""
        row = await self.row(
            ADD_DRAFT if draft.version == 1 else CHANGE_DRAFT,
            protocol_id=draft.protocol_id,
            template=template_column(draft.template),
            version=draft.version,
            updated_at=draft.updated_at,
            updated_by=draft.updated_by,
        )
        return row is not None

    async def remove_draft(self, protocol_id: UUID, version: int) -> bool:
        return await self.row(REMOVE_DRAFT, protocol_id=protocol_id, version=version) is not None

    async def retirement(self, version_id: UUID) -> Retirement | None:
        row = await self.row(RETIREMENT, protocol_version_id=version_id)
        return _retired(row) if row else None

    async def retire(self, version_id: UUID, retirement: Retirement) -> bool:
        """Whether it was not retired before."""
        row = await self.row(
            RETIRE,
            protocol_version_id=version_id,
            retired_at=retirement.at,
            reason=retirement.reason,
            retired_by=self.call.actor,
        )
        return row is not None

    async def adopt(self, new: Adoption) -> tuple[Adoption, bool]:
        """The adoption as it is now, and whether that is a change."""
        ids = {"site_id": new.site_id, "protocol_version_id": new.version_id}
        form = template_column(new.narrowed) if new.narrowed else None
        changed = await self.row(ADOPT, **ids, adopted_at=new.adopted_at, narrowed_template=form)
        row = await self.row(ADOPTION, **ids)
        assert row
        return _adoption(row), changed is not None

    async def adoptions(self, site_id: UUID, page: Page) -> list[Adoption]:
        adopted_at, id = page.after or [LONG_AGO.isoformat(), str(NO_ID)]
        place = {"after": datetime.fromisoformat(adopted_at), "after_id": UUID(id), "limit": page.limit}
        return [_adoption(row) for row in await self.rows(ADOPTIONS, site_id=site_id, **place)]

    async def end_adoption(self, site_id: UUID, version_id: UUID) -> bool:
        """Whether the site treated by the version."""
        row = await self.row(END_ADOPTION, site_id=site_id, protocol_version_id=version_id)
        return row is not None


def template_column(template: Template) -> str:
    return json.dumps(asdict(template), default=date.isoformat)


@lru_cache(maxsize=VERSIONS_KEPT)
def kept_template(text: str) -> Template:
    """A site's form of a version, from its column. Reading one costs more than booking by it."""
    return template_of(json.loads(text))


def _version(row: Record) -> ProtocolVersion:
    template = template_of(json.loads(row["template"]))
    return ProtocolVersion(row["id"], row["protocol_id"], row["version"], template, row["published_at"])


def _retired(row: Record) -> Retirement | None:
    return Retirement(row["retired_at"], row["reason"]) if row["retired_at"] else None


def _adoption(row: Record) -> Adoption:
    form = row["narrowed_template"]
    return Adoption(
        row["site_id"], row["protocol_version_id"], row["adopted_at"], kept_template(form) if form else None
    )


def _protocol(row: Record) -> Protocol:
    return Protocol(row["id"], row["code"], row["display_name"], row["latest_version_id"], row["latest_version"] or 0)
