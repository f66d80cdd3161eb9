"""Credit notes, and what was applied to the invoices that they correct."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.tables import Instant
from services.billing.domain.accounts import ItemKind
from services.billing.domain.credit_notes import (
    BETWEEN,
    AppliedMoney,
    CreditLine,
    CreditNote,
    CreditNoteNotFound,
    CreditPurpose,
    CreditReason,
    Unapplication,
    kept_as_credit,
)
from services.billing.domain.invoices import splits
from services.billing.domain.ledger import Entry
from services.billing.domain.printing import Order
from services.billing.store.copies import has_number, is_about
from services.billing.store.ledger import NEW_ENTRIES, LedgerStore, posted
from services.billing.store.printing import ORDERED, ordered
from services.billing.tables import (
    application,
    charge,
    credit_note,
    credit_note_line,
    credit_note_series,
    credit_use,
    open_item,
    unapplication,
)

CHAIN, ID, SITE = (param(name, Uuid) for name in ("chain_id", "id", "site_id"))
CURRENCY, INVOICE, POSTED = param("currency", Text), param("invoice_id", Uuid), param("posted_at", Instant)

# Issuing. Names of parameters differ where chassis.store.SETTLE has them already.

_new_note = insert(credit_note).values(
    params("chain_id", "id", "site_id", "legal_entity_id", "number", "prefix", "invoice_id", "patient_id", "currency")
    | params("total_minor", "offset_minor", "reason", "note", "purpose", "made_by")
    | {"issued_at": param("posted_at")}
)
_line = rows(
    "new_line",
    charge_id=Uuid,
    line_quantity=Integer,
    line_minor=BigInteger,
    line_discount_minor=BigInteger,
    line_tax_minor=BigInteger,
    line_included_tax_minor=BigInteger,
)
_new_lines = insert(credit_note_line).from_select(
    [
        *("chain_id", "site_id", "credit_note_id"),
        *("charge_id", "quantity", "amount_minor", "discount_minor", "tax_minor", "included_tax_minor"),
    ],
    select(CHAIN, SITE, ID, *_line.c),
)
_un = rows("new_unapplication", un_id=Uuid, application_id=Uuid, item_id=Uuid, un_minor=BigInteger)
_new_unapplications = insert(unapplication).from_select(
    [
        *("chain_id", "site_id", "invoice_id", "credit_note_id", "currency", "unapplied_at"),
        *("id", "application_id", "item_id", "amount_minor"),
    ],
    select(CHAIN, SITE, INVOICE, ID, CURRENCY, POSTED, *_un.c),
)
_back = rows("given_back", back_id=Uuid, back_minor=BigInteger)
_more_left = (
    update(open_item)
    .where(open_item.c.chain_id == CHAIN, open_item.c.id == _back.c.back_id)
    .values(left_minor=open_item.c.left_minor + _back.c.back_minor, version=open_item.c.version + 1)
)
_less_owed = (
    update(open_item)
    .where(open_item.c.chain_id == CHAIN, open_item.c.id == INVOICE)
    .values(
        left_minor=open_item.c.left_minor - param("offset_minor", BigInteger),
        credited_minor=open_item.c.credited_minor + param("total_minor", BigInteger),
        voided=param("voids", Boolean),
        version=open_item.c.version + 1,
    )
)
_kept = rows("kept", kept_id=Uuid, kept_minor=BigInteger)
_new_credit = insert(open_item).from_select(
    ["chain_id", "site_id", "patient_id", "kind", "currency", "since", "id", "left_minor"],
    select(
        CHAIN, SITE, param("patient_id", Uuid), literal(int(ItemKind.CREDIT), SmallInteger), CURRENCY, POSTED, *_kept.c
    ),
)
ISSUE_CREDIT_NOTE = Settling(
    _new_note.cte("new_note"),
    _new_lines.cte("new_lines"),
    _new_unapplications.cte("new_unapplications"),
    _more_left.cte("more_left"),
    _less_owed.cte("less_owed"),
    _new_credit.cte("new_credit"),
    *NEW_ENTRIES,
    *ORDERED,
)
_series = pg_insert(credit_note_series).values(params("chain_id", "legal_entity_id") | {"last_number": 1})
NEXT_CREDIT_NOTE_NUMBER = Statement(
    _series.on_conflict_do_update(
        index_elements=["chain_id", "legal_entity_id"], set_={"last_number": credit_note_series.c.last_number + 1}
    ).returning(credit_note_series.c.last_number)
)

# Reads.


def _applied_of(table: Table, item_id: Any, of_credit: bool) -> Select[Any]:
    back = (
        select(func.coalesce(func.sum(unapplication.c.amount_minor), 0))
        .where(unapplication.c.chain_id == CHAIN, unapplication.c.application_id == table.c.id)
        .correlate(table)
        .scalar_subquery()
    )
    return select(
        table.c.id,
        item_id.label("item_id"),
        literal(of_credit).label("of_credit"),
        table.c.currency,
        cast(table.c.amount_minor - back, BigInteger).label("left_minor"),
        table.c.applied_at,
    ).where(table.c.chain_id == CHAIN, table.c.invoice_id == ID)


APPLIED_TO = Statement(
    union_all(
        _applied_of(application, application.c.payment_id, of_credit=False),
        _applied_of(credit_use, credit_use.c.credit_id, of_credit=True),
    )
)


def _with_lines(found: Select[Any]) -> Statement:
    page = found.subquery("page")
    of_it = and_(credit_note_line.c.chain_id == page.c.chain_id, credit_note_line.c.credit_note_id == page.c.id)
    its_charge = and_(charge.c.chain_id == credit_note_line.c.chain_id, charge.c.id == credit_note_line.c.charge_id)
    columns = ("charge_id", "quantity", "amount_minor", "discount_minor", "tax_minor", "included_tax_minor")
    return Statement(
        select(page, *(credit_note_line.c[name] for name in columns), charge.c.description)
        .join(credit_note_line, of_it)
        .join(charge, its_charge)
        .order_by(page.c.id.desc(), charge.c.service_date, charge.c.id)
    )


_of_chain = select(credit_note).where(credit_note.c.chain_id == CHAIN)
CREDIT_NOTE = _with_lines(_of_chain.where(credit_note.c.id == ID))
_newest_first = (
    _of_chain.where(credit_note.c.id < param("before_id", Uuid))
    .order_by(credit_note.c.id.desc())
    .limit(param("limit", Integer))
)
CREDIT_NOTE_LISTINGS = {
    about: _with_lines(_newest_first.where(is_about(credit_note, about)))
    for about in ("invoice_id", "patient_id", "site_id")
}
CREDIT_NOTES_BY_NUMBER = _with_lines(_newest_first.where(has_number(credit_note, BETWEEN)))


class CreditNoteStore(LedgerStore):
    def issue_credit_note(
        self, new: CreditNote, taken: Sequence[Unapplication], entries: Sequence[Entry], order: Order, *, voids: bool
    ) -> None:
        """Written last, with its document. What payments had paid goes back to them, unless it is kept as credit of the
        patient."""
        kept = kept_as_credit(new, taken)
        back = [each for each in taken if each.applied.of_credit or not kept.minor]
        self.write_last(
            ISSUE_CREDIT_NOTE,
            id=new.id,
            legal_entity_id=new.legal_entity_id,
            number=new.number,
            prefix=new.prefix,
            invoice_id=new.invoice_id,
            **ordered(order),
            currency=new.total.currency,
            total_minor=new.total.minor,
            offset_minor=new.offset.minor,
            voids=voids,
            reason=new.reason,
            note=new.note,
            purpose=new.purpose,
            made_by=new.made_by,
            posted_at=new.issued_at,
            charge_id=[each.charge_id for each in new.lines],
            line_quantity=[each.quantity for each in new.lines],
            line_minor=[each.amount.minor for each in new.lines],
            line_discount_minor=[each.discount.minor for each in new.lines],
            line_tax_minor=[each.tax.minor for each in new.lines],
            line_included_tax_minor=[each.included_tax.minor for each in new.lines],
            un_id=[each.id for each in taken],
            application_id=[each.applied.application_id for each in taken],
            item_id=[each.applied.item_id for each in taken],
            un_minor=[each.amount.minor for each in taken],
            kept_id=[new.id] if kept.minor else [],
            kept_minor=[kept.minor] if kept.minor else [],
            **_summed(back),
            **posted(entries),
        )

    async def next_credit_note_number(self, legal_entity_id: UUID) -> int:
        """Without a gap, as an invoice's."""
        row = await self.row(NEXT_CREDIT_NOTE_NUMBER, legal_entity_id=legal_entity_id)
        assert row
        return int(row["last_number"])

    async def applied_to(self, invoice_id: UUID) -> list[AppliedMoney]:
        """What pays an invoice by now."""
        found = await self.rows(APPLIED_TO, id=invoice_id)
        return [_applied_money(row) for row in found if row["left_minor"]]

    async def credit_note(self, credit_note_id: UUID) -> CreditNote:
        found = await self.rows(CREDIT_NOTE, id=credit_note_id)
        if not found:
            raise CreditNoteNotFound()
        return _credit_note(found)

    async def credit_notes(self, about: str, about_id: UUID, before_id: UUID, limit: int) -> list[CreditNote]:
        """`about` is one of CREDIT_NOTE_LISTINGS. The newest first."""
        found = await self.rows(CREDIT_NOTE_LISTINGS[about], about_id=about_id, before_id=before_id, limit=limit)
        return _credit_notes(found)

    async def credit_notes_by_number(self, shown: str, before_id: UUID, limit: int) -> list[CreditNote]:
        """The newest first."""
        prefixes, numbers = zip(*splits(shown, BETWEEN), strict=True)
        about = {"shown": shown, "prefixes": prefixes, "numbers": numbers}
        return _credit_notes(await self.rows(CREDIT_NOTES_BY_NUMBER, **about, before_id=before_id, limit=limit))


def _credit_notes(found: Sequence[Record]) -> list[CreditNote]:
    return [_credit_note(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def _summed(back: Sequence[Unapplication]) -> dict[str, list[Any]]:
    """By payment or credit, each once: PostgreSQL changes a row once in a statement."""
    sums: dict[UUID, int] = {}
    for each in back:
        sums[each.applied.item_id] = sums.get(each.applied.item_id, 0) + each.amount.minor
    return {"back_id": list(sums), "back_minor": list(sums.values())}


def _applied_money(row: Record) -> AppliedMoney:
    amount, at = Money(row["left_minor"], row["currency"]), row["applied_at"]
    assert isinstance(at, datetime)
    return AppliedMoney(row["id"], row["item_id"], row["of_credit"], amount, at)


def _credit_note(found: Sequence[Record]) -> CreditNote:
    row = found[0]
    currency = row["currency"]
    return CreditNote(
        id=row["id"],
        site_id=row["site_id"],
        legal_entity_id=row["legal_entity_id"],
        number=row["number"],
        prefix=row["prefix"],
        invoice_id=row["invoice_id"],
        patient_id=row["patient_id"],
        lines=tuple(_line_of(each, currency) for each in found),
        total=Money(row["total_minor"], currency),
        offset=Money(row["offset_minor"], currency),
        reason=CreditReason(row["reason"]),
        note=row["note"],
        purpose=CreditPurpose(row["purpose"]),
        made_by=row["made_by"],
        issued_at=row["issued_at"],
    )


def _line_of(row: Record, currency: str) -> CreditLine:
    return CreditLine(
        charge_id=row["charge_id"],
        description=row["description"],
        quantity=row["quantity"],
        amount=Money(row["amount_minor"], currency),
        discount=Money(row["discount_minor"], currency),
        tax=Money(row["tax_minor"], currency),
        included_tax=Money(row["included_tax_minor"], currency),
    )
