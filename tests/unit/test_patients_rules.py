"""Rules of patients, without anything outside the process."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.patients.domain.clearances import (
    Clearance,
    ClearanceDatesReversed,
    ClearanceInPast,
    ClearanceRevoked,
    last_day,
)
from services.patients.domain.contacts import ContactPoint, ContactSystem, read_email, read_phone
from services.patients.domain.names import search_words
from services.patients.domain.patients import Identifier, Person, examine, mrn_of, never_kept
from services.patients.use_cases.records import IDENTITY_LOCKS, identity_locks

DENVER = "America/Denver"
NOW = datetime(2027, 3, 2, 5, tzinfo=UTC)  # Still the first of March in Denver.
ANA = Person(("Ana",), "Ruiz", date(1980, 5, 17), UUID(int=1))


def rules(person: Person) -> list[str]:
    return [fault.rule for fault in examine(person, DENVER, NOW).faults]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("José María", "García-López"), ("jose", "maria", "garcia", "lopez")),
        (("O'Brien", "O\u2019Brien", "J.R."), ("obrien", "jr")),
        (("Straße", "ÆØÅ", "İrem", "\u0131l"), ("strasse", "aeoa", "irem", "il")),
        (("", " \u2026 ", "-"), ()),
        (("Nguyễn Thị Ánh",), ("nguyen", "thi", "anh")),
        (
            ("O'Brien-SMITH", "J.R. `Al` 3rd", "van_der\tBerg"),
            ("obrien", "smith", "jr", "al", "3rd", "van", "der", "berg"),
        ),
    ],
)
def test_a_search_sees_names_without_case_accents_and_punctuation(names: tuple[str, ...], words: Any) -> None:
    assert search_words(*names) == words


def test_a_person_is_completed_with_language_and_the_home_sites_zone() -> None:
    assert examine(ANA, DENVER, NOW).person == replace(ANA, language="en-US", time_zone=DENVER)


def test_a_person_keeps_their_own_language_and_zone() -> None:
    told = replace(ANA, language="es", time_zone="Asia/Tokyo")
    assert examine(told, DENVER, NOW).person == told


def test_today_is_the_home_sites_day() -> None:
    assert rules(replace(ANA, birth_date=date(2027, 3, 1))) == []
    assert rules(replace(ANA, birth_date=date(2027, 3, 2))) == ["BIRTH_DATE_IN_FUTURE"]


def test_nobody_was_born_before_1900() -> None:
    assert rules(replace(ANA, birth_date=date(1900, 1, 1))) == []
    assert rules(replace(ANA, birth_date=date(1899, 12, 31))) == ["BIRTH_DATE_TOO_EARLY"]


@pytest.mark.parametrize("zone", ["Denver", "America", "../etc/passwd", "UTC+7"])
def test_a_zone_is_one_of_the_iana_database(zone: str) -> None:
    assert rules(replace(ANA, time_zone=zone)) == ["TIME_ZONE_UNKNOWN"]


def test_one_name_is_enough_whichever_it_is() -> None:
    assert rules(replace(ANA, family_name="")) == []
    assert rules(replace(ANA, given_names=())) == []
    assert rules(replace(ANA, given_names=(), family_name="")) == ["NAME_MISSING"]


def test_the_same_identifier_twice_is_a_fault_and_the_same_value_of_two_systems_is_not() -> None:
    same = Identifier("urn:a", "1")
    assert rules(replace(ANA, identifiers=(same, same))) == ["IDENTIFIER_TWICE"]
    assert rules(replace(ANA, identifiers=(same, Identifier("urn:b", "1")))) == []


@pytest.mark.parametrize(
    ("system", "kind"),
    [
        ("http://hl7.org/fhir/sid/us-ssn", "a social security number"),
        ("HTTP://HL7.org/fhir/sid/US-SSN", "a social security number"),
        ("urn:oid:2.16.840.1.113883.4.1", "a social security number"),
        ("urn:example:social-security", "a social security number"),
        ("urn:oid:2.16.840.1.113883.4.3.25", "a driver's licence number"),
        ("https://example.org/DriversLicense", "a driver's licence number"),
        ("urn:oid:2.16.840.1.113883.4.330.840", "a passport number"),
        ("http://standardhealthrecord.org/fhir/StructureDefinition/passportNumber", "a passport number"),
        ("urn:oid:2.16.840.1.113883.4.10", None),
        ("urn:oid:2.16.840.1.113883.4.33", None),
        ("https://example.org/classnumber", None),
        ("https://github.com/synthetichealth/synthea", None),
    ],
)
def test_numbers_that_open_doors_elsewhere_are_known_by_their_system(system: str, kind: str | None) -> None:
    assert never_kept(Identifier(system, "1")) == kind


def test_what_is_never_kept_is_left_out_wherever_it_stands() -> None:
    kept, passport = Identifier("urn:a", "1"), Identifier("urn:passport", "X1")
    examined = examine(replace(ANA, identifiers=(kept, passport)), DENVER, NOW)
    assert examined.person.identifiers == (kept,)
    assert [(each.field, each.rule) for each in examined.left_out] == [("identifiers[1]", "IDENTIFIER_NEVER_KEPT")]
    assert "X1" not in examined.left_out[0].description


@pytest.mark.parametrize(
    ("text", "e164", "valid"),
    [
        ("(505) 842-2000", "+15058422000", True),
        ("+33 (237) 998327", "+33237998327", True),
        ("555-929-9025", "+15559299025", False),
        ("+1 505 842 2000 ext. 7", "+15058422000", True),
    ],
)
def test_a_phone_that_can_be_is_kept_as_e164(text: str, e164: str, valid: bool) -> None:
    phone = read_phone(text)
    assert phone is not None
    assert (phone.e164, phone.valid) == (e164, valid)


@pytest.mark.parametrize("text", ["12", "call me", "+999 1", "", "1" * 40])
def test_a_phone_that_cannot_be_is_none(text: str) -> None:
    assert read_phone(text) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Ana.Ruiz+clinic@Example.ORG ", "ana.ruiz+clinic@example.org"),
        ("a@b.co", "a@b.co"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org"),
        ("x" * 65 + "@example.org", None),
        ("a@" + "b" * 63 + ".org", "a@" + "b" * 63 + ".org"),
        ("a@" + "b" * 64 + ".org", None),
        ("a@" + "b." * 125 + "org", None),
        ("ana", None),
        ("ana@example", None),
        ("ana@@example.org", None),
        ("ana ruiz@example.org", None),
        (".ana@example.org", None),
        ("ana..ruiz@example.org", None),
        ("ana@-example.org", None),
        ("ana@example.org\r\nBcc: x@y.z", None),
    ],
)
def test_an_email_is_kept_in_lower_case_if_it_can_be(text: str, kept: str | None) -> None:
    assert read_email(text) == kept


PHONES = "5559299025", "+15559299025", "5058422000", "+15058422000"


def test_only_a_phone_that_some_operator_gave_out_can_be_verified() -> None:
    points = tuple(ContactPoint(ContactSystem.PHONE, value, verified=True) for value in PHONES)
    examined = examine(replace(ANA, contact_points=points), DENVER, NOW)
    assert [point.verified for point in examined.person.contact_points] == [False, False, True, True]
    noted = [(f"contact_points[{n}].value", "PHONE_NOT_VALID") for n in (0, 1)]
    assert [(each.field, each.rule) for each in examined.notes] == noted


def test_an_address_is_kept_as_it_is() -> None:
    point = ContactPoint(ContactSystem.POSTAL, "1 Main St\nAlbuquerque, NM 87101")
    assert examine(replace(ANA, contact_points=(point,)), DENVER, NOW).person.contact_points == (point,)


def test_a_record_number_has_digits_that_are_not_mistaken_for_others() -> None:
    assert mrn_of(UUID(int=0)) == "0000000000"
    assert mrn_of(UUID(int=2**128 - 1)) == "ZZZZZZZZZZ"
    assert mrn_of(UUID(int=0b00001_01010_10010)) == "00000001AJ"


def test_those_who_share_an_identifier_share_a_lock() -> None:
    one, other = Identifier("urn:a", "1"), Identifier("urn:b", "2")
    chain_id = UUID(int=1)
    assert identity_locks(chain_id, [one]) < identity_locks(chain_id, [one, other])
    assert not identity_locks(chain_id, [one]) & identity_locks(UUID(int=2), [one])


def test_however_many_identifiers_take_a_bounded_number_of_locks() -> None:
    many = [Identifier("urn:a", str(n)) for n in range(10_000)]
    assert len(identity_locks(UUID(int=1), many)) == IDENTITY_LOCKS


def clearance(effective: date, expire: date) -> Clearance:
    id, patient_id, protocol_id, site_id = (UUID(int=n) for n in range(4))
    return Clearance(id, patient_id, protocol_id, site_id, ("iv",), effective, expire, None, "dr", NOW)


def test_a_clearance_may_end_today_at_the_site_and_not_before() -> None:
    clearance(date(2027, 2, 1), date(2027, 3, 1)).check(DENVER)
    with pytest.raises(ClearanceInPast):
        clearance(date(2027, 2, 1), date(2027, 3, 1)).check("Europe/Berlin")


def test_a_clearance_ends_no_earlier_than_it_begins() -> None:
    clearance(date(2027, 4, 1), date(2027, 4, 1)).check(DENVER)
    with pytest.raises(ClearanceDatesReversed):
        clearance(date(2027, 4, 2), date(2027, 4, 1)).check(DENVER)


def test_a_clearance_is_revoked_once() -> None:
    revoked = clearance(date(2027, 4, 1), date(2027, 4, 1)).revoked("dr", NOW, "a stroke")
    assert (revoked.revoked_by, revoked.revoked_at, revoked.revoke_reason) == ("dr", NOW, "a stroke")
    with pytest.raises(ClearanceRevoked):
        revoked.revoked("dr", NOW, "a stroke")


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (date(2027, 3, 1), date(2028, 3, 1)),
        (date(2028, 2, 28), date(2029, 2, 28)),
        (date(2028, 2, 29), date(2029, 2, 28)),
        (date(2027, 2, 28), date(2028, 2, 28)),
    ],
)
def test_the_last_day_of_a_clearance_is_the_same_day_a_year_later_or_the_28th_of_february(
    today: date, last: date
) -> None:
    assert last_day(today) == last
