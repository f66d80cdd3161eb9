"""Whose data it is that a read found: the ids of one kind, wherever they stand in it.

What a handler finds are messages, rows, or things of the domain: dataclasses and named tuples, in lists or mappings. In
which of their fields such ids stand, and in which further ones may, follows from their classes, once for each.
"""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, get_args, get_type_hints
from uuid import UUID

from asyncpg import Record
from google.protobuf.message import Message

from chassis.ids import ids_of_kind


def subjects_in(found: object, kind: str) -> Iterator[UUID]:
    """In the order in which they stand there."""
    name, to_look_at = f"{kind}_id", [found]
    while to_look_at:  # A page may have hundreds of things in it: no call for each.
        each = to_look_at.pop()
        kind_of: Any = type(each)
        if isinstance(each, Message):
            yield from ids_of_kind(each, kind)
        elif isinstance(each, Record):
            if isinstance(id := each.get(name), UUID):
                yield id
        elif isinstance(each, Mapping):
            to_look_at += reversed(list(each.values()))
        elif _is_thing(kind_of):
            ids, parts = _places(kind_of, name)
            yield from (id for field in ids if isinstance(id := getattr(each, field), UUID))
            to_look_at += (getattr(each, field) for field in reversed(parts))
        elif isinstance(each, (list, tuple)):
            to_look_at += reversed(each)


@lru_cache(maxsize=1_000)
def _is_thing(kind: Any) -> bool:
    return is_dataclass(kind) or hasattr(kind, "_fields")


@lru_cache(maxsize=1_000)
def _places(kind: Any, name: str, above: frozenset[Any] = frozenset()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that are called `name`, or end so; and the others in which things with such fields may stand."""
    hints, below = get_type_hints(kind), above | {kind}
    ids = tuple(field for field in hints if field == name or field.endswith(f"_{name}"))
    parts = (field for field, hint in hints.items() if any(_holds(part, name, below) for part in _classes(hint)))
    return ids, tuple(field for field in parts if field not in ids)


def _holds(kind: Any, name: str, above: frozenset[Any]) -> bool:
    if issubclass(kind, (Message, Record)):
        return True
    return _is_thing(kind) and kind not in above and any(_places(kind, name, above))


def _classes(hint: Any) -> Iterator[type]:
    """Those that a type is made of: of `Mapping[UUID, Sequence[Visit] | None]` UUID, Visit and None's."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for argument in get_args(hint):
        yield from _classes(argument)
