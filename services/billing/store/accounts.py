"""How a patient and a course stand: one statement each."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)

from chassis.errors import NotYetKnown
from chassis.money import Money
from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.accounts import (
    Account,
    CourseAccount,
    Document,
    DocumentKind,
    ItemKind,
    NextDue,
    Total,
    deposit_covered,
)
from services.billing.domain.disputes import DisputeState
from services.billing.domain.entitlements import SaleStatus
from services.billing.domain.refunds import RefundState
from services.billing.store.copies import PATIENTS
from services.billing.store.documents import KEPT_MINOR, LATEST_ESTIMATE, NOT_REPLACED, ON_LINE, UNAPPLIED
from services.billing.tables import (
    application,
    charge,
    course,
    credit_note,
    credit_transfer,
    dispute,
    forfeiture,
    invoice,
    invoice_line,
    open_item,
    package_end,
    payment,
    pin,
    refund,
    refund_part,
    reversal,
)

CHAIN, COURSE, PATIENT = (param(name, Uuid) for name in ("chain_id", "course_id", "patient_id"))

_not_invoiced = case((invoice_line.c.charge_id.is_(None), charge.c.amount_minor), else_=0)
_its_rest = {
    table: and_(open_item.c.chain_id == table.c.chain_id, open_item.c.id == table.c.id)
    for table in (invoice, payment, package_end, credit_note)
}
_nothing, _no_number, _zero, _no = literal("", Text), literal(0, BigInteger), literal(0, BigInteger), literal(False)
_no_course = cast(null(), Uuid)
_undecided = or_(dispute.c.state == DisputeState.OPEN.value, dispute.c.state == DisputeState.LOST.value)
_payment_disputed = exists().where(
    dispute.c.chain_id == payment.c.chain_id, dispute.c.payment_id == payment.c.id, _undecided
)
_of_payment = and_(dispute.c.chain_id == application.c.chain_id, dispute.c.payment_id == application.c.payment_id)
INVOICE_DISPUTED = exists(
    select(application.c.id)
    .join(dispute, _of_payment)
    .where(application.c.chain_id == invoice.c.chain_id, application.c.invoice_id == invoice.c.id, _undecided)
    .where(application.c.amount_minor > UNAPPLIED)
    .correlate(invoice)
)
"""Of an invoice: whether a payment of it is, of which anything is still applied."""


def _lines(
    kind: DocumentKind,
    table: Any,
    at: Any,
    amount: Any,
    left: Any,
    number: Any,
    text: Any,
    *,
    id: Any = None,
    course_id: Any = None,
    credit: Any = _zero,
    gone: Any = _zero,
    disputed: Any = _no,
) -> Select[Any]:
    return select(
        literal(kind.value, SmallInteger).label("kind"),
        (table.c.id if id is None else id).label("id"),
        table.c.site_id,
        (table.c.course_id if course_id is None else course_id).label("course_id"),
        at.label("at"),
        table.c.currency,
        amount.label("amount_minor"),
        left.label("open_minor"),
        number.label("number"),
        text.label("description"),
        table.c.patient_id,
        credit.label("credit_minor"),
        gone.label("gone_minor"),
        disputed.label("disputed"),
    ).where(table.c.chain_id == CHAIN, table.c.patient_id == any_(PATIENTS.all_ids(PATIENT)))


_charges = _lines(
    DocumentKind.CHARGE,
    charge,
    charge.c.posted_at,
    charge.c.amount_minor,
    _not_invoiced,
    _no_number,
    charge.c.description,
).outerjoin(invoice_line, ON_LINE)
_invoices = _lines(
    DocumentKind.INVOICE,
    invoice,
    invoice.c.issued_at,
    invoice.c.total_minor,
    open_item.c.left_minor,
    invoice.c.number,
    _nothing,
    disputed=INVOICE_DISPUTED,
).join(open_item, _its_rest[invoice])
_payments = _lines(
    DocumentKind.PAYMENT,
    payment,
    payment.c.received_at,
    payment.c.amount_minor,
    open_item.c.left_minor,
    _no_number,
    _nothing,
    credit=open_item.c.credit_minor,
    gone=open_item.c.gone_minor,
    disputed=_payment_disputed,
).join(open_item, _its_rest[payment])
_credit_left, _credit_gone = (func.coalesce(column, 0) for column in (open_item.c.left_minor, open_item.c.gone_minor))
_stops = _lines(
    DocumentKind.PACKAGE_STOP,
    package_end,
    package_end.c.ended_at,
    package_end.c.forgiven_minor + package_end.c.refundable_minor,
    _credit_left,
    _no_number,
    _nothing,
    course_id=_no_course,
    credit=_credit_left,
    gone=_credit_gone,
).outerjoin(open_item, _its_rest[package_end])
_credit_notes = _lines(
    DocumentKind.CREDIT_NOTE,
    credit_note,
    credit_note.c.issued_at,
    credit_note.c.total_minor,
    _credit_left,
    credit_note.c.number,
    _nothing,
    course_id=_no_course,
    credit=_credit_left,
    gone=_credit_gone,
).outerjoin(open_item, _its_rest[credit_note])
_stopped = _stops.where(package_end.c.ended_as == SaleStatus.STOPPED.value)
_refunds = (
    _lines(
        DocumentKind.REFUND,
        refund,
        refund.c.created_at,
        refund_part.c.amount_minor,
        _zero,
        _no_number,
        _nothing,
        id=refund_part.c.id,
        course_id=_no_course,
    )
    .join(refund_part, and_(refund_part.c.chain_id == refund.c.chain_id, refund_part.c.refund_id == refund.c.id))
    .where(refund_part.c.state != RefundState.FAILED.value)
)
_reversals = _lines(
    DocumentKind.REVERSAL,
    reversal,
    reversal.c.reversed_at,
    reversal.c.amount_minor,
    _zero,
    _no_number,
    _nothing,
    id=reversal.c.payment_id,
    course_id=_no_course,
)
_transfers = _lines(
    DocumentKind.CREDIT,
    credit_transfer,
    credit_transfer.c.moved_at,
    credit_transfer.c.amount_minor,
    _zero,
    _no_number,
    _nothing,
    course_id=_no_course,
)
_forfeitures = _lines(
    DocumentKind.FORFEITURE,
    forfeiture,
    forfeiture.c.forfeited_at,
    forfeiture.c.amount_minor,
    _zero,
    _no_number,
    func.coalesce(charge.c.description, ""),
).outerjoin(charge, and_(charge.c.chain_id == forfeiture.c.chain_id, charge.c.id == forfeiture.c.charge_id))
_documents = union_all(
    _charges, _invoices, _payments, _refunds, _reversals, _transfers, _forfeitures, _stopped, _credit_notes
).cte("documents")
_end = PATIENTS.end(PATIENT).label("end_id")
_newest = (
    select(_documents, _end)
    .where(tuple_(_documents.c.at, _documents.c.id) < tuple_(param("before_at", Instant), param("before_id", Uuid)))
    .order_by(_documents.c.at.desc(), _documents.c.id.desc())
    .limit(param("limit", Integer))
)
_totals = select(
    _documents.c.kind,
    cast(null(), Uuid).label("id"),
    _documents.c.site_id,
    cast(null(), Uuid).label("course_id"),
    cast(null(), Instant).label("at"),
    _documents.c.currency,
    cast(func.sum(_documents.c.amount_minor), BigInteger).label("amount_minor"),
    cast(func.sum(_documents.c.open_minor), BigInteger).label("open_minor"),
    _no_number.label("number"),
    _nothing.label("description"),
    _documents.c.patient_id,
    cast(func.sum(_documents.c.credit_minor), BigInteger).label("credit_minor"),
    cast(func.sum(_documents.c.gone_minor), BigInteger).label("gone_minor"),
    _no.label("disputed"),
    _end,
).group_by(_documents.c.kind, _documents.c.currency, _documents.c.patient_id, _documents.c.site_id)
ACCOUNT = Statement(union_all(_totals, _newest.subquery("newest").select()))  # A row without an id is a total.
NEXT_DUE = Statement(
    select(open_item.c.id, open_item.c.due_date, open_item.c.left_minor, open_item.c.currency)
    .where(
        open_item.c.chain_id == CHAIN,
        open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
        open_item.c.kind == ItemKind.INVOICE.value,
        open_item.c.left_minor > literal_column("0"),  # As in the index, in any plan.
        open_item.c.due_date.is_not(None),
    )
    .order_by(open_item.c.due_date, open_item.c.id)
    .limit(1)
)


def _sum(table: Any, amount: Any, joined: Any = None) -> Any:
    of_course = select(cast(func.coalesce(func.sum(amount), 0), BigInteger)).where(
        table.c.chain_id == CHAIN, table.c.course_id == COURSE
    )
    return of_course.join(open_item, joined) if joined is not None else of_course


def _kept(amount: Any) -> Any:
    """Of what was paid for the course and is kept for it still."""
    return _sum(payment, amount, _its_rest[payment]).where(open_item.c.course_id == COURSE).scalar_subquery()


_currency_paid = (
    select(payment.c.currency).where(payment.c.chain_id == CHAIN, payment.c.course_id == COURSE).limit(1)
).scalar_subquery()
COURSE_ACCOUNT = Statement(
    select(
        course.c.id,
        course.c.site_id,
        course.c.patient_id,
        pin.c.price_book_id,
        pin.c.version,
        LATEST_ESTIMATE.c.id.label("estimate_id"),
        func.coalesce(LATEST_ESTIMATE.c.currency, _currency_paid).label("currency"),
        LATEST_ESTIMATE.c.total_minor,
        LATEST_ESTIMATE.c.deposit_minor,
        _sum(charge, charge.c.amount_minor).where(NOT_REPLACED).scalar_subquery().label("charged"),
        _sum(invoice, invoice.c.total_minor).scalar_subquery().label("invoiced"),
        _sum(invoice, open_item.c.left_minor, _its_rest[invoice]).scalar_subquery().label("due"),
        _sum(invoice, open_item.c.credited_minor, _its_rest[invoice]).scalar_subquery().label("credited"),
        _kept(KEPT_MINOR).label("named"),
        _kept(open_item.c.left_minor).label("unapplied"),
    )
    .outerjoin(pin, and_(pin.c.chain_id == course.c.chain_id, pin.c.course_id == course.c.id))
    .outerjoin(LATEST_ESTIMATE, LATEST_ESTIMATE.c.course_id == course.c.id)
    .where(course.c.chain_id == CHAIN, course.c.id == COURSE)
)


class AccountStore(Store):
    async def account(self, patient_id: UUID, before: tuple[datetime, UUID], limit: int) -> Account:
        """Of all the patient's ids. Documents: a page of them, the newest first."""
        before_at, before_id = before
        page = {"before_at": before_at, "before_id": before_id, "limit": limit}
        found = await self.rows(ACCOUNT, patient_id=patient_id, **page)
        totals = [
            Total(
                row["patient_id"],
                row["site_id"],
                row["currency"],
                DocumentKind(row["kind"]),
                row["amount_minor"],
                row["open_minor"],
                row["credit_minor"],
                row["gone_minor"],
            )
            for row in found
            if row["id"] is None
        ]
        documents = sorted((row for row in found if row["id"]), key=lambda row: (row["at"], row["id"]), reverse=True)
        survivor_id = found[0]["end_id"] if found else None
        return Account(survivor_id, tuple(totals), tuple(_document(row) for row in documents))

    async def next_due(self, patient_id: UUID) -> NextDue | None:
        """Under any of the patient's ids. None: nothing is to be paid."""
        row = await self.row(NEXT_DUE, patient_id=patient_id)
        return NextDue(row["id"], row["due_date"], Money(row["left_minor"], row["currency"])) if row else None

    async def course_account(self, course_id: UUID) -> CourseAccount:
        row = await self.row(COURSE_ACCOUNT, course_id=course_id)
        if row is None:
            raise NotYetKnown("course", course_id)

        def money(minor: int | None) -> Money | None:
            return None if minor is None or row["currency"] is None else Money(minor, row["currency"])

        deposit_due = money(row["deposit_minor"])
        return CourseAccount(
            course_id=row["id"],
            site_id=row["site_id"],
            patient_id=row["patient_id"],
            price_book_id=row["price_book_id"],
            price_book_version=row["version"] or 0,
            estimate_id=row["estimate_id"],
            estimated=money(row["total_minor"]),
            deposit_due=deposit_due,
            deposit_covered=deposit_covered(deposit_due, row["named"]),
            charged=money(row["charged"]),
            invoiced=money(row["invoiced"]),
            paid=money(row["invoiced"] - row["credited"] - row["due"] + row["unapplied"]),
            due=money(row["due"]),
        )


def _document(row: Record) -> Document:
    return Document(
        kind=DocumentKind(row["kind"]),
        id=row["id"],
        site_id=row["site_id"],
        course_id=row["course_id"],
        at=row["at"],
        amount=Money(row["amount_minor"], row["currency"]),
        open=Money(row["open_minor"], row["currency"]),
        invoice_number=row["number"],
        description=row["description"],
        patient_id=row["patient_id"],
        disputed=row["disputed"],
    )
