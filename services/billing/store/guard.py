"""What of a course was billed and expected, who let it be more, and whether it is disputed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Uuid,
    and_,
    case,
    cast,
    exists,
    func,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.guard import Approval, Dispute, DisputeNotFound, Item
from services.billing.domain.invoices import InvoiceStatus
from services.billing.store.copies import is_about, kind_of
from services.billing.store.documents import NOT_REPLACED, ON_LINE
from services.billing.store.estimates import LAST_ID
from services.billing.tables import (
    charge,
    credit_note_line,
    estimate_approval,
    estimate_dispute,
    estimate_excess,
    invoice_line,
    open_item,
)

CHAIN, ID, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "course_id"))
BEFORE, LIMIT = param("before_id", Uuid), param("limit", Integer)


def _big(summed: ColumnElement[Any], name: str) -> ColumnElement[int]:
    return cast(func.sum(summed), BigInteger).label(name)


def _taken(*names: str) -> ColumnElement[int]:
    """What credit notes took of a line."""
    parts = (func.coalesce(func.sum(credit_note_line.c[name]), 0) for name in names)
    return (
        select(sum(parts, literal_column("0")))
        .where(credit_note_line.c.chain_id == charge.c.chain_id, credit_note_line.c.charge_id == charge.c.id)
        .correlate(charge)
        .scalar_subquery()
    )


# A line has its charge's corrections in it; their own are empty, and they are no visits. Of a void invoice no visit is
# billed.
_of_kind = [charge.c[name] for name in ("site_id", "visit_type_code", "route_code", "band_code", "service_date")]
_on_void = exists().where(
    open_item.c.chain_id == invoice_line.c.chain_id,
    open_item.c.id == invoice_line.c.invoice_id,
    open_item.c.status == literal_column(str(InvoiceStatus.VOID.value)),
)
_line_total = invoice_line.c.amount_minor - invoice_line.c.discount_minor + invoice_line.c.tax_minor
BILLED = Statement(
    select(
        *_of_kind,
        _big(charge.c.quantity - _taken("quantity"), "count"),
        _big(_line_total - _taken("amount_minor", "tax_minor"), "minor"),
    )
    .join(invoice_line, ON_LINE)
    .where(charge.c.chain_id == CHAIN, charge.c.course_id == COURSE, charge.c.corrects_id.is_(None), not_(_on_void))
    .group_by(*_of_kind)
    .order_by(*_of_kind)
)
_corrected = charge.alias("corrected")
_corrects = and_(_corrected.c.chain_id == charge.c.chain_id, _corrected.c.id == charge.c.corrects_id)
_kind_names = ("visit_type_code", "route_code", "band_code")
_charged_kind = [
    charge.c.site_id,
    *(func.coalesce(_corrected.c[name], charge.c[name]).label(name) for name in _kind_names),
    charge.c.service_date,  # Of a correction that of its charge.
]
_own_count = case((charge.c.corrects_id.is_(None), charge.c.quantity), else_=0)
CHARGED = Statement(
    select(*_charged_kind, _big(_own_count, "count"), _big(charge.c.amount_minor, "minor"))
    .outerjoin(_corrected, _corrects)
    .where(charge.c.chain_id == CHAIN, charge.c.course_id == COURSE, NOT_REPLACED)
    .group_by(*_charged_kind)
    .order_by(*_charged_kind)
)
_approved = (
    select(func.coalesce(func.max(estimate_approval.c.up_to_minor), 0))
    .where(estimate_approval.c.chain_id == CHAIN, estimate_approval.c.course_id == COURSE)
    .scalar_subquery()
)
_exceeded = (
    select(estimate_excess.c.billed_at)
    .where(estimate_excess.c.chain_id == CHAIN, estimate_excess.c.course_id == COURSE)
    .scalar_subquery()
)
_disputed = exists().where(
    estimate_dispute.c.chain_id == CHAIN,
    estimate_dispute.c.course_id == COURSE,
    estimate_dispute.c.closed_at.is_(None),
)
GRANTED = Statement(
    select(_approved.label("approved_minor"), _exceeded.label("exceeded_at"), _disputed.label("disputed"))
)
DISPUTED = Statement(select(_disputed.label("disputed")))
APPROVE = Statement(insert(estimate_approval).values(params(*estimate_approval.c.keys())))
APPROVALS = Statement(
    select(estimate_approval)
    .where(
        estimate_approval.c.chain_id == CHAIN, estimate_approval.c.course_id == COURSE, estimate_approval.c.id < BEFORE
    )
    .order_by(estimate_approval.c.id.desc())
    .limit(LIMIT)
)
EXCEED = Statement(pg_insert(estimate_excess).values(params(*estimate_excess.c.keys())).on_conflict_do_nothing())
OPEN_DISPUTE = Statement(insert(estimate_dispute).values({**params(*estimate_dispute.c.keys()), "closed_at": null()}))
DISPUTE = Statement(
    select(estimate_dispute).where(estimate_dispute.c.chain_id == CHAIN, estimate_dispute.c.id == ID).with_for_update()
)
DISPUTES_ABOUT = {
    about: Statement(
        select(estimate_dispute)
        .where(
            estimate_dispute.c.chain_id == CHAIN,
            is_about(estimate_dispute, about),
            estimate_dispute.c.id < BEFORE,
            or_(not_(param("open_only", Boolean)), estimate_dispute.c.closed_at.is_(None)),
        )
        .order_by(estimate_dispute.c.id.desc())
        .limit(LIMIT)
    )
    for about in ("patient_id", "course_id", "site_id")
}
CLOSE_DISPUTE = Statement(
    update(estimate_dispute)
    .where(estimate_dispute.c.chain_id == CHAIN, estimate_dispute.c.id == ID)
    .values(closed_at=param("closed_at"))
)


class GuardStore(Store):
    async def billed_for_course(self, course_id: UUID) -> list[Item]:
        """All that is on invoices, but for what credit notes took. Each provider bills as a facility: the site."""
        return _items(await self.rows(BILLED, course_id=course_id))

    async def charged_for_course(self, course_id: UUID) -> list[Item]:
        """All that is charged for the course, be it on an invoice or not; what is billed again, once."""
        return _items(await self.rows(CHARGED, course_id=course_id))

    async def granted(self, course_id: UUID) -> tuple[int, datetime | None, bool]:
        """How far bills may go beyond the estimate, in minor units; when they first went; whether they are disputed."""
        row = await self.row(GRANTED, course_id=course_id)
        assert row
        return row["approved_minor"], row["exceeded_at"], row["disputed"]

    async def disputed(self, course_id: UUID) -> bool:
        """Then nobody charges a card on file for the course, and no fee takes of its deposit."""
        row = await self.row(DISPUTED, course_id=course_id)
        return bool(row and row["disputed"])

    async def approve(self, new: Approval) -> None:
        await self.rows(
            APPROVE,
            id=new.id,
            site_id=new.site_id,
            course_id=new.course_id,
            currency=new.up_to.currency,
            up_to_minor=new.up_to.minor,
            reason=new.reason,
            approved_by=new.approved_by,
            approved_at=new.approved_at,
        )

    async def approvals(self, course_id: UUID, before_id: UUID, limit: int) -> list[Approval]:
        """The newest first."""
        return [
            Approval(
                id=row["id"],
                site_id=row["site_id"],
                course_id=row["course_id"],
                up_to=Money(row["up_to_minor"], row["currency"]),
                reason=row["reason"],
                approved_by=row["approved_by"],
                approved_at=row["approved_at"],
            )
            for row in await self.rows(APPROVALS, course_id=course_id, before_id=before_id, limit=limit)
        ]

    async def exceed(self, course_id: UUID, site_id: UUID) -> None:
        """The first time counts."""
        await self.rows(EXCEED, course_id=course_id, site_id=site_id, billed_at=self.call.now)

    async def open_dispute(self, new: Dispute) -> None:
        await self.rows(
            OPEN_DISPUTE,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            course_id=new.course_id,
            opened_at=new.opened_at,
        )

    async def estimate_dispute(self, dispute_id: UUID) -> Dispute:
        """Locked."""
        row = await self.row(DISPUTE, id=dispute_id)
        if row is None:
            raise DisputeNotFound(dispute_id=to_wire("dispute", dispute_id))
        return _dispute(row)

    async def estimate_disputes(
        self, about: str, about_id: UUID, before_id: UUID, limit: int, *, open_only: bool
    ) -> list[Dispute]:
        """`about` is one of DISPUTES_ABOUT. The newest first."""
        place = {"before_id": before_id, "limit": limit, "open_only": open_only}
        return [_dispute(row) for row in await self.rows(DISPUTES_ABOUT[about], about_id=about_id, **place)]

    async def open_dispute_of(self, course_id: UUID) -> Dispute | None:
        found = await self.estimate_disputes("course_id", course_id, LAST_ID, 1, open_only=True)
        return found[0] if found else None

    async def close_dispute(self, dispute_id: UUID) -> None:
        await self.rows(CLOSE_DISPUTE, id=dispute_id, closed_at=self.call.now)


def _dispute(row: Record) -> Dispute:
    names = ("id", "site_id", "patient_id", "course_id", "opened_at", "closed_at")
    return Dispute(*(row[name] for name in names))


def _items(found: Sequence[Record]) -> list[Item]:
    return [
        Item(
            row["site_id"],
            kind_of(row) if row["visit_type_code"] else None,
            row["count"],
            row["minor"],
            row["service_date"],
        )
        for row in found
    ]
