"""Service accounts and their keys. What expires does so by the database's own clock, which is of real time."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Boolean, LargeBinary, Uuid, any_, func, insert, select, update
from sqlalchemy.dialects.postgresql import INTERVAL

from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.scheduling.domain.service_accounts import (
    Key,
    ServiceAccount,
    ServiceAccountKeyNotFound,
    ServiceAccountNotFound,
)
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.tables import service_account, service_account_key, site

ID, KEY_ID = param("id", Uuid), param("key_id", Uuid)
_real_now = func.clock_timestamp()
_account_columns = ("chain_id", "id", "display_name", "roles", "site_ids", "created_at")
ADD_ACCOUNT = Statement(insert(service_account).values(params(*_account_columns)))
_accounts = select(service_account).where(service_account.c.chain_id == CHAIN)
ACCOUNT = Statement(_accounts.where(service_account.c.id == ID))
_page = _accounts.where(service_account.c.id > param("after", Uuid)).order_by(service_account.c.id)
ACCOUNTS = Statement(_page.limit(LIMIT))
COUNT_ACCOUNTS = Statement(select(func.count().label("count")).where(service_account.c.chain_id == CHAIN))
SET_DISABLED = Statement(
    update(service_account)
    .where(service_account.c.chain_id == CHAIN, service_account.c.id == ID)
    .values(disabled=param("disabled", Boolean))
)
KNOWN_SITES = Statement(
    select(func.count().label("count")).where(site.c.chain_id == CHAIN, site.c.id == any_(param("ids", ARRAY(Uuid))))
)

_key = service_account_key
_live = _key.c.chain_id == CHAIN, _key.c.revoked_at.is_(None), _key.c.expire_at > _real_now
_shown = _key.c.id, _key.c.account_id, _key.c.created_at, _key.c.expire_at, _key.c.last_used_at
KEYS = Statement(
    select(*_shown).where(*_live, _key.c.account_id == any_(param("ids", ARRAY(Uuid)))).order_by(_key.c.id)
)
ADD_KEY = Statement(
    insert(_key)
    .values(
        **params("chain_id", "id", "account_id"),
        secret_digest=param("secret_digest", LargeBinary),
        expire_at=_real_now + param("life", INTERVAL),
    )
    .returning(*_shown)
)
REVOKE_KEY = Statement(
    update(_key)
    .where(*_live, _key.c.account_id == ID, _key.c.id == KEY_ID)
    .values(revoked_at=_real_now)
    .returning(_key.c.id)
)
KEY_TO_EXCHANGE = Statement(
    select(_key.c.secret_digest, service_account)
    .join(
        service_account, (service_account.c.chain_id == _key.c.chain_id) & (service_account.c.id == _key.c.account_id)
    )
    .where(*_live, _key.c.id == KEY_ID, ~service_account.c.disabled)
)
KEY_USED = Statement(update(_key).where(_key.c.chain_id == CHAIN, _key.c.id == KEY_ID).values(last_used_at=_real_now))


class ServiceAccountStore(Store):
    async def add_service_account(self, new: ServiceAccount) -> None:
        values = {name: getattr(new, name) for name in _account_columns if name != "chain_id"}
        await self.rows(ADD_ACCOUNT, **values)

    async def count_service_accounts(self) -> int:
        row = await self.row(COUNT_ACCOUNTS)
        return int(row["count"]) if row else 0

    async def service_account(self, id: UUID) -> ServiceAccount:
        row = await self.row(ACCOUNT, id=id)
        if row is None:
            raise ServiceAccountNotFound()
        return (await self._with_keys([row]))[0]

    async def service_accounts(self, page: Page) -> list[ServiceAccount]:
        after = UUID(page.after[0]) if page.after else NO_ID
        return await self._with_keys(await self.rows(ACCOUNTS, after=after, limit=page.limit))

    async def disable_service_account(self, id: UUID, *, disabled: bool) -> None:
        await self.rows(SET_DISABLED, id=id, disabled=disabled)

    async def all_sites_are_known(self, ids: Sequence[UUID]) -> bool:
        row = await self.row(KNOWN_SITES, ids=list(ids))
        return row is not None and row["count"] == len(ids)

    async def add_service_account_key(self, id: UUID, account_id: UUID, digest: bytes, life: timedelta) -> Key:
        row = await self.row(ADD_KEY, id=id, account_id=account_id, secret_digest=digest, life=life)
        assert row
        return _to_key(row)

    async def revoke_service_account_key(self, account_id: UUID, key_id: UUID) -> None:
        if not await self.row(REVOKE_KEY, id=account_id, key_id=key_id):
            raise ServiceAccountKeyNotFound()

    async def account_by_key(self, key_id: UUID) -> tuple[ServiceAccount, bytes] | None:
        """With the digest of the secret; None where the key gets no token."""
        row = await self.row(KEY_TO_EXCHANGE, key_id=key_id)
        return (_to_account(row), row["secret_digest"]) if row else None

    async def key_was_used(self, key_id: UUID) -> None:
        await self.rows(KEY_USED, key_id=key_id)

    async def _with_keys(self, rows: Sequence[Record]) -> list[ServiceAccount]:
        keys = [_to_key(row) for row in await self.rows(KEYS, ids=[row["id"] for row in rows])] if rows else []
        return [_to_account(row, tuple(key for key in keys if key.account_id == row["id"])) for row in rows]


def _to_key(row: Record) -> Key:
    return Key(row["id"], row["account_id"], row["created_at"], row["expire_at"], row["last_used_at"])


def _to_account(row: Record, keys: tuple[Key, ...] = ()) -> ServiceAccount:
    return ServiceAccount(
        id=row["id"],
        display_name=row["display_name"],
        roles=tuple(row["roles"]),
        site_ids=tuple(row["site_ids"]),
        disabled=row["disabled"],
        created_at=row["created_at"],
        keys=keys,
    )
