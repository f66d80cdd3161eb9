"""Fitting a course into a calendar: which plans are found, and what is said when there is none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from chassis.ids import to_wire
from services.scheduling.domain.courses import PhasesOutsideProtocol, RouteUnknown
from services.scheduling.domain.hours import Days, Hours, Shift, Slot
from services.scheduling.domain.planning import (
    Between,
    Calendar,
    Place,
    Plan,
    PlanNotFound,
    PlanTooLong,
    PlanWindowInvalid,
    Tastes,
    Wish,
    fields_of,
    last_day,
    nearest_openings,
    outline,
    plan,
    spacing,
)
from services.scheduling.domain.planning.refusals import TEXTS
from services.scheduling.domain.planning.scores import CostKind
from services.scheduling.domain.planning.search import Search
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.domain.visits import Status, Visit
from tests.support.scheduling import DENVER, TEMPLATE, domain_template, local, phase, segment

NOW = local(3, 1, 7)
ORIGIN = datetime(2027, 2, 28, tzinfo=UTC)
SITE, ROOM, NURSE, SECOND, DOCTOR = (UUID(int=n) for n in range(1, 6))
WEEKDAYS = tuple(Shift(day, 8 * 60, 18 * 60) for day in range(5))
WORKING = Resource(NURSE, SITE, ResourceKind.STAFF, "", frozenset({"infusion"}), 2)
RESOURCES = (
    Resource(ROOM, SITE, ResourceKind.ROOM, "", frozenset(), 1),
    WORKING,
    Resource(DOCTOR, SITE, ResourceKind.STAFF, "", frozenset({"prescriber"}), 1),
)
CALENDAR = Calendar(Hours(DENVER, WEEKDAYS), RESOURCES, ORIGIN, {}, ())
WISH = Wish("iv", (("induction", 3),), date(2027, 3, 2), date(2027, 3, 5))


def with_(*changed: Resource, **changes: Any) -> Calendar:
    by_id = {each.id: each for each in (*RESOURCES, *changed)}
    return replace(CALENDAR, **{"resources": tuple(by_id.values())} | changes)


def minutes(*spans: tuple[datetime, datetime]) -> list[int]:
    return [(at - ORIGIN) // timedelta(minutes=1) for span in spans for at in span]


def plans(calendar: Calendar = CALENDAR, now: datetime = NOW, template: Any = TEMPLATE, **wish: Any) -> Sequence[Plan]:
    names = Tastes.__dataclass_fields__
    tastes = replace(WISH.tastes, **{name: value for name, value in wish.items() if name in names})
    others = {name: value for name, value in wish.items() if name not in names}
    place = Place(SITE, domain_template(template), calendar)
    return plan([place], replace(WISH, tastes=tastes, **others), now).plans


def walls(found: Plan) -> list[str]:
    return [visit.slot.start.astimezone(DENVER).strftime("%m-%d %H:%M") for visit in found.visits]


def lacking(calendar: Calendar, **wish: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(PlanNotFound) as refused:
        plans(calendar, **wish)
    return [(each.field, each.rule, each.description) for each in refused.value.violations]


def told(rule: str, days: str) -> str:
    return f"{TEXTS[rule]} on {days}"


def test_an_empty_clinic_gives_the_preferred_gaps_from_the_first_day_on() -> None:
    best, *others = plans()
    assert walls(best) == ["03-02 08:00", "03-05 08:00", "03-08 08:00"]
    assert [walls(each)[0] for each in others] == ["03-05 08:00", "03-03 08:00"]
    assert best.visits[0].resources == (("nurse", NURSE), ("room", ROOM))
    assert best.visits[0].slot.end - best.visits[0].slot.start == timedelta(minutes=80)


def test_a_phase_may_begin_at_another_distance_than_its_visits_keep() -> None:
    entry_gap = {"days_min": 0, "days_preferred": 7, "days_max": 30}
    phases = [TEMPLATE["phases"][0], {**TEMPLATE["phases"][1], "entry_gap": entry_gap}]
    found = plans(template={**TEMPLATE, "phases": phases}, phases=(("assessment", 1), ("induction", 2)))
    assert walls(found[0]) == ["03-02 08:00", "03-09 08:00", "03-12 08:00"]


def test_the_preferred_time_and_weekdays_are_kept_where_they_can_be() -> None:
    best = plans(minutes_of_day=(14 * 60,), weekdays=frozenset({1, 3}))[0]
    assert walls(best) == ["03-02 14:00", "03-04 14:00", "03-09 14:00"]


def test_local_time_is_kept_when_clocks_change() -> None:
    best = plans(earliest=date(2027, 3, 12), latest=date(2027, 3, 12), minutes_of_day=(10 * 60,))[0]
    assert walls(best) == ["03-12 10:00", "03-15 10:00", "03-18 10:00"]
    assert best.visits[1].slot.start - best.visits[0].slot.start == timedelta(hours=71)


def test_what_is_taken_is_kept_clear_of_to_the_minute() -> None:
    taken = {(ROOM, 0): minutes((local(3, 2, 8), local(3, 2, 10, 1)))}
    best = plans(with_(taken=taken), latest=date(2027, 3, 2))[0]
    assert walls(best)[0] == "03-02 10:15"


def test_a_nurse_in_observation_may_prepare_but_not_dose_another_patient() -> None:
    """One lane taken from 8:00 to 8:25: at 8:15 preparation can begin, dosing with both lanes at 8:25."""
    for end, start in ((local(3, 2, 8, 25), "03-02 08:15"), (local(3, 2, 8, 26), "03-02 08:30")):
        taken = {(NURSE, 1): minutes((local(3, 2, 8), end))}
        assert walls(plans(with_(taken=taken), latest=date(2027, 3, 2))[0])[0] == start


def test_the_patients_other_visits_are_kept_clear_of_and_turnover_is_not_theirs() -> None:
    patient = minutes((local(3, 2, 9, 20), local(3, 2, 18)))
    assert walls(plans(with_(patient=patient), latest=date(2027, 3, 2))[0])[0] == "03-02 08:00"
    patient = minutes((local(3, 2, 9, 19), local(3, 2, 17)))
    assert lacking(with_(patient=patient), latest=date(2027, 3, 2))[0][:2] == ("induction.patient", "PATIENT_TAKEN")


def test_two_requirements_never_get_the_same_person() -> None:
    """Doctor and nurse can both be the one; then the other must be somebody else, and there is nobody."""
    both = replace(WORKING, capabilities=frozenset({"infusion", "prescriber"}))
    alone = tuple(each for each in (*RESOURCES, both) if each.id in (ROOM, NURSE) and each is not WORKING)
    visit_type = {
        **TEMPLATE["visit_types"][1],
        "requirements": [
            *TEMPLATE["visit_types"][1]["requirements"],
            {"key": "prescriber", "kind": "RESOURCE_KIND_STAFF", "capability": "prescriber"},
        ],
        "segments": [
            {
                "kind": "SEGMENT_KIND_PREPARATION",
                "minutes": 10,
                "uses": [{"requirement_key": key, "lane_count": 1} for key in ("nurse", "room", "prescriber")],
            }
        ],
    }
    template = {**TEMPLATE, "visit_types": [TEMPLATE["visit_types"][0], visit_type]}
    with pytest.raises(PlanNotFound) as refused:
        plans(replace(CALENDAR, resources=alone), template=template)
    assert {each.rule for each in refused.value.violations} == {"NO_COMMON_TIME"}
    found = plans(replace(CALENDAR, resources=(*alone, RESOURCES[2])), template=template)
    assert dict(found[0].visits[0].resources) == {"nurse": NURSE, "room": ROOM, "prescriber": DOCTOR}


def test_the_nurse_of_the_visit_before_stays_where_they_can() -> None:
    second = replace(WORKING, id=SECOND)
    taken = {(NURSE, lane): minutes((local(3, 2, 8), local(3, 2, 18))) for lane in (0, 1)}
    best = plans(with_(second, taken=taken), latest=date(2027, 3, 2))[0]
    assert [dict(visit.resources)["nurse"] for visit in best.visits] == [SECOND, SECOND, SECOND]


def test_a_visit_of_the_same_day_begins_when_everything_of_the_one_before_is_free() -> None:
    same_day = [phase("induction", "INDUCTION", "treatment", (1, 2, 6), (0, 0, 0))]
    best = plans(template={**TEMPLATE, "phases": same_day}, phases=())[0]
    assert walls(best) == ["03-02 08:00", "03-02 09:30"]


def test_a_visit_over_midnight_pushes_the_next_days_back() -> None:
    night = Hours(DENVER, tuple(Shift(day, 22 * 60, 28 * 60) for day in range(7)))
    daily = [phase("induction", "INDUCTION", "treatment", (1, 2, 6), (1, 1, 1))]
    template = {**TEMPLATE, "phases": daily}
    found = plans(replace(CALENDAR, site=night), template=template, phases=(), minutes_of_day=(23 * 60 + 45,))
    assert walls(found[0]) == ["03-02 23:45", "03-03 23:45"]
    wished = plans(replace(CALENDAR, site=night), template=template, phases=(), minutes_of_day=(0,))
    assert walls(wished[0]) == ["03-02 00:00", "03-03 00:00"]


def stands(template: Any, code: str, start: datetime) -> Visit:
    its_type = domain_template(template).visit_type(domain_template(template).phase(code).visit_type_code)
    slot = Slot(start, start + its_type.stay)
    return Visit(
        UUID(int=7), UUID(int=8), SITE, UUID(int=9), code, its_type.code, "iv", "", its_type.telehealth, slot, ()
    )


def test_around_a_visit_that_stands_a_room_is_free_again_before_it_is_held_anew() -> None:
    """An hour of turnover, as of 10:20 at the latest here, while the patient is in a talk until 11:00."""
    treatment = TEMPLATE["visit_types"][1]
    treatment = {**treatment, "segments": [*treatment["segments"][:3], segment("TURNOVER", 60, room=1)]}
    codes = (("trial", "treatment"), ("talk", "talk"), ("induction", "treatment"))
    phases = [phase(code, "INDUCTION", visit_type, (1, 1, 1), (0, 0, 0)) for code, visit_type in codes]
    template = {**TEMPLATE, "visit_types": [TEMPLATE["visit_types"][0], treatment], "phases": phases}
    talk = stands(template, "talk", local(3, 2, 10, 30))
    wish: dict[str, Any] = {"phases": (("trial", 1), ("induction", 1)), "visits": (talk,), "minutes_of_day": (540, 660)}
    found = plans(with_(patient=minutes((talk.slot.start, talk.slot.end))), template=template, **wish)
    assert walls(found[0]) == ["03-02 08:30", "03-02 11:00"]


def test_a_phase_is_planned_before_those_below_it_that_stand() -> None:
    """Two to five days before the infusion of the 5th."""
    visits = (stands(TEMPLATE, "induction", local(3, 5, 8)),)
    found = plans(phases=(("assessment", 1),), visits=visits, latest=date(2027, 3, 12))
    assert [walls(each) for each in found] == [["03-02 08:00"], ["03-03 08:00"]]


def test_a_phase_is_not_planned_before_those_above_it_that_stand() -> None:
    visits = (stands(TEMPLATE, "assessment", local(3, 5, 8)),)
    found = plans(phases=(("induction", 1),), visits=visits, latest=date(2027, 3, 12))
    assert [walls(each) for each in found] == [["03-08 08:00"], ["03-09 08:00"], ["03-10 08:00"]]


def test_a_visit_between_two_that_stand_pays_for_its_gaps_to_both() -> None:
    """On the 4th it is a day early for the one before and a day early for the one after, at 240 each."""
    visits = tuple(stands(six(), "induction", local(3, day, 8)) for day in (2, 8))
    found = plans(template=six(), phases=(("induction", 1),), visits=visits, latest=date(2027, 3, 7))
    costs = [{each.kind: each.minutes for each in plan.visits[0].costs} for plan in found]
    assert [walls(each) for each in found] == [["03-05 08:00"], ["03-04 08:00"]]
    assert [each.get(CostKind.GAP, 0) for each in costs] == [0, 480]


def test_a_window_that_is_open_binds_those_that_follow() -> None:
    template = six(window_days=3, visits=(1, 1, 6))
    visits = (stands(template, "induction", local(3, 2, 8)),)
    found = plans(template=template, phases=(("induction", 1),), visits=visits)
    assert [walls(each) for each in found] == [["03-04 08:00"]]


def test_a_visit_is_not_so_late_that_one_that_stands_is_due_by_it_later() -> None:
    """The review of 2 April is a month after the last infusion, give or take three days: so that is by the 5th."""
    anchor = {"phase_code": "induction", "months": 1, "tolerance_days": 3}
    due = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = {**TEMPLATE, "phases": [phase("induction", "INDUCTION", "treatment", (1, 1, 6), (2, 6, 6)), due]}
    visits = tuple(
        stands(template, code, start) for code, start in (("induction", local(3, 2, 8)), ("review", local(4, 2, 8)))
    )
    found = plans(template=template, phases=(("induction", 1),), visits=visits, latest=date(2027, 3, 8))
    assert walls(found[0]) == ["03-05 08:00"]
    late = (stands(template, "induction", local(3, 8, 8)),)
    found = plans(template=template, phases=(("induction", 1), ("review", 1)), visits=late)
    assert walls(found[0]) == ["03-02 08:00", "04-08 08:00"]


def test_a_visit_later_on_the_day_of_the_last_is_what_others_are_due_by() -> None:
    """The review of the 20th keeps no distance from any visit: one more is before that of the 5th at eight, which the
    review has already."""
    anchor = {"phase_code": "induction", "months": 1, "tolerance_days": 3}
    due = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = {**TEMPLATE, "phases": [phase("induction", "INDUCTION", "treatment", (1, 1, 6), (0, 1, 6)), due]}
    visits = tuple(
        stands(template, code, start) for code, start in (("induction", local(3, 5, 8)), ("review", local(4, 20, 8)))
    )
    there = with_(patient=minutes((visits[0].slot.start, visits[0].slot.end)))
    wish: dict[str, Any] = {"phases": (("induction", 1),), "visits": visits, "latest": date(2027, 3, 5)}
    found = plans(there, template=template, earliest=date(2027, 3, 4), **wish)
    assert [walls(each) for each in found] == [["03-04 08:00"]]
    with pytest.raises(PlanNotFound) as refused:
        plans(there, template=template, earliest=date(2027, 3, 5), **wish)
    assert [(each.field, each.rule) for each in refused.value.violations] == [("induction", "OUTSIDE_SPACING")]


def test_a_window_that_is_over_among_the_visits_that_stand_leaves_no_day() -> None:
    template = six(window_days=5)
    visits = tuple(stands(template, "induction", local(3, day, 8)) for day in (2, 8))
    with pytest.raises(PlanNotFound) as refused:
        plans(template=template, phases=(("induction", 1),), visits=visits, latest=date(2027, 3, 12))
    assert [(each.field, each.rule) for each in refused.value.violations] == [("induction", "OUTSIDE_SPACING")]


def test_starts_are_on_quarters_of_the_sites_hours_whatever_its_zone() -> None:
    kathmandu = replace(CALENDAR.site, zone=ZoneInfo("Asia/Kathmandu"))  # UTC+5:45.
    start = plans(replace(CALENDAR, site=kathmandu))[0].visits[0].slot.start.astimezone(kathmandu.zone)
    assert (start.hour, start.minute) == (8, 0)


def test_nothing_is_planned_in_the_past() -> None:
    assert walls(plans(now=local(3, 2, 11, 1), latest=date(2027, 3, 2))[0])[0] == "03-02 11:15"
    assert lacking_in_past() == [("induction.start_time", "IN_PAST", told("IN_PAST", "2027-03-02"))]


def lacking_in_past() -> list[tuple[str, str, str]]:
    with pytest.raises(PlanNotFound) as refused:
        plans(now=local(3, 3, 0), latest=date(2027, 3, 2))
    return [(each.field, each.rule, each.description) for each in refused.value.violations]


def test_a_refusal_names_the_requirement_that_binds_and_the_days() -> None:
    away = replace(WORKING, time_off=(Days(date(2027, 3, 2), date(2027, 3, 5)),))
    assert lacking(with_(away)) == [
        ("induction.nurse", "NOBODY_FREE", told("NOBODY_FREE", "2027-03-02, 2027-03-03, 2027-03-04, 2027-03-05"))
    ]


def test_a_refusal_is_about_the_visit_that_cannot_be_reached() -> None:
    """The nurse leaves after Tuesday: the second visit would be on 4 to 7 March, of which the weekend is closed too."""
    away = replace(WORKING, time_off=(Days(date(2027, 3, 3), date(2027, 6, 1)),))
    found = lacking(with_(away), latest=date(2027, 3, 2))
    assert found == [
        ("induction.site", "SITE_CLOSED", told("SITE_CLOSED", "2027-03-06, 2027-03-07")),
        ("induction.nurse", "NOBODY_FREE", told("NOBODY_FREE", "2027-03-04, 2027-03-05")),
    ]


def test_a_refusal_says_when_all_are_there_but_never_together() -> None:
    early = replace(WORKING, working_hours=(Shift(1, 8 * 60, 11 * 60),))
    late = replace(RESOURCES[0], working_hours=(Shift(1, 11 * 60, 18 * 60),))
    found = lacking(with_(early, late), latest=date(2027, 3, 2))
    assert found == [("induction", "NO_COMMON_TIME", told("NO_COMMON_TIME", "2027-03-02"))]


def test_without_phases_every_phase_is_planned_with_its_default() -> None:
    template = domain_template()
    assert [each.code for each in outline(template, replace(WISH, phases=())).chain] == [
        "assessment", *["induction"] * 6, "follow_up"
    ]  # fmt: skip
    assert len(plans(phases=())[0].visits) == 8


@pytest.mark.parametrize(
    ("phases", "field"),
    [
        ((("booster", 1),), "phases[0].phase_code"),
        ((("induction", 1), ("assessment", 1)), "phases[1].phase_code"),
        ((("induction", 1), ("induction", 1)), "phases[1].phase_code"),
        ((("induction", 7),), "phases[0].visit_count"),
        ((("review", 1),), "phases[0].phase_code"),
    ],
)
def test_a_wish_outside_the_protocol_is_refused(phases: Sequence[tuple[str, int]], field: str) -> None:
    anchor = {"phase_code": "induction", "months": 1, "tolerance_days": 3}
    review = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = domain_template({**TEMPLATE, "phases": [*TEMPLATE["phases"], review]})
    with pytest.raises(PhasesOutsideProtocol) as refused:
        outline(template, replace(WISH, phases=tuple(phases)))
    assert [each.field for each in refused.value.violations] == [field]


def test_a_wish_has_a_route_and_a_window_that_can_be_searched() -> None:
    template = domain_template()
    with pytest.raises(RouteUnknown):
        outline(template, replace(WISH, route_code="im"))
    for latest in (date(2027, 3, 1), date(2037, 3, 2), date(2027, 6, 3)):
        with pytest.raises(PlanWindowInvalid):
            outline(template, replace(WISH, latest=latest))
    assert outline(template, replace(WISH, latest=date(2027, 6, 2)))


def test_a_course_that_is_longer_than_can_be_planned_is_refused() -> None:
    yearly = [phase("booster", "MAINTENANCE", "talk", (1, 3, 60), (201, 201, 201))]
    with pytest.raises(PlanTooLong) as refused:
        outline(domain_template({**TEMPLATE, "phases": yearly}), replace(WISH, phases=()))
    [fault] = refused.value.violations
    assert (fault.field, fault.rule) == ("phases", "TOO_MANY_DAYS")
    assert fault.description == "their gaps take at least 402 days, at most 400 are planned at once"
    daily = [phase(code, "INDUCTION", "talk", (1, 31, 60), (0, 0, 1)) for code in ("one", "two")]
    wished = replace(WISH, phases=(("one", 31), ("two", 30)))
    with pytest.raises(PlanTooLong) as refused:
        outline(domain_template({**TEMPLATE, "phases": [{**each, "visits_default": 1} for each in daily]}), wished)
    assert [(each.field, each.rule) for each in refused.value.violations] == [("phases", "TOO_MANY_VISITS")]


def re_evaluated(months: int, days: int = 3) -> dict[str, Any]:
    """The template, and a review so long after induction."""
    anchor = {"phase_code": "induction", "months": months, "tolerance_days": days}
    review = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    return {**TEMPLATE, "phases": [TEMPLATE["phases"][1], review]}


@pytest.mark.parametrize(("months", "day"), [(14, "2028-05-08"), (24, "2029-03-08")])
def test_a_review_is_planned_up_to_two_years_after_the_phase_by_which_it_is_due(months: int, day: str) -> None:
    """Three infusions until 8 March."""
    found = plans(template=re_evaluated(months), phases=(("induction", 3), ("review", 1)))[0]
    assert found.visits[-1].slot.start.astimezone(DENVER).date().isoformat() == day


def test_a_calendar_reaches_as_far_as_the_longest_course_and_what_is_due_by_it() -> None:
    """400 days for what keeps gaps, and 24 months of 31 days and 60 days more from then on."""
    boosters = phase("booster", "MAINTENANCE", "talk", (1, 12, 12), (14, 28, 60))
    anchor = {"phase_code": "booster", "months": 24, "tolerance_days": 60}
    review = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    wish = replace(WISH, phases=())
    outlined = outline(domain_template({**TEMPLATE, "phases": [boosters, review]}), wish)
    assert last_day(outlined, wish) == WISH.earliest + timedelta(days=400 + 24 * 31 + 60)


def test_a_review_that_is_years_away_makes_the_rest_no_more_work() -> None:
    steps = list[int]()
    for months in (1, 24):
        place = Place(SITE, domain_template(re_evaluated(months)), CALENDAR)
        [field] = fields_of([place], replace(WISH, phases=()), NOW)
        assert len(Search([field]).found().plans) == 3
        steps.append(field.steps)
    assert steps[1] < 3 * steps[0]


def test_a_review_that_was_due_before_the_days_asked_for_is_named() -> None:
    """On 2 April; what is planned with it, a booster, is weeks later."""
    induction, review = re_evaluated(1)["phases"]
    template = {
        **TEMPLATE,
        "phases": [induction, phase("booster", "MAINTENANCE", "treatment", (1, 1, 9), (30, 50, 90))],
    }
    template["phases"].append(review)
    stood = (stands(template, "induction", local(3, 2, 8)),)
    wish = {"earliest": date(2027, 4, 20), "latest": date(2027, 4, 23), "visits": stood, "template": template}
    found = lacking(CALENDAR, phases=(("booster", 1), ("review", 1)), **wish)
    assert found == [("review", "OUTSIDE_SPACING", TEXTS["OUTSIDE_SPACING"])]


def test_a_refusal_looks_no_further_than_is_planned_though_gaps_may_be_longer() -> None:
    seasonal = domain_template(
        {**TEMPLATE, "phases": [phase("booster", "MAINTENANCE", "talk", (1, 3, 3), (100, 150, 300))]}
    )
    gone = replace(RESOURCES[2], time_off=(Days(WISH.earliest + timedelta(days=150), date(2100, 1, 1)),))
    with pytest.raises(PlanNotFound) as refused:
        plan([Place(SITE, seasonal, with_(gone))], replace(WISH, phases=(), latest=WISH.earliest), NOW)
    days = {"first_day": "2027-09-18", "last_day": "2028-04-05"}
    assert refused.value.metadata == {"visit": "2", "site_id": to_wire("site", SITE), **days}


def test_the_calendar_reaches_as_far_as_the_course_can() -> None:
    assert last_day(outline(domain_template(), WISH), WISH) == date(2027, 3, 5) + timedelta(days=10)
    slot = plans()[0].visits[-1].slot
    assert slot.end < Slot(slot.start, local(3, 16, 0)).end


def test_the_same_question_has_the_same_answer() -> None:
    assert plans() == plans()


ALWAYS = Hours(DENVER, tuple(Shift(day, 0, 24 * 60) for day in range(7)))


def six(**changes: Any) -> dict[str, Any]:
    """Three visits of a phase, with whatever else is said of it."""
    fields: dict[str, Any] = {"window_days": 0, "gaps": (2, 3, 5), "visits": (3, 3, 6)} | changes
    extra = {key: value for key, value in fields.items() if key not in ("gaps", "visits")}
    phases = [phase("induction", "INDUCTION", "treatment", fields["visits"], fields["gaps"], **extra)]
    return {**TEMPLATE, "phases": phases}


def test_a_window_makes_gaps_shorter_than_preferred() -> None:
    found = plans(template=six(window_days=7, gaps=(2, 4, 5)), phases=(), latest=date(2027, 3, 2))[0]
    assert walls(found) == ["03-02 08:00", "03-04 08:00", "03-08 08:00"]
    assert found.cost == 2 * 240


def test_a_window_that_the_calendar_does_not_keep_is_named() -> None:
    """Three visits two to five days apart in five days: on the first, third and fifth; the third is a day off."""
    off = replace(WORKING, time_off=(Days(date(2027, 3, 4), date(2027, 3, 4)),))
    with pytest.raises(PlanNotFound) as refused:
        plans(with_(off), template=six(window_days=5), phases=(), latest=date(2027, 3, 2))
    assert [(each.field, each.rule) for each in refused.value.violations] == [("induction", "OUTSIDE_WINDOW")]


def test_a_window_that_binds_is_named_and_not_the_nurse_who_is_to_be_the_same() -> None:
    off = replace(WORKING, time_off=(Days(date(2027, 3, 4), date(2027, 3, 4)),))
    template = six(window_days=5)
    treatment = template["visit_types"][1]
    [nurse, *others] = treatment["requirements"]
    same = {**treatment, "requirements": [{**nurse, "same_across_visits": True}, *others]}
    template = {**template, "visit_types": [template["visit_types"][0], same]}
    with pytest.raises(PlanNotFound) as refused:
        plans(with_(off), template=template, phases=(), latest=date(2027, 3, 2))
    assert [(each.field, each.rule) for each in refused.value.violations] == [("induction", "OUTSIDE_WINDOW")]


def test_a_visit_due_by_another_phase_is_on_its_day_and_beside_the_others() -> None:
    """A month after the last induction visit, as a month has its days: of 31 January that is 28 February."""
    anchor = {"phase_code": "induction", "months": 1, "tolerance_days": 3}
    due = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = {**TEMPLATE, "phases": [phase("induction", "INDUCTION", "treatment", (1, 1, 6), (2, 3, 5)), due]}
    calendar = replace(CALENDAR, origin=datetime(2028, 1, 30, tzinfo=UTC))
    monday = date(2028, 1, 31)
    found = plans(calendar, local(1, 30, 7, year=2028), template, phases=(), earliest=monday, latest=monday)[0]
    assert walls(found) == ["01-31 08:00", "02-29 08:00"]  # A leap year.
    assert found.cost == 0
    closed = replace(calendar.site, off=(Days(date(2028, 2, 29), date(2028, 2, 29)),))
    doctor = replace(RESOURCES[2], time_off=closed.off)
    away = replace(calendar, resources=(*RESOURCES[:2], doctor))
    moved = plans(away, local(1, 30, 7, year=2028), template, phases=(), earliest=monday, latest=monday)[0]
    assert (walls(moved)[1], moved.cost) == ("02-28 08:00", 240)


def test_a_visit_due_on_the_day_of_another_does_not_overlap_it() -> None:
    anchor = {"phase_code": "induction", "months": 0, "tolerance_days": 0}
    due = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = {**TEMPLATE, "phases": [phase("induction", "INDUCTION", "treatment", (1, 1, 6), (2, 3, 5)), due]}
    found = plans(template=template, phases=(), latest=date(2027, 3, 2))[0]
    assert [visit.phase_code for visit in found.visits] == ["induction", "review"]
    assert walls(found) == ["03-02 08:00", "03-02 09:30"]
    before = plans(template=template, phases=(), latest=date(2027, 3, 2), minutes_of_day=(8 * 60 + 30,))[0]
    assert [visit.phase_code for visit in before.visits] == ["review", "induction"]
    assert walls(before) == ["03-02 08:00", "03-02 08:30"]  # It ends as the other begins.


def test_that_two_visits_never_fit_on_one_day_is_found_out_day_by_day() -> None:
    """Not for each way through the other days: the steps are counted."""
    anchor = {"phase_code": "induction", "months": 0, "tolerance_days": 0}
    due = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)
    template = {**TEMPLATE, "phases": [phase("induction", "INDUCTION", "treatment", (1, 3, 6), (1, 2, 3)), due]}
    short = replace(CALENDAR, site=Hours(DENVER, tuple(Shift(day, 8 * 60, 9 * 60 + 45) for day in range(7))))
    wish = replace(WISH, phases=(), tastes=Tastes((8 * 60 + 10,)))
    [field] = fields_of([Place(SITE, domain_template(template), short)], wish, NOW)
    found = Search([field]).found()
    assert (list(found.plans), found.proven) == ([], True)
    assert field.steps < 20_000


def test_notice_and_grid_bind_where_a_visit_starts() -> None:
    treatment = {**TEMPLATE["visit_types"][1], "notice_minutes": 60, "grid_minutes": 20}
    template = {**TEMPLATE, "visit_types": [TEMPLATE["visit_types"][0], treatment]}
    found = plans(now=local(3, 2, 8, 1), template=template, latest=date(2027, 3, 2))[0]
    assert walls(found)[0] == "03-02 09:20"


def test_local_time_is_kept_when_clocks_go_back() -> None:
    calendar = replace(CALENDAR, origin=datetime(2027, 11, 4, tzinfo=UTC))
    friday = date(2027, 11, 5)
    wish: dict[str, Any] = {"earliest": friday, "latest": friday, "minutes_of_day": (10 * 60,)}
    best = plans(calendar, local(11, 1, 7), **wish)[0]
    assert walls(best) == ["11-05 10:00", "11-08 10:00", "11-11 10:00"]
    assert best.visits[1].slot.start - best.visits[0].slot.start == timedelta(hours=73)


def test_a_preferred_time_that_clocks_skip_gives_what_is_nearest_by_the_clock() -> None:
    """Half past two does not exist on 14 March: three o'clock is half an hour off, a quarter to two is further."""
    sunday = date(2027, 3, 14)
    wish: dict[str, Any] = {
        "earliest": sunday,
        "latest": sunday,
        "phases": (("assessment", 1),),
        "minutes_of_day": (150,),
    }
    calendar = replace(CALENDAR, site=ALWAYS, origin=datetime(2027, 3, 13, tzinfo=UTC))
    best = plans(calendar, **wish)[0]
    assert (walls(best), best.cost) == (["03-14 03:00"], 30)


def test_of_a_preferred_time_that_clocks_show_twice_the_first_is_taken_and_the_second_is_as_good() -> None:
    sunday = date(2027, 11, 7)
    wish: dict[str, Any] = {
        "earliest": sunday,
        "latest": sunday,
        "phases": (("assessment", 1),),
        "minutes_of_day": (90,),
    }
    calendar = replace(CALENDAR, site=ALWAYS, origin=datetime(2027, 11, 6, tzinfo=UTC))
    first = plans(calendar, local(11, 1, 7), **wish)[0].visits[0].slot.start
    assert first == datetime(2027, 11, 7, 7, 30, tzinfo=UTC)
    taken = {(DOCTOR, 0): [(first - calendar.origin) // timedelta(minutes=1) + n for n in (0, 1)]}
    again = plans(replace(calendar, taken=taken), local(11, 1, 7), **wish)[0]
    assert (again.visits[0].slot.start - first, again.cost) == (timedelta(hours=1), 0)


def test_the_nearest_openings_come_first_with_who_was_asked_for_where_they_are_free() -> None:
    second = replace(WORKING, id=SECOND)
    taken = {(SECOND, lane): minutes((local(3, 3, 8), local(3, 3, 18))) for lane in (0, 1)}
    taken[ROOM, 0] = minutes((local(3, 2, 8), local(3, 2, 12)))
    place = Place(SITE, domain_template(), with_(second, taken=taken))
    treatment = place.template.visit_type("treatment")
    days = Between(date(2027, 3, 2), date(2027, 3, 3))
    found = nearest_openings(place, treatment, local(3, 2, 11), days, NOW, 3, {"nurse": SECOND})
    starts = [each.slot.start.astimezone(DENVER).strftime("%d %H:%M") for each in found]
    assert starts == ["02 12:00", "02 12:15", "02 12:30"]
    assert {dict(each.resources)["nurse"] for each in found} == {SECOND}
    [next_day] = nearest_openings(place, treatment, local(3, 3, 8), days, NOW, 1, {"nurse": SECOND})
    assert dict(next_day.resources)["nurse"] == NURSE
    assert nearest_openings(place, treatment, local(3, 3, 8), Between(days.last, days.first), NOW) == []


def test_the_days_of_a_courses_next_visit_follow_from_those_that_stand() -> None:
    template = domain_template(six(window_days=8))
    visits = [course_visit("induction", local(3, 2, 9)), course_visit("induction", local(3, 6, 9))]
    assert spacing(template, "induction", visits, DENVER) == Between(date(2027, 3, 8), date(2027, 3, 9))
    gone = [visits[0], replace(visits[1], status=Status.CANCELLED)]
    assert spacing(template, "induction", gone, DENVER) == Between(date(2027, 3, 4), date(2027, 3, 7))
    assert spacing(template, "induction", [], DENVER) == Between(date.min, date.max)
    with pytest.raises(PhasesOutsideProtocol):
        spacing(template, "booster", visits, DENVER)


def test_only_the_first_visit_of_a_phase_keeps_the_distance_at_which_that_is_entered() -> None:
    entry_gap = {"days_min": 0, "days_preferred": 7, "days_max": 30}
    phases = [TEMPLATE["phases"][0], {**TEMPLATE["phases"][1], "gap_days_min": 2, "entry_gap": entry_gap}]
    template = domain_template({**TEMPLATE, "phases": phases})
    visits = [course_visit("assessment", local(3, 2, 9))]
    assert spacing(template, "induction", visits, DENVER) == Between(date(2027, 3, 2), date(2027, 4, 1))
    visits.append(course_visit("induction", local(3, 9, 9)))
    its = template.phase("induction")
    longest = date(2027, 3, 9) + timedelta(days=its.gap_days_max)
    assert spacing(template, "induction", visits, DENVER) == Between(date(2027, 3, 11), longest)


def test_the_next_visit_of_a_phase_is_where_what_is_due_by_that_keeps_its_distance() -> None:
    """The review of 6 April is due a month after the last visit, give or take three days: by 9 March, after 3 March."""
    review = re_evaluated(1, 3)["phases"][1]
    template = domain_template({**TEMPLATE, "phases": [TEMPLATE["phases"][1], review]})
    first, due = course_visit("induction", local(3, 5, 9)), course_visit("review", local(4, 6, 9))
    assert spacing(template, "induction", [first, due], DENVER) == Between(date(2027, 3, 7), date(2027, 3, 9))
    assert spacing(template, "induction", [due], DENVER) == Between(date(2027, 3, 3), date(2027, 3, 9))
    gone = replace(due, status=Status.CANCELLED)
    assert spacing(template, "induction", [first, gone], DENVER) == Between(date(2027, 3, 7), date(2027, 3, 10))


def course_visit(phase_code: str, start: datetime) -> Visit:
    id, stay = UUID(int=9), Slot(start, start + timedelta(minutes=80))
    return Visit(id, id, SITE, id, phase_code, "treatment", "iv", "short", False, stay, ())


def test_a_search_that_reaches_its_bound_says_so() -> None:
    place = Place(SITE, domain_template(), CALENDAR)
    found = Search(fields_of([place], WISH, NOW), steps_max=0).found()
    assert (found.plans, found.proven) == ([], False)
