"""What legal entities settle between them."""

from dataclasses import dataclass
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing.domain.settlements import OpenSettlement, Settlement, check_settled
from services.billing.store import BillingStore
from services.billing.use_cases.drawing import need_sites

FIRST = (UUID(int=0), UUID(int=0), "")
PAIRS_MAX = 10_000
"""Of sites. A chain has fewer."""


@dataclass(frozen=True, slots=True)
class SettleBetween:
    debtor_id: UUID
    creditor_id: UUID
    amount: Money
    bank_reference: str


async def settle_between(store: BillingStore, command: SettleBetween) -> list[Settlement]:
    """With both legal entities locked. What is drawn meanwhile is not in it: it is open for the next time."""
    debtor_id, creditor_id, currency = command.debtor_id, command.creditor_id, command.amount.currency
    for legal_entity_id in (debtor_id, creditor_id):
        await store.need_legal_entity(legal_entity_id)
    found = await store.open_settlements(debtor_id, creditor_id, FIRST, PAIRS_MAX)
    in_currency = [each for each in found if each.amount.currency == currency]
    check_settled(command.amount, in_currency)
    need_sites(store, {id for each in in_currency for id in (each.site_id, each.selling_site_id)})
    settlements = [_settlement(store, command, each) for each in in_currency]
    await store.add_settlements(settlements)
    await store.post_booked([booked for each in settlements for booked in each.entries()], patient_id=None)
    return settlements


def _settlement(store: BillingStore, command: SettleBetween, settled: OpenSettlement) -> Settlement:
    return Settlement(
        id=new_id(),
        selling_site_id=settled.selling_site_id,
        site_id=settled.site_id,
        debtor_id=command.debtor_id,
        creditor_id=command.creditor_id,
        amount=settled.amount,
        bank_reference=command.bank_reference,
        settled_at=store.call.now,
        item_ids=settled.item_ids,
    )
