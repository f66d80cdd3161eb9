"""Messages and services for the TypeScript client, from the descriptor image, by protoc-gen-es.

What only servers read (access, HTTP mapping, field rules) is left out, and with it the files that it comes from: a page
that uses one service need not carry them.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from tools.gen import GEN, ROOT, digest

PLUGIN = ROOT / "node_modules" / "@bufbuild" / "protoc-gen-es" / "bin" / "protoc-gen-es"
FOLDER = ROOT / "clients" / "typescript" / "gen"
DRAFT = FOLDER.with_name("gen.draft")
STAMP = FOLDER / "stamp"
PARAMETER = "target=js+dts,import_extension=js"
SHIPPED = "google/protobuf/"
"""What @bufbuild/protobuf has already."""
FOR_SERVERS = (
    "buf/validate/validate.proto",
    "google/api/",
    "google/protobuf/descriptor.proto",
    "atoll/common/v1/rules",
)


def generate() -> None:
    stamp = digest([Path(__file__), GEN / "stamp", ROOT / "package-lock.json"])
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    shutil.rmtree(DRAFT, ignore_errors=True)
    for file in answer(request(FileDescriptorSet.FromString((GEN / "image.binpb").read_bytes()))).file:
        path = DRAFT / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    (DRAFT / STAMP.name).write_text(stamp)
    shutil.rmtree(FOLDER, ignore_errors=True)
    DRAFT.rename(FOLDER)


def answer(asked: CodeGeneratorRequest) -> CodeGeneratorResponse:
    from tools.node import PROGRAMS, environment

    command = [PROGRAMS / "node", PLUGIN]
    ended = subprocess.run(
        command, input=asked.SerializeToString(), stdout=subprocess.PIPE, env=environment({}), check=True
    )
    answered = CodeGeneratorResponse.FromString(ended.stdout)
    if answered.error:
        sys.exit(f"protoc-gen-es: {answered.error}")
    return answered


def request(image: FileDescriptorSet) -> CodeGeneratorRequest:
    files = [file for file in image.file if not file.name.startswith(FOR_SERVERS)]
    owners = {name: file.name for file in files for name in declared(file)}
    for file in files:
        strip(file)
        needed = {owners[name] for name in used(file)} - {file.name}
        del file.extension[:]
        file.dependency[:] = [name for name in file.dependency if name in needed]
        del file.public_dependency[:], file.weak_dependency[:]
    ours = [file.name for file in files if not file.name.startswith(SHIPPED)]
    return CodeGeneratorRequest(file_to_generate=ours, parameter=PARAMETER, proto_file=files)


def strip(message: Message) -> None:
    """Takes the extensions off every options message in it."""
    for field, value in message.ListFields():
        if field.name == "options":
            for option, _ in value.ListFields():
                if option.is_extension:
                    value.ClearExtension(option)
            value.DiscardUnknownFields()
            if not value.ByteSize():
                message.ClearField("options")
        elif field.message_type:
            for each in value if field.is_repeated else [value]:
                strip(each)


def declared(file: FileDescriptorProto) -> Iterator[str]:
    """Names of its messages and enums, as fields refer to them."""
    prefix = f".{file.package}."
    yield from (prefix + each.name for each in file.enum_type)
    for message in file.message_type:
        yield from _declared(message, prefix)


def _declared(message: DescriptorProto, prefix: str) -> Iterator[str]:
    yield prefix + message.name
    yield from (f"{prefix}{message.name}.{each.name}" for each in message.enum_type)
    for nested in message.nested_type:
        yield from _declared(nested, f"{prefix}{message.name}.")


def used(file: FileDescriptorProto) -> Iterator[str]:
    for service in file.service:
        for method in service.method:
            yield from (method.input_type, method.output_type)
    for message in file.message_type:
        yield from _used(message)


def _used(message: DescriptorProto) -> Iterator[str]:
    yield from (field.type_name for field in message.field if field.type_name)
    for nested in message.nested_type:
        yield from _used(nested)


if __name__ == "__main__":
    generate()
