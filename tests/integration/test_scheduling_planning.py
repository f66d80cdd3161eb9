"""Plans with preferences at several sites, why there is none, and openings, through the gRPC door."""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import course_service_pb2, plan_pb2
from atoll.scheduling.v1 import opening_service_pb2 as pb
from atoll.scheduling.v1.events_pb2 import CancellationReason
from atoll.scheduling.v1.opening_service_pb2_grpc import OpeningServiceStub
from atoll.scheduling.v1.plan_pb2 import PlanCostKind, PlanObstacleKind, RelaxationKind
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from atoll.scheduling.v1.protocol_service_pb2 import AdoptProtocolVersionRequest, RetireProtocolVersionRequest
from atoll.scheduling.v1.visit_pb2 import ResourceChoice
from atoll.scheduling.v1.visit_service_pb2 import BookVisitRequest, CancelVisitRequest
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date, to_timestamp
from services.scheduling.domain.planning import CostKind, Obstacle
from services.scheduling.domain.planning.refusals import TEXTS
from services.scheduling.domain.planning.relaxations import RelaxationKind as GivenUp
from tests.support.scheduling import (
    DAY,
    DENVER,
    TEMPLATE,
    Clinic,
    hours,
    local,
    open_clinic,
    open_scheduling,
    phase,
    visit_choice,
    with_same_nurse,
)
from tests.support.service import Running, refusal

TUESDAY = local(3, 2, 8)


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def day(number: int) -> dict[str, int]:
    return {"year": 2027, "month": 3, "day": number}


async def plan(clinic: Clinic, token: str | None = None, **changes: Any) -> course_service_pb2.PlanCourseResponse:
    fields: dict[str, Any] = {
        "site_id": clinic.site_id,
        "patient_id": changes.pop("patient_id", None) or await clinic.add_patient(),
        "protocol_version_id": clinic.version_id,
        "route_code": "iv",
        "phases": [{"phase_code": "induction", "visit_count": 2}],
        "earliest_date": day(2),
        "latest_date": day(5),
    }
    request = ParseDict(fields | changes, course_service_pb2.PlanCourseRequest())
    answer: course_service_pb2.PlanCourseResponse = await clinic.svc.call(clinic.courses.PlanCourse, request, token)
    return answer


async def find(clinic: Clinic, token: str | None = None, **changes: Any) -> pb.FindOpeningsResponse:
    fields: dict[str, Any] = {
        "site_id": clinic.site_id,
        "patient_id": changes.pop("patient_id", None) or await clinic.add_patient(),
        "protocol_version_id": clinic.version_id,
        "phase_code": "induction",
        "earliest_date": day(2),
        "latest_date": day(2),
    }
    request = ParseDict(fields | changes, pb.FindOpeningsRequest())
    stub: Any = clinic.svc.stub(OpeningServiceStub)
    answer: pb.FindOpeningsResponse = await clinic.svc.call(stub.FindOpenings, request, token)
    return answer


def walls(visits: Any) -> list[str]:
    return [
        visit.start_time.ToDatetime(tzinfo=local(3, 2, 0).tzinfo).astimezone(DENVER).strftime("%m-%d %H:%M")
        for visit in visits
    ]


def costs(wire: Any) -> dict[str, int]:
    return {PlanCostKind.Name(each.kind).removeprefix("PLAN_COST_KIND_"): each.minutes for each in wire.costs}


async def second_site(clinic: Clinic) -> str:
    """With a room and a nurse, open in the afternoon only."""
    site_id = await clinic.add_site("bld", opening_hours=hours(13, 18))
    await clinic.adopt(site_id=site_id)
    await clinic.add_resource("ROOM", "Room", site_id=site_id)
    await clinic.add_resource("STAFF", "Nurse", site_id=site_id, capabilities=["infusion"], lane_count=2)
    return site_id


async def test_a_plan_says_what_it_costs_and_for_what(clinic: Clinic) -> None:
    answer = await plan(clinic, preferred_times=[{"hours": 8, "minutes": 20}], preferred_weekdays=["TUESDAY"])
    best = answer.plans[0]
    assert walls(best.visits) == ["03-02 08:15", "03-05 08:15"]
    assert costs(best) == {"TIME_OF_DAY": 10, "WEEKDAY": 480}
    assert best.cost_minutes == 490
    assert [costs(visit) for visit in best.visits] == [
        {"TIME_OF_DAY": 5},
        {"WEEKDAY": 480, "TIME_OF_DAY": 5},
    ]
    assert not answer.unproven


async def test_soonest_and_regular_weigh_the_first_day_against_the_gaps(clinic: Clinic) -> None:
    """Nobody is there on Wednesday and Friday: at once and a day off the preferred gap, or later and regular."""
    for nurse in clinic.nurses:
        await close(clinic, nurse, [3, 5])
    soonest = await plan(clinic, emphasis="PLAN_EMPHASIS_SOONEST")
    regular = await plan(clinic, emphasis="PLAN_EMPHASIS_REGULAR", latest_date=day(12))
    assert walls(soonest.plans[0].visits) == ["03-02 08:00", "03-04 08:00"]
    assert costs(soonest.plans[0]) == {"GAP": 60}
    assert walls(regular.plans[0].visits) == ["03-08 08:00", "03-11 08:00"]
    assert costs(regular.plans[0]) == {"LATE_START": 90}


async def close(clinic: Clinic, resource_id: str, days: Iterable[int]) -> None:
    off = [{"first": f"2027-03-{n:02}", "last": f"2027-03-{n:02}"} for n in days]
    statement = "UPDATE resource SET time_off = $1 WHERE id = $2"
    await clinic.svc.admin.execute(statement, json.dumps(off), from_wire("resource", resource_id))


async def test_the_best_plan_of_several_sites_is_found_and_is_at_one(clinic: Clinic) -> None:
    other = await second_site(clinic)
    afternoon = await plan(clinic, site_ids=[other], start_from={"hours": 13}, latest_date=day(2))
    assert {each.site_id for each in afternoon.plans} == {clinic.site_id, other}
    for room in clinic.rooms:
        await close(clinic, room, [2, 3, 4, 5])
    answer = await plan(clinic, site_ids=[other], latest_date=day(2))
    assert [each.site_id for each in answer.plans] == [other]
    assert walls(answer.plans[0].visits) == ["03-02 13:00", "03-05 13:00"]


async def test_a_site_that_the_token_does_not_name_is_not_planned_at(clinic: Clinic) -> None:
    other = await second_site(clinic)
    refused = await refusal(plan(clinic, clinic.token(), site_ids=[other]))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    refused = await refusal(find(clinic, clinic.token(), site_ids=[other]))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert (await find(clinic, clinic.token())).openings


async def test_a_site_of_another_chain_does_not_exist(clinic: Clinic, svc: Running) -> None:
    ours, foreign = svc.chain_id, await open_clinic(svc)
    svc.chain_id = ours
    refused = await refusal(plan(clinic, site_ids=[foreign.site_id]))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    refused = await refusal(find(clinic, site_ids=[foreign.site_id]))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")


async def test_a_nurse_who_must_stay_is_the_same_at_every_visit_and_one_who_should_costs(clinic: Clinic) -> None:
    await close(clinic, clinic.nurses[0], [5, 6, 7])  # The preferred gap ends on the 5th.
    await close(clinic, clinic.nurses[1], [2, 3, 4])
    loose = (await plan(clinic, latest_date=day(2))).plans[0]
    assert walls(loose.visits) == ["03-02 08:00", "03-05 08:00"]
    kept = (await plan(clinic, latest_date=day(2), same_requirement_keys=["nurse"])).plans[0]
    assert (walls(kept.visits), costs(kept)) == (["03-02 08:00", "03-04 08:00"], {"GAP": 240})
    chosen = [each for visit in kept.visits for each in visit.resources]
    assert {each.resource_id for each in chosen if each.requirement_key == "nurse"} == {clinic.nurses[0]}
    regular = await plan(clinic, latest_date=day(2), same_requirement_keys=["nurse"], emphasis="PLAN_EMPHASIS_REGULAR")
    assert costs(regular.plans[0]) == {"CHANGE": 300}


async def test_a_site_plans_by_its_own_form_of_the_version(clinic: Clinic) -> None:
    """The other site's form leaves a route out: a plan by it is at the first site only."""
    other = await second_site(clinic)
    form = {**TEMPLATE, "routes": TEMPLATE["routes"][1:]}
    request = AdoptProtocolVersionRequest(
        request_id=str(uuid4()),
        site_id=other,
        protocol_version_id=clinic.version_id,
        narrowed_template=ParseDict(form, ProtocolTemplate()),
    )
    await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request)
    answer = await plan(clinic, site_ids=[other])
    assert {each.site_id for each in answer.plans} == {clinic.site_id}
    refused = await refusal(plan(clinic, site_id=other))
    assert refused.reason == "ROUTE_UNKNOWN"


async def test_who_asks_why_is_told_what_is_lacking_when_and_what_would_help(clinic: Clinic) -> None:
    for nurse in clinic.nurses:
        await close(clinic, nurse, [2, 3, 4])
    answer = await plan(clinic, latest_date=day(4), start_from={"hours": 15}, start_until={"hours": 16}, explain=True)
    assert not answer.plans
    [obstacle] = answer.obstacles
    assert MessageToDict(obstacle, preserving_proto_field_name=True) == {
        "site_id": clinic.site_id,
        "phase_code": "induction",
        "need": "nurse",
        "kind": "PLAN_OBSTACLE_KIND_NOBODY_FREE",
        "dates": [day(2), day(3), day(4)],
        "date_count": 3,
        "start_from": {"hours": 15},
        "start_until": {"hours": 16},
    }
    [longer] = answer.relaxations
    assert (longer.kind, longer.days) == (RelaxationKind.RELAXATION_KIND_LONGER_WINDOW, 7)
    assert walls(longer.plan.visits) == ["03-05 15:00", "03-08 15:00"]


async def test_fewer_visits_and_other_weekdays_are_tried_where_a_course_does_not_fit(clinic: Clinic) -> None:
    for nurse in clinic.nurses:
        await close(clinic, nurse, range(3, 14))
    only_tuesdays: dict[str, Any] = {"preferred_weekdays": ["TUESDAY"], "only_preferred_weekdays": True}
    answer = await plan(clinic, latest_date=day(2), explain=True, **only_tuesdays)
    kinds = [(RelaxationKind.Name(each.kind), each.phase_code, each.visit_count) for each in answer.relaxations]
    assert kinds == [("RELAXATION_KIND_FEWER_VISITS", "induction", 1)]
    [unwished] = answer.obstacles
    assert (unwished.kind, unwished.date_count) == (PlanObstacleKind.PLAN_OBSTACLE_KIND_NOT_WISHED, 4)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"same_requirement_keys": ["pump"]}, "same_requirement_keys[0]"),
        ({"start_from": {"hours": 12}, "start_until": {"hours": 11}}, "start_until"),
        ({"only_preferred_weekdays": True}, "preferred_weekdays"),
    ],
)
async def test_a_preference_that_leaves_nothing_is_refused(clinic: Clinic, changes: dict[str, Any], field: str) -> None:
    refused = await refusal(plan(clinic, **changes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PLAN_PREFERENCE_INVALID")
    assert [each for each, _ in refused.faults] == [field]


async def test_openings_are_listed_in_order_of_time_in_pages(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    first = await find(clinic, patient_id=patient, page_size=3)
    assert walls(first.openings) == ["03-02 08:00", "03-02 08:15", "03-02 08:30"]
    assert first.openings[0].visit_type_code == "treatment"
    assert {each.requirement_key for each in first.openings[0].resources} == {"nurse", "room"}
    second = await find(clinic, patient_id=patient, page_size=3, page_token=first.next_page_token)
    assert walls(second.openings) == ["03-02 08:45", "03-02 09:00", "03-02 09:15"]
    whole = await find(clinic, patient_id=patient, page_size=200)
    assert (len(whole.openings), whole.next_page_token) == (35, "")  # The last at 16:30, for 90 minutes.
    refused = await refusal(find(clinic, patient_id=patient, latest_date=day(3), page_token=first.next_page_token))
    assert refused.reason == "BAD_PAGE_TOKEN"


async def test_openings_by_preference_begin_with_the_nearest_to_what_is_wished(clinic: Clinic) -> None:
    answer = await find(
        clinic,
        order="OPENING_ORDER_PREFERENCE",
        page_size=3,
        latest_date=day(3),
        preferred_times=[{"hours": 14, "minutes": 5}],
        preferred_weekdays=["WEDNESDAY"],
    )
    assert walls(answer.openings) == ["03-03 14:00", "03-03 14:15", "03-03 13:45"]
    assert [costs(each) for each in answer.openings] == [{"TIME_OF_DAY": 5}, {"TIME_OF_DAY": 10}, {"TIME_OF_DAY": 20}]


async def test_openings_are_those_of_the_resources_asked_for(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    taken = clinic.treatments([TUESDAY], clinic.nurses[1], clinic.rooms[1])
    await clinic.book(clinic.request(patient, taken))
    wanted = [{"requirement_key": "room", "resource_id": clinic.rooms[1]}]
    answer = await find(clinic, resources=wanted, page_size=1)
    assert walls(answer.openings) == ["03-02 09:30"]
    assert {each.resource_id for each in answer.openings[0].resources} >= {clinic.rooms[1]}
    refused = await refusal(find(clinic, resources=[wanted[0] | {"requirement_key": "pump"}]))
    assert refused.faults == [("resources[0].requirement_key", "REQUIREMENT_UNKNOWN")]
    there = await second_site(clinic)
    assert walls((await find(clinic, resources=wanted, site_ids=[there], page_size=1)).openings) == ["03-02 09:30"]


@pytest.mark.parametrize(
    ("wanted", "reason", "faults"),
    [
        ([("nurse", "nobody")], "RESOURCE_NOT_FOUND", [("resources[0].resource_id", "RESOURCE_NOT_FOUND")]),
        ([("nurse", "room")], "RESOURCE_UNSUITABLE", [("resources[0].resource_id", "WRONG_KIND")]),
        ([("nurse", "doctor")], "RESOURCE_UNSUITABLE", [("resources[0].resource_id", "LACKS_CAPABILITY")]),
        ([("nurse", "trainee")], "RESOURCE_UNSUITABLE", [("resources[0].resource_id", "TOO_FEW_LANES")]),
        (
            [("room", "room"), ("nurse", "nurse"), ("nurse", "trainee")],
            "PLAN_PREFERENCE_INVALID",
            [("resources[2].requirement_key", "REQUIREMENT_TWICE")],
        ),
        (
            [("nurse", "nurse"), ("room", "nurse")],
            "PLAN_PREFERENCE_INVALID",
            [("resources[1].resource_id", "RESOURCE_TWICE")],
        ),
    ],
)
async def test_resources_that_cannot_be_those_of_the_visit_are_refused_by_name(
    clinic: Clinic, wanted: list[tuple[str, str]], reason: str, faults: list[tuple[str, str]]
) -> None:
    """Else nothing would seem to be free."""
    trainee = await clinic.add_resource("STAFF", "Trainee", capabilities=["infusion"])
    ids = {
        "nurse": clinic.nurses[0],
        "room": clinic.rooms[0],
        "doctor": clinic.prescriber,
        "trainee": trainee,
        "nobody": to_wire("resource", new_id()),
    }
    chosen = [{"requirement_key": key, "resource_id": ids[name]} for key, name in wanted]
    refused = await refusal(find(clinic, resources=chosen))
    assert (refused.reason, refused.faults) == (reason, faults)


async def test_the_next_visit_of_a_course_has_openings_inside_its_spacing(clinic: Clinic) -> None:
    patient, other = await clinic.add_patient(), await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, "latest_date": day(31)}
    answer = await find(clinic, **asked, page_size=1)
    assert walls(answer.openings) == ["03-04 08:00"]  # Two to five days.
    assert (answer.first_date, answer.last_date) == (to_date(date(2027, 3, 4)), to_date(date(2027, 3, 7)))
    none = await find(clinic, **asked | {"earliest_date": day(8)})
    assert not none.openings
    assert not none.HasField("first_date")
    follow_up = await find(clinic, **asked, phase_code="follow_up", page_size=1)
    assert walls(follow_up.openings) == ["03-09 08:00"]
    for wrong in ({"patient_id": other}, {"protocol_version_id": await clinic.publish(TEMPLATE)}):
        if "protocol_version_id" in wrong:
            await clinic.adopt(wrong["protocol_version_id"])
        refused = await refusal(find(clinic, **asked | wrong))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "OPENING_COURSE_MISMATCH")
    refused = await refusal(find(clinic, **asked, site_ids=[await second_site(clinic)]))
    assert (refused.reason, refused.faults) == ("OPENING_COURSE_MISMATCH", [("site_id", "OPENING_COURSE_MISMATCH")])
    refused = await refusal(find(clinic, **asked | {"course_id": to_wire("course", new_id())}))
    assert refused.reason == "COURSE_NOT_FOUND"


async def test_a_visit_beside_the_phases_has_openings_and_is_booked_by_one(clinic: Clinic) -> None:
    """Of a type that no phase has, too, and on a day that the course's gaps would forbid."""
    therapy = {**TEMPLATE["visit_types"][0], "code": "therapy", "display_name": "Therapy"}
    clinic.version_id = await clinic.publish({**TEMPLATE, "visit_types": [*TEMPLATE["visit_types"], therapy]})
    await clinic.adopt()
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    asked = {"patient_id": patient, "phase_code": "", "visit_type_code": "therapy", "course_id": course.id}
    answer = await find(clinic, **asked, start_from={"hours": 9}, page_size=2)
    assert walls(answer.openings) == ["03-02 09:30", "03-02 09:45"]  # The treatment is over at 9:20.
    assert [each.visit_type_code for each in answer.openings] == ["therapy", "therapy"]
    assert to_date(date(2027, 3, 2)) == answer.first_date == answer.last_date
    found = answer.openings[0]
    request = BookVisitRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        patient_id=patient,
        protocol_version_id=clinic.version_id,
        visit_type_code="therapy",
        course_id=course.id,
        start_time=found.start_time,
        resources=found.resources,
    )
    booked = (await clinic.svc.call(clinic.visits.BookVisit, request)).visit
    assert (booked.course_id, booked.start_time, booked.phase_code) == (course.id, found.start_time, "")
    others = await find(clinic, phase_code="", visit_type_code="therapy", start_from={"hours": 9}, page_size=2)
    assert walls(others.openings) == ["03-02 09:00", "03-02 10:00"]  # Of somebody else, around the doctor's half hour.


@pytest.mark.parametrize(
    ("changes", "code", "fault"),
    [
        ({"visit_type_code": "talk"}, StatusCode.INVALID_ARGUMENT, ("", "openings.one_visit")),
        ({"phase_code": ""}, StatusCode.INVALID_ARGUMENT, ("", "openings.one_visit")),
        (
            {"phase_code": "", "visit_type_code": "massage"},
            StatusCode.NOT_FOUND,
            ("visit_type_code", "VISIT_TYPE_NOT_FOUND"),
        ),
    ],
)
async def test_openings_are_of_a_phase_or_of_a_visit_type_of_the_version(
    clinic: Clinic, changes: dict[str, Any], code: StatusCode, fault: tuple[str, str]
) -> None:
    refused = await refusal(find(clinic, **changes))
    assert (refused.code, refused.faults) == (code, [fault])


async def test_a_phase_that_no_next_visit_of_the_course_can_be_of_has_no_openings(clinic: Clinic) -> None:
    """Booking would refuse them, whenever they are."""
    review = phase("review", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor={"phase_code": "follow_up", "months": 1})
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [*TEMPLATE["phases"], review]})
    await clinic.adopt()
    patient = await clinic.add_patient()
    booked = clinic.treatments([local(3, number, 9) for number in (2, 5, 8, 11, 15, 18)])
    course = await clinic.book(clinic.request(patient, booked))
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, "latest_date": day(31)}
    for code, rule in (
        ("induction", "VISIT_COUNT"),
        ("assessment", "OUT_OF_ORDER"),
        ("review", "ANCHOR_MISSING"),
    ):
        refused = await refusal(find(clinic, **asked, phase_code=code))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PHASES_OUTSIDE_PROTOCOL")
        assert refused.faults == [("phase_code", rule)]
    assert (await find(clinic, **asked, phase_code="follow_up")).openings
    cancel = CancelVisitRequest(
        request_id=str(uuid4()), visit_id=course.visits[-1].id, reason=CancellationReason.CANCELLATION_REASON_PATIENT
    )
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    assert (await find(clinic, **asked)).openings


async def test_a_visit_beside_the_phases_of_the_course_keeps_no_gap_to_its_next(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    talk = BookVisitRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        patient_id=patient,
        protocol_version_id=clinic.version_id,
        visit_type_code="talk",
        start_time=to_timestamp(local(3, 19, 9)),
        resources=[ResourceChoice(requirement_key="prescriber", resource_id=clinic.prescriber)],
        course_id=course.id,
    )
    await clinic.svc.call(clinic.visits.BookVisit, talk)
    answer = await find(clinic, patient_id=patient, course_id=course.id, latest_date=day(31))
    assert (answer.first_date, answer.last_date) == (to_date(date(2027, 3, 4)), to_date(date(2027, 3, 7)))


async def test_the_next_visit_of_a_course_has_openings_with_its_own_nurse_only(clinic: Clinic) -> None:
    """Where the protocol wants one nurse at all treatments: booking refuses another."""
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    patient, later = await clinic.add_patient(), {"latest_date": day(31)}
    for nurse, other, room in zip(clinic.nurses, reversed(clinic.nurses), clinic.rooms, strict=True):
        course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY], nurse, room)))
        asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, **later}
        found = (await find(clinic, **asked)).openings
        assert {each.resources[0].resource_id for each in found} == {nurse}
        choice = course_service_pb2.BookCourseRequest.VisitChoice(
            phase_code="induction", start_time=found[0].start_time, resources=found[0].resources
        )
        await clinic.book(clinic.request(patient, [choice], course_id=course.id))
        wanted = [{"requirement_key": "nurse", "resource_id": other}]
        refused = await refusal(find(clinic, **asked, resources=wanted))
        assert refused.reason == "RESOURCE_UNSUITABLE"
        assert refused.faults == [("resources[0].resource_id", "NOT_THE_SAME")]
        follow_up = await find(clinic, **asked, phase_code="follow_up", page_size=1)
        assert [each.resource_id for each in follow_up.openings[0].resources] == [clinic.prescriber]
        patient = await clinic.add_patient()


async def test_a_course_with_a_review_after_two_years_is_booked_as_it_is_planned(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [TEMPLATE["phases"][1], review(24)]})
    await clinic.adopt()
    patient = await clinic.add_patient()
    found = await plan(clinic, patient_id=patient, phases=[])
    course = await clinic.book(clinic.request(patient, choices(found.plans[0])))
    last = course.visits[-1].start_time.ToDatetime(tzinfo=UTC)
    assert (course.visits[-1].phase_code, last) == ("review_24", local(3, 15, 8, year=2029))


def review(months: int) -> dict[str, Any]:
    anchor = {"phase_code": "induction", "months": months, "tolerance_days": 7}
    return phase(f"review_{months}", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor)


async def treat_with_reviews(clinic: Clinic, *, same_nurse: bool = False) -> None:
    """An assessment, six infusions by one nurse or any, boosters, and a review after one, three and six months."""
    nurse, *others = TEMPLATE["visit_types"][1]["requirements"]
    treatment = {
        **TEMPLATE["visit_types"][1],
        "requirements": [{**nurse, "same_across_visits": same_nurse}, *others],
    }
    assessment, induction, _ = TEMPLATE["phases"]
    boosters = phase("booster", "MAINTENANCE", "treatment", (1, 2, 12), (14, 21, 42), needs_clearance=True)
    phases = [assessment, {**induction, "window_days": 21}, boosters, *(review(months) for months in (1, 3, 6))]
    template = {**TEMPLATE, "visit_types": [TEMPLATE["visit_types"][0], treatment], "phases": phases}
    clinic.version_id = await clinic.publish(template)
    await clinic.adopt()


def choices(found: Any) -> list[course_service_pb2.BookCourseRequest.VisitChoice]:
    return [
        course_service_pb2.BookCourseRequest.VisitChoice(
            phase_code=each.phase_code, start_time=each.start_time, resources=each.resources
        )
        for each in found.visits
    ]


async def book_rest(clinic: Clinic, patient_id: str, course_id: str, **changes: Any) -> course_service_pb2.CoursePlan:
    """Each plan of it can be booked, the best one is."""
    found = await plan(clinic, patient_id=patient_id, course_id=course_id, **changes)
    for each in found.plans[:0:-1]:
        held = course_service_pb2.HoldCourseRequest(request_id=str(uuid4()))
        request = clinic.request(patient_id, choices(each), course_id=course_id)
        held.ParseFromString(request.SerializeToString())
        await clinic.svc.call(clinic.courses.HoldCourse, held)
        await clinic.release_hold(course_id)
    await clinic.book(clinic.request(patient_id, choices(found.plans[0]), course_id=course_id))
    return found.plans[0]


async def test_after_the_assessment_the_rest_is_planned_from_it_on_and_booked(clinic: Clinic) -> None:
    await treat_with_reviews(clinic)
    patient = await clinic.add_patient()
    talk = visit_choice("assessment", local(3, 4, 9), prescriber=clinic.prescriber)
    course = await clinic.book(clinic.request(patient, [talk]))
    induction: dict[str, Any] = {"phases": [{"phase_code": "induction"}]}
    alone = await plan(clinic, patient_id=patient, **induction)
    refused = await refusal(clinic.book(clinic.request(patient, choices(alone.plans[0]), course_id=course.id)))
    assert refused.reason == "PHASES_OUTSIDE_PROTOCOL"  # Before the assessment.
    best = await book_rest(clinic, patient, course.id, **induction, latest_date=day(8))
    assert walls(best.visits)[:2] == ["03-08 08:00", "03-11 08:00"]
    assert {each.phase_code for each in best.visits} == {"induction"}
    whole = await clinic.svc.call(clinic.courses.GetCourse, course_service_pb2.GetCourseRequest(course_id=course.id))
    assert len(whole.course.visits) == 7


async def test_boosters_and_reviews_are_planned_and_booked_once_the_induction_is(clinic: Clinic) -> None:
    """By the last infusion, on the 9th: boosters from two weeks after it, reviews by its months."""
    await treat_with_reviews(clinic)
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY + n * DAY for n in (0, 3, 7)])))
    asked: dict[str, Any] = {"earliest_date": day(16), "latest_date": {"year": 2027, "month": 4, "day": 30}}
    boosters = await book_rest(
        clinic, patient, course.id, phases=[{"phase_code": "booster", "visit_count": 2}], **asked
    )
    assert walls(boosters.visits) == ["03-30 08:00", "04-20 08:00"]
    reviews = await book_rest(
        clinic, patient, course.id, phases=[{"phase_code": f"review_{n}"} for n in (1, 3, 6)], **asked
    )
    assert walls(reviews.visits) == ["04-09 08:00", "06-09 08:00", "09-09 08:00"]
    assert [costs(each) for each in reviews.visits] == [{"LATE_START": 24 * 60}, {}, {}]


async def test_what_is_left_of_a_course_is_planned_without_naming_phases(clinic: Clinic) -> None:
    """Three of six infusions are booked: three more in the window that the first has opened, boosters, reviews."""
    await treat_with_reviews(clinic)
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY + n * DAY for n in (0, 3, 7)])))
    best = await book_rest(clinic, patient, course.id, phases=[], latest_date=day(31))
    codes = [each.phase_code for each in best.visits]
    assert sorted(codes) == sorted([*["induction"] * 3, *["booster"] * 2, "review_1", "review_3", "review_6"])
    infusions = [wall for wall, code in zip(walls(best.visits), codes, strict=True) if code == "induction"]
    assert infusions == ["03-12 08:00", "03-15 08:00", "03-17 08:00"]  # By the 18th two reviews are due on weekends.
    refused = await refusal(plan(clinic, patient_id=patient, course_id=course.id, phases=[]))
    assert refused.faults == [("phases", "NONE_LEFT")]
    refused = await refusal(plan(clinic, patient_id=patient, course_id=course.id))
    assert refused.faults == [("phases[0].visit_count", "VISIT_COUNT")]


async def test_a_visit_between_two_that_stand_keeps_its_gap_to_both(clinic: Clinic) -> None:
    """The one on the 5th was cancelled. Two to five days: on the 4th, 5th or 6th, and on the preferred of them."""
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY + n * DAY for n in (0, 3, 6)])))
    reason = CancellationReason.CANCELLATION_REASON_CLINIC
    cancel = CancelVisitRequest(request_id=str(uuid4()), visit_id=course.visits[1].id, reason=reason)
    await clinic.svc.call(clinic.visits.CancelVisit, cancel)
    one: dict[str, Any] = {"phases": [{"phase_code": "induction", "visit_count": 1}], "latest_date": day(7)}
    best = await book_rest(clinic, patient, course.id, **one)
    assert walls(best.visits) == ["03-05 08:00"]
    assert costs(best.visits[0]) == {"LATE_START": 180}


async def test_the_rest_keeps_to_the_nurse_that_the_course_has(clinic: Clinic) -> None:
    await treat_with_reviews(clinic, same_nurse=True)
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        patient = await clinic.add_patient()
        first = clinic.treatments([TUESDAY], nurse, room)
        course = await clinic.book(clinic.request(patient, first))
        best = await book_rest(clinic, patient, course.id, latest_date=day(12))
        chosen = [each for visit in best.visits for each in visit.resources]
        assert {each.resource_id for each in chosen if each.requirement_key == "nurse"} == {nurse}


async def test_a_nurse_who_is_to_leave_binds_no_visit_that_comes(clinic: Clinic) -> None:
    """All that come have another, and the same at each; until she has given notice nobody else is booked."""
    await treat_with_reviews(clinic, same_nurse=True)
    patient, (leaving, other) = await clinic.add_patient(), clinic.nurses
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY], leaving)))
    friday = clinic.request(patient, clinic.treatments([TUESDAY + 3 * DAY], other), course_id=course.id)
    refused = await refusal(clinic.book(friday))
    assert (refused.reason, refused.faults) == (
        "RESOURCE_UNSUITABLE",
        [("visits[0].resources[0].resource_id", "NOT_THE_SAME")],
    )
    await clinic.retire(leaving, date(2027, 3, 5))
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id}
    found = (await find(clinic, **asked, latest_date=day(31))).openings
    assert {each.resources[0].resource_id for each in found[:1]} == {leaving}  # On the 4th she is there yet.
    late = (await find(clinic, **asked, earliest_date=day(5), latest_date=day(31))).openings
    assert {each.resources[0].resource_id for each in late} == {other}
    best = await book_rest(clinic, patient, course.id, latest_date=day(12))
    chosen = [each for visit in best.visits for each in visit.resources if each.requirement_key == "nurse"]
    assert {each.resource_id for each in chosen} == {other}
    assert len(chosen) == 2


async def test_the_room_that_should_stay_is_that_of_the_course_where_it_is_free(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY], room=clinic.rooms[1])))
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, "same_requirement_keys": ["room"]}
    one: dict[str, Any] = {"phases": [{"phase_code": "induction", "visit_count": 1}]}
    best = (await plan(clinic, **asked, **one)).plans[0]
    assert {each.resource_id for each in best.visits[0].resources} >= {clinic.rooms[1]}
    await close(clinic, clinic.rooms[1], range(3, 9))
    best = (await plan(clinic, **asked, **one)).plans[0]
    assert (walls(best.visits), costs(best)) == (["03-05 08:00"], {"CHANGE": 300, "LATE_START": 180})


async def test_who_asks_too_early_for_the_rest_is_told_that_no_day_keeps_the_gap(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, "latest_date": day(3)}
    refused = await refusal(plan(clinic, **asked))
    assert (refused.reason, refused.faults) == ("PLAN_NOT_FOUND", [("induction", "OUTSIDE_SPACING")])
    answer = await plan(clinic, **asked, explain=True)
    assert [each.kind for each in answer.obstacles] == [PlanObstacleKind.PLAN_OBSTACLE_KIND_OUTSIDE_SPACING]
    [longer] = answer.relaxations
    assert (longer.kind, walls(longer.plan.visits)) == (
        RelaxationKind.RELAXATION_KIND_LONGER_WINDOW,
        ["03-05 08:00", "03-08 08:00"],
    )


async def test_a_course_that_goes_on_is_the_one_that_is_said(clinic: Clinic) -> None:
    patient, other = await clinic.add_patient(), await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    site = await second_site(clinic)
    asked: dict[str, Any] = {"patient_id": patient, "course_id": course.id, "latest_date": day(12)}
    assert (await plan(clinic, **asked)).plans
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"patient_id": other}, "patient_id"),
        ({"route_code": "nasal"}, "route_code"),
        ({"site_id": site}, "site_id"),
        ({"site_ids": [site]}, "site_id"),
        ({"protocol_version_id": await clinic.publish(TEMPLATE)}, "protocol_version_id"),
    ]
    for changes, field in wrong:
        refused = await refusal(plan(clinic, **asked | changes))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "COURSE_MISMATCH")
        assert refused.faults == [(field, "COURSE_MISMATCH")]
    refused = await refusal(plan(clinic, **asked | {"course_id": to_wire("course", new_id())}))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "COURSE_NOT_FOUND")


async def test_a_course_goes_on_by_a_version_that_is_retired(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([TUESDAY])))
    retire = RetireProtocolVersionRequest(
        request_id=str(uuid4()), protocol_version_id=clinic.version_id, reason="another is in force"
    )
    await clinic.svc.call(clinic.protocols.RetireProtocolVersion, retire)
    assert (await refusal(plan(clinic, patient_id=patient))).reason == "PROTOCOL_VERSION_RETIRED"
    assert (await refusal(find(clinic, patient_id=patient))).reason == "PROTOCOL_VERSION_RETIRED"
    found = await find(clinic, patient_id=patient, course_id=course.id, latest_date=day(5), page_size=1)
    assert walls(found.openings) == ["03-04 08:00"]
    best = await book_rest(clinic, patient, course.id)
    assert walls(best.visits)[0] == "03-05 08:00"


async def test_finding_openings_stores_nothing_but_who_asked_for_whom(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    before = await clinic.counts("outbox", "course", "visit", "allocation")
    await find(clinic, patient_id=patient)
    assert await clinic.counts("outbox", "course", "visit", "allocation") == before
    row = await clinic.svc.admin.fetchrow("SELECT kind, ids FROM audit ORDER BY position DESC LIMIT 1")
    assert row
    assert row["kind"] == "AUDIT_PHI_READ"
    assert patient in row["ids"]


@pytest.mark.parametrize("asked", [plan, find])
async def test_nothing_is_looked_for_near_the_end_of_the_calendar(clinic: Clinic, asked: Any) -> None:
    """A visit due by months after another would be reckoned beyond it."""
    again = phase(
        "again",
        "FOLLOW_UP",
        "talk",
        (1, 1, 1),
        (0, 0, 0),
        anchor={"phase_code": "induction", "months": 24, "tolerance_days": 60},
    )
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [*TEMPLATE["phases"], again]})
    await clinic.adopt()
    far = {"year": 9991, "month": 1, "day": 2}
    refused = await refusal(asked(clinic, earliest_date=far, latest_date=far))
    assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [("earliest_date", "date.years")])
    days = ({"year": 9990, "month": 12, "day": number} for number in (20, 31))
    wanted = dict(zip(("earliest_date", "latest_date"), days, strict=True))
    await asked(clinic, **wanted, **({"phases": [], "explain": True} if asked is plan else {}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latest_date": {"year": 2037, "month": 3, "day": 2}}, "PLAN_WINDOW_INVALID"),
        ({"latest_date": day(1)}, "PLAN_WINDOW_INVALID"),
        ({"phase_code": "booster"}, "PHASES_OUTSIDE_PROTOCOL"),
        ({"start_from": {"hours": 25}}, "HOURS_INVALID"),
        ({"start_from": {"hours": 12}, "start_until": {"hours": 9}}, "PLAN_PREFERENCE_INVALID"),
        ({"only_preferred_weekdays": True}, "PLAN_PREFERENCE_INVALID"),
        ({"only_preferred_weekdays": True, "preferred_weekdays": ["MONDAY"]}, "PLAN_PREFERENCE_INVALID"),
        ({"start_from": {"hours": 24}}, "PLAN_PREFERENCE_INVALID"),
    ],
)
async def test_openings_that_cannot_be_looked_for_are_refused_by_name(
    clinic: Clinic, changes: dict[str, Any], reason: str
) -> None:
    refused = await refusal(find(clinic, **changes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)


async def test_days_that_are_over_are_refused_and_today_is_not(clinic: Clinic) -> None:
    """Somebody meant another year, and would be told that nothing is free. A day is over where it is last over."""
    clinic.svc.clock.now = local(3, 2, 17, 55)
    assert not (await find(clinic)).openings
    clinic.svc.clock.now = local(3, 3, 0)
    refused = await refusal(find(clinic))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PLAN_WINDOW_INVALID")
    assert refused.faults == [("latest_date", "IN_PAST")]
    west = await clinic.add_site("hnl", time_zone="Pacific/Honolulu")
    await clinic.adopt(site_id=west)
    assert (await find(clinic, site_ids=[west])).HasField("last_date")


@pytest.mark.parametrize("asked", [plan, find])
async def test_of_several_preferred_times_the_one_that_is_none_is_named(clinic: Clinic, asked: Any) -> None:
    refused = await refusal(asked(clinic, preferred_times=[{"hours": 9}, {"hours": 25}]))
    assert (refused.reason, refused.faults) == ("HOURS_INVALID", [("preferred_times[1]", "TIME_OF_DAY")])


async def test_the_preferred_time_that_is_none_is_named(clinic: Clinic) -> None:
    refused = await refusal(plan(clinic, preferred_time={"hours": 9, "seconds": 1}))
    assert (refused.reason, refused.faults) == ("HOURS_INVALID", [("preferred_time", "TIME_OF_DAY")])


@pytest.mark.parametrize("role", ["ROLE_BILLING", "ROLE_AUDITOR", "ROLE_PATIENT"])
async def test_who_does_not_book_finds_no_openings(clinic: Clinic, role: str) -> None:
    refused = await refusal(find(clinic, clinic.svc.token(role)))
    assert refused.code is StatusCode.PERMISSION_DENIED


async def test_notice_and_grid_of_the_visit_type_hold_for_openings(clinic: Clinic) -> None:
    treatment = {**TEMPLATE["visit_types"][1], "notice_minutes": 24 * 60, "grid_minutes": 20}
    clinic.version_id = await clinic.publish({**TEMPLATE, "visit_types": [TEMPLATE["visit_types"][0], treatment]})
    await clinic.adopt()
    clinic.svc.clock.now = TUESDAY - DAY + timedelta(minutes=61)
    assert walls((await find(clinic, page_size=2)).openings) == ["03-02 09:20", "03-02 09:40"]


def test_every_obstacle_and_cost_has_its_name_on_the_wire() -> None:
    assert {*CostKind} | {"PLAN_COST_KIND_UNSPECIFIED"} == set(plan_pb2.PlanCostKind.keys())
    assert {*GivenUp} | {"RELAXATION_KIND_UNSPECIFIED"} == set(plan_pb2.RelaxationKind.keys())
    kinds = {f"PLAN_OBSTACLE_KIND_{rule}" for rule in TEXTS}
    assert kinds | {"PLAN_OBSTACLE_KIND_UNSPECIFIED"} == set(PlanObstacleKind.keys())


def test_an_obstacle_is_told_in_words_that_stand_alone() -> None:
    days = tuple(date(2027, 3, number) for number in range(1, 13))
    named = ", ".join(f"2027-03-{number:02}" for number in range(1, 11))
    nurse = Obstacle("induction", "nurse", "NOBODY_FREE", days)
    assert (nurse.field, nurse.text) == (
        "induction.nurse",
        f"none that could meet it is there and free on {named} and 2 more days",
    )
    same = Obstacle("induction", "nurse", "NOT_THE_SAME", ())
    assert same.text == "must be the same at all visits, and none is there and free for all of them"
