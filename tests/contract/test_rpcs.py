"""What every RPC of the public API has in common."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from atoll.common.v1 import rules_pb2
from atoll.common.v1.access_pb2 import AUDIT_CHANGE, ROLE_PATIENT, SCOPE_SELF, access
from buf.validate import validate_pb2
from tests.contract.found import SERVICES, rpc_services, rpcs, service

RPCS = rpcs()
READING = re.compile(r"(Get|List|Search|Plan|Watch|Preview|Explain|Find|Count|Diff|Export|Verify|Check(?!In))[A-Z]")
IN_PATH = re.compile(r"\{([^}=]+)")
HARMLESS = ("_id", "_ids", "_code", "_token", "display_number")
PAGE_MAX, TOKEN_MAX = 200, 1000
ETAG_NOT_ALWAYS = {
    "CreatePatient": "has none yet",
    "UpdatePatient": "a rule of the request asks for it",
    "IssueInvoice": "of a draft, by a rule of the request",
    "CreateTemplateVersion": "not for the first",
    "SaveProtocolDraft": "not for the first",
    "PublishPriceBook": "as the caller likes",
    "PublishProtocolVersion": "as the caller likes",
}


def rules_of(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def requested() -> Iterator[tuple[FieldDescriptor, Any]]:
    """Every field of every request, and the rules of its values: for a list, those of its items."""
    for method in RPCS:
        for field in method.input_type.fields:
            rules = rules_of(field)
            yield field, rules.repeated.items if field.is_repeated else rules


def is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def test_an_rpc_says_who_may_call_it_how_far_it_reaches_and_what_is_kept() -> None:
    for method in RPCS:
        option = method.GetOptions().Extensions[access]
        assert option.roles, method.full_name
        assert option.scope, method.full_name
        assert option.audit, method.full_name
        assert len(set(option.roles)) == len(option.roles), method.full_name
        assert option.scope != SCOPE_SELF or ROLE_PATIENT in option.roles, method.full_name


def test_an_rpc_is_audited_as_a_change_just_if_it_takes_a_request_id() -> None:
    for method in RPCS:
        changes = method.GetOptions().Extensions[access].audit == AUDIT_CHANGE
        field = method.input_type.fields_by_name.get("request_id")
        assert changes == (field is not None) == (not READING.match(method.name)), method.full_name
        if field is not None:
            assert rules_of(field).string.uuid, method.full_name
            assert rules_of(field).ignore == validate_pb2.IGNORE_UNSPECIFIED, method.full_name


def test_an_rpc_can_be_called_over_http_with_nothing_but_ids_in_its_path() -> None:
    for method in RPCS:
        option = method.GetOptions().Extensions[annotations_pb2.http]
        path = option.get or option.post or option.patch or option.put or option.delete
        assert path.startswith("/v1/"), method.full_name
        for name in IN_PATH.findall(path):
            assert name.endswith(("_id", ".id")), method.full_name


def test_the_words_of_a_path_are_written_as_the_names_of_json() -> None:
    for method in RPCS:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        path = getattr(rule, rule.WhichOneof("pattern")).removeprefix("/v1/")
        for word in filter(None, re.split("[/:]", re.sub(r"\{[^}]*\}", "", path))):
            assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", word), method.full_name


def test_what_names_the_fields_that_change_is_a_patch_and_what_replaces_the_whole_is_put() -> None:
    for method in RPCS:
        verb = method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern")
        masked = "update_mask" in method.input_type.fields_by_name
        assert (verb == "patch") == masked, method.full_name
        assert masked or not method.name.startswith("Update") or verb == "put", method.full_name


def test_what_an_rpc_takes_over_get_identifies_nobody() -> None:
    """Whatever is not in the path of a GET stands in its query, and a query is logged by whoever passes it on."""
    for method in RPCS:
        if method.GetOptions().Extensions[annotations_pb2.http].get:
            for field in method.input_type.fields:
                assert not is_text(field) or field.name.endswith(HARMLESS), field.full_name


def test_an_id_in_a_request_says_of_what_kind_it_is() -> None:
    for field, rules in requested():
        if is_text(field) and field.name.endswith(("_id", "_ids")) and field.name != "request_id":
            assert rules.string.HasExtension(rules_pb2.typeid), field.full_name


def test_every_text_and_every_list_in_a_request_has_a_bound() -> None:
    for field, rules in requested():
        assert not field.is_repeated or rules_of(field).repeated.max_items, field.full_name
        assert not is_text(field) or is_bounded(rules.string), field.full_name


def test_an_etag_that_must_be_there_is_missed_by_its_name() -> None:
    """Without such a rule none at all is STALE_ETAG: whoever reads again and sends that goes on for ever."""
    for method in RPCS:
        if "request_id" not in method.input_type.fields_by_name or method.name in ETAG_NOT_ALWAYS:
            continue
        told = [each.message_type for each in method.input_type.fields if each.message_type and not each.is_repeated]
        for message in (method.input_type, *told):
            for field in message.fields:
                assert not field.name.endswith("etag") or rules_of(field).string.min_len, method.full_name


def test_an_enum_in_a_request_takes_only_what_is_defined() -> None:
    for each in {
        field.full_name: field for method in RPCS for field in fields_below(method.input_type, set())
    }.values():
        if each.enum_type:
            rules = rules_of(each).repeated.items if each.is_repeated else rules_of(each)
            assert rules.enum.defined_only or getattr(rules.enum, "in"), each.full_name


def fields_below(descriptor: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for each in descriptor.fields:
        yield each
        if each.message_type:
            yield from fields_below(each.message_type, seen)


def is_bounded(rules: Any) -> bool:
    listed = getattr(rules, "in")
    return bool(rules.max_len or rules.len or rules.uuid or rules.pattern or listed) or rules.HasExtension(
        rules_pb2.typeid
    )


def test_a_list_is_bounded_and_says_where_it_goes_on() -> None:
    for method in RPCS:
        if size := method.input_type.fields_by_name.get("page_size"):
            token = method.input_type.fields_by_name["page_token"]
            assert (rules_of(size).int32.gte, rules_of(size).int32.lte) == (0, PAGE_MAX), method.full_name
            assert rules_of(token).string.max_len == TOKEN_MAX, method.full_name
            assert "next_page_token" in method.output_type.fields_by_name, method.full_name


def test_an_instant_in_a_message_is_called_a_time() -> None:
    for method in RPCS:
        for field in (*method.input_type.fields, *method.output_type.fields):
            if field.message_type is Timestamp.DESCRIPTOR:
                assert field.name.endswith(("_time", "_times")), field.full_name


@pytest.mark.parametrize("name", SERVICES)
def test_every_rpc_that_a_service_promises_has_a_handler(name: str) -> None:
    unused: Any = None
    served = service(name).servicers(unused)
    promised = {each.full_name for each in rpc_services() if each.file.package == f"atoll.{name}.v1"}
    assert {descriptor.full_name for descriptor in served} == promised
    for descriptor, servicer in served.items():
        for method in descriptor.methods:
            assert callable(getattr(servicer, method.name)), method.full_name
