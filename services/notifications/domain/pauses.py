"""What is not sent until somebody says so. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from services.notifications.domain.kinds import Channel, MessageKind


class PauseNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PAUSE_NOT_FOUND", "no such pause"


class AlreadyPaused(DomainError):
    kind, reason, message = Kind.CONFLICT, "ALREADY_PAUSED", "it is paused already"


class PauseEnded(DomainError):
    kind, reason, message = Kind.CONFLICT, "PAUSE_ENDED", "the pause has ended"


class PauseScope(StrEnum):
    """A site with all its messages, a channel, or a kind of message; the last two at one site or at all."""

    SITE = "SITE"
    CHANNEL = "CHANNEL"
    KIND = "KIND"


@dataclass(frozen=True, slots=True)
class Pause:
    id: UUID
    scope: PauseScope
    site_id: UUID | None
    channel: Channel | None
    kind: MessageKind | None
    reason: str
    begin: datetime
    end: datetime | None = None


def scope_of(channel: Channel | None, kind: MessageKind | None) -> PauseScope:
    return PauseScope.CHANNEL if channel else PauseScope.KIND if kind else PauseScope.SITE
