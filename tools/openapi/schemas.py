"""Messages as JSON Schema, as protobuf's own JSON has them.

What is asked and what is answered have schemas of their own. An answer has every field that cannot be absent, with its
zero if need be; a request may leave out whatever its rules do not ask for, and its rules are told.
"""

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tools.openapi.image import OURS, Enumeration, Field, Image, Inexpressible, Message
from tools.openapi.rules import Schema, in_words, is_needed, keywords

INT32 = {"minimum": -(1 << 31), "maximum": (1 << 31) - 1}
INT64 = "^-?(0|[1-9][0-9]{0,17})$"
"""Eighteen digits: a little less than fits, and no sum of a clinic has more."""
INPUT = ".Input"
TEXTS: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
}
"""Messages that JSON writes as one string."""
NUMBERS: dict[str, dict[str, Schema]] = {
    "google.type.Date": {
        "year": {"minimum": 2, "maximum": 9998},
        "month": {"minimum": 1, "maximum": 12},
        "day": {"minimum": 1, "maximum": 31},
    },
    "google.type.TimeOfDay": {
        "hours": {"minimum": 0, "maximum": 24},
        "minutes": {"minimum": 0, "maximum": 59},
        "seconds": {"minimum": 0, "maximum": 59},
        "nanos": {"minimum": 0, "maximum": 999_999_999},
    },
    "google.type.Money": {
        "currency_code": {"pattern": "^[A-Z]{3}$"},
        "nanos": {"minimum": -999_999_999, "maximum": 999_999_999},
    },
}
"""What google's types say of their fields in words only."""
NEEDED = {"google.type.Date": ("year", "month", "day"), "google.type.Money": ("currency_code",)}
ABOUT = {
    "google.type.Date": "A day of the calendar, whatever the zone.",
    "google.type.TimeOfDay": "A time on a clock; 24:00 is the end of a day.",
    "google.type.Money": "An amount: whole units, as a string, and nanos (10^-9) of the same sign. $12.50 is "
    '`{"currencyCode": "USD", "units": "12", "nanos": 500000000}`.',
    "google.type.PostalAddress": "An address as its country writes it.",
    "google.type.Interval": "From an instant, included, to another, excluded.",
}


def short(name: str) -> str:
    """atoll.patients.v1.Patient → patients.Patient: the key of a component."""
    if not name.startswith(OURS):
        return name
    _, service, _, rest = name.split(".", 3)
    return f"{service}.{rest}"


class Schemas:
    """The components, each made when it is first named."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.components: dict[str, Schema] = {}

    def answer(self, name: str) -> Schema:
        """A reference to the schema of the message where it is an answer."""
        return self._component(name, short(name), asked=False, bound=frozenset())

    def request(self, name: str, bound: frozenset[str] = frozenset()) -> Schema:
        """Where it is the body of a request. `bound`: fields that stand in the path instead: {"patient.id"}."""
        return self._component(name, short(name), asked=True, bound=bound)

    def needed(self, message: Message) -> set[str]:
        """Names of the fields without which a request is refused."""
        by_nature = NEEDED.get(message.name, ())
        return {each.name for each in message.fields if each.name in by_nature or is_needed(each)}

    def limits(self, message: Message, field: Field) -> Schema:
        """Of a field of one of google's types."""
        return NUMBERS.get(message.name, {}).get(field.name, {})

    def field(self, field: Field, *, asked: bool, bound: frozenset[str] = frozenset(), key: str = "") -> Schema:
        """With its description. `bound` and `key` are those of the message that the field holds."""
        found = keywords(field.rules) if asked else {}
        said = _in_one(field.comment, found.pop("description", ""))
        items = found.pop("items", {})
        if entry := self._image.entry_of(field):  # A map, of whose keys JSON makes names.
            schema = {"type": "object", "additionalProperties": self.field(entry.fields[1], asked=asked), **found}
        elif field.is_list:
            schema = {"type": "array", "items": self._value(field, items, asked, frozenset(), ""), **found}
        else:
            schema = self._value(field, found, asked, bound, key)
        return _described(schema, said)

    def _component(self, name: str, key: str, *, asked: bool, bound: frozenset[str]) -> Schema:
        if key not in self.components:
            self.components[key] = {}  # A message may hold itself.
            self.components[key] = self._message(self._image.messages[name], key, asked, bound)
        return {"$ref": f"#/components/schemas/{key}"}

    def _message(self, message: Message, key: str, asked: bool, bound: frozenset[str]) -> Schema:
        properties: dict[str, Schema] = {}
        needed = self.needed(message) if asked else {each.name for each in message.fields if not each.has_presence}
        for field in message.fields:
            if field.name in bound:
                continue
            inner = frozenset(path.partition(".")[2] for path in bound if path.startswith(f"{field.name}."))
            schema = self.field(field, asked=asked, bound=inner, key=f"{key}.{field.json_name}")
            properties[field.json_name] = schema | (self.limits(message, field) if asked else {})
        schema = {"type": "object", "properties": properties}
        if required := [each.json_name for each in message.fields if each.name in needed - bound]:
            schema["required"] = required
        choices = _choices(message, bound) if asked else []
        if len(choices) == 1:
            schema |= choices[0]
        elif choices:
            schema["allOf"] = choices
        comment = ABOUT.get(message.name, message.comment if message.name.startswith(OURS) else "")
        return _described(schema, _in_one(comment, " ".join(in_words(rule) for rule in message.rules if asked)))

    def _value(self, field: Field, limits: Schema, asked: bool, bound: frozenset[str], key: str) -> Schema:
        kind = field.proto.type
        if kind == FieldDescriptorProto.TYPE_MESSAGE:
            return self._held(field.type_name, limits, asked, bound, key)
        if kind == FieldDescriptorProto.TYPE_ENUM:
            return self._chosen(self._image.enums[field.type_name], limits)
        return _scalar(kind, asked) | limits

    def _held(self, name: str, limits: Schema, asked: bool, bound: frozenset[str], key: str) -> Schema:
        if name in TEXTS:
            return TEXTS[name] | limits
        if name == "google.protobuf.Value":
            return {"description": "Any JSON value."}
        if not asked:
            return self.answer(name)
        own_key = key if bound else short(name) + (INPUT if name.startswith(OURS) or name in NUMBERS else "")
        return self._component(name, own_key, asked=True, bound=bound)

    def _chosen(self, enum: Enumeration, limits: Schema) -> Schema:
        """Part of the values stands where it is used, all of them as a component."""
        only, without = limits.get("numbers"), limits.get("not_numbers", set())
        if only is None and not without:
            key = short(enum.name)
            self.components.setdefault(key, _enumeration(enum, {each.proto.number for each in enum.values}))
            return {"$ref": f"#/components/schemas/{key}"}
        numbers = {each.proto.number for each in enum.values} if only is None else only
        return _enumeration(enum, numbers - without)


def _scalar(kind: "FieldDescriptorProto.Type.ValueType", asked: bool) -> Schema:
    match kind:
        case FieldDescriptorProto.TYPE_STRING:
            return {"type": "string"}
        case FieldDescriptorProto.TYPE_INT32:
            return {"type": "integer", "format": "int32", **(INT32 if asked else {})}
        case FieldDescriptorProto.TYPE_INT64:
            return {"type": "string", "format": "int64", "pattern": INT64}
        case FieldDescriptorProto.TYPE_DOUBLE:
            return {"type": "number", "format": "double"}
        case FieldDescriptorProto.TYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptorProto.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
    raise Inexpressible(f"a field of type {FieldDescriptorProto.Type.Name(kind)}")


def _enumeration(enum: Enumeration, numbers: set[int]) -> Schema:
    values = [each for each in enum.values if each.proto.number in numbers]
    lines = [f"- `{each.proto.name}`: {_flat(each.comment)}" for each in values if each.comment]
    schema = {"type": "string", "enum": [each.proto.name for each in values]}
    return _described(schema, "\n\n".join(part for part in (enum.comment, "\n".join(lines)) if part))


def _choices(message: Message, bound: frozenset[str]) -> list[Schema]:
    """Of each oneof: one of its fields is given, or at most one."""
    found = []
    for oneof in dict.fromkeys(field.oneof for field in message.fields if field.oneof):
        each = [{"required": [field.json_name]} for field in message.fields if field.oneof == oneof]
        none = [] if oneof in message.needed_oneofs else [{"not": {"anyOf": each}}]
        found.append({"oneOf": [*each, *none]})
    return found


def _described(schema: Schema, text: str) -> Schema:
    """Beside a reference, a description is about its use: what it names says itself what it is."""
    if not text:
        return schema
    if own := schema.get("description"):
        text = f"{text}\n\n{own}"
    return {**schema, "description": text}


def _in_one(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _flat(text: str) -> str:
    return " ".join(text.split())
