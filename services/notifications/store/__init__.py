"""All SQL of notifications, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from services.notifications.store.copies import CopyStore
from services.notifications.store.inbox import InboxStore
from services.notifications.store.messages import MessageStore
from services.notifications.store.sending import SendingStore
from services.notifications.store.webhooks import WebhookStore


class NotificationsStore(CopyStore, MessageStore, SendingStore, WebhookStore, InboxStore):
    """Everything that notifications reads and writes, in one transaction."""
