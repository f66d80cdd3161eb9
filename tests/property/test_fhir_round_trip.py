"""A patient written as FHIR R4 is valid, and read again the same patient."""

import json
from datetime import date
from typing import Any

from google.type.date_pb2 import Date
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.patients.v1.patient_pb2 import (
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_MOBILE,
    AdministrativeGender,
    ContactUse,
    GenderIdentity,
    Patient,
    RelatedPersonRole,
    SelfPayBasis,
)
from chassis.ids import new_id, to_wire
from cli.exporting.patients import patient_resource
from cli.fhir import read_document, read_patient
from tests.support.fhir import check_resource

WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
NAMES = WORDS.map(str.strip).filter(bool)
MAYBE = st.just("") | NAMES
LINES = st.lists(NAMES.filter(lambda line: len(line.splitlines()) == 1), min_size=1, max_size=3).map("\n".join)
DAYS = st.dates(date(1900, 1, 1), date(2026, 1, 1)).map(lambda day: Date(year=day.year, month=day.month, day=day.day))
IDENTIFIERS: st.SearchStrategy[Any] = st.builds(
    dict, system=st.from_regex(r"urn:[a-z]{1,9}", fullmatch=True), value=NAMES
)


def numbers(enum: Any, *, told: bool = False) -> st.SearchStrategy[int]:
    return st.sampled_from([number for number in enum.values() if number or not told])


@st.composite
def points(draw: st.DrawFn, system: int) -> dict[str, Any]:
    uses = [use for use in ContactUse.values() if system != CONTACT_SYSTEM_POSTAL or use != CONTACT_USE_MOBILE]
    values = {
        CONTACT_SYSTEM_PHONE: st.integers(2_000_000_000, 9_999_999_999).map(lambda n: f"+1{n}"),
        CONTACT_SYSTEM_EMAIL: st.from_regex(r"[a-z]{1,9}@[a-z]{1,9}\.org", fullmatch=True),
        CONTACT_SYSTEM_POSTAL: LINES,
    }
    return {
        "system": system,
        "value": draw(values[system]),  # type: ignore[index]
        "use": draw(st.sampled_from(uses)),
        "rank": draw(st.integers(0, 100)),
        "verified": draw(st.booleans()),
        "confidential": draw(st.booleans()),
    }


PERSONS: st.SearchStrategy[Any] = st.builds(
    dict,
    role=numbers(RelatedPersonRole, told=True),
    name=NAMES,
    relationship=MAYBE,
    phone=st.just("") | st.just("+15058422000"),
    email=st.just("") | st.just("luis@example.org"),
    address=st.just("") | LINES,
)
_FORMER: st.SearchStrategy[Any] = st.builds(dict, given_names=st.lists(NAMES, max_size=2), family_name=MAYBE)
FORMER = _FORMER.filter(lambda name: bool(name["given_names"] or name["family_name"]))


@st.composite
def patients(draw: st.DrawFn) -> Patient:
    """As the API answers them; phones and emails stand before addresses, as FHIR parts them."""
    deceased = draw(st.booleans())
    kinds = (CONTACT_SYSTEM_PHONE, CONTACT_SYSTEM_EMAIL)
    contact_points: list[Any] = draw(st.lists(st.sampled_from(kinds).flatmap(points), max_size=3))
    contact_points += draw(st.lists(points(CONTACT_SYSTEM_POSTAL), max_size=2))
    given_names = draw(st.lists(NAMES, max_size=3))
    patient = Patient(
        id=to_wire("patient", new_id()),
        etag='"1"',
        mrn=draw(st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,9}", fullmatch=True)),
        given_names=given_names,
        family_name=draw(MAYBE if given_names else NAMES),
        prefix=draw(MAYBE),
        birth_date=draw(DAYS),
        gender=draw(numbers(AdministrativeGender)),  # type: ignore[arg-type]
        contact_points=contact_points,
        language=draw(st.sampled_from(("", "en-US", "es", "zh-Hant-TW"))),
        time_zone=draw(st.sampled_from(("", "America/Denver", "America/Argentina/Ushuaia"))),
        home_site_id=to_wire("site", new_id()),
        identifiers=draw(st.lists(IDENTIFIERS, min_size=1, max_size=4, unique_by=lambda each: tuple(each.values()))),
        deceased=deceased,
        deceased_date=draw(st.none() | DAYS) if deceased else None,
        preferred_name=draw(MAYBE),
        former_names=draw(st.lists(FORMER, max_size=2)),
        gender_identity=draw(numbers(GenderIdentity)),  # type: ignore[arg-type]
        related_persons=draw(st.lists(PERSONS, max_size=3)),
    )
    if draw(st.booleans()):
        patient.self_pay_declaration.basis = draw(numbers(SelfPayBasis, told=True))  # type: ignore[assignment]
        patient.self_pay_declaration.declare_date.CopyFrom(draw(DAYS))
        patient.self_pay_declaration.recorded_by = "dr"
    return patient


def told(patient: Patient) -> Patient:
    """Without what an import does not tell."""
    bare = Patient()
    bare.CopyFrom(patient)
    for name in ("id", "etag", "home_site_id", "site_ids", "create_time", "update_time"):
        bare.ClearField(name)
    if bare.HasField("self_pay_declaration"):
        bare.self_pay_declaration.recorded_by = ""
    return bare


@settings(deadline=None)
@given(patients())
def test_what_is_exported_is_valid_and_imported_again_the_same(patient: Patient) -> None:
    resource = patient_resource(patient)
    check_resource(resource)
    [(found, uri)] = read_document(json.dumps(resource).encode()).patients
    reading = read_patient(found, uri)
    assert (reading.faults, reading.notes) == ([], [])
    assert reading.patient == told(patient)


@settings(deadline=None)
@given(patients())
def test_who_has_no_identifier_is_known_by_the_record(patient: Patient) -> None:
    patient.ClearField("identifiers")
    [identifier] = read_patient(patient_resource(patient)).patient.identifiers
    assert (identifier.system, identifier.value) == ("urn:atoll:patient", patient.id)
