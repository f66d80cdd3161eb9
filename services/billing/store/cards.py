"""Cards, what is asked of them, and what their processor told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    Integer,
    Interval,
    SmallInteger,
    Text,
    Uuid,
    and_,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import new_id, to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.cards import (
    Card,
    CardCharge,
    CardChargeNotFound,
    CardChargeState,
    CardNotFound,
    EventOutcome,
)
from services.billing.store.copies import is_about
from services.billing.tables import card, card_charge, payment, processor_customer, processor_event

CHAIN, ID, PATIENT = (param(name, Uuid) for name in ("chain_id", "id", "patient_id"))
REAL_NOW = func.clock_timestamp()
KEPT_BY_PROCESSOR = timedelta(hours=23)
"""A processor knows a key again for a day: after that it is not asked for money under it, but whether it was."""
CARDS_MAX = 50
NO_WAIT = timedelta()

_account, _customer = param("account", Text), param("processor_id", Text)
_new_customer = pg_insert(processor_customer).values(params("chain_id", "id", "patient_id", "account"))
NEED_CUSTOMER = Statement(_new_customer.on_conflict_do_nothing())
CUSTOMER = Statement(
    select(processor_customer.c.id, processor_customer.c.processor_id).where(
        processor_customer.c.chain_id == CHAIN,
        processor_customer.c.patient_id == PATIENT,
        processor_customer.c.account == _account,
    )
)
KEEP_CUSTOMER = Statement(
    update(processor_customer)
    .where(processor_customer.c.chain_id == CHAIN, processor_customer.c.id == ID)
    .values(processor_id=_customer)
)
_new_card = pg_insert(card).values(
    params("chain_id", "id", "patient_id", "account", "customer", "payment_method", "brand", "last4")
    | params("expiry_month", "expiry_year", "saved_at")
)
KEEP_CARD = Statement(_new_card.on_conflict_do_nothing())
CARD = Statement(select(card).where(card.c.chain_id == CHAIN, card.c.id == ID))
CARDS = Statement(
    select(card)
    .where(card.c.chain_id == CHAIN, is_about(card, "patient_id"), card.c.detached_at.is_(None))
    .order_by(card.c.id.desc())
    .limit(CARDS_MAX)
)
DETACH_CARD = Statement(
    update(card)
    .where(card.c.chain_id == CHAIN, card.c.id == ID, card.c.detached_at.is_(None))
    .values(detached_at=param("detached_at"), look_at=REAL_NOW)
)
_to_look_at = and_(card.c.look_at.is_not(None), card.c.look_at <= REAL_NOW)
CARDS_TO_LOOK_AT = Statement(
    select(card).where(card.c.chain_id == CHAIN, _to_look_at).order_by(card.c.look_at).limit(param("limit", Integer))
)
LOOK_AT_CARD = Statement(
    update(card).where(card.c.chain_id == CHAIN, card.c.id == ID).values(look_at=REAL_NOW + param("wait", Interval))
)

ADD_CARD_CHARGE = Statement(
    insert(card_charge).values(
        params("chain_id", "id", "site_id", "patient_id", "course_id", "invoice_id", "card_id", "account")
        | params("currency", "amount_minor", "saves_card", "state", "created_at")
        | {"failure": "", "tries": 0, "changed_at": param("created_at")}
        | {"asked_at": REAL_NOW, "look_at": REAL_NOW + param("wait", Interval)}
    )
)
_its_card = and_(card.c.chain_id == card_charge.c.chain_id, card.c.id == card_charge.c.card_id)
_its_payment = and_(payment.c.chain_id == card_charge.c.chain_id, payment.c.card_charge_id == card_charge.c.id)
_charges = (
    select(
        card_charge,
        card.c.customer,
        card.c.payment_method,
        payment.c.id.label("payment_id"),
        (
            card_charge.c.asked_at < REAL_NOW - literal_column(f"interval '{KEPT_BY_PROCESSOR.total_seconds():.0f} s'")
        ).label("aged"),
    )
    .outerjoin(card, _its_card)
    .outerjoin(payment, _its_payment)
    .where(card_charge.c.chain_id == CHAIN)
)
CARD_CHARGE = Statement(_charges.where(card_charge.c.id == ID))
CARD_CHARGE_OF_PROCESSOR = Statement(
    _charges.where(card_charge.c.account == _account, card_charge.c.processor_id == param("processor_id", Text))
)
CARD_CHARGES_TO_LOOK_AT = Statement(
    _charges.where(card_charge.c.look_at.is_not(None), card_charge.c.look_at <= REAL_NOW)
    .order_by(card_charge.c.look_at)
    .limit(param("limit", Integer))
)
_is_it = and_(card_charge.c.chain_id == CHAIN, card_charge.c.id == ID)
END_CARD_CHARGE = Statement(
    update(card_charge)
    .where(_is_it)
    .values(
        params("state", "failure", "changed_at")
        | {"look_at": None, "processor_id": func.coalesce(param("processor_id", Text), card_charge.c.processor_id)}
    )
)
WAIT_FOR_CARD_CHARGE = Statement(
    update(card_charge)
    .where(_is_it, card_charge.c.state == literal_column("1"))
    .values(
        processor_id=func.coalesce(param("processor_id", Text), card_charge.c.processor_id),
        tries=card_charge.c.tries + 1,
        look_at=REAL_NOW + param("wait", Interval),
    )
)

_new_event = pg_insert(processor_event).values(
    params("chain_id", "account", "event_id", "type", "object_id", "received_at")
    | {"outcome": EventOutcome.WAITING.value, "tries": 0, "look_at": REAL_NOW}
)
KEEP_EVENT = Statement(_new_event.on_conflict_do_nothing().returning(processor_event.c.event_id))
EVENTS_TO_LOOK_AT = Statement(
    select(processor_event)
    .where(
        processor_event.c.chain_id == CHAIN,
        processor_event.c.look_at.is_not(None),
        processor_event.c.look_at <= REAL_NOW,
    )
    .order_by(processor_event.c.look_at)
    .limit(param("limit", Integer))
)
_is_event = and_(
    processor_event.c.chain_id == CHAIN,
    processor_event.c.account == _account,
    processor_event.c.event_id == param("event_id", Text),
)
END_EVENT = Statement(update(processor_event).where(_is_event).values(outcome=param("outcome"), look_at=None))
WAIT_FOR_EVENT = Statement(
    update(processor_event)
    .where(_is_event)
    .values(tries=processor_event.c.tries + 1, look_at=REAL_NOW + param("wait", Interval))
)
UNMATCHED_EVENTS = Statement(
    select(processor_event)
    .where(
        processor_event.c.chain_id == CHAIN,
        processor_event.c.outcome == param("outcome", SmallInteger),
        tuple_(processor_event.c.account, processor_event.c.event_id)
        > tuple_(param("after_account", Text), param("after_event", Text)),
    )
    .order_by(processor_event.c.account, processor_event.c.event_id)
    .limit(param("limit", Integer))
)


class CardStore(Store):
    async def need_customer(self, patient_id: UUID, account: str) -> None:
        """The processor is to know the patient: it is asked for that later, under the id of the row."""
        await self.rows(NEED_CUSTOMER, id=new_id(), patient_id=patient_id, account=account)

    async def customer(self, patient_id: UUID, account: str) -> tuple[UUID, str | None]:
        row = await self.row(CUSTOMER, patient_id=patient_id, account=account)
        assert row
        return row["id"], row["processor_id"]

    async def keep_customer(self, id: UUID, processor_id: str) -> None:
        await self.rows(KEEP_CUSTOMER, id=id, processor_id=processor_id)

    async def keep_card(self, new: Card) -> None:
        """Unless it is known."""
        await self.rows(
            KEEP_CARD,
            id=new.id,
            patient_id=new.patient_id,
            account=new.account,
            customer=new.customer,
            payment_method=new.payment_method,
            brand=new.brand,
            last4=new.last4,
            expiry_month=new.expiry_month,
            expiry_year=new.expiry_year,
            saved_at=new.saved_at,
        )

    async def card(self, card_id: UUID) -> Card:
        row = await self.row(CARD, id=card_id)
        if row is None:
            raise CardNotFound(card_id=to_wire("card", card_id))
        return _card(row)

    async def cards(self, patient_id: UUID) -> list[Card]:
        """On file, under any of the patient's ids, the newest first."""
        return [_card(row) for row in await self.rows(CARDS, about_id=patient_id)]

    async def detach_card(self, card_id: UUID) -> None:
        """If it is on file."""
        await self.rows(DETACH_CARD, id=card_id, detached_at=self.call.now)

    async def cards_to_look_at(self, limit: int) -> list[Card]:
        return [_card(row) for row in await self.rows(CARDS_TO_LOOK_AT, limit=limit)]

    async def look_at_card(self, card_id: UUID, wait: timedelta | None) -> None:
        """None: no more."""
        await self.rows(LOOK_AT_CARD, id=card_id, wait=wait)

    async def add_card_charge(self, new: CardCharge, wait: timedelta) -> None:
        await self.rows(
            ADD_CARD_CHARGE,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            course_id=new.course_id,
            invoice_id=new.invoice_id,
            card_id=new.card_id,
            account=new.account,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            saves_card=new.saves_card,
            state=new.state,
            created_at=new.created_at,
            wait=wait,
        )

    async def card_charge(self, id: UUID) -> CardCharge:
        row = await self.row(CARD_CHARGE, id=id)
        if row is None:
            raise CardChargeNotFound(card_charge_id=to_wire("cardcharge", id))
        return _charge(row)

    async def known_card_charge(self, id: UUID) -> CardCharge | None:
        row = await self.row(CARD_CHARGE, id=id)
        return _charge(row) if row else None

    async def card_charge_of(self, account: str, processor_id: str) -> CardCharge | None:
        row = await self.row(CARD_CHARGE_OF_PROCESSOR, account=account, processor_id=processor_id)
        return _charge(row) if row else None

    async def card_charges_to_look_at(self, limit: int) -> list[CardCharge]:
        return [_charge(row) for row in await self.rows(CARD_CHARGES_TO_LOOK_AT, limit=limit)]

    async def end_card_charge(
        self, id: UUID, state: CardChargeState, processor_id: str | None, failure: str = ""
    ) -> None:
        values = {"state": state, "processor_id": processor_id, "failure": failure}
        await self.rows(END_CARD_CHARGE, id=id, changed_at=self.call.now, **values)

    async def wait_for_card_charge(self, id: UUID, processor_id: str | None, wait: timedelta) -> None:
        """The processor has not said how it went, or the patient has not entered a card."""
        await self.rows(WAIT_FOR_CARD_CHARGE, id=id, processor_id=processor_id, wait=wait)

    async def keep_event(self, account: str, event_id: str, type: str, object_id: str) -> bool:
        """Whether it is new."""
        values = {"account": account, "event_id": event_id, "type": type, "object_id": object_id}
        return await self.row(KEEP_EVENT, received_at=self.call.now, **values) is not None

    async def events_to_look_at(self, limit: int) -> Sequence[Record]:
        return await self.rows(EVENTS_TO_LOOK_AT, limit=limit)

    async def end_event(self, account: str, event_id: str, outcome: EventOutcome) -> None:
        await self.rows(END_EVENT, account=account, event_id=event_id, outcome=outcome)

    async def wait_for_event(self, account: str, event_id: str, wait: timedelta) -> None:
        await self.rows(WAIT_FOR_EVENT, account=account, event_id=event_id, wait=wait)

    async def unmatched_events(self, after: tuple[str, str], limit: int) -> Sequence[Record]:
        account, event_id = after
        place: dict[str, Any] = {"after_account": account, "after_event": event_id, "limit": limit}
        return await self.rows(UNMATCHED_EVENTS, outcome=EventOutcome.UNMATCHED, **place)


def _card(row: Record) -> Card:
    return Card(
        id=row["id"],
        patient_id=row["patient_id"],
        account=row["account"],
        customer=row["customer"],
        payment_method=row["payment_method"],
        brand=row["brand"],
        last4=row["last4"],
        expiry_month=row["expiry_month"],
        expiry_year=row["expiry_year"],
        saved_at=row["saved_at"],
        detached_at=row["detached_at"],
    )


def _charge(row: Record) -> CardCharge:
    return CardCharge(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        course_id=row["course_id"],
        invoice_id=row["invoice_id"],
        card_id=row["card_id"],
        account=row["account"],
        customer=row["customer"] or "",
        payment_method=row["payment_method"] or "",
        amount=Money(row["amount_minor"], row["currency"]),
        saves_card=row["saves_card"],
        state=CardChargeState(row["state"]),
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        processor_id=row["processor_id"],
        failure=row["failure"],
        tries=row["tries"],
        aged=row["aged"],
        payment_id=row["payment_id"],
    )
