"""Stands in for a chain's identity provider on a developer's machine and in tests. Never in production."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from deploy.local.files import write_whole
from deploy.local.process import LocalError

NAME = "https://issuer.atoll.test"
"""Of one that has no address, as no page of it is served."""
AUDIENCE = "atoll"
TYPE = "at+jwt"
ALGORITHM = "ES256"
EVERYTHING = "*"
EXPIRES_IN_S = 3600
SERVICE_EXPIRES_IN_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs with a P-256 key that stays in its folder; whoever can read that folder can be anybody."""

    key: ECKey
    jwks: Path

    @property
    def name(self) -> str:
        """The address at which it was served last, if it ever was: see deploy/local/login."""
        kept = self.jwks.with_name("name")
        return kept.read_text() if kept.exists() else NAME

    def serve_at(self, url: str) -> None:
        """From now on this is its name, whoever signs with its key."""
        self.jwks.with_name("name").write_text(url)

    @classmethod
    def open(cls, folder: Path) -> "Issuer":
        """Its key is made on first use, so that tokens outlive a restart of the stack."""
        if os.environ.get("ATOLL_MODE") == "production":
            raise LocalError("the development issuer does not sign in production mode (ATOLL_MODE)")
        folder.mkdir(parents=True, exist_ok=True)
        private, public = folder / "issuer-key.json", folder / "jwks.json"
        if not private.exists():
            new = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
            write_whole(private, json.dumps(new.as_dict(private=True)))
        try:
            key = ECKey.import_key(json.loads(private.read_text()))
        except (JoseError, ValueError, KeyError) as error:
            raise LocalError(f"{private} holds no key: remove it, and a new one is made") from error
        shown = json.dumps(KeySet([key]).as_dict(private=False))
        if not public.exists() or public.read_text() != shown:
            write_whole(public, shown, 0o644)
        return cls(key, public)

    def token(
        self,
        subject: str,
        chain: str,
        grants: Mapping[str, Sequence[str]],
        *,
        patient: str | None = None,
        expires_in_s: int = EXPIRES_IN_S,
    ) -> str:
        """`grants`: the sites of each role, as site ids or `*`."""
        now = int(time.time())
        claims = {"iss": self.name, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + expires_in_s}
        claims |= {"chain": chain, "grants": {role: list(sites) for role, sites in grants.items()}}
        if patient:
            claims["patient"] = patient
        return self.sign(TYPE, claims)

    def sign(self, kind: str, claims: Mapping[str, object]) -> str:
        return jwt.encode({"alg": ALGORITHM, "typ": kind, "kid": self.key.kid}, dict(claims), self.key)

    def service_token(self, subject: str) -> str:
        """What one service shows to another. Each call names its chain."""
        grants = {"ROLE_SERVICE": [EVERYTHING]}
        return self.token(subject, EVERYTHING, grants, expires_in_s=SERVICE_EXPIRES_IN_S)
