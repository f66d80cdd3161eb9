"""Visits that were drawn from packages."""

from datetime import datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Uuid, insert, select, update

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.redemptions import Redemption, RedemptionNotFound
from services.billing.domain.sites import RenderedVisit
from services.billing.store.copies import rendered_of
from services.billing.tables import redemption, rendered_visit

CHAIN, ID, SALE = (param(name, Uuid) for name in ("chain_id", "id", "sale_id"))

_drawn = [name for name in redemption.c.keys() if name not in ("undone_at", "undo_reason")]  # noqa: SIM118
ADD_REDEMPTION = Statement(insert(redemption).values(params(*_drawn)))
UNDO = Statement(
    update(redemption)
    .where(redemption.c.chain_id == CHAIN, redemption.c.id == ID)
    .values(params("undone_at", "undo_reason"))
)
_redemptions = select(redemption).where(redemption.c.chain_id == CHAIN)
REDEMPTION = Statement(_redemptions.where(redemption.c.id == ID))
REDEMPTIONS_OF_SALE = Statement(
    _redemptions.where(redemption.c.sale_id == SALE, redemption.c.id < param("before_id", Uuid))
    .order_by(redemption.c.id.desc())
    .limit(param("limit", Integer))
)
STANDING = Statement(
    _redemptions.where(redemption.c.sale_id == SALE, redemption.c.undone_at.is_(None)).order_by(redemption.c.id)
)
RENDERED = Statement(select(rendered_visit).where(rendered_visit.c.chain_id == CHAIN, rendered_visit.c.id == ID))


class RedemptionStore(Store):
    async def add_redemption(self, new: Redemption, unpaid_reason: str) -> None:
        await self.rows(
            ADD_REDEMPTION,
            id=new.id,
            sale_id=new.sale_id,
            entitlement_id=new.entitlement_id,
            visit_id=new.visit_id,
            course_id=new.course_id,
            patient_id=new.patient_id,
            site_id=new.site_id,
            legal_entity_id=new.legal_entity_id,
            selling_site_id=new.selling_site_id,
            selling_legal_entity_id=new.selling_legal_entity_id,
            service_date=new.service_date,
            item_code=new.item_code,
            currency=new.value.currency,
            list_minor=new.list_price.minor if new.list_price else None,
            value_minor=new.value.minor,
            unpaid_reason=unpaid_reason,
            redeemed_at=new.redeemed_at,
        )

    async def undo_redemption(self, redemption_id: UUID, undone_at: datetime, reason: str) -> None:
        await self.rows(UNDO, id=redemption_id, undone_at=undone_at, undo_reason=reason)

    async def redemption(self, redemption_id: UUID) -> Redemption:
        row = await self.row(REDEMPTION, id=redemption_id)
        if row is None:
            raise RedemptionNotFound(redemption_id=to_wire("redemption", redemption_id))
        return _redemption(row)

    async def redemptions(self, sale_id: UUID, before_id: UUID, limit: int) -> list[Redemption]:
        """The newest first."""
        found = await self.rows(REDEMPTIONS_OF_SALE, sale_id=sale_id, before_id=before_id, limit=limit)
        return [_redemption(row) for row in found]

    async def standing_redemptions(self, sale_id: UUID) -> list[Redemption]:
        return [_redemption(row) for row in await self.rows(STANDING, sale_id=sale_id)]

    async def rendered(self, visit_id: UUID) -> RenderedVisit:
        row = await self.row(RENDERED, id=visit_id)
        if row is None:
            raise NotYetKnown("visit", visit_id)
        return rendered_of(row)


def _redemption(row: Record) -> Redemption:
    return Redemption(
        id=row["id"],
        sale_id=row["sale_id"],
        entitlement_id=row["entitlement_id"],
        visit_id=row["visit_id"],
        course_id=row["course_id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        legal_entity_id=row["legal_entity_id"],
        selling_site_id=row["selling_site_id"],
        selling_legal_entity_id=row["selling_legal_entity_id"],
        service_date=row["service_date"],
        item_code=row["item_code"],
        list_price=None if row["list_minor"] is None else Money(row["list_minor"], row["currency"]),
        value=Money(row["value_minor"], row["currency"]),
        redeemed_at=row["redeemed_at"],
        undone_at=row["undone_at"],
    )
