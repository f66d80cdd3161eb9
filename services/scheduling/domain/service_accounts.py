"""Accounts of the chain's own systems, and the keys by which they get tokens."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.errors import DomainError, Kind

ACCOUNTS_MAX = 100
KEYS_MAX = 3
"""At once: one in use, one that takes its place, one forgotten."""
EXPIRE_AFTER = timedelta(days=90)
"""Where nothing else is asked for."""
TOKEN_LIFE = timedelta(seconds=270)
"""With the grace of those who verify it, five minutes: what revoking takes to be felt everywhere."""


class ServiceAccountNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SERVICE_ACCOUNT_NOT_FOUND", "the chain has no such service account"


class ServiceAccountsTooMany(DomainError):
    kind, reason, message = Kind.CONFLICT, "SERVICE_ACCOUNTS_TOO_MANY", "the chain has as many as one may have"


class ServiceAccountDisabled(DomainError):
    kind, reason, message = Kind.CONFLICT, "SERVICE_ACCOUNT_DISABLED", "the account was disabled: enable it first"


class ServiceAccountKeysTooMany(DomainError):
    kind, reason, message = Kind.CONFLICT, "SERVICE_ACCOUNT_KEYS_TOO_MANY", "revoke a key of the account first"


class ServiceAccountKeyNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "SERVICE_ACCOUNT_KEY_NOT_FOUND", "the account has no such key any more"


class AccountKeysMissing(DomainError):
    kind, reason, message = Kind.CONFLICT, "ACCOUNT_KEYS_MISSING", "the deployment has no keys for service accounts"


@dataclass(frozen=True, slots=True)
class Key:
    """Neither revoked nor expired. Its instants are of real time."""

    id: UUID
    account_id: UUID
    created_at: datetime
    expire_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    id: UUID
    display_name: str
    roles: tuple[str, ...]
    """"ROLE_INTEGRATION"."""
    site_ids: tuple[UUID, ...]
    """Empty: every site of the chain."""
    disabled: bool
    created_at: datetime
    keys: tuple[Key, ...] = ()

    def within(self, sites: Collection[UUID] | None) -> bool:
        """Whether it reaches no further than whoever is of these sites; None: of every one."""
        return sites is None or bool(self.site_ids and set(sites).issuperset(self.site_ids))
