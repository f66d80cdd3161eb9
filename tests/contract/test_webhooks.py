"""What webhooks say of every event: all of them are told, and none says more than ids, instants, counts and codes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from atoll.common.v1.event_meta_pb2 import EventMeta, subject
from atoll.scheduling.v1 import events_pb2 as scheduling
from atoll.scheduling.v1.protocol_pb2 import SEGMENT_KIND_PREPARATION
from chassis.ids import new_id, to_wire
from services.notifications.webhooks.payload import EVENTS, TYPES, fact_of_event
from tests.contract.found import events, message_type, service
from tests.contract.golden import filled

CANARY = "kanarie"
FOUND = {each.full_name: each for each in events()}
OF_A_FACT = {"type", "timestamp", "data"}
DEPTH_MAX = 8


def test_every_event_of_every_service_may_be_asked_for_and_is_told() -> None:
    assert {each.GetOptions().Extensions[subject] for each in FOUND.values()} == TYPES
    read = {
        event_type.DESCRIPTOR.full_name for reads in service("notifications").reads.values() for event_type in reads
    }
    assert read == FOUND.keys()
    assert {each.DESCRIPTOR.full_name for events in EVENTS.values() for each in events} == FOUND.keys()


def sung(message: Any, *, ids: bool, depth: int = 0) -> Any:
    """A canary in every text of it; in those that are called ids an id, if asked for."""
    for field in message.DESCRIPTOR.fields:
        values = [_value(message, field, ids=ids, depth=depth) for _ in range(2 if field.is_repeated else 1)]
        if field.is_repeated:
            getattr(message, field.name).extend(value for value in values if value is not None)
        elif field.message_type and values[0] is not None:
            getattr(message, field.name).CopyFrom(values[0])
        elif values[0] is not None:
            setattr(message, field.name, values[0])
    return message


def _value(message: Any, field: FieldDescriptor, *, ids: bool, depth: int) -> Any:
    if field.message_type is Timestamp.DESCRIPTOR:
        return Timestamp(seconds=1_800_000_000)
    if field.message_type is Date.DESCRIPTOR:
        return Date(year=2027, month=3, day=1)
    if field.message_type:
        return None if depth > DEPTH_MAX else sung(message_type(field.message_type)(), ids=ids, depth=depth + 1)
    if field.enum_type:
        return field.enum_type.values[-1].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_STRING:
        called_id = field.name.endswith(("_id", "_ids"))
        return to_wire("thing", new_id()) if ids and called_id else f"{CANARY} {field.name}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return CANARY.encode()
    return True if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else 7_654_321


def with_meta(event: Any, *, site: bool) -> Any:
    event.meta.CopyFrom(
        EventMeta(
            event_id="01890a5d-ac96-774b-bcce-b302099a8057",
            occur_time=Timestamp(seconds=1_800_000_000),
            chain_id=to_wire("chain", new_id()),
            site_id=to_wire("site", new_id()) if site else "",
            actor=f"{CANARY}@example.org",
            cause=f"{CANARY} cause",
            traceparent=f"{CANARY} trace",
            aggregate_version=4,
        )
    )
    return event


def leaves(said: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(said, dict):
        for name, value in said.items():
            yield from leaves(value, f"{path}.{name}")
    elif isinstance(said, list):
        for value in said:
            yield from leaves(value, path)
    else:
        yield path, said


@pytest.mark.parametrize("ids", [True, False], ids=["ids in their fields", "text in the fields of ids"])
@pytest.mark.parametrize("name", FOUND)
def test_no_text_of_an_event_gets_through(name: str, ids: bool) -> None:
    fact = fact_of_event(with_meta(sung(message_type(FOUND[name])(), ids=ids), site=ids))
    assert CANARY not in fact.payload
    said = json.loads(fact.payload)
    assert said.keys() == OF_A_FACT
    assert (said["type"], said["timestamp"]) == (fact.type, "2027-01-15T08:00:00Z")


@pytest.mark.parametrize("name", FOUND)
def test_what_is_said_is_an_id_an_instant_a_day_a_count_or_a_value_of_an_enum(name: str) -> None:
    fact = fact_of_event(with_meta(sung(message_type(FOUND[name])(), ids=True), site=True))
    for path, value in leaves(json.loads(fact.payload)["data"]):
        last = path.rpartition(".")[2]
        if isinstance(value, int):
            assert last.endswith(("version", "version_number", "count")), path
        elif last.endswith(("_time", "_date")):
            assert value in ("2027-01-15T08:00:00Z", "2027-03-01"), path
        elif last.endswith(("_id", "_ids")):
            assert value.startswith(("thing_", "chain_", "site_", "0189")), path
        else:
            assert value.isupper(), path
            assert " " not in value, path


def test_amounts_flags_grades_and_the_chains_own_codes_are_left_out() -> None:
    booked = scheduling.CourseBooked(
        course_id=to_wire("course", new_id()),
        route_code="iv",
        visits=[
            scheduling.BookedVisit(visit_id=to_wire("visit", new_id()), visit_type_code="ketamine", telehealth=True)
        ],
    )
    data = json.loads(fact_of_event(with_meta(booked, site=False)).payload)["data"]
    assert data.keys() == {"event_id", "chain_id", "course_id", "visits", "aggregate_version"}
    assert data["visits"] == [{"visit_id": booked.visits[0].visit_id}]
    minutes = scheduling.SegmentMinutes(kind=SEGMENT_KIND_PREPARATION, minutes=5)
    completed = scheduling.VisitCompleted(visit_id=to_wire("visit", new_id()), segments=[minutes])
    assert "segments" not in json.loads(fact_of_event(with_meta(completed, site=False)).payload)["data"]
    for name in ("atoll.billing.v1.InvoiceIssued", "atoll.patients.v1.AdverseEventReported"):
        event = with_meta(filled(message_type(FOUND[name])()), site=False)
        said = json.loads(fact_of_event(event).payload)["data"]
        assert not said.keys() & {"total", "balance", "number", "grade"}


def test_an_id_in_a_field_that_is_not_called_one_is_no_id() -> None:
    booked = scheduling.CourseBooked(course_id=to_wire("course", new_id()), route_code=to_wire("route", new_id()))
    assert "route" not in fact_of_event(with_meta(booked, site=False)).payload


def test_a_value_of_an_enum_is_told_by_its_name_and_one_that_is_not_known_not_at_all() -> None:
    cancelled = scheduling.VisitCancelled(reason=scheduling.CANCELLATION_REASON_CLINIC)
    assert '"reason":"CANCELLATION_REASON_CLINIC"' in fact_of_event(with_meta(cancelled, site=False)).payload
    newer = scheduling.VisitCancelled.FromString(b"\x30\x63")
    assert newer.reason == 99
    assert "reason" not in fact_of_event(with_meta(newer, site=False)).payload
