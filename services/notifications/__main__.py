"""Wiring. `python -m services.notifications serve | migrate`."""

from chassis.service import Service, main
from services.notifications import consumers
from services.notifications.rpc import servicers
from services.notifications.sender import send_messages
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.texting.job import answer_replies, forget_replies

SERVICE = Service(
    name="notifications",
    store_type=NotificationsStore,
    servicers=servicers,
    reads=consumers.READS,
    jobs=(send_messages, answer_replies, forget_replies),
    settings_type=NotificationsSettings,
)

if __name__ == "__main__":
    main(SERVICE)
