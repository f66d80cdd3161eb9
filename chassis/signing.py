"""Keys that a service signs with: one to a file, as a JWK, which never leaves the machine but for a backup."""

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

ALGORITHM = "ES256"


class BadKey(Exception):
    """A file that should hold a key for signatures, and does not."""


def new_key(id: str) -> dict[str, Any]:
    """A private key as a JWK."""
    return ECKey.generate_key("P-256", {"use": "sig", "kid": id}).as_dict(private=True)


def signing_key(path: Path) -> ECKey:
    try:
        key = ECKey.import_key(json.loads(path.read_text()))
    except (OSError, JoseError, ValueError, KeyError, TypeError) as error:
        raise BadKey(f"{path} holds no key") from error
    if not key.is_private or not key.kid or key.curve_name != "P-256":
        raise BadKey(f"{path} holds no private P-256 key with a kid")
    return key


def public_keys(path: Path) -> KeySet:
    """The public halves of the key (JWK), or of the present and the former ones (JWKS), that a file holds."""
    try:
        found = json.loads(path.read_text())
        return KeySet.import_key_set(found if "keys" in found else {"keys": [found]})
    except (OSError, JoseError, ValueError, KeyError, TypeError) as error:
        raise BadKey(f"{path} holds no keys") from error
