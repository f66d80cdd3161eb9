"""A refusal for conflicts says where each visit could be instead."""

from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import visit_pb2
from services.scheduling.rpc import conflicts
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling, with_same_nurse
from tests.support.service import Refusal, Running, refusal

FIRST = local(3, 2, 9)
Places = list[tuple[datetime, dict[str, str]]]


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def detail(refused: Refusal) -> pb.VisitsConflictDetail | None:
    found = pb.VisitsConflictDetail()
    return found if any(each.Unpack(found) for each in refused.details) else None


def places(refused: Refusal) -> dict[int, Places]:
    found = detail(refused)
    assert found
    return {
        each.visit_index: [(_start(visit), _who(visit.resources)) for visit in each.visits] for each in found.visits
    }


def _start(visit: pb.PlannedVisit) -> datetime:
    return visit.start_time.ToDatetime(FIRST.tzinfo)


def _who(resources: Iterable[visit_pb2.ResourceChoice]) -> dict[str, str]:
    return {each.requirement_key: each.resource_id for each in resources}


async def test_a_conflict_names_the_nearest_free_places_with_the_resources_asked_for_if_they_are_free(
    clinic: Clinic,
) -> None:
    """The first room is taken from 9:00 to 10:30: then the second will do, or the first at half past ten."""
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST], nurse=clinic.nurses[1]))
    refused = await refusal(clinic.book(request))
    assert refused.faults == [("visits[0].resources[1]", "RESOURCE_TAKEN")]
    second = {"nurse": clinic.nurses[1], "room": clinic.rooms[1]}
    quarter = timedelta(minutes=15)
    assert places(refused) == {0: [(FIRST, second), (FIRST - quarter, second), (FIRST + quarter, second)]}
    visits = detail(refused).visits[0].visits  # type: ignore[union-attr]
    again = pb.BookCourseRequest.VisitChoice(
        phase_code=visits[0].phase_code, start_time=visits[0].start_time, resources=visits[0].resources
    )
    assert len((await clinic.book(clinic.request(request.patient_id, [again]))).visits) == 1


async def test_places_are_inside_the_gaps_to_the_other_visits_and_only_of_those_in_conflict(clinic: Clinic) -> None:
    """On Friday everybody is away, from two to five days after Tuesday, and before Tuesday again."""
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        for hour in range(8, 17, 2):
            treatments = clinic.treatments([local(3, 5, hour)], nurse, room)
            await clinic.book(clinic.request(await clinic.add_patient(), treatments))
    starts = [FIRST, local(3, 5, 9), local(3, 8, 9)]
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts))))
    [(index, found)] = places(refused).items()
    assert index == 1
    assert [start for start, _ in found] == [local(3, 4, 16, 30), local(3, 4, 16, 15), local(3, 4, 16)]
    assert all(who == {"nurse": clinic.nurses[0], "room": clinic.rooms[0]} for _, who in found)


async def test_places_keep_the_gap_from_what_the_course_has_already(clinic: Clinic) -> None:
    """Two days after Tuesday at the earliest, which is Thursday, when everybody is away."""
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        for hour in range(8, 17, 2):
            treatments = clinic.treatments([local(3, 4, hour)], nurse, room)
            await clinic.book(clinic.request(await clinic.add_patient(), treatments))
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    asked = clinic.treatments([local(3, 4, 9)])
    refused = await refusal(clinic.book(clinic.request(course.patient_id, asked, course_id=course.id)))
    assert [start for start, _ in places(refused)[0]] == [local(3, 5, 8), local(3, 5, 8, 15), local(3, 5, 8, 30)]


async def test_places_are_with_the_nurse_of_the_other_visits_where_the_protocol_wants_one_nurse(clinic: Clinic) -> None:
    """What the course has already, or another visit asked for, keeps the nurse; the only treatment may have another."""
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST + 3 * DAY])))
    patient, fourth = await clinic.add_patient(), clinic.treatments([FIRST + 3 * DAY], room=clinic.rooms[1])
    alone = await refusal(clinic.book(clinic.request(patient, fourth)))
    assert places(alone)[0][0] == (FIRST + 3 * DAY, {"nurse": clinic.nurses[1], "room": clinic.rooms[1]})
    both = await refusal(clinic.book(clinic.request(patient, [*clinic.treatments([FIRST]), *fourth])))
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    after = await refusal(clinic.book(clinic.request(patient, fourth, course_id=course.id)))
    for refused, index in ((both, 1), (after, 0)):
        assert {who["nurse"] for _, who in places(refused)[index]} == {clinic.nurses[0]}
    [found] = detail(after).visits  # type: ignore[union-attr]
    visit = found.visits[0]
    again = pb.BookCourseRequest.VisitChoice(
        phase_code=visit.phase_code, start_time=visit.start_time, resources=visit.resources
    )
    await clinic.book(clinic.request(patient, [again], course_id=course.id))


async def test_places_are_with_whoever_is_free_where_the_nurse_of_the_other_visits_is_to_leave(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    leaving, other = clinic.nurses
    fourth = clinic.treatments([FIRST + 3 * DAY], other)
    await clinic.book(clinic.request(await clinic.add_patient(), fourth))
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST], leaving)))
    await clinic.retire(leaving, date(2027, 3, 8))
    refused = await refusal(clinic.book(clinic.request(patient, fourth, course_id=course.id)))
    start, who = places(refused)[0][0]
    assert (start, who["nurse"]) == (FIRST + 3 * DAY, leaving)


async def test_a_hold_in_conflict_is_told_of_other_places_too_and_without_anything_written(clinic: Clinic) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    patient, tables = await clinic.add_patient(), ("course", "visit", "audit", "idempotency", "hold")
    before = await clinic.counts(*tables)
    refused = await refusal(clinic.hold(patient, [FIRST]))
    assert len(places(refused)[0]) == 3
    assert await clinic.counts(*tables) == before


@pytest.mark.parametrize("most", ["LOOKING_MAX", "IN_HAND_MAX"])
async def test_when_too_many_ask_the_refusal_comes_without_places(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    monkeypatch.setattr(conflicts, most, 0)
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    refused = await refusal(clinic.book(request))
    assert (refused.reason, detail(refused)) == ("VISITS_CONFLICT", None)
