"""Invoices and their drafts: what may go on one, what it says, and how it stands."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.times import EPOCH
from services.billing.domain.accounts import Application, Charge, InvoiceNotFound, ItemKind
from services.billing.domain.codes import ServiceCode
from services.billing.domain.invoices import (
    Discount,
    DiscountReason,
    Invoice,
    InvoiceStatus,
    Line,
    Taken,
    TaxLine,
    display_number,
    splits,
)
from services.billing.domain.ledger import Entry
from services.billing.domain.printing import Order
from services.billing.store.accounts import INVOICE_DISPUTED
from services.billing.store.billable import codes_of
from services.billing.store.copies import has_number, is_about
from services.billing.store.documents import APPLIED, ON_LINE, applied, charge_of
from services.billing.store.ledger import LedgerStore, posted
from services.billing.store.printing import ORDERED, ordered
from services.billing.tables import (
    charge,
    credit_note_line,
    credit_use,
    invoice,
    invoice_line,
    invoice_series,
    invoice_tax,
    open_item,
)

CHAIN, ID, SITE, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id"))
CURRENCY = param("currency", Text)
BEFORE, LIMIT = param("before_id", Uuid), param("limit", Integer)

# Issuing. Names of parameters differ where chassis.store.SETTLE has them already.

_new_invoice = insert(invoice).values(
    params("chain_id", "id", "site_id", "legal_entity_id", "number", "patient_id", "course_id", "currency")
    | params("subtotal_minor", "discount_minor", "discount_reason", "tax_minor", "total_minor", "prefix", "note")
    | {"issued_at": param("posted_at")}
)
_new_open_item = insert(open_item).values(
    params("chain_id", "id", "site_id", "patient_id", "course_id", "currency", "left_minor", "due_date")
    | {"kind": param("item_kind"), "since": param("posted_at"), "whole_minor": param("total_minor")}
)
_line = rows(
    "new_line",
    charge_id=Uuid,
    line_minor=BigInteger,
    line_discount_minor=BigInteger,
    line_tax_minor=BigInteger,
    line_included_tax_minor=BigInteger,
    line_codes=Text,
)
_new_lines = insert(invoice_line).from_select(
    [
        *("chain_id", "site_id", "invoice_id", "charge_id"),
        *("amount_minor", "discount_minor", "tax_minor", "included_tax_minor", "codes"),
    ],
    select(
        CHAIN,
        SITE,
        ID,
        _line.c.charge_id,
        _line.c.line_minor,
        _line.c.line_discount_minor,
        _line.c.line_tax_minor,
        _line.c.line_included_tax_minor,
        cast(_line.c.line_codes, JSONB),
    ),
)
_tax = rows(
    "new_tax",
    tax_rule_id=Uuid,
    tax_name=Text,
    tax_rate_ppm=Integer,
    tax_included=Boolean,
    tax_base_minor=BigInteger,
    tax_amount_minor=BigInteger,
)
_new_taxes = insert(invoice_tax).from_select(
    [
        *("chain_id", "site_id", "invoice_id", "tax_rule_id", "name", "rate_ppm", "included"),
        *("base_minor", "amount_minor"),
    ],
    select(
        CHAIN,
        SITE,
        ID,
        _tax.c.tax_rule_id,
        _tax.c.tax_name,
        _tax.c.tax_rate_ppm,
        _tax.c.tax_included,
        _tax.c.tax_base_minor,
        _tax.c.tax_amount_minor,
    ),
)
_use = rows("new_use", use_id=Uuid, used_credit_id=Uuid, used_minor=BigInteger)
_new_uses = insert(credit_use).from_select(
    ["chain_id", "site_id", "invoice_id", "currency", "applied_at", "id", "credit_id", "amount_minor"],
    select(
        CHAIN,
        SITE,
        ID,
        CURRENCY,
        param("posted_at", credit_use.c.applied_at.type),
        _use.c.use_id,
        _use.c.used_credit_id,
        _use.c.used_minor,
    ),
)
ISSUE_INVOICE = Settling(
    _new_invoice.cte("new_invoice"),
    _new_open_item.cte("new_open_item"),
    _new_lines.cte("new_lines"),
    _new_taxes.cte("new_taxes"),
    _new_uses.cte("new_uses"),
    *APPLIED,
    *ORDERED,
)
_series = pg_insert(invoice_series).values(params("chain_id", "legal_entity_id") | {"last_number": 1})
NEXT_NUMBER = Statement(
    _series.on_conflict_do_update(
        index_elements=["chain_id", "legal_entity_id"], set_={"last_number": invoice_series.c.last_number + 1}
    ).returning(invoice_series.c.last_number)
)

# Invoices.


_rest = and_(open_item.c.chain_id == invoice.c.chain_id, open_item.c.id == invoice.c.id)
_standing = [open_item.c[name] for name in ("left_minor", "credited_minor", "status", "due_date", "version")]
_disputed = INVOICE_DISPUTED.label("disputed")
_invoices = select(invoice, *_standing, _disputed).join(open_item, _rest).where(invoice.c.chain_id == CHAIN)
INVOICE = Statement(_invoices.where(invoice.c.id == ID))


def _sum(name: str) -> ColumnElement[int]:
    summed = func.coalesce(func.sum(credit_note_line.c[name]), 0)
    return cast(summed, BigInteger).label(f"taken_{name}")


_taken = (
    select(*map(_sum, ("quantity", "amount_minor", "discount_minor", "tax_minor", "included_tax_minor")))
    .where(credit_note_line.c.chain_id == CHAIN, credit_note_line.c.charge_id == charge.c.id)
    .correlate(charge)
    .lateral("taken")
)
_line_columns = [
    invoice_line.c[name].label(f"line_{name}")
    for name in ("amount_minor", "discount_minor", "tax_minor", "included_tax_minor", "codes")
]
LINES = Statement(
    select(charge, *_line_columns, _taken)
    .join(invoice_line, ON_LINE)
    .join(_taken, literal_column("true"))
    .where(charge.c.chain_id == CHAIN, invoice_line.c.chain_id == CHAIN, invoice_line.c.invoice_id == ID)
    .order_by(charge.c.service_date, charge.c.id)
)
TAXES = Statement(
    select(invoice_tax)
    .where(invoice_tax.c.chain_id == CHAIN, invoice_tax.c.invoice_id == ID)
    .order_by(invoice_tax.c.name, invoice_tax.c.tax_rule_id)
)


def _newest_first(found: Select[Any], id: ColumnElement[UUID]) -> Statement:
    return Statement(found.where(id < BEFORE).order_by(id.desc()).limit(LIMIT))


INVOICE_LISTINGS = {
    about: _newest_first(_invoices.where(is_about(invoice, about)), invoice.c.id)
    for about in ("patient_id", "course_id", "site_id")
}
INVOICES_BY_NUMBER = _newest_first(_invoices.where(has_number(invoice)), invoice.c.id)
_of_site = _invoices.where(
    open_item.c.chain_id == CHAIN,
    open_item.c.site_id == SITE,
    open_item.c.kind == literal_column("2"),  # As in the indexes, in any plan.
)
INVOICES_BY_STATUS = _newest_first(_of_site.where(open_item.c.status == param("status", SmallInteger)), open_item.c.id)
_after_day, _after_id = param("after_day", Date), param("after_id", Uuid)
INVOICES_OVERDUE = Statement(
    _of_site.where(
        open_item.c.left_minor > literal_column("0"),
        open_item.c.due_date < param("today", Date),
        open_item.c.due_date >= _after_day,
        or_(open_item.c.due_date > _after_day, open_item.c.id > _after_id),
    )
    .order_by(open_item.c.due_date, open_item.c.id)
    .limit(LIMIT)
)


FORMER = Statement(
    select(invoice.c.id, invoice.c.prefix, invoice.c.number)
    .distinct()
    .join(
        invoice_line,
        and_(invoice_line.c.chain_id == invoice.c.chain_id, invoice_line.c.invoice_id == invoice.c.id),
    )
    .where(
        invoice.c.chain_id == CHAIN,
        invoice_line.c.chain_id == CHAIN,
        invoice_line.c.charge_id == any_(param("charge_ids", ARRAY(Uuid))),
    )
    .order_by(invoice.c.id)
)
NUMBERS = Statement(
    select(invoice.c.id, invoice.c.prefix, invoice.c.number).where(
        invoice.c.chain_id == CHAIN, invoice.c.id == any_(param("ids", ARRAY(Uuid)))
    )
)


class InvoiceStore(LedgerStore):
    def issue_invoice(
        self,
        new: Invoice,
        applications: Sequence[Application],
        uses: Sequence[Application],
        entries: Sequence[Entry],
        order: Order,
    ) -> None:
        """Written last, with its document and what pays it: payments, and credit of the patient."""
        own = {line.charge.id: line for line in new.lines}
        lines = [own.get(each.id) for each in new.charges]
        shares = [each.share for each in (*applications, *uses)]
        taken = {
            "taken_id": [each.payment_id for each in shares],
            "taken_minor": [each.amount.minor for each in shares],
        }
        self.write_last(
            ISSUE_INVOICE,
            id=new.id,
            legal_entity_id=new.legal_entity_id,
            number=new.number,
            prefix=new.prefix,
            currency=new.total.currency,
            subtotal_minor=new.subtotal.minor,
            discount_minor=new.discount.amount.minor if new.discount else 0,
            discount_reason=new.discount.reason if new.discount else None,
            tax_minor=new.tax.minor,
            total_minor=new.total.minor,
            due_date=new.due_date,
            note=new.note,
            posted_at=new.issued_at,
            charge_id=[each.id for each in new.charges],
            line_minor=[line.amount.minor if line else 0 for line in lines],
            line_discount_minor=[line.discount.minor if line else 0 for line in lines],
            line_tax_minor=[line.tax.minor if line else 0 for line in lines],
            line_included_tax_minor=[line.included_tax.minor if line else 0 for line in lines],
            line_codes=[_codes_to_json(line.codes if line else ()) for line in lines],
            tax_rule_id=[each.rule_id for each in new.taxes],
            tax_name=[each.name for each in new.taxes],
            tax_rate_ppm=[each.rate_ppm for each in new.taxes],
            tax_included=[each.included for each in new.taxes],
            tax_base_minor=[each.base.minor for each in new.taxes],
            tax_amount_minor=[each.amount.minor for each in new.taxes],
            use_id=[each.id for each in uses],
            used_credit_id=[each.share.payment_id for each in uses],
            used_minor=[each.share.amount.minor for each in uses],
            item_kind=ItemKind.INVOICE,
            left_minor=new.balance.minor,
            **(applied(applications, []) | taken),
            **posted(entries),
            **ordered(order),
        )

    async def next_invoice_number(self, legal_entity_id: UUID) -> int:
        """Without a gap: the next one waits for this transaction, and gets the same number if it is rolled back."""
        row = await self.row(NEXT_NUMBER, legal_entity_id=legal_entity_id)
        assert row
        return int(row["last_number"])

    async def invoice_numbers(self, invoice_ids: Sequence[UUID]) -> dict[UUID, str]:
        """As they are shown."""
        return _numbers(await self.rows(NUMBERS, ids=list(invoice_ids)))

    async def invoice(self, invoice_id: UUID) -> Invoice:
        row = await self.row(INVOICE, id=invoice_id)
        if row is None:
            raise InvoiceNotFound(invoice_id=to_wire("invoice", invoice_id))
        lines = await self.rows(LINES, id=invoice_id)
        found = _invoice(row, lines, await self.rows(TAXES, id=invoice_id))
        return replace(found, replaces=await self.former_invoices(found.charges))

    async def former_invoices(self, charges: Sequence[Charge]) -> dict[UUID, str]:
        """Void ones that charges were on before these took their place, and their numbers as they are shown."""
        former = [each.replaces_id for each in charges if each.replaces_id]
        return _numbers(await self.rows(FORMER, charge_ids=former)) if former else {}

    async def invoices(self, about: str, about_id: UUID, before_id: UUID, limit: int) -> list[Invoice]:
        """Without their charges. `about` is one of INVOICE_LISTINGS. The newest first."""
        found = await self.rows(INVOICE_LISTINGS[about], about_id=about_id, before_id=before_id, limit=limit)
        return [_invoice(row, (), ()) for row in found]

    async def invoices_by_number(self, shown: str, before_id: UUID, limit: int) -> list[Invoice]:
        """Without their charges, the newest first."""
        prefixes, numbers = zip(*splits(shown), strict=True)
        about = {"shown": shown, "prefixes": prefixes, "numbers": numbers}
        found = await self.rows(INVOICES_BY_NUMBER, **about, before_id=before_id, limit=limit)
        return [_invoice(row, (), ()) for row in found]

    async def invoices_by_status(
        self, site_id: UUID, status: InvoiceStatus, before_id: UUID, limit: int
    ) -> list[Invoice]:
        """Without their charges, the newest first."""
        about = {"site_id": site_id, "status": status}
        found = await self.rows(INVOICES_BY_STATUS, **about, before_id=before_id, limit=limit)
        return [_invoice(row, (), ()) for row in found]

    async def invoices_overdue(
        self, site_id: UUID, today: date, after: tuple[date, UUID] | None, limit: int
    ) -> list[Invoice]:
        """Without their charges, the longest overdue first."""
        day, id = after or (EPOCH.date(), UUID(int=0))
        about = {"site_id": site_id, "today": today}
        found = await self.rows(INVOICES_OVERDUE, **about, after_day=day, after_id=id, limit=limit)
        return [_invoice(row, (), ()) for row in found]


def _numbers(found: Sequence[Record]) -> dict[UUID, str]:
    return {row["id"]: display_number(row["prefix"], row["number"]) for row in found}


def discount_of(row: Record) -> Discount | None:
    if not row["discount_minor"]:
        return None
    return Discount(Money(row["discount_minor"], row["currency"]), DiscountReason(row["discount_reason"]))


def _codes_to_json(codes: Sequence[ServiceCode]) -> str:
    return json.dumps([[each.code, each.units, each.modifiers] for each in codes])


def _invoice(row: Record, lines: Sequence[Record], taxes: Sequence[Record]) -> Invoice:
    currency = row["currency"]
    charges = tuple(map(charge_of, lines))
    own = [(each, found) for each, found in zip(charges, lines, strict=True) if not each.corrects_id]
    return Invoice(
        id=row["id"],
        site_id=row["site_id"],
        legal_entity_id=row["legal_entity_id"],
        number=row["number"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        charges=charges,
        total=Money(row["total_minor"], currency),
        balance=Money(row["left_minor"], currency),
        issued_at=row["issued_at"],
        subtotal=Money(row["subtotal_minor"], currency),
        discount=discount_of(row),
        tax=Money(row["tax_minor"], currency),
        due_date=row["due_date"],
        note=row["note"],
        prefix=row["prefix"],
        status=InvoiceStatus(row["status"]),
        credited=Money(row["credited_minor"], currency),
        lines=tuple(_line_of(each, found) for each, found in own),
        taxes=tuple(_tax_line(each, currency) for each in taxes),
        credited_of={each.id: _taken_of(found) for each, found in own},
        disputed=row["disputed"],
        version=row["version"],
    )


def _line_of(of: Charge, row: Record) -> Line:
    names = ("amount_minor", "discount_minor", "tax_minor", "included_tax_minor")
    amount, discount, tax, included_tax = (Money(row[f"line_{name}"], row["currency"]) for name in names)
    return Line(of, amount, discount, tax, included_tax, codes_of(row["line_codes"]))


def _taken_of(row: Record) -> Taken:
    names = ("quantity", "amount_minor", "discount_minor", "tax_minor", "included_tax_minor")
    return Taken(*(row[f"taken_{name}"] for name in names))


def _tax_line(row: Record, currency: str) -> TaxLine:
    amounts = (Money(row[name], currency) for name in ("base_minor", "amount_minor"))
    return TaxLine(row["tax_rule_id"], row["name"], row["rate_ppm"], row["included"], *amounts)
