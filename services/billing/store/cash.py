"""Cash: what should be in a drawer, and what was counted."""

from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    literal_column,
    select,
)

from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.cash import CashCount
from services.billing.tables import cash_count, payment, refund, refund_part, reversal

CHAIN, SITE = param("chain_id", Uuid), param("site_id", Uuid)
DAY, CURRENCY = param("business_date", Date), param("currency", Text)
CASH: ColumnElement[int] = literal_column("1")

COUNTED = Statement(
    select(cash_count.c.id)
    .where(cash_count.c.chain_id == CHAIN, cash_count.c.site_id == SITE, cash_count.c.business_date == DAY)
    .limit(literal_column("1"))
)
_its_payment = and_(payment.c.chain_id == reversal.c.chain_id, payment.c.id == reversal.c.payment_id)
_its_refund = and_(refund_part.c.chain_id == refund.c.chain_id, refund_part.c.refund_id == refund.c.id)
_taken = select(func.coalesce(func.sum(payment.c.amount_minor), 0)).where(
    payment.c.chain_id == CHAIN,
    payment.c.site_id == SITE,
    payment.c.business_date == DAY,
    payment.c.tender == CASH,
    payment.c.currency == CURRENCY,
)
_reversed = (
    select(func.coalesce(func.sum(reversal.c.amount_minor), 0))
    .join(payment, _its_payment)
    .where(
        reversal.c.chain_id == CHAIN,
        reversal.c.site_id == SITE,
        reversal.c.business_date == DAY,
        payment.c.tender == CASH,
        reversal.c.currency == CURRENCY,
    )
)
_given_back = (
    select(func.coalesce(func.sum(refund_part.c.amount_minor), 0))
    .select_from(refund)
    .join(refund_part, _its_refund)
    .where(
        refund.c.chain_id == CHAIN,
        refund.c.site_id == SITE,
        refund.c.business_date == DAY,
        refund_part.c.tender == CASH,
        refund.c.currency == CURRENCY,
    )
)
_expected = _taken.scalar_subquery() - _reversed.scalar_subquery() - _given_back.scalar_subquery()
EXPECTED_CASH = Statement(select(cast(_expected, BigInteger).label("expected_minor")))
ADD_CASH_COUNT = Statement(insert(cash_count).values(params(*cash_count.c.keys())))
CASH_COUNTS = Statement(
    select(cash_count)
    .where(cash_count.c.chain_id == CHAIN, cash_count.c.site_id == SITE, cash_count.c.id < param("before_id", Uuid))
    .order_by(cash_count.c.id.desc())
    .limit(param("limit", Integer))
)


class CashStore(Store):
    async def cash_is_counted(self, site_id: UUID, day: date) -> bool:
        return await self.row(COUNTED, site_id=site_id, business_date=day) is not None

    async def expected_cash(self, site_id: UUID, day: date, currency: str) -> Money:
        row = await self.row(EXPECTED_CASH, site_id=site_id, business_date=day, currency=currency)
        assert row
        return Money(row["expected_minor"], currency)

    async def add_cash_count(self, new: CashCount) -> None:
        await self.rows(
            ADD_CASH_COUNT,
            id=new.id,
            site_id=new.site_id,
            business_date=new.business_date,
            currency=new.counted.currency,
            expected_minor=new.expected.minor,
            counted_minor=new.counted.minor,
            note=new.note,
            actor=new.actor,
            counted_at=new.counted_at,
        )

    async def cash_counts(self, site_id: UUID, before_id: UUID, limit: int) -> list[CashCount]:
        """The newest first."""
        return [_count(row) for row in await self.rows(CASH_COUNTS, site_id=site_id, before_id=before_id, limit=limit)]


def _count(row: Record) -> CashCount:
    return CashCount(
        id=row["id"],
        site_id=row["site_id"],
        business_date=row["business_date"],
        expected=Money(row["expected_minor"], row["currency"]),
        counted=Money(row["counted_minor"], row["currency"]),
        note=row["note"],
        actor=row["actor"],
        counted_at=row["counted_at"],
    )
