"""What differs between two templates, and what a change would mean for a running course."""

from copy import deepcopy
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.scheduling.domain.hours import Slot
from services.scheduling.domain.protocols import NOTHING, Template
from services.scheduling.domain.template_changes import (
    Change,
    ChangeKind,
    RunningCourse,
    RunningVisit,
    SiteImpact,
    breaches,
    changes,
    impact_of,
)
from tests.support.scheduling import DENVER, TEMPLATE, domain_template, local, phase, segment

BASE = domain_template()
NOW = local(3, 10, 12)


def changed(**paths: Any) -> Template:
    data = deepcopy(dict(TEMPLATE))
    for name, change in paths.items():
        data[name] = change(data[name])
    return domain_template(data)


def course(*days: int, n: int = 1) -> RunningCourse:
    """Treatments of 80 minutes at nine on days of March 2027; clocks change on the 14th."""
    stays = (Slot(local(3, day, 9), local(3, day, 10, 20)) for day in days)
    visits = tuple(RunningVisit("induction", "treatment", stay) for stay in stays)
    return RunningCourse(UUID(int=n), UUID(int=99), 1, "iv", DENVER, visits)


def rules(course: RunningCourse, template: Template) -> list[tuple[str, str]]:
    return [(each.field, each.rule) for each in breaches(course, template, NOW)]


def test_the_same_template_has_no_changes() -> None:
    assert changes(BASE, domain_template()) == []


def test_a_number_that_changed_is_named_by_the_codes_it_is_in() -> None:
    def later(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        phases[1]["gap_days_max"] = 7
        return phases

    assert changes(BASE, changed(phases=later)) == [
        Change("phases[induction].gap_days_max", ChangeKind.CHANGED, "5", "7")
    ]


def test_a_part_that_was_added_or_removed_is_named_once() -> None:
    boosters = phase("boosters", "MAINTENANCE", "treatment", (1, 3, 6), (14, 28, 42))
    more = changed(phases=lambda phases: [*phases, boosters])
    assert changes(BASE, more) == [Change("phases[boosters]", ChangeKind.ADDED)]
    assert changes(more, BASE) == [Change("phases[boosters]", ChangeKind.REMOVED)]


def gate(kind: str, effect: str = "BLOCK", stage: str = "CHECK_IN", **days: Any) -> dict[str, Any]:
    kinds = {"kind": f"GATE_KIND_{kind}", "stage": f"GATE_STAGE_{stage}", "effect": f"GATE_EFFECT_{effect}"}
    return kinds | days


def test_a_gate_or_a_segment_that_goes_changes_none_behind_it() -> None:
    """These have no codes, and were compared by their places."""
    one = domain_template({**TEMPLATE, "gates": [gate("RIDE_HOME"), gate("FASTING"), gate("VITALS")]})
    other = domain_template({**TEMPLATE, "gates": [gate("FASTING", "WARN"), gate("VITALS")]})
    assert changes(one, other) == [
        Change("gates[FASTING/CHECK_IN].effect", ChangeKind.CHANGED, "GATE_EFFECT_BLOCK", "GATE_EFFECT_WARN"),
        Change("gates[RIDE_HOME/CHECK_IN]", ChangeKind.REMOVED),
    ]
    shorter = changed(visit_types=lambda types: [types[0], types[1] | {"segments": types[1]["segments"][1:]}])
    assert changes(BASE, shorter) == [
        Change("visit_types[treatment].segments[PREPARATION]", ChangeKind.REMOVED),
    ]


def test_gates_of_one_kind_for_other_days_are_told_apart() -> None:
    last, first = {"year": 2026, "month": 12, "day": 31}, {"year": 2027, "month": 1, "day": 1}
    before = gate("TELEMEDICINE", "WARN", expire_date=last)
    one = domain_template({**TEMPLATE, "gates": [before]})
    other = domain_template({**TEMPLATE, "gates": [before, gate("TELEMEDICINE", effective_date=first)]})
    assert changes(one, other) == [Change("gates[TELEMEDICINE/CHECK_IN#2]", ChangeKind.ADDED)]


def test_parts_that_stand_in_another_order_are_named_by_their_list() -> None:
    """Phases are in the order of a course, and a visit is billed in the name of its first staff member. What was added
    or removed in between moved nothing."""
    swapped = changed(phases=lambda phases: [phases[0], phases[2], phases[1]])
    assert changes(BASE, swapped) == [
        Change("phases", ChangeKind.CHANGED, "assessment, induction, follow_up", "assessment, follow_up, induction")
    ]

    def room_first(types: list[dict[str, Any]]) -> list[dict[str, Any]]:
        types[1]["requirements"].reverse()
        return types

    assert changes(BASE, changed(visit_types=room_first)) == [
        Change("visit_types[treatment].requirements", ChangeKind.CHANGED, "nurse, room", "room, nurse")
    ]
    boosters = phase("boosters", "MAINTENANCE", "treatment", (1, 3, 6), (14, 28, 42))
    other = changed(phases=lambda phases: [phases[0], boosters, phases[2]])
    assert [each.path for each in changes(BASE, other)] == ["phases[boosters]", "phases[induction]"]
    moved = changed(phases=lambda phases: [boosters, phases[2], phases[0]])
    assert changes(BASE, moved)[1] == Change(
        "phases", ChangeKind.CHANGED, "assessment, follow_up", "follow_up, assessment"
    )


def test_before_the_first_version_all_is_new() -> None:
    found = changes(NOTHING, BASE)
    assert [each.path for each in found] == [
        "routes[iv]",
        "routes[nasal]",
        "visit_types[talk]",
        "visit_types[treatment]",
        "phases[assessment]",
        "phases[induction]",
        "phases[follow_up]",
    ]
    assert {each.kind for each in found} == {ChangeKind.ADDED}


def test_a_running_course_breaks_nothing_that_did_not_change() -> None:
    assert rules(course(8, 11, 15), BASE) == []


def test_a_course_by_a_route_or_phase_that_is_gone_is_named() -> None:
    template = changed(routes=lambda routes: routes[1:], phases=lambda phases: phases[:1])
    assert rules(course(8, 11), template) == [
        ("route_code", "ROUTE_UNKNOWN"),
        ("visits[1].phase_code", "PHASE_UNKNOWN"),
    ]


def test_longer_visits_and_other_gaps_are_breaches_of_what_is_still_to_come_only() -> None:
    def longer(types: list[dict[str, Any]]) -> list[dict[str, Any]]:
        types[1]["segments"][2] = segment("OBSERVATION", 31, nurse=1, room=1)
        return types

    def closer(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        phases[1] |= {"gap_days_max": 3}
        return phases

    assert rules(course(1, 6, 11, 15), changed(visit_types=longer)) == [
        ("visits[2]", "TOO_SHORT"),
        ("visits[3]", "TOO_SHORT"),
    ]
    # Four days of 23 and 24 hours lie between the 11th and the 15th, when clocks change.
    assert rules(course(1, 5, 8, 11, 15), changed(phases=closer)) == [("visits[4].start_time", "SPACING")]


def test_the_first_visit_of_a_phase_keeps_its_own_distance_from_the_phase_before() -> None:
    def entered(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        phases[2] |= {"entry_gap": {"days_min": 1, "days_preferred": 3, "days_max": 3}}
        return phases

    talk = RunningVisit("follow_up", "talk", Slot(local(3, 18, 9), local(3, 18, 9, 30)))
    running = course(8, 11)
    running = replace(running, visits=(*running.visits, talk))
    assert rules(running, BASE) == []
    assert rules(running, changed(phases=entered)) == [("visits[2].start_time", "SPACING")]


def test_visits_to_come_beyond_the_window_that_their_phase_then_has_are_breaches() -> None:
    """From the 5th to the 13th are nine days; what is over stands, and the days of other phases do not count."""

    def within(days: int) -> Template:
        def narrower(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
            phases[1] |= {"window_days": days, "visits_default": 1}
            return phases

        return changed(phases=narrower)

    talk = RunningVisit("assessment", "talk", Slot(local(3, 4, 9), local(3, 4, 9, 30)))
    running = course(5, 8, 11, 13)
    running = replace(running, visits=(talk, *running.visits))
    assert rules(running, within(9)) == []
    assert rules(running, within(8)) == [("visits[4].start_time", "WINDOW_EXCEEDED")]
    assert rules(running, within(3)) == [(f"visits[{n}].start_time", "WINDOW_EXCEEDED") for n in (3, 4)]


def test_a_visit_to_come_that_would_be_due_on_other_days_by_its_anchor_is_a_breach() -> None:
    def due(months: int) -> Template:
        anchor = {"phase_code": "induction", "months": months, "tolerance_days": 3}
        again = phase("again", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
        return changed(phases=lambda phases: [*phases, again])

    def again(month: int, day: int) -> RunningCourse:
        talk = RunningVisit("again", "talk", Slot(local(month, day, 9), local(month, day, 9, 30)))
        return replace(running, visits=(*running.visits, talk))

    running = course(5, 8)
    assert [rules(again(4, day), due(1)) for day in (5, 11)] == [[], []]
    late = [("visits[2].start_time", "ANCHOR_DISTANCE")]
    assert [rules(again(4, day), due(1)) for day in (4, 12)] == [late, late]
    assert rules(again(4, 8), due(2)) == late
    assert rules(again(3, 9), due(2)) == []  # Over.
    assert rules(replace(again(4, 8), visits=again(4, 8).visits[2:]), due(2)) == []


def test_visits_to_come_in_another_order_than_that_of_the_phases_are_breaches() -> None:
    def ordered(*numbers: int) -> Template:
        any_gap = {"gap_days_min": 0, "gap_days_preferred": 3, "gap_days_max": 30}
        return changed(phases=lambda phases: [phases[n] | any_gap for n in numbers])

    def talk(day: int) -> RunningVisit:
        return RunningVisit("follow_up", "talk", Slot(local(3, day, 9), local(3, day, 9, 30)))

    running = course(8, 11)
    to_come = replace(running, visits=(*running.visits, talk(18)))
    assert rules(to_come, ordered(0, 1, 2)) == []
    assert rules(to_come, ordered(0, 2, 1)) == [("visits[2].phase_code", "OUT_OF_ORDER")]
    over = replace(running, visits=(running.visits[0], talk(9), course(11).visits[0]))
    assert rules(over, ordered(0, 2, 1)) == []
    assert rules(over, ordered(0, 1, 2)) == [("visits[2].phase_code", "OUT_OF_ORDER")]


def test_fewer_visits_than_the_phase_then_has_are_no_breach_since_more_may_be_booked() -> None:
    def more(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        phases[1] |= {"visits_min": 4, "visits_default": 4}
        return phases

    assert rules(course(8, 11, 15), changed(phases=more)) == []


def test_more_visits_than_the_phase_then_has_are_a_breach() -> None:
    def fewer(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        phases[1] |= {"visits_default": 2, "visits_max": 2}
        return phases

    assert rules(course(8, 11, 15), changed(phases=fewer)) == [("visits", "VISIT_COUNT")]


def test_the_impact_is_counted_by_site() -> None:
    def none_at_all(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return phases[:1]

    impact = impact_of([course(8, 11), course(8, n=2)], changed(phases=none_at_all), NOW)
    assert impact.sites == (SiteImpact(UUID(int=99), courses=2, visits=1, breaching=1),)
    assert [running.id for running, _ in impact.breaching] == [UUID(int=1)]
