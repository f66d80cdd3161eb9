"""Documents that go out with an email: of which messages, to whom, and for how long they are waited for. Pure.

A document names what was done, or who does it: it is attached where an email may name treatment, and stays behind the
link where it may not.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifications.domain.contacts import Contact
from services.notifications.domain.kinds import Channel, MessageKind, Recipient
from services.notifications.domain.matters import MatterKind
from services.notifications.domain.sending import Taken, Way

WITH_DOCUMENT = frozenset(
    {
        MessageKind.ESTIMATE_READY,
        MessageKind.INVOICE_ISSUED,
        MessageKind.PAYMENT_RECEIVED,
        MessageKind.REFUND_MADE,
        MessageKind.CREDIT_NOTE_ISSUED,
    }
)
"""What tells of a document that was just made."""
WAIT_MAX = timedelta(minutes=15)
"""Then the message goes out without: what it says is worth more than what would have come with it."""
HOLD_MIN, HOLD_MAX = timedelta(seconds=1), timedelta(minutes=1)
SIZE_MAX = 2 << 20
"""Bytes of all that is attached to one letter: more than the twenty of a digest take, of some 30 KB each."""
FILES = {
    MatterKind.ESTIMATE: "estimate",
    MatterKind.INVOICE: "invoice",
    MatterKind.PAYMENT: "receipt",
    MatterKind.REFUND: "refund-receipt",
    MatterKind.CREDIT_NOTE: "credit-note",
}
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF as it goes out."""

    name: str
    pdf: bytes
    voided: bool = False
    """What it shows no longer holds."""


def is_attached(taken: Taken, contact: Contact, way: Way) -> bool:
    """The permission is the patient's, of their own mail; of a minor's it is for whoever gets it in their stead."""
    if taken.kind not in WITH_DOCUMENT or way.channel is not Channel.EMAIL or not contact.may_name_treatment:
        return False
    to_another = taken.recipient is Recipient.PAYER and contact.has_guarantor and not contact.spoken_for
    return not to_another


def file_name(kind: MatterKind, number: str) -> str:
    """It shows where the subject does, and says no more than that does: "invoice-A-1042.pdf"."""
    return "-".join(filter(None, (FILES[kind], NOT_IN_NAMES.sub("-", number).strip("-")))) + ".pdf"


def hold(taken: Taken, now: datetime) -> timedelta | None:
    """How long to wait for a document that is not there yet, the longer the longer it took; None: no more."""
    waited = max(now - taken.due, timedelta()) if taken.due else timedelta()
    return min(max(waited / 2, HOLD_MIN), HOLD_MAX) if waited < WAIT_MAX else None


def fitting(documents: list[Document]) -> list[Document]:
    """Those for which there is room, in their order."""
    room, found = SIZE_MAX, list[Document]()
    for each in documents:
        if len(each.pdf) <= room:
            room -= len(each.pdf)
            found.append(each)
    return found
