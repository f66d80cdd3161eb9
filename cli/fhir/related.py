"""FHIR's Patient.contact: people who stand by a patient."""

from collections.abc import Mapping
from typing import Any

from atoll.patients.v1.patient_pb2 import RELATED_PERSON_ROLE_EMERGENCY_CONTACT, RelatedPersonRole
from cli.fhir import codes
from cli.fhir.contacts import dialled_from_abroad, envelope_of, region_of
from cli.fhir.elements import codings_of, dict_of, dicts_of, text_of, texts_of
from cli.readings import Reading

RELATIONSHIP_MAX = 60
"""As the API has it: a longer word for it is no reason to refuse a patient."""


def read_related_persons(resource: Mapping[str, Any], reading: Reading) -> None:
    for i, contact in enumerate(dicts_of(resource.get("contact"))):
        path, name = f"contact[{i}]", name_of(dict_of(contact.get("name")))
        role = _role(contact)
        if role is None or not name:
            reading.note(path, "RELATED_PERSON_NOT_TAKEN", "it has no name, or is nobody to be called")
            continue
        address = dict_of(contact.get("address"))
        region = region_of({"address": [address]}) or region_of(resource)
        persons = reading.patient.related_persons
        reading.paths[f"related_persons[{len(persons)}]"] = path
        persons.add(
            role=role,
            name=name,
            relationship=_relationship(contact, path, reading),
            phone=dialled_from_abroad(_telecom(contact, "phone") or _telecom(contact, "sms"), region),
            email=_telecom(contact, "email"),
            address=envelope_of(address),
        )


def name_of(name: Mapping[str, Any]) -> str:
    return text_of(name.get("text")) or " ".join(
        filter(None, (*texts_of(name.get("prefix")), *texts_of(name.get("given")), text_of(name.get("family"))))
    )


def _role(contact: Mapping[str, Any]) -> RelatedPersonRole.ValueType | None:
    told = [coding for concept in dicts_of(contact.get("relationship")) for coding in codings_of(concept)]
    own = [codes.ROLES[code] for system, code in told if system == codes.ROLE_SYSTEM and code in codes.ROLES]
    if own:
        return own[0]
    is_called = any(system == codes.CONTACT_ROLE_SYSTEM and code in codes.CALLED for system, code in told)
    return RELATED_PERSON_ROLE_EMERGENCY_CONTACT if is_called else None


def _relationship(contact: Mapping[str, Any], path: str, reading: Reading) -> str:
    """A code of HL7's roles, or else the word for it."""
    concepts = dicts_of(contact.get("relationship"))
    coded = [code for each in concepts for system, code in codings_of(each) if system == codes.RELATIONSHIP_SYSTEM]
    words = [word for each in concepts if (word := text_of(each.get("text")))]
    found = next(iter((*coded, *words)), "")
    if len(found) <= RELATIONSHIP_MAX:
        return found
    reading.note(f"{path}.relationship", "RELATIONSHIP_NOT_TAKEN", "it is too long")
    return ""


def _telecom(contact: Mapping[str, Any], system: str) -> str:
    found = (text_of(each.get("value")) for each in dicts_of(contact.get("telecom")) if each.get("system") == system)
    return next(filter(None, found), "")
