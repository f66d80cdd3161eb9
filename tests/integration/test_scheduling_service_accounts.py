"""Accounts of the chain's own systems: who may make them, how a key becomes a token, what ends it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from grpc import StatusCode
from joserfc import jwt
from joserfc.jwk import KeySet

from atoll.common.v1.access_pb2 import ROLE_CHAIN_ADMIN, ROLE_FRONT_DESK, ROLE_INTEGRATION, ROLE_PATIENT, ROLE_SERVICE
from atoll.scheduling.v1 import service_account_service_pb2 as pb
from atoll.scheduling.v1.service_account_service_pb2_grpc import ServiceAccountServiceStub
from chassis.auth import Tokens
from chassis.ids import new_id, to_wire
from chassis.issuers import TrustedIssuer
from deploy.local.home import Home
from services.scheduling.__main__ import SERVICE
from services.scheduling.accounts import AccountSettings, endpoint
from services.scheduling.rpc import servicers_with
from services.scheduling.rpc.service_accounts import ServiceAccountServicer
from tests.support.service import Running, refusal, running

ISSUER = "https://api.example"


@dataclass
class Accounts:
    svc: Running
    http: httpx.AsyncClient
    tokens: Tokens
    """What every service trusts."""

    def stub(self) -> Any:
        return self.svc.stub(ServiceAccountServiceStub)

    async def call(self, rpc: str, token: str | None = None, **fields: Any) -> Any:
        method = getattr(self.stub(), rpc)
        request_type = getattr(pb, f"{rpc}Request")
        if "request_id" in request_type.DESCRIPTOR.fields_by_name:
            fields = {"request_id": str(uuid4())} | fields
        return await self.svc.call(method, request_type(**fields), token)

    async def account(self, token: str | None = None, **fields: Any) -> Any:
        given = {"display_name": "Booking site", "roles": [ROLE_INTEGRATION]} | fields
        return (await self.call("CreateServiceAccount", token, **given)).service_account

    async def key(self, account: Any, **fields: Any) -> Any:
        return await self.call("CreateServiceAccountKey", service_account_id=account.id, **fields)

    async def exchange(self, key: Any, secret: str | None = None, **form: str) -> httpx.Response:
        proof = key.client_id, key.client_secret if secret is None else secret
        return await self.http.post("/oauth/token", auth=proof, data={"grant_type": "client_credentials"} | form)

    async def get(self, account: Any) -> Any:
        return (await self.call("GetServiceAccount", service_account_id=account.id)).service_account


@pytest_asyncio.fixture
async def accounts(postgres_url: str, issuer_folder: Path, tmp_path: Path) -> AsyncIterator[Accounts]:
    home = Home(tmp_path)
    home.make_keys()
    told = AccountSettings(
        mode="development",
        account_keys_file=home.account_keys,
        account_issuer=ISSUER,
        token_listen="127.0.0.1:0",
    )
    opened: list[ServiceAccountServicer] = []

    def servicers(db: Any) -> Any:
        found = servicers_with(db, told)
        opened.extend(each for each in found.values() if isinstance(each, ServiceAccountServicer))
        return found

    trusted = TrustedIssuer(issuer=ISSUER, jwks=str(home.account_jwks))
    async with running(replace(SERVICE, servicers=servicers), postgres_url, issuer_folder) as svc:
        url = f"http://127.0.0.1:{opened[0].endpoint.port}"
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield Accounts(svc, http, Tokens([trusted]))


async def test_a_key_becomes_a_token_that_every_service_takes_for_the_account_alone(accounts: Accounts) -> None:
    account = await accounts.account(roles=[ROLE_INTEGRATION, ROLE_FRONT_DESK])
    key = await accounts.key(account)
    answer = await accounts.exchange(key)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 270)
    caller = await accounts.tokens.caller(f"Bearer {answer.json()['access_token']}")
    assert (caller.id, caller.chain_id, caller.patient_id) == (account.id, accounts.svc.chain_id, None)
    assert caller.grants == {"ROLE_INTEGRATION": None, "ROLE_FRONT_DESK": None}


async def test_the_keys_that_tokens_are_verified_with_are_published(accounts: Accounts) -> None:
    token = (await accounts.exchange(await accounts.key(await accounts.account()))).json()["access_token"]
    found = (await accounts.http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == ISSUER
    assert (found["token_endpoint"], found["jwks_uri"]) == (f"{ISSUER}/oauth/token", f"{ISSUER}/.well-known/jwks.json")
    jwks = (await accounts.http.get("/.well-known/jwks.json")).json()
    assert all("d" not in key for key in jwks["keys"])
    assert jwt.decode(token, KeySet.import_key_set(jwks), algorithms=["ES256"]).claims["aud"] == "atoll"


async def test_the_secret_may_stand_in_the_form(accounts: Accounts) -> None:
    key = await accounts.key(await accounts.account())
    form = {"grant_type": "client_credentials", "client_id": key.client_id, "client_secret": key.client_secret}
    assert (await accounts.http.post("/oauth/token", data=form)).status_code == 200
    assert (await accounts.http.post("/oauth/token", params=form)).status_code == 400


async def test_a_wrong_secret_an_unknown_key_and_another_chains_are_one_refusal(accounts: Accounts) -> None:
    account = await accounts.account()
    key = await accounts.key(account)
    name, chain = key.client_id.split(".")
    nobody, elsewhere = to_wire("serviceaccountkey", new_id()), to_wire("chain", new_id())
    wrong = [
        await accounts.exchange(key, "guess"),
        await accounts.exchange(key, ""),
        *[
            await accounts.exchange(pb.CreateServiceAccountKeyResponse(client_id=id, client_secret=key.client_secret))
            for id in (f"{nobody}.{chain}", f"{name}.{elsewhere}", name, "nonsense", "")
        ],
    ]
    assert {(each.status_code, each.text) for each in wrong} == {(401, '{"error": "invalid_client"}')}
    assert wrong[0].headers["www-authenticate"].startswith("Basic")
    assert not (await accounts.get(account)).keys[0].HasField("last_use_time")


async def test_whoever_guesses_at_a_key_has_to_wait(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "GUESSES_MAX", 3)
    account = await accounts.account()
    key, other = await accounts.key(account), await accounts.key(account)
    for _ in range(3):
        assert (await accounts.exchange(key, "guess")).status_code == 401
    refused = await accounts.exchange(key)
    assert (refused.status_code, 0 < int(refused.headers["retry-after"]) <= 61) == (429, True)
    assert (await accounts.exchange(other)).status_code == 200
    monkeypatch.setattr(endpoint, "GUESSES_S", 0.0)
    assert (await accounts.exchange(key)).status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [({"grant_type": "password"}, "unsupported_grant_type"), ({"grant_type": ""}, "invalid_request")],
)
async def test_nothing_else_is_granted(accounts: Accounts, form: dict[str, str], error: str) -> None:
    key = await accounts.key(await accounts.account())
    refused = await accounts.exchange(key, **form)
    assert (refused.status_code, refused.json()) == (400, {"error": error})
    assert (await accounts.http.get("/oauth/token")).status_code == 404


async def test_keys_rotate_without_an_outage(accounts: Accounts) -> None:
    account = await accounts.account()
    old, new = await accounts.key(account), await accounts.key(account)
    assert [(await accounts.exchange(key)).status_code for key in (old, new)] == [200, 200]
    id = old.service_account_key.id
    await accounts.call("RevokeServiceAccountKey", service_account_id=account.id, service_account_key_id=id)
    assert [(await accounts.exchange(key)).status_code for key in (old, new)] == [401, 200]
    assert [key.id for key in (await accounts.get(account)).keys] == [new.service_account_key.id]
    again = accounts.call("RevokeServiceAccountKey", service_account_id=account.id, service_account_key_id=id)
    assert (await refusal(again)).reason == "SERVICE_ACCOUNT_KEY_NOT_FOUND"


async def test_an_account_has_three_keys_at_once(accounts: Accounts) -> None:
    account = await accounts.account()
    for _ in range(3):
        await accounts.key(account)
    refused = await refusal(accounts.key(account))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "SERVICE_ACCOUNT_KEYS_TOO_MANY")
    assert await accounts.svc.count("service_account_key") == 3


async def test_a_key_that_expired_gets_no_token_and_counts_no_more(accounts: Accounts) -> None:
    account = await accounts.account()
    key = await accounts.key(account, expire_after_days=1)
    await accounts.svc.admin.execute("UPDATE service_account_key SET expire_at = now()")
    assert (await accounts.exchange(key)).status_code == 401
    assert list((await accounts.get(account)).keys) == []


async def test_a_disabled_account_gets_no_token_until_it_is_enabled(accounts: Accounts) -> None:
    account = await accounts.account()
    key = await accounts.key(account)
    await accounts.call("DisableServiceAccount", service_account_id=account.id)
    assert (await accounts.exchange(key)).status_code == 401
    assert (await refusal(accounts.key(account))).reason == "SERVICE_ACCOUNT_DISABLED"
    await accounts.call("EnableServiceAccount", service_account_id=account.id)
    assert (await accounts.exchange(key)).status_code == 200


async def test_the_secret_is_told_again_to_the_same_request_and_kept_nowhere(accounts: Accounts) -> None:
    account, same = await accounts.account(), str(uuid4())
    first, again = [await accounts.key(account, request_id=same) for _ in range(2)]
    assert first == again
    assert len(first.client_secret) >= 43
    for table in ("service_account_key", "idempotency", "audit", "outbox"):
        kept = await accounts.svc.admin.fetchval(f"SELECT coalesce(string_agg(t::text, ''), '') FROM {table} t")
        assert first.client_secret not in kept, table
        assert first.client_secret.encode().hex() not in kept, table


async def test_what_is_done_and_each_token_are_on_record(accounts: Accounts) -> None:
    account = await accounts.account()
    key = await accounts.key(account)
    await accounts.exchange(key)
    await accounts.exchange(key, "guess")
    rows = await accounts.svc.admin.fetch("SELECT actor, method, kind, ids FROM audit ORDER BY position")
    assert [row["method"].rpartition(".")[2] for row in rows] == [
        "CreateServiceAccount",
        "CreateServiceAccountKey",
        "TokenEndpoint",
    ]
    assert (rows[2]["actor"], rows[2]["kind"]) == (key.service_account_key.id, "AUDIT_CHANGE")
    assert json.loads(rows[2]["ids"])["service_account_id"] == account.id
    assert (await accounts.get(account)).keys[0].HasField("last_use_time")


async def test_whoever_is_confined_to_sites_makes_and_changes_accounts_of_these_alone(accounts: Accounts) -> None:
    mine, other = new_id(), new_id()
    for id in (mine, other):
        await accounts.svc.admin.execute(
            "INSERT INTO legal_entity (chain_id, id, display_name) VALUES ($1, $2, 'x')", accounts.svc.chain_id, id
        )
        await accounts.svc.admin.execute(
            "INSERT INTO site (chain_id, id, legal_entity_id, code, display_name, discreet_name, address, state, "
            "time_zone, phone, opening_hours, closed_dates) "
            "VALUES ($1, $2, $2, $3, 'x', 'x', '{}', 'NM', 'America/Denver', '', '[]', '{}')",
            accounts.svc.chain_id,
            id,
            str(id),
        )
    admin = accounts.svc.token("ROLE_CHAIN_ADMIN", sites=[mine])
    account = await accounts.account(admin, site_ids=[to_wire("site", mine)])
    token = (await accounts.exchange(await accounts.key(account))).json()["access_token"]
    caller = await accounts.tokens.caller(f"Bearer {token}")
    assert caller.grants == {"ROLE_INTEGRATION": frozenset({mine})}
    for sites in ([], [to_wire("site", other)], [to_wire("site", id) for id in (mine, other)]):
        assert (await refusal(accounts.account(admin, site_ids=sites))).reason == "ACCESS_DENIED"
    wider = await accounts.account()
    for rpc in ("CreateServiceAccountKey", "DisableServiceAccount", "EnableServiceAccount"):
        refused = await refusal(accounts.call(rpc, admin, service_account_id=wider.id))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    key_id = to_wire("serviceaccountkey", new_id())
    revoking = accounts.call(
        "RevokeServiceAccountKey", admin, service_account_id=wider.id, service_account_key_id=key_id
    )
    assert (await refusal(revoking)).reason == "ACCESS_DENIED"
    assert await accounts.svc.count("service_account_key") == 1


@pytest.mark.parametrize("role", [ROLE_CHAIN_ADMIN, ROLE_PATIENT, ROLE_SERVICE, 0, 99])
async def test_no_account_runs_the_chain_or_is_a_patient_or_a_service(accounts: Accounts, role: int) -> None:
    assert (await refusal(accounts.account(roles=[role]))).code is StatusCode.INVALID_ARGUMENT


async def test_a_site_that_is_none_of_the_chains_is_not_found(accounts: Accounts) -> None:
    assert (await refusal(accounts.account(site_ids=[to_wire("site", new_id())]))).reason == "SITE_NOT_FOUND"


async def test_another_chains_account_is_not_found(accounts: Accounts) -> None:
    account = await accounts.account()
    stranger = accounts.svc.token(chain_id=new_id())
    refused = await refusal(accounts.call("GetServiceAccount", stranger, service_account_id=account.id))
    assert refused.reason == "SERVICE_ACCOUNT_NOT_FOUND"
    assert list((await accounts.call("ListServiceAccounts", stranger)).service_accounts) == []


async def test_accounts_are_listed_page_by_page_and_bounded(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduling.use_cases.service_accounts.ACCOUNTS_MAX", 3)
    made = [await accounts.account() for _ in range(3)]
    first = await accounts.call("ListServiceAccounts", page_size=2)
    rest = await accounts.call("ListServiceAccounts", page_size=2, page_token=first.next_page_token)
    assert [*first.service_accounts, *rest.service_accounts] == made
    assert (await refusal(accounts.account())).reason == "SERVICE_ACCOUNTS_TOO_MANY"


async def test_a_new_signing_key_takes_over_and_the_old_one_is_still_published(
    accounts: Accounts, tmp_path: Path
) -> None:
    key = await accounts.key(await accounts.account())
    other = Home(tmp_path / "other")
    other.folder.mkdir()
    other.make_keys()
    content = json.loads(Home(tmp_path).account_keys.read_text())
    content["signing"] = json.loads(other.account_keys.read_text())["signing"] + content["signing"]
    Home(tmp_path).account_keys.write_text(json.dumps(content))
    token = (await accounts.exchange(key)).json()["access_token"]
    jwks = (await accounts.http.get("/.well-known/jwks.json")).json()["keys"]
    assert [each["kid"] for each in jwks] == [each["kid"] for each in content["signing"]]
    assert jwt.decode(token, KeySet.import_key_set({"keys": jwks[:1]}), algorithms=["ES256"]).claims["iss"] == ISSUER


async def test_without_its_keys_a_deployment_says_so(accounts: Accounts, tmp_path: Path) -> None:
    account = await accounts.account()
    key = await accounts.key(account)
    Home(tmp_path).account_keys.unlink()
    assert (await refusal(accounts.key(account))).reason == "ACCOUNT_KEYS_MISSING"
    assert (await accounts.exchange(key)).status_code == 503
