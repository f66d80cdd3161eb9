"""What becomes of a letter that comes back, days after the next server took it."""

from uuid import UUID

from services.notifications import events
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.texting import Method, SuppressionKind
from services.notifications.store import NotificationsStore
from services.notifications.use_cases.messages import emit_settled
from services.notifications.use_cases.sending import NO_SUCH_MAILBOX


async def take_back(store: NotificationsStore, message_id: UUID, code: str) -> bool:
    """Each message that stood in it goes by its next channel, or has failed; an estimate in it is told to be back; an
    address that does not exist is not written to again. False: whoever sent it has not settled it yet. Once: what comes
    again finds nothing as sent."""
    found = await store.letter(message_id)
    if any(row["status"] == Status.SENDING for row in found):
        return False
    for row in found:
        settled = await store.undelivered(
            row["id"], PassedOver(Channel.EMAIL, Reason.UNDELIVERED, code), row["channels"][1:]
        )
        if settled.status is Status.FAILED:
            emit_settled(store, settled)
        if row["kind"] == MessageKind.ESTIMATE_READY:
            returned = events.estimate_email_returned(row["matter_id"], settled)
            store.emit(returned, about=row["matter_id"])
    key = await store.emailed_to(message_id) if found and NO_SUCH_MAILBOX.search(code) else None
    if key:
        await store.suppress(Channel.EMAIL, key, SuppressionKind.HARD_BOUNCE, Method.RECEIPT, note=code)
    return True
