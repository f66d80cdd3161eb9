"""SQL of what is left to pay on invoices."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, params
from chassis.store import Store
from services.notifications.domain.balances import Balance
from services.notifications.store.copies import CHAIN, ID
from services.notifications.tables import balance

BALANCE = Statement(select(balance).where(balance.c.chain_id == CHAIN, balance.c.id == ID))
_told = pg_insert(balance).values(params(*balance.c.keys()))
KEEP_BALANCE = Statement(
    _told.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={
            "version": func.greatest(balance.c.version, _told.excluded.version),
            "matter_id": _told.excluded.matter_id,
            "void": _told.excluded.void,
        },
    )
)


class BalanceStore(Store):
    async def balance(self, invoice_id: UUID) -> Balance | None:
        """None: nothing was heard of it."""
        row = await self.row(BALANCE, id=invoice_id)
        return Balance(row["id"], row["version"], row["matter_id"], row["void"]) if row else None

    async def keep_balance(self, told: Balance) -> None:
        of = {"version": told.version, "matter_id": told.matter_id, "void": told.void}
        await self.rows(KEEP_BALANCE, id=told.invoice_id, **of)
