"""Other places for a visit: which days keep the distances, and what stands in the way of a time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.scheduling.domain.courses import Taken
from services.scheduling.domain.hours import Hours, Shift, Slot
from services.scheduling.domain.offers import Surroundings, offers, span_around
from services.scheduling.domain.resources import Credential, Resource, ResourceKind
from services.scheduling.domain.visits import Visit
from tests.support.scheduling import DAY, DENVER, TEMPLATE, domain_template, local, phase, with_same_nurse

SITE, NURSE, OTHER, ROOM = (UUID(int=n) for n in range(1, 5))
NOW = local(3, 1, 7)
ALWAYS = tuple(Shift(day, 8 * 60, 18 * 60) for day in range(7))
RESOURCES = (
    Resource(NURSE, SITE, ResourceKind.STAFF, "", frozenset({"infusion"}), 2),
    Resource(OTHER, SITE, ResourceKind.STAFF, "", frozenset({"infusion"}), 2),
    Resource(ROOM, SITE, ResourceKind.ROOM, "", frozenset(), 1),
)


def visit(n: int, start: datetime, phase: str = "induction") -> Visit:
    stay = Slot(start, start + timedelta(minutes=80))
    chosen = (("nurse", NURSE), ("room", ROOM))
    return Visit(UUID(int=100 + n), SITE, SITE, SITE, phase, "treatment", "iv", "short", False, stay, chosen)


def talk(n: int, start: datetime) -> Visit:
    return replace(visit(n, start, "follow_up"), visit_type_code="talk", resources=(("prescriber", OTHER),))


def around(one: Visit, *changed: Resource, **changes: Any) -> Surroundings:
    by_id = {each.id: each for each in (*RESOURCES, *changed)}
    fields: dict[str, Any] = {"site": Hours(DENVER, ALWAYS), "taken": {}, "patient": ()} | changes
    return Surroundings(resources=tuple(by_id.values()), span=span_around(one), **fields)


def walls(course: list[Visit], n: int, template: Any = TEMPLATE, now: datetime = NOW, **changes: Any) -> list[str]:
    found = offers(domain_template(template), course[n], course, around(course[n], **changes), now)
    return [each.start.astimezone(DENVER).strftime("%m-%d %H:%M") for each in found]


def test_days_keep_the_distances_to_the_visits_before_and_after() -> None:
    """Two to five days: between Tuesday the 9th and Monday the 15th only the 11th to the 13th."""
    course = [visit(0, local(3, 9, 9)), visit(1, local(3, 12, 9)), visit(2, local(3, 15, 9))]
    assert walls(course, 1) == ["03-12 09:00", "03-12 08:45", "03-13 09:00", "03-11 09:00"]


def test_a_distance_that_is_not_kept_since_a_visit_was_cancelled_need_not_be_kept() -> None:
    course = [visit(0, local(3, 2, 9)), visit(1, local(3, 12, 9))]
    assert walls(course, 1)[1:] == ["03-12 08:45", "03-13 09:00", "03-11 09:00"]


def test_a_visit_beside_the_phases_keeps_no_distance_and_none_is_kept_to_it() -> None:
    beside = visit(1, local(3, 10, 9), "")
    course = [visit(0, local(3, 9, 9)), beside, visit(2, local(3, 12, 9))]
    assert walls(course, 1)[1:] == ["03-10 08:45", "03-11 09:00", "03-09 09:00"]
    assert walls(course, 2) == walls([course[0], course[2]], 1)
    assert walls([beside], 0) == walls(course, 1)


def test_the_first_visit_of_a_phase_keeps_the_distance_at_which_that_is_entered() -> None:
    entered = {"days_min": 1, "days_preferred": 1, "days_max": 1}
    phases = [TEMPLATE["phases"][0], TEMPLATE["phases"][1] | {"entry_gap": entered}, TEMPLATE["phases"][2]]
    course = [replace(visit(0, local(3, 9, 9), "assessment")), visit(1, local(3, 10, 9))]
    assert {each[:5] for each in walls(course, 1, {**TEMPLATE, "phases": phases})} == {"03-10"}


@pytest.mark.parametrize("day", [8, 15])
def test_a_distance_is_kept_to_the_visit_before_and_not_to_a_review_in_between(day: int) -> None:
    """The 22nd is 28 days after the booster before, which is the most, and 14 or 7 after the review."""
    boosters = phase("booster", "MAINTENANCE", "treatment", (1, 2, 6), (14, 21, 28))
    due = {"phase_code": "induction", "months": 1, "tolerance_days": 14}
    review = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=due)
    template = {**TEMPLATE, "phases": [TEMPLATE["phases"][1], boosters, review]}
    first, second = visit(1, local(1, 25, 9), "booster"), visit(3, local(2, 22, 9), "booster")
    course = [visit(0, local(1, 4, 9)), first, replace(talk(2, local(2, day, 9)), phase_code="review"), second]
    assert walls(course, 3, template, local(1, 1, 7))[2:] == ["02-21 09:00", "02-20 09:00"]


def test_all_visits_of_a_phase_stay_within_its_window() -> None:
    phases = [
        TEMPLATE["phases"][0],
        TEMPLATE["phases"][1] | {"window_days": 5, "visits_default": 2},
        TEMPLATE["phases"][2],
    ]
    course = [visit(0, local(3, 9, 9)), visit(1, local(3, 13, 9))]
    assert walls(course, 1, {**TEMPLATE, "phases": phases})[2:] == ["03-12 09:00", "03-11 09:00"]


def test_the_time_of_day_is_the_wall_clocks_when_clocks_change() -> None:
    """On Sunday the 14th they go forward; from standard time to nine o'clock of summer time."""
    course = [visit(0, local(3, 13, 9))]
    assert walls(course, 0) == ["03-13 09:00", "03-13 08:45", "03-14 09:00", "03-12 09:00"]


def test_nothing_is_offered_before_its_notice_is_over_and_the_time_itself_only_while_it_is_to_come() -> None:
    types = [TEMPLATE["visit_types"][0], TEMPLATE["visit_types"][1] | {"notice_minutes": 24 * 60}]
    course = [visit(0, local(3, 2, 9))]
    late = walls(course, 0, {**TEMPLATE, "visit_types": types}, now=local(3, 2, 9))
    assert late == ["03-02 09:00", "03-03 09:00", "03-04 09:00", "03-05 09:00"]
    assert walls(course, 0, now=local(3, 2, 9, 1))[0] == "03-02 09:15"


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, OTHER),
        ({"capabilities": frozenset()}, None),
        ({"lane_count": 1}, None),
        ({"kind": ResourceKind.EQUIPMENT}, None),
        ({"time_off": (Slot(local(3, 2, 10), local(3, 2, 11)),)}, None),
    ],
)
def test_somebody_else_is_offered_only_if_they_can_do_it_and_are_there(
    changes: dict[str, Any], offered: UUID | None
) -> None:
    ill = replace(RESOURCES[0], time_off=(Slot(local(3, 1, 0), local(3, 30, 0)),))
    one = visit(0, local(3, 2, 9))
    found = offers(domain_template(), one, [one], around(one, ill, replace(RESOURCES[1], **changes)), NOW)
    at_its_time = [dict(each.resources)["nurse"] for each in found if each.start == one.slot.start]
    assert at_its_time == ([offered] if offered else [])


ILL = replace(RESOURCES[0], time_off=(Slot(local(3, 2, 0), local(3, 3, 0)),))
"""On Tuesday."""


def nurses(course: list[Visit], n: int) -> list[tuple[datetime, UUID]]:
    """When other places are, and with whom, by a version that wants one nurse at all visits."""
    template = domain_template(with_same_nurse())
    found = offers(template, course[n], course, around(course[n], ILL), NOW)
    return [(each.start, dict(each.resources)["nurse"]) for each in found]


def test_who_is_the_same_at_other_visits_is_replaced_by_nobody() -> None:
    found = nurses([visit(0, local(3, 2, 9)), visit(1, local(3, 6, 9))], 0)
    assert (found[0], {nurse for _, nurse in found}) == ((local(3, 3, 9), NURSE), {NURSE})


@pytest.mark.parametrize(
    "course",
    [
        [visit(0, local(3, 2, 9))],
        [visit(0, local(3, 2, 9)), visit(1, local(3, 6, 9), "")],
        [visit(0, local(3, 2, 9)), talk(1, local(3, 12, 9))],
        [visit(0, local(3, 2, 9), ""), visit(1, local(3, 6, 9))],
    ],
    ids=["alone", "of the phases alone", "of its requirement alone", "beside the phases"],
)
def test_who_is_the_same_at_no_other_visit_may_be_replaced(course: list[Visit]) -> None:
    """What is beside the phases keeps to nobody, and nobody keeps to it."""
    assert nurses(course, 0)[0] == (local(3, 2, 9), OTHER)


def test_who_has_no_valid_credential_on_the_day_is_not_offered_then() -> None:
    wanted = [TEMPLATE["visit_types"][1]["requirements"][0] | {"credential_codes": ["RN"]}]
    types = [
        TEMPLATE["visit_types"][0],
        TEMPLATE["visit_types"][1] | {"requirements": wanted + TEMPLATE["visit_types"][1]["requirements"][1:]},
    ]
    licensed = replace(RESOURCES[1], credentials=(Credential("RN", effective=local(3, 4, 12).date()),))
    one = visit(0, local(3, 2, 9))
    found = offers(domain_template({**TEMPLATE, "visit_types": types}), one, [one], around(one, licensed), NOW)
    assert [each.start for each in found] == [local(3, 4, 9), local(3, 5, 9), local(3, 6, 9)]


def test_a_room_that_is_taken_or_a_patient_who_is_elsewhere_moves_the_offer_on() -> None:
    one = visit(0, local(3, 2, 9))
    taken = {ROOM: [Taken(ROOM, 0, Slot(local(3, 2, 8), local(3, 2, 11)))]}
    elsewhere = [Slot(local(3, 2, 12), local(3, 2, 17))]
    assert walls([one], 0, taken=taken)[0] == "03-02 11:00"
    assert walls([one], 0, taken=taken, patient=elsewhere)[0] == "03-03 09:00"  # 11:00 would last until 12:20.


def test_a_site_in_another_zone_has_days_of_its_own() -> None:
    zone = ZoneInfo("America/Phoenix")
    one = visit(0, datetime(2027, 3, 2, 17, tzinfo=zone))
    site = Hours(zone, tuple(Shift(day, 8 * 60, 20 * 60) for day in range(7)))
    found = offers(domain_template(), one, [one], around(one, site=site), NOW)
    assert [each.start.astimezone(zone).day for each in found] == [2, 2, 3, 1]
    assert found[2].start - one.slot.start == DAY
