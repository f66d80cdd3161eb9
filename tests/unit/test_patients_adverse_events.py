"""What an adverse event comes to, and which day a diagnosis is of."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.errors import DomainError
from chassis.etags import StaleEtag
from services.patients.domain.adverse_events import (
    AdverseEvent,
    AdverseEventInFuture,
    AdverseEventResolved,
    Grade,
    GradeChange,
    Outcome,
    TreatmentAfterDeath,
    TreatmentAllowed,
)
from services.patients.domain.diagnoses import (
    Diagnosis,
    DiagnosisInFuture,
    DiagnosisRank,
    DiagnosisRetracted,
    with_dot,
)

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
ID = UUID(int=1)


def reported(**changes: Any) -> AdverseEvent:
    first = (GradeChange(Grade.MODERATE, NOW, "nurse"),)
    fields: dict[str, Any] = {"occurred_at": NOW, "description": "", "grades": first} | changes
    return AdverseEvent(ID, ID, ID, None, None, "hypertension", **fields)


def test_every_change_counts_and_keeps_what_was_before() -> None:
    graded = reported().regraded(1, Grade.SEVERE, "dr", NOW)
    assert (graded.version, graded.grade, [each.grade for each in graded.grades]) == (
        2, Grade.SEVERE, [Grade.MODERATE, Grade.SEVERE]
    )  # fmt: skip
    resolved = graded.resolved(2, Outcome.RECOVERED, False, "dr", NOW)
    assert (resolved.version, resolved.outcome, resolved.allowed_at) == (3, Outcome.RECOVERED, None)
    assert resolved.allowed(3, "dr", NOW).allowed_by == "dr"


def test_who_resolves_may_allow_treatment_and_does_not_take_back_who_did_before() -> None:
    assert reported().resolved(1, Outcome.RECOVERED, True, "dr", NOW).allowed_by == "dr"
    allowed = reported().allowed(1, "first", NOW).resolved(2, Outcome.RECOVERED, True, "second", NOW)
    assert (allowed.allowed_by, allowed.resolved_by) == ("first", "second")


def test_a_worse_grade_takes_back_that_treatment_was_allowed_and_no_other_does() -> None:
    allowed = reported().allowed(1, "dr", NOW)
    worse = allowed.regraded(2, Grade.SEVERE, "nurse", NOW)
    assert (worse.allowed_by, worse.allowed_at) == (None, None)
    again = worse.allowed(3, "dr", NOW)
    for grade in (Grade.SEVERE, Grade.MILD):
        assert again.regraded(4, grade, "nurse", NOW).allowed_by == "dr"


def test_who_died_is_treated_no_more_though_treatment_was_allowed_before() -> None:
    allowed = reported().allowed(1, "dr", NOW)
    died = allowed.resolved(2, Outcome.FATAL, False, "dr", NOW)
    assert (died.allowed_by, died.allowed_at) == (None, None)


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (StaleEtag, lambda event: event.regraded(2, Grade.SEVERE, "dr", NOW)),
        (StaleEtag, lambda event: event.resolved(0, Outcome.RECOVERED, True, "dr", NOW)),
        (StaleEtag, lambda event: event.allowed(2, "dr", NOW)),
        (TreatmentAfterDeath, lambda event: event.resolved(1, Outcome.FATAL, True, "dr", NOW)),
        (TreatmentAfterDeath, lambda event: event.resolved(1, Outcome.FATAL, False, "dr", NOW).allowed(2, "dr", NOW)),
        (TreatmentAfterDeath, lambda event: event.regraded(1, Grade.FATAL, "dr", NOW).allowed(2, "dr", NOW)),
        (
            TreatmentAfterDeath,
            lambda event: event.regraded(1, Grade.FATAL, "dr", NOW).resolved(2, Outcome.RECOVERED, True, "dr", NOW),
        ),
        (TreatmentAllowed, lambda event: event.allowed(1, "dr", NOW).allowed(2, "dr", NOW)),
        (
            AdverseEventResolved,
            lambda event: event.resolved(1, Outcome.UNKNOWN, False, "dr", NOW).regraded(2, Grade.MILD, "dr", NOW),
        ),
        (
            AdverseEventResolved,
            lambda event: event.resolved(1, Outcome.UNKNOWN, False, "dr", NOW).resolved(
                2, Outcome.UNKNOWN, False, "dr", NOW
            ),
        ),
    ],
)
def test_a_change_that_cannot_be_is_refused(error: type[DomainError], change: Any) -> None:
    with pytest.raises(error):
        change(reported())


def test_nothing_is_reported_before_it_happened() -> None:
    reported().check()
    with pytest.raises(AdverseEventInFuture):
        reported(occurred_at=NOW + timedelta(seconds=1)).check()


@pytest.mark.parametrize(
    ("told", "kept"),
    [("F33.2", "F33.2"), ("F332", "F33.2"), ("F4310", "F43.10"), ("Z00", "Z00"), ("C7A010", "C7A.010")],
)
def test_a_code_is_kept_with_its_dot(told: str, kept: str) -> None:
    assert with_dot(told) == kept


def diagnosis(effective: date, now: datetime = NOW) -> Diagnosis:
    return Diagnosis(ID, ID, ID, None, "F33.2", DiagnosisRank.PRIMARY, effective, "dr", now)


def test_a_diagnosis_is_of_today_at_the_site_at_the_latest() -> None:
    """Just before and after midnight in Denver, when it is the next day in UTC."""
    late = datetime(2028, 3, 1, 6, 59, tzinfo=UTC)
    diagnosis(date(2028, 2, 29), late).check("America/Denver")
    with pytest.raises(DiagnosisInFuture):
        diagnosis(date(2028, 3, 1), late).check("America/Denver")
    diagnosis(date(2028, 3, 1), late + timedelta(minutes=1)).check("America/Denver")


def test_a_diagnosis_is_retracted_once() -> None:
    retracted = diagnosis(date(2027, 3, 1)).retracted("dr", NOW)
    with pytest.raises(DiagnosisRetracted):
        retracted.retracted("dr", NOW)
