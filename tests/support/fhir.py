"""FHIR R4 as a library of others has it.

fhir.resources has R4B, which differs from R4 in no element of the types that an export writes.
"""

import re
from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B.adverseevent import AdverseEvent
from fhir.resources.R4B.basic import Basic
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.consent import Consent
from fhir.resources.R4B.flag import Flag
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient
from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse

TYPES: dict[str, Any] = {
    each.__name__: each
    for each in (Patient, Basic, QuestionnaireResponse, Consent, Observation, AdverseEvent, Condition, Flag)
}
ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


def check_resource(resource: dict[str, Any]) -> None:
    """Raises where it is none; also where the library would read it otherwise than it is written."""
    read = TYPES[resource["resourceType"]].model_validate(resource)
    assert set(read.model_dump()) == set(resource)
    assert ID.fullmatch(resource["id"]), resource["id"]
    for value in _values(resource):
        assert value not in ("", [], {}, None)


def _values(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _values(each)
