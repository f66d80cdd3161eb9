"""docs/events.md: each event, its subject, who reads it, its fields."""

import importlib
from collections import defaultdict
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from atoll.common.v1.event_meta_pb2 import subject
from tools.docs.packages import SERVICES

MESSAGE_TYPE = 4  # Of FileDescriptorProto: where the path of a comment on a message begins.
HEAD = """# Events

Generated from the protos by `make docs`; do not edit.

One JetStream stream per producing service. The subject ends in the chain's id: `scheduling.v1.course.booked.chain_…`.
Each is delivered at least once and takes effect once at each reader; `meta` names event, instant, chain, site, actor,
cause and trace. None carries a name, a contact, a birth date, a diagnosis or free text of a patient.
"""


def page(image: FileDescriptorSet) -> str:
    files = {file.package: file for file in image.file if file.name.endswith("/events.proto")}
    readers = readers_by_event()
    parts = [HEAD]
    for service in SERVICES:
        parts.append(f"\n## {service}\n")
        parts += sections(files[f"atoll.{service}.v1"], readers)
    return "".join(parts)


def readers_by_event() -> dict[str, list[str]]:
    readers = defaultdict(list)
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.__main__")
        for reads in module.SERVICE.reads.values():
            for event_type in reads:
                readers[event_type.DESCRIPTOR.full_name].append(service)
    return readers


def sections(file: FileDescriptorProto, readers: dict[str, list[str]]) -> Iterator[str]:
    comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
    for number, message in enumerate(file.message_type):
        fact = message.options.Extensions[subject]
        if not fact:
            continue
        comment = " ".join(comments.get((MESSAGE_TYPE, number), "").split())
        read_by = ", ".join(readers.get(f"{file.package}.{message.name}", [])) or "nobody yet"
        fields = ", ".join(f"`{field.name}`" for field in fields_of(message))
        yield f"\n### {message.name}\n\n`{fact}` · read by {read_by}\n\n{comment}\n\nFields: {fields}.\n"


def fields_of(message: DescriptorProto) -> list[FieldDescriptorProto]:
    return [field for field in message.field if field.name != "meta"]
