"""Links in messages."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.links import Link, LinkNotFound, LinkPurpose
from services.notifications.store.copies import CHAIN, ID
from services.notifications.tables import link

ADD_LINK = Statement(pg_insert(link).values(params(*link.c.keys())).on_conflict_do_nothing())
_this = (link.c.chain_id == CHAIN, link.c.id == ID)
LINK_TO_USE = Statement(select(link).where(*_this).with_for_update())
USE_LINK = Statement(update(link).where(*_this).values(used_at=param("now", Instant)))


class LinkStore(Store):
    async def add_link(self, new: Link) -> None:
        """Unless it is there."""
        values = {name: getattr(new, name) for name in Link.__slots__}
        await self.rows(ADD_LINK, **values)

    async def link_to_use(self, id: UUID) -> Link:
        """Nobody else uses it before this transaction ends."""
        row = await self.row(LINK_TO_USE, id=id)
        if row is None:
            raise LinkNotFound()
        values = {name: row[name] for name in Link.__slots__}
        return Link(**values | {"purpose": LinkPurpose(row["purpose"])})

    async def use_link(self, id: UUID) -> None:
        await self.rows(USE_LINK, id=id, now=self.call.now)
