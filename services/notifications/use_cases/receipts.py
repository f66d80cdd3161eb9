"""What became of a message by the word of its carrier, which may come before ours, twice, or in another order."""

from uuid import UUID

from services.notifications.domain.kinds import Channel
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.texting import NOT_REACHED, REACHED, furthest
from services.notifications.store import NotificationsStore
from services.notifications.use_cases.messages import emit_settled


async def apply(store: NotificationsStore, message_id: UUID) -> None:
    """What has not reached the recipient goes by the next channel; without one it has failed."""
    row = await store.sent_by_phone(message_id)
    told = furthest(await store.receipts_of_messages([message_id])) if row else None
    if row is None or told is None or told.provider_id != row["provider_id"]:
        return
    if told.status in REACHED:
        await store.note_delivered(message_id)
    elif told.status in NOT_REACHED:
        passed_over = PassedOver(Channel(row["channel"]), Reason.UNDELIVERED, told.error_code or told.status)
        settled = await store.undelivered(message_id, passed_over, row["channels"][1:])
        if settled.status is Status.FAILED:
            emit_settled(store, settled)
