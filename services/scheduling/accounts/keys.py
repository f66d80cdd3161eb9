"""The keys that service accounts rest on, in one file that whoever runs the service makes.

    {"current": "2027", "keys": {"2027": "<32 bytes in base64>"}, "signing": [<private JWK>, …]}

`keys` seal the secrets that remembered answers hold: see chassis/keyring.py. The first of `signing` signs tokens, and
the public halves of all of them are published. To replace it, put a new one at the end; when everybody who verifies has
read it, ten minutes later, at the beginning; and take the old one away after ten more.
"""

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from chassis.keyring import KeyMissing, KeyRing, Sealed
from services.scheduling.domain.service_accounts import AccountKeysMissing

PART = "service account secret"
ALGORITHM = "ES256"


class AccountKeys:
    """`path` None: secrets can neither be told nor tokens signed, and whoever asks is told so."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._ring = path, KeyRing(path)

    def seal(self, secret: str, key_id: UUID) -> str:
        """`<key> <nonce and ciphertext in base64>`: opens as the secret of this key only."""
        try:
            sealed = self._ring.seal(secret.encode(), PART, key_id)
        except KeyMissing as error:
            raise AccountKeysMissing() from error
        return f"{sealed.key_id} {base64.b64encode(sealed.text).decode()}"

    def open(self, sealed: str, key_id: UUID) -> str:
        name, _, text = sealed.rpartition(" ")
        try:
            return self._ring.open(Sealed(name, base64.b64decode(text)), PART, key_id).decode()
        except KeyMissing as error:
            raise AccountKeysMissing() from error

    def sign(self, claims: Mapping[str, Any]) -> str:
        key = self._signing()[0]
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}, dict(claims), key)

    def published(self) -> Mapping[str, Any]:
        """A JWKS."""
        return KeySet([*self._signing()]).as_dict(private=False)

    def _signing(self) -> tuple[ECKey, ...]:
        try:
            if self._path is None:
                raise KeyError
            return _read(self._path, self._path.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError, IndexError, JoseError) as error:
            raise AccountKeysMissing() from error


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> tuple[ECKey, ...]:
    """Cached until the file changes."""
    keys = tuple(ECKey.import_key(each) for each in json.loads(path.read_text())["signing"])
    if not keys or not all(key.is_private and key.curve_name == "P-256" for key in keys):
        raise ValueError("private keys on the curve P-256 sign")
    for key in keys:
        key.ensure_kid()
    return keys
