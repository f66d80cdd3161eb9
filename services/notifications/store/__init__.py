"""All SQL of notifications, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from services.notifications.store.cadence import CadenceStore
from services.notifications.store.copies import CopyStore
from services.notifications.store.messages import MessageStore
from services.notifications.store.sending import SendingStore


class NotificationsStore(CopyStore, CadenceStore, MessageStore, SendingStore):
    """Everything that notifications reads and writes, in one transaction."""
