"""Documents as patients are given them: ordered when what they show is issued, written soon after, kept for years."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID

from chassis.errors import DomainError, Kind

KEPT_YEARS = 6
"""45 CFR 149.610(c)(2) by way of the rules for medical records: an estimate is part of the record."""
FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(hours=1)


class DocumentNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "DOCUMENT_NOT_FOUND", "no such document"


class DocumentPending(DomainError):
    kind, reason, message = Kind.NOT_YET, "DOCUMENT_PENDING", "the document is being written"


class DocumentKeysMissing(DomainError):
    """An operator has to bring the file of keys back, or the one that the document was written with."""

    kind, reason = Kind.UNAVAILABLE, "DOCUMENT_KEYS_MISSING"
    message = "the service has not the key that the document is kept with"
    retry_after_s = 30.0


class DocumentRefused(DomainError):
    """It was changed in the database, or moved from where it was written. An operator has to find out."""

    kind, reason, message = Kind.CONFLICT, "DOCUMENT_REFUSED", "what is kept does not open as the document"


class PrintedKind(IntEnum):
    """What a document shows; numbered as in the proto."""

    ESTIMATE = 1
    INVOICE = 2
    CREDIT_NOTE = 3
    RECEIPT = 4
    REFUND_RECEIPT = 5


NAMES_DIAGNOSES = frozenset({PrintedKind.ESTIMATE})
"""For no other kind are they asked for."""


@dataclass(frozen=True, slots=True)
class Order:
    """A document to be written, with all that it shows but who the patient is."""

    id: UUID
    kind: PrintedKind
    subject_id: UUID
    version: int
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    day: date
    """Of the document: the diagnoses that it names are those of this day."""
    content: Mapping[str, Any]
    ordered_at: datetime
    attempts: int = 0
    about_id: UUID | None = None
    """Under which id the patient is known now."""


@dataclass(frozen=True, slots=True)
class Written:
    """Encrypted."""

    key_id: str
    pdf: bytes
    snapshot: bytes
    keep_until: date


@dataclass(frozen=True, slots=True)
class Kept:
    order: Order
    written: Written
    written_at: datetime
    voided: bool
    """What it shows no longer holds."""


def kept_until(day: date) -> date:
    """The day of a document six years later; of 29 February, 1 March."""
    year = day.year + KEPT_YEARS
    return date(year, 3, 1) if (day.month, day.day) == (2, 29) else day.replace(year=year)


def delay_after(attempts: int) -> timedelta:
    """Doubled with each attempt that failed."""
    doubled: timedelta = FIRST_DELAY * 2 ** min(attempts - 1, 20)
    return min(doubled, LONGEST_DELAY)
