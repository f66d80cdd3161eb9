"""What the TypeScript client is generated from: the API as it is, without what only servers read."""

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from tools.gen import GEN
from tools.typescript import request

COURSES = "atoll/scheduling/v1/course_service.proto"


@pytest.fixture(scope="module")
def asked() -> CodeGeneratorRequest:
    return request(FileDescriptorSet.FromString((GEN / "image.binpb").read_bytes()))


@pytest.fixture(scope="module")
def courses(asked: CodeGeneratorRequest) -> FileDescriptorProto:
    return next(file for file in asked.proto_file if file.name == COURSES)


def test_every_file_of_ours_is_generated_but_those_that_only_servers_read(asked: CodeGeneratorRequest) -> None:
    image = FileDescriptorSet.FromString((GEN / "image.binpb").read_bytes())
    ours = {file.name for file in image.file if file.name.startswith("atoll/")} - {"atoll/common/v1/rules.proto"}
    assert ours <= set(asked.file_to_generate)
    assert not [name for name in asked.file_to_generate if name.startswith(("buf/", "google/api/", "google/protobuf/"))]


def test_rules_access_and_mapping_are_left_out_and_comments_are_kept(courses: FileDescriptorProto) -> None:
    plan = courses.service[0].method[0]
    assert plan.name == "PlanCourse"
    assert not plan.HasField("options")
    assert not courses.message_type[0].field[0].HasField("options")
    assert any("stores nothing" in place.leading_comments for place in courses.source_code_info.location)


def test_a_file_names_exactly_what_it_uses_and_each_after_what_it_uses(asked: CodeGeneratorRequest) -> None:
    seen: set[str] = set()
    for file in asked.proto_file:
        assert set(file.dependency) <= seen, file.name
        seen.add(file.name)


def test_a_file_that_is_used_is_named(courses: FileDescriptorProto) -> None:
    assert set(courses.dependency) == {
        "atoll/scheduling/v1/plan.proto",
        "atoll/scheduling/v1/visit.proto",
        "google/protobuf/timestamp.proto",
        "google/type/date.proto",
        "google/type/dayofweek.proto",
        "google/type/timeofday.proto",
    }
