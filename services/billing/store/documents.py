"""Charges, payments, what they were applied to, and what is left of them and of invoices."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Select,
    SmallInteger,
    Uuid,
    and_,
    any_,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.tables import Instant
from services.billing.domain.accounts import (
    Application,
    Charge,
    ChargeKind,
    CorrectionReason,
    ItemKind,
    OpenItem,
    Payment,
    PaymentKind,
    PaymentNotFound,
    Share,
)
from services.billing.domain.disputes import DisputeState
from services.billing.domain.ledger import Entry, Tender
from services.billing.domain.prices import VisitKind
from services.billing.domain.printing import Order
from services.billing.domain.sites import VisitStatus
from services.billing.store.copies import PATIENTS, is_about, kind_of
from services.billing.store.ledger import NEW_ENTRIES, LedgerStore, posted
from services.billing.store.printing import ORDERED, ordered
from services.billing.tables import (
    application,
    charge,
    dispute,
    estimate,
    invoice_line,
    open_item,
    payment,
    rendered_visit,
    reversal,
    unapplication,
    visit,
)

CHAIN, ID, SITE, COURSE, PATIENT = (
    param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id", "patient_id")
)
LEGAL_ENTITY = param("legal_entity_id", Uuid)

# Writes. Names of parameters differ where chassis.store.SETTLE has them already.

_of_charge = [name for name in charge.c.keys() if name != "item_code"]  # noqa: SIM118
ADD_CHARGE = Statement(
    insert(charge).values(params(*_of_charge) | {"item_code": param("charged_code")}).add_cte(*NEW_ENTRIES)
)

_new_application = rows(
    "new_application",
    application_id=Uuid,
    applied_payment_id=Uuid,
    applied_invoice_id=Uuid,
    applied_minor=BigInteger,
)
_new_applications = insert(application).from_select(
    ["chain_id", "id", "site_id", "payment_id", "invoice_id", "currency", "amount_minor", "applied_at"],
    select(
        CHAIN,
        _new_application.c.application_id,
        SITE,
        _new_application.c.applied_payment_id,
        _new_application.c.applied_invoice_id,
        param("currency", open_item.c.currency.type),
        _new_application.c.applied_minor,
        param("posted_at", Instant),
    ),
)
_taken = rows("taken", taken_id=Uuid, taken_minor=BigInteger)
_less_left = (
    update(open_item)
    .where(open_item.c.chain_id == CHAIN, open_item.c.id == _taken.c.taken_id)
    .values(left_minor=open_item.c.left_minor - _taken.c.taken_minor, version=open_item.c.version + 1)
)
APPLIED = (_new_applications.cte("new_applications"), _less_left.cte("less_left"), *NEW_ENTRIES)
"""Part of any statement that applies money; its parameters are `applied(…)` and those of NEW_ENTRIES."""
_new_payment = insert(payment).values(
    params("chain_id", "id", "site_id", "patient_id", "course_id", "tender", "terminal_reference", "currency")
    | params("amount_minor", "business_date", "check_number", "benefit_account", "card_charge_id")
    | {"kind": param("payment_kind"), "received_at": param("posted_at")}
)
# What is left of a payment may be kept for another course than it names: for none, if nothing of that is to come.
_its_open_item = insert(open_item).values(
    params("chain_id", "site_id", "patient_id", "currency", "left_minor")
    | {"id": ID, "course_id": param("kept_for", Uuid), "kind": param("item_kind"), "since": param("posted_at")}
)
_PAID = (_new_payment.cte("new_payment"), _its_open_item.cte("new_open_item"), *APPLIED)
RECORD_PAYMENT = Settling(*_PAID, *ORDERED)
ADD_PAYMENT = Statement(select(literal(1)).add_cte(*_PAID))

# Reads.

ON_LINE = and_(invoice_line.c.chain_id == charge.c.chain_id, invoice_line.c.charge_id == charge.c.id)
"""A charge and its line of an invoice."""

_successor = charge.alias("successor")
REPLACED_BY = (
    select(_successor.c.id)
    .where(_successor.c.chain_id == charge.c.chain_id, _successor.c.replaces_id == charge.c.id)
    .correlate(charge)
    .scalar_subquery()
)
"""Of a charge of a void invoice: what bills it again. NULL: nothing does."""
NOT_REPLACED = not_(
    exists()
    .where(
        _successor.c.chain_id == charge.c.chain_id,
        _successor.c.replaces_id == func.coalesce(charge.c.corrects_id, charge.c.id),
    )
    .correlate(charge)
)
"""Of a charge: neither it nor what it corrects is billed again."""

_charges = select(charge).where(charge.c.chain_id == CHAIN).order_by(charge.c.service_date, charge.c.id)
CHARGES_OF_COURSE = Statement(_charges.where(charge.c.course_id == COURSE))
OPEN_ITEMS = Statement(
    select(open_item).where(
        open_item.c.chain_id == CHAIN,
        open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
        open_item.c.site_id == SITE,
        open_item.c.kind == any_(param("kinds", ARRAY(SmallInteger))),
        open_item.c.currency == param("currency"),
        open_item.c.left_minor > literal_column("0"),  # As in the index, in any plan.
    )
)
LATEST_ESTIMATE = (
    select(estimate)
    .where(estimate.c.chain_id == CHAIN, estimate.c.course_id == COURSE)
    .order_by(estimate.c.version.desc())
    .limit(1)
    .subquery("latest_estimate")
)
"""Of the course."""
KEPT_MINOR = payment.c.amount_minor - open_item.c.gone_minor - open_item.c.credit_minor
"""Of a payment: without what is gone or credit."""
_paid_for_course = (
    select(cast(func.coalesce(func.sum(KEPT_MINOR), 0), BigInteger).label("paid_minor"))
    .join(open_item, and_(open_item.c.chain_id == payment.c.chain_id, open_item.c.id == payment.c.id))
    .where(payment.c.chain_id == CHAIN, payment.c.course_id == COURSE, open_item.c.course_id == COURSE)
    .subquery("paid_for_course")
)
_of_course = [visit.c.chain_id == CHAIN, visit.c.course_id == COURSE]
_rendered_of_course = [rendered_visit.c.chain_id == CHAIN, rendered_visit.c.id == visit.c.id]
_lives = or_(visit.c.status == VisitStatus.BOOKED.value, exists().where(*_rendered_of_course))
# Of its visits one is to come, or took place; or none is known.
COURSE_LIVES = or_(exists().where(*_of_course, _lives), not_(exists().where(*_of_course)))
DEPOSIT = Statement(
    select(
        _paid_for_course.c.paid_minor,
        LATEST_ESTIMATE.c.deposit_minor,
        LATEST_ESTIMATE.c.currency,
        COURSE_LIVES.label("lives"),
    ).outerjoin_from(_paid_for_course, LATEST_ESTIMATE, LATEST_ESTIMATE.c.chain_id == CHAIN)
)


UNAPPLIED = (
    select(cast(func.coalesce(func.sum(unapplication.c.amount_minor), 0), BigInteger))
    .where(unapplication.c.chain_id == application.c.chain_id, unapplication.c.application_id == application.c.id)
    .correlate(application)
    .scalar_subquery()
)
"""Of an application: what was taken off its invoice again."""


def _disputed(page: Any) -> list[Any]:
    undecided = or_(dispute.c.state == DisputeState.OPEN.value, dispute.c.state == DisputeState.LOST.value)
    return [dispute.c.chain_id == page.c.chain_id, dispute.c.payment_id == page.c.id, undecided]


def _with_applications(found: Select[Any]) -> Statement:
    page = found.subquery("page")
    of_it = and_(application.c.chain_id == page.c.chain_id, application.c.payment_id == page.c.id)
    its_rest = and_(open_item.c.chain_id == page.c.chain_id, open_item.c.id == page.c.id)
    its_reversal = and_(reversal.c.chain_id == page.c.chain_id, reversal.c.payment_id == page.c.id)
    return Statement(
        select(
            page,
            open_item.c.left_minor,
            open_item.c.credit_minor,
            open_item.c.gone_minor,
            open_item.c.course_id.label("kept_for"),
            reversal.c.reversed_at,
            exists().where(*_disputed(page)).label("disputed"),
            application.c.id.label("application_id"),
            application.c.invoice_id,
            (application.c.amount_minor - UNAPPLIED).label("applied_minor"),
            application.c.applied_at,
        )
        .join(open_item, its_rest)
        .outerjoin(reversal, its_reversal)
        .outerjoin(application, of_it)
        .order_by(page.c.id, application.c.id)
    )


_of_chain = select(payment).where(payment.c.chain_id == CHAIN)
_page = _of_chain.where(payment.c.id > param("after_id", Uuid)).order_by(payment.c.id).limit(param("limit", Integer))
PAYMENT = _with_applications(_of_chain.where(payment.c.id == ID))


def payments_where(rule: ColumnElement[bool]) -> Statement:
    """Whose rows `payments_of` reads."""
    return _with_applications(_of_chain.where(rule))


PAYMENTS_OF_PATIENT = _with_applications(_page.where(is_about(payment, "patient_id")))
PAYMENTS_OF_DAY = _with_applications(
    _page.where(payment.c.site_id == SITE, payment.c.business_date == param("business_date", Date))
)


class DocumentStore(LedgerStore):
    async def add_charge(self, new: Charge, legal_entity_id: UUID, corrected: ChargeKind | None = None) -> None:
        """And posts it."""
        service, entry = new.service or VisitKind("", "", ""), new.entry(corrected)
        await self.rows(
            ADD_CHARGE,
            id=new.id,
            kind=new.kind,
            site_id=new.site_id,
            patient_id=new.patient_id,
            course_id=new.course_id,
            visit_id=new.visit_id,
            service_date=new.service_date,
            visit_type_code=service.visit_type_code,
            route_code=service.route_code,
            band_code=service.band_code,
            charged_code=new.item_code,
            description=new.description,
            quantity=new.quantity,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            price_book_id=new.price_book_id,
            price_book_version=new.price_book_version,
            price_item_id=new.price_item_id,
            event_id=new.event_id,
            corrects_id=new.corrects_id,
            made_by=new.made_by,
            reason=new.reason,
            note=new.note,
            replaces_id=new.replaces_id,
            first_id=new.first_id,
            posted_at=new.posted_at,
            legal_entity_id=legal_entity_id,
            **posted([entry] if entry else []),
        )

    def record_payment(self, new: Payment, legal_entity_id: UUID, entries: Sequence[Entry], receipt: Order) -> None:
        """Written last, with its receipt and what it pays."""
        values = {**_paid(new, legal_entity_id), **ordered(receipt)}
        self.write_last(RECORD_PAYMENT, **values, **posted(entries))

    async def add_payment(self, new: Payment, legal_entity_id: UUID, entries: Sequence[Entry]) -> None:
        """With what it pays; for jobs, and where more is to be done."""
        await self.rows(ADD_PAYMENT, **_paid(new, legal_entity_id), **posted(entries))

    async def charges_of_course(self, course_id: UUID) -> list[Charge]:
        return [charge_of(row) for row in await self.rows(CHARGES_OF_COURSE, course_id=course_id)]

    async def open_items(self, kind: ItemKind, patient_id: UUID, site_id: UUID, currency: str) -> list[OpenItem]:
        """Invoices or payments of a patient at a site, under any of their ids, of which something is left."""
        found = await self.rows(OPEN_ITEMS, kinds=[kind], patient_id=patient_id, site_id=site_id, currency=currency)
        return [open_item_of(row) for row in found]

    async def deposit(self, course_id: UUID) -> tuple[Money | None, int, bool]:
        """What the course's latest estimate asks for, None without a price book; what was paid for it so far, without
        what is gone; and whether anything of the course is to come, or took place."""
        row = await self.row(DEPOSIT, course_id=course_id)
        assert row
        asked = None if row["deposit_minor"] is None else Money(row["deposit_minor"], row["currency"])
        return asked, row["paid_minor"], row["lives"]

    async def payment(self, payment_id: UUID) -> Payment:
        found = await self.rows(PAYMENT, id=payment_id)
        if not found:
            raise PaymentNotFound(payment_id=to_wire("payment", payment_id))
        return _payment(found)

    async def payments_of_patient(self, patient_id: UUID, after_id: UUID, limit: int) -> list[Payment]:
        """In the order of time."""
        return payments_of(await self.rows(PAYMENTS_OF_PATIENT, about_id=patient_id, after_id=after_id, limit=limit))

    async def payments_of_day(self, site_id: UUID, day: date, after_id: UUID, limit: int) -> list[Payment]:
        """What a site took on a day of its own, in the order of time."""
        about = {"site_id": site_id, "business_date": day}
        return payments_of(await self.rows(PAYMENTS_OF_DAY, **about, after_id=after_id, limit=limit))


def applied(applications: Sequence[Application], taken_from: list[UUID]) -> dict[str, list[Any]]:
    """The parameters of applications, and of what each takes from the document that was there before."""
    return {
        "application_id": [each.id for each in applications],
        "applied_payment_id": [each.share.payment_id for each in applications],
        "applied_invoice_id": [each.share.invoice_id for each in applications],
        "applied_minor": [each.share.amount.minor for each in applications],
        "taken_id": taken_from,
        "taken_minor": [each.share.amount.minor for each in applications],
    }


def _paid(new: Payment, legal_entity_id: UUID) -> Mapping[str, Any]:
    """The parameters of a payment with what it pays."""
    return {
        "id": new.id,
        "site_id": new.site_id,
        "legal_entity_id": legal_entity_id,
        "patient_id": new.patient_id,
        "course_id": new.course_id,
        "kept_for": new.kept_for,
        "payment_kind": new.kind,
        "tender": new.tender,
        "terminal_reference": new.terminal_reference,
        "check_number": new.check_number,
        "benefit_account": new.benefit_account,
        "card_charge_id": new.card_charge_id,
        "currency": new.amount.currency,
        "amount_minor": new.amount.minor,
        "business_date": new.business_date,
        "posted_at": new.received_at,
        "item_kind": ItemKind.PAYMENT,
        "left_minor": new.unapplied.minor,
        **applied(new.applications, [each.share.invoice_id for each in new.applications]),
    }


def open_item_of(row: Record) -> OpenItem:
    return OpenItem(
        id=row["id"],
        course_id=row["course_id"],
        left=Money(row["left_minor"], row["currency"]),
        since=row["since"],
        due_date=row["due_date"],
        version=row["version"],
    )


def charge_of(row: Record) -> Charge:
    return Charge(
        id=row["id"],
        kind=ChargeKind(row["kind"]),
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        visit_id=row["visit_id"],
        service_date=row["service_date"],
        service=kind_of(row) if row["visit_type_code"] else None,
        item_code=row["item_code"],
        description=row["description"],
        quantity=row["quantity"],
        amount=Money(row["amount_minor"], row["currency"]),
        posted_at=row["posted_at"],
        price_book_id=row["price_book_id"],
        price_book_version=row["price_book_version"],
        price_item_id=row["price_item_id"],
        event_id=row["event_id"],
        corrects_id=row["corrects_id"],
        made_by=row["made_by"],
        reason=CorrectionReason(row["reason"]) if row["reason"] else None,
        note=row["note"],
        replaces_id=row["replaces_id"],
        first_id=row["first_id"],
    )


def payments_of(found: Sequence[Record]) -> list[Payment]:
    return [_payment(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def _payment(found: Sequence[Record]) -> Payment:
    row = found[0]
    currency = row["currency"]
    applications = tuple(
        Application(
            each["application_id"],
            Share(each["id"], each["invoice_id"], Money(each["applied_minor"], currency)),
            each["applied_at"],
        )
        for each in found
        if each["application_id"] and each["applied_minor"]
    )
    return Payment(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        kind=PaymentKind(row["kind"]),
        tender=Tender(row["tender"]),
        terminal_reference=row["terminal_reference"],
        amount=Money(row["amount_minor"], currency),
        business_date=row["business_date"],
        received_at=row["received_at"],
        unapplied=Money(row["left_minor"], currency),
        applications=applications,
        check_number=row["check_number"],
        benefit_account=row["benefit_account"],
        credit_minor=row["credit_minor"],
        gone_minor=row["gone_minor"],
        reversed_at=row["reversed_at"],
        card_charge_id=row["card_charge_id"],
        disputed=row["disputed"],
        kept_for=row["kept_for"],
    )
