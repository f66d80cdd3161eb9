"""Requests of the right shape with anything in them, and bytes that are no request; the same for the same seed."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from chassis.ids import new_id, to_wire
from tests.support.canaries import Canaries
from tests.support.requests import valid

DEPTH_MAX = 4
MANY = 260
"""Longer than most lists may be."""
TEXTS = (
    "", " ", "\0", "a\nb", "'; DROP TABLE patient; --", "%s%n{0}$$", "\u202eabc", "\ud7ff\ue000", "\U0001f9ec" * 40,
    "<script>", "../../etc/passwd", "-1", "null", "NaN", "2027-02-29", "z" * 3000, "Ω≈ç√", "e\u0301" * 30, "*", "\\",
)  # fmt: skip
FLOATS = (0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
SPAN = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
KINDS = ("patient", "site", "course", "visit", "chain", "invoice", "resource", "protocolversion")


class Fuzz:
    """`canaries` knows ids that exist, so that some requests come far."""

    def __init__(self, seed: int, canaries: Canaries) -> None:
        self._random, self._canaries = random.Random(seed), canaries  # noqa: S311  # Nothing depends on it but examples.

    def requests(self, rpc: MethodDescriptor, count: int) -> Iterator[Any]:
        """By turns such as keep their rules but for a field or two, and such as keep none."""
        for number in range(count):
            request = valid(rpc, self._canaries) if number % 2 == 0 else None
            if request is None:
                yield self.anything(rpc.input_type)
                continue
            for _ in range(self._random.randrange(3)):
                self._spoil(request)
            yield request

    def anything(self, descriptor: Descriptor, depth: int = 0) -> Any:
        message: Any = GetMessageClass(descriptor)()
        for each in descriptor.fields:
            if self._random.random() < 0.7:
                self._set(message, each, depth)
        return message

    def no_requests(self, rpc: MethodDescriptor) -> Iterator[bytes]:
        """Some of them parse all the same: protobuf is lenient."""
        good = self.anything(rpc.input_type).SerializeToString()
        yield b"\xff"
        yield b"\x0a\xff\xff\xff\xff\x0f"  # A text of four gigabytes.
        yield b"\x0a\x02\xc3\x28"  # No UTF-8.
        yield b"\x0b" * 5000  # Groups in groups.
        yield b"\x08" + b"\xff" * 11  # A number without end.
        yield good[: self._random.randrange(len(good) + 1)] + b"\x07"
        yield bytes(self._random.randrange(256) for _ in range(self._random.randrange(1, 200)))
        yield _flipped(good, self._random) if good else b"\x00"

    def _spoil(self, request: Any) -> None:
        """Another value in a field, of the request or of what is in it."""
        fields = request.DESCRIPTOR.fields
        if not fields:
            return
        each = self._random.choice(fields)
        inside = each.message_type and not each.is_repeated and not _is_map(each) and self._random.random() < 0.5
        if inside and request.HasField(each.name):
            self._spoil(getattr(request, each.name))
        else:
            request.ClearField(each.name)
            self._set(request, each, 1)

    def _set(self, message: Any, each: FieldDescriptor, depth: int) -> None:
        if _is_map(each) or (each.message_type and depth >= DEPTH_MAX):
            return
        if each.message_type:
            made = [self.anything(each.message_type, depth + 1) for _ in range(self._count(each, 3))]
            if each.is_repeated:
                getattr(message, each.name).extend(made)
            else:
                getattr(message, each.name).CopyFrom(made[0])
        elif each.is_repeated:
            getattr(message, each.name).extend(self._value(each) for _ in range(self._count(each, MANY)))
        else:
            setattr(message, each.name, self._value(each))

    def _count(self, each: FieldDescriptor, most: int) -> int:
        return self._random.choice((0, 1, 2, most)) if each.is_repeated else 1

    def _value(self, each: FieldDescriptor) -> Any:
        if each.enum_type:
            return self._random.choice([*each.enum_type.values_by_number, 99, -1])
        if each.cpp_type in SPAN:
            low, high = SPAN[each.cpp_type]
            return self._random.choice((low, high, 0, 1, 2, 50, 201, max(low, -1), self._random.randint(low, high)))
        made: dict[int, Callable[[], Any]] = {
            FieldDescriptor.CPPTYPE_STRING: self._text if each.type == FieldDescriptor.TYPE_STRING else self._bytes,
            FieldDescriptor.CPPTYPE_BOOL: lambda: self._random.random() < 0.5,
            FieldDescriptor.CPPTYPE_DOUBLE: lambda: self._random.choice(FLOATS),
            FieldDescriptor.CPPTYPE_FLOAT: lambda: self._random.choice((0.0, 1e38, float("nan"), float("inf"))),
        }
        return made[each.cpp_type]()

    def _text(self) -> str:
        known = [*self._canaries.ids.values(), to_wire(self._random.choice(KINDS), new_id())]
        return self._random.choice(TEXTS) if self._random.random() < 0.5 else self._random.choice(known)

    def _bytes(self) -> bytes:
        return bytes(self._random.randrange(256) for _ in range(self._random.choice((0, 1, 64, 3000))))


def _is_map(each: FieldDescriptor) -> bool:
    return bool(each.message_type and each.message_type.GetOptions().map_entry)


def _flipped(good: bytes, rand: random.Random) -> bytes:
    place = rand.randrange(len(good))
    return good[:place] + bytes([good[place] ^ (1 << rand.randrange(8))]) + good[place + 1 :]
