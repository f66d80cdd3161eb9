"""Rules of booking a course, without anything outside the process."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.errors import DomainError
from services.scheduling.domain.courses import (
    Choice,
    Clearance,
    ClearanceMissing,
    GatePending,
    OutsideHours,
    PhasesOutsideProtocol,
    RequirementsNotMet,
    ResourceUnsuitable,
    RouteUnknown,
    SpacingOutsideProtocol,
    StartNotOnMinute,
    Taken,
    Terms,
    VisitInPast,
    VisitsConflict,
    VisitsOutOfOrder,
)
from services.scheduling.domain.hours import Days, Hours, Shift, Slot
from services.scheduling.domain.resources import Resource, ResourceKind, ResourceNotFound
from tests.support.scheduling import DAY, DENVER, TEMPLATE, domain_template, local, phase

NOW = datetime(2027, 3, 1, tzinfo=UTC)
SITE, PATIENT, ROOM, NURSE, OTHER, DOCTOR = (UUID(int=n) for n in range(1, 7))
WEEK = tuple(Shift(day, 8 * 60, 18 * 60) for day in range(7))


def resource(id: UUID, kind: ResourceKind, *capabilities: str, lanes: int = 1, **changes: Any) -> Resource:
    return Resource(id, SITE, kind, "", frozenset(capabilities), lanes, **changes)


RESOURCES = (
    resource(ROOM, ResourceKind.ROOM),
    resource(NURSE, ResourceKind.STAFF, "infusion", lanes=2),
    resource(OTHER, ResourceKind.STAFF, "infusion", lanes=2),
    resource(DOCTOR, ResourceKind.STAFF, "prescriber"),
)
CLEARED = Clearance(frozenset({"iv"}), date(2027, 1, 1), date(2027, 12, 31))
TERMS = Terms(
    site=Hours(DENVER, WEEK),
    protocol_id=UUID(int=7),
    template=domain_template(),
    resources={each.id: each for each in RESOURCES},
    clearances=[CLEARED],
    patient_id=PATIENT,
    patient_ids=frozenset({PATIENT}),
)


def with_(*changed: Resource, **changes: Any) -> Terms:
    return replace(TERMS, resources=dict(TERMS.resources) | {each.id: each for each in changed}, **changes)


def treatment(start: datetime, **resources: UUID) -> Choice:
    return Choice("induction", start, tuple(({"nurse": NURSE, "room": ROOM} | resources).items()))


def talk(start: datetime, phase_code: str = "assessment") -> Choice:
    return Choice(phase_code, start, (("prescriber", DOCTOR),))


def book(terms: Terms, choices: Sequence[Choice], **changes: Any) -> None:
    """As booking does, up to what is taken."""
    route_code, standing = changes.get("route_code", "iv"), changes.get("standing", ())
    terms.check_gates(route_code, terms.lay_out(route_code, choices, changes.get("now", NOW), standing))


def at_fault(
    error: type[DomainError], choices: Sequence[Choice], terms: Terms = TERMS, **changes: Any
) -> list[tuple[str, str]]:
    with pytest.raises(error) as refused:
        book(terms, choices, **changes)
    return [(each.field, each.rule) for each in refused.value.violations]


def test_a_whole_course_keeps_every_rule() -> None:
    starts = [local(3, day, 9) for day in (3, 6, 9)]
    course = [talk(local(3, 1, 9)), *map(treatment, starts), talk(local(3, 23, 9), "follow_up")]
    layouts = TERMS.lay_out("iv", course, NOW)
    assert [layout.type.code for layout in layouts] == ["talk", "treatment", "treatment", "treatment", "talk"]
    assert layouts[1].stay == Slot(starts[0], starts[0] + timedelta(minutes=80))
    assert layouts[1].hold == Slot(starts[0], starts[0] + timedelta(minutes=90))


def test_a_route_must_be_the_versions() -> None:
    assert at_fault(RouteUnknown, [treatment(local(3, 2, 9))], route_code="im") == [("route_code", "ROUTE_UNKNOWN")]


def test_phases_go_in_their_order_and_are_the_versions() -> None:
    choices = [treatment(local(3, 2, 9)), talk(local(3, 5, 9)), talk(local(3, 20, 9), "booster")]
    assert at_fault(PhasesOutsideProtocol, choices) == [
        ("visits[1].phase_code", "OUT_OF_ORDER"),
        ("visits[2].phase_code", "UNKNOWN"),
    ]


def test_a_phase_has_its_number_of_visits() -> None:
    choices = [talk(local(3, day, 9)) for day in (2, 3, 4)]
    assert at_fault(PhasesOutsideProtocol, choices) == [(f"visits[{n}].phase_code", "VISIT_COUNT") for n in range(3)]
    assert TERMS.lay_out("iv", choices[:2], NOW)


def test_each_requirement_is_met_once() -> None:
    start = local(3, 2, 9)
    choices = [
        Choice("induction", start, (("nurse", NURSE), ("nurse", OTHER))),
        Choice("induction", start + 3 * DAY, (("nurse", NURSE), ("room", ROOM), ("pump", OTHER))),
        Choice("induction", start + 6 * DAY, (("nurse", NURSE), ("room", NURSE))),
    ]
    assert at_fault(RequirementsNotMet, choices) == [
        ("visits[0].resources[1].requirement_key", "REQUIREMENT_TWICE"),
        ("visits[0].resources", "REQUIREMENT_MISSING"),
        ("visits[1].resources[2].requirement_key", "REQUIREMENT_UNKNOWN"),
        ("visits[2].resources[1].resource_id", "RESOURCE_TWICE"),
    ]


def test_a_resource_must_be_the_sites() -> None:
    choices = [treatment(local(3, 2, 9)), treatment(local(3, 5, 9), nurse=UUID(int=99))]
    assert at_fault(ResourceNotFound, choices) == [("visits[1].resources[0].resource_id", "RESOURCE_NOT_FOUND")]


def test_a_resource_must_be_of_the_kind_able_and_large_enough() -> None:
    single = resource(OTHER, ResourceKind.STAFF, "infusion", lanes=1)
    choices = [
        treatment(local(3, 2, 9), room=OTHER),
        treatment(local(3, 5, 9), nurse=DOCTOR),
        treatment(local(3, 8, 9), nurse=OTHER),
    ]
    assert at_fault(ResourceUnsuitable, choices, with_(single)) == [
        ("visits[0].resources[1].resource_id", "WRONG_KIND"),
        ("visits[1].resources[0].resource_id", "LACKS_CAPABILITY"),
        ("visits[2].resources[0].resource_id", "TOO_FEW_LANES"),
    ]


def test_a_visit_starts_on_a_whole_minute() -> None:
    start = local(3, 2, 9) + timedelta(seconds=30)
    assert at_fault(StartNotOnMinute, [treatment(start)]) == [("visits[0].start_time", "START_NOT_ON_MINUTE")]


def test_a_visit_may_start_now_and_not_before() -> None:
    start = local(3, 2, 9)
    assert TERMS.lay_out("iv", [treatment(start)], start)
    faults = at_fault(VisitInPast, [treatment(start)], now=start + timedelta(seconds=1))
    assert faults == [("visits[0].start_time", "VISIT_IN_PAST")]


def test_a_visit_may_begin_when_the_one_before_it_ends_and_not_before() -> None:
    same_day = with_(
        template=domain_template(
            {**TEMPLATE, "phases": [phase("assessment", "ASSESSMENT", "talk", (1, 1, 2), (0, 0, 3))]}
        )
    )
    start = local(3, 2, 9)
    assert same_day.lay_out("iv", [talk(start), talk(start + timedelta(minutes=30))], NOW)
    late = [talk(start), talk(start + timedelta(minutes=29))]
    assert at_fault(VisitsOutOfOrder, late, same_day) == [("visits[1].start_time", "VISITS_OUT_OF_ORDER")]


def test_every_gap_outside_the_protocol_is_named_and_the_phase_of_the_later_visit_rules() -> None:
    days = (2, 3, 5, 10, 16)  # 1, 2, 5 and 6 days apart, of 2 to 5.
    faults = at_fault(SpacingOutsideProtocol, [treatment(local(3, day, 9)) for day in days])
    assert faults == [(f"visits[{n}].start_time", "SPACING_OUTSIDE_PROTOCOL") for n in (1, 4)]
    assert TERMS.lay_out(
        "iv", [talk(local(3, 1, 9)), treatment(local(3, 3, 9)), talk(local(3, 10, 9), "follow_up")], NOW
    )
    soon = [treatment(local(3, 3, 9)), talk(local(3, 9, 9), "follow_up")]
    assert at_fault(SpacingOutsideProtocol, soon) == [("visits[1].start_time", "SPACING_OUTSIDE_PROTOCOL")]


def test_a_phase_may_begin_at_another_distance_than_its_visits_keep() -> None:
    entry_gap = {"days_min": 0, "days_preferred": 7, "days_max": 30}
    phases = [TEMPLATE["phases"][0], {**TEMPLATE["phases"][1], "entry_gap": entry_gap}]
    terms = with_(template=domain_template({**TEMPLATE, "phases": phases}))
    assert terms.lay_out("iv", [talk(local(3, 1, 9)), treatment(local(3, 31, 9))], NOW)
    late = [talk(local(3, 1, 9)), treatment(local(3, 2, 9)), treatment(local(3, 8, 9))]
    assert at_fault(SpacingOutsideProtocol, late, terms) == [("visits[2].start_time", "SPACING_OUTSIDE_PROTOCOL")]


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 12, 119), (11, 5, 121)])
def test_days_are_counted_by_the_sites_clocks_across_their_change(month: int, day: int, hours: int) -> None:
    starts = [local(month, day, 9), local(month, day + 5, 9)]
    assert starts[1] - starts[0] == timedelta(hours=hours)
    assert len(TERMS.lay_out("iv", [treatment(start) for start in starts], NOW)) == 2


def test_days_are_the_sites_not_utc_days() -> None:
    """Late on Monday in Denver is Tuesday in UTC: seen from there the gap would be one day."""
    late = with_(site=Hours(DENVER, tuple(Shift(day, 8 * 60, 24 * 60) for day in range(7))))
    assert late.lay_out("iv", [treatment(local(3, 1, 18)), treatment(local(3, 3, 8))], NOW)


def test_a_visit_in_person_is_within_the_sites_hours_and_turnover_counts() -> None:
    assert TERMS.lay_out("iv", [treatment(local(3, 2, 16, 30))], NOW)
    late = [treatment(local(3, 2, 16, 31)), treatment(local(3, 5, 9))]
    assert at_fault(OutsideHours, late) == [("visits[0].start_time", "SITE_CLOSED")]


def test_a_closed_day_is_closed() -> None:
    closed = with_(site=Hours(DENVER, WEEK, (Days(date(2027, 3, 5), date(2027, 3, 5)),)))
    choices = [treatment(local(3, 2, 9)), treatment(local(3, 5, 9))]
    assert at_fault(OutsideHours, choices, closed) == [("visits[1].start_time", "SITE_CLOSED")]


def test_staff_have_hours_of_their_own_while_they_are_held() -> None:
    """The nurse leaves when the observation ends: the room's turnover needs nobody."""
    short = resource(NURSE, ResourceKind.STAFF, "infusion", lanes=2, working_hours=(Shift(1, 9 * 60, 10 * 60 + 20),))
    assert with_(short).lay_out("iv", [treatment(local(3, 2, 9))], NOW)
    assert at_fault(OutsideHours, [treatment(local(3, 2, 9, 1))], with_(short)) == [
        ("visits[0].resources[0]", "NOT_AT_WORK")
    ]


def test_time_off_counts_for_who_has_the_sites_hours_too() -> None:
    away = resource(ROOM, ResourceKind.ROOM, time_off=(Slot(local(3, 2, 10, 29), local(3, 2, 11)),))
    assert at_fault(OutsideHours, [treatment(local(3, 2, 9))], with_(away)) == [
        ("visits[0].resources[1]", "NOT_AT_WORK")
    ]
    assert with_(away).lay_out("iv", [treatment(local(3, 2, 8, 45))], NOW)


def test_a_telehealth_visit_asks_for_the_hours_of_its_staff_only() -> None:
    evening = resource(DOCTOR, ResourceKind.STAFF, "prescriber", working_hours=(Shift(1, 18 * 60, 22 * 60),))
    assert with_(evening).lay_out("iv", [talk(local(3, 2, 20))], NOW)
    assert at_fault(OutsideHours, [talk(local(3, 2, 20))]) == [("visits[0].resources[0]", "NOT_AT_WORK")]


def test_a_visit_of_a_gated_phase_waits_while_no_clearance_was_heard_of() -> None:
    choices = [talk(local(3, 1, 9)), treatment(local(3, 3, 9))]
    assert at_fault(GatePending, choices, with_(clearances=None)) == [("visits[1].phase_code", "GATE_PENDING")]
    assert with_(clearances=None).lay_out("iv", choices[:1], NOW)


@pytest.mark.parametrize(
    ("clearances", "at_fault_"),
    [
        ([], [0, 1]),
        ([replace(CLEARED, expire=date(2027, 3, 2))], [1]),
        ([replace(CLEARED, effective=date(2027, 3, 3))], [0]),
        ([replace(CLEARED, route_codes=frozenset({"nasal"}))], [0, 1]),
        ([replace(CLEARED, expire=date(2027, 3, 2)), replace(CLEARED, effective=date(2027, 3, 5))], []),
    ],
)
def test_a_clearance_covers_the_route_and_the_local_day_of_each_visit(
    clearances: list[Clearance], at_fault_: list[int]
) -> None:
    choices = [treatment(local(3, 2, 16)), treatment(local(3, 5, 9))]
    if at_fault_:
        faults = at_fault(ClearanceMissing, choices, with_(clearances=clearances))
        assert faults == [(f"visits[{n}].start_time", "CLEARANCE_MISSING") for n in at_fault_]
    else:
        assert with_(clearances=clearances).lay_out("iv", choices, NOW)


LIMITED = replace(CLEARED, band_codes=frozenset({"short"}), session_minutes_max=40)


@pytest.mark.parametrize(
    ("clearances", "rules"),
    [
        ([LIMITED], []),
        ([replace(LIMITED, band_codes=frozenset({"long"}))], ["BAND_NOT_CLEARED"]),
        ([replace(LIMITED, session_minutes_max=39)], ["SESSION_TOO_LONG"]),
        (
            [replace(LIMITED, band_codes=frozenset({"long"}), session_minutes_max=1)],
            ["BAND_NOT_CLEARED", "SESSION_TOO_LONG"],
        ),
        ([replace(LIMITED, session_minutes_max=1), CLEARED], []),
        (
            [replace(LIMITED, session_minutes_max=1), replace(LIMITED, band_codes=frozenset({"long"}))],
            ["SESSION_TOO_LONG"],
        ),
        (
            [replace(LIMITED, band_codes=frozenset({"long"}), session_minutes_max=1),
             replace(LIMITED, session_minutes_max=1)],
            ["SESSION_TOO_LONG"],
        ),
        ([replace(LIMITED, session_minutes_max=1), replace(CLEARED, route_codes=frozenset({"nasal"}))],
         ["SESSION_TOO_LONG"]),
    ],
)  # fmt: skip
def test_one_clearance_covers_band_and_length_too_or_the_closest_says_what_it_lacks(
    clearances: list[Clearance], rules: list[str]
) -> None:
    choices = [treatment(local(3, 2, 9))]
    if rules:
        faults = at_fault(ClearanceMissing, choices, with_(clearances=clearances))
        assert faults == [("visits[0].phase_code", rule) for rule in rules]
    else:
        assert with_(clearances=clearances).lay_out("iv", choices, NOW)


def test_limits_of_band_and_length_are_of_visits_with_administration() -> None:
    visit_type = TERMS.template.visit_type("talk")
    assert list(replace(LIMITED, band_codes=frozenset({"long"}), session_minutes_max=1).exceeded_by(visit_type)) == []


NINE = local(3, 2, 9)
Lane = tuple[UUID, int, int, int]
"""Who, which lane, from and to in minutes after the visit's start."""


def place(choices: Sequence[Choice], taken: Sequence[Taken] = (), terms: Terms = TERMS) -> list[list[Lane]]:
    placed = terms.place(PATIENT, choices, terms.lay_out("iv", choices, NOW), taken)
    return [
        [
            (each.holder_id, each.lane, _minute(each.slot.start, choice), _minute(each.slot.end, choice))
            for each in lanes
        ]
        for choice, lanes in zip(choices, placed, strict=True)
    ]


def _minute(at: datetime, choice: Choice) -> int:
    return (at - choice.start) // timedelta(minutes=1)


def minutes(start: int, end: int, of: datetime = NINE) -> Slot:
    return Slot(of + timedelta(minutes=start), of + timedelta(minutes=end))


def test_a_nurse_of_two_lanes_gives_both_while_dosing_and_one_in_observation() -> None:
    [lanes] = place([treatment(NINE)])
    assert sorted(lanes) == [(ROOM, 0, 0, 90), (NURSE, 0, 0, 80), (NURSE, 1, 10, 50)]


def test_a_visit_takes_the_lowest_free_lane() -> None:
    [lanes] = place([treatment(NINE)], [Taken(NURSE, 0, minutes(-60, 10))])
    assert sorted(lanes) == [(ROOM, 0, 0, 90), (NURSE, 0, 10, 80), (NURSE, 1, 0, 50)]


def test_a_nurse_who_observes_one_patient_may_not_dose_another() -> None:
    with pytest.raises(VisitsConflict) as refused:
        place([treatment(NINE)], [Taken(NURSE, 1, minutes(49, 60))])
    assert [(each.field, each.rule) for each in refused.value.violations] == [
        ("visits[0].resources[0]", "RESOURCE_TAKEN")
    ]


def test_a_nurse_who_observes_one_patient_may_prepare_and_observe_another() -> None:
    [lanes] = place([treatment(NINE)], [Taken(NURSE, 0, minutes(-50, 10)), Taken(NURSE, 0, minutes(50, 70))])
    assert sorted(lanes) == [(ROOM, 0, 0, 90), (NURSE, 0, 10, 50), (NURSE, 1, 0, 80)]


def test_every_conflict_of_every_visit_is_named() -> None:
    choices = [treatment(NINE), treatment(NINE + 3 * DAY), treatment(NINE + 6 * DAY)]
    taken = [
        Taken(PATIENT, 0, minutes(79, 90)),
        Taken(ROOM, 0, minutes(89, 100)),
        Taken(ROOM, 0, minutes(0, 1, NINE + 6 * DAY)),
    ]
    with pytest.raises(VisitsConflict) as refused:
        place(choices, taken)
    assert [(each.field, each.rule) for each in refused.value.violations] == [
        ("visits[0]", "PATIENT_TAKEN"),
        ("visits[0].resources[1]", "RESOURCE_TAKEN"),
        ("visits[2].resources[1]", "RESOURCE_TAKEN"),
    ]


def test_what_ends_when_a_visit_begins_is_no_conflict() -> None:
    taken = [Taken(ROOM, 0, minutes(-30, 0)), Taken(ROOM, 0, minutes(90, 95)), Taken(PATIENT, 0, minutes(80, 99))]
    assert len(place([treatment(NINE)], taken)) == 1


def test_two_visits_of_a_course_on_one_day_do_not_take_the_same_lane() -> None:
    """The room is made ready for ten minutes after the patient has left: the next visit cannot have it yet."""
    gaps = [phase("induction", "INDUCTION", "treatment", (1, 6, 6), (0, 1, 5))]
    same_day = with_(template=domain_template({**TEMPLATE, "phases": gaps}))
    later = treatment(NINE + timedelta(minutes=80), nurse=OTHER)
    with pytest.raises(VisitsConflict) as refused:
        place([treatment(NINE), later], terms=same_day)
    assert [each.field for each in refused.value.violations] == ["visits[1].resources[1]"]
