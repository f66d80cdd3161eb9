"""Pieces that resources of every type are made of, as FHIR's JSON has them: nothing empty stands in it."""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from chassis.times import to_instant
from cli.fhir import codes

Resource = dict[str, Any]


def full(**elements: Any) -> Resource:
    """Without what is empty. False and 0 are something."""
    return {name: value for name, value in elements.items() if value not in (None, "", [], {})}


def fhir_id(id: str) -> str:
    """FHIR's ids have no underscore."""
    return id.replace("_", "-")


def reference(type_: str, id: str) -> Resource:
    return {"reference": f"{type_}/{fhir_id(id)}"} if id else {}


def canonical(system: str, id: str) -> str:
    """The URI of what is not exported with it. Empty, if there is none."""
    return f"{system}:{fhir_id(id)}" if id else ""


def actor(id: str) -> Resource:
    """A reference by identifier to who called, of which nothing is exported: staff, or the patient, where they may."""
    return {"identifier": {"system": codes.ACTOR_SYSTEM, "value": id}} if id else {}


def practitioner(id: str) -> Resource:
    """The same, where only staff may."""
    return actor(id) and {"type": "Practitioner", **actor(id)}


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def day(date: Date) -> str:
    return f"{date.year:04}-{date.month:02}-{date.day:02}"


def instant(timestamp: Timestamp) -> str:
    return to_instant(timestamp).isoformat(timespec="milliseconds")


def extension(url: str, **value: Any) -> list[Resource]:
    """`value` is one `valueX`. None, if that is empty."""
    [given] = value.values()
    return [] if given in (None, "", [], {}) else [{"url": url, **value}]


def origin(entry: Any) -> list[Resource]:
    """Which site wrote it, and which course and visit it belongs to, if it belongs to any."""
    kinds = (
        (codes.SITE_URL, codes.SITE_SYSTEM, "site_id"),
        (codes.COURSE_URL, codes.COURSE_SYSTEM, "course_id"),
        (codes.VISIT_URL, codes.VISIT_SYSTEM, "visit_id"),
    )
    found = [(url, system, getattr(entry, name, "")) for url, system, name in kinds]
    return [
        part
        for url, system, value in found
        for part in extension(url, valueIdentifier={"system": system, "value": value} if value else None)
    ]


def stamped(url: str, entry: Any, time: str, by: str, *more: Resource) -> list[Resource]:
    """When something was done to it, and by whom: the fields so called. None, if it was not done."""
    if not entry.HasField(time):
        return []
    parts = [
        *extension("time", valueDateTime=instant(getattr(entry, time))),
        *extension("by", valueReference=actor(getattr(entry, by))),
    ]
    return [{"url": url, "extension": [*parts, *more]}]


def word(enum: Any, number: int) -> str:
    """The name of a value of ours, without the name of its enum, as FHIR writes codes."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.DESCRIPTOR.name).upper()
    name: str = enum.Name(number)
    return name.removeprefix(f"{prefix}_").lower().replace("_", "-")


def word_of(words: Mapping[str, int], number: int) -> str:
    """FHIR's word for our code. Empty for one that is not told."""
    return next((word for word, each in words.items() if each == number), "")
