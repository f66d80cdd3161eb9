"""FHIR's Patient as a row of an import. Pure: a resource in, a `Patient` message and remarks out.

No remark repeats what stands in a resource.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.type.date_pb2 import Date

from atoll.patients.v1.patient_pb2 import (
    ADMINISTRATIVE_GENDER_UNSPECIFIED,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_UNSPECIFIED,
    ContactUse,
    SelfPayBasis,
)
from cli.fhir import codes
from cli.fhir.contacts import dialled_from_abroad, envelope_of, region_of
from cli.fhir.elements import codings_of, day_of, dicts_of, extension_of, text_of, texts_of
from cli.fhir.related import read_related_persons
from cli.readings import Reading

NEVER_KEPT = {"SS": "a social security number", "DL": "a driver's licence number", "PPN": "a passport number"}
"""Kinds of identifiers, by HL7's table 0203, that are not even sent."""
NAME_USES = ("official", "usual", "", "temp", "nickname", "anonymous", "maiden", "old")  # The first there is, is taken.
PREFERRED_USES, FORMER_USES = ("usual", "nickname"), ("maiden", "old")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_MRN = re.compile(r"[A-Z0-9][A-Z0-9-]{0,31}")


def read_patient(resource: Mapping[str, Any], uri: str = "") -> Reading:
    """`uri` is what the patient is known by where they have no identifier."""
    reading = Reading()
    if _ID.fullmatch(id_ := text_of(resource.get("id"))):
        reading.source_id = id_
    if resource.get("active") is False:
        reading.note("active", "ACTIVE_NOT_TAKEN", "the record is not in use where it comes from, and will be here")
    _read_names(resource, reading)
    _read_birth_date(resource, reading)
    _read_gender(resource, reading)
    _read_identifiers(resource, uri, reading)
    _read_telecoms(resource, reading)
    _read_addresses(resource, reading)
    _read_language(resource, reading)
    _read_death(resource, reading)
    read_related_persons(resource, reading)
    _read_own_extensions(resource, reading)
    return reading


def _read_names(resource: Mapping[str, Any], reading: Reading) -> None:
    names = list(enumerate(dicts_of(resource.get("name"))))
    if not names:
        reading.fault("name", "NAME_MISSING", "a name is needed")
        return
    taken, name = min(names, key=lambda each: _name_order(each[1])) if len(names) > 1 else names[0]
    patient, path = reading.patient, f"name[{taken}]"
    patient.given_names.extend(texts_of(name.get("given")))
    patient.family_name = text_of(name.get("family"))
    patient.prefix = " ".join(texts_of(name.get("prefix")))
    if not patient.given_names and not patient.family_name:
        patient.family_name = text_of(name.get("text"))
    if not patient.given_names and not patient.family_name:
        reading.fault(path, "NAME_MISSING", "a name is needed")
    reading.paths |= {"given_names": f"{path}.given", "family_name": f"{path}.family", "prefix": f"{path}.prefix"}
    if name.get("suffix"):
        reading.note(f"{path}.suffix", "SUFFIX_NOT_TAKEN", "suffixes are not kept")
    for i, other in names:
        if i != taken and not _read_other_name(other, f"name[{i}]", reading):
            reading.note(f"name[{i}]", "NAME_NOT_TAKEN", "it is neither the name, nor a preferred or a former one")


def _name_order(name: Mapping[str, Any]) -> int:
    use = text_of(name.get("use"))
    return NAME_USES.index(use) if use in NAME_USES else len(NAME_USES)


def _read_other_name(name: Mapping[str, Any], path: str, reading: Reading) -> bool:
    """Whether it is kept, as the preferred or as a former name."""
    patient, use = reading.patient, text_of(name.get("use"))
    given, family = texts_of(name.get("given")), text_of(name.get("family"))
    if not given and not family:
        family = text_of(name.get("text"))
    if use in PREFERRED_USES and not patient.preferred_name:
        patient.preferred_name = " ".join(given) or family
        reading.paths["preferred_name"] = path
        return bool(patient.preferred_name)
    if use in FORMER_USES and (given or family):
        reading.paths[f"former_names[{len(patient.former_names)}]"] = path
        patient.former_names.add(given_names=given, family_name=family)
        return True
    return False


def _read_birth_date(resource: Mapping[str, Any], reading: Reading) -> None:
    text = text_of(resource.get("birthDate"))
    reading.paths["birth_date"] = "birthDate"
    if day := day_of(text):
        reading.patient.birth_date.CopyFrom(day)
    elif text:
        reading.fault("birthDate", "BIRTH_DATE_NOT_A_DAY", "a whole date is needed")
    else:
        reading.fault("birthDate", "BIRTH_DATE_MISSING", "a birth date is needed")


def _read_gender(resource: Mapping[str, Any], reading: Reading) -> None:
    gender = text_of(resource.get("gender"))
    reading.patient.gender = codes.GENDERS.get(gender, ADMINISTRATIVE_GENDER_UNSPECIFIED)
    if gender and gender not in codes.GENDERS:
        reading.note("gender", "GENDER_NOT_TAKEN", "is none of FHIR's codes")
    if "extension" not in resource:
        return
    for url, known in (
        (codes.GENDER_IDENTITY_URL, codes.GENDER_IDENTITIES),
        (codes.US_CORE_GENDER_IDENTITY_URL, codes.US_CORE_GENDER_IDENTITIES),
    ):
        if told := extension_of(resource, url):
            found = [known[code] for _, code in codings_of(told.get("valueCodeableConcept")) if code in known]
            if found:
                reading.patient.gender_identity = found[0]
                return
            reading.note("extension", "GENDER_IDENTITY_NOT_TAKEN", "is none of the codes of gender identity")


def _read_identifiers(resource: Mapping[str, Any], uri: str, reading: Reading) -> None:
    kept, known = reading.patient.identifiers, set[tuple[str, str]]()
    for i, identifier in enumerate(dicts_of(resource.get("identifier"))):
        path = f"identifier[{i}]"
        system, value = text_of(identifier.get("system")), text_of(identifier.get("value"))
        kinds = [NEVER_KEPT[code] for _, code in codings_of(identifier.get("type")) if code in NEVER_KEPT]
        if kinds:
            reading.note(path, "IDENTIFIER_NEVER_KEPT", f"{kinds[0]} is never kept")
        elif not value or not system:
            reading.note(path, "IDENTIFIER_NOT_TAKEN", "it lacks its system or its value")
        elif (system, value) in known:
            reading.note(path, "IDENTIFIER_NOT_TAKEN", "it stands there twice")
        elif system == codes.MRN_SYSTEM and not _MRN.fullmatch(value):
            reading.note(path, "IDENTIFIER_NOT_TAKEN", "a record number has capitals, digits and hyphens, at most 32")
        elif system == codes.MRN_SYSTEM and not reading.patient.mrn:
            reading.paths["mrn"] = path
            reading.patient.mrn = value
        else:
            known.add((system, value))
            reading.paths[f"identifiers[{len(kept)}]"] = path
            kept.add(system=system, value=value)
    if not kept and uri:
        kept.add(system=codes.URI_SYSTEM, value=uri)
    if not kept:
        reading.fault("identifier", "IDENTIFIER_MISSING", "none by which a second import would know the patient")


def _read_telecoms(resource: Mapping[str, Any], reading: Reading) -> None:
    region, points = region_of(resource), reading.patient.contact_points
    for i, telecom in enumerate(dicts_of(resource.get("telecom"))):
        path, value = f"telecom[{i}]", text_of(telecom.get("value"))
        system = codes.SYSTEMS.get(text_of(telecom.get("system")))
        if system is None or not value:
            reading.note(path, "CONTACT_NOT_TAKEN", "it is no phone number and no email address, or has no value")
            continue
        if system == CONTACT_SYSTEM_PHONE:
            value = dialled_from_abroad(value, region)
        reading.paths[f"contact_points[{len(points)}]"] = path
        points.add(
            system=system,
            value=value,
            use=_use(telecom),
            rank=_rank(telecom.get("rank")),
            verified=_is_marked(telecom, codes.VERIFIED_URL),
            confidential=_is_marked(telecom, codes.CONFIDENTIAL_URL),
        )


def _read_addresses(resource: Mapping[str, Any], reading: Reading) -> None:
    points = reading.patient.contact_points
    for i, address in enumerate(dicts_of(resource.get("address"))):
        path, text = f"address[{i}]", envelope_of(address)
        if not text:
            reading.note(path, "CONTACT_NOT_TAKEN", "it has no lines")
            continue
        reading.paths[f"contact_points[{len(points)}]"] = path
        points.add(
            system=CONTACT_SYSTEM_POSTAL,
            value=text,
            use=_use(address),
            rank=_rank(extension_of(address, codes.RANK_URL).get("valuePositiveInt")),
            verified=_is_marked(address, codes.VERIFIED_URL),
            confidential=_is_marked(address, codes.CONFIDENTIAL_URL),
        )


def _rank(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value <= 100 else 0


def _is_marked(element: Mapping[str, Any], url: str) -> bool:
    return extension_of(element, url).get("valueBoolean") is True


def _read_language(resource: Mapping[str, Any], reading: Reading) -> None:
    spoken = list(enumerate(dicts_of(resource.get("communication"))))
    if not spoken:
        return
    i, first = min(spoken, key=lambda each: each[1].get("preferred") is not True)
    found = [code for _, code in codings_of(first.get("language")) if _LANGUAGE.fullmatch(code)]
    if found:
        reading.patient.language = found[0]
    else:
        reading.note(f"communication[{i}]", "LANGUAGE_NOT_TAKEN", "it has no code of BCP 47")


def _read_death(resource: Mapping[str, Any], reading: Reading) -> None:
    """A day that is not told whole is not kept; that the patient died, is."""
    died = text_of(resource.get("deceasedDateTime"))
    reading.patient.deceased = resource.get("deceasedBoolean") is True or bool(died)
    if day := day_of(died.partition("T")[0]):
        reading.paths["deceased_date"] = "deceasedDateTime"
        reading.patient.deceased_date.CopyFrom(day)
    elif died:
        reading.note("deceasedDateTime", "DECEASED_DATE_NOT_TAKEN", "is not a whole date")


def _read_own_extensions(resource: Mapping[str, Any], reading: Reading) -> None:
    if "extension" not in resource:
        return
    reading.patient.time_zone = text_of(extension_of(resource, codes.TIME_ZONE_URL).get("valueCode"))
    if told := extension_of(resource, codes.SELF_PAY_URL):
        basis = codes.BASES.get(text_of(extension_of(told, "basis").get("valueCode")))
        day = day_of(text_of(extension_of(told, "date").get("valueDate")))
        if basis is None or day is None:
            reading.note("extension", "SELF_PAY_NOT_TAKEN", "it lacks its basis or its day")
        else:
            _declare(reading, basis, day)


def _declare(reading: Reading, basis: SelfPayBasis.ValueType, day: Date) -> None:
    reading.paths["self_pay_declaration"] = "extension"
    reading.patient.self_pay_declaration.basis = basis
    reading.patient.self_pay_declaration.declare_date.CopyFrom(day)


def _use(element: Mapping[str, Any]) -> ContactUse.ValueType:
    return codes.USES.get(text_of(element.get("use")), CONTACT_USE_UNSPECIFIED)
