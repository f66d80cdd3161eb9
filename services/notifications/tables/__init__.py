"""Notifications' tables by noun: messages, and copies of what they speak of. The chassis adds its own, and security."""

from services.notifications.tables.columns import metadata
from services.notifications.tables.copies import (
    NO_CHAIN,
    chain,
    matter,
    patient,
    patient_alias,
    protocol_version,
    site,
    visit,
)
from services.notifications.tables.messages import UNSENT, attempt, cadence, message, pause, policy
from services.notifications.tables.templates import link_hosts, template, template_version

__all__ = [
    "NO_CHAIN",
    "UNSENT",
    "attempt",
    "cadence",
    "chain",
    "link_hosts",
    "matter",
    "message",
    "metadata",
    "patient",
    "patient_alias",
    "pause",
    "policy",
    "protocol_version",
    "site",
    "template",
    "template_version",
    "visit",
]
