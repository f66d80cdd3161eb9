"""The OpenAPI document says what the protos say: all of it, once, and with the rules."""

import json
import re
from collections import Counter
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest
from google.api import annotations_pb2
from google.protobuf import json_format
from openapi_spec_validator import OpenAPIV31SpecValidator

from atoll.common.v1.access_pb2 import Audit, Role, Scope, access
from chassis.ids import new_id, to_wire
from chassis.status import CODES
from tests.contract.found import PACKAGES, ROOT, errors_of, message_type
from tests.support.openapi import broken_rules, methods, request_of, tags
from tools.openapi.image import Image
from tools.openapi.reasons import Reason, Reasons
from tools.openapi.rules import id_pattern

RPCS = methods()
IMAGE = ROOT / "gen" / "image.binpb"


@cache
def document() -> Any:
    return json.loads((ROOT / "gen" / "openapi.json").read_text())


@cache
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Verb, path and content of each, by the RPC's name."""
    return {
        operation["operationId"]: (verb, path, operation)
        for path, verbs in document()["paths"].items()
        for verb, operation in verbs.items()
    }


@cache
def reasons() -> list[Reason]:
    return list(Reasons(Image(IMAGE.read_bytes())).all.values())


def component(name: str) -> Any:
    return document()["components"]["schemas"][name]


def parameters(operation: str) -> dict[str, Any]:
    return {each["name"]: each for each in operations()[operation][2]["parameters"]}


def validator(schema: Any) -> jsonschema_rs.Validator:
    """Of a schema of the document, whose references lead into it."""
    inside = {"$id": "https://atoll.test/openapi.json", "components": document()["components"], "allOf": [schema]}
    return jsonschema_rs.Draft202012Validator(inside)


def test_the_document_is_openapi_3_1() -> None:
    folder = resources.files("openapi_spec_validator") / "resources" / "schemas" / "v3.1"
    [schema] = [json.loads(each.read_text()) for each in folder.iterdir() if each.name.endswith(".json")]
    jsonschema_rs.Draft202012Validator(schema).validate(document())
    assert document()["openapi"] == "3.1.0"


@pytest.mark.long
def test_every_reference_and_every_schema_of_the_document_is_sound() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_rpc_is_there_once_for_each_of_its_bindings_under_its_verb() -> None:
    said: Counter[tuple[str, str]] = Counter()
    for method in RPCS.values():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for each in (rule, *rule.additional_bindings):
            verb = each.WhichOneof("pattern")
            said[verb, re.sub(r"\{[^}]+\}", "{}", getattr(each, verb))] += 1
    found = Counter((verb, re.sub(r"\{[^}]+\}", "{}", path)) for verb, path, _ in operations().values())
    assert found == said
    assert operations().keys() == RPCS.keys()


def test_an_operation_says_in_data_and_in_words_who_may_call_it() -> None:
    for name, (_, _, operation) in operations().items():
        option = RPCS[name].GetOptions().Extensions[access]
        roles = [Role.Name(role).removeprefix("ROLE_") for role in option.roles]
        assert operation["x-atoll-access"] == {
            "roles": roles,
            "scope": Scope.Name(option.scope).removeprefix("SCOPE_"),
            "audit": Audit.Name(option.audit).removeprefix("AUDIT_"),
        }
        assert ", ".join(roles) in operation["description"]


def test_a_service_is_a_tag_with_its_comment() -> None:
    said = {each["name"]: each["description"] for each in document()["tags"]}
    assert said.keys() == tags()
    assert all(said.values())


def test_what_an_operation_takes_is_its_request_and_nothing_twice() -> None:
    for name, (_, path, operation) in operations().items():
        places = Counter(each["in"] for each in operation.get("parameters", []))
        assert places["path"] == path.count("{"), name
        assert ("requestBody" in operation) != (places["query"] > 0) or not RPCS[name].input_type.fields[1:], name
        assert len({(each["in"], each["name"]) for each in operation.get("parameters", [])}) == sum(places.values()), (
            name
        )


@pytest.mark.parametrize("name", RPCS)
def test_the_example_of_a_request_is_what_the_rpc_takes(name: str) -> None:
    """Read by protobuf, it keeps every rule of a field, and says something of each."""
    request = request_of(operations()[name][2], RPCS[name])
    assert broken_rules(request) == []


@pytest.mark.parametrize("name", RPCS)
def test_examples_keep_the_documents_own_schemas(name: str) -> None:
    operation = operations()[name][2]
    contents = [operation["responses"]["200"]["content"], operation.get("requestBody", {}).get("content", {})]
    for content in contents:
        for each in content.values():
            validator(each["schema"]).validate(each["example"])
    for parameter in operation.get("parameters", []):
        if "example" in parameter:
            validator(parameter["schema"]).validate(parameter["example"])


@pytest.mark.parametrize("name", RPCS)
def test_the_zero_of_an_answer_keeps_its_schema(name: str) -> None:
    """As the edge prints it: with every field that cannot be absent."""
    zero = message_type(RPCS[name].output_type)()
    printed = json_format.MessageToDict(zero, always_print_fields_with_no_presence=True)
    validator(operations()[name][2]["responses"]["200"]["content"]["application/json"]["schema"]).validate(printed)


def test_rules_of_a_text_are_carried_over() -> None:
    request = component("patients.SearchPatientsRequest")["properties"]
    assert request["name"]["maxLength"] == 200
    assert re.search(request["name"]["pattern"], "Jane Roe")
    assert not re.search(request["name"]["pattern"], "Jane\x85Roe")
    assert component("patients.CreatePatientRequest")["properties"]["requestId"]["format"] == "uuid"
    assert "requestId" in component("patients.CreatePatientRequest")["required"]


def test_an_id_names_its_kind() -> None:
    pattern = parameters("PatientService.GetPatient")["patientId"]["schema"]["pattern"]
    assert pattern == id_pattern("patient")
    assert re.fullmatch(pattern, to_wire("patient", new_id()))
    assert not re.fullmatch(pattern, to_wire("course", new_id()))


def test_rules_of_numbers_lists_and_enums_are_carried_over() -> None:
    page_size = parameters("WebhookService.ListWebhookEndpoints")["pageSize"]
    assert (page_size["schema"]["minimum"], page_size["schema"]["maximum"]) == (0, 200)
    types = component("notifications.CreateWebhookEndpointRequest")["properties"]["eventTypes"]
    assert (types["minItems"], types["maxItems"], types["uniqueItems"]) == (1, 200, True)
    assert types["items"]["maxLength"] == 100
    role = component("patients.RelatedPerson.Input")["properties"]["role"]
    assert "RELATED_PERSON_ROLE_UNSPECIFIED" not in role["enum"]
    assert "Takes the patient home" in role["description"]


def test_rules_of_a_mask_and_of_several_fields_are_carried_over() -> None:
    update = component("patients.UpdatePatientRequest")
    mask = update["properties"]["updateMask"]["pattern"]
    assert re.search(mask, "givenNames,birthDate")
    assert not re.search(mask, "given_names")
    assert not re.search(mask, "mrn")
    assert "Rule: patient.id and patient.etag are needed." in update["description"]
    redeliver = component("notifications.RedeliverWebhookRequest")
    assert redeliver["oneOf"] == [{"required": ["webhookDeliveryId"]}, {"required": ["failed"]}]


def test_what_stands_in_the_path_does_not_stand_in_the_body() -> None:
    verb, path, _ = operations()["PatientService.UpdatePatient"]
    assert (verb, path) == ("patch", "/v1/patients/{patientId}")
    assert component("patients.UpdatePatientRequest")["properties"]["patient"]["$ref"].endswith("Request.patient")
    properties = component("patients.UpdatePatientRequest.patient")["properties"]
    assert "id" not in properties
    assert "etag" in properties


def test_a_refusal_is_told_by_status_with_every_reason_that_the_rpc_names() -> None:
    refusals = operations()["PatientService.CreatePatient"][2]["responses"]
    assert {"REQUEST_ID_REUSED", "BAD_REQUEST", "PATIENT_REFUSED", "MRN_TAKEN", "NOT_YET_KNOWN"} <= set(
        refusals["400"]["x-atoll-reasons"]
    )
    assert refusals["401"]["x-atoll-reasons"] == ["TOKEN_REFUSED"]
    assert refusals["403"]["x-atoll-reasons"] == ["ACCESS_DENIED"]
    assert "`MRN_TAKEN` (FAILED_PRECONDITION): " in refusals["400"]["description"]
    assert "500" not in refusals


@pytest.mark.parametrize("package", PACKAGES)
def test_a_reason_is_named_under_the_code_that_it_is_answered_with(package: str) -> None:
    errors = errors_of("chassis" if package == "common" else f"services.{package}")
    answered = {error.reason: CODES[error.kind].name for error in errors if "reason" in vars(error)}
    said = {each.name: each for each in reasons() if each.package == f"atoll.{package}.v1"}
    assert {name: each.code for name, each in said.items()} == answered
    assert [name for name, each in said.items() if not each.comment] == []
