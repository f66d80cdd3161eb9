"""Ids: UUIDv7 inside, TypeID on the wire (`course_01h…`), so that an id of one kind never passes for another."""

import re
from collections.abc import Iterator
from functools import lru_cache
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as FastUUID  # A uuid.UUID in C, an eighth of its cost.
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from typeid import base32
from uuid_utils import uuid7

from chassis.errors import DomainError, Kind

SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}"
TYPE_ID = re.compile(rf"[a-z]+_{SUFFIX}")
ID = re.compile(rf"{TYPE_ID.pattern}|[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}")

KEPT = 10_000
"""Sites, resources and versions stand in each call again, a patient in each of a course's visits."""


class BadId(DomainError):
    kind, reason, message = Kind.INVALID, "BAD_ID", "not an id of the wanted kind"


def new_id() -> UUID:
    """In the order of their making, so that index pages fill one after another."""
    return FastUUID(uuid7().bytes)


@lru_cache(maxsize=KEPT)
def to_wire(kind: str, id: UUID) -> str:
    return f"{kind}_{base32.encode(id.bytes)}"


def some_to_wire(kind: str, id: UUID | None) -> str:
    """Empty for none."""
    return "" if id is None else to_wire(kind, id)


@lru_cache(maxsize=KEPT)
def from_wire(kind: str, text: str) -> UUID:
    prefix, _, suffix = text.rpartition("_")
    try:
        if prefix != kind or suffix[:1] > "7":  # 26 letters hold 130 bits: the codec would drop two.
            raise ValueError(text)
        return FastUUID(bytes(base32.decode(suffix)))
    except (ValueError, RuntimeError):  # The codec raises the second.
        raise BadId(wanted=kind) from None


def read_id(text: str) -> UUID:
    """Of a UUID's own text, as PostgreSQL writes it into JSON."""
    return FastUUID(text)


def ids_of(message: Message, path: str = "") -> Iterator[tuple[str, str]]:
    """The ids that a message names, by field: all that a log line or an audit row may keep of it.

    Only TypeIDs and UUIDs pass: a field may be called `…_id` and hold somebody's card number.
    """
    ids, parts = _places_of_ids(message.DESCRIPTOR)
    for name in ids:
        value = getattr(message, name)
        if value and ID.fullmatch(value):
            yield path + name, value
    for name in parts:
        if message.HasField(name):
            yield from ids_of(getattr(message, name), f"{path}{name}.")


@lru_cache(maxsize=1_000)
def _places_of_ids(message: Descriptor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields of a message that are called ids, and those that are messages which may hold some."""
    single = [field for field in message.fields if not field.is_repeated]
    called = (field.name for field in single if field.name == "id" or field.name.endswith("_id"))
    texts = {field.name for field in single if field.type == FieldDescriptor.TYPE_STRING}
    parts = (field.name for field in single if field.message_type)
    return tuple(name for name in called if name in texts), tuple(parts)


def all_ids(message: Message) -> Iterator[str]:
    """Every TypeID that stands anywhere in a message."""
    for field, found in message.ListFields():
        for value in found if field.is_repeated else [found]:
            if isinstance(value, Message):
                yield from all_ids(value)
            elif isinstance(value, str) and TYPE_ID.fullmatch(value):
                yield value


def ids_of_kind(message: Message, kind: str, *, own: bool = True) -> Iterator[UUID]:
    """The ids of one kind that stand anywhere in a message in fields that are called ids.

    Without `own` those in fields called `id` are left out: in a request such a field may be one that is ignored. Most
    messages name one patient, in their first field: what its bytes mention tells when there is none left to look for.
    """
    left = set(_mentions_of(kind).findall(message.SerializeToString()))
    for text in _texts_called_ids(message, own) if left else ():
        if text.startswith(kind) and TYPE_ID.fullmatch(text) and text.rpartition("_")[0] == kind:
            yield from_wire(kind, text)
            left.discard(text.encode())
            if not left:
                return


@lru_cache
def _mentions_of(kind: str) -> re.Pattern[bytes]:
    return re.compile(rf"{kind}_{SUFFIX}".encode())


def _texts_called_ids(message: Message, own: bool) -> Iterator[str]:
    ids, parts = _all_places_of_ids(message.DESCRIPTOR)
    for name, repeated in ids:
        if own or name != "id":
            value = getattr(message, name)
            yield from value if repeated else (value,)
    for name, repeated in parts:
        if repeated or message.HasField(name):
            value = getattr(message, name)
            for part in value if repeated else (value,):
                yield from _texts_called_ids(part, own)


@lru_cache(maxsize=1_000)
def _all_places_of_ids(message: Descriptor) -> tuple[tuple[tuple[str, bool], ...], tuple[tuple[str, bool], ...]]:
    """The fields of a message that are called ids, and the parts in which some may stand; whether each is a list."""
    ids = ((field.name, field.is_repeated) for field in message.fields if _is_called_id(field))
    parts = (
        (field.name, field.is_repeated)
        for field in message.fields
        if field.message_type and not field.message_type.GetOptions().map_entry and _holds_ids(field.message_type)
    )
    return tuple(ids), tuple(parts)


def _is_called_id(field: FieldDescriptor) -> bool:
    named = field.name == "id" or field.name.endswith(("_id", "_ids"))
    return named and field.type == FieldDescriptor.TYPE_STRING


def _holds_ids(message: Descriptor, above: frozenset[str] = frozenset()) -> bool:
    below = above | {message.full_name}
    parts = [field.message_type for field in message.fields if field.message_type]
    return any(map(_is_called_id, message.fields)) or any(
        _holds_ids(part, below) for part in parts if part.full_name not in below
    )
