"""What legal entities owe each other."""

from uuid import UUID

from atoll.billing.v1 import settlement_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.billing.domain.settlements import OpenSettlement, Settlement
from services.billing.store import BillingStore
from services.billing.use_cases import settlements


class SettlementServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListSettlements(self, request: pb.ListSettlementsRequest, call: Call) -> pb.ListSettlementsResponse:
        page = Page.of(request, call)
        debtor_id = from_wire("legalentity", request.debtor_legal_entity_id)
        creditor_id = from_wire("legalentity", request.creditor_legal_entity_id)

        async def work(store: BillingStore) -> list[OpenSettlement]:
            for legal_entity_id in (debtor_id, creditor_id):
                await store.need_legal_entity(legal_entity_id)
            return await store.open_settlements(debtor_id, creditor_id, _after(page), page.limit)

        found = await self._db.read(call, request, BillingStore, work)
        kept, token = page.cut(found, key=_key)
        return pb.ListSettlementsResponse(settlements=map(_open, kept), next_page_token=token)

    async def SettleBetween(self, request: pb.SettleBetweenRequest, call: Call) -> pb.SettleBetweenResponse:
        command = settlements.SettleBetween(
            debtor_id=from_wire("legalentity", request.debtor_legal_entity_id),
            creditor_id=from_wire("legalentity", request.creditor_legal_entity_id),
            amount=money_from_wire(request.amount, "amount"),
            bank_reference=request.bank_reference,
        )

        async def work(store: BillingStore) -> pb.SettleBetweenResponse:
            settled = await settlements.settle_between(store, command)
            return pb.SettleBetweenResponse(settlements=map(_settlement, settled))

        locks = [command.debtor_id, command.creditor_id]
        return await self._db.once(call, request, pb.SettleBetweenResponse, BillingStore, work, locks=locks)


def _after(page: Page) -> tuple[UUID, UUID, str]:
    if not page.after:
        return settlements.FIRST
    selling_site_id, site_id, currency = page.after
    return UUID(selling_site_id), UUID(site_id), currency


def _key(each: OpenSettlement) -> list[str]:
    return [str(each.selling_site_id), str(each.site_id), each.amount.currency]


def _open(each: OpenSettlement) -> pb.OpenSettlement:
    return pb.OpenSettlement(
        selling_site_id=to_wire("site", each.selling_site_id),
        rendering_site_id=to_wire("site", each.site_id),
        amount=money_to_wire(each.amount),
        redemption_count=len(each.item_ids),
    )


def _settlement(settled: Settlement) -> pb.Settlement:
    return pb.Settlement(
        id=to_wire("settlement", settled.id),
        selling_site_id=to_wire("site", settled.selling_site_id),
        rendering_site_id=to_wire("site", settled.site_id),
        amount=money_to_wire(settled.amount),
        settle_time=to_timestamp(settled.settled_at),
    )
