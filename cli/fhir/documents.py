"""Documents of FHIR R4: a resource, or a bundle of them. Pure: bytes in, resources out."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.fhir.elements import dict_of, dicts_of, text_of

ONE_PATIENTS = ("transaction", "batch", "collection", "document", "message")
"""Bundles that hold one patient with a history. The others are lists, of as many as there are."""
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")


class NotFhir(Exception):
    """A document of which nothing can be taken."""

    def __init__(self, rule: str, description: str) -> None:
        super().__init__(description)
        self.rule, self.description = rule, description


@dataclass(frozen=True, slots=True)
class Found:
    """What a document holds."""

    patients: tuple[tuple[Mapping[str, Any], str], ...]  # Resources, each with its absolute URI or "".
    others: Counter[str]  # Resources of other types.


def read_document(content: bytes) -> Found:
    """A resource, or a bundle of them; raises NotFhir."""
    document = _parse(content)
    if not isinstance(document, dict) or not _TYPE.fullmatch(text_of(document.get("resourceType"))):
        raise NotFhir("NOT_FHIR", "is no FHIR resource: it has no resourceType")
    if document["resourceType"] != "Bundle":
        return _sorted([(document, "")])
    found = _sorted([(dict_of(entry.get("resource")), _uri(entry)) for entry in dicts_of(document.get("entry"))])
    if not found.patients:
        raise NotFhir("NO_PATIENT", "is a bundle without a patient")
    if len(found.patients) > 1 and document.get("type") in ONE_PATIENTS:
        raise NotFhir("TWO_PATIENTS", "is one patient's bundle, but holds more than one")
    return found


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotFhir("NOT_UTF8", "is not UTF-8") from None
    except (ValueError, RecursionError):
        raise NotFhir("NOT_JSON", "is not JSON") from None


def _sorted(resources: list[tuple[dict[str, Any], str]]) -> Found:
    types = [text_of(resource.get("resourceType")) for resource, _ in resources]
    patients = tuple(each for each, type_ in zip(resources, types, strict=True) if type_ == "Patient")
    return Found(patients, Counter(type_ if _TYPE.fullmatch(type_) else "?" for type_ in types if type_ != "Patient"))


def _uri(entry: Mapping[str, Any]) -> str:
    uri = text_of(entry.get("fullUrl"))
    return uri if uri.startswith(("urn:uuid:", "urn:oid:", "http://", "https://")) else ""
