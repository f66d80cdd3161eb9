"""The chain's register of capabilities."""

from collections.abc import Iterable

from sqlalchemy import Text, exists, insert, select

from chassis.pages import Page
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.scheduling.domain.capabilities import Capability
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.tables import capability

ADD_CAPABILITY = Statement(insert(capability).values(params("chain_id", "code", "display_name")))
_of_chain = capability.c.chain_id == CHAIN
_page = select(capability).where(_of_chain, capability.c.code > param("after", Text)).order_by(capability.c.code)
CAPABILITIES = Statement(_page.limit(LIMIT))
_named = rows("named", named_code=Text)
UNKNOWN = Statement(
    select(_named.c.named_code).where(
        exists().where(_of_chain), ~exists().where(_of_chain, capability.c.code == _named.c.named_code)
    )
)


class CapabilityStore(Store):
    async def add_capability(self, new: Capability) -> None:
        await self.rows(ADD_CAPABILITY, code=new.code, display_name=new.display_name)

    async def capabilities(self, page: Page) -> list[Capability]:
        found = await self.rows(CAPABILITIES, after=page.after[0] if page.after else "", limit=page.limit)
        return [Capability(row["code"], row["display_name"]) for row in found]

    async def unknown_capabilities(self, codes: Iterable[str]) -> set[str]:
        """Those that are not registered; none where the chain has registered none at all."""
        named = sorted(set(codes))
        return {row["named_code"] for row in await self.rows(UNKNOWN, named_code=named)} if named else set()
