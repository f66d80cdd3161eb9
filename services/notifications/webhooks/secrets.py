"""Secrets that sign webhooks, and how they are kept: AES-256-GCM, bound to the endpoint that each is of.

The keys stand in one file, made by whoever runs the service: {"current": "2027", "keys": {"2027": "<32 bytes in
base64>"}}. The current one encrypts; all the others still decrypt, so that a key is replaced by adding one. The file is
read anew when it changes.
"""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.notifications.domain.webhooks import WebhookKeysMissing

PREFIX = "whsec_"
SECRET_BYTES = 32
NONCE_BYTES = 12
KEY_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


class SecretKeeper:
    """`path` None: nothing can be kept, and whoever asks is told so."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def seal(self, secret: str, endpoint_id: UUID) -> str:
        """`<key> <nonce and ciphertext in base64>`: opens as a secret of this endpoint only."""
        current, keys = self._keys()
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(keys[current]).encrypt(nonce, secret.encode(), _bound(endpoint_id))
        return f"{current} {base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, endpoint_id: UUID) -> str:
        name, _, text = sealed.rpartition(" ")
        _, keys = self._keys()
        if name not in keys:
            raise WebhookKeysMissing()
        nonce_and_text = base64.b64decode(text)
        nonce, encrypted = nonce_and_text[:NONCE_BYTES], nonce_and_text[NONCE_BYTES:]
        try:
            return AESGCM(keys[name]).decrypt(nonce, encrypted, _bound(endpoint_id)).decode()
        except InvalidTag:
            raise WebhookKeysMissing() from None

    def _keys(self) -> tuple[str, dict[str, bytes]]:
        if self._path is None:
            raise WebhookKeysMissing()
        try:
            return _read(self._path, self._path.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WebhookKeysMissing() from error


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> tuple[str, dict[str, bytes]]:
    """Cached until the file changes."""
    found = json.loads(path.read_text())
    keys = {name: base64.b64decode(text, validate=True) for name, text in found["keys"].items()}
    if found["current"] not in keys or any(len(key) != KEY_BYTES for key in keys.values()):
        raise ValueError("the current key must be there, and each have 32 bytes")
    return found["current"], keys


def _bound(endpoint_id: UUID) -> bytes:
    return f"webhook secret {endpoint_id}".encode()


def signed(secrets: Iterable[str], webhook_id: str, at: datetime, payload: str) -> dict[str, str]:
    """The headers of the Standard Webhooks convention, with one signature by each secret."""
    seconds = str(int(at.timestamp()))
    text = f"{webhook_id}.{seconds}.{payload}".encode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{_signature(secret, text)}" for secret in secrets),
    }


def _signature(secret: str, text: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
