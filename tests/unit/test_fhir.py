"""FHIR R4 as rows of an import, without anything outside the process."""

import json
from datetime import date
from typing import Any

import pytest
from google.type.date_pb2 import Date

from atoll.patients.v1.patient_pb2 import (
    ADMINISTRATIVE_GENDER_FEMALE,
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_SYSTEM_POSTAL,
    CONTACT_USE_HOME,
    CONTACT_USE_MOBILE,
    CONTACT_USE_OLD,
    CONTACT_USE_UNSPECIFIED,
    CONTACT_USE_WORK,
)
from cli.fhir import NotFhir, Reading, read_document, read_patient
from cli.fhir.periods import as_of

ANA: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:old", "value": "1"}],
    "name": [{"family": "Ruiz", "given": ["Ana"]}],
    "birthDate": "1980-05-17",
}


def read(**changes: Any) -> Reading:
    return read_patient(ANA | changes)


def marks(remarks: Any) -> list[tuple[str, str]]:
    return [(each.field, each.rule) for each in remarks]


def bundle(*resources: Any, type_: str = "transaction") -> bytes:
    entries = [{"resource": each} for each in resources]
    return json.dumps({"resourceType": "Bundle", "type": type_, "entry": entries}).encode()


def test_a_patient_is_read_whole() -> None:
    reading = read(
        name=[{"use": "official", "family": "Ruiz", "given": ["Ana", "María"], "prefix": ["Dr.", "h.c."]}],
        gender="female",
        telecom=[
            {"system": "phone", "value": "505 842 2000", "use": "mobile", "rank": 2},
            {"system": "email", "value": "ana@example.org", "use": "work"},
        ],
        address=[
            {
                "use": "home",
                "line": ["1 Main St", "Apt 2"],
                "city": "Albuquerque",
                "state": "NM",
                "postalCode": "87101",
                "country": "US",
            }
        ],
        communication=[
            {"language": {"coding": [{"code": "en"}]}},
            {"language": {"coding": [{"code": "es-US"}]}, "preferred": True},
        ],
        deceasedDateTime="2026-01-01",
    )
    patient = reading.patient
    assert (reading.faults, reading.notes) == ([], [])
    assert (list(patient.given_names), patient.family_name, patient.prefix) == (["Ana", "María"], "Ruiz", "Dr. h.c.")
    assert (patient.birth_date, patient.gender) == (Date(year=1980, month=5, day=17), ADMINISTRATIVE_GENDER_FEMALE)
    assert (patient.language, patient.deceased) == ("es-US", True)
    assert [(each.system, each.value) for each in patient.identifiers] == [("urn:old", "1")]
    points = [(point.system, point.value, point.use, point.rank) for point in patient.contact_points]
    assert points == [
        (CONTACT_SYSTEM_PHONE, "505 842 2000", CONTACT_USE_MOBILE, 2),
        (CONTACT_SYSTEM_EMAIL, "ana@example.org", CONTACT_USE_WORK, 0),
        (CONTACT_SYSTEM_POSTAL, "1 Main St\nApt 2\nAlbuquerque, NM 87101\nUS", CONTACT_USE_HOME, 0),
    ]


def test_the_official_name_is_taken_and_the_others_are_preferred_former_or_told() -> None:
    reading = read(
        name=[
            {"use": "maiden", "family": "Vega", "given": ["Ana", "María"]},
            {"use": "usual", "given": ["Anita"]},
            {"use": "official", "family": "Ruiz", "suffix": ["MSc"]},
            {"use": "nickname", "given": ["Ani"]},
            {"use": "old", "text": "Ana Sol"},
            {"use": "temp", "family": "Mar"},
            {"use": "old"},
        ]
    )
    patient = reading.patient
    assert (patient.family_name, list(patient.given_names), patient.preferred_name) == ("Ruiz", [], "Anita")
    former = [(list(name.given_names), name.family_name) for name in patient.former_names]
    assert former == [(["Ana", "María"], "Vega"), ([], "Ana Sol")]
    assert sorted(marks(reading.notes)) == [
        ("name[2].suffix", "SUFFIX_NOT_TAKEN"), ("name[3]", "NAME_NOT_TAKEN"), ("name[5]", "NAME_NOT_TAKEN"),
        ("name[6]", "NAME_NOT_TAKEN"),
    ]  # fmt: skip
    assert (reading.path_of("former_names[1]"), reading.path_of("preferred_name")) == ("name[4]", "name[1]")


def test_a_name_of_text_only_is_taken_as_it_is() -> None:
    assert read(name=[{"text": "Ana Ruiz"}]).patient.family_name == "Ana Ruiz"


@pytest.mark.parametrize("name", [None, [], [{}], [{"given": [""]}], "Ana", [None], [7]])
def test_without_a_name_a_row_is_not_sent(name: Any) -> None:
    assert [rule for _, rule in marks(read(name=name).faults)] == ["NAME_MISSING"]


@pytest.mark.parametrize(
    ("day", "rule"),
    [(None, "BIRTH_DATE_MISSING"), ("1980", "BIRTH_DATE_NOT_A_DAY"), ("1980-05", "BIRTH_DATE_NOT_A_DAY"),
     (1980, "BIRTH_DATE_MISSING"), ("17.05.1980", "BIRTH_DATE_NOT_A_DAY")],
)  # fmt: skip
def test_without_a_whole_birth_date_a_row_is_not_sent(day: Any, rule: str) -> None:
    assert marks(read(birthDate=day).faults) == [("birthDate", rule)]


def test_numbers_that_are_never_kept_are_not_even_sent() -> None:
    def kind(code: str) -> dict[str, Any]:
        return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]}

    reading = read(
        identifier=[
            {"type": kind("SS"), "system": "urn:a", "value": "999-88-8619"},
            {"type": kind("MR"), "system": "urn:b", "value": "7"},
            {"type": kind("DL"), "system": "urn:c", "value": "S99955854"},
            {"type": kind("PPN"), "system": "urn:d", "value": "X46531854X"},
        ]
    )
    assert [(each.system, each.value) for each in reading.patient.identifiers] == [("urn:b", "7")]
    assert [(each.field, each.description) for each in reading.notes] == [
        ("identifier[0]", "a social security number is never kept"),
        ("identifier[2]", "a driver's licence number is never kept"),
        ("identifier[3]", "a passport number is never kept"),
    ]


def test_half_an_identifier_and_one_that_stands_twice_are_not_taken() -> None:
    whole = {"system": "urn:a", "value": "1"}
    reading = read(identifier=[{"system": "urn:a"}, {"value": "1"}, whole, whole])
    assert len(reading.patient.identifiers) == 1
    assert [each.field for each in reading.notes] == ["identifier[0]", "identifier[1]", "identifier[3]"]


def test_a_record_number_that_cannot_be_one_is_not_taken() -> None:
    """As an identifier it would name a patient whom no search by number finds."""
    bad, good = ({"system": "urn:atoll:mrn", "value": value} for value in ("a-77", "A-77"))
    reading = read(identifier=[bad, good, {"system": "urn:a", "value": "1"}])
    assert reading.patient.mrn == "A-77"
    assert [each.system for each in reading.patient.identifiers] == ["urn:a"]
    assert marks(reading.notes) == [("identifier[0]", "IDENTIFIER_NOT_TAKEN")]
    assert marks(read(identifier=[bad]).faults) == [("identifier", "IDENTIFIER_MISSING")]


def test_without_an_identifier_a_patient_is_known_by_the_uri_of_the_entry_if_there_is_one() -> None:
    bare = ANA | {"identifier": []}
    [identifier] = read_patient(bare, "urn:uuid:7").patient.identifiers
    assert (identifier.system, identifier.value) == ("urn:ietf:rfc:3986", "urn:uuid:7")
    assert marks(read_patient(bare).faults) == [("identifier", "IDENTIFIER_MISSING")]


@pytest.mark.parametrize(
    ("country", "number", "sent"),
    [
        ("NLD", "0648352638", "+31648352638"),
        ("de", "030 123456", "+4930123456"),
        ("CAN", "604 555 0123", "+16045550123"),
        ("US", "555-929-9025", "555-929-9025"),
        ("Atlantis", "0648352638", "0648352638"),
        ("NL", "12", "12"),
        ("NL", "+1 505 842 2000", "+15058422000"),
    ],
)
def test_a_national_number_is_sent_with_the_country_of_the_address(country: str, number: str, sent: str) -> None:
    reading = read(telecom=[{"system": "phone", "value": number}], address=[{"country": country}])
    assert reading.patient.contact_points[0].value == sent


def test_contacts_that_are_neither_phone_nor_email_are_told() -> None:
    reading = read(
        telecom=[
            {"system": "fax", "value": "1"}, {"system": "phone"}, {"use": "home"}, "phone",
            {"system": "sms", "value": "505 842 2000", "use": "old", "rank": -1},
        ],
        address=[{"use": "home"}, {"text": "Somewhere"}],
    )  # fmt: skip
    points = [(point.value, point.use, point.rank) for point in reading.patient.contact_points]
    assert points == [("505 842 2000", CONTACT_USE_OLD, 0), ("Somewhere", CONTACT_USE_UNSPECIFIED, 0)]
    assert [each.field for each in reading.notes] == [
        "telecom[0]", "telecom[1]", "telecom[2]", "telecom[3]", "address[0]",
    ]  # fmt: skip


def test_codes_that_are_none_are_told() -> None:
    reading = read(gender="F", communication=[{"language": {"text": "Spanish"}}])
    assert marks(reading.notes) == [("gender", "GENDER_NOT_TAKEN"), ("communication[0]", "LANGUAGE_NOT_TAKEN")]


def test_a_part_that_the_api_names_is_found_in_the_document() -> None:
    reading = read(telecom=[{}, {"system": "phone", "value": "12"}], identifier=[{}, {"system": "urn:a", "value": "1"}])
    assert reading.path_of("contact_points[0].value") == "telecom[1].value"
    assert reading.path_of("identifiers[0]") == "identifier[1]"
    assert reading.path_of("birth_date") == "birthDate"
    assert reading.path_of("given_names[0]") == "name[0].given[0]"
    assert reading.path_of("home_site_id") == "home_site_id"


def test_half_a_surrogate_pair_which_no_message_can_hold_is_replaced() -> None:
    found = read_document(rb'{"resourceType": "Patient", "name": [{"family": "Ru\ud800iz"}]}')
    patient = read_patient(found.patients[0][0]).patient
    assert patient.family_name == "Ru\ufffdiz"
    assert patient.SerializeToString()


def test_a_bundle_tells_its_patient_and_counts_the_rest() -> None:
    found = read_document(bundle({"resourceType": "Encounter"}, ANA, {"resourceType": "Encounter"}, {"x": 1}))
    assert [resource for resource, _ in found.patients] == [ANA]
    assert found.others == {"Encounter": 2, "?": 1}


def test_a_single_resource_of_another_type_is_counted() -> None:
    found = read_document(b'{"resourceType": "Slot"}')
    assert (found.patients, found.others) == ((), {"Slot": 1})


def test_a_list_may_hold_many_patients_and_one_patients_bundle_may_not() -> None:
    assert len(read_document(bundle(ANA, ANA, type_="searchset")).patients) == 2
    for type_ in ("transaction", "collection", "batch", "document", "message"):
        with pytest.raises(NotFhir) as refused:
            read_document(bundle(ANA, ANA, type_=type_))
        assert refused.value.rule == "TWO_PATIENTS"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b'{"resourceType": "Bundle", "entry": [', "NOT_JSON"),
        (b"", "NOT_JSON"),
        (b"[" * 100_000, "NOT_JSON"),
        (b'{"resourceType": "Patient", "name": [{"family": "\xff"}]}', "NOT_UTF8"),
        (b"[]", "NOT_FHIR"),
        (b"7", "NOT_FHIR"),
        (b'{"id": "x"}', "NOT_FHIR"),
        (b'{"resourceType": 7}', "NOT_FHIR"),
        (b'{"resourceType": "patient!"}', "NOT_FHIR"),
        (b'{"resourceType": "Bundle"}', "NO_PATIENT"),
        (b'{"resourceType": "Bundle", "entry": {"resource": {"resourceType": "Patient"}}}', "NO_PATIENT"),
        (bundle({"resourceType": "Encounter"}), "NO_PATIENT"),
    ],
)
def test_a_broken_document_is_refused_by_what_is_wrong_with_it(content: bytes, rule: str) -> None:
    with pytest.raises(NotFhir) as refused:
        read_document(content)
    assert refused.value.rule == rule


def test_a_byte_order_mark_is_read_over() -> None:
    assert len(read_document(b"\xef\xbb\xbf" + json.dumps(ANA).encode()).patients) == 1


@pytest.mark.parametrize(
    ("end", "over"),
    [
        ("2026", False), ("2025", True), ("2026-03", False), ("2026-02", True), ("2026-03-09", False),
        ("2026-03-08", True), ("2026-03-08T23:59:59-07:00", True), ("2027-01-01", False), ("soon", False), (7, False),
    ],
)  # fmt: skip
def test_a_number_or_an_address_whose_period_is_over_is_an_old_one(end: Any, over: bool) -> None:
    period = {"period": {"start": "2001-01-01", "end": end}}
    told = ANA | {
        "telecom": [{"system": "phone", "value": "505 842 2000", "use": "mobile"} | period],
        "address": [{"use": "home", "line": ["1 Main St"]} | period, {"use": "home", "line": ["2 Main St"]}],
    }
    points = read_patient(as_of(told, date(2026, 3, 9))).patient.contact_points
    uses = (CONTACT_USE_OLD, CONTACT_USE_OLD) if over else (CONTACT_USE_MOBILE, CONTACT_USE_HOME)
    assert [point.use for point in points] == [*uses, CONTACT_USE_HOME]


def test_a_name_whose_period_is_over_is_a_former_one_and_a_contact_is_nobody_any_more() -> None:
    over = {"period": {"end": "2019-06-30"}}
    kin = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "N"}]}]
    call = {"relationship": kin, "telecom": [{"system": "phone", "value": "505 842 2000"}]}
    told = ANA | {
        "name": [{"use": "official", "family": "Vega"} | over, {"use": "official", "family": "Ruiz"}],
        "contact": [{"name": {"text": "Luis Vega"}} | call | over, {"name": {"text": "Eva Ruiz"}} | call],
    }
    reading = read_patient(as_of(told, date(2026, 3, 9)))
    assert (reading.patient.family_name, reading.patient.former_names[0].family_name) == ("Ruiz", "Vega")
    assert [person.name for person in reading.patient.related_persons] == ["Eva Ruiz"]
    assert marks(reading.notes) == [("contact[0]", "RELATED_PERSON_NOT_TAKEN")]


def test_of_a_record_that_is_not_in_use_it_is_told_that_it_will_be() -> None:
    """Somebody's mistake, or a patient who left: a person looks at it."""
    assert marks(read(active=False).notes) == [("active", "ACTIVE_NOT_TAKEN")]
    assert marks(read(active=True).notes) == []
