"""FHIR R4 as rows of an import. Pure: text in, `Patient` messages and remarks out.

No remark repeats what stands in a document.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import phonenumbers
from google.type.date_pb2 import Date

from atoll.patients.v1.patient_pb2 import (
    ADMINISTRATIVE_GENDER_FEMALE,
    ADMINISTRATIVE_GENDER_MALE,
    ADMINISTRATIVE_GENDER_OTHER,
    ADMINISTRATIVE_GENDER_UNKNOWN,
    ADMINISTRATIVE_GENDER_UNSPECIFIED,
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_HOME,
    CONTACT_USE_MOBILE,
    CONTACT_USE_OLD,
    CONTACT_USE_TEMPORARY,
    CONTACT_USE_UNSPECIFIED,
    CONTACT_USE_WORK,
    ContactPoint,
    ContactUse,
    Identifier,
    Patient,
)

ONE_PATIENTS = ("transaction", "batch", "collection", "document", "message")
"""Bundles that hold one patient with a history. The others are lists, of as many as there are."""
NEVER_KEPT = {"SS": "a social security number", "DL": "a driver's licence number", "PPN": "a passport number"}
"""Kinds of identifiers, by HL7's table 0203, that are not even sent."""
URI_SYSTEM = "urn:ietf:rfc:3986"
GENDERS = {
    "male": ADMINISTRATIVE_GENDER_MALE,
    "female": ADMINISTRATIVE_GENDER_FEMALE,
    "other": ADMINISTRATIVE_GENDER_OTHER,
    "unknown": ADMINISTRATIVE_GENDER_UNKNOWN,
}
USES = {
    "home": CONTACT_USE_HOME,
    "work": CONTACT_USE_WORK,
    "mobile": CONTACT_USE_MOBILE,
    "temp": CONTACT_USE_TEMPORARY,
    "old": CONTACT_USE_OLD,
}
SYSTEMS = {"phone": CONTACT_SYSTEM_PHONE, "sms": CONTACT_SYSTEM_PHONE, "email": CONTACT_SYSTEM_EMAIL}
NAME_USES = ("official", "usual", "", "temp", "nickname", "anonymous", "maiden", "old")  # The first there is, is taken.
REGIONS = {
    "AUS": "AU", "AUT": "AT", "BEL": "BE", "BRA": "BR", "CAN": "CA", "CHE": "CH", "CHN": "CN", "DEU": "DE", "DNK": "DK",
    "ESP": "ES", "FIN": "FI", "FRA": "FR", "GBR": "GB", "IND": "IN", "IRL": "IE", "ITA": "IT", "JPN": "JP", "KOR": "KR",
    "MEX": "MX", "NLD": "NL", "NOR": "NO", "NZL": "NZ", "POL": "PL", "PRI": "PR", "PRT": "PT", "SWE": "SE", "USA": "US",
}  # fmt: skip
"""Countries by three letters, as FHIR allows, to two, as the numbering plans are named."""
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


class NotFhir(Exception):
    """A document of which nothing can be taken."""

    def __init__(self, rule: str, description: str) -> None:
        super().__init__(description)
        self.rule, self.description = rule, description


@dataclass(frozen=True, slots=True)
class Remark:
    field: str  # Path in the FHIR resource: "identifier[2]".
    rule: str
    description: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a document holds."""

    patients: tuple[tuple[Mapping[str, Any], str], ...]  # Resources, each with its absolute URI or "".
    others: Counter[str]  # Resources of other types.


@dataclass(slots=True)
class Reading:
    """A Patient resource as a row."""

    patient: Patient = field(default_factory=Patient)
    faults: list[Remark] = field(default_factory=list)
    """Why it cannot be sent."""
    notes: list[Remark] = field(default_factory=list)
    """What is not taken of it."""
    paths: dict[str, str] = field(default_factory=dict)
    """Where a part of the row stood: "contact_points[0]" → "telecom[0]"."""

    def fault(self, path: str, rule: str, description: str) -> None:
        self.faults.append(Remark(path, rule, description))

    def note(self, path: str, rule: str, description: str) -> None:
        self.notes.append(Remark(path, rule, description))

    def path_of(self, part: str) -> str:
        """Of a part that the API names, the path in FHIR."""
        for ours, theirs in self.paths.items():
            if part == ours or part.startswith((f"{ours}.", f"{ours}[")):
                return theirs + part[len(ours) :]
        return part


def read_document(content: bytes) -> Found:
    """A resource, or a bundle of them; raises NotFhir."""
    document = _parse(content)
    if not isinstance(document, dict) or not _TYPE.fullmatch(_text(document.get("resourceType"))):
        raise NotFhir("NOT_FHIR", "is no FHIR resource: it has no resourceType")
    if document["resourceType"] != "Bundle":
        return _sorted([(document, "")])
    found = _sorted([(_dict(entry.get("resource")), _uri(entry)) for entry in _dicts(document.get("entry"))])
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
    types = [_text(resource.get("resourceType")) for resource, _ in resources]
    patients = tuple(each for each, type_ in zip(resources, types, strict=True) if type_ == "Patient")
    return Found(patients, Counter(type_ if _TYPE.fullmatch(type_) else "?" for type_ in types if type_ != "Patient"))


def _uri(entry: Mapping[str, Any]) -> str:
    uri = _text(entry.get("fullUrl"))
    return uri if uri.startswith(("urn:uuid:", "urn:oid:", "http://", "https://")) else ""


def read_patient(resource: Mapping[str, Any], uri: str = "") -> Reading:
    """`uri` is what the patient is known by where they have no identifier."""
    reading = Reading()
    _read_name(resource, reading)
    _read_birth_date(resource, reading)
    _read_gender(resource, reading)
    _read_identifiers(resource, uri, reading)
    _read_telecoms(resource, reading)
    _read_addresses(resource, reading)
    _read_language(resource, reading)
    deceased = resource.get("deceasedBoolean") is True or bool(_text(resource.get("deceasedDateTime")))
    reading.patient.deceased = deceased
    return reading


def _read_name(resource: Mapping[str, Any], reading: Reading) -> None:
    names = list(enumerate(_dicts(resource.get("name"))))
    if not names:
        reading.fault("name", "NAME_MISSING", "a name is needed")
        return
    taken, name = min(names, key=lambda each: _name_order(each[1]))
    patient, path = reading.patient, f"name[{taken}]"
    patient.given_names.extend(filter(None, map(_text, _list(name.get("given")))))
    patient.family_name = _text(name.get("family"))
    patient.prefix = " ".join(filter(None, map(_text, _list(name.get("prefix")))))
    if not patient.given_names and not patient.family_name:
        patient.family_name = _text(name.get("text"))
    if not patient.given_names and not patient.family_name:
        reading.fault(path, "NAME_MISSING", "a name is needed")
    reading.paths |= {"given_names": f"{path}.given", "family_name": f"{path}.family", "prefix": f"{path}.prefix"}
    if name.get("suffix"):
        reading.note(f"{path}.suffix", "SUFFIX_NOT_TAKEN", "suffixes are not kept")
    for i, _ in names:
        if i != taken:
            reading.note(f"name[{i}]", "NAME_NOT_TAKEN", "one name is kept")


def _name_order(name: Mapping[str, Any]) -> int:
    use = _text(name.get("use"))
    return NAME_USES.index(use) if use in NAME_USES else len(NAME_USES)


def _read_birth_date(resource: Mapping[str, Any], reading: Reading) -> None:
    text = _text(resource.get("birthDate"))
    reading.paths["birth_date"] = "birthDate"
    if day := _DAY.fullmatch(text):
        year, month, of_month = map(int, day.groups())
        reading.patient.birth_date.CopyFrom(Date(year=year, month=month, day=of_month))
    elif text:
        reading.fault("birthDate", "BIRTH_DATE_NOT_A_DAY", "a whole date is needed")
    else:
        reading.fault("birthDate", "BIRTH_DATE_MISSING", "a birth date is needed")


def _read_gender(resource: Mapping[str, Any], reading: Reading) -> None:
    gender = _text(resource.get("gender"))
    reading.patient.gender = GENDERS.get(gender, ADMINISTRATIVE_GENDER_UNSPECIFIED)
    if gender and gender not in GENDERS:
        reading.note("gender", "GENDER_NOT_TAKEN", "is none of FHIR's codes")


def _read_identifiers(resource: Mapping[str, Any], uri: str, reading: Reading) -> None:
    kept = reading.patient.identifiers
    for i, identifier in enumerate(_dicts(resource.get("identifier"))):
        path, system, value = f"identifier[{i}]", _text(identifier.get("system")), _text(identifier.get("value"))
        if kind := next((NEVER_KEPT[code] for code in _codes(identifier.get("type")) if code in NEVER_KEPT), None):
            reading.note(path, "IDENTIFIER_NEVER_KEPT", f"{kind} is never kept")
        elif not value or not system:
            reading.note(path, "IDENTIFIER_NOT_TAKEN", "it lacks its system or its value")
        elif Identifier(system=system, value=value) in kept:
            reading.note(path, "IDENTIFIER_NOT_TAKEN", "it stands there twice")
        else:
            reading.paths[f"identifiers[{len(kept)}]"] = path
            kept.add(system=system, value=value)
    if not kept and uri:
        kept.add(system=URI_SYSTEM, value=uri)
    if not kept:
        reading.fault("identifier", "IDENTIFIER_MISSING", "none by which a second import would know the patient")


def _read_telecoms(resource: Mapping[str, Any], reading: Reading) -> None:
    region = _region(resource)
    for i, telecom in enumerate(_dicts(resource.get("telecom"))):
        path, value = f"telecom[{i}]", _text(telecom.get("value"))
        system = SYSTEMS.get(_text(telecom.get("system")))
        if system is None or not value:
            reading.note(path, "CONTACT_NOT_TAKEN", "it is no phone number and no email address, or has no value")
            continue
        if system == CONTACT_SYSTEM_PHONE:
            value = _dialled_from_abroad(value, region)
        rank = telecom.get("rank")
        reading.paths[f"contact_points[{len(reading.patient.contact_points)}]"] = path
        reading.patient.contact_points.append(
            ContactPoint(
                system=system,
                value=value,
                use=_use(telecom),
                rank=rank if isinstance(rank, int) and 0 < rank <= 100 else 0,
            )
        )


def _read_addresses(resource: Mapping[str, Any], reading: Reading) -> None:
    for i, address in enumerate(_dicts(resource.get("address"))):
        path, text = f"address[{i}]", _envelope(address)
        if not text:
            reading.note(path, "CONTACT_NOT_TAKEN", "it has no lines")
            continue
        reading.paths[f"contact_points[{len(reading.patient.contact_points)}]"] = path
        reading.patient.contact_points.append(ContactPoint(system=CONTACT_SYSTEM_POSTAL, value=text, use=_use(address)))


def _envelope(address: Mapping[str, Any]) -> str:
    """The address in lines; its `text` only where it has no parts."""
    parts = {name: _text(address.get(name)) for name in ("city", "state", "postalCode", "country", "text")}
    region = " ".join(filter(None, (parts["state"], parts["postalCode"])))
    city = ", ".join(filter(None, (parts["city"], region)))
    lines = [*map(_text, _list(address.get("line"))), city, parts["country"]]
    return "\n".join(filter(None, lines)) or parts["text"]


def _read_language(resource: Mapping[str, Any], reading: Reading) -> None:
    spoken = list(enumerate(_dicts(resource.get("communication"))))
    if not spoken:
        return
    i, first = min(spoken, key=lambda each: each[1].get("preferred") is not True)
    codes = [code for code in _codes(first.get("language")) if _LANGUAGE.fullmatch(code)]
    if codes:
        reading.patient.language = codes[0]
    else:
        reading.note(f"communication[{i}]", "LANGUAGE_NOT_TAKEN", "it has no code of BCP 47")


def _region(resource: Mapping[str, Any]) -> str | None:
    """Of the numbering plan that the patient's phones are in, if an address tells."""
    for address in _dicts(resource.get("address")):
        country = _text(address.get("country")).upper()
        region = REGIONS.get(country, country)
        if region in phonenumbers.SUPPORTED_REGIONS:
            return region
    return None


def _dialled_from_abroad(number: str, region: str | None) -> str:
    """A national number with its country; as it is where that is not known, or where it is no such number."""
    if region is None:
        return number
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_possible_number(parsed):
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _use(element: Mapping[str, Any]) -> ContactUse.ValueType:
    return USES.get(_text(element.get("use")), CONTACT_USE_UNSPECIFIED)


def _codes(concept: Any) -> Iterator[str]:
    """Of a CodeableConcept."""
    return filter(None, (_text(coding.get("code")) for coding in _dicts(_dict(concept).get("coding"))))


def _text(value: Any) -> str:
    """Text that can be sent: half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    """Elements of a list that are none keep their place."""
    return [_dict(each) for each in _list(value)]
