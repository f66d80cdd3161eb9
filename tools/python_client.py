"""Writes what the Python client has one of for each RPC: gen/atoll/api/, out of the descriptor image.

A module for each Atoll service, with a class for each of its gRPC services and their messages under their own names;
and the reasons of all. `tools.gen` runs it on a draft of gen/ that is first on the path: the rules of the requests say
which arguments must be given.
"""

import importlib
import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto
from protovalidate import Validator

PACKAGES = ("patients", "scheduling", "billing", "notifications")
MESSAGE_TYPE, SERVICE, METHOD, FIELD = 4, 6, 2, 2  # Numbers in paths of comments.
UNCOUNTABLE = {"BreakGlass": "break_glass", "Retention": "retention"}
PLURALS = ((r"([^aeiou])y$", r"\1ies"), (r"is$", "es"), (r"(s|x|ch)$", r"\1es"), (r"$", "s"))
LIKE = {
    ".google.protobuf.Timestamp": "InstantLike",
    ".google.protobuf.Duration": "DurationLike",
    ".google.protobuf.FieldMask": "MaskLike",
    ".google.type.Date": "DateLike",
    ".google.type.TimeOfDay": "TimeLike",
}
SCALARS = {
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_UINT32: "int",
    FieldDescriptorProto.TYPE_UINT64: "int",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
}
VALIDATOR = Validator()
HEAD = '''"""Generated from the protos by `make gen`; do not edit."""

'''

Comments = Mapping[tuple[int, ...], str]


def main(draft: Path) -> None:
    image = descriptor_pb2.FileDescriptorSet.FromString((draft / "image.binpb").read_bytes())
    api = draft / "atoll" / "api"
    api.mkdir()
    (draft / "atoll" / "py.typed").touch()  # What is generated is typed, for whoever has installed it.
    for name in ("__init__.py", "reasons.py", *(f"{package}.py" for package in PACKAGES)):
        (api / name).write_text(HEAD)
    _append(api / "reasons.py", reasons(image))
    places = {name: place for file in image.file for name, place in _places(file)}
    for package in PACKAGES:
        files = [file for file in image.file if file.package == f"atoll.{package}.v1"]
        _append(api / f"{package}.py", module(package, files, places))


def reasons(image: descriptor_pb2.FileDescriptorSet) -> Iterator[str]:
    """One enumeration of all that any service can answer, in which a reason of two services stands once."""
    said = dict[str, list[str]]()
    for file in image.file:
        if not file.name.endswith("/error_reason.proto") or not file.package.startswith("atoll."):
            continue
        comments, [enum] = _comments(file), file.enum_type
        for number, value in enumerate(enum.value):
            name = value.name.removeprefix("ERROR_REASON_")
            if name != "UNSPECIFIED":
                said.setdefault(name, []).append(comments.get((5, 0, 2, number), ""))
    yield "from enum import StrEnum\n\n\nclass Reason(StrEnum):\n"
    yield '    """Why something was refused. Frozen; a service newer than this client may say others."""\n\n'
    for name, comments_of_it in sorted(said.items()):
        yield f'    {name} = "{name}"\n'
        yield from _docstring(max(comments_of_it, key=len), "    ")


def module(package: str, files: list[FileDescriptorProto], places: Mapping[str, str]) -> Iterator[str]:
    """`places`: of each message and enumeration, the Python module it is in."""
    named = sorted((file.name, _names(file)) for file in files if _names(file))
    others = sorted({place for name, place in places.items() if not name.startswith(f".atoll.{package}.")})
    services = [(file, number) for file in files for number in range(len(file.service))]
    bodies = "".join(part for file, number in services for part in service_class(file, number, places, package))
    yield "from __future__ import annotations\n\nfrom collections.abc import AsyncGenerator, Iterable, Mapping\n\n"
    for place in others:
        if re.search(rf"\b{re.escape(place)}\.", bodies):
            yield f"import {place}\n"
    for name, names in named:
        yield f"from {_module_of(name)} import (\n" + "".join(f"    {each} as {each},\n" for each in names) + ")\n"
    yield "from atoll_client.calls import Caller, Method\nfrom atoll_client.pages import Pages\n"
    yield "from atoll_client.values import DateLike, DurationLike, InstantLike, MaskLike, TimeLike, to_mask\n"
    yield bodies
    yield f'\n\nclass {_camel(package)}:\n    """The RPCs of {package}, by what they are about."""\n\n'
    yield "    def __init__(self, caller: Caller) -> None:\n"
    names = sorted(file.service[number].name for file, number in services)
    yield from (f"        self.{_plural(_noun(name))} = {name}(caller)\n" for name in names)


def service_class(file: FileDescriptorProto, number: int, places: Mapping[str, str], package: str) -> Iterator[str]:
    service, comments = file.service[number], _comments(file)
    noun = _noun(service.name)
    yield f"\n\nclass {service.name}:\n"
    yield from _docstring(comments.get((SERVICE, number), service.name), "    ")
    yield "\n    def __init__(self, caller: Caller) -> None:\n        self._caller = caller\n"
    for place, method in enumerate(service.method):
        comment = comments.get((SERVICE, number, METHOD, place), "")
        yield from method_text(file, service.name, noun, method, comment, places, package)


def method_text(
    file: FileDescriptorProto,
    service: str,
    noun: str,
    method: MethodDescriptorProto,
    comment: str,
    places: Mapping[str, str],
    package: str,
) -> Iterator[str]:
    request, response = _message(file, method.input_type), _message(file, method.output_type)
    paths = {message.name: number for number, message in enumerate(file.message_type)}
    comments, needed = _comments(file), _needed(file, method.input_type)
    arguments, told = list[str](), list[str]()
    for place, field in enumerate(request.field):
        default = "" if field.name in needed else " | None = None"
        arguments.append(f"{field.name}: {_python_type(field, places, package)}{default}")
        if said := comments.get((MESSAGE_TYPE, paths[request.name], FIELD, place), ""):
            told.append(f"`{field.name}`: {said}")
    lists = {field.name for field in response.field if field.label == FieldDescriptorProto.LABEL_REPEATED}
    paged = "next_page_token" in {field.name for field in response.field}
    item, result = next((each for each in response.field if each.name in lists), None), response.name
    if method.server_streaming:
        head, call, tail = "def", "self._caller.stream", ")"
        result = f"AsyncGenerator[{result}, None]"
    elif paged:
        item_type = _python_type(item, places, package, one=True, wire=True) if item else result
        items = f"lambda page: page.{item.name}" if item else "lambda page: (page,)"
        head, call, tail = "def", "self._caller.pages", f", timeout_s, {items})"
        result = f"Pages[{result}, {item_type}]"
    else:
        head, call, tail = "async def", "await self._caller.call", ", timeout_s)"
    if not method.server_streaming:
        arguments.append("timeout_s: float | None = None")
    star = ["*", *arguments] if arguments else []
    yield f"\n    {head} {_method_name(method.name, noun)}(\n        self,\n"
    yield "".join(f"        {each},\n" for each in star) + f"    ) -> {result}:\n"
    yield from _docstring("\n\n".join([comment, *told]), "        ")
    yield f'        method = Method("/{file.package}.{service}/{method.name}", {request.name}, {response.name})\n'
    yield "        arguments: Mapping[str, object] = {\n"
    for field in request.field:
        value = f"to_mask({field.name})" if field.type_name == ".google.protobuf.FieldMask" else field.name
        yield f'            "{field.name}": {value},\n'
    yield f"        }}\n        return {call}(method, arguments{tail}\n"


def _method_name(rpc: str, noun: str) -> str:
    """An RPC that is a verb and the noun of its service is the verb: CourseService.PlanCourse is courses.plan."""
    found = re.fullmatch(rf"([A-Z][a-z]+)({noun}|{_camel(_plural(noun))})", rpc)
    verb = found[1].lower() if found else ""
    return verb if verb and not keyword.iskeyword(verb) else _snake(rpc)


def _needed(file: FileDescriptorProto, type_name: str) -> set[str]:
    """Fields without which the rules refuse a request that is empty otherwise. `request_id` is made by the client."""
    message_type: Any = getattr(importlib.import_module(_module_of(file.name)), type_name.rpartition(".")[2])
    broken = [each.proto.field for each in VALIDATOR.collect_violations(message_type())]
    return {path.elements[0].field_name for path in broken if path and len(path.elements) == 1} - {"request_id"}


def _python_type(
    field: FieldDescriptorProto, places: Mapping[str, str], package: str, *, one: bool = False, wire: bool = False
) -> str:
    """`one`: of a repeated field, the type of one. `wire`: as protobuf has it."""
    own = f".atoll.{package}.v1."
    if field.type_name in LIKE and not wire:
        each = LIKE[field.type_name]
    elif field.type_name:
        name = field.type_name.removeprefix(own)
        each = name if name != field.type_name else f"{places[name]}.{name.rpartition('.')[2]}"
        each += ".ValueType" if field.type == FieldDescriptorProto.TYPE_ENUM else ""
    else:
        each = SCALARS[field.type]
    return each if one or field.label != FieldDescriptorProto.LABEL_REPEATED else f"Iterable[{each}]"


def _places(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = *(message.name for message in file.message_type), *(enum.name for enum in file.enum_type)
    yield from ((f".{file.package}.{name}", _module_of(file.name)) for name in names)


def _names(file: FileDescriptorProto) -> list[str]:
    """Of messages, enumerations and their values: what others import."""
    enums = [name for enum in file.enum_type for name in (enum.name, *(value.name for value in enum.value))]
    return sorted([*(message.name for message in file.message_type), *enums])


def _comments(file: FileDescriptorProto) -> Comments:
    return {tuple(each.path): each.leading_comments.strip() for each in file.source_code_info.location}


def _message(file: FileDescriptorProto, type_name: str) -> descriptor_pb2.DescriptorProto:
    name = type_name.rpartition(".")[2]
    return next(message for message in file.message_type if message.name == name)


def _docstring(text: str, indent: str) -> Iterator[str]:
    lines = [line.removeprefix(" ") for line in text.replace("\\", "\\\\").replace('"""', "'''").splitlines()]
    if lines and lines[-1].endswith('"'):
        lines[-1] += " "
    if lines:
        body = "\n".join(f"{indent}{line}".rstrip() for line in lines).removeprefix(indent)
        yield f'{indent}"""{body}"""\n' if len(lines) == 1 else f'{indent}"""{body}\n{indent}"""\n'


def _append(path: Path, parts: Iterator[str]) -> None:
    path.write_text(path.read_text() + "".join(parts))


def _module_of(proto: str) -> str:
    return proto.removesuffix(".proto").replace("/", ".") + "_pb2"


def _noun(service: str) -> str:
    return service.removesuffix("Service")


def _plural(noun: str) -> str:
    if noun in UNCOUNTABLE:
        return UNCOUNTABLE[noun]
    ending, instead = next(pair for pair in PLURALS if re.search(pair[0], noun))
    return _snake(re.sub(ending, instead, noun, count=1))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
