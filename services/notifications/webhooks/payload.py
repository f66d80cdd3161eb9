"""What a webhook says of an event: ids, instants, days, counts, versions and enumerated values; never text.

Derived from the event's own fields, so that a new event needs no line here: what a field may say follows from its type
and its name, and a text passes only as an id, by name and by form. Codes that a chain makes up (of routes, of visit
types) are left out: one may name a drug. So are amounts of money, flags and whatever else is no id; a part of an event
passes if it has an id of its own. Whoever is told reads the rest.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from types import ModuleType
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from atoll.billing.v1 import events_pb2 as billing
from atoll.common.v1.event_meta_pb2 import EventMeta, subject
from atoll.notifications.v1 import events_pb2 as notifications
from atoll.patients.v1 import events_pb2 as patients
from atoll.scheduling.v1 import events_pb2 as scheduling
from chassis.ids import ID, from_wire
from chassis.times import to_instant
from services.notifications.domain.webhooks import TEST_TYPE, Fact

STREAMS = {"PATIENTS": patients, "SCHEDULING": scheduling, "BILLING": billing, "NOTIFICATIONS": notifications}
INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})
COUNTED = re.compile(r"(.*_)?(version|version_number|count)")
INSTANTS = {Timestamp.DESCRIPTOR: ("_time",), Date.DESCRIPTOR: ("_date",)}


def _events_of(file: ModuleType) -> list[type[Message]]:
    described = file.DESCRIPTOR.message_types_by_name.values()
    return [GetMessageClass(each) for each in described if each.GetOptions().Extensions[subject]]


EVENTS = {stream: _events_of(file) for stream, file in STREAMS.items()}
"""Of each stream, all that its service publishes."""
TYPES = frozenset(each.DESCRIPTOR.GetOptions().Extensions[subject] for events in EVENTS.values() for each in events)
"""Names of events: "scheduling.v1.visit.confirmed"."""


def fact_of_event(event: Any) -> Fact:
    meta: EventMeta = event.meta
    named = {"event_id": meta.event_id, "chain_id": meta.chain_id, "site_id": meta.site_id}
    data = {name: id for name, id in named.items() if ID.fullmatch(id)} | said_by(event)
    if meta.aggregate_version:
        data["aggregate_version"] = meta.aggregate_version
    fact = event.DESCRIPTOR.GetOptions().Extensions[subject]
    site_id = from_wire("site", meta.site_id) if meta.site_id else None
    return Fact(UUID(meta.event_id), fact, site_id, _payload(fact, _instant(meta.occur_time), data))


def fact_of_test(event_id: UUID, site_id: UUID | None, at: datetime, endpoint_id: str) -> Fact:
    data = {"event_id": str(event_id), "webhook_endpoint_id": endpoint_id}
    return Fact(event_id, TEST_TYPE, site_id, _payload(TEST_TYPE, _rfc_3339(at), data))


def _payload(fact: str, at: str, data: dict[str, Any]) -> str:
    return json.dumps({"type": fact, "timestamp": at, "data": data}, separators=(",", ":"))


def said_by(message: Message) -> dict[str, Any]:
    """Fields without a value are left out, as in the event."""
    return dict(_said(message))


def _said(message: Message) -> Iterator[tuple[str, Any]]:
    passing = _passing(message.DESCRIPTOR)
    for field, found in message.ListFields():
        if field.name in passing:
            values = [value for each in (found if field.is_repeated else [found]) if (value := _value(field, each))]
            if values:
                yield field.name, values if field.is_repeated else values[0]


@lru_cache(maxsize=1_000)
def _passing(message: Descriptor) -> frozenset[str]:
    """Names of the fields that say something that may be told."""
    return frozenset(field.name for field in message.fields if _passes(field))


def _passes(field: FieldDescriptor) -> bool:
    if field.message_type in INSTANTS:
        return field.name.endswith(INSTANTS[field.message_type])
    if field.message_type:
        return field.message_type is not EventMeta.DESCRIPTOR and any(map(_is_id, field.message_type.fields))
    return bool(_is_id(field) or field.enum_type or _is_count(field))


def _is_id(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING and field.name.endswith(("_id", "_ids"))


def _is_count(field: FieldDescriptor) -> bool:
    return field.cpp_type in INTEGERS and not field.is_repeated and bool(COUNTED.fullmatch(field.name))


def _value(field: FieldDescriptor, value: Any) -> Any:
    """None: it is not what its name says, or a newer producer's."""
    if field.enum_type:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else None
    if isinstance(value, Timestamp):
        return _instant(value)
    if isinstance(value, Date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    if isinstance(value, Message):
        return said_by(value)
    if isinstance(value, str):
        return value if ID.fullmatch(value) else None
    return value


def _instant(at: Timestamp) -> str:
    return _rfc_3339(to_instant(at))


def _rfc_3339(instant: datetime) -> str:
    """In UTC."""
    return instant.isoformat().replace("+00:00", "Z")
