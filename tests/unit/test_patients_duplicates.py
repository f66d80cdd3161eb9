"""How likely two records are one person's."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.patients.domain.contacts import ContactPoint, ContactSystem
from services.patients.domain.duplicates import (
    M_AND_U,
    Agreement,
    Evidence,
    Grade,
    Likeness,
    Trait,
    compare,
    match_keys,
    traits_of,
)
from services.patients.domain.patients import FormerName, Gender, Identifier, Patient, Person

PHONE = ContactPoint(ContactSystem.PHONE, "+15058422000")
EMAIL = ContactPoint(ContactSystem.EMAIL, "ana@example.com")
ADDRESS = ContactPoint(ContactSystem.POSTAL, "10000 Central Avenue\nAlbuquerque, NM 87106-1234")
SITE = UUID(int=7)
ANA = Person(("Ana",), "Ruiz", date(1980, 5, 17), SITE, gender=Gender.FEMALE)
AT = datetime(2027, 3, 1, tzinfo=UTC)


def record(person: Person, mrn: str = "A") -> Patient:
    return Patient(UUID(int=1), mrn, person, frozenset({SITE}), 1, AT, AT)


def likeness(one: Person, other: Person) -> Likeness:
    return compare(traits_of(record(one)), traits_of(record(other)))


def ana(**changes: Any) -> Person:
    return replace(ANA, **changes)


def level(found: Likeness, trait: Trait) -> Agreement | None:
    return next((each.agreement for each in found.evidence if each.trait is trait), None)


def test_one_name_and_one_birth_date_are_likely_one_persons() -> None:
    found = likeness(ANA, ANA)
    assert found.grade is Grade.LIKELY
    assert found.evidence == (
        Evidence(Trait.GIVEN_NAME, Agreement.EXACT),
        Evidence(Trait.FAMILY_NAME, Agreement.EXACT),
        Evidence(Trait.BIRTH_DATE, Agreement.EXACT),
        Evidence(Trait.GENDER, Agreement.EXACT),
    )


@pytest.mark.parametrize(
    ("other", "grade"),
    [
        (ana(family_name="Ruis"), Grade.LIKELY),
        (ana(given_names=("ANA", "María")), Grade.LIKELY),
        (ana(given_names=("A.",)), Grade.LIKELY),
        (ana(birth_date=date(1981, 5, 17)), Grade.POSSIBLE),
        (ana(birth_date=date(1962, 11, 2)), None),
        (ana(family_name="Ortega"), None),
        (ana(given_names=("Lucia",)), None),
        (ana(given_names=("Ruiz",), family_name="Ana"), Grade.POSSIBLE),
        (ana(given_names=("Peter",), family_name="Huber", gender=Gender.MALE), None),
    ],
)
def test_what_differs_is_weighed(other: Person, grade: Grade | None) -> None:
    assert likeness(ANA, other).grade is grade


def test_day_and_month_that_changed_places_are_possible() -> None:
    one, other = ana(birth_date=date(1980, 5, 7)), ana(birth_date=date(1980, 7, 5))
    assert level(likeness(one, other), Trait.BIRTH_DATE) is Agreement.SWAPPED
    assert likeness(one, other).grade is Grade.POSSIBLE


def test_a_married_name_is_likely_with_the_number_or_the_former_name() -> None:
    married = ana(family_name="Ortega")
    assert likeness(ana(contact_points=(PHONE,)), replace(married, contact_points=(PHONE,))).grade is Grade.LIKELY
    assert likeness(ANA, replace(married, former_names=(FormerName((), "Ruiz"),))).grade is Grade.LIKELY


def test_a_preferred_name_counts_as_a_given_one() -> None:
    assert level(likeness(ana(preferred_name="Nina"), ana(given_names=("Nina",))), Trait.GIVEN_NAME) is Agreement.EXACT


def test_twins_at_one_address_are_possible_never_likely() -> None:
    home = (PHONE, EMAIL, ADDRESS)
    found = likeness(ana(contact_points=home), ana(contact_points=home, given_names=("Lucia",)))
    assert found.grade is Grade.POSSIBLE


def test_a_father_and_a_son_of_one_name_and_address_are_possible_never_likely() -> None:
    home = (PHONE, EMAIL, ADDRESS)
    found = likeness(ana(contact_points=home), ana(contact_points=home, birth_date=date(2004, 11, 2)))
    assert found.grade is Grade.POSSIBLE


def test_spouses_at_one_address_are_not_listed() -> None:
    home = (PHONE, EMAIL, ADDRESS)
    spouse = ana(contact_points=home, given_names=("Jon",), birth_date=date(1978, 11, 2), gender=Gender.MALE)
    assert likeness(ana(contact_points=home), spouse).grade is None


def test_what_one_of_them_lacks_tells_nothing() -> None:
    found = likeness(ana(contact_points=(PHONE,), gender=Gender.UNKNOWN), ANA)
    assert {each.trait for each in found.evidence} == {Trait.GIVEN_NAME, Trait.FAMILY_NAME, Trait.BIRTH_DATE}


def test_a_number_of_another_system_counts_unless_it_is_short() -> None:
    def with_number(system: str, value: str) -> Person:
        return ana(identifiers=(Identifier(system, value),))

    assert level(likeness(with_number("urn:a", "12345"), with_number("urn:b", "12345")), Trait.IDENTIFIER)
    assert level(likeness(with_number("urn:a", "1234"), with_number("urn:b", "1234")), Trait.IDENTIFIER) is None


def test_the_last_postal_code_of_an_address_counts() -> None:
    assert traits_of(record(ana(contact_points=(ADDRESS,)))).postal_codes == {"87106"}


def test_records_of_one_person_are_compared_by_all_of_them() -> None:
    both = replace(record(ANA), also_called=(ana(family_name="Ortega", birth_date=date(1980, 5, 18)),))
    found = compare(traits_of(both), traits_of(record(ana(birth_date=date(1980, 5, 18)))))
    assert level(found, Trait.BIRTH_DATE) is Agreement.EXACT
    assert level(found, Trait.FAMILY_NAME) is Agreement.EXACT


def test_names_are_compared_as_a_search_sees_them_in_any_script() -> None:
    assert level(likeness(ana(family_name="Ruíz-Peña"), ana(family_name="RUIZ PENA")), Trait.FAMILY_NAME) is (
        Agreement.EXACT
    )
    assert level(likeness(ana(family_name="山田"), ana(family_name="山本")), Trait.FAMILY_NAME) is not Agreement.EXACT


def test_keys_hold_family_names_with_the_year_and_long_identifiers() -> None:
    person = ana(former_names=(FormerName(("Ana",), "Peña"),), identifiers=(Identifier("urn:a", "12345"),))
    assert match_keys(record(person, mrn="7")) == ["i:12345", "n:pena|1980", "n:ruiz|1980"]


@pytest.mark.parametrize("trait", [Trait.GIVEN_NAME, Trait.FAMILY_NAME, Trait.BIRTH_DATE, Trait.PHONE, Trait.EMAIL])
def test_the_ways_to_agree_are_all_there_are(trait: Trait) -> None:
    ways = [both for (of, _), both in M_AND_U.items() if of is trait]
    assert sum(m for m, _ in ways) == pytest.approx(1, abs=0.02)
    assert sum(u for _, u in ways) == pytest.approx(1, abs=0.02)
