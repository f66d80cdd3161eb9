"""Templates: which message says what by which channel, in which language, and whose text comes first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.ids import to_wire
from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import Channel, MessageKind

SHIPPED_LANGUAGES = ("en", "es")
FALLBACK = "en"

_K = MessageKind
REPLIES = frozenset(
    {
        _K.OPT_OUT_CONFIRMED,
        _K.OPT_IN_CONFIRMED,
        _K.HELP,
        _K.CONFIRM_RECEIVED,
        _K.MOVE_RECEIVED,
        _K.REPLY_RECEIVED,
    }
)
"""Answers to a text, by text."""
TO_PATIENT_OF_VISIT = frozenset(
    {
        _K.VISIT_CONFIRMATION,
        _K.VISIT_REMINDER,
        _K.VISIT_PREPARATION,
        _K.VISIT_MOVED,
        _K.VISIT_CANCELLED,
        _K.VISIT_MISSED,
        _K.VISIT_FOLLOW_UP,
        _K.WAITLIST_OFFER,
    }
)
ABOUT_VISIT = TO_PATIENT_OF_VISIT | {_K.COMPANION_PICK_UP}
"""Each names a visit's day and hour, which must be known."""
WITH_INVITATION = frozenset({_K.VISIT_CONFIRMATION, _K.VISIT_MOVED, _K.VISIT_CANCELLED})
"""Whose email puts the visit into a calendar, changes it there, or takes it out."""
BILLS = frozenset(
    {
        _K.ESTIMATE_READY,
        _K.ESTIMATE_DUE,
        _K.INVOICE_ISSUED,
        _K.PAYMENT_RECEIVED,
        _K.REFUND_MADE,
        _K.CREDIT_NOTE_ISSUED,
        _K.CARD_CHARGE_FAILED,
        _K.BALANCE_DUE,
        _K.DEPOSIT_RELEASED,
        _K.DEPOSIT_FORFEITED,
        _K.PACKAGE_SOLD,
        _K.PACKAGE_EXPIRING,
        _K.PACKAGE_EXPIRED,
        _K.PACKAGE_STOPPED,
        _K.PAYMENT_REVERSED,
        _K.DEPOSIT_RETURNED,
        _K.PACKAGE_TRANSFERRED,
    }
)
SPOKEN = frozenset(
    {
        _K.VISIT_CONFIRMATION,
        _K.VISIT_REMINDER,
        _K.VISIT_PREPARATION,
        _K.VISIT_MOVED,
        _K.VISIT_CANCELLED,
        _K.COMPANION_PICK_UP,
        _K.ANNOUNCEMENT,
        _K.WAITLIST_OFFER,
    }
)
"""Worth a call."""
NOT_ESSENTIAL = frozenset({_K.VISIT_FOLLOW_UP, _K.PACKAGE_EXPIRING})
"""Whose email says how to have no more of them: nobody needs them to keep an appointment or to settle an account."""


class TemplateNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "TEMPLATE_NOT_FOUND", "no such template, or version of one"


class TemplateRefused(DomainError):
    kind, reason, message = Kind.INVALID, "TEMPLATE_REFUSED", "the template cannot be used like this"


class TemplateRetired(DomainError):
    kind, reason, message = Kind.CONFLICT, "TEMPLATE_RETIRED", "the template is retired"


class LinkHostsRefused(DomainError):
    kind, reason, message = Kind.INVALID, "LINK_HOSTS_REFUSED", "messages cannot link to these hosts"


@dataclass(frozen=True, slots=True)
class Content:
    """What a template is made of. Only an email has HTML; texts and calls have no subject."""

    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """What a template is for. Without a site it is for every site of the chain that has none of its own."""

    kind: MessageKind
    channel: Channel
    language: str  # BCP 47: "es", "es-MX".
    site_id: UUID | None


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """One version of a template of a chain's own."""

    id: UUID  # Of the template: all of its versions have it.
    number: int
    spot: Spot
    content: Content
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class TemplateHead:
    """A template as it stands: its last version, and whether it is used."""

    id: UUID
    spot: Spot
    number: int  # Of the last version.
    version: int  # Of this row: rises with each version, and when it is retired.
    retired_at: datetime | None
    retired_by: str | None

    def retired(self, by: str, at: datetime) -> Self:
        if self.retired_at is not None:
            raise TemplateRetired(template_id=to_wire("template", self.id))
        return replace(self, version=self.version + 1, retired_at=at, retired_by=by)


@dataclass(frozen=True, slots=True)
class LinkHosts:
    """Where messages of a chain may link to, beside the links that the service makes itself."""

    hosts: tuple[str, ...]
    version: int


def channels_of(kind: MessageKind) -> frozenset[Channel]:
    """By which a message of this kind can go out."""
    if kind in REPLIES:
        return frozenset({Channel.SMS})
    if kind is MessageKind.DAILY_DIGEST:
        return frozenset({Channel.EMAIL})
    spoken = {Channel.VOICE} if kind in SPOKEN else set[Channel]()
    inbox = {Channel.IN_APP} if kind is not MessageKind.COMPANION_PICK_UP else set[Channel]()
    return frozenset({Channel.EMAIL, Channel.SMS} | spoken | inbox)


def has_subject(channel: Channel) -> bool:
    return channel in (Channel.EMAIL, Channel.IN_APP)


def languages_for(wanted: str) -> list[str]:
    """Those in which somebody is written to who wants `wanted`, the best first: what it is a kind of, and English where
    no text is shipped in it."""
    primary, *others = wanted.replace("_", "-").split("-")
    tags = [primary.lower(), *(each.upper() if len(each) == 2 else each.title() for each in others)]
    found = ["-".join(tags[:count]) for count in range(len(tags), 0, -1)]
    return found if tags[0] in SHIPPED_LANGUAGES else [*found, FALLBACK]


def shipped_language(wanted: str) -> str:
    """The nearest to it in which a text is shipped."""
    primary = languages_for(wanted)[-1]
    return primary if primary in SHIPPED_LANGUAGES else FALLBACK


def telling_hosts(hosts: Sequence[str]) -> list[int]:
    """Places of those that hold a health word: a link's host is read by whoever sees the message."""
    return [place for place, host in enumerate(hosts) if health_words(host.replace(".", " ").replace("-", " "))]
