"""Keys that documents are encrypted with: AES-256-GCM, bound to what each document is.

They stand in one file, made by whoever runs the service: {"current": "2027", "keys": {"2027": "<32 bytes in base64>"}}.
The current one encrypts; all the others still decrypt, so that a key is replaced by adding one. The file is read anew
when it changes, as a service's token is.
"""

import base64
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY_BYTES = 32
SETTING = "ATOLL_DOCUMENT_KEYS_FILE"


class KeyMissing(Exception):
    """There is no file of keys, or the key that a document names is not in it or is another. An operator has to act."""


@dataclass(frozen=True, slots=True)
class Sealed:
    key_id: str
    text: bytes


class KeyRing:
    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of_environment(cls) -> "KeyRing":
        """The file need not be there before a document is read or written."""
        named = os.environ.get(SETTING)
        return cls(Path(named) if named else None)

    def seal(self, text: bytes, part: str, document_id: UUID) -> Sealed:
        """`part` and the document's id are bound to the text: it opens as nothing else."""
        current, keys = self._keys()
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(current, nonce + AESGCM(keys[current]).encrypt(nonce, text, _bound(part, document_id)))

    def open(self, sealed: Sealed, part: str, document_id: UUID) -> bytes:
        _, keys = self._keys()
        if sealed.key_id not in keys:
            raise KeyMissing(sealed.key_id)
        nonce, text = sealed.text[:NONCE_BYTES], sealed.text[NONCE_BYTES:]
        try:
            return AESGCM(keys[sealed.key_id]).decrypt(nonce, text, _bound(part, document_id))
        except InvalidTag:
            raise KeyMissing(sealed.key_id) from None

    def _keys(self) -> tuple[str, dict[str, bytes]]:
        if self._path is None:
            raise KeyMissing(f"{SETTING} is not set")
        try:
            return _read(self._path, self._path.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError) as error:
            raise KeyMissing(f"{self._path.name} holds no keys") from error


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> tuple[str, dict[str, bytes]]:
    """Cached until the file changes."""
    found = json.loads(path.read_text())
    keys = {name: base64.b64decode(text, validate=True) for name, text in found["keys"].items()}
    if found["current"] not in keys or any(len(key) != KEY_BYTES for key in keys.values()):
        raise ValueError("the current key must be there, and each have 32 bytes")
    return found["current"], keys


def _bound(part: str, document_id: UUID) -> bytes:
    return f"{part} {document_id}".encode()
