"""ServiceAccountService."""

import secrets
from datetime import timedelta

from atoll.common.v1.access_pb2 import Role
from atoll.scheduling.v1 import service_account_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.scheduling.accounts.endpoint import TokenEndpoint, client_id
from services.scheduling.accounts.keys import AccountKeys
from services.scheduling.domain.service_accounts import EXPIRE_AFTER, Key, ServiceAccount
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import service_accounts

KIND, KEY_KIND = "serviceaccount", "serviceaccountkey"
SECRET_BYTES = 32


class ServiceAccountServicer:
    """The token endpoint is open for as long as calls are answered."""

    def __init__(self, db: Database, keys: AccountKeys, endpoint: TokenEndpoint) -> None:
        self._db, self._keys, self.endpoint = db, keys, endpoint

    async def open(self) -> None:
        await self.endpoint.open()

    async def close(self) -> None:
        await self.endpoint.close()

    async def CreateServiceAccount(
        self, request: pb.CreateServiceAccountRequest, call: Call
    ) -> pb.CreateServiceAccountResponse:
        async def work(store: SchedulingStore) -> pb.CreateServiceAccountResponse:
            new = ServiceAccount(
                id=new_id(),
                display_name=request.display_name,
                roles=tuple(Role.Name(role) for role in request.roles),
                site_ids=tuple(from_wire("site", id) for id in request.site_ids),
                disabled=False,
                created_at=call.now,
            )
            await service_accounts.create_account(store, new)
            return pb.CreateServiceAccountResponse(service_account=_to_wire(new))

        return await self._db.once(
            call, request, pb.CreateServiceAccountResponse, SchedulingStore, work, locks=[call.chain_id]
        )

    async def GetServiceAccount(self, request: pb.GetServiceAccountRequest, call: Call) -> pb.GetServiceAccountResponse:
        id = from_wire(KIND, request.service_account_id)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.service_account(id))
        return pb.GetServiceAccountResponse(service_account=_to_wire(found))

    async def ListServiceAccounts(
        self, request: pb.ListServiceAccountsRequest, call: Call
    ) -> pb.ListServiceAccountsResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.service_accounts(page))
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListServiceAccountsResponse(service_accounts=map(_to_wire, kept), next_page_token=token)

    async def DisableServiceAccount(
        self, request: pb.DisableServiceAccountRequest, call: Call
    ) -> pb.DisableServiceAccountResponse:
        id = from_wire(KIND, request.service_account_id)

        async def work(store: SchedulingStore) -> pb.DisableServiceAccountResponse:
            changed = await service_accounts.set_disabled(store, id, disabled=True)
            return pb.DisableServiceAccountResponse(service_account=_to_wire(changed))

        return await self._db.once(call, request, pb.DisableServiceAccountResponse, SchedulingStore, work, locks=[id])

    async def EnableServiceAccount(
        self, request: pb.EnableServiceAccountRequest, call: Call
    ) -> pb.EnableServiceAccountResponse:
        id = from_wire(KIND, request.service_account_id)

        async def work(store: SchedulingStore) -> pb.EnableServiceAccountResponse:
            changed = await service_accounts.set_disabled(store, id, disabled=False)
            return pb.EnableServiceAccountResponse(service_account=_to_wire(changed))

        return await self._db.once(call, request, pb.EnableServiceAccountResponse, SchedulingStore, work, locks=[id])

    async def CreateServiceAccountKey(
        self, request: pb.CreateServiceAccountKeyRequest, call: Call
    ) -> pb.CreateServiceAccountKeyResponse:
        """The remembered answer holds the secret sealed."""
        account_id, key_id, secret = from_wire(KIND, request.service_account_id), new_id(), _new_secret()
        life = timedelta(days=request.expire_after_days) or EXPIRE_AFTER
        sealed = self._keys.seal(secret, key_id)

        async def work(store: SchedulingStore) -> pb.CreateServiceAccountKeyResponse:
            key = await service_accounts.create_key(store, account_id, key_id, secret, life)
            return pb.CreateServiceAccountKeyResponse(
                service_account_key=_key(key), client_id=client_id(call.chain_id, key_id), client_secret=sealed
            )

        answer = await self._db.once(
            call, request, pb.CreateServiceAccountKeyResponse, SchedulingStore, work, locks=[account_id]
        )
        answer.client_secret = self._keys.open(answer.client_secret, from_wire(KEY_KIND, answer.service_account_key.id))
        return answer

    async def RevokeServiceAccountKey(
        self, request: pb.RevokeServiceAccountKeyRequest, call: Call
    ) -> pb.RevokeServiceAccountKeyResponse:
        account_id = from_wire(KIND, request.service_account_id)
        key_id = from_wire(KEY_KIND, request.service_account_key_id)

        async def work(store: SchedulingStore) -> pb.RevokeServiceAccountKeyResponse:
            changed = await service_accounts.revoke_key(store, account_id, key_id)
            return pb.RevokeServiceAccountKeyResponse(service_account=_to_wire(changed))

        return await self._db.once(
            call, request, pb.RevokeServiceAccountKeyResponse, SchedulingStore, work, locks=[account_id]
        )


def _new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _to_wire(account: ServiceAccount) -> pb.ServiceAccount:
    return pb.ServiceAccount(
        id=to_wire(KIND, account.id),
        display_name=account.display_name,
        roles=[Role.Value(role) for role in account.roles],
        site_ids=[to_wire("site", id) for id in account.site_ids],
        disabled=account.disabled,
        create_time=to_timestamp(account.created_at),
        keys=map(_key, account.keys),
    )


def _key(key: Key) -> pb.ServiceAccountKey:
    return pb.ServiceAccountKey(
        id=to_wire(KEY_KIND, key.id),
        service_account_id=to_wire(KIND, key.account_id),
        create_time=to_timestamp(key.created_at),
        expire_time=to_timestamp(key.expire_at),
        last_use_time=to_timestamp(key.last_used_at) if key.last_used_at else None,
    )
