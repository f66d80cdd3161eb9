"""Wiring. `python -m services.notifications serve | migrate`."""

from chassis.service import Service, main
from services.notifications import consumers
from services.notifications.bounces import take_bounces
from services.notifications.rpc import servicers
from services.notifications.sender import send_messages
from services.notifications.settings import NotificationsSettings
from services.notifications.store import NotificationsStore
from services.notifications.tables import inbox_arrival, webhook_delivery
from services.notifications.texting.job import answer_replies, forget_replies
from services.notifications.webhooks.fanout import with_webhooks
from services.notifications.webhooks.sender import send_webhooks

SERVICE = Service(
    name="notifications",
    store_type=NotificationsStore,
    servicers=servicers,
    reads=with_webhooks(consumers.READS),
    jobs=(send_messages, answer_replies, forget_replies, send_webhooks, take_bounces),
    settings_type=NotificationsSettings,
    short_lived=[webhook_delivery, inbox_arrival],
)

if __name__ == "__main__":
    main(SERVICE)
