"""Who owes is reminded of it, once for each time that an invoice comes to owe.

Events come in any order. The latest of what is left to pay holds, and takes back what one before it asked."""

from datetime import timedelta
from uuid import UUID

from services.notifications.domain.balances import Balance, asking
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.matters import Matter
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages

KINDS = (MessageKind.BALANCE_DUE,)


async def ask(
    store: NotificationsStore, invoice: Matter, version: int, event_id: UUID, grace: timedelta = timedelta()
) -> None:
    """`invoice` as the event has it, with what is left to pay; nobody is reminded before `grace` has passed."""
    matter = asking(invoice, version)
    if await _replace(store, Balance(invoice.id, version, matter.id)):
        await messages.tell_matter(store, messages.TellMatter(matter, KINDS, event_id, grace=grace))


async def settle(store: NotificationsStore, invoice_id: UUID, version: int) -> None:
    """Nothing is left to pay."""
    await _replace(store, Balance(invoice_id, version, None))


async def void(store: NotificationsStore, invoice_id: UUID) -> None:
    await _replace(store, Balance(invoice_id, 0, None, void=True))


async def _replace(store: NotificationsStore, told: Balance) -> bool:
    """Whether it is news. Of before each asking was a matter of its own, the invoice itself is what asked."""
    await store.lock([told.invoice_id])
    known = await store.balance(told.invoice_id)
    if not told.replaces(known):
        return False
    await store.keep_balance(told)
    asked = [told.invoice_id, *([known.matter_id] if known and known.matter_id else [])]
    await store.close_matters(asked[1:])
    for settled in await store.withdraw_matters(asked, KINDS):
        messages.emit_settled(store, settled)
    return True
