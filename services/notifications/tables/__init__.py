"""Notifications' tables by noun: messages, texting, webhooks, and copies of what they speak of."""

from services.notifications.tables.columns import metadata
from services.notifications.tables.copies import (
    balance,
    chain,
    matter,
    patient,
    patient_alias,
    protocol_version,
    site,
    visit,
)
from services.notifications.tables.inbox import inbox_arrival, inbox_item
from services.notifications.tables.links import link
from services.notifications.tables.messages import UNSENT, attempt, cadence, message, not_taken, pause, policy
from services.notifications.tables.renewals import renewal, renewal_end, retired_document
from services.notifications.tables.templates import link_hosts, template, template_version
from services.notifications.tables.texting import STANDING, WAITING, answer, receipt, reply, suppression, texted
from services.notifications.tables.webhooks import PENDING, webhook_chain, webhook_delivery, webhook_endpoint

__all__ = [
    "PENDING",
    "STANDING",
    "UNSENT",
    "WAITING",
    "answer",
    "attempt",
    "balance",
    "cadence",
    "chain",
    "inbox_arrival",
    "inbox_item",
    "link",
    "link_hosts",
    "matter",
    "message",
    "metadata",
    "not_taken",
    "patient",
    "patient_alias",
    "pause",
    "policy",
    "protocol_version",
    "receipt",
    "renewal",
    "renewal_end",
    "reply",
    "retired_document",
    "site",
    "suppression",
    "template",
    "template_version",
    "texted",
    "visit",
    "webhook_chain",
    "webhook_delivery",
    "webhook_endpoint",
]
