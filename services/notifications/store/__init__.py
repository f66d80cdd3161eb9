"""All SQL of notifications, by noun: statements, compiled at import, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from chassis.etags import StaleEtag
from services.notifications.domain.pauses import AlreadyPaused
from services.notifications.store.balances import BalanceStore
from services.notifications.store.cadence import CadenceStore
from services.notifications.store.copies import CopyStore
from services.notifications.store.inbox import InboxStore
from services.notifications.store.links import LinkStore
from services.notifications.store.messages import MessageStore
from services.notifications.store.renewals import RenewalStore
from services.notifications.store.sending import SendingStore
from services.notifications.store.templates import TemplateStore
from services.notifications.store.texting import TextingStore
from services.notifications.store.webhooks import WebhookStore


class NotificationsStore(
    CopyStore,
    CadenceStore,
    RenewalStore,
    BalanceStore,
    MessageStore,
    SendingStore,
    TemplateStore,
    TextingStore,
    LinkStore,
    WebhookStore,
    InboxStore,
):
    """Everything that notifications reads and writes, in one transaction."""

    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "pause_once_idx": AlreadyPaused,
        "cadence_pkey": StaleEtag,
    }
