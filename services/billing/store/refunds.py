"""Refunds, how their parts went, and what they may take from."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    Interval,
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
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.accounts import Payment
from services.billing.domain.disputes import DisputeState
from services.billing.domain.ledger import Tender
from services.billing.domain.refunds import Credit, Refund, RefundNotFound, RefundPart, RefundState
from services.billing.store.copies import PATIENTS, is_about
from services.billing.store.documents import payments_of, payments_where
from services.billing.tables import dispute, open_item, payment, refund, refund_part

CHAIN, ID, SITE, PATIENT = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "patient_id"))
REAL_NOW = func.clock_timestamp()
FIRST_LOOK = timedelta()
"""The job asks the processor at once."""

_part = rows(
    "new_part",
    part_id=Uuid,
    payment_id=Uuid,
    credit_id=Uuid,
    tender=SmallInteger,
    reference=Text,
    part_minor=BigInteger,
    credit_minor=BigInteger,
    state=SmallInteger,
    looks=Interval,
)
_new_refund = insert(refund).values(params(*refund.c.keys()))
_OF_REFUND = ["chain_id", "refund_id", "site_id", "patient_id", "currency", "failure", "tries", "changed_at"]
_OF_PART = ["id", "payment_id", "credit_id", "tender", "reference", "amount_minor", "credit_minor", "state", "look_at"]
ADD_REFUND = Statement(
    insert(refund_part)
    .from_select(
        [*_OF_REFUND, *_OF_PART],
        select(
            CHAIN,
            ID,
            SITE,
            PATIENT,
            param("currency", Text),
            literal_column("''"),
            literal_column("0"),
            param("created_at", Instant),
            _part.c.part_id,
            _part.c.payment_id,
            _part.c.credit_id,
            _part.c.tender,
            _part.c.reference,
            _part.c.part_minor,
            _part.c.credit_minor,
            _part.c.state,
            REAL_NOW + _part.c.looks,
        ),
    )
    .add_cte(_new_refund.cte("new_refund"))
)
END_PART = Statement(
    update(refund_part)
    .where(refund_part.c.chain_id == CHAIN, refund_part.c.id == ID)
    .values(params("state", "processor_id", "failure", "changed_at") | {"look_at": None})
)
WAIT_FOR_PART = Statement(
    update(refund_part)
    .where(refund_part.c.chain_id == CHAIN, refund_part.c.id == ID, refund_part.c.state == literal_column("1"))
    .values(
        processor_id=func.coalesce(param("processor_id", Text), refund_part.c.processor_id),
        tries=refund_part.c.tries + 1,
        look_at=REAL_NOW + param("wait", Interval),
    )
)


_parts = [
    refund_part.c.id.label("part_id"),
    refund_part.c.payment_id,
    refund_part.c.credit_id,
    refund_part.c.tender,
    refund_part.c.reference,
    refund_part.c.amount_minor.label("part_minor"),
    refund_part.c.credit_minor,
    refund_part.c.state,
    refund_part.c.processor_id,
    refund_part.c.failure,
    refund_part.c.tries,
    refund_part.c.changed_at,
]


def _with_parts(found: Select[Any]) -> Statement:
    page = found.subquery("page")
    of_it = and_(refund_part.c.chain_id == page.c.chain_id, refund_part.c.refund_id == page.c.id)
    return Statement(select(page, *_parts).join(refund_part, of_it).order_by(page.c.id, refund_part.c.id))


_of_chain = select(refund).where(refund.c.chain_id == CHAIN)
_page = _of_chain.where(refund.c.id > param("after_id", Uuid)).order_by(refund.c.id).limit(param("limit", Integer))
REFUND = _with_parts(_of_chain.where(refund.c.id == ID))
REFUNDS_OF_PATIENT = _with_parts(_page.where(is_about(refund, "patient_id")))
REFUNDS_OF_DAY = _with_parts(
    _page.where(refund.c.site_id == SITE, refund.c.business_date == param("business_date", Date))
)
PART = Statement(select(refund_part).where(refund_part.c.chain_id == CHAIN, refund_part.c.id == ID))
PARTS_TO_LOOK_AT = Statement(
    select(refund_part)
    .where(
        refund_part.c.chain_id == CHAIN,
        refund_part.c.look_at.is_not(None),
        refund_part.c.look_at <= REAL_NOW,
    )
    .order_by(refund_part.c.look_at)
    .limit(param("limit", Integer))
)
_in_hand = or_(open_item.c.left_minor > literal_column("0"), open_item.c.credit_minor > literal_column("0"))
REFUNDABLE = payments_where(
    payment.c.id
    == any_(
        func.array(
            select(open_item.c.id)
            .where(
                open_item.c.chain_id == CHAIN,
                open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
                open_item.c.site_id == SITE,
                open_item.c.kind == literal_column("1"),
                _in_hand,
            )
            .scalar_subquery(),
            type_=ARRAY(Uuid),
        )
    )
)
_NAMED = any_(param("ids", ARRAY(Uuid)))
PAYMENTS_NAMED = payments_where(payment.c.id == _NAMED)
_credits = select(open_item).where(open_item.c.chain_id == CHAIN, open_item.c.kind == literal_column("3"))
CREDIT_LEFT = Statement(
    _credits.where(
        open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),
        open_item.c.site_id == SITE,
        open_item.c.left_minor > literal_column("0"),  # As in the index.
    )
)
CREDIT_NAMED = Statement(_credits.where(open_item.c.id == _NAMED))
_given_back = (
    select(func.coalesce(func.sum(refund_part.c.amount_minor), 0))
    .where(
        refund_part.c.chain_id == payment.c.chain_id,
        refund_part.c.payment_id == payment.c.id,
        refund_part.c.tender == literal_column("4"),
        refund_part.c.state != literal_column("3"),
    )
    .scalar_subquery()
)
_charged_back = (
    select(func.coalesce(func.sum(dispute.c.amount_minor), 0))
    .where(
        dispute.c.chain_id == payment.c.chain_id,
        dispute.c.payment_id == payment.c.id,
        dispute.c.state != DisputeState.WON.value,
    )
    .scalar_subquery()
)
REFUNDABLE_ON_CARD = Statement(
    select(
        payment.c.id,
        func.greatest(cast(payment.c.amount_minor - _given_back - _charged_back, BigInteger), 0).label("minor"),
    ).where(payment.c.chain_id == CHAIN, payment.c.id == _NAMED)
)


class RefundStore(Store):
    async def add_refund(self, new: Refund) -> None:
        await self.rows(
            ADD_REFUND,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            reason=new.reason,
            actor=new.actor,
            business_date=new.business_date,
            created_at=new.created_at,
            part_id=[part.id for part in new.parts],
            payment_id=[part.payment_id for part in new.parts],
            credit_id=[part.credit_id for part in new.parts],
            tender=[part.tender for part in new.parts],
            reference=[part.reference for part in new.parts],
            part_minor=[part.amount.minor for part in new.parts],
            credit_minor=[part.credit.minor for part in new.parts],
            state=[part.state for part in new.parts],
            looks=[FIRST_LOOK if part.state is RefundState.REQUESTED else None for part in new.parts],
        )

    async def end_part(self, ended: RefundPart) -> None:
        await self.rows(
            END_PART,
            id=ended.id,
            state=ended.state,
            processor_id=ended.processor_id,
            failure=ended.failure,
            changed_at=ended.changed_at,
        )

    async def wait_for_part(self, part_id: UUID, processor_id: str | None, wait: timedelta) -> None:
        """The processor has not said how it went: it is asked again later."""
        await self.rows(WAIT_FOR_PART, id=part_id, processor_id=processor_id, wait=wait)

    async def refund(self, refund_id: UUID) -> Refund:
        found = await self.rows(REFUND, id=refund_id)
        if not found:
            raise RefundNotFound(refund_id=to_wire("refund", refund_id))
        return _refund(found)

    async def refunds_of_patient(self, patient_id: UUID, after_id: UUID, limit: int) -> list[Refund]:
        """In the order of time."""
        return _refunds(await self.rows(REFUNDS_OF_PATIENT, about_id=patient_id, after_id=after_id, limit=limit))

    async def refunds_of_day(self, site_id: UUID, day: date, after_id: UUID, limit: int) -> list[Refund]:
        about = {"site_id": site_id, "business_date": day}
        return _refunds(await self.rows(REFUNDS_OF_DAY, **about, after_id=after_id, limit=limit))

    async def refund_part(self, part_id: UUID) -> RefundPart | None:
        row = await self.row(PART, id=part_id)
        return _part_of(row, "amount_minor", "id") if row else None

    async def parts_to_look_at(self, limit: int) -> list[RefundPart]:
        """Those that the processor is to be asked about, by real time."""
        return [_part_of(row, "amount_minor", "id") for row in await self.rows(PARTS_TO_LOOK_AT, limit=limit)]

    async def refundable(self, patient_id: UUID, site_id: UUID) -> list[Payment]:
        """Payments of a patient at a site, under any of their ids, of which anything can be given back."""
        return payments_of(await self.rows(REFUNDABLE, patient_id=patient_id, site_id=site_id))

    async def credit_left(self, patient_id: UUID, site_id: UUID) -> list[Credit]:
        """What credit notes and ends of packages gave a patient at a site, under any of their ids, and is left."""
        return [_credit(row) for row in await self.rows(CREDIT_LEFT, patient_id=patient_id, site_id=site_id)]

    async def credit_named(self, credit_ids: Sequence[UUID]) -> list[Credit]:
        return [_credit(row) for row in await self.rows(CREDIT_NAMED, ids=credit_ids)]

    async def refundable_on_card(self, payment_ids: Sequence[UUID]) -> dict[UUID, int]:
        """What the processor can still give back of each."""
        return {row["id"]: row["minor"] for row in await self.rows(REFUNDABLE_ON_CARD, ids=payment_ids)}

    async def payments_named(self, payment_ids: Sequence[UUID]) -> list[Payment]:
        return payments_of(await self.rows(PAYMENTS_NAMED, ids=payment_ids))


def _credit(row: Record) -> Credit:
    left = Money(row["left_minor"], row["currency"])
    return Credit(row["id"], row["site_id"], row["patient_id"], left, row["since"])


def _refunds(found: Sequence[Record]) -> list[Refund]:
    return [_refund(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def _refund(found: Sequence[Record]) -> Refund:
    row = found[0]
    return Refund(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        reason=row["reason"],
        actor=row["actor"],
        business_date=row["business_date"],
        created_at=row["created_at"],
        parts=tuple(_part_of(dict(each) | {"refund_id": row["id"]}, "part_minor", "part_id") for each in found),
    )


def _part_of(row: Any, amount: str, id: str) -> RefundPart:
    return RefundPart(
        id=row[id],
        refund_id=row["refund_id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        payment_id=row["payment_id"],
        tender=Tender(row["tender"]),
        reference=row["reference"],
        amount=Money(row[amount], row["currency"]),
        credit=Money(row["credit_minor"], row["currency"]),
        state=RefundState(row["state"]),
        changed_at=row["changed_at"],
        credit_id=row["credit_id"],
        processor_id=row["processor_id"],
        failure=row["failure"],
        tries=row["tries"],
    )
