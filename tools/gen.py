"""Writes gen/ from protos/: Python modules, their type stubs, the RPCs of the Python client, the descriptor image that
buf and Envoy read, and the OpenAPI document with the page that shows it.

No third party's .proto is kept in the project: google/*.proto come from the googleapis-common-protos package, and
buf/validate/validate.proto from the descriptor that protovalidate carries. The health and reflection protos come from
their grpcio packages, so that the edge can route them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc_tools
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).parents[1]
GEN = ROOT / "gen"
DRAFT = ROOT / "gen.draft"  # Takes the place of gen/ in one step.
STAMP = GEN / "stamp"
CLIENT = Path(__file__).with_name("python_client.py")
DOCUMENT = Path(__file__).with_name("openapi")
VALIDATE = "buf/validate/validate.proto"
ERROR_DETAILS = "google/rpc/error_details.proto"  # Else the edge leaves the details of errors empty in JSON.


def main() -> None:
    stamp = digest(sources())
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    shutil.rmtree(DRAFT, ignore_errors=True)
    DRAFT.mkdir()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # protoc's plugins.
    generate()
    (DRAFT / STAMP.name).write_text(stamp)
    shutil.rmtree(GEN, ignore_errors=True)
    DRAFT.rename(GEN)


def sources() -> Iterator[Path]:
    yield Path(__file__)
    yield CLIENT
    yield from sorted(path for path in DOCUMENT.rglob("*") if path.is_file() and path.suffix != ".pyc")
    yield ROOT / "requirements.lock"
    yield from sorted(ROOT.glob("protos/**/*.proto"))


def digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest()


def generate() -> None:
    validate = DRAFT / "validate.binpb"
    validate.write_bytes(validate_descriptors())
    ours = sorted(str(path.relative_to(ROOT / "protos")) for path in ROOT.glob("protos/**/*.proto"))
    services = [path for path in ours if path.endswith("_service.proto")]
    google_api, well_known = Path(annotations_pb2.__file__).parents[2], Path(grpc_tools.__file__).parent / "_proto"
    inputs = (
        f"--descriptor_set_in={validate}",
        f"-I{ROOT / 'protos'}",
        f"-I{google_api}",
        f"-I{well_known}",
    )
    run(*inputs, f"--python_out={DRAFT}", f"--mypy_out=quiet:{DRAFT}", VALIDATE, *ours)
    if services:
        run(*inputs, f"--grpc_python_out={DRAFT}", f"--mypy_grpc_out=quiet:{DRAFT}", *services)
    image = f"--descriptor_set_out={DRAFT / 'image.binpb'}"
    run(*inputs, image, "--include_imports", "--include_source_info", ERROR_DETAILS, *ours)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DRAFT), str(ROOT)])}
    for writer in ("tools.python_client", "tools.openapi"):  # They import what was just generated.
        subprocess.run([sys.executable, "-m", writer, str(DRAFT)], cwd=ROOT, env=environment, check=True)


def validate_descriptors() -> bytes:
    """protovalidate's own descriptor as a FileDescriptorSet, after what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    return files.SerializeToString()


def run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed")


if __name__ == "__main__":
    main()
