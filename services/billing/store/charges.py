"""Charges beside visits: what they are for, what explains them, and what waits to be charged or invoiced."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Uuid,
    and_,
    any_,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.accounts import FEES, Charge, ChargeKind
from services.billing.domain.charges import ChargeNotFound, Credit, PlannedVisit, Replaced
from services.billing.domain.credit_notes import credit_note_number
from services.billing.domain.invoices import display_number
from services.billing.domain.sites import RenderedVisit
from services.billing.store.copies import PATIENTS, kind_of, rendered_of, uncharged
from services.billing.store.documents import ON_LINE, REPLACED_BY, charge_of
from services.billing.tables import (
    charge,
    credit_note,
    credit_note_line,
    forfeiture,
    invoice,
    invoice_line,
    offence,
    pin,
    price_item,
    rendered_visit,
    visit,
)

CHAIN, ID, SITE, PATIENT = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "patient_id"))
AFTER, LIMIT = param("after_id", Uuid), param("limit", Integer)

# Visits that come to nothing, and what they cost.

PLANNED_VISIT = Statement(select(visit).where(visit.c.chain_id == CHAIN, visit.c.id == ID))
ADD_OFFENCE = Statement(
    insert(offence).values(params(*offence.c.keys())).on_conflict_do_nothing().returning(offence.c.visit_id)
)
OFFENCES = Statement(
    select(func.count().label("count")).where(
        offence.c.chain_id == CHAIN,
        offence.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
    )
)

_correction = charge.alias("correction")


def _sum_of(amount: Any, *where: ColumnElement[bool]) -> Any:
    return select(func.coalesce(func.sum(amount), 0)).where(*where).scalar_subquery()


_corrected = _sum_of(
    _correction.c.amount_minor, _correction.c.chain_id == charge.c.chain_id, _correction.c.corrects_id == charge.c.id
)
_taken_back = _sum_of(
    credit_note_line.c.amount_minor + credit_note_line.c.discount_minor,
    credit_note_line.c.chain_id == charge.c.chain_id,
    credit_note_line.c.charge_id == charge.c.id,
)
_taken_of_deposit = _sum_of(
    forfeiture.c.amount_minor, forfeiture.c.chain_id == charge.c.chain_id, forfeiture.c.charge_id == charge.c.id
)
FEE_STANDS = Statement(
    select(charge.c.id)
    .where(
        charge.c.chain_id == CHAIN,
        charge.c.course_id == param("course_id", Uuid),
        charge.c.kind.in_([literal_column(str(kind.value)) for kind in sorted(FEES)]),
        charge.c.amount_minor + _taken_of_deposit + _corrected - _taken_back > 0,
    )
    .limit(1)
)

# Why a charge is what it is.

_on_invoice = and_(invoice.c.chain_id == invoice_line.c.chain_id, invoice.c.id == invoice_line.c.invoice_id)
_its_pin = and_(pin.c.chain_id == charge.c.chain_id, pin.c.course_id == charge.c.course_id)
_its_item = and_(price_item.c.chain_id == charge.c.chain_id, price_item.c.id == charge.c.price_item_id)
_former_line, _former_invoice = invoice_line.alias("former_line"), invoice.alias("former_invoice")
_on_former = and_(
    _former_line.c.chain_id == charge.c.chain_id,
    _former_line.c.charge_id == charge.c.replaces_id,
)
_its_former = and_(
    _former_invoice.c.chain_id == _former_line.c.chain_id,
    _former_invoice.c.id == _former_line.c.invoice_id,
)
BACKGROUND = Statement(
    select(
        pin.c.price_book_id,
        price_item.c.description,
        invoice.c.id.label("invoice_id"),
        invoice.c.prefix,
        invoice.c.number,
        charge.c.replaces_id,
        _former_invoice.c.id.label("former_id"),
        _former_invoice.c.prefix.label("former_prefix"),
        _former_invoice.c.number.label("former_number"),
        REPLACED_BY.label("replaced_by_id"),
    )
    .select_from(
        charge.outerjoin(pin, _its_pin)
        .outerjoin(price_item, _its_item)
        .outerjoin(invoice_line, ON_LINE)
        .outerjoin(invoice, _on_invoice)
        .outerjoin(_former_line, _on_former)
        .outerjoin(_former_invoice, _its_former)
    )
    .where(charge.c.chain_id == CHAIN, charge.c.id == ID)
)
_its_note = and_(
    credit_note.c.chain_id == credit_note_line.c.chain_id, credit_note.c.id == credit_note_line.c.credit_note_id
)
CREDITS = Statement(
    select(
        credit_note.c.id,
        credit_note.c.prefix,
        credit_note.c.number,
        credit_note.c.currency,
        credit_note.c.issued_at,
        cast(credit_note_line.c.amount_minor + credit_note_line.c.tax_minor, BigInteger).label("credited_minor"),
    )
    .join(credit_note, _its_note)
    .where(credit_note_line.c.chain_id == CHAIN, credit_note_line.c.charge_id == ID)
    .order_by(credit_note.c.id)
)

# What waits.

_uninvoiced = (
    select(charge)
    .outerjoin_from(charge, invoice_line, ON_LINE)
    .where(charge.c.chain_id == CHAIN, invoice_line.c.charge_id.is_(None))
    .limit(LIMIT)
)
_of_patient = _uninvoiced.where(
    charge.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
    charge.c.id > AFTER,
).order_by(charge.c.id)
UNINVOICED = Statement(_of_patient)
UNINVOICED_AT_SITE = Statement(_of_patient.where(charge.c.site_id == SITE))
UNINVOICED_OF_DAYS = Statement(
    _uninvoiced.where(
        charge.c.site_id == SITE,
        charge.c.service_date <= param("last_day", Date),
        tuple_(charge.c.service_date, charge.c.id) > tuple_(param("after_day", Date), AFTER),
    ).order_by(charge.c.service_date, charge.c.id)
)
_day = param("after_day", Date)
UNCHARGED_VISITS = Statement(
    uncharged.where(
        or_(
            rendered_visit.c.service_date > _day,
            and_(rendered_visit.c.service_date == _day, rendered_visit.c.id > AFTER),
        )
    )
)


@dataclass(frozen=True, slots=True)
class Background:
    """What is known of a charge beside itself."""

    pinned_book_id: UUID | None
    item_description: str
    invoice_id: UUID | None
    invoice_display_number: str
    replaces: Replaced | None
    replaced_by_id: UUID | None


class ChargeStore(Store):
    async def planned_visit(self, visit_id: UUID) -> PlannedVisit | None:
        row = await self.row(PLANNED_VISIT, id=visit_id)
        return _planned(row) if row else None

    async def add_offence(self, missed: PlannedVisit, patient_id: UUID, kind: ChargeKind, event_id: UUID) -> bool:
        """Whether it is new: a visit is one offence, however often it is told."""
        added = await self.row(
            ADD_OFFENCE,
            visit_id=missed.id,
            site_id=missed.site_id,
            patient_id=patient_id,
            kind=kind,
            event_id=event_id,
            offended_at=self.call.now,
        )
        return added is not None

    async def offences(self, patient_id: UUID) -> int:
        """Of the patient, under any of their ids, at any site."""
        row = await self.row(OFFENCES, patient_id=patient_id)
        assert row
        return int(row["count"])

    async def fee_stands(self, course_id: UUID) -> bool:
        """Whether a fee of the course is charged or was taken of its deposit, and neither waived nor credited
        altogether."""
        return await self.row(FEE_STANDS, course_id=course_id) is not None

    async def background(self, charge_id: UUID) -> Background:
        row = await self.row(BACKGROUND, id=charge_id)
        if row is None:
            raise ChargeNotFound(charge_id=to_wire("charge", charge_id))
        number = display_number(row["prefix"], row["number"]) if row["invoice_id"] else ""
        book_id, text = row["price_book_id"], row["description"] or ""
        return Background(book_id, text, row["invoice_id"], number, _replaced(row), row["replaced_by_id"])

    async def credits_of_charge(self, charge_id: UUID) -> tuple[Credit, ...]:
        """Oldest first."""
        return tuple(_credit(row) for row in await self.rows(CREDITS, id=charge_id))

    async def uninvoiced(self, patient_id: UUID, site_id: UUID | None, after_id: UUID, limit: int) -> list[Charge]:
        """In the order in which they were posted."""
        values = {"patient_id": patient_id, "after_id": after_id, "limit": limit}
        if site_id:
            return [charge_of(row) for row in await self.rows(UNINVOICED_AT_SITE, site_id=site_id, **values)]
        return [charge_of(row) for row in await self.rows(UNINVOICED, **values)]

    async def uninvoiced_of_days(
        self, site_id: UUID, last_day: date, after: tuple[date, UUID], limit: int
    ) -> list[Charge]:
        """Of services until that day, the first first; `after` is where they begin."""
        place = {"last_day": last_day, "after_day": after[0], "after_id": after[1], "limit": limit}
        return [charge_of(row) for row in await self.rows(UNINVOICED_OF_DAYS, site_id=site_id, **place)]

    async def uncharged_visits(self, site_id: UUID, after: tuple[date, UUID], limit: int) -> Sequence[RenderedVisit]:
        """Those that wait longest first."""
        day, id = after
        found = await self.rows(UNCHARGED_VISITS, site_id=site_id, after_day=day, after_id=id, limit=limit)
        return [rendered_of(row) for row in found]


def _planned(row: Record) -> PlannedVisit:
    start: datetime = row["start_at"]
    kind = kind_of(row) if row["visit_type_code"] else None
    return PlannedVisit(row["id"], row["site_id"], row["patient_id"], row["course_id"], start, kind)


def _replaced(row: Record) -> Replaced | None:
    if not row["replaces_id"]:
        return None
    return Replaced(row["replaces_id"], row["former_id"], display_number(row["former_prefix"], row["former_number"]))


def _credit(row: Record) -> Credit:
    number = credit_note_number(row["prefix"], row["number"])
    return Credit(row["id"], number, Money(row["credited_minor"], row["currency"]), row["issued_at"])
