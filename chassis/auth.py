"""Tokens: who is calling, for which chain, with which role at which sites. Verified in every service."""

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError

from atoll.common.v1.access_pb2 import ROLE_PATIENT, SCOPE_CHAIN, SCOPE_SELF, Access, Role
from chassis.call import Sites
from chassis.errors import DomainError, Kind
from chassis.issuers import TrustedIssuer, WrongClaims
from chassis.keys import Keys

ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]  # Each by a key of two halves.
IDENTITY_CLAIMS = {
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
}  # OpenID Connect Core §2, §3.3.2.11.
USES = {"typ": "Bearer", "token_use": "access"}  # Claims by which Keycloak and Cognito tell their tokens apart.
TOKEN_MAX = 8 << 10  # Characters: what a call's headers may hold in all, by default.
LEEWAY_S = 30
SUBJECT_MAX = 200
CACHED_MAX = 10_000
CACHED_S = 60
ROLES = {number: name for name, number in Role.items()}
REFUSED = (JoseError, DomainError, WrongClaims, ValueError, TypeError, KeyError, AttributeError)


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


class Tokens:
    """Verifies callers. A key that an issuer takes back lives on for KEYS_FRESH_S, KEYS_LATE_S and CACHED_S at most."""

    def __init__(self, issuers: Iterable[TrustedIssuer]) -> None:
        self._verifiers = {each.issuer: Verifier(each) for each in issuers}
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
        if scheme.lower() != "bearer" or not text or len(text) > TOKEN_MAX:
            raise TokenRefused()
        try:
            verifier = self._verifiers[_issuer_of(text)]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise TokenRefused() from error
        return await verifier.caller(text)


class Verifier:
    """Of one issuer's tokens."""

    def __init__(self, issuer: TrustedIssuer) -> None:
        self._issuer, self._keys = issuer, Keys(issuer)
        self._types = {_media_type(each) for each in issuer.types}
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
        )

    async def caller(self, text: str) -> Caller:
        keys = await self._keys.current()
        try:
            try:
                token = jwt.decode(text, keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):  # A key that we have not read yet? joserfc raises either.
                token = jwt.decode(text, await self._keys.current(unknown_key=True), algorithms=ALGORITHMS)
            self._claims.validate(token.claims)
            self._check_type(token.header, token.claims)
            said = self._issuer.read(token.claims)
            subject = _subject(said.subject)
            return Caller(subject, said.chain_id, said.grants, said.patient_id, float(token.claims["exp"]))
        except REFUSED as error:
            raise TokenRefused() from error

    def _check_type(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        """An issuer whose access tokens have no type of their own tells its identity tokens apart by their claims."""
        if _media_type(header.get("typ")) not in self._types:
            raise TokenRefused()
        if IDENTITY_CLAIMS & claims.keys() or any(claims.get(name, good) != good for name, good in USES.items()):
            raise TokenRefused()


def _issuer_of(text: str) -> str:
    """Whose token it says to be, before anything of it is believed. Both parts are looked at for names that come twice,
    of which one program reads the first and another the last."""
    header, payload, _ = text.split(".")
    _read_once(header)
    return str(_read_once(payload)["iss"])


def _read_once(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _media_type(name: Any) -> str:
    """`at+jwt` and `application/at+jwt` are one: RFC 7515 §4.1.9."""
    return str(name or "").lower().removeprefix("application/")


def _subject(claim: Any) -> str:
    """Goes into audit rows and into the settings of a transaction."""
    subject = str(claim)
    if not 0 < len(subject) <= SUBJECT_MAX or not subject.isprintable():
        raise TokenRefused()
    return subject
