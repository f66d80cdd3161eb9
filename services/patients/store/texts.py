"""Texts of records as they stand in the database: sealed, each bound to its column and its row.

Every store that writes or reads a column that `services.patients.tables.base.sealed` made asks `texts` for it.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, NoReturn
from uuid import UUID

import structlog
from sqlalchemy import Column

from chassis.errors import NulInText
from chassis.ids import to_wire
from chassis.keyring import KeyMissing, KeyRing, KeyUnknown, Sealed, TextRefused
from chassis.store import Store
from services.patients.domain.texts import RecordKeysMissing, RecordKeyUnknown, RecordTextRefused
from services.patients.settings import RECORD_KEYS
from services.patients.tables.base import ERASED, SEALED, metadata

log = structlog.get_logger()

ANSWER = metadata.tables["idempotency"].c.response
NUL = "\\u0000"
NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
FORM = re.compile(rf"{SEALED}\.(.+)\.([A-Za-z0-9_-]+)", re.DOTALL)


class Texts:
    """Those of one chain. An empty text is no secret, and stands as it is."""

    def __init__(self, keys: KeyRing, chain_id: UUID) -> None:
        self._keys, self._chain_id = keys, chain_id

    def seal(self, column: Column[Any], text: str, *row: object) -> str:
        """`row` are the values of the columns by which it is sealed. What the database would not keep is refused."""
        if "\0" in text:
            raise NulInText()
        return self.seal_bytes(column, text.encode(), *row)

    def seal_bytes(self, column: Column[Any], content: bytes, *row: object) -> str:
        if not content:
            return ""
        try:
            sealed = self._keys.seal(content, str(column), _id(row), self._chain_id)
        except KeyMissing as error:
            self._refuse(error, column, row)
        return f"{SEALED}.{sealed.key_id}.{base64.urlsafe_b64encode(sealed.text).decode().rstrip('=')}"

    def open(self, column: Column[Any], text: str, *row: object) -> str:
        return self.open_bytes(column, text, *row).decode()

    def open_bytes(self, column: Column[Any], text: str, *row: object) -> bytes:
        if text in ("", ERASED):
            return text.encode()
        form = FORM.fullmatch(text)
        try:
            if form is None:
                raise TextRefused("not sealed")
            key_id, encoded = form.groups()
            sealed = Sealed(key_id, base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
            return self._keys.open(sealed, str(column), _id(row), self._chain_id)
        except (KeyMissing, binascii.Error) as error:
            self._refuse(error, column, row)

    def seal_json(
        self, column: Column[Any], value: Any, *row: object, default: Callable[[Any], Any] | None = None
    ) -> str:
        dumped = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=default)
        if NUL in dumped and NUL_IN_JSON.search(dumped):  # Nearly never: to look at each place takes its time.
            raise NulInText()
        return self.seal(column, dumped, *row) if value else ""

    def open_json(self, column: Column[Any], text: str, *row: object) -> Any:
        """None: it is empty, or erased."""
        return json.loads(opened) if (opened := self.open(column, text, *row)) else None

    def _refuse(self, error: Exception, column: Column[Any], row: tuple[object, ...]) -> NoReturn:
        """An operator has to act, and finds what to look at in the log: of whom an answer is, it does not say."""
        refused = not isinstance(error, KeyMissing) or isinstance(error, TextRefused)
        place = {"chain_id": to_wire("chain", self._chain_id), "column": str(column)}
        place["row"] = _id(tuple(each for each in row if isinstance(each, UUID | int)))
        log.error("texts.refused" if refused else "texts.no_key", **place, cause=str(error))
        if refused:
            raise RecordTextRefused(column=column) from error
        if isinstance(error, KeyUnknown):
            raise RecordKeyUnknown() from error
        raise RecordKeysMissing() from error


def _id(row: tuple[object, ...]) -> str:
    return " ".join(map(str, row))


def text_in(kept: bytes) -> str:
    """Of a column of bytes. What is no text at all does not open either."""
    return kept.decode(errors="replace")


class TextStore(Store):
    @cached_property
    def texts(self) -> Texts:
        return Texts(KeyRing.of_environment(RECORD_KEYS), self.call.chain_id)

    def kept(self, answer: bytes) -> bytes:
        return self.texts.seal_bytes(ANSWER, answer, *self._request_key().values()).encode()

    def recalled(self, kept: bytes) -> bytes:
        return self.texts.open_bytes(ANSWER, text_in(kept), *self._request_key().values())
