"""Notifications' tables by noun: messages, texting, and copies of what they speak of. The chassis adds its own."""

from services.notifications.tables.columns import metadata
from services.notifications.tables.copies import NO_CHAIN, chain, patient, patient_alias, site, visit
from services.notifications.tables.links import link
from services.notifications.tables.messages import UNSENT, message
from services.notifications.tables.texting import STANDING, WAITING, answer, receipt, reply, suppression, texted

__all__ = [
    "NO_CHAIN",
    "STANDING",
    "UNSENT",
    "WAITING",
    "answer",
    "chain",
    "link",
    "message",
    "metadata",
    "patient",
    "patient_alias",
    "receipt",
    "reply",
    "site",
    "suppression",
    "texted",
    "visit",
]
