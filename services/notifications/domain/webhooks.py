"""Rules of webhooks: where they may be sent, when they are tried again, when an endpoint is given up. Pure.

Every instant here is of real time: receivers check signatures by their own clocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation

ENDPOINTS_MAX = 20
"""Of one chain."""
URL_MAX = 2000
PORTS = frozenset({443, 8443})
"""On which webhooks are received, as the convention suggests."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)  # fmt: skip
"""How long after the one before each attempt is made, as the convention suggests: some three days in all."""
ATTEMPTS_MAX = len(SCHEDULE)
JITTER = 0.1
"""The part of a delay by which it may be longer, so that those that failed together do not come back together."""
GIVEN_UP_AFTER = timedelta(days=5)
"""Of nothing but failures: an endpoint is disabled then."""
OVERLAP = timedelta(hours=24)
"""How long a replaced secret signs along."""
REDELIVERED_MAX = 1_000
TEST_TYPE = "notifications.v1.webhook.test"


class WebhookEndpointNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "WEBHOOK_ENDPOINT_NOT_FOUND", "no such endpoint"


class WebhookUrlRefused(DomainError):
    kind, reason, message = Kind.INVALID, "WEBHOOK_URL_REFUSED", "webhooks are not sent to such a URL"


class EventTypeUnknown(DomainError):
    kind, reason, message = Kind.INVALID, "EVENT_TYPE_UNKNOWN", "no event has this name"


class WebhookEndpointsTooMany(DomainError):
    kind, reason = Kind.CONFLICT, "WEBHOOK_ENDPOINTS_TOO_MANY"
    message = "the chain has as many endpoints as it may have"


class WebhookDeliveryNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "WEBHOOK_DELIVERY_NOT_FOUND", "no such delivery"


class WebhookEndpointPaused(DomainError):
    kind, reason, message = Kind.CONFLICT, "WEBHOOK_ENDPOINT_PAUSED", "the endpoint is paused: resume it first"


class WebhookEndpointDisabled(DomainError):
    kind, reason, message = Kind.CONFLICT, "WEBHOOK_ENDPOINT_DISABLED", "the endpoint is disabled: resume it first"


class WebhookKeysMissing(DomainError):
    kind, reason = Kind.UNAVAILABLE, "WEBHOOK_KEYS_MISSING"
    message = "there are no keys to keep a secret with, or not the one that it was kept with"
    retry_after_s = 60.0


class EndpointStatus(StrEnum):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"


class DisableReason(StrEnum):
    GONE = "GONE"
    FAILING = "FAILING"


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Target:
    """What of an endpoint its owners decide."""

    url: str
    description: str
    event_types: tuple[str, ...]
    site_ids: tuple[UUID, ...]
    """Empty: all, and events of no site."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: UUID
    target: Target
    status: EndpointStatus
    disable_reason: DisableReason | None
    failing_since: datetime | None
    secret: str
    """Sealed, as `old_secret` is."""
    old_secret: str | None
    old_secret_until: datetime | None
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Delivery:
    id: UUID
    endpoint_id: UUID
    event_id: UUID
    type: str
    site_id: UUID | None
    status: DeliveryStatus
    attempts: int
    last_code: str | None
    created_at: datetime
    due: datetime
    on_its_way: bool
    delivered_at: datetime | None
    payload: str


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as the chain's systems are told of it."""

    event_id: UUID
    type: str
    site_id: UUID | None
    payload: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that a sender took up under a lease, its attempt counted, with all that it takes to send it."""

    id: UUID
    lease_id: UUID
    endpoint_id: UUID
    type: str
    payload: str
    attempts: int
    url: str
    secrets: tuple[str, ...]
    """Sealed, the one that counts first."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    code: str


@dataclass(frozen=True, slots=True)
class TryAgainLater:
    after: timedelta
    code: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    code: str
    gone: bool = False
    """The endpoint said that it is no more."""


End = Delivered | TryAgainLater | GivenUp


def after_attempt(taken: Taken, code: str, status: int | None, chance: float) -> End:
    """What becomes of a delivery after its attempt; `status` is HTTP's, None where there was no answer."""
    if status is not None and 200 <= status < 300:
        return Delivered(code)
    if status == 410:
        return GivenUp(code, gone=True)
    if taken.type == TEST_TYPE or taken.attempts >= ATTEMPTS_MAX:
        return GivenUp(code)
    return TryAgainLater(SCHEDULE[taken.attempts] * (1 + JITTER * chance), code)


def why_disabled(end: End, failing_since: datetime, now: datetime) -> DisableReason | None:
    """Whether an endpoint is disabled by an attempt that failed."""
    if isinstance(end, GivenUp) and end.gone:
        return DisableReason.GONE
    return DisableReason.FAILING if now - failing_since >= GIVEN_UP_AFTER else None


def check_types(types: Sequence[str], known: frozenset[str], field: str) -> None:
    unknown = [
        Violation(f"{field}[{n}]", "EVENT_TYPE_UNKNOWN", "no event has this name")
        for n, type in enumerate(types)
        if type not in known
    ]
    if unknown:
        raise EventTypeUnknown(*unknown)


def check_url(url: str, field: str, *, loopback: bool) -> SplitResult:
    """What of a URL can be told without asking anybody: its addresses are looked at in each attempt.

    With `loopback`, which only development knows, receivers may be on this machine, on any port, without TLS.
    """

    def refuse(rule: str, why: str) -> WebhookUrlRefused:
        return WebhookUrlRefused(Violation(field, rule, why))

    if len(url) > URL_MAX or not url.isascii() or not url.isprintable() or any(each in url for each in ' \\"<>'):
        raise refuse("URL_MALFORMED", "is no URL of printable ASCII")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise refuse("URL_MALFORMED", "is no URL") from None
    if not host or "%" in host:
        raise refuse("URL_MALFORMED", "names no host")
    here = loopback and host in LOOPBACK_NAMES
    if parts.scheme != "https" and not (here and parts.scheme == "http"):
        raise refuse("URL_NOT_HTTPS", "begins with https://")
    if "@" in parts.netloc:
        raise refuse("URL_USER_INFO", "holds a user or a password")
    if "#" in url:
        raise refuse("URL_FRAGMENT", "holds a fragment")
    if not here and (443 if port is None else port) not in PORTS:
        raise refuse("URL_PORT", "names a port that webhooks are not sent to")
    if not here and (host in LOOPBACK_NAMES or host.endswith(".localhost") or not _public_if_literal(host)):
        raise refuse("URL_ADDRESS", "names an address that is not public")
    return parts


def _public_if_literal(host: str) -> bool:
    try:
        return may_be_reached(host, loopback=False)
    except ValueError:
        return True  # A name.


GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_GLOBAL = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Protocol assignments and Teredo, documentation, 6to4: what carries another address or none that is routed."""


def may_be_reached(address: str, *, loopback: bool) -> bool:
    """Whether webhooks may be sent to an IP address: never into a private network.

    Refused: private, shared (RFC 6598), loopback, link-local, multicast, reserved and unspecified addresses, and those
    of IPv6 that stand for one of IPv4. ValueError: it is no address.
    """
    ip = ip_address(address)
    if ip.is_loopback:
        return loopback
    if isinstance(ip, IPv4Address):
        return ip.is_global and not (ip.is_multicast or ip.is_reserved)
    return _is_global_unicast(ip)


def _is_global_unicast(ip: IPv6Address) -> bool:
    return ip.scope_id is None and ip in GLOBAL_UNICAST and not any(ip in each for each in NOT_GLOBAL)
