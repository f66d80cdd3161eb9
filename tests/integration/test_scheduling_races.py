"""Two bookings, or two changes of one visit, at once: their interleaving is forced."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import visit_service_pb2
from atoll.scheduling.v1.staff_calendar_service_pb2 import ImportBusyTimesRequest, ImportBusyTimesResponse
from atoll.scheduling.v1.visit_pb2 import Visit
from chassis.errors import DomainError
from chassis.ids import from_wire
from services.scheduling.domain.courses import Layout, Taken, Terms, VisitsConflict
from services.scheduling.domain.hours import Slot
from services.scheduling.rpc.courses import book_course_command
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases.courses import book_course
from services.scheduling.use_cases.holds import book_hold, end_holds
from tests.support.scheduling import DAY, TEMPLATE, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
Work = Callable[[SchedulingStore], Awaitable[pb.BookCourseResponse]]


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def booking(request: pb.BookCourseRequest) -> Work:
    async def work(store: SchedulingStore) -> pb.BookCourseResponse:
        await book_course(store, book_course_command(request))
        return pb.BookCourseResponse()

    return work


async def once(
    clinic: Clinic, request: pb.BookCourseRequest, work: Work, store: type[SchedulingStore] = SchedulingStore
) -> pb.BookCourseResponse:
    """Round the door, to hold a transaction open where a test needs it; without locks for a store that hesitates."""
    locks = book_course_command(request).contended_ids if store is SchedulingStore else set()
    call = clinic.svc.inside("BookCourse", request.request_id)
    return await clinic.svc.db.once(call, request, pb.BookCourseResponse, store, work, locks=locks)


@pytest.mark.parametrize("shared", ["room", "nurse", "patient"])
async def test_of_two_bookings_that_both_saw_the_time_free_the_database_refuses_one(
    clinic: Clinic, shared: str
) -> None:
    """Without locks, and both made to read before either writes: what is left is the exclusion constraint."""
    both_have_read = asyncio.Barrier(2)

    class Hesitant(SchedulingStore):
        async def taken(self, terms: Terms, layouts: Sequence[Layout]) -> list[Taken]:
            taken = await super().taken(terms, layouts)
            await both_have_read.wait()
            return taken

    patient = await clinic.add_patient()
    one = clinic.request(patient, clinic.treatments([FIRST]))
    where = {"nurse": clinic.nurses[shared != "nurse"], "room": clinic.rooms[shared != "room"]}
    other = clinic.request(
        patient if shared == "patient" else await clinic.add_patient(),
        clinic.treatments([FIRST + timedelta(minutes=30)], **where),
    )
    answers = await asyncio.gather(
        *(once(clinic, each, booking(each), Hesitant) for each in (one, other)), return_exceptions=True
    )
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == [VisitsConflict]
    assert await clinic.counts("course", "visit", "allocation", "presence") == [1, 1, 3, 1]


async def test_a_booking_waits_for_a_rival_and_then_names_what_the_rival_took(clinic: Clinic) -> None:
    starts = [FIRST, FIRST + 3 * DAY, FIRST + 7 * DAY]
    rival = clinic.request(await clinic.add_patient(), clinic.treatments(starts))
    request = clinic.request(await clinic.add_patient(), clinic.treatments(starts))
    done, commit = asyncio.Event(), asyncio.Event()

    async def book_and_wait(store: SchedulingStore) -> pb.BookCourseResponse:
        response = await booking(rival)(store)
        done.set()
        await commit.wait()
        return response

    first = asyncio.create_task(once(clinic, rival, book_and_wait))
    await done.wait()
    second = asyncio.create_task(refusal(clinic.book(request)))
    await until_a_lock_is_awaited(clinic)
    commit.set()
    await first
    refused = await second  # Every visit is named: the check saw them, not the constraint.
    assert (refused.reason, len(refused.faults)) == ("VISITS_CONFLICT", 6)


async def test_of_eight_racing_bookings_as_many_win_as_there_are_rooms(clinic: Clinic) -> None:
    patients = [await clinic.add_patient() for _ in range(8)]
    requests = [
        clinic.request(patient, clinic.treatments([FIRST], nurse=clinic.nurses[n % 2], room=clinic.rooms[n % 2]))
        for n, patient in enumerate(patients)
    ]
    answers = await asyncio.gather(*(clinic.book(request) for request in requests), return_exceptions=True)
    assert sum(isinstance(answer, pb.Course) for answer in answers) == 2
    assert await overlaps(clinic) == 0


async def test_the_same_request_sent_eight_times_at_once_books_once_and_is_answered_the_same(clinic: Clinic) -> None:
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    answers = await asyncio.gather(*(clinic.book(request) for _ in range(8)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert await clinic.counts("course", "visit", "allocation") == [1, 1, 3]


async def test_of_two_changes_of_one_visit_at_once_one_is_made(clinic: Clinic) -> None:
    [visit] = (await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))).visits
    answers = await asyncio.gather(*(confirm(clinic, visit.id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, Visit) for answer in answers) == 1
    assert await clinic.count("visit_status_change") == 2


async def test_changes_of_two_visits_of_a_course_at_once_have_a_version_each(clinic: Clinic) -> None:
    starts = [FIRST, FIRST + 3 * DAY, FIRST + 7 * DAY]
    visits = (await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts)))).visits
    await asyncio.gather(*(confirm(clinic, visit.id) for visit in visits))
    versions = [event.meta.aggregate_version for subject, event in await clinic.published() if ".visit." in subject]
    assert sorted(versions) == [2, 3, 4]


async def test_versions_published_at_once_are_numbered_one_after_another(clinic: Clinic) -> None:
    await asyncio.gather(*(clinic.publish(TEMPLATE) for _ in range(4)))
    numbers = "SELECT version FROM protocol_version WHERE chain_id = $1 ORDER BY version"
    assert [row[0] for row in await clinic.svc.admin.fetch(numbers, clinic.svc.chain_id)] == [1, 2, 3, 4, 5]


async def test_a_refused_booking_leaves_its_connection_fit_for_the_next(clinic: Clinic) -> None:
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST, FIRST + DAY]))
    with pytest.raises(DomainError):
        await once(clinic, request, booking(request))
    assert clinic.svc.pool.get_idle_size() == clinic.svc.pool.get_size()


async def test_of_two_bookings_of_one_hold_at_once_one_is_made(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FIRST + 3 * DAY])
    answers = await asyncio.gather(*(clinic.book_hold(held.id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(answer, pb.Course) for answer in answers) == 1
    assert await clinic.counts("visit_status_change", "presence", "hold") == [4, 2, 0]


async def test_a_hold_and_a_booking_of_the_same_time_at_once_have_one_winner(clinic: Clinic) -> None:
    holds = [clinic.hold(await clinic.add_patient(), [FIRST]) for _ in range(4)]
    bookings = [clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))) for _ in range(4)]
    answers = await asyncio.gather(*holds, *bookings, return_exceptions=True)
    assert sum(isinstance(answer, pb.Course) for answer in answers) == 1
    assert await overlaps(clinic) == 0


async def test_a_patient_who_holds_twice_at_once_has_one_hold(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    starts = [(FIRST, 0), (FIRST + 3 * DAY, 1)]
    holds = (clinic.hold(patient, [start], nurse=clinic.nurses[n], room=clinic.rooms[n]) for start, n in starts)
    answers = await asyncio.gather(*holds, return_exceptions=True)
    assert sum(isinstance(answer, pb.Course) for answer in answers) == 1
    assert await clinic.counts("hold", "course") == [1, 1]


class Waiting:
    """Work that stands still before it commits, until it may go on."""

    def __init__(self, work: Callable[[SchedulingStore], Awaitable[object]]) -> None:
        self._work, self.done, self.commit = work, asyncio.Event(), asyncio.Event()

    async def __call__(self, store: SchedulingStore) -> None:
        await self._work(store)
        self.done.set()
        await self.commit.wait()


async def hold_ends(clinic: Clinic, work: Callable[[SchedulingStore], Awaitable[None]]) -> None:
    await clinic.svc.db.job(clinic.svc.inside("end_holds"), SchedulingStore, work)


async def test_a_hold_that_is_being_booked_is_not_ended(clinic: Clinic) -> None:
    """Booked in time, and its end waits for it."""
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    booking = Waiting(lambda store: book_hold(store, from_wire("course", held.id)))
    request = pb.BookHoldRequest(request_id=str(uuid4()), course_id=held.id)
    call = clinic.svc.inside("BookHold", request.request_id)

    async def work(store: SchedulingStore) -> pb.BookHoldResponse:
        await booking(store)
        return pb.BookHoldResponse()

    first = asyncio.create_task(clinic.svc.db.once(call, request, pb.BookHoldResponse, SchedulingStore, work))
    await booking.done.wait()
    clinic.svc.clock.now += timedelta(minutes=15)
    second = asyncio.create_task(clinic.end_holds())
    await until_a_lock_is_awaited(clinic)
    booking.commit.set()
    await asyncio.gather(first, second)
    assert await statuses_of(clinic) == ["VISIT_STATUS_BOOKED"]
    assert await clinic.counts("allocation", "presence", "hold") == [3, 1, 0]
    assert not any("hold_expired" in subject for subject, _ in await clinic.published())


async def test_a_hold_that_is_being_ended_is_not_booked(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST])
    before = clinic.svc.clock.now
    clinic.svc.clock.now += timedelta(minutes=15)
    ending = Waiting(lambda store: end_holds(store, 10))
    first = asyncio.create_task(hold_ends(clinic, ending))
    await ending.done.wait()
    clinic.svc.clock.now = before  # Its call came in time.
    second = asyncio.create_task(refusal(clinic.book_hold(held.id)))
    await until_a_lock_is_awaited(clinic)
    ending.commit.set()
    await first
    assert (await second).reason == "HOLD_OVER"
    assert await statuses_of(clinic) == ["VISIT_STATUS_EXPIRED"]
    assert await clinic.counts("allocation", "presence", "hold") == [0, 0, 0]


async def test_a_hold_whose_time_is_being_booked_by_another_when_it_has_ended_is_not_booked(clinic: Clinic) -> None:
    held = await clinic.hold(await clinic.add_patient(), [FIRST, FIRST + 3 * DAY])
    rival = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))
    taking = Waiting(booking(rival))
    before = clinic.svc.clock.now
    clinic.svc.clock.now += timedelta(minutes=15)

    async def take(store: SchedulingStore) -> pb.BookCourseResponse:
        await taking(store)
        return pb.BookCourseResponse()

    first = asyncio.create_task(once(clinic, rival, take))
    await taking.done.wait()
    clinic.svc.clock.now = before
    second = asyncio.create_task(refusal(clinic.book_hold(held.id)))
    await until_a_lock_is_awaited(clinic)
    taking.commit.set()
    await first
    assert (await second).reason == "HOLD_OVER"
    assert await overlaps(clinic) == 0
    assert sorted(await statuses_of(clinic)) == ["VISIT_STATUS_BOOKED", *["VISIT_STATUS_HELD"] * 2]


async def test_a_hold_of_somebody_of_whom_a_calendar_is_being_told_is_booked_by_what_it_says(clinic: Clinic) -> None:
    held, nurse = await clinic.hold(await clinic.add_patient(), [FIRST]), from_wire("resource", clinic.nurses[0])
    busy = Slot(FIRST, FIRST + timedelta(minutes=30))
    told = Waiting(lambda store: store.keep_busy_times(nurse, "google", [busy]))
    request = ImportBusyTimesRequest(request_id=str(uuid4()), resource_id=clinic.nurses[0])
    call = clinic.svc.inside("ImportBusyTimes", request.request_id)

    async def work(store: SchedulingStore) -> ImportBusyTimesResponse:
        await told(store)
        return ImportBusyTimesResponse()

    keeping = clinic.svc.db.once(call, request, ImportBusyTimesResponse, SchedulingStore, work, locks=[nurse])
    first = asyncio.create_task(keeping)
    await told.done.wait()
    second = asyncio.create_task(refusal(clinic.book_hold(held.id)))
    await until_a_lock_is_awaited(clinic)
    told.commit.set()
    await first
    assert (await second).reason == "VISITS_CONFLICT"
    assert await statuses_of(clinic) == ["VISIT_STATUS_HELD"]


async def statuses_of(clinic: Clinic) -> list[str]:
    rows = await clinic.svc.admin.fetch("SELECT status FROM visit WHERE chain_id = $1", clinic.svc.chain_id)
    return [row["status"] for row in rows]


async def confirm(clinic: Clinic, visit_id: str) -> Visit:
    request = visit_service_pb2.ConfirmVisitRequest(request_id=str(uuid4()), visit_id=visit_id)
    visit: Visit = (await clinic.svc.call(clinic.visits.ConfirmVisit, request)).visit
    return visit


async def overlaps(clinic: Clinic) -> int:
    """Rows that take one lane at once, by joining what is taken with itself."""
    return int(
        await clinic.svc.admin.fetchval(
            "SELECT count(*) FROM allocation AS one JOIN allocation AS two USING (chain_id, resource_id, lane) "
            "WHERE one.visit_id < two.visit_id AND one.start_at < two.end_at AND two.start_at < one.end_at"
        )
    )


async def until_a_lock_is_awaited(clinic: Clinic) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(1000):
        if await clinic.svc.admin.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")
