"""Whoever died has nothing booked, held or offered any more, and what they have to come is a task of the front desk."""

import asyncio
from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.notifications.v1.events_pb2 import OfferAcceptanceReceived
from atoll.patients.v1.events_pb2 import PatientAnonymised, PatientRegistered, PatientUpdated
from atoll.scheduling.v1 import task_service_pb2 as tasks
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1.task_service_pb2_grpc import TaskServiceStub
from atoll.scheduling.v1.visit_pb2 import Visit, VisitStatus
from atoll.scheduling.v1.waitlist_pb2 import WaitlistEndReason, WaitlistStatus
from chassis.ids import new_id, to_wire
from chassis.times import to_date, to_timestamp
from tests.integration.test_scheduling_merge_races import Held
from tests.integration.test_scheduling_planning import find, plan
from tests.integration.test_scheduling_races import until_a_lock_is_awaited
from tests.integration.test_scheduling_visits import PATIENT, change
from tests.integration.test_scheduling_waitlist import accept
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.scheduling_merges import merge, tasks_of, treatment, unmerge
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
FRIDAY = {"year": 2027, "month": 3, "day": 5}
TO_CANCEL = tasks.TASK_KIND_VISITS_TO_CANCEL


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    """Nobody waits or holds anything, since jobs work for every chain."""
    await svc.admin.execute("TRUNCATE waitlist_offer, waitlist_entry, waitlist_look, waiting_chain")
    await svc.admin.execute("DELETE FROM hold")
    return await open_clinic(svc)


async def tell(clinic: Clinic, patient_id: str, version: int, *, deceased: bool) -> None:
    await clinic.svc.deliver(PatientUpdated(patient_id=patient_id, deceased=deceased), version=version)


def talk(clinic: Clinic, patient_id: str) -> visits.BookVisitRequest:
    """Beside the phases."""
    fields: dict[str, Any] = {
        "request_id": str(uuid4()),
        "site_id": clinic.site_id,
        "patient_id": patient_id,
        "protocol_version_id": clinic.version_id,
        "visit_type_code": "talk",
        "start_time": to_timestamp(FIRST),
        "resources": [{"requirement_key": "prescriber", "resource_id": clinic.prescriber}],
    }
    return visits.BookVisitRequest(**fields)


def talks(clinic: Clinic, patient_id: str) -> visits.BookSeriesRequest:
    """One a week."""
    one = talk(clinic, patient_id)
    return visits.BookSeriesRequest(
        request_id=one.request_id,
        site_id=one.site_id,
        patient_id=one.patient_id,
        protocol_version_id=one.protocol_version_id,
        visit_type_code=one.visit_type_code,
        first_date=to_date(FIRST.date()),
        start_time_of_day={"hours": 9},
        interval_weeks=1,
        visit_count=2,
        resources=one.resources,
    )


async def visit_of(clinic: Clinic, visit_id: str) -> Visit:
    visit: Visit = (await clinic.svc.call(clinic.visits.GetVisit, visits.GetVisitRequest(visit_id=visit_id))).visit
    return visit


async def to_cancel(clinic: Clinic) -> list[tuple[str, list[str], bool]]:
    """Whose, which visits, and whether it is open."""
    found = await tasks_of(clinic, kind=TO_CANCEL)
    return [(each.patient_id, list(each.visit_ids), each.state == tasks.TASK_STATE_OPEN) for each in found]


async def every_way_is_refused(clinic: Clinic, patient: str, held_id: str, reason: str) -> None:
    before = await clinic.counts("course", "visit", "waitlist_entry")
    for asked in (
        clinic.book(clinic.request(patient, clinic.treatments([FIRST]))),
        clinic.hold(patient, [FIRST]),
        clinic.book_hold(held_id),
        clinic.join(patient),
        plan(clinic, patient_id=patient),
        find(clinic, patient_id=patient),
        clinic.svc.call(clinic.visits.BookVisit, talk(clinic, patient)),
        clinic.svc.call(clinic.visits.BookSeries, talks(clinic, patient)),
    ):
        refused = await refusal(asked)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, reason)
        assert refused.metadata == {"patient_id": patient}
    assert await clinic.counts("course", "visit", "waitlist_entry") == before


async def test_nothing_is_planned_booked_held_or_waited_for_until_it_turns_out_to_be_an_error(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST + DAY])
    await tell(clinic, patient, 2, deceased=True)
    await every_way_is_refused(clinic, patient, held.id, "PATIENT_DECEASED")
    await tell(clinic, patient, 3, deceased=False)
    assert (await clinic.book_hold(held.id)).id == held.id
    await clinic.join(patient, course_id=held.id, first_date=FRIDAY, last_date=FRIDAY)


async def test_nothing_is_planned_booked_held_or_waited_for_of_whoever_is_forgotten(clinic: Clinic) -> None:
    """Whatever is heard of them later; and a dead one who is forgotten is forgotten."""
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST + DAY])
    waiting = await clinic.join(patient, first_date=FRIDAY, last_date=FRIDAY)
    await clinic.svc.deliver(PatientAnonymised(patient_id=patient))
    await every_way_is_refused(clinic, patient, held.id, "PATIENT_ANONYMISED")
    for version, deceased in ((2, True), (3, False)):
        await tell(clinic, patient, version, deceased=deceased)
        assert (await refusal(clinic.hold(patient, [FIRST]))).reason == "PATIENT_ANONYMISED"
    await clinic.offer_times()
    assert (await clinic.entry(waiting.id)).end_reason == WaitlistEndReason.WAITLIST_END_REASON_REFUSED


async def test_what_whoever_is_forgotten_has_to_come_is_a_task_once_and_for_all(clinic: Clinic) -> None:
    """Under whichever of their ids, of all of which it is told."""
    alias, survivor = await clinic.add_patient(), await clinic.add_patient()
    theirs = await treatment(clinic, alias, FIRST)
    await merge(clinic, alias, survivor)
    ours = await treatment(clinic, survivor, FIRST + DAY)
    for id in (survivor, alias):
        await clinic.svc.deliver(PatientAnonymised(patient_id=id))
    found = await tasks_of(clinic, kind=TO_CANCEL)
    assert sorted((task.patient_id, list(task.visit_ids)) for task in found) == sorted(
        [(alias, [theirs.visits[0].id]), (survivor, [ours.visits[0].id])]
    )
    for version, deceased in ((2, True), (3, False)):
        await tell(clinic, survivor, version, deceased=deceased)
    assert {task.state for task in await tasks_of(clinic, kind=TO_CANCEL)} == {tasks.TASK_STATE_OPEN}


async def test_whoever_died_is_no_second_task_when_they_are_forgotten(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    await treatment(clinic, patient, FIRST)
    await tell(clinic, patient, 2, deceased=True)
    await clinic.svc.deliver(PatientAnonymised(patient_id=patient))
    assert len(await tasks_of(clinic, kind=TO_CANCEL)) == 1


async def test_who_is_forgotten_before_they_are_heard_of_stays_so(clinic: Clinic) -> None:
    patient = to_wire("patient", new_id())
    await clinic.svc.deliver(PatientAnonymised(patient_id=patient))
    await clinic.svc.deliver(PatientRegistered(patient_id=patient))
    assert (await refusal(clinic.hold(patient, [FIRST]))).reason == "PATIENT_ANONYMISED"


async def test_whoever_is_registered_as_deceased_is_booked_nothing(clinic: Clinic) -> None:
    patient = to_wire("patient", new_id())
    await clinic.svc.deliver(PatientRegistered(patient_id=patient, deceased=True), version=1)
    await clinic.clear(patient)
    asked = clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    assert (await refusal(asked)).reason == "PATIENT_DECEASED"


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_a_record_said_last_counts_in_whatever_order_it_comes(
    clinic: Clinic, order: tuple[int, ...]
) -> None:
    patient = to_wire("patient", new_id())
    story = [
        PatientRegistered(patient_id=patient),
        PatientUpdated(patient_id=patient, deceased=False),
        PatientUpdated(patient_id=patient, deceased=True),
    ]
    for n in (*order, order[0]):
        event: Any = type(story[n])()
        event.CopyFrom(story[n])
        await clinic.svc.deliver(event, version=n + 1)
    await clinic.clear(patient)
    asked = clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    assert (await refusal(asked)).reason == "PATIENT_DECEASED"


async def test_a_death_that_an_earlier_release_did_not_tell_is_heard_when_it_is_told_again(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await treatment(clinic, patient, FIRST + DAY)
    for deceased in (False, True, False):  # The last is a replay.
        await tell(clinic, patient, 4, deceased=deceased)
    assert (await refusal(clinic.hold(patient, [FIRST]))).reason == "PATIENT_DECEASED"
    assert await to_cancel(clinic) == [(patient, [each.id for each in course.visits], True)]


async def test_visits_to_come_are_one_task_of_the_front_desk(clinic: Clinic) -> None:
    patient, other = await clinic.add_patient(), await clinic.add_patient()
    course = await clinic.book(
        clinic.request(patient, clinic.treatments([FIRST, FIRST + 3 * DAY, FIRST + 6 * DAY, FIRST + 9 * DAY]))
    )
    _, off, sure, booked = course.visits
    await treatment(clinic, other, FIRST, lane=1)
    await change(clinic, "CancelVisit", off.id, reason=PATIENT)
    await change(clinic, "ConfirmVisit", sure.id)
    clinic.svc.clock.now = FIRST + DAY
    await clinic.hold(patient, [FIRST + 13 * DAY], course_id=course.id)
    await tell(clinic, patient, 2, deceased=True)
    assert await to_cancel(clinic) == [(patient, [sure.id, booked.id], True)]
    assert (await visit_of(clinic, booked.id)).status == VisitStatus.VISIT_STATUS_BOOKED, "it stands"
    [task] = await tasks_of(clinic, kind=TO_CANCEL)
    done = tasks.CompleteTaskRequest(request_id=str(uuid4()), task_id=task.id, etag=task.etag, note="Called.")
    await clinic.svc.call(clinic.svc.stub(TaskServiceStub).CompleteTask, done, clinic.token())
    await tell(clinic, patient, 3, deceased=True)  # Another of its fields was changed.
    assert await to_cancel(clinic) == [(patient, [sure.id, booked.id], False)]


async def test_whoever_has_nothing_to_come_leaves_no_task(clinic: Clinic) -> None:
    await tell(clinic, await clinic.add_patient(), 2, deceased=True)
    assert await to_cancel(clinic) == []


async def test_a_task_is_done_by_itself_when_it_was_an_error(clinic: Clinic) -> None:
    patient, other = await clinic.add_patient(), await clinic.add_patient()
    [one], [two] = [(await treatment(clinic, each, FIRST, n)).visits for n, each in enumerate((patient, other))]
    for each in (patient, other):
        await tell(clinic, each, 2, deceased=True)
    await tell(clinic, patient, 3, deceased=False)
    assert await to_cancel(clinic) == [(patient, [one.id], False), (other, [two.id], True)]
    done = (await tasks_of(clinic, state=tasks.TASK_STATE_DONE))[0]
    assert (done.note, done.completed_by) == ("The patient has not died, as their record says now.", "scheduling")


@pytest.mark.parametrize("survives", [True, False])
async def test_a_person_has_died_if_any_record_of_theirs_says_so(clinic: Clinic, *, survives: bool) -> None:
    """Whether the record that says so stands for the other, or is merged into it."""
    dead, living = await clinic.add_patient(), await clinic.add_patient()
    [own], [visit] = [(await treatment(clinic, each, FIRST, n)).visits for n, each in enumerate((dead, living))]
    await tell(clinic, dead, 2, deceased=True)
    alias, survivor = (living, dead) if survives else (dead, living)
    await merge(clinic, alias, survivor)
    assert await to_cancel(clinic) == [(dead, [own.id], True), (living, [visit.id], True)]
    for each in (dead, living):
        asked = clinic.book(clinic.request(each, clinic.treatments([FIRST + 3 * DAY])))
        assert (await refusal(asked)).reason == "PATIENT_DECEASED"
    await merge(clinic, alias, survivor)  # Told again.
    await unmerge(clinic, alias, survivor)
    assert await to_cancel(clinic) == [(dead, [own.id], True), (living, [visit.id], False)]
    await treatment(clinic, living, FIRST + 3 * DAY)
    asked = clinic.book(clinic.request(dead, clinic.treatments([FIRST + 6 * DAY])))
    assert (await refusal(asked)).reason == "PATIENT_DECEASED"


async def test_whoever_waits_is_offered_nothing_and_waits_on_when_it_was_an_error(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    entry = await clinic.join(patient)
    await tell(clinic, patient, 2, deceased=True)
    await clinic.offer_times()
    assert (await clinic.entry(entry.id)).status == WaitlistStatus.WAITLIST_STATUS_WAITING
    assert await clinic.count("waitlist_look") == 0, "who cannot be looked at is no fault of ours"
    await tell(clinic, patient, 3, deceased=False)
    await clinic.offer_times()
    assert (await clinic.entry(entry.id)).status == WaitlistStatus.WAITLIST_STATUS_OFFERED


async def test_what_was_offered_before_is_not_booked(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    entry = await clinic.join(patient)
    await clinic.offer_times()
    offer = (await clinic.entry(entry.id)).offer
    await tell(clinic, patient, 2, deceased=True)
    assert (await refusal(accept(clinic, offer.id))).reason == "PATIENT_DECEASED"
    taken = OfferAcceptanceReceived(offer_id=offer.id, patient_id=patient, site_id=clinic.site_id)
    await clinic.svc.deliver(taken)
    assert [each.kind for each in await tasks_of(clinic)] == [tasks.TASK_KIND_OFFER_TO_SETTLE]


async def test_a_booking_that_is_on_its_way_is_seen_by_whoever_hears_of_the_death(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = Held()
    await held.book(clinic, patient)
    telling = asyncio.create_task(tell(clinic, patient, 2, deceased=True))
    await until_a_lock_is_awaited(clinic)
    await held.commit()
    await telling
    [(whose, visit_ids, _)] = await to_cancel(clinic)
    assert (whose, len(visit_ids)) == (patient, 1)
