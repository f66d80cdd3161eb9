"""JSON bodies with fields that the call does not have are refused at the edge, and no others."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.api.annotations_pb2 import http
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from deploy.envoy.fields import METHODS
from tests.contract.found import rpcs
from tests.support.edge import Door, StandIn, opened

SEARCH, CREATE = "/v1/patients:search", "/v1/patients"
SERVICES = ("patients", "notifications", "scheduling", "billing")
DEEP = 5


@pytest_asyncio.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    with opened(tmp_path_factory.mktemp("edge"), names=SERVICES) as door:
        yield door


@pytest_asyncio.fixture
async def stand_in(door: Door) -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await stand_in.serve(door.service_port)
    yield stand_in
    await server.stop(None)


def faults(answer: httpx.Response) -> list[str]:
    """The fields that it names, of a refusal that is what a service's own would be."""
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    refusal = answer.json()
    assert (refusal["code"], refusal["details"][0]["reason"]) == (3, "BAD_REQUEST")
    violations = refusal["details"][1]["fieldViolations"]
    assert {(each["reason"], each["description"]) for each in violations} == {
        ("field.unknown", "the call has no such field")
    }
    return [each["field"] for each in violations]


async def test_a_field_that_the_call_does_not_have_is_refused_by_its_name(door: Door, stand_in: StandIn) -> None:
    answer = await door.http("POST", SEARCH, json={"name": "Roe", "nope": 1, "born": {"year": 1970}})
    assert faults(answer) == ["nope", "born"]
    assert stand_in.asked == []


async def test_a_field_deep_in_a_message_is_named_by_its_path(door: Door, stand_in: StandIn) -> None:
    patient = {"birthDate": {"year": 1970, "yaer": 1}, "contactPoints": [{"value": "a"}, {"vlaue": [{"x": {}}]}]}
    answer = await door.http("POST", CREATE, json={"patient": patient})
    assert faults(answer) == ["patient.birthDate.yaer", "patient.contactPoints[1].vlaue"]


async def test_both_names_of_a_field_are_known_however_they_are_written(door: Door, stand_in: StandIn) -> None:
    for text in ('{"pageSize": 3}', '{"page_size": 3}', r'{"page\u0053ize": 3}', '\n{ "pageSize" :\t3 }\r\n'):
        answer = await door.http("POST", SEARCH, content=text)
        assert answer.status_code == 200, text
    assert [request.page_size for request in stand_in.asked] == [3, 3, 3, 3]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"name": "Roe"',
        '{"name": "Roe}',
        "{name: 1}",
        "{'name': 1}",
        '{"name" 1}',
        '{"name": }',
        '{"name": nul}',
        '{"name": "a\nb"}',
        r'{"name": "\x"}',
        '{"name": "Roe",}',
        '{"name": "Roe"} {"nope": 1}',
        '{"nope": ' + "[" * 100 + "]" * 100 + "}",
    ],
)
async def test_what_is_not_json_is_refused(door: Door, stand_in: StandIn, text: str) -> None:
    answer = await door.http("POST", SEARCH, content=text)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert [detail["reason"] for detail in answer.json()["details"]] == ["BAD_REQUEST"]
    assert stand_in.asked == []


@pytest.mark.parametrize("text", ["", "{}", '{"name": null, "birthDate": {}}'])
async def test_a_body_that_says_little_passes(door: Door, stand_in: StandIn, text: str) -> None:
    assert (await door.http("POST", SEARCH, content=text)).status_code == 200
    assert len(stand_in.asked) == 1


async def test_an_answer_is_json_and_short_whatever_stood_in_the_body(door: Door, stand_in: StandIn) -> None:
    named = '{"' + '": 1, "'.join([r"\"},{\u0000", "ÄÖ ", "x" * 5_000, *(f"n{i}" for i in range(50))]) + '": 1}'
    told = faults(await door.http("POST", SEARCH, content=named.encode()))
    assert told[:2] == ["?????", "?????"]
    assert (len(told), len(told[2])) == (20, 80)


async def test_a_body_as_large_as_may_be_is_looked_through(door: Door, stand_in: StandIn) -> None:
    rows = [{"givenNames": ["x" * 100], "contactPoints": [{"value": "y" * 50}]} for _ in range(4_800)]
    body = json.dumps({"rows": [*rows, {"nope": 1}]})
    assert 900_000 < len(body) < 1 << 20
    assert faults(await door.http("POST", "/v1/patients:import", content=body)) == ["rows[4800].nope"]


async def test_no_field_of_any_call_is_taken_for_unknown(door: Door, stand_in: StandIn) -> None:
    """Each message whole, as deep as messages go. That no service here answers it comes after the edge's check."""
    asked = 0
    async with httpx.AsyncClient(base_url=door.url, headers=door.headers(), timeout=30) as client:
        for method in rpcs():
            for verb, path in bodies(method):
                answer = await client.request(verb, path, json=whole(method.input_type))
                assert "field.unknown" not in answer.text, (method.full_name, answer.text)
                answer = await client.request(verb, path, json=whole(method.input_type) | {"nope": 1})
                assert faults(answer) == ["nope"], method.full_name
                asked += 1
    assert asked > 100


def bodies(method: MethodDescriptor) -> Iterator[tuple[str, str]]:
    rule = method.GetOptions().Extensions[http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb in METHODS:
            yield verb.upper(), getattr(binding, verb).replace("{", "").replace("}", "")


def whole(message: Descriptor, depth: int = 0) -> dict[str, Any]:
    """With each field. Of which value does not matter to whether its name is known."""
    deep = message.file.package.startswith("google.protobuf") or depth == DEEP
    return {} if deep else {field.json_name: _value(field, depth) for field in message.fields}


def _value(field: FieldDescriptor, depth: int) -> Any:
    one: Any = whole(field.message_type, depth + 1) if field.message_type else 0
    return [one, one] if field.is_repeated else one
