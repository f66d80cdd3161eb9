"""No document, however wrong, stops an import or puts what it holds into a remark."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.fhir import NotFhir, read_document, read_patient

KEYS = (
    "resourceType", "type", "entry", "resource", "fullUrl", "identifier", "system", "value", "coding", "code", "name",
    "given", "family", "prefix", "suffix", "text", "use", "telecom", "rank", "address", "line", "city", "country",
    "gender", "birthDate", "communication", "language", "preferred", "deceasedBoolean", "deceasedDateTime",
)  # fmt: skip
WORDS = ("Patient", "Bundle", "searchset", "phone", "email", "official", "US", "1980-05-17", "urn:a", "SS", "")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=40,
)
SECRET = "Zyxwvut-19800517"


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
def test_any_resource_is_read_into_a_message_or_refused(resource: dict[str, Any]) -> None:
    reading = read_patient(resource)
    assert type(reading.patient).FromString(reading.patient.SerializeToString()) == reading.patient


@settings(deadline=None)
@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_document_is_read_or_refused(content: bytes) -> None:
    try:
        found = read_document(content)
    except NotFhir:
        return
    for resource, uri in found.patients:
        read_patient(resource, uri)


def _filled(value: Any) -> Any:
    """With the secret in each text."""
    if isinstance(value, dict):
        return {key: _filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return SECRET if isinstance(value, str) else value


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
def test_no_remark_repeats_what_stands_in_a_resource(resource: dict[str, Any]) -> None:
    reading = read_patient(_filled(resource))
    assert SECRET not in str((reading.faults, reading.notes, reading.paths))
