"""What is open between legal entities, and what was settled."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Text, Uuid, and_, cast, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.redemptions import Redemption
from services.billing.domain.settlements import OpenSettlement, Settlement
from services.billing.tables import settlement, settlement_item

CHAIN, DEBTOR, CREDITOR = (param(name, Uuid) for name in ("chain_id", "debtor_id", "creditor_id"))

ADD_ITEM = Statement(
    insert(settlement_item).values(
        params(*(name for name in settlement_item.c.keys() if name != "settlement_id"))  # noqa: SIM118
    )
)
_new = rows("new", id=Uuid, selling_site_id=Uuid, site_id=Uuid, currency=Text, amount_minor=BigInteger)
ADD_SETTLEMENTS = Statement(
    insert(settlement).from_select(
        ["chain_id", "debtor_id", "creditor_id", "bank_reference", "settled_at", *_new.c.keys()],
        select(CHAIN, DEBTOR, CREDITOR, param("bank_reference", Text), param("settled_at", Instant), *_new.c),
    )
)
_open = and_(
    settlement_item.c.chain_id == CHAIN,
    settlement_item.c.debtor_id == DEBTOR,
    settlement_item.c.creditor_id == CREDITOR,
    settlement_item.c.settlement_id.is_(None),
)
_settled = rows("settled", item_id=Uuid, by_id=Uuid)
SETTLE = Statement(
    update(settlement_item)
    .where(
        settlement_item.c.chain_id == CHAIN,
        settlement_item.c.id == _settled.c.item_id,
        settlement_item.c.settlement_id.is_(None),
    )
    .values(settlement_id=_settled.c.by_id)
)
_key = settlement_item.c.selling_site_id, settlement_item.c.site_id, settlement_item.c.currency
OPEN_SETTLEMENTS = Statement(
    select(
        *_key,
        cast(func.sum(settlement_item.c.amount_minor), BigInteger).label("open_minor"),
        func.array_agg(settlement_item.c.id, type_=ARRAY(Uuid)).label("item_ids"),
    )
    .where(
        _open,
        tuple_(*_key)
        > tuple_(param("after_selling_id", Uuid), param("after_site_id", Uuid), param("after_currency", Text)),
    )
    .group_by(*_key)
    .order_by(*_key)
    .limit(param("limit", Integer))
)


class SettlementStore(Store):
    async def add_settlement_item(self, id: UUID, of: Redemption, amount: Money) -> None:
        """What the seller owes who rendered the visit; below zero when it is put back."""
        await self.rows(
            ADD_ITEM,
            id=id,
            redemption_id=of.id,
            site_id=of.site_id,
            selling_site_id=of.selling_site_id,
            debtor_id=of.selling_legal_entity_id,
            creditor_id=of.legal_entity_id,
            currency=amount.currency,
            amount_minor=amount.minor,
            created_at=self.call.now,
        )

    async def open_settlements(
        self, debtor_id: UUID, creditor_id: UUID, after: tuple[UUID, UUID, str], limit: int
    ) -> list[OpenSettlement]:
        """In the order of the selling and the rendering site, and the currency."""
        selling_id, site_id, currency = after
        place = {"after_selling_id": selling_id, "after_site_id": site_id, "after_currency": currency, "limit": limit}
        found = await self.rows(OPEN_SETTLEMENTS, debtor_id=debtor_id, creditor_id=creditor_id, **place)
        return [
            OpenSettlement(
                row["selling_site_id"],
                row["site_id"],
                Money(row["open_minor"], row["currency"]),
                tuple(row["item_ids"]),
            )
            for row in found
        ]

    async def add_settlements(self, settlements: Sequence[Settlement]) -> None:
        """By one transfer from one legal entity to the other. Takes what each settles from what is open."""
        transfer = settlements[0]
        await self.rows(
            ADD_SETTLEMENTS,
            debtor_id=transfer.debtor_id,
            creditor_id=transfer.creditor_id,
            bank_reference=transfer.bank_reference,
            settled_at=transfer.settled_at,
            id=[each.id for each in settlements],
            selling_site_id=[each.selling_site_id for each in settlements],
            site_id=[each.site_id for each in settlements],
            currency=[each.amount.currency for each in settlements],
            amount_minor=[each.amount.minor for each in settlements],
        )
        settled = [(item_id, each.id) for each in settlements for item_id in each.item_ids]
        await self.rows(SETTLE, item_id=[item_id for item_id, _ in settled], by_id=[by_id for _, by_id in settled])
