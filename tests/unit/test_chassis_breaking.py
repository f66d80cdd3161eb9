"""A change of the API that a client would notice is found before it is released."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from tools.breaking import IMAGE, breaks, without_comments

META = "atoll/common/v1/event_meta.proto"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "released.binpb"
    path.write_bytes(without_comments(IMAGE.read_bytes()))
    return path


def changed(released: Path, change: Callable[[FileDescriptorProto], object]) -> Path:
    files = FileDescriptorSet.FromString(released.read_bytes())
    change(next(file for file in files.file if file.name == META))
    path = released.with_name("image.binpb")
    path.write_bytes(files.SerializeToString())
    return path


def renumber(file: FileDescriptorProto) -> None:
    file.message_type[0].field[3].number = 100


def remove(file: FileDescriptorProto) -> None:
    del file.message_type[0].field[3]


def retype(file: FileDescriptorProto) -> None:
    file.message_type[0].field[3].type = file.message_type[0].field[3].TYPE_BYTES


def add(file: FileDescriptorProto) -> None:
    new = file.message_type[0].field.add()
    new.CopyFrom(file.message_type[0].field[3])
    new.name = new.json_name = "another"
    new.number = 100


def test_what_was_released_does_not_break_itself(released: Path) -> None:
    assert breaks(IMAGE, released) == []


def test_an_addition_breaks_nothing(released: Path) -> None:
    assert breaks(changed(released, add), released) == []


@pytest.mark.parametrize("change", [renumber, remove, retype])
def test_what_takes_away_or_changes_is_found(released: Path, change: Callable[[FileDescriptorProto], object]) -> None:
    found = breaks(changed(released, change), released)
    assert found
    assert all(META in line for line in found)
