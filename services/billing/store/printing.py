"""Documents: ordered with what they show, written later, kept encrypted."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    Integer,
    Interval,
    SmallInteger,
    Uuid,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    literal_column,
    not_,
    select,
    update,
)
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.invoices import InvoiceStatus
from services.billing.domain.printing import DocumentNotFound, DocumentPending, Kept, Order, PrintedKind, Written
from services.billing.store.copies import PATIENTS
from services.billing.tables import (
    document,
    document_order,
    document_work,
    estimate,
    open_item,
    reversal,
    served_chain,
)

CHAIN, ID, DOCUMENT = (param(name, Uuid) for name in ("chain_id", "id", "document_id"))
_real_now = func.clock_timestamp()

_new_work = insert(document_work).values(params("chain_id", "document_id", "site_id"))
_own = {name: param(f"document_{name}") for name in ("id", "kind", "version", "day", "content")}
_new_order = insert(document_order).values(params(*document_order.c.keys()) | _own)
_new_chain = pg_insert(served_chain).values(chain_id=CHAIN).on_conflict_do_nothing()
ORDERED = (_new_work.cte("new_work"), _new_order.cte("new_order"), _new_chain.cte("new_chain"))
"""Goes with the last statement of what the document shows, whose columns have other names than `document_…`."""
ORDER_DOCUMENT = Statement(select(literal_column("1")).add_cte(*ORDERED))
_next = (
    select(document_work.c.document_id)
    .where(document_work.c.chain_id == CHAIN, document_work.c.not_before <= func.now())
    .order_by(document_work.c.not_before)
    .limit(param("limit", Integer))
    .with_for_update(skip_locked=True)
    .cte("next_work")
)
_taken = (
    update(document_work)
    .where(document_work.c.chain_id == CHAIN, document_work.c.document_id == _next.c.document_id)
    .values(attempts=document_work.c.attempts + 1, not_before=_real_now + param("hold", Interval))
    .returning(document_work.c.chain_id, document_work.c.document_id, document_work.c.attempts)
    .cte("taken")
)
TAKE_WORK = Statement(
    select(document_order, _taken.c.attempts, PATIENTS.end(document_order.c.patient_id).label("end_id")).join(
        _taken, and_(document_order.c.chain_id == _taken.c.chain_id, document_order.c.id == _taken.c.document_id)
    )
)
PUT_OFF = Statement(
    update(document_work)
    .where(document_work.c.chain_id == CHAIN, document_work.c.document_id == DOCUMENT)
    .values(not_before=_real_now + param("hold", Interval), last_error=param("last_error"))
)
_done = sql_delete(document_work).where(document_work.c.chain_id == CHAIN, document_work.c.document_id == ID)
KEEP_DOCUMENT = Statement(
    pg_insert(document)
    .values(params(*document.c.keys()))
    .on_conflict_do_nothing()
    .returning(document.c.id)
    .add_cte(_done.cte("done"))
)
_its_document = and_(document.c.chain_id == document_order.c.chain_id, document.c.id == document_order.c.id)
_later = estimate.alias("later")
_is_void = exists().where(
    open_item.c.chain_id == CHAIN,
    open_item.c.id == document_order.c.shown_id,
    open_item.c.status == InvoiceStatus.VOID,
)
_is_reversed = exists().where(reversal.c.chain_id == CHAIN, reversal.c.payment_id == document_order.c.shown_id)
_is_replaced = exists().where(
    _later.c.chain_id == CHAIN,
    _later.c.course_id == document_order.c.course_id,
    _later.c.version > document_order.c.version,
    _later.c.total_minor.is_not(None),
    not_(_later.c.too_late),
)
_voided = case(
    (document_order.c.kind == PrintedKind.INVOICE, _is_void),
    (document_order.c.kind == PrintedKind.RECEIPT, _is_reversed),
    (document_order.c.kind == PrintedKind.ESTIMATE, _is_replaced),
    else_=false(),
)
DOCUMENT_OF = Statement(
    select(
        document_order,
        *(document.c[name] for name in ("key_id", "pdf", "snapshot", "written_at", "keep_until")),
        _voided.label("voided"),
    )
    .outerjoin(document, _its_document)
    .where(
        document_order.c.chain_id == CHAIN,
        document_order.c.kind == param("kind", SmallInteger),
        document_order.c.shown_id == param("shown_id", Uuid),
    )
)


class PrintingStore(Store):
    async def order_document(self, new: Order) -> None:
        """To be written soon. What it shows is committed with this transaction."""
        await self.rows(ORDER_DOCUMENT, **ordered(new))

    async def take_work(self, limit: int, hold: timedelta) -> list[Order]:
        """Orders to see to; nobody else takes them up for so long."""
        return [_order(row) for row in await self.rows(TAKE_WORK, limit=limit, hold=hold)]

    async def put_off(self, document_id: UUID, hold: timedelta, error: str) -> None:
        await self.rows(PUT_OFF, document_id=document_id, hold=hold, last_error=error)

    async def keep_document(self, order: Order, written: Written) -> bool:
        """Whether it is the first: what was written meanwhile by another stays as it is."""
        row = await self.row(
            KEEP_DOCUMENT,
            id=order.id,
            site_id=order.site_id,
            patient_id=order.patient_id,
            key_id=written.key_id,
            pdf=written.pdf,
            snapshot=written.snapshot,
            written_at=self.call.now,
            keep_until=written.keep_until,
        )
        return row is not None

    async def document(self, kind: PrintedKind, subject_id: UUID) -> Kept:
        row = await self.row(DOCUMENT_OF, kind=kind, shown_id=subject_id)
        if row is None:
            raise DocumentNotFound()
        if row["key_id"] is None:
            raise DocumentPending(document_id=to_wire("document", row["id"]))
        written = Written(row["key_id"], row["pdf"], row["snapshot"], row["keep_until"])
        return Kept(_order(row), written, row["written_at"], row["voided"])


def ordered(new: Order) -> dict[str, Any]:
    """What ORDERED asks for."""
    return {
        "document_id": new.id,
        "document_kind": new.kind,
        "document_version": new.version,
        "document_day": new.day,
        "document_content": json.dumps(new.content, ensure_ascii=False),
        "shown_id": new.subject_id,
        "site_id": new.site_id,
        "patient_id": new.patient_id,
        "course_id": new.course_id,
        "ordered_at": new.ordered_at,
    }


def _order(row: Record) -> Order:
    return Order(
        id=row["id"],
        kind=PrintedKind(row["kind"]),
        subject_id=row["shown_id"],
        version=row["version"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        day=row["day"],
        content=json.loads(row["content"]),
        ordered_at=row["ordered_at"],
        attempts=row.get("attempts", 0),
        about_id=row.get("end_id", row["patient_id"]),
    )
