"""Disputes and payouts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.disputes import Dispute, DisputeNotFound, DisputeState
from services.billing.domain.ledger import Source
from services.billing.domain.payouts import (
    AdjustmentNotFound,
    Matched,
    Payout,
    PayoutLine,
    PayoutLineNotFound,
    PayoutNotFound,
    Share,
)
from services.billing.tables import (
    card_charge,
    dispute,
    entry,
    payment,
    payout,
    payout_line,
    payout_line_match,
    payout_line_settlement,
    payout_share,
    refund_part,
    site,
)

CHAIN, ID, SITE = (param(name, Uuid) for name in ("chain_id", "id", "site_id"))
ACCOUNT, OF_PROCESSOR = param("account", Text), param("processor_id", Text)
BEFORE, LIMIT = param("before_id", Uuid), param("limit", Integer)

ADD_DISPUTE = Statement(insert(dispute).values(params(*dispute.c.keys())))
DISPUTE = Statement(select(dispute).where(dispute.c.chain_id == CHAIN, dispute.c.id == ID))
DISPUTE_OF_PROCESSOR = Statement(
    select(dispute).where(
        dispute.c.chain_id == CHAIN, dispute.c.account == ACCOUNT, dispute.c.processor_id == OF_PROCESSOR
    )
)
DISPUTES = Statement(
    select(dispute)
    .where(dispute.c.chain_id == CHAIN, dispute.c.site_id == SITE, dispute.c.id < BEFORE)
    .order_by(dispute.c.id.desc())
    .limit(LIMIT)
)
CHANGE_DISPUTE = Statement(
    update(dispute)
    .where(dispute.c.chain_id == CHAIN, dispute.c.id == ID)
    .values(params("state", "lost_minor", "note", "changed_at"))
)

_new_payout = pg_insert(payout).values(params(*payout.c.keys())).on_conflict_do_nothing()
ADD_PAYOUT = Statement(_new_payout.returning(payout.c.id))
_line = rows(
    "new_line",
    id=Uuid,
    site_id=Uuid,
    transaction=Text,
    type=Text,
    source=Text,
    amount_minor=BigInteger,
    fee_minor=BigInteger,
    matched_id=Uuid,
)
ADD_LINES = Statement(
    insert(payout_line).from_select(
        ["chain_id", "payout_id", *(column.name for column in _line.c)],
        select(CHAIN, param("payout_id", Uuid), *_line.c),
    )
)
_share = rows("new_share", id=Uuid, site_id=Uuid, amount_minor=BigInteger, fee_minor=BigInteger)
ADD_SHARES = Statement(
    insert(payout_share).from_select(
        ["chain_id", "payout_id", *_share.c.keys()], select(CHAIN, param("payout_id", Uuid), *_share.c)
    )
)


_of_its_payout = and_(payout.c.chain_id == payout_line.c.chain_id, payout.c.id == payout_line.c.payout_id)
_its_settlement = and_(
    payout_line_settlement.c.chain_id == payout_line.c.chain_id, payout_line_settlement.c.line_id == payout_line.c.id
)
_its_match = and_(
    payout_line_match.c.chain_id == payout_line.c.chain_id, payout_line_match.c.line_id == payout_line.c.id
)
_its_charge = and_(card_charge.c.chain_id == payment.c.chain_id, card_charge.c.id == payment.c.card_charge_id)
_its_payment = and_(payment.c.chain_id == refund_part.c.chain_id, payment.c.id == refund_part.c.payment_id)


def _matched(kind: str, document: Table, processor_id: Column[Any], *joined: tuple[Table, ColumnElement[bool]]) -> Any:
    """Documents of a kind, by what the processor calls them."""
    found = select(
        literal(kind).label("kind"),
        processor_id,
        document.c.id.label("document_id"),
        site.c.id.label("document_site_id"),
        site.c.legal_entity_id,
    ).select_from(document)
    for table, condition in joined:
        found = found.join(table, condition)
    its_site = and_(site.c.chain_id == document.c.chain_id, site.c.id == document.c.site_id)
    return found.join(site, its_site).where(document.c.chain_id == CHAIN)


def _all_matched(named: Callable[[Column[Any]], ColumnElement[bool]]) -> Any:
    """Documents that are of the account, and that the processor names."""
    of_charge, of_refund, of_dispute = (table.c.processor_id for table in (card_charge, refund_part, dispute))
    of_account = [card_charge.c.chain_id == CHAIN, card_charge.c.account == ACCOUNT]
    by_card = _matched("intent", payment, of_charge, (card_charge, _its_charge))
    to_card = _matched("refund", refund_part, of_refund, (payment, _its_payment), (card_charge, _its_charge))
    return union_all(
        by_card.where(*of_account, named(of_charge)),
        to_card.where(*of_account, named(of_refund)),
        _matched("dispute", dispute, of_dispute).where(dispute.c.account == ACCOUNT, named(of_dispute)),
    )


MATCHED = Statement(_all_matched(lambda id: id == any_(param("named", ARRAY(Text)))))
_waiting = (
    select(payout_line, payout.c.currency, payout_line_settlement.c.entry_id, payout_line_settlement.c.note)
    .join(payout, _of_its_payout)
    .outerjoin(payout_line_match, _its_match)
    .outerjoin(payout_line_settlement, _its_settlement)
    .where(
        payout_line.c.chain_id == CHAIN,
        payout_line.c.site_id.is_(None),
        payout.c.account == ACCOUNT,
        payout_line_match.c.line_id.is_(None),
        payout_line_settlement.c.line_id.is_(None),
    )
    .cte("waiting")
)
_found = _all_matched(lambda id: id.in_(select(_waiting.c.source))).subquery("found")
LINES_TO_MATCH = Statement(
    select(_waiting, _found.c.document_id, _found.c.document_site_id, _found.c.legal_entity_id)
    .join(_found, _found.c.processor_id == _waiting.c.source)
    .order_by(_waiting.c.id)
    .limit(LIMIT)
)
MATCH_LINE = Statement(insert(payout_line_match).values(params(*payout_line_match.c.keys())))
PAYOUT = Statement(select(payout).where(payout.c.chain_id == CHAIN, payout.c.id == ID))
_lines = (
    select(
        *(column for column in payout_line.c if column.name not in ("site_id", "matched_id")),
        func.coalesce(payout_line.c.site_id, payout_line_match.c.site_id).label("site_id"),
        func.coalesce(payout_line.c.matched_id, payout_line_match.c.matched_id).label("matched_id"),
        payout.c.currency,
        payout_line_settlement.c.entry_id,
        payout_line_settlement.c.note,
    )
    .join(payout, _of_its_payout)
    .outerjoin(payout_line_match, _its_match)
    .outerjoin(payout_line_settlement, _its_settlement)
    .where(payout_line.c.chain_id == CHAIN)
)
LINES = Statement(
    _lines.where(payout_line.c.payout_id == ID, payout_line.c.id > param("after_id", Uuid))
    .order_by(payout_line.c.id)
    .limit(LIMIT)
)
LINE = Statement(_lines.where(payout_line.c.id == ID))
SETTLE_LINE = Statement(insert(payout_line_settlement).values(params(*payout_line_settlement.c.keys())))
ADJUSTMENT = Statement(
    select(entry.c.id).where(entry.c.chain_id == CHAIN, entry.c.id == ID, entry.c.source == Source.ADJUSTMENT.value)
)
PAYOUTS = Statement(
    select(payout).where(payout.c.chain_id == CHAIN, payout.c.id < BEFORE).order_by(payout.c.id.desc()).limit(LIMIT)
)


class PayoutStore(Store):
    async def add_dispute(self, new: Dispute) -> None:
        await self.rows(
            ADD_DISPUTE,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            payment_id=new.payment_id,
            account=new.account,
            processor_id=new.processor_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            lost_minor=new.lost.minor,
            state=new.state,
            reason=new.reason,
            note=new.note,
            opened_at=new.opened_at,
            changed_at=new.changed_at,
        )

    async def change_dispute(self, changed: Dispute) -> None:
        await self.rows(
            CHANGE_DISPUTE,
            id=changed.id,
            state=changed.state,
            lost_minor=changed.lost.minor,
            note=changed.note,
            changed_at=changed.changed_at,
        )

    async def dispute(self, dispute_id: UUID) -> Dispute:
        row = await self.row(DISPUTE, id=dispute_id)
        if row is None:
            raise DisputeNotFound(dispute_id=to_wire("dispute", dispute_id))
        return _dispute(row)

    async def dispute_of(self, account: str, processor_id: str) -> Dispute | None:
        row = await self.row(DISPUTE_OF_PROCESSOR, account=account, processor_id=processor_id)
        return _dispute(row) if row else None

    async def disputes(self, site_id: UUID, before_id: UUID, limit: int) -> list[Dispute]:
        """The newest first."""
        found = await self.rows(DISPUTES, site_id=site_id, before_id=before_id, limit=limit)
        return [_dispute(row) for row in found]

    async def add_payout(self, new: Payout, shares: Sequence[Share]) -> bool:
        """Whether it is new."""
        row = await self.row(
            ADD_PAYOUT,
            id=new.id,
            account=new.account,
            processor_id=new.processor_id,
            currency=new.amount.currency,
            amount_minor=new.amount.minor,
            arrival_date=new.arrival_date,
            recorded_at=new.recorded_at,
        )
        if row is None:
            return False
        await self.rows(
            ADD_LINES,
            payout_id=new.id,
            id=[line.id for line in new.lines],
            site_id=[line.site_id for line in new.lines],
            transaction=[line.transaction for line in new.lines],
            type=[line.type for line in new.lines],
            source=[line.source for line in new.lines],
            amount_minor=[line.amount.minor for line in new.lines],
            fee_minor=[line.fee.minor for line in new.lines],
            matched_id=[line.matched_id for line in new.lines],
        )
        await self.rows(
            ADD_SHARES,
            payout_id=new.id,
            id=[share.id for share in shares],
            site_id=[share.site_id for share in shares],
            amount_minor=[share.amount.minor for share in shares],
            fee_minor=[share.fee.minor for share in shares],
        )
        return True

    async def matched(self, account: str, named: Iterable[str]) -> dict[tuple[str, str], Matched]:
        """The documents of what a processor names, by kind and its id: payments of intents, parts of refunds,
        disputes; of that account only."""
        found = await self.rows(MATCHED, account=account, named=list(named))
        return {(row["kind"], row["processor_id"]): _document(row) for row in found}

    async def lines_to_match(self, account: str, limit: int) -> list[tuple[PayoutLine, Matched]]:
        """Lines of the account's payouts that were recorded without a document, and that have one by now."""
        found = await self.rows(LINES_TO_MATCH, account=account, limit=limit)
        return [(_payout_line(row), _document(row)) for row in found]

    async def match_line(self, line_id: UUID, found: Matched) -> None:
        await self.rows(
            MATCH_LINE, line_id=line_id, site_id=found.site_id, matched_id=found.id, matched_at=self.call.now
        )

    async def payout(self, payout_id: UUID, after_id: UUID, limit: int) -> Payout:
        """With a page of its lines."""
        row = await self.row(PAYOUT, id=payout_id)
        if row is None:
            raise PayoutNotFound(payout_id=to_wire("payout", payout_id))
        lines = await self.rows(LINES, id=payout_id, after_id=after_id, limit=limit)
        return _header(row, tuple(map(_payout_line, lines)))

    async def payout_line(self, line_id: UUID) -> PayoutLine:
        row = await self.row(LINE, id=line_id)
        if row is None:
            raise PayoutLineNotFound(payout_line_id=to_wire("payoutline", line_id))
        return _payout_line(row)

    async def need_adjustment(self, entry_id: UUID) -> None:
        if await self.row(ADJUSTMENT, id=entry_id) is None:
            raise AdjustmentNotFound(entry_id=to_wire("entry", entry_id))

    async def settle_line(self, line_id: UUID, entry_id: UUID, note: str) -> None:
        by = {"settled_by": self.call.actor, "settled_at": self.call.now}
        await self.rows(SETTLE_LINE, line_id=line_id, entry_id=entry_id, note=note, **by)

    async def payouts(self, before_id: UUID, limit: int) -> list[Payout]:
        """Without their lines, the newest first."""
        return [_header(row, ()) for row in await self.rows(PAYOUTS, before_id=before_id, limit=limit)]


def _dispute(row: Record) -> Dispute:
    return Dispute(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        payment_id=row["payment_id"],
        account=row["account"],
        processor_id=row["processor_id"],
        amount=Money(row["amount_minor"], row["currency"]),
        lost=Money(row["lost_minor"], row["currency"]),
        state=DisputeState(row["state"]),
        reason=row["reason"],
        note=row["note"],
        opened_at=row["opened_at"],
        changed_at=row["changed_at"],
    )


def _payout_line(row: Record) -> PayoutLine:
    return PayoutLine(
        row["id"],
        row["site_id"],
        row["transaction"],
        row["type"],
        row["source"],
        Money(row["amount_minor"], row["currency"]),
        Money(row["fee_minor"], row["currency"]),
        row["matched_id"],
        row["entry_id"],
        row["note"] or "",
    )


def _document(row: Record) -> Matched:
    return Matched(row["document_id"], row["document_site_id"], row["legal_entity_id"])


def _header(row: Record, lines: tuple[PayoutLine, ...]) -> Payout:
    amount = Money(row["amount_minor"], row["currency"])
    return Payout(
        row["id"], row["account"], row["processor_id"], amount, row["arrival_date"], row["recorded_at"], lines
    )
