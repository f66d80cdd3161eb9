"""Who waits is offered what is freed, in order, for a while; and what becomes of it: through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.notifications.v1.events_pb2 import OfferAcceptanceReceived
from atoll.patients.v1.events_pb2 import AdverseEventReported, TreatmentAllowed
from atoll.scheduling.v1 import closure_service_pb2 as closures_pb
from atoll.scheduling.v1 import course_service_pb2 as courses
from atoll.scheduling.v1 import visit_service_pb2 as visits
from atoll.scheduling.v1 import waitlist_service_pb2 as pb
from atoll.scheduling.v1.closure_service_pb2_grpc import ClosureServiceStub
from atoll.scheduling.v1.events_pb2 import CANCELLATION_REASON_CLINIC, OfferOutcome
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from atoll.scheduling.v1.protocol_service_pb2 import AdoptProtocolVersionRequest
from atoll.scheduling.v1.visit_pb2 import VISIT_STATUS_BOOKED, VISIT_STATUS_HELD
from atoll.scheduling.v1.waitlist_pb2 import WaitlistEndReason, WaitlistEntry, WaitlistStatus
from chassis.errors import TryAgain
from chassis.ids import from_wire, new_id, to_wire
from chassis.jobs import job_call
from chassis.settings import Settings
from services.scheduling.domain.courses import VisitsConflict
from services.scheduling.domain.waitlist import (
    ENTRIES_OF_PATIENT_MAX,
    OFFERS_AT_SITE_MAX,
    EndReason,
    Entry,
    Look,
    Offer,
    OfferOver,
)
from services.scheduling.jobs import offer_due_times, offer_times
from services.scheduling.rpc.courses import book_course_command
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import waitlist
from services.scheduling.use_cases.courses import book_course
from tests.integration.test_scheduling_closures import create as close
from tests.integration.test_scheduling_closures import interval
from tests.integration.test_scheduling_closures import request as closing
from tests.integration.test_scheduling_staff_calendars import MORNING, busy_import, importing
from tests.support.scheduling import (
    DAY,
    TEMPLATE,
    Clinic,
    local,
    open_clinic,
    open_scheduling,
    phase,
    with_same_nurse,
)
from tests.support.scheduling_merges import merge
from tests.support.service import Running, refusal, refusing
from tests.unit.test_scheduling_staff_calendars import calendar

FIRST = local(3, 2, 9)  # A Tuesday; it is Monday, nine o'clock.
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TUESDAY, FRIDAY = {"year": 2027, "month": 3, "day": 2}, {"year": 2027, "month": 3, "day": 5}


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    """Nobody waits or holds anything, since jobs work for every chain."""
    await svc.admin.execute("TRUNCATE waitlist_offer, waitlist_entry, waitlist_look, waiting_chain")
    await svc.admin.execute("DELETE FROM hold")
    clinic = await open_clinic(svc)
    await clinic.hear()
    return clinic


async def fill(clinic: Clinic, start: datetime = FIRST) -> list[courses.Course]:
    """Both rooms and nurses are taken then."""
    return [
        await clinic.book(
            clinic.request(await clinic.add_patient(), clinic.treatments([start], nurse=nurse, room=room))
        )
        for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True)
    ]


async def cancel(clinic: Clinic, course: courses.Course, n: int = 0) -> None:
    request = visits.CancelVisitRequest(
        request_id=str(uuid4()), visit_id=course.visits[n].id, reason=CANCELLATION_REASON_CLINIC
    )
    await clinic.svc.call(clinic.visits.CancelVisit, request)


async def accept(clinic: Clinic, offer_id: str, token: str | None = None) -> pb.AcceptOfferResponse:
    request = pb.AcceptOfferRequest(request_id=str(uuid4()), offer_id=offer_id)
    answer: pb.AcceptOfferResponse = await clinic.svc.call(clinic.waitlist.AcceptOffer, request, token)
    return answer


async def decline(clinic: Clinic, offer_id: str, token: str | None = None) -> WaitlistEntry:
    request = pb.DeclineOfferRequest(request_id=str(uuid4()), offer_id=offer_id)
    entry: WaitlistEntry = (await clinic.svc.call(clinic.waitlist.DeclineOffer, request, token)).waitlist_entry
    return entry


async def leave(clinic: Clinic, id: str, token: str | None = None) -> WaitlistEntry:
    request = pb.LeaveWaitlistRequest(request_id=str(uuid4()), waitlist_entry_id=id)
    entry: WaitlistEntry = (await clinic.svc.call(clinic.waitlist.LeaveWaitlist, request, token)).waitlist_entry
    return entry


async def listed(clinic: Clinic, token: str | None = None, **fields: Any) -> pb.ListWaitlistEntriesResponse:
    request = pb.ListWaitlistEntriesRequest(site_id=clinic.site_id, **fields)
    answer: pb.ListWaitlistEntriesResponse = await clinic.svc.call(clinic.waitlist.ListWaitlistEntries, request, token)
    return answer


async def status(clinic: Clinic, *entries: WaitlistEntry) -> list[str]:
    found = [await clinic.entry(each.id) for each in entries]
    return [WaitlistStatus.Name(each.status).removeprefix("WAITLIST_STATUS_") for each in found]


async def told(clinic: Clinic, fact: str) -> list[Any]:
    return [event for subject, event in await clinic.published() if subject == f"scheduling.v1.{fact}"]


async def look(clinic: Clinic, entry: WaitlistEntry) -> Look:
    call = job_call("scheduling", "waitlist", clinic.svc.chain_id, clinic.svc.now)
    read = partial(waitlist.look, entry_id=from_wire("waitlistentry", entry.id))
    found = await clinic.svc.db.job(call, SchedulingStore, read)
    assert found
    return found


async def starts(clinic: Clinic, entry: WaitlistEntry) -> list[datetime]:
    return [each.slot.start for each in (await look(clinic, entry)).openings()]


async def offered(clinic: Clinic) -> tuple[WaitlistEntry, list[courses.Course]]:
    """Somebody to whom a place is offered that was freed for them."""
    booked = await fill(clinic)
    entry = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    await cancel(clinic, booked[0])
    await clinic.offer_times()
    return await clinic.entry(entry.id), booked


async def test_whoever_joins_is_offered_at_once_what_is_free(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    joined = await clinic.join(patient, notice_minutes=60)
    assert await status(clinic, joined) == ["WAITING"]
    assert await clinic.offer_times() == 1
    entry = await clinic.entry(joined.id)
    assert (await status(clinic, entry), entry.offer.start_time.ToDatetime()) == (
        ["OFFERED"],
        FIRST.replace(tzinfo=None),
    )
    assert entry.offer.expire_time.ToDatetime() == (clinic.svc.now + 2 * HOUR).replace(tzinfo=None)
    course = (
        await clinic.svc.call(clinic.courses.GetCourse, courses.GetCourseRequest(course_id=entry.offer.course_id))
    ).course
    assert [(each.id, each.status) for each in course.visits] == [(entry.offer.visit_id, VISIT_STATUS_HELD)]
    [made], [held] = await told(clinic, "offer.made"), await told(clinic, "course.held")
    assert (made.offer_id, made.waitlist_entry_id, made.patient_id) == (entry.offer.id, entry.id, patient)
    assert (made.site_id, made.course_id, made.expire_time) == (clinic.site_id, course.id, entry.offer.expire_time)
    assert [made.visit] == list(held.visits)
    assert made.offer_id.removeprefix("offer_") == made.visit.visit_id.removeprefix("visit_")


async def test_what_is_freed_is_offered_to_who_joined_first(clinic: Clinic) -> None:
    booked = await fill(clinic)
    entries = [await clinic.join(await clinic.add_patient()) for _ in range(2)]
    await clinic.offer_times()
    assert await status(clinic, *entries) == ["WAITING", "WAITING"]
    await cancel(clinic, booked[0])
    await clinic.offer_times()
    assert await status(clinic, *entries) == ["OFFERED", "WAITING"]
    await cancel(clinic, booked[1])
    await clinic.offer_times()
    assert await status(clinic, *entries) == ["OFFERED", "OFFERED"]


async def test_nobody_is_looked_at_without_a_reason(clinic: Clinic) -> None:
    await fill(clinic)
    await clinic.join(await clinic.add_patient())
    assert await clinic.offer_times() == 1
    assert await clinic.offer_times() == 0
    assert await clinic.count("waitlist_look") == 0


async def test_where_nobody_waits_nothing_is_noted(clinic: Clinic) -> None:
    [course, _] = await fill(clinic)
    await cancel(clinic, course)
    await clinic.book_hold((await clinic.hold(await clinic.add_patient(), [FIRST])).id)
    await clinic.hear()
    assert await clinic.count("waitlist_look") == 0


async def test_an_offer_that_is_declined_goes_to_the_next_and_is_not_made_again(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    behind = await clinic.join(await clinic.add_patient())
    declined = await decline(clinic, entry.offer.id)
    assert declined.status == WaitlistStatus.WAITLIST_STATUS_WAITING
    assert not declined.HasField("offer")
    await clinic.offer_times()
    assert await status(clinic, entry, behind) == ["WAITING", "OFFERED"]
    await decline(clinic, (await clinic.entry(behind.id)).offer.id)
    await clinic.offer_times()
    assert await status(clinic, entry, behind) == ["WAITING", "WAITING"]
    outcomes = [(each.offer_id == entry.offer.id, each.outcome) for each in await told(clinic, "offer.ended")]
    assert outcomes == [(True, OfferOutcome.OFFER_OUTCOME_DECLINED), (False, OfferOutcome.OFFER_OUTCOME_DECLINED)]


async def test_what_overlaps_an_offer_of_before_is_not_offered_again(clinic: Clinic) -> None:
    """A quarter of an hour later it would be the same place."""
    entry = await clinic.join(await clinic.add_patient(), start_until={"hours": 11})
    await clinic.offer_times()
    await decline(clinic, (await clinic.entry(entry.id)).offer.id)
    assert await starts(clinic, entry) == [FIRST + 90 * MINUTE]  # It would have ended after 80; starts are on a grid.


async def test_an_offer_that_is_not_accepted_in_time_goes_to_the_next(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    behind = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    clinic.svc.clock.now += 2 * HOUR
    refused = await refusal(accept(clinic, entry.offer.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "HOLD_OVER")
    assert await clinic.end_holds() == 1
    await clinic.offer_times()
    assert await status(clinic, entry, behind) == ["WAITING", "OFFERED"]
    [ended] = await told(clinic, "offer.ended")
    assert (ended.offer_id, ended.waitlist_entry_id) == (entry.offer.id, entry.id)
    assert (ended.outcome, ended.visit_id) == (OfferOutcome.OFFER_OUTCOME_EXPIRED, entry.offer.visit_id)
    assert (await refusal(accept(clinic, entry.offer.id))).reason == "OFFER_OVER"
    assert (await refusal(decline(clinic, entry.offer.id))).reason == "OFFER_OVER"


async def test_accepting_books_what_is_held_under_its_ids(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    request = pb.AcceptOfferRequest(request_id=str(uuid4()), offer_id=entry.offer.id)
    one, other = [await clinic.svc.call(clinic.waitlist.AcceptOffer, request) for _ in range(2)]
    assert one == other
    assert one.waitlist_entry.status == WaitlistStatus.WAITLIST_STATUS_BOOKED
    assert (one.visit.id, one.visit.status) == (entry.offer.visit_id, VISIT_STATUS_BOOKED)
    [ended] = await told(clinic, "offer.ended")
    assert ended.outcome == OfferOutcome.OFFER_OUTCOME_ACCEPTED
    booked = (await told(clinic, "course.booked"))[-1]
    assert [each.visit_id for each in booked.visits] == [entry.offer.visit_id]
    assert await clinic.count("hold") == 0
    assert (await refusal(accept(clinic, entry.offer.id))).reason == "OFFER_OVER"
    assert (await refusal(leave(clinic, entry.id))).reason == "WAITLIST_ENTRY_OVER"


async def test_an_offer_ends_with_its_hold_by_whichever_rpc(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    await clinic.release_hold(entry.offer.course_id)
    assert await status(clinic, entry) == ["WAITING"]
    other = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    await clinic.book_hold((await clinic.entry(other.id)).offer.course_id)
    assert await status(clinic, entry, other) == ["WAITING", "BOOKED"]
    outcomes = [each.outcome for each in await told(clinic, "offer.ended")]
    assert outcomes == [OfferOutcome.OFFER_OUTCOME_DECLINED, OfferOutcome.OFFER_OUTCOME_ACCEPTED]


async def test_who_leaves_gives_up_what_is_offered(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    left = await leave(clinic, entry.id)
    assert (left.status, left.end_reason) == (
        WaitlistStatus.WAITLIST_STATUS_ENDED,
        WaitlistEndReason.WAITLIST_END_REASON_WITHDRAWN,
    )
    assert await clinic.entry(entry.id) == left
    assert [each.outcome for each in await told(clinic, "offer.ended")] == [OfferOutcome.OFFER_OUTCOME_WITHDRAWN]
    assert await clinic.count("hold") == 0
    assert (await refusal(leave(clinic, entry.id))).reason == "WAITLIST_ENTRY_OVER"


async def test_who_leaves_while_waiting_is_offered_nothing(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient())
    left = await leave(clinic, entry.id)
    assert await clinic.entry(entry.id) == left
    await clinic.offer_times()
    assert await told(clinic, "offer.made") == []


async def test_an_offer_is_good_until_the_notice_and_not_made_for_less_than_a_quarter_of_an_hour(
    clinic: Clinic,
) -> None:
    entry = await clinic.join(await clinic.add_patient(), notice_minutes=60)
    clinic.svc.clock.now = local(3, 2, 8, 0) - MINUTE * 14  # Nine o'clock is 74 minutes ahead.
    assert await starts(clinic, entry) == []
    clinic.svc.clock.now -= MINUTE
    [opening] = (await look(clinic, entry)).openings()
    call = job_call("scheduling", "waitlist", clinic.svc.chain_id, clinic.svc.now)
    known = (await look(clinic, entry)).entry
    made = await clinic.svc.db.job(call, SchedulingStore, partial(waitlist.offer, entry=known, opening=opening))
    assert made
    assert made.expire_at == FIRST - HOUR


async def test_offers_are_made_by_day(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient(), last_date=FRIDAY)
    clinic.svc.clock.now = local(3, 1, 20)
    assert await clinic.offer_times() == 0
    clinic.svc.clock.now = local(3, 2, 7, 59)
    assert await clinic.offer_times() == 0
    clinic.svc.clock.now = local(3, 2, 8)
    assert await clinic.offer_times() == 1
    assert await status(clinic, entry) == ["OFFERED"]


async def test_whoever_is_not_cleared_is_offered_nothing_until_they_are(clinic: Clinic) -> None:
    patient = await clinic.add_patient(cleared=False)
    entry = await clinic.join(patient)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.clear(patient)
    assert await clinic.offer_times() == 1
    assert await status(clinic, entry) == ["OFFERED"]


async def test_whoever_is_paused_is_offered_nothing_until_they_may_go_on(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    id = to_wire("adverseevent", new_id())
    await clinic.svc.deliver(AdverseEventReported(adverse_event_id=id, patient_id=patient), version=1)
    entry = await clinic.join(patient)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.svc.deliver(TreatmentAllowed(adverse_event_id=id, patient_id=patient), version=2)
    assert await clinic.offer_times() == 1
    assert await status(clinic, entry) == ["OFFERED"]


async def test_gates_are_looked_at_when_an_offer_is_accepted_and_it_stays_meanwhile(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    event = AdverseEventReported(adverse_event_id=to_wire("adverseevent", new_id()), patient_id=entry.patient_id)
    await clinic.svc.deliver(event, version=1)
    assert (await refusal(accept(clinic, entry.offer.id))).reason == "COURSE_PAUSED"
    assert await status(clinic, entry) == ["OFFERED"]


async def course_with_a_gap(clinic: Clinic) -> courses.Course:
    """Of Tuesday the 2nd, Friday the 5th and Monday the 8th, of which Friday's is called off."""
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST, FIRST + 3 * DAY, FIRST + 6 * DAY])))
    await cancel(clinic, course, 1)
    return course


async def test_only_days_are_offered_on_which_both_neighbours_are_as_far_as_the_protocol_wants(clinic: Clinic) -> None:
    """Two to five days from each: between them the 4th and the 5th, after them the 10th to the 13th, of weekdays."""
    course = await course_with_a_gap(clinic)
    days = {"first_date": TUESDAY, "last_date": {"year": 2027, "month": 3, "day": 20}}
    entry = await clinic.join(course.patient_id, course_id=course.id, **days)
    found = [each.day for each in await starts(clinic, entry)]
    assert found == [4, 5, 10, 11, 12]


async def test_the_next_visit_of_a_course_is_booked_into_it(clinic: Clinic) -> None:
    course = await course_with_a_gap(clinic)
    days = {"first_date": TUESDAY, "last_date": {"year": 2027, "month": 3, "day": 20}}
    entry = await clinic.join(course.patient_id, course_id=course.id, **days)
    await clinic.offer_times()
    offer = (await clinic.entry(entry.id)).offer
    assert (offer.course_id, offer.start_time.ToDatetime().day) == (course.id, 4)
    booked = await accept(clinic, offer.id)
    assert (booked.visit.course_id, booked.visit.phase_code) == (course.id, "induction")
    await clinic.hear()


async def test_who_has_all_visits_of_the_phase_waits_no_longer(clinic: Clinic) -> None:
    two = phase("induction", "INDUCTION", "treatment", (1, 2, 2), (2, 3, 5), needs_clearance=True)
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [two]})
    await clinic.adopt()
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    days = {"first_date": FRIDAY, "last_date": FRIDAY}
    entry = await clinic.join(patient, course_id=course.id, **days)
    more = clinic.request(patient, clinic.treatments([FIRST + 3 * DAY]), course_id=course.id)
    await clinic.book(more)
    await clinic.offer_times()
    found = await clinic.entry(entry.id)
    assert (found.status, found.end_reason) == (
        WaitlistStatus.WAITLIST_STATUS_ENDED,
        WaitlistEndReason.WAITLIST_END_REASON_REFUSED,
    )
    refused = await refusal(clinic.join(patient, course_id=course.id, **days))
    assert (refused.reason, refused.faults) == ("PHASES_OUTSIDE_PROTOCOL", [("phase_code", "VISIT_COUNT")])


async def test_what_is_held_of_the_phase_may_be_given_up_yet(clinic: Clinic) -> None:
    two = phase("induction", "INDUCTION", "treatment", (1, 2, 2), (2, 3, 5), needs_clearance=True)
    clinic.version_id = await clinic.publish({**TEMPLATE, "phases": [two]})
    await clinic.adopt()
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    entry = await clinic.join(patient, course_id=course.id, first_date=FRIDAY, last_date=FRIDAY)
    await clinic.hold(patient, [FIRST + 3 * DAY], course_id=course.id)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.release_hold(course.id)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_visit_beside_the_phases_is_offered_held_and_booked(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    entry = await clinic.join(patient, visit_type_code="talk", route_code="")
    await clinic.offer_times()
    offer = (await clinic.entry(entry.id)).offer
    booked = (await accept(clinic, offer.id)).visit
    assert (booked.visit_type_code, booked.phase_code, booked.status) == ("talk", "", VISIT_STATUS_BOOKED)


async def test_wishes_are_kept(clinic: Clinic) -> None:
    days = {"first_date": TUESDAY, "last_date": {"year": 2027, "month": 3, "day": 14}}
    wish = {"weekdays": ["WEDNESDAY", "FRIDAY"], "start_from": {"hours": 13}, "start_until": {"hours": 14}}
    entry = await clinic.join(await clinic.add_patient(), **days, **wish)
    assert [(each.day, each.hour) for each in await starts(clinic, entry)] == [(3, 20), (5, 20), (10, 20), (12, 20)]


async def test_whose_last_day_is_over_waits_no_longer(clinic: Clinic) -> None:
    await fill(clinic)
    entry = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    clinic.svc.clock.now = local(3, 3, 0) - MINUTE
    assert await clinic.offer_times() == 0
    clinic.svc.clock.now += MINUTE
    assert await clinic.offer_times() == 1
    found = await clinic.entry(entry.id)
    assert (found.status, found.end_reason) == (
        WaitlistStatus.WAITLIST_STATUS_ENDED,
        WaitlistEndReason.WAITLIST_END_REASON_EXPIRED,
    )


async def test_who_holds_something_is_passed_over(clinic: Clinic) -> None:
    """Under whichever id."""
    patient, merged = await clinic.add_patient(), await clinic.add_patient()
    held = await clinic.hold(merged, [FIRST + 3 * DAY])
    await merge(clinic, merged, patient)
    entry = await clinic.join(patient)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.release_hold(held.id)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_who_holds_something_at_another_site_is_looked_at_when_that_ends(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST + 3 * DAY])
    clinic.site_id = await clinic.add_site("bou")
    await clinic.adopt()
    await clinic.add_resource("ROOM", "Room")
    await clinic.add_resource("STAFF", "Nurse", capabilities=["infusion"], lane_count=2)
    entry = await clinic.join(patient)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.release_hold(held.id)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_who_booked_what_they_held_is_looked_at(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST + 3 * DAY])
    entry = await clinic.join(patient)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.book_hold(held.id)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_patient_who_booked_what_they_held_sees_nobody_who_is_looked_at_since(clinic: Clinic) -> None:
    """Less of the day is held."""
    await fill(clinic)
    await clinic.join(await clinic.add_patient())
    patient = await clinic.add_patient()
    held = await clinic.hold(patient, [FIRST + 3 * DAY])
    await clinic.offer_times()
    await clinic.book_hold(held.id, clinic.svc.token("ROLE_PATIENT", subject=patient, patient=patient))
    assert await clinic.count("waitlist_look") == 1


async def test_offers_count_for_no_caller_and_a_patient_has_one_hold_at_a_time(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    refused = await refusal(clinic.hold(entry.patient_id, [FIRST + 3 * DAY]))
    assert (refused.reason, refused.metadata) == (
        "HOLD_LIMIT",
        {"limit": "PATIENT", "course_id": entry.offer.course_id},
    )
    assert await clinic.svc.admin.fetchval("SELECT actor FROM hold WHERE offer_id IS NOT NULL") == "scheduling"


async def test_of_a_resource_no_more_than_half_of_a_day_is_offered(clinic: Clinic) -> None:
    """Then the next day is."""
    for n in range(3):
        for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
            await clinic.hold(await clinic.add_patient(), [local(3, 2, 8 + 2 * n)], nurse=nurse, room=room)
    entry = await clinic.join(
        await clinic.add_patient(),
        start_from={"hours": 14},
        start_until={"hours": 14},
        last_date={"year": 2027, "month": 3, "day": 3},
    )
    await clinic.offer_times()
    assert (await clinic.entry(entry.id)).offer.start_time.ToDatetime().day == 3


async def test_at_a_site_only_so_much_is_offered_at_once(clinic: Clinic) -> None:
    many = """
        WITH entries AS (INSERT INTO waitlist_entry
            SELECT chain_id, gen_random_uuid(), site_id, gen_random_uuid(), protocol_version_id, NULL, phase_code,
                visit_type_code, route_code, first_date, last_date, weekdays, start_from, start_until, notice_minutes,
                joined_at, over_at, 'WAITLIST_STATUS_OFFERED', NULL
            FROM waitlist_entry, generate_series(1, $1) RETURNING *)
        INSERT INTO waitlist_offer
        SELECT chain_id, gen_random_uuid(), id, site_id, patient_id, gen_random_uuid(), joined_at,
            joined_at + interval '1 hour', joined_at FROM entries
    """
    entry = await clinic.join(await clinic.add_patient())
    await clinic.svc.admin.execute(many, OFFERS_AT_SITE_MAX)
    assert await clinic.offer_times() == 1
    assert await status(clinic, entry) == ["WAITING"]
    await clinic.svc.admin.execute(
        "UPDATE waitlist_offer SET outcome = 'OFFER_OUTCOME_EXPIRED' "
        "WHERE id = (SELECT id FROM waitlist_offer WHERE outcome IS NULL LIMIT 1)"
    )
    await clinic.svc.admin.execute(
        "INSERT INTO waitlist_look (chain_id, site_id) VALUES ($1, $2)", clinic.svc.chain_id, clinic.site_uuid
    )
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_patient_waits_for_so_many_visits_under_whichever_id(clinic: Clinic) -> None:
    patient, merged = await clinic.add_patient(), await clinic.add_patient()
    for each in [patient] * (ENTRIES_OF_PATIENT_MAX - 1) + [merged]:
        await clinic.join(each)
    await merge(clinic, merged, patient)
    refused = await refusal(clinic.join(merged))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "WAITLIST_FULL")
    assert await clinic.count("waitlist_entry") == ENTRIES_OF_PATIENT_MAX
    first = (await listed(clinic)).waitlist_entries[0]
    await leave(clinic, first.id)
    joined = await clinic.join(merged)
    assert joined.patient_id == patient


async def test_a_patient_who_was_merged_is_offered_a_time_under_the_survivor(clinic: Clinic) -> None:
    patient, merged = await clinic.add_patient(), await clinic.add_patient()
    entry = await clinic.join(merged)
    await merge(clinic, merged, patient)
    await clinic.offer_times()
    [made] = await told(clinic, "offer.made")
    assert (made.waitlist_entry_id, made.patient_id) == (entry.id, patient)
    assert (await accept(clinic, made.offer_id)).visit.patient_id == patient


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"last_date": {"year": 2027, "month": 3, "day": 1}}, "WAITLIST_WINDOW_INVALID"),
        (
            {"first_date": {"year": 2027, "month": 2, "day": 1}, "last_date": {"year": 2027, "month": 2, "day": 28}},
            "WAITLIST_WINDOW_INVALID",
        ),
        ({"last_date": {"year": 2027, "month": 6, "day": 3}}, "WAITLIST_WINDOW_INVALID"),
        (
            {"first_date": {"year": 2028, "month": 3, "day": 1}, "last_date": {"year": 2028, "month": 3, "day": 2}},
            "WAITLIST_WINDOW_INVALID",
        ),
        ({"start_until": {"hours": 8}}, "PLAN_PREFERENCE_INVALID"),
        ({"start_from": {"hours": 24}, "start_until": {"hours": 24}}, "PLAN_PREFERENCE_INVALID"),
        ({"start_until": {"hours": 25}}, "HOURS_INVALID"),
        ({"phase_code": "maintenance"}, "PHASES_OUTSIDE_PROTOCOL"),
        ({"visit_type_code": "massage"}, "VISIT_TYPE_NOT_FOUND"),
        ({"visit_type_code": "talk"}, "ROUTE_UNKNOWN"),
        ({"route_code": "oral"}, "ROUTE_UNKNOWN"),
        ({"site_id": to_wire("site", new_id())}, "SITE_NOT_FOUND"),
        ({"course_id": to_wire("course", new_id())}, "COURSE_NOT_FOUND"),
        ({"protocol_version_id": to_wire("protocolversion", new_id())}, "PROTOCOL_VERSION_NOT_FOUND"),
        ({"patient_id": to_wire("patient", new_id())}, "NOT_YET_KNOWN"),
    ],
)
async def test_what_nobody_can_wait_for_is_refused(clinic: Clinic, changes: dict[str, Any], reason: str) -> None:
    asked = {"patient_id": await clinic.add_patient()} | changes
    assert (await refusal(clinic.join(**asked))).reason == reason
    assert await clinic.counts("waitlist_entry", "waitlist_look") == [0, 0]


@pytest.mark.parametrize(("last", "well"), [({"month": 6, "day": 2}, True), ({"month": 6, "day": 3}, False)])
async def test_a_window_has_so_many_days(clinic: Clinic, last: dict[str, int], *, well: bool) -> None:
    asked = clinic.join(await clinic.add_patient(), last_date={"year": 2027} | last)
    assert (await asked).id if well else (await refusal(asked)).reason == "WAITLIST_WINDOW_INVALID"


async def test_a_course_of_somebody_else_is_none_to_wait_for(clinic: Clinic) -> None:
    course = await course_with_a_gap(clinic)
    refused = await refusal(clinic.join(await clinic.add_patient(), course_id=course.id))
    assert (refused.reason, refused.faults) == ("COURSE_MISMATCH", [("patient_id", "COURSE_MISMATCH")])


async def test_the_same_request_joins_once(clinic: Clinic) -> None:
    request = clinic.join_request(await clinic.add_patient())
    one, other = [await clinic.svc.call(clinic.waitlist.JoinWaitlist, request) for _ in range(2)]
    assert one == other
    assert await clinic.count("waitlist_entry") == 1


async def test_a_list_is_read_in_order_page_by_page_and_by_status(clinic: Clinic) -> None:
    await fill(clinic)
    entries = [await clinic.join(await clinic.add_patient()) for _ in range(3)]
    await leave(clinic, entries[1].id)
    page = await listed(clinic, page_size=2)
    rest = await listed(clinic, page_size=2, page_token=page.next_page_token)
    assert [each.id for each in (*page.waitlist_entries, *rest.waitlist_entries)] == [each.id for each in entries]
    assert rest.next_page_token == ""
    waiting = await listed(clinic, status=WaitlistStatus.WAITLIST_STATUS_WAITING)
    assert [each.id for each in waiting.waitlist_entries] == [entries[0].id, entries[2].id]


async def test_what_a_patient_waits_for_is_found_by_any_of_their_ids(clinic: Clinic) -> None:
    await fill(clinic)
    patient, merged, other = [await clinic.add_patient() for _ in range(3)]
    waiting, left, of_merged, of_other = [await clinic.join(each) for each in (patient, patient, merged, other)]
    await leave(clinic, left.id)
    await merge(clinic, merged, patient)
    for id in (patient, merged):
        found = await listed(clinic, patient_id=id)
        assert [each.id for each in found.waitlist_entries] == [waiting.id, left.id, of_merged.id]
    found = await listed(clinic, patient_id=patient, status=WaitlistStatus.WAITLIST_STATUS_WAITING)
    assert [each.id for each in found.waitlist_entries] == [waiting.id, of_merged.id]
    assert [each.id for each in (await listed(clinic, patient_id=other)).waitlist_entries] == [of_other.id]
    first = await listed(clinic, patient_id=patient, page_size=1)
    refused = await refusal(listed(clinic, patient_id=other, page_size=1, page_token=first.next_page_token))
    assert refused.reason == "BAD_PAGE_TOKEN"


async def test_a_patient_waits_accepts_and_sees_only_for_themselves(clinic: Clinic) -> None:
    me, other = await clinic.add_patient(), await clinic.add_patient()
    token = clinic.svc.token("ROLE_PATIENT", subject=me, patient=me)
    theirs = await clinic.join(other)
    assert (await refusal(clinic.join(other, token=token))).code is StatusCode.PERMISSION_DENIED
    mine = await clinic.join(me, token=token)
    await clinic.offer_times()
    offer, others = (await clinic.entry(mine.id)).offer, (await clinic.entry(theirs.id)).offer
    assert [each.id for each in (await listed(clinic, token)).waitlist_entries] == [mine.id]
    assert (await refusal(listed(clinic, token, patient_id=other))).code is StatusCode.PERMISSION_DENIED
    assert (await refusal(leave(clinic, theirs.id, token))).reason == "WAITLIST_ENTRY_NOT_FOUND"
    for answer in (accept, decline):
        assert (await refusal(answer(clinic, others.id, token))).reason == "OFFER_NOT_FOUND"
    assert (await accept(clinic, offer.id, token)).visit.status == VISIT_STATUS_BOOKED


async def test_a_patient_declines_and_leaves_for_themselves(clinic: Clinic) -> None:
    me = await clinic.add_patient()
    token = clinic.svc.token("ROLE_PATIENT", subject=me, patient=me)
    mine = await clinic.join(me, token=token, start_until={"hours": 15})
    await clinic.offer_times()
    await decline(clinic, (await clinic.entry(mine.id)).offer.id, token)
    await clinic.offer_times()
    assert (await leave(clinic, mine.id, token)).status == WaitlistStatus.WAITLIST_STATUS_ENDED
    assert await clinic.count("hold") == 0


async def test_a_list_is_of_its_site(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    elsewhere = clinic.token(site_id=await clinic.add_site("bld"))
    assert (await refusal(leave(clinic, entry.id, elsewhere))).reason == "WAITLIST_ENTRY_NOT_FOUND"
    assert (await refusal(accept(clinic, entry.offer.id, elsewhere))).reason == "OFFER_NOT_FOUND"
    assert (await refusal(listed(clinic, elsewhere))).code is StatusCode.PERMISSION_DENIED


def taken_by_link(entry: WaitlistEntry) -> OfferAcceptanceReceived:
    return OfferAcceptanceReceived(offer_id=entry.offer.id, patient_id=entry.patient_id, site_id=entry.site_id)


async def test_an_offer_taken_by_a_link_is_booked_once(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    for _ in range(2):
        await clinic.svc.deliver(taken_by_link(entry))
    assert await status(clinic, entry) == ["BOOKED"]
    assert [each.outcome for each in await told(clinic, "offer.ended")] == [OfferOutcome.OFFER_OUTCOME_ACCEPTED]
    assert await clinic.counts("hold", "task") == [0, 0]
    changes = await clinic.svc.admin.fetch(
        "SELECT status, actor FROM visit_status_change WHERE visit_id = $1 ORDER BY status",
        from_wire("visit", entry.offer.visit_id),
    )
    assert [each["status"] for each in changes] == ["VISIT_STATUS_BOOKED", "VISIT_STATUS_HELD"]


async def test_an_offer_taken_by_a_link_that_cannot_be_booked_is_a_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    event = AdverseEventReported(adverse_event_id=to_wire("adverseevent", new_id()), patient_id=entry.patient_id)
    await clinic.svc.deliver(event, version=1)
    for _ in range(2):
        await clinic.svc.deliver(taken_by_link(entry))
    [task] = await clinic.svc.admin.fetch("SELECT * FROM task WHERE chain_id = $1", clinic.svc.chain_id)
    assert (task["kind"], task["visit_ids"]) == (
        "TASK_KIND_OFFER_TO_SETTLE",
        [from_wire("visit", entry.offer.visit_id)],
    )
    assert await status(clinic, entry) == ["OFFERED"]


async def test_an_offer_that_a_gate_of_booking_stops_is_refused_and_by_a_link_a_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    gate = {"kind": "GATE_KIND_RIDE_HOME", "stage": "GATE_STAGE_BOOKING", "effect": "GATE_EFFECT_BLOCK"}
    stricter = AdoptProtocolVersionRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        protocol_version_id=clinic.version_id,
        narrowed_template=ParseDict({**TEMPLATE, "gates": [gate]}, ProtocolTemplate()),
    )
    await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, stricter)
    refused = await refusal(accept(clinic, entry.offer.id))
    assert (refused.reason, refused.faults) == ("GATES_NOT_PASSED", [("visits[0].gates.RIDE_HOME", "BLOCKED")])
    await clinic.svc.deliver(taken_by_link(entry))
    assert await status(clinic, entry) == ["OFFERED"]
    assert await clinic.count("task") == 1


async def test_an_offer_of_a_time_that_was_closed_since_is_refused_and_by_a_link_a_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    await close(clinic, closing(clinic, "", interval(local(3, 2, 0), local(3, 3, 0))))
    refused = await refusal(accept(clinic, entry.offer.id))
    assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("visits[0].start_time", "SITE_CLOSED")])
    await clinic.svc.deliver(taken_by_link(entry))
    assert await status(clinic, entry) == ["OFFERED"]
    offer_to_settle = "SELECT count(*) FROM task WHERE chain_id = $1 AND kind = 'TASK_KIND_OFFER_TO_SETTLE'"
    assert await clinic.svc.admin.fetchval(offer_to_settle, clinic.svc.chain_id) == 1


async def test_an_offer_of_somebody_who_got_busy_since_is_refused_and_by_a_link_a_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    for nurse in clinic.nurses:
        await busy_import(clinic, importing(clinic, calendar(MORNING), resource_id=nurse))
    refused = await refusal(accept(clinic, entry.offer.id))
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0].resources[0]", "RESOURCE_TAKEN")])
    await clinic.svc.deliver(taken_by_link(entry))
    assert await status(clinic, entry) == ["OFFERED"]
    assert await clinic.count("task") == 1


async def test_an_offer_taken_by_a_link_too_late_is_a_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    clinic.svc.clock.now += 2 * HOUR
    await clinic.svc.deliver(taken_by_link(entry))
    assert await clinic.count("task") == 1
    await clinic.end_holds()
    await clinic.svc.deliver(taken_by_link(entry))
    assert await clinic.counts("task", "hold") == [1, 0]


async def test_an_offer_that_is_accepted_by_telephone_while_the_link_is_heard_of_is_no_task(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)

    class Slow(SchedulingStore):
        async def lock(self, ids: Any) -> None:
            await accept(clinic, entry.offer.id)
            await super().lock(ids)

    heard = partial(waitlist.accept_by_event, offer_id=from_wire("offer", entry.offer.id))
    await clinic.svc.db.job(job_call("scheduling", "test", clinic.svc.chain_id, clinic.svc.now), Slow, heard)
    assert await status(clinic, entry) == ["BOOKED"]
    assert await clinic.count("task") == 0


async def test_two_jobs_at_once_offer_one_place_to_one(clinic: Clinic) -> None:
    """And nobody two."""
    booked = await fill(clinic)
    entries = [await clinic.join(await clinic.add_patient()) for _ in range(2)]
    await cancel(clinic, booked[0])
    await clinic.hear()
    await asyncio.gather(*(offer_due_times(clinic.svc.db, clinic.svc.clock) for _ in range(2)))
    assert sorted(await status(clinic, *entries)) == ["OFFERED", "WAITING"]
    assert len(await told(clinic, "offer.made")) == 1


async def kept(clinic: Clinic, seen: Look, n: int = 0) -> Any:
    call = job_call("scheduling", "waitlist", clinic.svc.chain_id, clinic.svc.now)
    offer = partial(waitlist.offer, entry=seen.entry, opening=seen.openings()[n])
    return await clinic.svc.db.job(call, SchedulingStore, offer)


async def test_of_two_looks_that_both_found_the_place_one_keeps_it(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient(), last_date=FRIDAY)
    seen = await look(clinic, entry)
    answers = [await kept(clinic, seen, n) for n in range(2)]
    assert [answer is None for answer in answers] == [False, True]
    assert await clinic.count("hold") == 1


async def test_what_was_booked_since_it_was_found_is_looked_for_anew(clinic: Clinic) -> None:
    """Room 1 goes with nurse 1 in what is found; when that is taken, the other pair is found."""
    entry = await clinic.join(await clinic.add_patient())

    class Slow(SchedulingStore):
        async def lock(self, ids: Any) -> None:
            if not await clinic.count("presence"):
                await fill_one(clinic)
            await super().lock(ids)

    async def fill_one(clinic: Clinic) -> None:
        seen = dict((await look(clinic, entry)).openings()[0].resources)
        where = {key: to_wire("resource", id) for key, id in seen.items()}
        await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST], **where)))

    step = clinic.svc.db.job
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clinic.svc.db, "job", lambda call, _, work: step(call, Slow, work))
        await offer_due_times(clinic.svc.db, clinic.svc.clock)
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_chain_that_cannot_be_looked_at_now_holds_up_no_other_and_is_looked_at_again(clinic: Clinic) -> None:
    first, entry = clinic.svc.chain_id, await clinic.join(await clinic.add_patient())
    second = await open_clinic(clinic.svc)
    other = await second.join(await second.add_patient())
    assert await offer_due_times(refusing(second.svc.db, first), second.svc.clock) == 0
    assert await status(second, other) == ["OFFERED"]
    clinic.svc.chain_id = first
    assert await status(clinic, entry) == ["WAITING"]
    await offer_due_times(clinic.svc.db, clinic.svc.clock)
    assert await status(clinic, entry) == ["OFFERED"]


async def test_who_cannot_be_looked_at_holds_up_nobody_behind_and_is_looked_at_again(clinic: Clinic) -> None:
    first, behind = [await clinic.join(await clinic.add_patient()) for _ in range(2)]
    look_well = waitlist.look

    async def broken(store: SchedulingStore, entry_id: UUID) -> Look | None:
        if entry_id == from_wire("waitlistentry", first.id):
            raise KeyError("a mistake of ours")
        return await look_well(store, entry_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waitlist, "look", broken)
        assert await clinic.offer_times() == 0
    assert await status(clinic, first, behind) == ["WAITING", "OFFERED"]
    await clinic.offer_times()
    assert await status(clinic, first, behind) == ["OFFERED", "OFFERED"]


async def test_the_elected_process_offers_by_itself(clinic: Clinic) -> None:
    await clinic.join(await clinic.add_patient())
    job = asyncio.create_task(offer_times(clinic.svc.db, Settings.model_construct(), clinic.svc.clock))
    for _ in range(1000):
        if await clinic.count("hold"):
            break
        await asyncio.sleep(0.02)
    job.cancel()
    assert await clinic.count("hold") == 1


async def test_whatever_frees_is_a_reason_to_look(clinic: Clinic) -> None:
    """A visit that was missed, a closure that was cancelled, hours that grew, a resource that was added."""
    read = clinic.svc.service.reads["SCHEDULING"]
    names = {each.DESCRIPTOR.name for each in read}
    assert names == {
        *("ClosureCreated", "ClosureCancelled", "VisitCancelled", "VisitMissed", "CourseHoldExpired"),
        *("CourseHoldReleased", "OfferEnded", "SiteUpdated", "ResourceRegistered", "ResourceUpdated"),
    }
    await fill(clinic)
    entry = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    await clinic.add_resource("ROOM", "Room 3")
    await clinic.add_resource("STAFF", "Nurse 3", capabilities=["infusion"], lane_count=2)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_closure_that_is_cancelled_is_a_reason_to_look(clinic: Clinic) -> None:
    closures = clinic.svc.stub(ClosureServiceStub)
    whole_day = {"dates": {"first_date": TUESDAY, "last_date": TUESDAY}}
    fields = {"request_id": str(uuid4()), "site_id": clinic.site_id, "kind": "CLOSURE_KIND_WEATHER", "time": whole_day}
    request = ParseDict(fields, closures_pb.CreateClosureRequest())
    closure = (await clinic.svc.call(closures.CreateClosure, request)).closure
    entry = await clinic.join(await clinic.add_patient())
    await clinic.offer_times()
    assert await status(clinic, entry) == ["WAITING"]
    cancelled = closures_pb.CancelClosureRequest(request_id=str(uuid4()), closure_id=closure.id, etag=closure.etag)
    await clinic.svc.call(closures.CancelClosure, cancelled)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_who_is_the_same_at_all_visits_of_the_course_is_at_this_one(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    patient = await clinic.add_patient()
    first = clinic.treatments([FIRST], nurse=max(clinic.nurses))
    course = await clinic.book(clinic.request(patient, first))
    entry = await clinic.join(patient, course_id=course.id, first_date=FRIDAY, last_date=FRIDAY)
    [opening] = (await look(clinic, entry)).openings()
    assert to_wire("resource", dict(opening.resources)["nurse"]) == max(clinic.nurses)
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_who_was_the_same_at_all_visits_and_is_to_leave_is_waited_for_no_longer(clinic: Clinic) -> None:
    clinic.version_id = await clinic.publish(with_same_nurse())
    await clinic.adopt()
    patient, (other, leaving) = await clinic.add_patient(), sorted(clinic.nurses)
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST], nurse=leaving)))
    await clinic.retire(leaving, date(2027, 3, 5))
    entry = await clinic.join(patient, course_id=course.id, first_date=FRIDAY, last_date=FRIDAY)
    [opening] = (await look(clinic, entry)).openings()
    assert to_wire("resource", dict(opening.resources)["nurse"]) == other
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_a_visit_that_the_sites_own_form_lost_is_waited_for_no_longer(clinic: Clinic) -> None:
    entries = [await clinic.join(await clinic.add_patient()), await clinic.join(await clinic.add_patient())]
    for column, gone in (("phase_code", "gone"), ("phase_code = '', visit_type_code", "gone")):
        id = from_wire("waitlistentry", entries.pop().id)
        await clinic.svc.admin.execute(f"UPDATE waitlist_entry SET {column} = '{gone}' WHERE id = $1", id)
    await clinic.offer_times()
    reasons = await clinic.svc.admin.fetch("SELECT end_reason FROM waitlist_entry")
    assert {each["end_reason"] for each in reasons} == {"WAITLIST_END_REASON_REFUSED"}


async def test_by_a_version_that_is_adopted_no_more_nobody_waits_for_a_new_course(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient())
    await clinic.svc.admin.execute("DELETE FROM adoption WHERE chain_id = $1", clinic.svc.chain_id)
    await clinic.offer_times()
    assert (await clinic.entry(entry.id)).end_reason == WaitlistEndReason.WAITLIST_END_REASON_REFUSED


async def test_who_is_offered_something_since_a_look_is_not_ended_by_it(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)
    call = job_call("scheduling", "waitlist", clinic.svc.chain_id, clinic.svc.now)
    id = from_wire("waitlistentry", entry.id)
    end = partial(SchedulingStore.end_entry, id=id, reason=EndReason.REFUSED)
    await clinic.svc.db.job(call, SchedulingStore, end)
    assert await status(clinic, entry) == ["OFFERED"]


async def test_an_offer_waits_for_a_rival_and_then_names_what_the_rival_took(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient())
    seen = await look(clinic, entry)
    where = {key: to_wire("resource", id) for key, id in seen.openings()[0].resources}
    request = clinic.request(await clinic.add_patient(), clinic.treatments([FIRST], **where))
    command = book_course_command(request)
    offering = asyncio.Future[asyncio.Task[Any]]()

    async def book_and_wait(store: SchedulingStore) -> courses.BookCourseResponse:
        await book_course(store, command)
        offering.set_result(asyncio.create_task(kept(clinic, seen)))
        await until_a_lock_is_awaited(clinic)
        return courses.BookCourseResponse()

    call = clinic.svc.inside("BookCourse", request.request_id)
    locks = command.contended_ids
    await clinic.svc.db.once(call, request, courses.BookCourseResponse, SchedulingStore, book_and_wait, locks=locks)
    with pytest.raises(VisitsConflict) as refused:
        await offering.result()
    assert refused.value.indexes == [0]


async def until_a_lock_is_awaited(clinic: Clinic) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
    for _ in range(400):
        if await clinic.svc.admin.fetchval(waiting):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nobody waits")


async def within(clinic: Clinic, method: str, store: type[SchedulingStore], work: Any) -> None:
    """Round the door, by a store that hesitates."""

    async def steps(store: SchedulingStore) -> pb.LeaveWaitlistResponse:
        await work(store)
        return pb.LeaveWaitlistResponse()

    request = pb.LeaveWaitlistRequest(request_id=str(uuid4()))
    call = clinic.svc.inside(method, request.request_id)
    await clinic.svc.db.once(call, request, pb.LeaveWaitlistResponse, store, steps)


async def test_who_leaves_while_something_is_offered_to_them_is_asked_to_leave_again(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient())

    class Hesitant(SchedulingStore):
        async def entry_to_change(self, id: UUID) -> Entry:
            await clinic.offer_times()
            return await super().entry_to_change(id)

    id = from_wire("waitlistentry", entry.id)
    with pytest.raises(TryAgain):
        await within(clinic, "LeaveWaitlist", Hesitant, partial(waitlist.leave, id=id))
    assert await status(clinic, entry) == ["OFFERED"]
    assert (await leave(clinic, entry.id)).status == WaitlistStatus.WAITLIST_STATUS_ENDED
    assert await clinic.count("hold") == 0


async def test_who_leaves_while_what_is_offered_to_them_ends_is_asked_to_leave_again(clinic: Clinic) -> None:
    entry, _ = await offered(clinic)

    class Hesitant(SchedulingStore):
        async def entry(self, id: UUID) -> Entry:
            found = await super().entry(id)
            await decline(clinic, entry.offer.id)
            return found

    id = from_wire("waitlistentry", entry.id)
    with pytest.raises(TryAgain):
        await within(clinic, "LeaveWaitlist", Hesitant, partial(waitlist.leave, id=id))
    assert (await leave(clinic, entry.id)).status == WaitlistStatus.WAITLIST_STATUS_ENDED


@pytest.mark.parametrize("answer", [waitlist.accept, waitlist.decline])
async def test_what_a_course_holds_since_an_offer_ended_is_not_the_offer(clinic: Clinic, answer: Any) -> None:
    entry, _ = await offered(clinic)

    class Hesitant(SchedulingStore):
        async def offer(self, id: UUID) -> Offer:
            found = await super().offer(id)
            await decline(clinic, entry.offer.id)
            await clinic.hold(entry.patient_id, [FIRST + 3 * DAY], course_id=entry.offer.course_id)
            return found

    with pytest.raises(OfferOver):
        await within(clinic, "Answer", Hesitant, partial(answer, offer_id=from_wire("offer", entry.offer.id)))
    assert await clinic.count("hold") == 1


async def test_what_cannot_be_offered_while_the_database_is_away_is_looked_at_again(clinic: Clinic) -> None:
    entry = await clinic.join(await clinic.add_patient())
    step = clinic.svc.db.job

    async def away(call: Any, store: Any, work: Any) -> Any:
        if getattr(work, "func", None) is waitlist.offer:
            raise TryAgain()
        return await step(call, store, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clinic.svc.db, "job", away)
        assert await clinic.offer_times() == 0
    assert await clinic.count("waitlist_look") == 1
    await clinic.offer_times()
    assert await status(clinic, entry) == ["OFFERED"]


async def test_nobody_behind_is_offered_a_place_before_who_waits_next_could_have_it(clinic: Clinic) -> None:
    """As where a lock was awaited for too long."""
    booked = await fill(clinic)
    entries = [await clinic.join(await clinic.add_patient()) for _ in range(2)]
    await clinic.offer_times()
    await cancel(clinic, booked[0])
    step, refusals = clinic.svc.db.job, [TryAgain()]

    async def held_up(call: Any, store: Any, work: Any) -> Any:
        if getattr(work, "func", None) is waitlist.offer and refusals:
            raise refusals.pop()
        return await step(call, store, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clinic.svc.db, "job", held_up)
        assert await clinic.offer_times() == 0
        assert await status(clinic, *entries) == ["WAITING", "WAITING"]
        await clinic.offer_times()
    assert await status(clinic, *entries) == ["OFFERED", "WAITING"]
