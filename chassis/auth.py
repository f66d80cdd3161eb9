"""Tokens: who is calling, for which chain, with which role at which sites. Verified in every service."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from atoll.common.v1.access_pb2 import ROLE_PATIENT, SCOPE_CHAIN, SCOPE_SELF, Access, Role
from chassis.call import Sites
from chassis.errors import DomainError, Kind, TryAgain
from chassis.ids import from_wire

log = structlog.get_logger()

ALGORITHMS = ["ES256", "RS256", "EdDSA"]
TYPE = "at+jwt"  # An access token: an identity token of the same issuer does not pass.
LEEWAY_S = 30
SUBJECT_MAX = 200
CACHED_MAX = 10_000
CACHED_S = 60
EVERY = "*"
ROLES = {number: name for name, number in Role.items()}
KEYS_FRESH_S = 300.0  # A key set is read anew at this age,
KEYS_AGAIN_S = 10.0  # and for a token of an unknown key, but no more often than this.
FETCH_S = 5.0


class TokenRefused(DomainError):
    kind, reason, message = Kind.UNAUTHENTICATED, "TOKEN_REFUSED", "no token, or one that does not pass"


class AccessDenied(DomainError):
    kind, reason, message = Kind.DENIED, "ACCESS_DENIED", "no role of the caller may do this here"


class TokenExpired(DomainError):
    kind, reason, message = Kind.UNAUTHENTICATED, "TOKEN_EXPIRED", "the token expired while the stream was open"


@dataclass(frozen=True, slots=True)
class Caller:
    id: str
    chain_id: UUID | None  # None: a service, which names the chain with each call.
    grants: Mapping[str, Sites]  # Role name → sites.
    patient_id: UUID | None
    expires: float

    def permitted(self, access: Access) -> tuple[Sites, UUID | None]:
        """The sites and the patient to which the call is confined; refused if it is not the caller's to make at all.

        A patient sees their own rows only, whatever else the access option says; any staff role is wider.
        """
        held = {role: self.grants[name] for role in access.roles if (name := ROLES[role]) in self.grants}
        staff = [sites for role, sites in held.items() if role != ROLE_PATIENT]
        if staff and access.scope != SCOPE_SELF:
            if access.scope == SCOPE_CHAIN or None in staff:
                return None, None
            return frozenset().union(*(sites for sites in staff if sites)), None
        if ROLE_PATIENT in held and self.patient_id:
            return None, self.patient_id
        raise AccessDenied()

    def roles(self, access: Access) -> frozenset[str]:
        """Those of the caller's that allow the call, without the prefix."""
        named = (ROLES[role] for role in access.roles)
        return frozenset(name.removeprefix("ROLE_") for name in named if name in self.grants)


class Keys:
    """An issuer's published keys (JWKS): from a file or an https URL, read anew as they age.

    While the issuer cannot be reached, or takes long, the keys read last stay good.
    """

    def __init__(self, source: str) -> None:
        self._source, self._read_at, self._set = source, -math.inf, KeySet([])
        self._reading: asyncio.Task[None] | None = None

    async def current(self, *, unknown_key: bool = False) -> KeySet:
        """Waits for the issuer only where there is nothing better to do; TryAgain while it has never answered."""
        waits = unknown_key or not self._set.keys
        if time.monotonic() - self._read_at >= (KEYS_AGAIN_S if waits else KEYS_FRESH_S):
            self._read_at, self._reading = time.monotonic(), asyncio.create_task(self._read())
        if waits and self._reading:
            await asyncio.shield(self._reading)  # It is not this call's alone.
        if not self._set.keys:
            raise TryAgain()
        return self._set

    async def _read(self) -> None:
        try:
            self._set = KeySet.import_key_set(await self._fetch())  # Which refuses a set without keys.
        except (OSError, ValueError, TypeError, KeyError, JoseError, httpx.HTTPError) as error:
            log.warning("keys.unreadable", error=type(error).__name__)

    async def _fetch(self) -> Any:
        if not self._source.startswith("https://"):
            return json.loads(Path(self._source).read_text())  # noqa: ASYNC240  # A small local file.
        async with httpx.AsyncClient(timeout=FETCH_S) as client:
            return (await client.get(self._source)).raise_for_status().json()


class Tokens:
    """Verifies callers. A key that the issuer takes back lives on for KEYS_FRESH_S and CACHED_S at most."""

    def __init__(self, keys: Keys, issuer: str, audience: str) -> None:
        self._keys = keys
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        self._cache: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, authorization: str) -> Caller:
        key, now = hashlib.sha256(authorization.encode()).digest(), time.time()
        until, caller = self._cache.get(key, (0.0, None))
        if caller is None or until <= now:
            caller = await self._verify(authorization)
            if len(self._cache) >= CACHED_MAX:
                self._cache.clear()
            self._cache[key] = min(caller.expires + LEEWAY_S, now + CACHED_S), caller
        return caller

    async def _verify(self, authorization: str) -> Caller:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise TokenRefused()
        keys = await self._keys.current()
        try:
            try:
                token = jwt.decode(text, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):  # A key that we have not read yet? joserfc raises either.
                token = jwt.decode(text, await self._keys.current(unknown_key=True), algorithms=ALGORITHMS)
            self._claims.validate(token.claims)
            if token.header.get("typ") != TYPE:
                raise TokenRefused()
            return _caller(token.claims)
        except (JoseError, DomainError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TokenRefused() from error


def _caller(claims: Mapping[str, Any]) -> Caller:
    grants = {role: _sites(sites) for role, sites in claims["grants"].items()}
    is_service = claims["chain"] == EVERY
    if is_service and grants.keys() != {"ROLE_SERVICE"}:
        raise TokenRefused()
    chain_id = None if is_service else from_wire("chain", claims["chain"])
    patient_id = from_wire("patient", claims["patient"]) if "patient" in claims else None
    return Caller(_subject(claims["sub"]), chain_id, grants, patient_id, float(claims["exp"]))


def _subject(claim: Any) -> str:
    """Goes into audit rows and into the settings of a transaction."""
    subject = str(claim)
    if not 0 < len(subject) <= SUBJECT_MAX or not subject.isprintable():
        raise TokenRefused()
    return subject


def _sites(wire: list[str]) -> Sites:
    return None if EVERY in wire else frozenset(from_wire("site", site) for site in wire)
