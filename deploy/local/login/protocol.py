"""The authorization code flow: what a client asks for, the code that it is given, what it gets for the code.

RFC 6749 §4.1 with PKCE (RFC 7636, S256 alone) and OpenID Connect Core §3.1, for public clients of this machine.
"""

import base64
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from deploy.local.issuer import ALGORITHM, EXPIRES_IN_S, Issuer

CODE_S = 60.0
CODES_MAX = 1_000
CLIENT = re.compile(r"[\w.~-]{1,100}")
REDIRECT = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?(/[^#\s]*)?")
CHALLENGE = re.compile(r"[\w-]{43}")
"""SHA-256 in base64url."""


class Untrusted(Exception):
    """Where the answer would go is not known or not of this machine, so it goes to whoever sits before the browser."""


class Refused(Exception):
    """An error as RFC 6749 names it, for the client."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.content = {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True)
class Asked:
    client_id: str
    redirect_uri: str
    state: str
    nonce: str
    scope: str
    challenge: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if not CLIENT.fullmatch(client_id):
            raise Untrusted("client_id is missing, or holds more than letters, digits and ._~-")
        if not REDIRECT.fullmatch(redirect_uri):
            raise Untrusted("redirect_uri must be a page of this machine: http://localhost:… or http://127.0.0.1:…")
        rest = (query.get(name, "") for name in ("state", "nonce", "scope", "code_challenge"))
        return cls(client_id, redirect_uri, *rest)

    def check(self, query: Mapping[str, str]) -> None:
        """What the client is told if it does not hold."""
        if query.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type must be code")
        if query.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(self.challenge):
            raise Refused("invalid_request", "code_challenge is needed, with code_challenge_method S256")
        if query.get("prompt") == "none":
            raise Refused("login_required", "nobody stays signed in here")


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the page was told to be."""

    subject: str
    name: str
    chain: str
    grants: Mapping[str, Sequence[str]]
    patient: str | None = None

    def token(self, issuer: Issuer) -> str:
        return issuer.token(self.subject, self.chain, self.grants, patient=self.patient)


class Codes:
    """Each is good for one exchange, by the client that it was made for, within CODE_S."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[float, Asked, Person]] = {}

    def issue(self, asked: Asked, person: Person) -> str:
        if len(self._open) >= CODES_MAX:
            self._open.clear()
        code = secrets.token_urlsafe(32)
        self._open[code] = time.monotonic() + CODE_S, asked, person
        return code

    def exchange(self, form: Mapping[str, str], issuer: Issuer) -> dict[str, object]:
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type must be authorization_code")
        until, asked, person = self._open.pop(form.get("code", ""), (0.0, None, None))
        if asked is None or person is None or until <= time.monotonic():
            raise Refused("invalid_grant", "the code is unknown, used or older than a minute")
        if (form.get("client_id"), form.get("redirect_uri")) != (asked.client_id, asked.redirect_uri):
            raise Refused("invalid_grant", "client_id and redirect_uri must be those that the code was made for")
        if challenge_of(form.get("code_verifier", "")) != asked.challenge:
            raise Refused("invalid_grant", "code_verifier does not fit the code_challenge")
        answer: dict[str, object] = {
            "access_token": person.token(issuer),
            "token_type": "Bearer",
            "expires_in": EXPIRES_IN_S,
            "scope": asked.scope,
        }
        if "openid" in asked.scope.split():
            answer["id_token"] = identity_token(asked, person, issuer)
        return answer


def identity_token(asked: Asked, person: Person, issuer: Issuer) -> str:
    """Says to the client who signed in. No service takes it for an access token."""
    now = int(time.time())
    claims = {"iss": issuer.name, "aud": asked.client_id, "sub": person.subject, "name": person.name}
    claims |= {"nonce": asked.nonce} if asked.nonce else {}
    return issuer.sign("JWT", {**claims, "iat": now, "auth_time": now, "exp": now + EXPIRES_IN_S})


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def discovery(issuer: str) -> dict[str, object]:
    """OpenID Connect Discovery 1.0 §3."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks.json",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "aud", "sub", "name", "iat", "auth_time", "exp", "nonce"],
        "authorization_response_iss_parameter_supported": True,
    }
