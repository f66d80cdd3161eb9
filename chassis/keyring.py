"""Keys that a service encrypts with what it may not keep in clear: AES-256-GCM, bound to what each text is of.

They stand in one file, made by whoever runs the service: {"current": "2027", "keys": {"2027": "<32 bytes in base64>"}}.
The current one encrypts; all the others still decrypt, so that a key is replaced by adding one. The file is read anew
when it changes, as a service's token is. What is of one chain of clinics may be encrypted with a key of its own,
which is derived from the one in the file and opens no text of another chain. A file whose service finds things by what
they are encrypted from has one key more, {"digest": "<32 bytes in base64>"}, which is never replaced: what was kept
under it would not be found again.
"""

import base64
import hmac
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
KEY_BYTES = 32
CHAINS_MAX = 2_000
"""Whose keys are kept derived."""


class KeyMissing(Exception):
    """There is no file of keys, or the key that a text names is not in it or is another. An operator has to act."""


class KeyUnknown(KeyMissing):
    """The file has no key of the name that a text gives. Other texts open."""


class TextRefused(KeyMissing):
    """It does not open: it was changed, or stands where it was not written, or its key is another by that name."""


@dataclass(frozen=True, slots=True)
class Sealed:
    key_id: str
    text: bytes


class KeyRing:
    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of_environment(cls, setting: str) -> "KeyRing":
        """The file need not be there before something is sealed or opened."""
        named = os.environ.get(setting)
        return cls(Path(named) if named else None)

    def current(self) -> str:
        """The id of the key that seals. KeyMissing."""
        return self._keys().current

    def seal(self, text: bytes, part: str, id: UUID | str, chain_id: UUID | None = None) -> Sealed:
        """`part`, and the id of what it is a part of, are bound to the text: it opens as nothing else. With `chain_id`
        it is sealed under the chain's own key."""
        found = self._keys()
        nonce = os.urandom(NONCE_BYTES)
        encrypted = _cipher(found.keys[found.current], chain_id).encrypt(nonce, text, _bound(part, id))
        return Sealed(found.current, nonce + encrypted)

    def open(self, sealed: Sealed, part: str, id: UUID | str, chain_id: UUID | None = None) -> bytes:
        keys = self._keys().keys
        if sealed.key_id not in keys:
            raise KeyUnknown(sealed.key_id)
        nonce, text = sealed.text[:NONCE_BYTES], sealed.text[NONCE_BYTES:]
        try:
            return _cipher(keys[sealed.key_id], chain_id).decrypt(nonce, text, _bound(part, id))
        except (InvalidTag, ValueError):  # The second of one that is shorter than a nonce and a tag.
            raise TextRefused(sealed.key_id) from None

    def digest(self, text: bytes) -> bytes:
        """32 bytes, always the same for a text, from which nobody without the key tells what the text was."""
        key = self._keys().digest
        if key is None:
            raise KeyMissing("the file has no key for digests")
        return hmac.new(key, text, sha256).digest()

    def _keys(self) -> "_Keys":
        if self._path is None:
            raise KeyMissing("no file of keys is set")
        try:
            return _read(self._path, self._path.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyMissing(f"{self._path.name} holds no keys") from error


@dataclass(frozen=True, slots=True)
class _Keys:
    current: str
    keys: dict[str, bytes]
    digest: bytes | None


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> _Keys:
    """Cached until the file changes."""
    found = json.loads(path.read_text())
    keys = {name: base64.b64decode(text, validate=True) for name, text in found["keys"].items()}
    digest = base64.b64decode(found["digest"], validate=True) if "digest" in found else None
    every = [*keys.values(), *([digest] if digest is not None else [])]
    if found["current"] not in keys or any(len(key) != KEY_BYTES for key in every):
        raise ValueError("the current key must be there, and each have 32 bytes")
    return _Keys(found["current"], keys, digest)


@lru_cache(maxsize=CHAINS_MAX)
def _cipher(key: bytes, chain_id: UUID | None) -> AESGCM:
    if chain_id is not None:
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"atoll chain " + chain_id.bytes).derive(key)
    return AESGCM(key)


def _bound(part: str, id: UUID | str) -> bytes:
    return f"{part} {id}".encode()
