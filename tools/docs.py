"""Writes docs/events.md from the protos: each event, its subject, who reads it, its fields.

`python -m tools.docs` writes it, `--check` (in `make lint`) says whether it is current.
"""

import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from atoll.common.v1.event_meta_pb2 import subject

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "events.md"
SERVICES = ("patients", "scheduling", "billing", "notifications")
MESSAGE_TYPE = 4  # Of FileDescriptorProto: where the path of a comment on a message begins.
HEAD = """# Events

Generated from the protos by `make docs`; do not edit.

One JetStream stream per producing service. The subject ends in the chain's id: `scheduling.v1.course.booked.chain_…`.
Each is delivered at least once and takes effect once at each reader; `meta` names event, instant, chain, site, actor,
cause and trace. None carries a name, a contact, a birth date, a diagnosis or free text of a patient.
"""


def main(arguments: list[str]) -> None:
    text = page()
    if "--check" in arguments:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/events.md is not what the protos say: run `make docs`")
        return
    PAGE.write_text(text)


def page() -> str:
    image = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen" / "image.binpb").read_bytes())
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


def fields_of(message: DescriptorProto) -> list[descriptor_pb2.FieldDescriptorProto]:
    return [field for field in message.field if field.name != "meta"]


if __name__ == "__main__":
    main(sys.argv[1:])
