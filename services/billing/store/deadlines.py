"""What is still to do until patients have their estimates, and until when."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Boolean, Integer, SmallInteger, Uuid, and_, any_, case, not_, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.deadlines import Clock, Duty, Standing
from services.billing.domain.estimates import Trigger
from services.billing.tables import estimate_duty

CHAIN, ID = param("chain_id", Uuid), param("id", Uuid)

_duty = pg_insert(estimate_duty).values({**params(*estimate_duty.c.keys()), "told_at": None})
_still_told = case(
    (
        and_(estimate_duty.c.closed_at.is_(None), estimate_duty.c.due_at == _duty.excluded.due_at),
        estimate_duty.c.told_at,
    )
)
KEEP_DUTY = Statement(
    _duty.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _duty.excluded[name] for name in estimate_duty.c.keys() if name not in ("chain_id", "id")}  # noqa: SIM118
        | {"told_at": _still_told},
    )
)
DUTY = Statement(select(estimate_duty).where(estimate_duty.c.chain_id == CHAIN, estimate_duty.c.id == ID))
_open = and_(estimate_duty.c.chain_id == CHAIN, estimate_duty.c.closed_at.is_(None))
CLOSE_DUTY = Statement(
    update(estimate_duty).where(_open, estimate_duty.c.id == ID).values(closed_at=param("closed_at"))
)
DEADLINES = Statement(
    select(estimate_duty)
    .where(
        _open,
        estimate_duty.c.site_id == param("site_id", Uuid),
        estimate_duty.c.act_by <= param("until", Instant),
        tuple_(estimate_duty.c.act_by, estimate_duty.c.id)
        > tuple_(param("after_at", Instant), param("after_id", Uuid)),
        estimate_duty.c.standing == any_(param("standings", ARRAY(SmallInteger))),
        or_(not_(param("legal_only", Boolean)), estimate_duty.c.due_at.is_not(None)),
    )
    .order_by(estimate_duty.c.act_by, estimate_duty.c.id)
    .limit(param("limit", Integer))
)
_overdue = (
    select(estimate_duty.c.id)
    .where(_open, estimate_duty.c.told_at.is_(None), estimate_duty.c.due_at <= param("now", Instant))
    .order_by(estimate_duty.c.due_at, estimate_duty.c.id)
    .limit(param("limit", Integer))
    .with_for_update(skip_locked=True)
    .cte("overdue")
)
TELL_OVERDUE = Statement(
    update(estimate_duty)
    .where(estimate_duty.c.chain_id == CHAIN, estimate_duty.c.id == _overdue.c.id)
    .values(told_at=param("now", Instant))
    .returning(*estimate_duty.c)
)


class DeadlineStore(Store):
    async def keep_duty(self, duty: Duty) -> None:
        """As it is from now on. What is overdue by it is told anew, but where it was told of that day already."""
        await self.rows(
            KEEP_DUTY,
            id=duty.id,
            site_id=duty.site_id,
            patient_id=duty.patient_id,
            course_id=duty.course_id,
            estimate_id=duty.estimate_id,
            trigger=duty.clock.trigger,
            standing=duty.standing,
            due_at=duty.clock.due_at,
            act_by=duty.act_by,
            closed_at=duty.closed_at,
        )

    async def duty(self, id: UUID) -> Duty | None:
        """Of a course, or of an estimate that was asked for."""
        row = await self.row(DUTY, id=id)
        return _read(row) if row else None

    async def close_duty(self, id: UUID) -> None:
        """Nothing is left to estimate."""
        await self.rows(CLOSE_DUTY, id=id, closed_at=self.call.now)

    async def deadlines(
        self,
        site_id: UUID,
        standings: Collection[Standing],
        until: datetime,
        after: tuple[datetime, UUID],
        limit: int,
        *,
        legal_only: bool,
    ) -> list[Duty]:
        """The most pressing first; `legal_only`: those that the law asks for."""
        after_at, after_id = after
        place = {"after_at": after_at, "after_id": after_id, "limit": limit}
        wanted = {"standings": sorted(standings), "until": until, "legal_only": legal_only}
        return [_read(row) for row in await self.rows(DEADLINES, site_id=site_id, **wanted, **place)]

    async def newly_overdue(self, limit: int) -> list[Duty]:
        """Each once."""
        return [_read(row) for row in await self.rows(TELL_OVERDUE, now=self.call.now, limit=limit)]


def _read(row: Record) -> Duty:
    return Duty(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        estimate_id=row["estimate_id"],
        clock=Clock(Trigger(row["trigger"]), row["due_at"]),
        standing=Standing(row["standing"]),
        act_by=row["act_by"],
        closed_at=row["closed_at"],
    )
