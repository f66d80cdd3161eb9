"""Requests whose every text is unique, made from the descriptors alone: a new RPC is covered by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.type.date_pb2 import Date

from atoll.common.v1 import rules_pb2
from buf.validate import validate_pb2
from chassis.ids import TYPE_ID, new_id, to_wire

MARK = "kanarie"
"""A word that stands nowhere else: the names of these files are in traces."""
EMAIL = "zq{0}{1}@example.com"
FORMS = (
    "Zq{0} of {1}", "Zq{0}{1}", "zq{0}{1}", "ZQ{0}{1}", "zq_{0}_{1}", EMAIL, "urn:zq:{0}{1}",
    "en-{0}{1}", "Zq/{0}{1}", "zq.{0}{1}", "{0}{1}", "Q-{0}-{1}", "https://zq.example/{0}{1}",
)  # fmt: skip
"""In one of which a text passes the rules of most fields."""
SENSIBLE = {"time_zone": "America/Denver", "phone": "+1 505 555 0142"}
"""Where hardly anything passes, every other turn has what does."""
TOLD_ON_PURPOSE = {
    "language": "de-AT",
    "route_codes": "iv",
    "band_codes": "short",
    "state_code": "NM",
    "CreateConsentDocumentRequest.code": "TREATMENT",
    "RecordDiagnosisRequest.code": "F33.2",
    "question_code": "free",
}
"""Codes that events carry, as the invariants of the domain allow, or that are no text of anybody's: no canary stands in
them. By the name of the field, or of its message, too."""
INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32})
DEPTH_MAX = 6


def marked(text: str | bytes) -> list[str]:
    """The canaries in it, whatever became of their capitals."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return re.findall(rf".{{0,40}}{MARK}.{{0,40}}", text, re.IGNORECASE)


@dataclass
class Canaries:
    """Fills requests. Ids and etags are those of answers that came before."""

    ids: dict[str, str] = field(default_factory=dict)
    """The last id of each kind that was seen."""
    etag: str = ""
    codes: dict[str, str] = field(default_factory=lambda: dict(TOLD_ON_PURPOSE))
    """What stands in the fields of these names, in which no canary is wanted."""
    count: int = 0

    def learn(self, answer: Message) -> None:
        for found in _texts(answer):
            if TYPE_ID.fullmatch(found[1]):
                self.ids[found[1].rpartition("_")[0]] = found[1]
            if found[0] == "etag":
                self.etag = found[1]

    def fill(self, request: Any, turn: int, depth: int = 0) -> Any:
        """Every field has a value; `turn` chooses among enum values and members of a oneof."""
        chosen = {each.name: each.fields[turn % len(each.fields)] for each in request.DESCRIPTOR.oneofs}
        for each in request.DESCRIPTOR.fields:
            oneof = each.containing_oneof
            if depth < DEPTH_MAX and (oneof is None or chosen[oneof.name] is each):
                self._fill_field(request, each, turn, depth)
        return request

    def _fill_field(self, request: Any, each: FieldDescriptor, turn: int, depth: int) -> None:
        rules = each.GetOptions().Extensions[validate_pb2.field]
        if each.message_type and each.message_type.full_name == "google.protobuf.FieldMask":
            getattr(request, each.name).paths.extend(getattr(rules.field_mask, "in"))
        elif each.is_repeated:
            count = max(1, rules.repeated.min_items)
            values = [self._value(each, rules.repeated.items, turn, depth) for _ in range(count)]
            getattr(request, each.name).extend(value for value in values if value not in ("", None))
        else:
            value = self._value(each, rules, turn, depth)
            if isinstance(value, Message):
                getattr(request, each.name).CopyFrom(value)
            elif value is not None:
                setattr(request, each.name, value)

    def _value(self, each: FieldDescriptor, rules: Any, turn: int, depth: int) -> Any:
        if each.message_type:
            return self._message(each, turn, depth)
        if each.enum_type:
            usable = [value.number for value in each.enum_type.values if value.number]
            return usable[-1 - turn % len(usable)]
        if each.type == FieldDescriptor.TYPE_STRING:
            assert each.containing_type
            for name in (f"{each.containing_type.name}.{each.name}", each.name):
                if name in self.codes:
                    return self.codes[name]
            return SENSIBLE[each.name] if turn % 2 == 0 and each.name in SENSIBLE else self._text(each, rules.string)
        if each.type == FieldDescriptor.TYPE_BYTES:
            return self._next("{0}{1}").encode()
        if each.cpp_type in INTEGERS:
            bounds = rules.int32 if each.cpp_type == FieldDescriptor.CPPTYPE_INT32 else rules.int64
            return max(1, bounds.gte, bounds.gt + 1 if bounds.gt else 1)
        return each.cpp_type == FieldDescriptor.CPPTYPE_BOOL or None

    def _message(self, each: FieldDescriptor, turn: int, depth: int) -> Any:
        assert each.message_type
        made: Any = GetMessageClass(each.message_type)()
        if isinstance(made, Date):
            day = date(1951, 7, 23) if "birth" in each.name else date(2027, 3 + turn, 1)
            return Date(year=day.year, month=day.month, day=day.day)
        if made.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
            hour = 16 if each.name.startswith("end") else 15
            made.FromDatetime(datetime(2027, 3, 1, hour, turn, tzinfo=UTC))
            return made
        return self.fill(made, turn, depth + 1)

    def _text(self, each: FieldDescriptor, rules: Any) -> str:
        if rules.HasExtension(rules_pb2.typeid):
            kind = rules.Extensions[rules_pb2.typeid]
            return self.ids.get(kind) or to_wire(kind, new_id())
        if rules.uuid:
            return str(uuid4())
        if each.name == "etag":
            return self.etag
        if each.name == "page_token":
            return ""
        if allowed := getattr(rules, "in"):
            return str(allowed[0])
        forms = (EMAIL, *FORMS) if "email" in each.name else FORMS
        return next((text for form in forms if fits(text := self._next(form), rules)), "")

    def _next(self, form: str) -> str:
        self.count += 1
        upper = form.startswith(("ZQ", "Q-"))
        return form.format(MARK.upper() if upper else MARK, self.count)


def fits(text: str, rules: Any) -> bool:
    long = len(text) <= (rules.max_len or 10_000) and len(text) >= rules.min_len
    return long and not (rules.pattern and not re.search(_python_pattern(rules.pattern), text))


def _python_pattern(pattern: str) -> str:
    """RE2's \\p{Cc}, which `re` lacks."""
    return pattern.replace("\\p{Cc}", "\\x00-\\x1f\\x7f-\\x9f")


def spoilt(message: Any, mark: str) -> Iterator[tuple[str, Any]]:
    """Copies of a request, in each of which one text that a caller may choose breaks every rule there is."""
    for path in _paths(message):
        copy = type(message)()
        copy.CopyFrom(message)
        *parts, last = path
        holder: Any = copy
        for part in parts:
            holder = holder[part] if isinstance(part, int) else getattr(holder, part)
        if isinstance(last, int):
            holder[last] = mark + "\n\t" + mark * 500
        else:
            setattr(holder, last, mark + "\n\t" + mark * 500)
        yield ".".join(map(str, path)), copy


def _paths(message: Message, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for each, value in message.ListFields():
        values = list(enumerate(value)) if each.is_repeated else [(None, value)]
        for place, found in values:
            path = (*above, each.name) if place is None else (*above, each.name, place)
            if isinstance(found, Message):
                yield from _paths(found, path)
            elif isinstance(found, str):
                yield path


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    for each, value in message.ListFields():
        for found in value if each.is_repeated else [value]:
            if isinstance(found, Message):
                yield from _texts(found)
            elif isinstance(found, str):
                yield each.name, found
