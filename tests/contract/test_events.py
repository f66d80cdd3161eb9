"""What services tell each other stays readable, stands where it is looked for, and names no patient."""

import json
import re
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from atoll.common.v1.event_meta_pb2 import EventMeta, subject
from tests.contract.found import SERVICES, events, files, message_type, service
from tests.contract.golden import FOLDER, said_by

EVENTS = {each.full_name: each for each in events()}
REFERENCE = {
    "atoll.scheduling.v1.ChainRegistered",
    "atoll.scheduling.v1.LegalEntityRegistered",
    "atoll.scheduling.v1.SiteRegistered",
    "atoll.scheduling.v1.ResourceRegistered",
    "atoll.scheduling.v1.LegalEntityUpdated",
    "atoll.scheduling.v1.SiteUpdated",
    "atoll.scheduling.v1.ResourceUpdated",
    "atoll.scheduling.v1.ProtocolVersionPublished",
    "atoll.scheduling.v1.ProtocolVersionAdopted",
}
"""Events about clinics, staff and protocols: they may name drug, route and address, never a patient."""
IDENTIFYING = re.compile(
    r"name|birth|email|phone|address|contact|text|comment|description|diagnos(?!is_id$)|icd|drug|medication|ssn|mrn|gender|sex"
)
SUBJECT = re.compile(r"[a-z]+\.v1\.[a-z][a-z_]*\.[a-z][a-z_]*")


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_released_once_is_read_for_ever(name: str) -> None:
    path = FOLDER / f"{name}.binpb"
    assert path.exists(), "run python -m tests.contract.golden"
    event = message_type(EVENTS[name]).FromString(path.read_bytes())
    assert said_by(event) == json.loads(path.with_suffix(".json").read_text())


def test_no_event_that_was_released_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.binpb")} == EVENTS.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_its_meta_first_and_a_subject_of_its_own_service(name: str) -> None:
    event = EVENTS[name]
    package, fact = event.file.package, event.GetOptions().Extensions[subject]
    assert event.fields_by_number[1].message_type is EventMeta.DESCRIPTOR
    assert SUBJECT.fullmatch(fact)
    assert fact.startswith(f"{package.removeprefix('atoll.')}.")
    assert event.file.name.endswith("/events.proto")


def test_no_two_events_share_a_subject() -> None:
    facts = [each.GetOptions().Extensions[subject] for each in EVENTS.values()]
    assert len(set(facts)) == len(facts)


def test_every_message_of_an_events_proto_is_an_event_or_a_part_of_one() -> None:
    for file in files():
        if file.name.endswith("/events.proto"):
            parts = {field.message_type for event in EVENTS.values() for field in fields_of(event)}
            for message in file.message_types_by_name.values():
                assert message in parts or message.full_name in EVENTS, message.full_name


@pytest.mark.parametrize("name", sorted(EVENTS.keys() - REFERENCE))
def test_an_event_holds_nothing_that_tells_who_a_patient_is(name: str) -> None:
    named = [field.full_name for field in fields_of(EVENTS[name]) if IDENTIFYING.search(field.name)]
    assert named == []


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_an_event_that_may_name_things_names_no_patient(name: str) -> None:
    named = [field.full_name for field in fields_of(EVENTS[name]) if "patient" in field.name]
    assert named == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reads_only_events_that_their_producer_publishes_in_its_own_stream(name: str) -> None:
    for stream, reads in service(name).reads.items():
        for event_type in reads:
            descriptor = event_type.DESCRIPTOR
            assert descriptor.full_name in EVENTS
            assert descriptor.file.name == f"atoll/{stream.lower()}/v1/events.proto"
            assert stream.lower() in SERVICES


def fields_of(message: Descriptor) -> Iterator[FieldDescriptor]:
    """Its own and those of its parts."""
    for field in message.fields:
        yield field
        if field.message_type and field.message_type.full_name != message.full_name:
            yield from fields_of(field.message_type)
