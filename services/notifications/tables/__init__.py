"""Notifications' tables by noun: messages, and copies of what they speak of. The chassis adds its own, and security."""

from services.notifications.tables.columns import metadata
from services.notifications.tables.copies import NO_CHAIN, chain, patient, patient_alias, site, visit
from services.notifications.tables.messages import UNSENT, message
from services.notifications.tables.templates import link_hosts, template, template_version

__all__ = [
    "NO_CHAIN",
    "UNSENT",
    "chain",
    "link_hosts",
    "message",
    "metadata",
    "patient",
    "patient_alias",
    "site",
    "template",
    "template_version",
    "visit",
]
