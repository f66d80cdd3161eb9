"""Notifications' tables by noun: messages, and copies of what they speak of. The chassis adds its own, and security."""

from services.notifications.tables.columns import metadata
from services.notifications.tables.copies import NO_CHAIN, chain, patient, patient_alias, site, visit
from services.notifications.tables.inbox import inbox_arrival, inbox_item
from services.notifications.tables.messages import UNSENT, message
from services.notifications.tables.webhooks import PENDING, webhook_chain, webhook_delivery, webhook_endpoint

__all__ = [
    "NO_CHAIN",
    "PENDING",
    "UNSENT",
    "chain",
    "inbox_arrival",
    "inbox_item",
    "message",
    "metadata",
    "patient",
    "patient_alias",
    "site",
    "visit",
    "webhook_chain",
    "webhook_delivery",
    "webhook_endpoint",
]
