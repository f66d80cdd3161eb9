"""Lists in pages: 50 rows unless asked, 200 at most, and a token that holds for the same question only."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from chassis.call import Call
from chassis.errors import DomainError, Kind, Violation

DEFAULT_SIZE = 50
SIZE_MAX = 200
Row = TypeVar("Row")


class BadPageToken(DomainError):
    kind, reason = Kind.INVALID, "BAD_PAGE_TOKEN"
    message = "page_token is not one that this list handed out for these arguments"

    def __init__(self) -> None:
        super().__init__(Violation("page_token", self.reason, self.message))


@dataclass(frozen=True, slots=True)
class Page:
    size: int
    after: list[str] | None
    """The key of the last row before this page: rows are found by it, not by counting, so that none is skipped."""
    _question: str

    @classmethod
    def of(cls, request: Any, call: Call) -> Self:
        question = _question(request, call)
        size = min(request.page_size or DEFAULT_SIZE, SIZE_MAX)
        return cls(size, _key(request.page_token, question) if request.page_token else None, question)

    @property
    def limit(self) -> int:
        """Rows to fetch: one more than fit, to know whether a next page exists."""
        return self.size + 1

    def cut(self, rows: Sequence[Row], key: Callable[[Row], list[str]]) -> tuple[Sequence[Row], str]:
        """The rows of this page, and the token of the next one or ''."""
        if len(rows) <= self.size:
            return rows, ""
        kept = rows[: self.size]
        after = key(kept[-1])
        token = json.dumps([_seal(self._question, after), *after], separators=(",", ":"), ensure_ascii=False)
        return kept, base64.urlsafe_b64encode(token.encode()).decode()


def _question(request: Message, call: Call) -> str:
    bare = type(request)()
    bare.CopyFrom(request)
    for field in ("page_size", "page_token"):
        bare.ClearField(field)
    text = b"%s %s %s" % (call.chain_id.bytes, call.method.encode(), bare.SerializeToString(deterministic=True))
    return hashlib.sha256(text).hexdigest()[:16]


def _key(token: str, question: str) -> list[str]:
    try:
        seal, *key = json.loads(base64.urlsafe_b64decode(token))
        whole = seal == _seal(question, key)
    except (ValueError, TypeError):
        raise BadPageToken() from None
    if not whole:
        raise BadPageToken()
    return [str(part) for part in key]


def _seal(question: str, key: list[str]) -> str:
    """No secret: what a token lacks that was changed or cut off, so that its key is one that was handed out."""
    return hashlib.sha256(json.dumps([question, *key]).encode()).hexdigest()[:16]
