"""Pieces that resources of every type are made of, as FHIR's JSON has them: nothing empty stands in it."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from chassis.times import to_instant

Resource = dict[str, Any]


def full(**elements: Any) -> Resource:
    """Without what is empty. False and 0 are something."""
    return {name: value for name, value in elements.items() if value not in (None, "", [], {})}


def fhir_id(id: str) -> str:
    """FHIR's ids have no underscore."""
    return id.replace("_", "-")


def reference(type_: str, id: str) -> Resource:
    return {"reference": f"{type_}/{fhir_id(id)}"} if id else {}


def named(type_: str, system: str, value: str) -> Resource:
    """A reference by identifier, to what is not exported with it."""
    return {"type": type_, "identifier": {"system": system, "value": value}} if value else {}


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


def word_of(codes: Mapping[str, int], number: int) -> str:
    """FHIR's word for our code. Empty for one that is not told."""
    return next((word for word, each in codes.items() if each == number), "")
