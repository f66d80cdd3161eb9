"""Service accounts: made, disabled, given keys, and told apart by them."""

import hashlib
import hmac
from datetime import timedelta
from uuid import UUID

from chassis.auth import AccessDenied
from services.scheduling.domain.service_accounts import (
    ACCOUNTS_MAX,
    KEYS_MAX,
    Key,
    ServiceAccount,
    ServiceAccountDisabled,
    ServiceAccountKeysTooMany,
    ServiceAccountsTooMany,
)
from services.scheduling.domain.sites import SiteNotFound
from services.scheduling.store import SchedulingStore


async def create_account(store: SchedulingStore, new: ServiceAccount) -> None:
    """The caller holds the lock of the chain, so that its accounts can be counted."""
    _check_reach(store, new)
    if not await store.all_sites_are_known(new.site_ids):
        raise SiteNotFound()
    if await store.count_service_accounts() >= ACCOUNTS_MAX:
        raise ServiceAccountsTooMany(limit=ACCOUNTS_MAX)
    await store.add_service_account(new)


async def set_disabled(store: SchedulingStore, account_id: UUID, *, disabled: bool) -> ServiceAccount:
    await _to_change(store, account_id)
    await store.disable_service_account(account_id, disabled=disabled)
    return await store.service_account(account_id)


async def create_key(store: SchedulingStore, account_id: UUID, key_id: UUID, secret: str, life: timedelta) -> Key:
    """The caller holds the lock of the account, so that its keys can be counted."""
    account = await _to_change(store, account_id)
    if account.disabled:
        raise ServiceAccountDisabled()
    if len(account.keys) >= KEYS_MAX:
        raise ServiceAccountKeysTooMany(limit=KEYS_MAX)
    return await store.add_service_account_key(key_id, account_id, _digest(secret), life)


async def revoke_key(store: SchedulingStore, account_id: UUID, key_id: UUID) -> ServiceAccount:
    await _to_change(store, account_id)
    await store.revoke_service_account_key(account_id, key_id)
    return await store.service_account(account_id)


async def exchange(store: SchedulingStore, key_id: UUID, secret: str) -> ServiceAccount | None:
    """Whose key it is, if it is one and the secret is its own; which of the two fails takes the same time to tell."""
    found = await store.account_by_key(key_id)
    account, digest = found or (None, bytes(hashlib.sha256().digest_size))
    if not hmac.compare_digest(digest, _digest(secret)) or account is None:
        return None
    await store.key_was_used(key_id)
    return account


async def _to_change(store: SchedulingStore, account_id: UUID) -> ServiceAccount:
    account = await store.service_account(account_id)
    _check_reach(store, account)
    return account


def _check_reach(store: SchedulingStore, account: ServiceAccount) -> None:
    """Whoever is confined to sites has accounts confined to them."""
    if not account.within(store.call.sites):
        raise AccessDenied()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
