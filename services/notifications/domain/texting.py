"""Texts and calls: who sends them, what came of them, and to whom none goes any more. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.etags import StaleEtag
from services.notifications.domain.sending import Answer

EVERY_SENDER = ""
"""Of a suppression: it is the address that is not written to, from wherever."""


class SuppressionNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SUPPRESSION_NOT_FOUND", "no such suppression"


class SuppressionLifted(DomainError):
    kind, reason, message = Kind.CONFLICT, "SUPPRESSION_LIFTED", "the suppression was lifted before"


class OptOutStands(DomainError):
    kind, reason = Kind.CONFLICT, "OPT_OUT_STANDS"
    message = "whoever opted out has to ask for messages again themself"


class AddressUnusable(DomainError):
    kind, reason, message = Kind.INVALID, "ADDRESS_UNUSABLE", "no number or address of the channel"


class MessageKeysMissing(DomainError):
    kind, reason = Kind.UNAVAILABLE, "MESSAGE_KEYS_MISSING"
    message = "there are no keys to keep replies and addresses with, or not the one that it was kept with"
    retry_after_s = 60.0


class AlreadySuppressed(DomainError):
    kind, reason, message = Kind.CONFLICT, "ALREADY_SUPPRESSED", "a suppression of the same address stands"


class SuppressionKind(StrEnum):
    OPT_OUT = "OPT_OUT"
    HARD_BOUNCE = "HARD_BOUNCE"
    UNREACHABLE = "UNREACHABLE"


class Method(StrEnum):
    """How it came to be known."""

    REPLY = "REPLY"
    VERBAL = "VERBAL"
    PAPER = "PAPER"
    ELECTRONIC = "ELECTRONIC"
    RECEIPT = "RECEIPT"  # The provider said so.


class Giver(StrEnum):
    """Who said so."""

    PATIENT = "PATIENT"
    COMPANION = "COMPANION"


class Addressed(StrEnum):
    """Channels that have an address which can be suppressed."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"


@dataclass(frozen=True, slots=True)
class SendingNumber:
    """From what a site texts and calls."""

    account: str
    """Of the provider, by its name in the settings."""
    sender: str
    """A number, or a messaging service."""
    voice: str
    """The number that calls come from; empty: the site does not call."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of handing a text or a call to the provider."""

    answer: Answer
    code: str
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider said later. In its own words: "delivered", "undelivered", "completed"."""

    account: str
    provider_id: str
    status: str
    message_id: UUID | None
    """Ours, as it was handed over with the text: known even where the provider's answer never came."""
    error_code: str
    at: datetime


_ORDER = ("accepted", "scheduled", "queued", "initiated", "sending", "ringing", "sent", "in-progress", "answered")
REACHED, NOT_REACHED = (
    frozenset({"delivered", "read", "completed"}),
    frozenset({"undelivered", "failed", "busy", "no-answer", "canceled"}),
)


def furthest(receipts: Iterable[Receipt]) -> Receipt | None:
    """The one that tells most, in whatever order they came: one that is final before all others, and of two final ones
    that which says that it arrived."""
    return max(receipts, key=lambda each: (_rank(each.status), each.at), default=None)


def _rank(status: str) -> int:
    if status in REACHED:
        return len(_ORDER) + 2
    if status in NOT_REACHED:
        return len(_ORDER) + 1
    return _ORDER.index(status) + 1 if status in _ORDER else 0


def lock_of(address_key: bytes) -> UUID:
    """Held by whatever counts what goes to an address, or takes in what comes from it: one after another."""
    return UUID(bytes=address_key[:16])


NEVER_REACHED = frozenset({"21211", "21265", "21614", "21635", "30005", "30006"})
"""The provider's codes by which no text will ever reach a number: invalid, a short code, not a mobile's, a landline,
unknown, or a landline by the carrier's word. 30003 (switched off, out of reach) and 30004 (blocked) may pass."""
OPTED_OUT_AT_PROVIDER = "21610"


def suppression_after(code: str) -> SuppressionKind | None:
    """What follows, for the number, from a code of the provider's, with or without its prefix."""
    bare = code.removeprefix("TWILIO_")
    if bare == OPTED_OUT_AT_PROVIDER:
        return SuppressionKind.OPT_OUT
    return SuppressionKind.UNREACHABLE if bare in NEVER_REACHED else None


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asked for no more messages, or for messages again."""

    patient_id: UUID | None
    site_id: UUID
    channel: Addressed
    giver: Giver
    method: Method


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that is written to no more."""

    id: UUID
    channel: Addressed
    address_key: bytes
    sender: str
    """The number of ours that it holds for, or EVERY_SENDER."""
    kind: SuppressionKind
    method: Method
    patient_id: UUID | None
    """Who was known by the address then."""
    site_id: UUID | None
    giver: Giver
    note: str
    created_at: datetime
    created_by: str
    version: int = 1
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_note: str = ""
    lift_method: Method | None = None

    def lifted(self, version: int, by: str, at: datetime, note: str, asked: Method | None) -> "Suppression":
        """`asked` is how the patient asked for messages again; without it an opt-out stands."""
        if self.lifted_at:
            raise SuppressionLifted(lifted_by=str(self.lifted_by))
        if version != self.version:
            raise StaleEtag()
        if self.kind is SuppressionKind.OPT_OUT and asked is None:
            raise OptOutStands()
        done = replace(self, version=version + 1, lifted_at=at, lifted_by=by)
        return replace(done, lift_note=note, lift_method=asked)
