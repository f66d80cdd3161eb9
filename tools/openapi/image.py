"""The descriptor image with its comments: messages, enums and services by full name, in the order of their files."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from atoll.common.v1.access_pb2 import Access, access
from buf.validate import validate_pb2

OURS = "atoll."
REPEATED = FieldDescriptorProto.LABEL_REPEATED
# Numbers of the fields that paths of source info are made of.
MESSAGES, ENUMS, SERVICES = 4, 5, 6  # Of a file.
FIELDS, NESTED, NESTED_ENUMS = 2, 3, 4  # Of a message.
VALUES, METHODS = 2, 2  # Of an enum, of a service.


class Inexpressible(Exception):
    """The protos say what the document has no form for. Nothing is written: whoever says it first adds the form."""


@dataclass(frozen=True)
class Field:
    proto: FieldDescriptorProto
    comment: str
    oneof: str
    """Of several fields at most one is set; empty of a field that stands alone."""

    @property
    def name(self) -> str:
        return self.proto.name

    @property
    def json_name(self) -> str:
        return self.proto.json_name

    @property
    def is_list(self) -> bool:
        return self.proto.label == REPEATED

    @property
    def has_presence(self) -> bool:
        """Left out, it is not there, instead of being its zero."""
        is_message = self.proto.type == FieldDescriptorProto.TYPE_MESSAGE
        return not self.is_list and (is_message or bool(self.oneof) or self.proto.proto3_optional)

    @property
    def type_name(self) -> str:
        return self.proto.type_name.removeprefix(".")

    @property
    def rules(self) -> validate_pb2.FieldRules:
        return self.proto.options.Extensions[validate_pb2.field]


@dataclass(frozen=True)
class Message:
    name: str
    """atoll.patients.v1.Patient"""
    proto: DescriptorProto
    comment: str
    fields: tuple[Field, ...]

    @property
    def needed_oneofs(self) -> list[str]:
        return [each.name for each in self.proto.oneof_decl if each.options.Extensions[validate_pb2.oneof].required]

    @property
    def rules(self) -> list[str]:
        """What must hold of several fields together, in words."""
        return [rule.message for rule in self.proto.options.Extensions[validate_pb2.message].cel]


@dataclass(frozen=True)
class Value:
    proto: EnumValueDescriptorProto
    comment: str


@dataclass(frozen=True)
class Enumeration:
    name: str
    proto: EnumDescriptorProto
    comment: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Method:
    service: str
    """PatientService"""
    package: str
    """atoll.patients.v1"""
    tag: str
    """PatientService; with the package's service before it where several have one of that name: billing.AuditService"""
    proto: MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.proto.name

    @property
    def full_name(self) -> str:
        return f"{self.package}.{self.service}.{self.name}"

    @property
    def access(self) -> Access:
        return self.proto.options.Extensions[access]

    @property
    def bindings(self) -> list[tuple[str, str, str]]:
        """Verb, path and body of each."""
        rule = self.proto.options.Extensions[annotations_pb2.http]
        return [_binding(each) for each in (rule, *rule.additional_bindings)]


@dataclass(frozen=True)
class Service:
    name: str
    package: str
    tag: str
    proto: ServiceDescriptorProto
    comment: str
    methods: tuple[Method, ...]


def _binding(rule: "annotations_pb2.http.HttpRule") -> tuple[str, str, str]:
    verb = rule.WhichOneof("pattern")
    return verb, getattr(rule, verb), rule.body


class Image:
    def __init__(self, image: bytes) -> None:
        self._files = FileDescriptorSet.FromString(image).file

    @cached_property
    def messages(self) -> dict[str, Message]:
        """All, those of google included."""
        return {each.name: each for file in self._files for each in _messages(_Source(file))}

    def entry_of(self, field: Field) -> Message | None:
        """Of a map: its key and its value."""
        message = self.messages.get(field.type_name)
        return message if message and message.proto.options.map_entry else None

    @cached_property
    def enums(self) -> dict[str, Enumeration]:
        return {each.name: each for file in self._files for each in _enums(_Source(file))}

    @cached_property
    def services(self) -> list[Service]:
        """Ours, by package and name."""
        files = [file for file in self._files if file.package.startswith(OURS)]
        names = Counter(service.name for file in files for service in file.service)
        found = [each for file in files for each in _services(_Source(file), names)]
        return sorted(found, key=lambda each: (each.package, each.name))


class _Source:
    """A file and what is said in it, by the path of what it is said of."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}

    def comment(self, *path: int) -> str:
        """As it was written, without the indentation of its lines."""
        lines = self._comments.get(path, "").splitlines()
        return "\n".join(line.removeprefix(" ").rstrip() for line in lines).strip()


def _messages(source: _Source) -> Iterator[Message]:
    for number, proto in enumerate(source.file.message_type):
        yield from _with_nested(source, source.file.package, proto, (MESSAGES, number))


def _with_nested(source: _Source, outer: str, proto: DescriptorProto, path: tuple[int, ...]) -> Iterator[Message]:
    name = f"{outer}.{proto.name}"
    fields = tuple(
        Field(field, source.comment(*path, FIELDS, number), _oneof(proto, field))
        for number, field in enumerate(proto.field)
    )
    yield Message(name, proto, source.comment(*path), fields)
    for number, nested in enumerate(proto.nested_type):
        yield from _with_nested(source, name, nested, (*path, NESTED, number))


def _oneof(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    stands_alone = field.proto3_optional or not field.HasField("oneof_index")
    return "" if stands_alone else message.oneof_decl[field.oneof_index].name


def _enums(source: _Source) -> Iterator[Enumeration]:
    for number, proto in enumerate(source.file.enum_type):
        yield _enum(source, source.file.package, proto, (ENUMS, number))
    for number, message in enumerate(source.file.message_type):
        yield from _nested_enums(source, source.file.package, message, (MESSAGES, number))


def _nested_enums(
    source: _Source, outer: str, message: DescriptorProto, path: tuple[int, ...]
) -> Iterator[Enumeration]:
    name = f"{outer}.{message.name}"
    for number, proto in enumerate(message.enum_type):
        yield _enum(source, name, proto, (*path, NESTED_ENUMS, number))
    for number, nested in enumerate(message.nested_type):
        yield from _nested_enums(source, name, nested, (*path, NESTED, number))


def _enum(source: _Source, outer: str, proto: EnumDescriptorProto, path: tuple[int, ...]) -> Enumeration:
    values = tuple(Value(value, source.comment(*path, VALUES, number)) for number, value in enumerate(proto.value))
    return Enumeration(f"{outer}.{proto.name}", proto, source.comment(*path), values)


def _services(source: _Source, names: Counter[str]) -> Iterator[Service]:
    package = source.file.package
    for number, proto in enumerate(source.file.service):
        tag = proto.name if names[proto.name] == 1 else f"{package.split('.')[1]}.{proto.name}"
        methods = tuple(
            Method(proto.name, package, tag, method, source.comment(SERVICES, number, METHODS, index))
            for index, method in enumerate(proto.method)
        )
        yield Service(proto.name, package, tag, proto, source.comment(SERVICES, number), methods)
