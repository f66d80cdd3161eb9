"""What becomes of payments: applied later, taken off, reversed, made credit or a fee."""

from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Text,
    Uuid,
    and_,
    any_,
    case,
    delete,
    exists,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.accounts import Application, ItemKind, OpenItem
from services.billing.domain.ledger import Tender
from services.billing.domain.payments import Change, CreditTransfer, Forfeiture, Reversal, Unapplication
from services.billing.store.copies import PATIENTS
from services.billing.store.documents import open_item_of
from services.billing.tables import (
    application,
    credit_transfer,
    credit_use,
    forfeiture,
    open_item,
    payment,
    reversal,
    taken_reference,
    unapplication,
    visit,
)

CHAIN, ID, SITE, COURSE, PATIENT = (
    param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id", "patient_id")
)
NOBODY = UUID(int=0)

_changed = rows("changed", item_id=Uuid, more_left=BigInteger, more_credit=BigInteger, more_gone=BigInteger)
CHANGE_ITEMS = Statement(
    update(open_item)
    .where(open_item.c.chain_id == CHAIN, open_item.c.id == _changed.c.item_id)
    .values(
        left_minor=open_item.c.left_minor + _changed.c.more_left,
        credit_minor=open_item.c.credit_minor + _changed.c.more_credit,
        gone_minor=open_item.c.gone_minor + _changed.c.more_gone,
        version=open_item.c.version + 1,
    )
    .returning(open_item)
)
_applied = rows(
    "applied", application_id=Uuid, payment_id=Uuid, invoice_id=Uuid, currency=Text, amount_minor=BigInteger
)
ADD_APPLICATIONS = Statement(
    insert(application).from_select(
        ["chain_id", "site_id", "applied_at", "id", "payment_id", "invoice_id", "currency", "amount_minor"],
        select(CHAIN, SITE, param("applied_at", Instant), *_applied.c),
    )
)
_unapplied = rows(
    "unapplied",
    unapplication_id=Uuid,
    application_id=Uuid,
    item_id=Uuid,
    invoice_id=Uuid,
    currency=Text,
    amount_minor=BigInteger,
)
_UNAPPLIED = ["id", "application_id", "item_id", "invoice_id", "currency", "amount_minor"]
ADD_UNAPPLICATIONS = Statement(
    insert(unapplication).from_select(
        ["chain_id", "site_id", "reason", "actor", "unapplied_at", *_UNAPPLIED],
        select(CHAIN, SITE, param("reason", Text), param("actor", Text), param("unapplied_at", Instant), *_unapplied.c),
    )
)
ADD_REVERSAL = Statement(insert(reversal).values(params(*reversal.c.keys())))
ADD_TRANSFER = Statement(insert(credit_transfer).values(params(*credit_transfer.c.keys())))
ADD_FORFEITURE = Statement(insert(forfeiture).values(params(*forfeiture.c.keys())))
FORFEITED = Statement(
    select(forfeiture.c.id)
    .where(forfeiture.c.chain_id == CHAIN, forfeiture.c.course_id == COURSE, forfeiture.c.charge_id.is_(None))
    .limit(1)
)
OF_CHARGES = Statement(
    select(forfeiture)
    .where(forfeiture.c.chain_id == CHAIN, forfeiture.c.charge_id == any_(param("charge_ids", ARRAY(Uuid))))
    .order_by(forfeiture.c.forfeited_at, forfeiture.c.id)
)
TAKE_REFERENCE = Statement(insert(taken_reference).values(params(*taken_reference.c.keys())))
FREE_REFERENCE = Statement(
    delete(taken_reference).where(
        taken_reference.c.chain_id == CHAIN, taken_reference.c.payment_id == param("payment_id", Uuid)
    )
)
_key = ("site_id", "business_date", "tender", "reference", "payer_id")
TAKEN_REFERENCE = Statement(
    select(taken_reference.c.payment_id).where(
        taken_reference.c.chain_id == CHAIN, *(taken_reference.c[name] == param(name) for name in _key)
    )
)
_its_payment = and_(payment.c.chain_id == open_item.c.chain_id, payment.c.id == open_item.c.id)
_paid_for = [open_item.c.chain_id == CHAIN, payment.c.chain_id == CHAIN, payment.c.course_id == COURSE]
_kept = open_item.c.course_id == COURSE
_booked = exists().where(visit.c.chain_id == CHAIN, visit.c.course_id == COURSE, not_(visit.c.held))
RELEASE = Statement(update(open_item).where(_its_payment, *_paid_for, _kept).values(course_id=null()))
_left_for_course = (
    select(open_item)
    .join(payment, _its_payment)
    .where(*_paid_for, open_item.c.left_minor > literal_column("0"))
    .order_by(open_item.c.since, open_item.c.id)
)
KEPT_FOR_COURSE = Statement(_left_for_course.where(_kept))
LEFT_OF_DEPOSIT = Statement(_left_for_course.where(or_(_kept, and_(open_item.c.course_id.is_(None), _booked))))
_given = and_(open_item.c.kind == literal_column("3"), open_item.c.left_minor > literal_column("0"))  # As in the index.
CREDITS = Statement(
    select(
        open_item.c.id,
        open_item.c.kind,
        case((open_item.c.kind == literal_column("3"), open_item.c.left_minor), else_=open_item.c.credit_minor).label(
            "minor"
        ),
    )
    .where(
        open_item.c.chain_id == CHAIN,
        open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
        open_item.c.site_id == SITE,
        open_item.c.currency == param("currency"),
        or_(open_item.c.credit_minor > literal_column("0"), _given),
    )
    .order_by(open_item.c.since, open_item.c.id)
)
_used = rows("used", use_id=Uuid, credit_id=Uuid, invoice_id=Uuid, currency=Text, amount_minor=BigInteger)
ADD_CREDIT_USES = Statement(
    insert(credit_use).from_select(
        ["chain_id", "site_id", "applied_at", "id", "credit_id", "invoice_id", "currency", "amount_minor"],
        select(CHAIN, SITE, param("applied_at", Instant), *_used.c),
    )
)


class PaymentStore(Store):
    async def change_items(self, changes: Iterable[Change]) -> dict[UUID, OpenItem]:
        """Each open item once, as they are now. The database refuses what would be below zero."""
        asked = list(changes)
        if not asked:
            return {}
        changed = await self.rows(
            CHANGE_ITEMS,
            item_id=[each.id for each in asked],
            more_left=[each.left for each in asked],
            more_credit=[each.credit for each in asked],
            more_gone=[each.gone for each in asked],
        )
        return {row["id"]: open_item_of(row) for row in changed}

    async def add_applications(self, site_id: UUID, new: Sequence[Application]) -> None:
        """All of one instant. What is left of payments and invoices is another statement's."""
        await self.rows(
            ADD_APPLICATIONS,
            site_id=site_id,
            applied_at=self.call.now,
            application_id=[each.id for each in new],
            payment_id=[each.share.payment_id for each in new],
            invoice_id=[each.share.invoice_id for each in new],
            currency=[each.share.amount.currency for each in new],
            amount_minor=[each.share.amount.minor for each in new],
        )

    async def add_unapplications(self, site_id: UUID, new: Sequence[Unapplication], reason: str) -> None:
        await self.rows(
            ADD_UNAPPLICATIONS,
            site_id=site_id,
            reason=reason,
            actor=self.call.actor,
            unapplied_at=self.call.now,
            unapplication_id=[each.id for each in new],
            application_id=[each.application_id for each in new],
            item_id=[each.share.payment_id for each in new],
            invoice_id=[each.share.invoice_id for each in new],
            currency=[each.share.amount.currency for each in new],
            amount_minor=[each.share.amount.minor for each in new],
        )

    async def add_reversal(self, new: Reversal) -> None:
        """Its reference may be recorded again."""
        await self.rows(
            ADD_REVERSAL,
            payment_id=new.payment_id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            reason=new.reason,
            actor=new.actor,
            business_date=new.business_date,
            reversed_at=new.reversed_at,
        )
        await self.rows(FREE_REFERENCE, payment_id=new.payment_id)

    async def add_transfer(self, new: CreditTransfer) -> None:
        await self.rows(
            ADD_TRANSFER,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            payment_id=new.payment_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            moved_at=new.moved_at,
        )

    async def add_forfeiture(self, new: Forfeiture) -> None:
        await self.rows(
            ADD_FORFEITURE,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            course_id=new.course_id,
            payment_id=new.payment_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            tax_minor=new.tax.minor,
            reason=new.reason,
            actor=new.actor,
            forfeited_at=new.forfeited_at,
            charge_id=new.charge_id,
        )

    async def deposit_forfeited(self, course_id: UUID) -> bool:
        """Whether somebody made a fee of anything that was paid for the course, by hand."""
        return await self.row(FORFEITED, course_id=course_id) is not None

    async def forfeitures_of(self, charge_ids: Sequence[UUID]) -> tuple[Forfeiture, ...]:
        """What was taken of deposits for these fees, and given back, oldest first."""
        return tuple(_forfeiture(row) for row in await self.rows(OF_CHARGES, charge_ids=charge_ids))

    async def taken_reference(
        self, site_id: UUID, day: date, tender: Tender, reference: str, payer_id: UUID
    ) -> UUID | None:
        """The payment that has it on that day, if one has."""
        row = await self.row(
            TAKEN_REFERENCE,
            site_id=site_id,
            business_date=day,
            tender=tender,
            reference=reference,
            payer_id=payer_id,
        )
        return row["payment_id"] if row else None

    async def take_reference(
        self, site_id: UUID, day: date, tender: Tender, reference: str, payer_id: UUID, payment_id: UUID
    ) -> None:
        await self.rows(
            TAKE_REFERENCE,
            site_id=site_id,
            business_date=day,
            tender=tender,
            reference=reference,
            payer_id=payer_id,
            payment_id=payment_id,
        )

    async def release(self, course_id: UUID) -> None:
        """What is left of its payments, now or later, is kept for no course."""
        await self.rows(RELEASE, course_id=course_id)

    async def kept_for_course(self, course_id: UUID) -> list[OpenItem]:
        """Payments of which something is left and kept for the course, the oldest first."""
        found = await self.rows(KEPT_FOR_COURSE, course_id=course_id)
        return [open_item_of(row) for row in found]

    async def left_of_deposit(self, course_id: UUID) -> list[OpenItem]:
        """As `kept_for_course`, with what is kept for none since nothing of the course is to come. What was paid for a
        hold that ended is no deposit: nobody agreed to a policy."""
        found = await self.rows(LEFT_OF_DEPOSIT, course_id=course_id)
        return [open_item_of(row) for row in found]

    async def add_credit_uses(self, site_id: UUID, new: Sequence[Application]) -> None:
        """As `add_applications`, of credit that no payment holds."""
        await self.rows(
            ADD_CREDIT_USES,
            site_id=site_id,
            applied_at=self.call.now,
            use_id=[each.id for each in new],
            credit_id=[each.share.payment_id for each in new],
            invoice_id=[each.share.invoice_id for each in new],
            currency=[each.share.amount.currency for each in new],
            amount_minor=[each.share.amount.minor for each in new],
        )

    async def credits(self, patient_id: UUID, site_id: UUID, currency: str) -> tuple[dict[UUID, int], set[UUID]]:
        """What there is of credit, under any of the patient's ids, the oldest first: of which payment, or of what else
        gave it; and which of them are payments."""
        found = await self.rows(CREDITS, patient_id=patient_id, site_id=site_id, currency=currency)
        of_payments = {row["id"] for row in found if row["kind"] == ItemKind.PAYMENT}
        return {row["id"]: row["minor"] for row in found}, of_payments


def _forfeiture(row: Record) -> Forfeiture:
    return Forfeiture(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        payment_id=row["payment_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        reason=row["reason"],
        actor=row["actor"],
        forfeited_at=row["forfeited_at"],
        tax=Money(row["tax_minor"], row["currency"]),
        charge_id=row["charge_id"],
    )
