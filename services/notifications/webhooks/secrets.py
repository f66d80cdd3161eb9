"""Secrets that sign webhooks, and how they are kept: encrypted, bound to the endpoint that each is of."""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

from chassis.keyring import KeyMissing, KeyRing, Sealed
from services.notifications.domain.webhooks import WebhookKeysMissing

PREFIX = "whsec_"
SECRET_BYTES = 32
PART = "webhook secret"


def new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


class SecretKeeper:
    """`path` of the file of keys; None: nothing can be kept, and whoever asks is told so."""

    def __init__(self, path: Path | None) -> None:
        self._keys = KeyRing(path)

    def seal(self, secret: str, endpoint_id: UUID) -> str:
        """`<key> <nonce and ciphertext in base64>`: opens as a secret of this endpoint only."""
        try:
            sealed = self._keys.seal(secret.encode(), PART, endpoint_id)
        except KeyMissing as error:
            raise WebhookKeysMissing() from error
        return f"{sealed.key_id} {base64.b64encode(sealed.text).decode()}"

    def open(self, sealed: str, endpoint_id: UUID) -> str:
        name, _, text = sealed.rpartition(" ")
        try:
            return self._keys.open(Sealed(name, base64.b64decode(text)), PART, endpoint_id).decode()
        except KeyMissing as error:
            raise WebhookKeysMissing() from error


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
