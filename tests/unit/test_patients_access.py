"""Rules of access: what a call is named, broken glass, how long a record is kept."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.patients.domain.accesses import Access, AccessKind
from services.patients.domain.break_glass import (
    Finding,
    GlassBreak,
    GlassBreakReviewed,
    GlassReasonTooShort,
    GlassReviewOfOwn,
    Review,
    check_reason,
)
from services.patients.domain.retention import (
    Hold,
    HoldKind,
    PatientAnonymised,
    PatientRetained,
    Retention,
    RetentionPolicy,
    years_after,
)

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
POLICY = RetentionPolicy(years=7, years_of_age=7)


def known(**changes: Any) -> Retention:
    fields: dict[str, Any] = {
        "patient_id": UUID(int=1),
        "birth_date": date(1980, 5, 17),
        "last_contact_at": NOW,
        "time_zone": "America/Denver",
        "cleared_until": None,
        "glass_breaks_open": False,
        "adverse_events_open": False,
        "restricted": False,
        "anonymised_at": None,
        "updated_at": NOW,
    }
    return Retention(**fields | changes)


@pytest.mark.parametrize(
    ("day", "years", "later"),
    [
        (date(2027, 3, 1), 7, date(2034, 3, 1)),
        (date(2028, 2, 29), 4, date(2032, 2, 29)),
        (date(2028, 2, 29), 7, date(2035, 3, 1)),
        (date(2096, 2, 29), 4, date(2100, 3, 1)),
        (date(9990, 1, 1), 50, date(9999, 1, 1)),
        (date(2027, 3, 1), 0, date(2027, 3, 1)),
    ],
)
def test_years_after_a_day_are_never_shorter_than_years(day: date, years: int, later: date) -> None:
    assert years_after(day, years) == later


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (datetime(2034, 3, 1, 6, 59, tzinfo=UTC), (Hold(HoldKind.PERIOD, date(2034, 3, 1)),)),
        (datetime(2034, 3, 1, 7, 0, tzinfo=UTC), ()),
    ],
)
def test_a_period_ends_at_midnight_of_the_home_site(now: datetime, holds: tuple[Hold, ...]) -> None:
    assert known().holds(POLICY, now) == holds


def test_the_day_of_the_last_contact_is_the_home_sites() -> None:
    assert known(last_contact_at=datetime(2027, 3, 1, 5, tzinfo=UTC)).last_contact == date(2027, 2, 28)


@pytest.mark.parametrize(
    ("born", "until"),
    [
        (date(2009, 3, 1), None),  # Of age on the day of the contact.
        (date(2009, 3, 2), date(2034, 3, 2)),
        (date(2027, 3, 1), date(2052, 3, 1)),
    ],
)
def test_who_was_a_minor_is_kept_until_years_after_coming_of_age(born: date, until: date | None) -> None:
    found = known(birth_date=born).holds(POLICY, NOW)
    assert [hold.until for hold in found if hold.kind is HoldKind.MINORITY] == ([until] if until else [])


def test_a_clearance_holds_through_its_last_day() -> None:
    found = known(cleared_until=date(2034, 3, 1))
    assert found.holds(POLICY, datetime(2034, 3, 1, 12, tzinfo=UTC)) == (Hold(HoldKind.CLEARANCE, date(2034, 3, 2)),)
    assert found.holds(POLICY, datetime(2034, 3, 2, 12, tzinfo=UTC)) == ()


def test_a_law_overrules_periods_and_nothing_else() -> None:
    minor = known(birth_date=date(2020, 1, 1))
    minor.check_anonymised(POLICY, "a law", NOW)
    with pytest.raises(PatientRetained) as refused:
        minor.check_anonymised(POLICY, "", NOW)
    assert [each.field for each in refused.value.violations] == ["PERIOD", "MINORITY"]
    held: list[dict[str, Any]] = [
        {"cleared_until": date(2027, 3, 1)}, {"glass_breaks_open": True}, {"adverse_events_open": True},
    ]  # fmt: skip
    for treated in (known(**each) for each in held):
        with pytest.raises(PatientRetained) as refused:
            treated.check_anonymised(POLICY, "a law", NOW)
        assert len(refused.value.violations) == 1


def test_of_one_who_is_forgotten_nothing_holds_and_nothing_is_left_to_forget() -> None:
    gone = known(anonymised_at=NOW, glass_breaks_open=True)
    assert gone.holds(POLICY, NOW) == ()
    with pytest.raises(PatientAnonymised):
        gone.check_anonymised(POLICY, "a law", NOW)


@pytest.mark.parametrize("reason", ["one two three", "  a   b  c ", "nicht bei Bewusstsein", "意識 が ない"])
def test_three_words_are_a_reason(reason: str) -> None:
    check_reason(reason)


@pytest.mark.parametrize("reason", ["", "one two", "one two -", "… … …", "one\u00a0two"])
def test_fewer_than_three_words_are_none(reason: str) -> None:
    with pytest.raises(GlassReasonTooShort):
        check_reason(reason)


@pytest.mark.parametrize(
    ("name", "audit", "kind"),
    [
        ("GetPatient", "AUDIT_PHI_READ", AccessKind.READ_RECORD),
        ("ListClearances", "AUDIT_PHI_READ", AccessKind.READ_RECORD),
        ("SearchPatients", "AUDIT_PHI_READ", AccessKind.SEARCHED),
        ("FindDuplicates", "AUDIT_PHI_READ", AccessKind.SEARCHED),
        ("ExportPatient", "AUDIT_PHI_READ", AccessKind.EXPORTED),
        ("ImportPatients", "AUDIT_CHANGE", AccessKind.IMPORTED),
        ("BreakGlass", "AUDIT_CHANGE", AccessKind.BROKE_GLASS),
        ("UpdatePatient", "AUDIT_CHANGE", AccessKind.CHANGED),
        ("GetContactDetails", "AUDIT_PHI_READ", AccessKind.READ_CONTACTS),
        ("ListAccesses", "AUDIT_PHI_READ", AccessKind.READ_ACCESSES),
    ],
)
def test_an_access_is_called_by_what_its_rpc_does(name: str, audit: str, kind: AccessKind) -> None:
    access = Access(1, NOW, "user", f"atoll.patients.v1.SomeService.{name}", audit, "", (), ())
    assert access.kind is kind


def test_a_broken_glass_is_reviewed_once_and_by_another() -> None:
    broken = GlassBreak(UUID(int=1), UUID(int=2), UUID(int=3), "nina", "he fainted here", NOW, NOW)
    review = Review(Finding.JUSTIFIED, "", "max", NOW)
    reviewed = broken.reviewed(review)
    assert reviewed.review == review
    with pytest.raises(GlassBreakReviewed):
        reviewed.reviewed(review)
    with pytest.raises(GlassReviewOfOwn):
        broken.reviewed(Review(Finding.JUSTIFIED, "", "nina", NOW))
