"""Rules of what a record holds, without anything outside the process."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.patients.domain.changes import person_changes, registration, update
from services.patients.domain.contacts import ContactPoint, ContactSystem
from services.patients.domain.patient_sites import (
    PatientSite,
    PatientSiteIsHome,
    PatientSiteNotFound,
    PatientSiteThere,
)
from services.patients.domain.patients import FormerName, Patient, Person, examine, is_minor
from services.patients.domain.related_persons import RelatedPerson, RelatedPersonRole, examine_related_persons
from services.patients.domain.self_pay import SelfPayBasis, SelfPayDeclaration, recorded
from services.patients.store.changes import change_columns
from services.patients.tables.changes import patient_change
from tests.support.sealed import texts_of

DENVER = "America/Denver"
NOW = datetime(2027, 3, 2, 5, tzinfo=UTC)  # Still the first of March in Denver.
HOME, OTHER, THIRD = UUID(int=2), UUID(int=1), UUID(int=3)
ANA = Person(("Ana",), "Ruiz", date(1980, 5, 17), HOME)
ESCORT, GUARANTOR = RelatedPersonRole.ESCORT, RelatedPersonRole.GUARANTOR
BO = RelatedPerson(ESCORT, "Bo", phone="+15058422000")


def patient(person: Person = ANA, *site_ids: UUID, version: int = 1) -> Patient:
    return Patient(UUID(int=9), "M1", person, frozenset(site_ids or {HOME}), version, NOW, NOW)


@pytest.mark.parametrize(
    ("born", "today", "minor"),
    [
        (date(2009, 3, 2), date(2027, 3, 1), True),
        (date(2009, 3, 2), date(2027, 3, 2), False),
        (date(2008, 2, 29), date(2026, 2, 28), True),
        (date(2008, 2, 29), date(2026, 3, 1), False),
        (date(2010, 12, 31), date(2028, 1, 1), True),
        (date(2010, 2, 28), date(2028, 2, 28), False),
        (date(2027, 3, 1), date(2027, 3, 1), True),
    ],
)
def test_a_minor_comes_of_age_on_a_birthday_or_the_first_of_march(born: date, today: date, minor: bool) -> None:
    assert is_minor(born, today) is minor


def test_each_related_person_is_kept_or_left_out_whole() -> None:
    told = [
        RelatedPerson(ESCORT, "Bo", phone="(505) 842-2000"),
        RelatedPerson(ESCORT, "Cy", phone="12", email="cy@example.org"),
        RelatedPerson(GUARANTOR, "Di", email="Di@Example.org"),
        RelatedPerson(GUARANTOR, "Ed", address="1 Main St"),
    ]
    kept, left_out = examine_related_persons(told)
    assert kept == (BO, RelatedPerson(GUARANTOR, "Di", email="di@example.org"))
    assert [(each.field, each.rule) for each in left_out] == [
        ("related_persons[1].phone", "PHONE_NOT_POSSIBLE"),
        ("related_persons[3].role", "GUARANTOR_TWICE"),
    ]


def test_a_guarantor_who_was_left_out_leaves_the_place_to_the_next() -> None:
    kept, _ = examine_related_persons([RelatedPerson(GUARANTOR, "Di"), RelatedPerson(GUARANTOR, "Ed", phone=BO.phone)])
    assert [each.name for each in kept] == ["Ed"]


def test_a_minor_whose_guarantor_was_left_out_declares_nothing() -> None:
    declared = SelfPayDeclaration(SelfPayBasis.UNINSURED, date(2027, 3, 1), "ann")
    child = replace(ANA, birth_date=date(2012, 5, 17), self_pay_declaration=declared)
    with_guarantor = replace(child, related_persons=(RelatedPerson(GUARANTOR, "Di", phone=BO.phone),))
    without = replace(child, related_persons=(RelatedPerson(GUARANTOR, "Di"),))
    assert examine(with_guarantor, DENVER, NOW).person.self_pay_declaration == declared
    examined = examine(without, DENVER, NOW)
    assert examined.person.self_pay_declaration is None
    assert [each.rule for each in examined.left_out] == ["RELATED_PERSON_UNREACHABLE", "GUARANTOR_MISSING"]


def test_a_patient_is_found_by_every_name_and_a_former_one_alone_is_not_enough() -> None:
    person = replace(ANA, preferred_name="Zoë", former_names=(FormerName(("Eva", "Maria"), "Koh"),))
    assert person.search_words == ("ana", "ruiz", "zoe", "eva", "maria", "koh")
    nameless = replace(person, given_names=(), family_name="")
    assert [fault.rule for fault in examine(nameless, DENVER, NOW).faults] == ["NAME_MISSING"]


def test_only_what_a_patient_asked_for_in_confidence_is_used() -> None:
    home, mine = (ContactPoint(ContactSystem.EMAIL, value) for value in ("home@example.org", "mine@example.org"))
    confidential = replace(mine, confidential=True)
    open_ = replace(ANA, contact_points=(home, mine), related_persons=(BO,))
    closed = replace(open_, contact_points=(home, confidential))
    one, other = patient(open_), patient(closed)
    assert (one.points_to_use, one.persons_to_tell) == ((home, mine), (BO,))
    assert (other.points_to_use, other.persons_to_tell) == ((confidential,), ())
    for merged in (replace(one, also_called=(ANA, closed, closed)), replace(other, also_called=(open_,))):
        assert (merged.points_to_use, merged.persons_to_tell) == ((confidential,), ())


def test_a_declaration_told_again_keeps_who_recorded_it() -> None:
    told = SelfPayDeclaration(SelfPayBasis.UNINSURED, date(2027, 3, 1))
    kept = replace(told, recorded_by="ann")
    assert recorded(told, None, "ben") == replace(told, recorded_by="ben")
    assert recorded(told, kept, "ben") is kept
    assert recorded(replace(told, declare_date=date(2027, 2, 1)), kept, "ben") == SelfPayDeclaration(
        SelfPayBasis.UNINSURED, date(2027, 2, 1), "ben"
    )
    assert recorded(None, kept, "ben") is None


def test_a_change_holds_the_fields_that_differ_and_nothing_else() -> None:
    after = replace(ANA, family_name="Peña", deceased=True, related_persons=(BO,))
    assert [(each.field, each.before, each.after) for each in person_changes(ANA, after)] == [
        ("family_name", "Ruiz", "Peña"),
        ("deceased", None, True),
        ("related_persons", None, (BO,)),
    ]
    assert person_changes(ANA, ANA) == ()


@pytest.mark.parametrize(("seen", "site_id"), [((HOME, OTHER), HOME), ((THIRD, OTHER), OTHER)])
def test_a_change_is_written_at_the_home_site_if_the_caller_has_it(seen: tuple[UUID, ...], site_id: UUID) -> None:
    before = patient(ANA, *seen)
    assert update(before, replace(before, version=2)).site_id == site_id


def test_a_change_goes_to_the_database_as_json_with_sites_as_on_the_wire() -> None:
    told = replace(ANA, related_persons=(BO,), former_names=(FormerName(("Eva",), "Koh"),))
    record, texts = patient(told, HOME, OTHER), texts_of(UUID(int=1))
    columns: dict[str, Any] = change_columns([registration(record)], texts)
    assert columns["changed_fields"] == [
        "mrn site_ids given_names family_name birth_date home_site_id former_names related_persons"
    ]
    [sealed] = columns["changes"]
    assert texts.open(patient_change.c.changes, sealed, record.id, 1) == (
        '[[null,"M1"],'
        '[null,["site_00000000000000000000000001","site_00000000000000000000000002"]],'
        '[null,["Ana"]],[null,"Ruiz"],[null,"1980-05-17"],'
        '[null,"site_00000000000000000000000002"],'
        '[null,[{"given_names":["Eva"],"family_name":"Koh"}]],'
        '[null,[{"role":"ESCORT","name":"Bo","relationship":"",'
        '"phone":"+15058422000","email":"","address":""}]]]'
    )


def test_a_site_is_added_if_it_does_not_see_the_record_and_removed_if_it_does() -> None:
    unseen, seen = (PatientSite(UUID(int=9), OTHER, frozenset({HOME}), 4, seen=each) for each in (False, True))
    added, removed = unseen.added("a visit"), seen.removed("by mistake")
    assert [(each.before, each.after) for each in (*added.changes, *removed.changes)] == [
        (None, [OTHER]),
        ([OTHER], None),
    ]
    assert [(each.version, each.site_id) for each in (added, removed)] == [(5, OTHER)] * 2
    assert (added.reason, removed.reason) == ("a visit", "by mistake")
    with pytest.raises(PatientSiteThere):
        seen.added("again")
    with pytest.raises(PatientSiteNotFound):
        unseen.removed("again")
    with pytest.raises(PatientSiteIsHome):
        replace(seen, site_id=HOME).removed("closed")
