"""Drafts of invoices."""

from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Uuid, and_, delete, insert, select, update

from chassis.etags import StaleEtag
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.invoices import InvoiceDraft, InvoiceDraftNotFound, InvoiceIssued, Wording
from services.billing.store.invoices import discount_of
from services.billing.tables import invoice_draft

CHAIN, ID, SITE = (param(name, Uuid) for name in ("chain_id", "id", "site_id"))

_says = params("course_id", "charge_ids", "discount_minor", "discount_reason", "due_date", "note")
_own_draft = and_(invoice_draft.c.chain_id == CHAIN, invoice_draft.c.id == ID)
_unchanged = and_(
    _own_draft, invoice_draft.c.version == param("version", Integer), invoice_draft.c.invoice_id.is_(None)
)
_next = {"version": invoice_draft.c.version + 1, "updated_at": param("updated_at")}
ADD_DRAFT = Statement(insert(invoice_draft).values(params(*invoice_draft.c.keys())))
CHANGE_DRAFT = Statement(update(invoice_draft).where(_unchanged).values(_says | _next).returning(invoice_draft.c.id))
END_DRAFT = Statement(
    update(invoice_draft)
    .where(_unchanged)
    .values(_next | {"invoice_id": param("invoice_id")})
    .returning(invoice_draft.c.id)
)
DELETE_DRAFT = Statement(delete(invoice_draft).where(_unchanged).returning(invoice_draft.c.id))
DRAFT = Statement(select(invoice_draft).where(_own_draft))
_drafts = select(invoice_draft).where(
    invoice_draft.c.chain_id == CHAIN, invoice_draft.c.site_id == SITE, invoice_draft.c.invoice_id.is_(None)
)
DRAFTS = Statement(
    _drafts.where(invoice_draft.c.id < param("before_id", Uuid))
    .order_by(invoice_draft.c.id.desc())
    .limit(param("limit", Integer))
)


class DraftStore(Store):
    async def add_draft(self, new: InvoiceDraft) -> None:
        await self.rows(
            ADD_DRAFT,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            currency=new.currency,
            version=new.version,
            invoice_id=new.invoice_id,
            created_at=new.created_at,
            updated_at=new.updated_at,
            **_said(new),
        )

    async def change_draft(self, new: InvoiceDraft) -> None:
        """If it is as `new.version` was, and not issued."""
        values = _said(new) | {"version": new.version, "updated_at": self.call.now}
        await self._need(await self.row(CHANGE_DRAFT, id=new.id, **values), new.id)

    async def end_draft(self, draft_id: UUID, version: int, invoice_id: UUID) -> None:
        values = {"version": version, "invoice_id": invoice_id, "updated_at": self.call.now}
        await self._need(await self.row(END_DRAFT, id=draft_id, **values), draft_id)

    async def delete_draft(self, draft_id: UUID, version: int) -> None:
        await self._need(await self.row(DELETE_DRAFT, id=draft_id, version=version), draft_id)

    async def _need(self, changed: Record | None, draft_id: UUID) -> None:
        if changed is None:
            if (await self.draft(draft_id)).invoice_id:
                raise InvoiceIssued()
            raise StaleEtag()

    async def draft(self, draft_id: UUID) -> InvoiceDraft:
        row = await self.row(DRAFT, id=draft_id)
        if row is None:
            raise InvoiceDraftNotFound()
        return _draft(row)

    async def drafts(self, site_id: UUID, before_id: UUID, limit: int) -> list[InvoiceDraft]:
        """Those not issued, the newest first."""
        return [_draft(row) for row in await self.rows(DRAFTS, site_id=site_id, before_id=before_id, limit=limit)]


def _said(draft: InvoiceDraft) -> dict[str, Any]:
    wording = draft.wording
    return {
        "course_id": draft.course_id,
        "charge_ids": list(draft.charge_ids),
        "discount_minor": wording.discount.amount.minor if wording.discount else 0,
        "discount_reason": wording.discount.reason if wording.discount else None,
        "due_date": wording.due_date,
        "note": wording.note,
    }


def _draft(row: Record) -> InvoiceDraft:
    return InvoiceDraft(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        charge_ids=tuple(row["charge_ids"]),
        currency=row["currency"],
        wording=Wording(discount_of(row), row["due_date"], row["note"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        invoice_id=row["invoice_id"],
    )
