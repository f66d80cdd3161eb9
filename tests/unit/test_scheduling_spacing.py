"""How visits of a course stand to each other: windows, anchors, the same resource, and what is booked already."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.scheduling.domain.courses import (
    Choice,
    NoticeTooShort,
    PhasesOutsideProtocol,
    ResourceUnsuitable,
    SpacingOutsideProtocol,
    laid_out,
)
from services.scheduling.domain.spacing import days_of, spacing_faults
from services.scheduling.domain.visits import Status, Visit
from tests.support.scheduling import DAY, TALK, TEMPLATE, TREATMENT, domain_template, local, phase
from tests.unit.test_scheduling_courses import NOW, OTHER, TERMS, at_fault, book, talk, treatment, with_
from tests.unit.test_scheduling_holds import COURSE

INDUCTION = TEMPLATE["phases"][1]
REVIEW = phase(
    "review",
    "FOLLOW_UP",
    "talk",
    (1, 1, 1),
    (0, 0, 0),
    anchor={"phase_code": "induction", "months": 1, "tolerance_days": 2},
)
BOOSTER = phase("booster", "MAINTENANCE", "treatment", (1, 2, 6), (7, 14, 60), needs_clearance=True)


def terms(*phases: dict[str, Any], **changes: Any) -> Any:
    return with_(template=domain_template({**TEMPLATE, "phases": list(phases), **changes}))


def standing(terms: Any, choices: Sequence[Choice], status: Status = Status.BOOKED) -> tuple[Visit, ...]:
    layouts = terms.layouts(choices)
    return laid_out(COURSE, layouts, [UUID(int=n + 100) for n in range(len(layouts))], status)


def test_all_visits_of_a_phase_are_within_its_window_of_local_days() -> None:
    tight = terms(INDUCTION | {"window_days": 7})
    book(tight, [treatment(local(3, day, 9)) for day in (2, 5, 8)])
    late = [treatment(local(3, 2, 9)), treatment(local(3, 5, 9)), treatment(local(3, 9, 9))]
    assert at_fault(SpacingOutsideProtocol, late, tight) == [("visits[2].start_time", "WINDOW_EXCEEDED")]


def test_a_window_counts_days_across_a_clock_change_and_a_late_evening_as_the_sites() -> None:
    """Late on the 15th in Denver is the 16th in UTC: seven days, not eight."""
    night = with_(site=replace(TERMS.site, shifts=tuple(replace(each, end=24 * 60) for each in TERMS.site.shifts)))
    tight = replace(night, template=domain_template({**TEMPLATE, "phases": [INDUCTION | {"window_days": 7}]}))
    book(tight, [treatment(local(3, 9, 9)), treatment(local(3, 12, 9)), treatment(local(3, 15, 22))])


def test_a_window_counts_what_is_booked_already() -> None:
    tight = terms(INDUCTION | {"window_days": 7})
    there = standing(tight, [treatment(local(3, 2, 9)), treatment(local(3, 5, 9))])
    book(tight, [treatment(local(3, 8, 9))], standing=there)
    faults = at_fault(SpacingOutsideProtocol, [treatment(local(3, 9, 9))], tight, standing=there)
    assert faults == [("visits[0].start_time", "WINDOW_EXCEEDED")]


@pytest.mark.parametrize(
    ("day", "rules"),
    [
        (date(2027, 4, 2), ["ANCHOR_DISTANCE"]),
        (date(2027, 4, 3), []),
        (date(2027, 4, 7), []),
        (date(2027, 4, 8), ["ANCHOR_DISTANCE"]),
    ],
)
def test_a_review_keeps_its_distance_from_the_last_visit_of_its_anchor(day: date, rules: list[str]) -> None:
    anchored = terms(INDUCTION, REVIEW)
    choices = [treatment(local(3, 2, 9)), treatment(local(3, 5, 9)), talk(local(day.month, day.day, 9), "review")]
    if rules:
        assert at_fault(SpacingOutsideProtocol, choices, anchored) == [("visits[2].start_time", rule) for rule in rules]
    else:
        book(anchored, choices)


def test_a_review_a_month_after_the_last_of_january_is_due_on_the_last_of_february() -> None:
    anchored = terms(INDUCTION | {"visits_default": 1}, REVIEW | {"anchor": REVIEW["anchor"] | {"tolerance_days": 0}})
    book(anchored, [treatment(local(1, 31, 9)), talk(local(2, 28, 9), "review")], now=NOW - 60 * DAY)


def test_a_review_may_be_among_visits_of_a_later_phase_whose_gaps_skip_it() -> None:
    anchored = terms(INDUCTION, REVIEW, BOOSTER)
    boosters = [treatment(local(3, 20, 9)), treatment(local(4, 19, 9))]
    boosters = [replace(each, phase_code="booster") for each in boosters]
    course = [treatment(local(3, 5, 9)), boosters[0], talk(local(4, 5, 9), "review"), boosters[1]]
    book(anchored, course)


def test_a_review_without_its_anchor_is_refused() -> None:
    assert at_fault(SpacingOutsideProtocol, [talk(local(4, 5, 9), "review")], terms(INDUCTION, REVIEW)) == [
        ("visits[0].phase_code", "ANCHOR_MISSING")
    ]


def test_a_review_may_be_booked_later_than_its_anchor_and_an_anchor_may_not_move_on_past_it() -> None:
    anchored = terms(INDUCTION, REVIEW)
    there = standing(anchored, [treatment(local(3, 5, 9))])
    review = [talk(local(4, 5, 9), "review")]
    book(anchored, review, standing=there)
    both = (*there, *standing(anchored, review))
    book(anchored, [treatment(local(3, 7, 9))], standing=both)
    faults = at_fault(SpacingOutsideProtocol, [treatment(local(3, 8, 9))], anchored, standing=both)
    assert faults == [("visits[0].start_time", "ANCHOR_DISTANCE")]


def test_a_later_phase_keeps_its_gap_from_what_is_booked_already() -> None:
    there = standing(TERMS, [treatment(local(3, 2, 9))])
    book(TERMS, [talk(local(3, 9, 9), "follow_up")], standing=there)
    faults = at_fault(SpacingOutsideProtocol, [talk(local(3, 8, 9), "follow_up")], standing=there)
    assert faults == [("visits[0].start_time", "SPACING_OUTSIDE_PROTOCOL")]


def test_a_gap_to_a_visit_that_stands_after_is_kept_as_well() -> None:
    there = standing(TERMS, [treatment(local(3, 5, 9))])
    faults = at_fault(SpacingOutsideProtocol, [treatment(local(3, 4, 9))], standing=there)
    assert faults == [("visits[0].start_time", "SPACING_OUTSIDE_PROTOCOL")]


def test_an_earlier_phase_does_not_come_after_one_that_is_booked() -> None:
    there = standing(TERMS, [treatment(local(3, 2, 9))])
    faults = at_fault(PhasesOutsideProtocol, [talk(local(3, 4, 9))], standing=there)
    assert faults == [("visits[0].phase_code", "OUT_OF_ORDER")]


def test_visits_that_stand_count_towards_the_phases_number() -> None:
    there = standing(TERMS, [talk(local(3, 1, 17)), talk(local(3, 2, 9))])
    faults = at_fault(PhasesOutsideProtocol, [talk(local(3, 3, 9))], standing=there)
    assert faults == [("visits[0].phase_code", "VISIT_COUNT")]


@pytest.mark.parametrize("there", [False, True])
def test_a_requirement_may_ask_for_the_same_person_at_every_visit(*, there: bool) -> None:
    requirements: Any = TREATMENT["requirements"]
    same = [{**each, "same_across_visits": each["key"] == "nurse"} for each in requirements]
    steady = with_(template=domain_template({**TEMPLATE, "visit_types": [TALK, {**TREATMENT, "requirements": same}]}))
    first, second = treatment(local(3, 2, 9)), treatment(local(3, 5, 9), nurse=OTHER)
    kept = standing(steady, [first]) if there else ()
    asked = [second] if there else [first, second]
    faults = at_fault(ResourceUnsuitable, asked, steady, standing=kept)
    assert faults == [(f"visits[{len(asked) - 1}].resources[0].resource_id", "NOT_THE_SAME")]
    book(TERMS, asked, standing=kept)


def test_a_visit_is_booked_with_the_notice_that_its_type_wants() -> None:
    wanting = with_(template=domain_template({**TEMPLATE, "visit_types": [TALK, TREATMENT | {"notice_minutes": 60}]}))
    start: datetime = local(3, 2, 9)
    hour = timedelta(minutes=60)
    book(wanting, [treatment(start)], now=start - hour)
    faults = at_fault(NoticeTooShort, [treatment(start)], wanting, now=start - hour + timedelta(seconds=1))
    assert faults == [("visits[0].start_time", "NOTICE_TOO_SHORT")]


def test_the_days_on_which_a_visit_may_be_keep_both_gaps_window_and_anchor() -> None:
    anchored = terms(INDUCTION | {"window_days": 8}, REVIEW)
    choices = [treatment(local(3, 2, 9)), treatment(local(3, 5, 9)), treatment(local(3, 9, 9))]
    stops = anchored.stops(anchored.layouts([*choices, talk(local(4, 9, 9), "review")]))
    assert days_of(stops[1], stops, 14) == (date(2027, 3, 4), date(2027, 3, 7))
    assert days_of(stops[2], stops, 14) == (date(2027, 3, 7), date(2027, 3, 9))
    assert days_of(stops[0], stops, 1) == (date(2027, 3, 2), date(2027, 3, 3))
    assert days_of(stops[3], stops, 14) == (date(2027, 4, 7), date(2027, 4, 11))


def test_the_last_visit_of_a_phase_may_be_only_where_what_is_due_by_it_keeps_its_distance() -> None:
    """The review of 1 March is due a month after the second booster, give or take two days; the first moves freely."""
    due = REVIEW | {"anchor": {"phase_code": "booster", "months": 1, "tolerance_days": 2}}
    anchored = terms(BOOSTER, due)
    boosters = [replace(treatment(local(*day, 9)), phase_code="booster") for day in ((1, 4), (2, 1))]
    stops = anchored.stops(anchored.layouts([*boosters, talk(local(3, 1, 9), "review")]))
    assert days_of(stops[0], stops, 14) == (date(2026, 12, 21), date(2027, 1, 18))
    assert days_of(stops[1], stops, 14) == (date(2027, 1, 27), date(2027, 2, 3))
    for day, faulty in ((26, True), (27, False), (34, False), (35, True)):
        moved = [boosters[0], replace(boosters[1], start=local(1, 1, 9) + (day - 1) * DAY)]
        again = anchored.stops(anchored.layouts([*moved, talk(local(3, 1, 9), "review")]))
        assert bool(list(spacing_faults(again))) is faulty
