"""Closed books: periods, their balances, and what was posted by hand."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    literal_column,
    select,
)

from chassis.errors import NotYetKnown
from chassis.sql import Statement, param, params, rows
from services.billing.domain.ledger import AccountTotal
from services.billing.domain.periods import Period
from services.billing.store.ledger import LedgerStore, total_of
from services.billing.tables import adjustment, period, period_balance, posting, site

CHAIN, ID, LEGAL_ENTITY = (param(name, Uuid) for name in ("chain_id", "id", "legal_entity_id"))

CLOSE_ALONE = Statement(
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(literal_column("'books '", Text) + cast(LEGAL_ENTITY, Text), literal_column("0"))
        )
    ).where(CHAIN.is_not(None))
)
ZONES = Statement(
    select(site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.legal_entity_id == LEGAL_ENTITY).distinct()
)
_periods = (
    select(period)
    .where(
        period.c.chain_id == CHAIN,
        period.c.legal_entity_id == LEGAL_ENTITY,
        period.c.last_date < param("before_date", Date),
    )
    .order_by(period.c.last_date.desc())
    .limit(param("limit", Integer))
)
PERIODS = Statement(_periods)
ADD_PERIOD = Statement(insert(period).values(params(*period.c.keys())))
_balance = rows(
    "new_balance",
    balance_site_id=Uuid,
    account=SmallInteger,
    currency=Text,
    item_code=Text,
    debit_minor=BigInteger,
    credit_minor=BigInteger,
)
ADD_BALANCES = Statement(
    insert(period_balance).from_select(
        ["chain_id", "period_id", "site_id", "account", "currency", "item_code", "debit_minor", "credit_minor"],
        select(
            CHAIN,
            ID,
            _balance.c.balance_site_id,
            _balance.c.account,
            _balance.c.currency,
            _balance.c.item_code,
            _balance.c.debit_minor,
            _balance.c.credit_minor,
        ),
    )
)
BALANCES = Statement(select(period_balance).where(period_balance.c.chain_id == CHAIN, period_balance.c.period_id == ID))
_of_legal_entity = and_(posting.c.chain_id == CHAIN, posting.c.legal_entity_id == LEGAL_ENTITY)
UNBALANCED = Statement(
    select(posting.c.entry_id)
    .where(_of_legal_entity)
    .group_by(posting.c.entry_id, posting.c.currency)
    .having(func.sum(posting.c.amount_minor) != literal_column("0"))
    .limit(param("limit", Integer))
)
POSTING_COUNT = Statement(select(func.count().label("posting_count")).select_from(posting).where(_of_legal_entity))
ADD_ADJUSTMENT = Statement(insert(adjustment).values(params(*adjustment.c.keys())))


class PeriodStore(LedgerStore):
    async def close_alone(self, legal_entity_id: UUID) -> None:
        """Waits for all who post to the legal entity's books, and keeps others from it until the transaction ends."""
        await self.rows(CLOSE_ALONE, legal_entity_id=legal_entity_id)

    async def zones_of(self, legal_entity_id: UUID) -> list[ZoneInfo]:
        """Of its sites, of which it has one at least."""
        found = await self.rows(ZONES, legal_entity_id=legal_entity_id)
        if not found:
            raise NotYetKnown("legalentity", legal_entity_id)
        return [ZoneInfo(row["time_zone"]) for row in found]

    async def periods(self, legal_entity_id: UUID, before_date: date, limit: int) -> list[Period]:
        """The newest first."""
        found = await self.rows(PERIODS, legal_entity_id=legal_entity_id, before_date=before_date, limit=limit)
        return [_period(row) for row in found]

    async def last_period(self, legal_entity_id: UUID) -> Period | None:
        return next(iter(await self.periods(legal_entity_id, date.max, 1)), None)

    async def add_period(self, new: Period, totals: Sequence[AccountTotal]) -> None:
        await self.rows(
            ADD_PERIOD,
            id=new.id,
            legal_entity_id=new.legal_entity_id,
            last_date=new.last_date,
            end_at=new.end_at,
            closed_at=new.closed_at,
            closed_by=new.closed_by,
        )
        await self.rows(
            ADD_BALANCES,
            id=new.id,
            balance_site_id=[each.site_id for each in totals],
            account=[each.account for each in totals],
            currency=[each.debit.currency for each in totals],
            item_code=[each.item_code for each in totals],
            debit_minor=[each.debit.minor for each in totals],
            credit_minor=[each.credit.minor for each in totals],
        )

    async def balances(self, period_id: UUID) -> list[AccountTotal]:
        """As stored when it was closed."""
        return [total_of(row) for row in await self.rows(BALANCES, id=period_id)]

    async def unbalanced(self, legal_entity_id: UUID, limit: int) -> list[UUID]:
        """Entries that do not balance: there are none, or the database let one through."""
        return [row["entry_id"] for row in await self.rows(UNBALANCED, legal_entity_id=legal_entity_id, limit=limit)]

    async def posting_count(self, legal_entity_id: UUID) -> int:
        row = await self.row(POSTING_COUNT, legal_entity_id=legal_entity_id)
        assert row
        return int(row["posting_count"])

    async def add_adjustment(self, id: UUID, site_id: UUID, reason: str) -> None:
        await self.rows(ADD_ADJUSTMENT, id=id, site_id=site_id, reason=reason, posted_by=self.call.actor)


def _period(row: Record) -> Period:
    return Period(
        row["id"], row["legal_entity_id"], row["last_date"], row["end_at"], row["closed_at"], row["closed_by"]
    )
