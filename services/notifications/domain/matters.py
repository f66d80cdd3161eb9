"""What messages are about that is no visit of a patient's: holds, offers, bills, forms to sign, as far as a message
speaks of them. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from chassis.money import Money


class MatterKind(StrEnum):
    COURSE = "COURSE"
    ESTIMATE = "ESTIMATE"
    INVOICE = "INVOICE"
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    CREDIT_NOTE = "CREDIT_NOTE"
    CARD_CHARGE = "CARD_CHARGE"
    PACKAGE_SALE = "PACKAGE_SALE"
    CONSENT = "CONSENT"
    OFFER = "OFFER"


@dataclass(frozen=True, slots=True)
class Offered:
    """A visit that is kept for its patient, until an instant."""

    start: datetime
    end: datetime
    telehealth: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class Matter:
    id: UUID
    kind: MatterKind
    site_id: UUID
    patient_id: UUID
    amount: Money | None = None
    due_date: date | None = None
    """The last day: in the site's zone."""
    number: str = ""
    """Of the document, as people read it."""
    about: str = ""
    """Its id on the wire, where `id` is that of the event that told of it."""
    course_id: UUID | None = None
    """Of an estimate: a later version of the same course replaces it."""
    version: int = 0
    offered: Offered | None = None
    """Of an offer."""
