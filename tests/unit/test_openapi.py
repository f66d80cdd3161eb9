"""What the OpenAPI document has no form for is refused when it is written, and names where it stands."""

import pytest
from google.api.annotations_pb2 import http
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet, MethodDescriptorProto

from buf.validate import validate_pb2
from tests.contract.found import ROOT
from tools.openapi.document import document
from tools.openapi.image import Inexpressible

GET, CREATE = "GetPatientRequest", "CreatePatientRequest"


class Protos:
    """A copy of the image with one service alone, to be changed."""

    def __init__(self) -> None:
        self.image = FileDescriptorSet.FromString((ROOT / "gen" / "image.binpb").read_bytes())
        for file in self.image.file:
            if file.name == "atoll/patients/v1/patient_service.proto":
                self.file = file
            else:
                del file.service[:]

    def method(self, name: str) -> MethodDescriptorProto:
        return next(each for each in self.file.service[0].method if each.name == name)

    def add(self, message: str, field: FieldDescriptorProto) -> FieldDescriptorProto:
        found = next(each for each in self.file.message_type if each.name == message)
        found.field.append(field)
        return found.field[-1]

    def refused(self) -> str:
        with pytest.raises(Inexpressible) as caught:
            document(self.image.SerializeToString())
        return str(caught.value)


@pytest.fixture
def protos() -> Protos:
    return Protos()


def field(name: str, kind: "FieldDescriptorProto.Type.ValueType", **more: object) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_OPTIONAL
    return FieldDescriptorProto(name=name, json_name=name, number=900, **{"type": kind, "label": label, **more})  # type: ignore[arg-type]


def test_a_body_that_is_a_part_of_the_request(protos: Protos) -> None:
    protos.method("CreatePatient").options.Extensions[http].body = "patient"
    assert protos.refused() == "atoll.patients.v1.PatientService.CreatePatient takes a part of its request as the body"


def test_a_list_of_messages_in_a_query(protos: Protos) -> None:
    patients = {"type_name": ".atoll.patients.v1.Patient", "label": FieldDescriptorProto.LABEL_REPEATED}
    protos.add(GET, field("several", FieldDescriptorProto.TYPE_MESSAGE, **patients))
    assert protos.refused() == "atoll.patients.v1.GetPatientRequest.several is a list of messages in a query"


def test_a_field_of_a_type_that_json_would_round(protos: Protos) -> None:
    protos.add(CREATE, field("weight", FieldDescriptorProto.TYPE_FLOAT))
    assert protos.refused() == "a field of type TYPE_FLOAT"


def test_a_pattern_of_which_no_example_is_known(protos: Protos) -> None:
    added = protos.add(CREATE, field("plate", FieldDescriptorProto.TYPE_STRING))
    added.options.Extensions[validate_pb2.field].string.pattern = "^[0-9]{7}$"
    assert protos.refused() == "no example for atoll.patients.v1.CreatePatientRequest.plate, ^[0-9]{7}$"
