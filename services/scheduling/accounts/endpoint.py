"""The token endpoint: a key of a service account for an access token. OAuth 2.0, client credentials (RFC 6749 §4.4).

Behind it the edge asks for no token, since whoever comes here proves by the secret who they are. It publishes what its
tokens are verified with, too, and where that is (RFC 8414).
"""

import base64
import binascii
import json
import secrets
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

import structlog

from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from atoll.scheduling.v1.service_account_service_pb2 import ServiceAccountKey
from chassis.call import Call
from chassis.clock import Clock
from chassis.db import Database
from chassis.errors import DomainError
from chassis.http_door import HttpAnswer, HttpDoor, HttpRequest
from chassis.ids import BadId, from_wire, to_wire
from services.scheduling.accounts import AccountSettings
from services.scheduling.accounts.keys import AccountKeys
from services.scheduling.domain.service_accounts import TOKEN_LIFE, ServiceAccount
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import service_accounts

log = structlog.get_logger()

TOKEN, JWKS, METADATA = "/oauth/token", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"
AUDIENCE = "atoll"
METHOD = "atoll.scheduling.v1.TokenEndpoint"
"""As the audit trail has it."""
JSON = "application/json"
NOT_KEPT = {"cache-control": "no-store"}
GUESSES_MAX, GUESSES_S = 10, 60.0
"""Wrong secrets of one key, and for how long they count. A secret has 256 bits: this spares the database."""
KEYS_WATCHED_MAX = 10_000


class Refused(Exception):
    """An error as RFC 6749 §5.2 names it."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.answer = HttpAnswer(status, json.dumps({"error": error}).encode(), JSON, {**NOT_KEPT, **(headers or {})})


UNKNOWN = 401, "invalid_client", {"www-authenticate": 'Basic realm="atoll"'}


def client_id(chain_id: UUID, key_id: UUID) -> str:
    """Names the chain as well: nothing is looked up in all of them."""
    return f"{to_wire('serviceaccountkey', key_id)}.{to_wire('chain', chain_id)}"


class TokenEndpoint:
    def __init__(self, db: Database, keys: AccountKeys, clock: Clock, settings: AccountSettings) -> None:
        """The clock is of real time, as tokens are."""
        self._db, self._keys, self._clock, self._issuer = db, keys, clock, settings.account_issuer
        self._door = HttpDoor(settings.token_listen, self._answer)
        self._guesses: dict[UUID, list[float]] = {}

    @property
    def port(self) -> int:
        return self._door.port

    async def open(self) -> None:
        await self._door.open()

    async def close(self) -> None:
        await self._door.close()

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        path = request.target.partition("?")[0]
        try:
            if (request.method, path) == ("POST", TOKEN):
                return HttpAnswer(200, json.dumps(await self._token(request)).encode(), JSON, NOT_KEPT)
            if (request.method, path) == ("GET", JWKS):
                return HttpAnswer(200, json.dumps(self._keys.published()).encode(), JSON)
            if (request.method, path) == ("GET", METADATA):
                return HttpAnswer(200, json.dumps(self._metadata()).encode(), JSON)
        except Refused as error:
            return error.answer
        except DomainError as error:
            log.info("token.refused", reason=error.reason)
            return Refused(503, "temporarily_unavailable").answer
        return HttpAnswer(404)

    async def _token(self, request: HttpRequest) -> dict[str, object]:
        name, secret = _credentials(request)
        try:
            key, _, chain = name.partition(".")
            key_id, chain_id = from_wire("serviceaccountkey", key), from_wire("chain", chain)
        except BadId:
            raise Refused(*UNKNOWN) from None
        self._check_guesses(key_id)
        account = await self._exchange(chain_id, key_id, secret)
        if account is None:
            self._guesses.setdefault(key_id, []).append(time.monotonic())
            log.info("token.refused", reason="INVALID_CLIENT", key=key)
            raise Refused(*UNKNOWN)
        return {
            "access_token": self._sign(chain_id, name, account),
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFE.total_seconds()),
        }

    async def _exchange(self, chain_id: UUID, key_id: UUID, secret: str) -> ServiceAccount | None:
        named = to_wire("serviceaccountkey", key_id)
        call = Call(chain_id, None, named, METHOD, "", AUDIT_CHANGE, self._clock())

        async def work(store: SchedulingStore) -> ServiceAccount | None:
            account = await service_accounts.exchange(store, key_id, secret)
            if account is not None:
                store.noting(ServiceAccountKey(id=named, service_account_id=to_wire("serviceaccount", account.id)))
                await store.note_read()
            return account

        return await self._db.job(call, SchedulingStore, work)

    def _sign(self, chain_id: UUID, client: str, account: ServiceAccount) -> str:
        now = int(self._clock().timestamp())
        sites = [to_wire("site", id) for id in account.site_ids] or ["*"]
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": to_wire("serviceaccount", account.id),
            "client_id": client,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + int(TOKEN_LIFE.total_seconds()),
            "chain": to_wire("chain", chain_id),
            "grants": dict.fromkeys(account.roles, sites),
        }
        return self._keys.sign(claims)

    def _check_guesses(self, key_id: UUID) -> None:
        since = time.monotonic() - GUESSES_S
        guesses = [at for at in self._guesses.pop(key_id, ()) if at > since]
        if len(self._guesses) >= KEYS_WATCHED_MAX:
            self._guesses.clear()
        if guesses:
            self._guesses[key_id] = guesses
        if len(guesses) >= GUESSES_MAX:
            raise Refused(429, "temporarily_unavailable", {"retry-after": str(int(guesses[0] - since) + 1)})

    def _metadata(self) -> dict[str, object]:
        return {
            "issuer": self._issuer,
            "token_endpoint": f"{self._issuer}{TOKEN}",
            "jwks_uri": f"{self._issuer}{JWKS}",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }


def _credentials(request: HttpRequest) -> tuple[str, str]:
    """By HTTP Basic, whose parts are encoded as in a form, or in the form: RFC 6749 §2.3.1. Never in the address."""
    form = dict(parse_qsl(request.body.decode("latin-1")))
    if form.get("grant_type") != "client_credentials":
        raise Refused(400, "unsupported_grant_type" if "grant_type" in form else "invalid_request")
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        return form.get("client_id", ""), form.get("client_secret", "")
    if scheme.lower() != "basic" or "client_secret" in form:
        raise Refused(400, "invalid_request")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode("latin-1").partition(":")
    except binascii.Error:
        raise Refused(400, "invalid_request") from None
    return unquote_plus(name), unquote_plus(secret)
