"""How often a call goes to PostgreSQL, and how PostgreSQL finds its rows for the service's own role."""

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atoll.scheduling.v1 import board_service_pb2, visit_service_pb2
from atoll.scheduling.v1 import course_service_pb2 as pb
from atoll.scheduling.v1 import resource_calendar_service_pb2 as calendars_pb2
from atoll.scheduling.v1.board_service_pb2_grpc import BoardServiceStub
from atoll.scheduling.v1.resource_calendar_service_pb2_grpc import ResourceCalendarServiceStub
from chassis.ids import from_wire, new_id
from chassis.sql import Statement
from chassis.times import to_date
from services.scheduling.domain.board import EXPECTED, THERE
from services.scheduling.domain.tasks import TaskState
from services.scheduling.domain.waitlist import EntryStatus
from services.scheduling.store.board import BOARD_VISITS, WHOLE_VISITS
from services.scheduling.store.calendars import ALLOCATIONS, CALENDAR_RESOURCES, NOT_HAD
from services.scheduling.store.changes import CHANGES
from services.scheduling.store.closures import BROKEN_AT_SITE, BROKEN_BY_RESOURCE, CLOSURES, SURROUNDINGS
from services.scheduling.store.consents import CONSENTS_TOLD
from services.scheduling.store.courses import COURSES, GET_COURSE, TAKEN, TERMS
from services.scheduling.store.gates import VISIT_GATES
from services.scheduling.store.holds import HELD_OF_DAYS, STILL_HELD
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.planning import TAKEN_AHEAD
from services.scheduling.store.resources import LAST_LANE, RESOURCES
from services.scheduling.store.sites import NO_ID
from services.scheduling.store.staff_calendars import APPOINTMENTS, BUSY_TIMES
from services.scheduling.store.tasks import BOOKED_MEANWHILE, COMPLETE_TASKS_OF, OVERLAPS, TASKS
from services.scheduling.store.tasks import MERGES as MERGES_OF
from services.scheduling.store.visits import VISIT_TO_CHANGE, VISITS
from services.scheduling.store.vitals import VITALS_TOLD
from services.scheduling.store.waitlist import END_OVER, ENTRIES, ENTRIES_OF_PATIENT, LOOK_AGAIN, LOOK_AGAIN_FOR
from tests.support.scheduling import DAY, Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running

FIRST = local(3, 2, 9)
BOOK_HOLD = 10  # begin, claim, course, locks, course under its lock and row, what is held yet, terms, written, commit
BOOK = 6  # begin, claim and locks, terms, taken, everything written, commit
CONFIRM = 5  # begin, claim, visit, everything written, commit
PLAN = 5  # begin, site and resources, what is taken, audit, commit
GET = 4  # begin, course, audit, commit
BOARD = 5  # begin, site, visits, audit, commit; and once more for visits that changed
ONE_CALENDAR = 8  # begin, site, resource, closures and busy times, allocations, forms of versions, audit, commit
STEPS = (0, 3, 7, 10, 14, 17)  # Days on which a course of six is, none of them a weekend.

YEARS_OF_USE = """
    WITH past AS (SELECT gen_random_uuid() AS course_id, gen_random_uuid() AS visit_id, gen_random_uuid() AS patient_id,
                         id AS resource_id, n, $3::timestamptz - n * interval '1 h' AS start_at
                  FROM resource CROSS JOIN generate_series(1, 6000) AS n WHERE chain_id = $1),
         new_courses AS (INSERT INTO course SELECT $1, course_id, $2, patient_id, $4, 'iv', start_at, 1 FROM past
                         WHERE n <= 600),
         new_visits AS (
             INSERT INTO visit
             SELECT $1, visit_id, course_id, $2, patient_id, 'induction', 'treatment', 'iv', 'short', false, start_at,
                    start_at + interval '50 min', '[]', 'VISIT_STATUS_COMPLETED', '[]', NULL FROM past),
         new_presences AS (
             INSERT INTO presence SELECT $1, visit_id, patient_id, start_at, start_at + interval '50 min' FROM past
             WHERE n <= 600),
         new_status_changes AS (
             INSERT INTO visit_status_change SELECT $1, visit_id, 'VISIT_STATUS_BOOKED', $2, start_at, '' FROM past),
         new_site_changes AS (
             INSERT INTO site_change (chain_id, site_id, kind, visit_id, course_id, status, course_version, at)
             SELECT $1, $2, 'VISIT_CHANGE_KIND_BOOKED', visit_id, course_id, 'VISIT_STATUS_BOOKED', 1, start_at
             FROM past)
    INSERT INTO allocation SELECT $1, visit_id, $2, resource_id, 0, start_at, start_at + interval '50 min' FROM past
"""
LARGE = (
    *("allocation", "presence", "visit", "course"),
    *("patient_alias", "patient_merge", "task", "clearance", "adverse_event"),
    *("visit_status_change", "site_change"),
    *("closure", "busy_time", "lent_resource", "consent_signature", "vital_signs"),
)
MERGES = """
    WITH merged AS (SELECT patient_id AS alias_id, gen_random_uuid() AS end_id, visit_id, n,
                           CASE WHEN random() < 0.02 THEN $2 ELSE gen_random_uuid() END AS site_id
                    FROM presence JOIN generate_series(1, 2) AS n ON true WHERE chain_id = $1),
         new_aliases AS (INSERT INTO patient_alias SELECT $1, alias_id, end_id, end_id, 1 FROM merged WHERE n = 1),
         new_clearances AS (INSERT INTO clearance SELECT $1, gen_random_uuid(), alias_id, gen_random_uuid(), '{iv}',
                                                         now(), now(), false, '{}', 0 FROM merged),
         new_adverse_events AS (INSERT INTO adverse_event SELECT $1, gen_random_uuid(), alias_id, NULL, true, 1
                                FROM merged),
         new_merges AS (INSERT INTO patient_merge SELECT $1, alias_id, n, end_id, now() FROM merged)
    INSERT INTO task SELECT $1, gen_random_uuid(), site_id, 'TASK_KIND_OVERLAPPING_VISITS', end_id, alias_id, n,
                            ARRAY[visit_id], now(), 'TASK_STATE_DONE', 2, 'settled', 'ann', now() FROM merged
"""
WAITED = """
    INSERT INTO waitlist_entry
    SELECT $1, gen_random_uuid(), $2, gen_random_uuid(), $4, NULL, 'induction', '', 'iv', current_date, current_date,
           '{}', 0, 1440, 0, at, at, CASE WHEN n < 10 THEN 'WAITLIST_STATUS_WAITING' ELSE 'WAITLIST_STATUS_ENDED' END,
           CASE WHEN n < 10 THEN NULL ELSE 'WAITLIST_END_REASON_EXPIRED' END
    FROM generate_series(1, 20000) AS n, LATERAL (SELECT $3::timestamptz - n * interval '1 hour' AS at) AS joined
"""
CLOSED_AND_BUSY = """
    WITH spans AS (SELECT id AS resource_id, n, $3::timestamptz - n * interval '1 d' AS start_at
                   FROM resource CROSS JOIN generate_series(1, 1000) AS n WHERE chain_id = $1),
         new_closures AS (INSERT INTO closure SELECT $1, gen_random_uuid(), CASE WHEN n % 50 = 0 THEN $2
                          ELSE gen_random_uuid() END, resource_id, 'CLOSURE_KIND_ILLNESS', start_at,
                          start_at + interval '1 h', start_at, 'ann' FROM spans),
         new_loans AS (INSERT INTO lent_resource SELECT $1, gen_random_uuid(), gen_random_uuid() FROM spans)
    INSERT INTO busy_time SELECT $1, resource_id, 'google', start_at, start_at + interval '1 h' FROM spans
"""
SIGNED = """
    WITH asked AS (INSERT INTO consent_document SELECT $1, gen_random_uuid(), 'FORM_' || n, '', NULL
                   FROM generate_series(1, 3) AS n RETURNING id)
    INSERT INTO consent_signature SELECT $1, gen_random_uuid(), patient_id, asked.id, 1, now(), false
    FROM presence CROSS JOIN asked WHERE chain_id = $1
"""
MEASURED = """
    INSERT INTO vital_signs
    SELECT $1, gen_random_uuid(), patient_id, start_at + n * interval '15 min', '{"1": true}', false, now()
    FROM presence CROSS JOIN generate_series(1, 4) AS n WHERE chain_id = $1
"""
MORE_ROOMS = """
    INSERT INTO resource SELECT $1, gen_random_uuid(), $2, 'RESOURCE_KIND_ROOM', 'Room', '{}', 1, '[]', '[]', '', ''
    FROM generate_series(1, 13)
"""


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def round_trips(clinic: Clinic, answer: Awaitable[object]) -> int:
    queries: list[str] = []

    def note(query: Any) -> None:
        queries.append(query.query)

    async with clinic.svc.pool.acquire() as conn:  # The connection that the next call takes: the pool is a stack.
        conn.add_query_logger(note)
    await answer
    async with clinic.svc.pool.acquire() as conn:
        conn.remove_query_logger(note)
    return len(queries)


@pytest.mark.parametrize("visits", [1, 6])
async def test_each_call_keeps_its_budget_of_round_trips_whatever_the_number_of_visits(
    clinic: Clinic, visits: int
) -> None:
    warm = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST + 2 * DAY])))
    starts = [FIRST + days * DAY for days in STEPS[:visits]]
    request = clinic.request(await clinic.add_patient(), clinic.treatments(starts, clinic.nurses[1], clinic.rooms[1]))
    assert await round_trips(clinic, clinic.book(request)) == BOOK
    held = await clinic.hold(
        await clinic.add_patient(), [FIRST + timedelta(hours=2) + days * DAY for days in STEPS[:visits]]
    )
    assert await round_trips(clinic, clinic.book_hold(held.id)) == BOOK_HOLD
    get = pb.GetCourseRequest(course_id=warm.id)
    await clinic.svc.call(clinic.courses.GetCourse, get)
    assert await round_trips(clinic, clinic.svc.call(clinic.courses.GetCourse, get)) == GET
    confirm = visit_service_pb2.ConfirmVisitRequest(request_id=request.request_id, visit_id=warm.visits[0].id)
    assert await round_trips(clinic, clinic.svc.call(clinic.visits.ConfirmVisit, confirm)) == CONFIRM
    day = {"site_id": clinic.site_id, "date": to_date(FIRST.date())}
    board = board_service_pb2.GetDayBoardRequest(**day)
    get_board = clinic.svc.stub(BoardServiceStub).GetDayBoard
    assert await round_trips(clinic, clinic.svc.call(get_board, board)) == BOARD + 1
    assert await round_trips(clinic, clinic.svc.call(get_board, board)) == BOARD
    dates = {"first_date": to_date(FIRST.date()), "last_date": to_date(FIRST.date() + 41 * DAY)}
    calendar = calendars_pb2.GetResourceCalendarRequest(site_id=clinic.site_id, resource_id=clinic.nurses[0], **dates)
    get_calendar = clinic.svc.stub(ResourceCalendarServiceStub).GetResourceCalendar
    assert await round_trips(clinic, clinic.svc.call(get_calendar, calendar)) == ONE_CALENDAR


async def test_a_plan_that_goes_on_reads_its_course_and_nothing_more(clinic: Clinic) -> None:
    patient = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))
    anew = pb.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=patient,
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[pb.PlanCourseRequest.PhaseChoice(phase_code="induction", visit_count=2)],
        earliest_date=to_date(FIRST.date()),
        latest_date=to_date(FIRST.date() + 9 * DAY),
    )
    onwards = pb.PlanCourseRequest(course_id=course.id)
    onwards.MergeFrom(anew)
    for request in (anew, onwards):
        await clinic.svc.call(clinic.courses.PlanCourse, request)
    assert await round_trips(clinic, clinic.svc.call(clinic.courses.PlanCourse, anew)) == PLAN
    assert await round_trips(clinic, clinic.svc.call(clinic.courses.PlanCourse, onwards)) == PLAN + 1


async def test_what_is_taken_is_planned_alike_for_one_visit_and_for_many(clinic: Clinic) -> None:
    """Were fewer rows cheaper, PostgreSQL would plan anew for each booking of one visit."""
    plans = []
    for several in (1, 24):
        spans = {name: [FIRST] * several for name in ("start_at", "end_at", "near_at")}
        plans.append(await explained(clinic, TAKEN, {"holder_id": [new_id()] * several, **spans}))
    assert plans[0] == plans[1]


@pytest.mark.long
@pytest.mark.timeout(300)  # On a busy machine the history alone takes a minute.
async def test_rows_are_found_by_index_however_long_the_history(clinic: Clinic) -> None:
    """Row-level security leaves leakproof operators only to the indexes: with 100,000 allocations that would show."""
    admin, chain, site = clinic.svc.admin, clinic.svc.chain_id, clinic.site_uuid
    await admin.execute(MORE_ROOMS, chain, site)
    version = from_wire("protocolversion", clinic.version_id)
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys: they are sound as they are.
    await admin.execute(YEARS_OF_USE, chain, site, FIRST, version)
    await admin.execute(MERGES, chain, site)
    await admin.execute(CLOSED_AND_BUSY, chain, site, FIRST)
    await admin.execute(WAITED, chain, site, FIRST, version)
    await admin.execute(SIGNED, chain)
    await admin.execute(MEASURED, chain)
    await admin.execute("RESET session_replication_role")
    await admin.execute("ANALYZE")
    assert await clinic.count("allocation") > 100_000
    room = from_wire("resource", clinic.rooms[0])
    pinned = {"site_id": site, "protocol_version_id": version}
    hour = FIRST - DAY + timedelta(hours=1)
    slot = {"start_at": [FIRST - DAY], "end_at": [hour], "near_at": [hour + DAY]}
    ahead = {"from_time": FIRST - DAY, "until_time": FIRST + 20 * DAY, "now": FIRST - DAY}
    planned = {"site_id": site, "patient_id": new_id(), "without": [new_id()], **ahead}
    spanned = {"from_time": FIRST - DAY, "until_time": FIRST}
    lost = {"after": FIRST - 900 * DAY, "after_id": NO_ID, "limit": 51}
    broken = {**spanned, "statuses": ["VISIT_STATUS_BOOKED"], **lost}
    busy = {"resource_id": room, "now": FIRST, "after": FIRST, "after_source": "", "limit": 51}
    feed = {"resource_id": room, **spanned, "room_kind": "RESOURCE_KIND_ROOM", "limit": 51}
    wanted = {**pinned, "patient_id": new_id(), "protocol_id": new_id(), "resource_ids": [room], "now": FIRST}
    wanted |= {"course_id": new_id()}
    board = {"site_id": site, "start_time": FIRST - DAY, "end_time": FIRST, "after": FIRST - 2 * DAY}
    day = {"start_time": FIRST - DAY, "end_time": FIRST}
    day_of_board = {"site_id": site, **day, "limit": 501, "expected": sorted(EXPECTED), "there": sorted(THERE)}
    list_of_site = {"site_id": site, "after": FIRST - 30 * DAY, "after_id": NO_ID, "limit": 51}
    meanwhile = {"patient_ids": [new_id()], "since": FIRST, "until": None, "standing": ["VISIT_STATUS_BOOKED"]}
    completed = {"closure_id": new_id(), "open_state": TaskState.OPEN, "state": TaskState.DONE}
    completed |= {"note": "", "completed_by": "ann", "completed_at": FIRST}
    for statement, values, index in (
        (TAKEN, {"holder_id": [room], **slot}, "allocation_by_time"),
        (TAKEN, {"holder_id": [room], **slot}, "presence_never_twice"),
        (HELD_OF_DAYS, {"holder_id": [room], **slot, "at": FIRST}, "allocation_by_time"),
        (STILL_HELD, {"visit_ids": [new_id()], "holder_id": [room], **slot}, "presence_pkey"),
        (STILL_HELD, {"visit_ids": [new_id()], "holder_id": [room], **slot}, "busy_time_by_time"),
        (TAKEN_AHEAD, planned, "allocation_by_time"),
        (VISITS, {**board, "after_id": NO_ID, "limit": 51}, "visit_by_site"),
        (GET_COURSE, {"course_id": new_id()}, "visit_by_course"),
        (VISIT_TO_CHANGE, {"visit_id": new_id()}, "visit_pkey"),
        (COURSES["patient_id",], {"patient_id": new_id(), "after": NO_ID, "limit": 51}, "course_by_patient"),
        (TAKEN_AHEAD, planned, "presence_never_twice"),
        (VISIT_GATES, {"visit_id": new_id()}, "adverse_event_pausing_idx"),
        (TERMS, wanted, "clearance_by_patient"),
        (CONSENTS_TOLD, {"site_id": site, "patient_id": new_id()}, "consent_signature_by_patient"),
        (VITALS_TOLD, {"visit_id": new_id()}, "vital_signs_by_patient"),
        (OVERLAPS, {"one_id": [new_id()], "other_id": [new_id(), new_id()]}, "presence_never_twice"),
        (BOOKED_MEANWHILE, meanwhile, "course_by_patient"),
        (MERGES_OF, {"alias_id": new_id()}, "patient_merge_pkey"),
        (PATIENTS.WHOLE, {"id": new_id()}, "patient_alias_pkey"),
        (PATIENTS.OF_ENDS, {"end_ids": [new_id(), new_id()]}, "patient_alias_end_idx"),
        (TERMS, wanted, "closure_by_site"),
        (TAKEN, {"holder_id": [room], **slot}, "busy_time_by_time"),
        (TAKEN_AHEAD, planned, "busy_time_by_time"),
        (SURROUNDINGS, {**pinned, "patient_id": new_id(), "visit_id": new_id(), **ahead}, "allocation_by_time"),
        (CLOSURES, {"site_id": site, **lost | {"after": FIRST}}, "closure_by_site"),
        (BROKEN_BY_RESOURCE, {"resource_id": room, **broken}, "allocation_by_time"),
        (BROKEN_AT_SITE, {"site_id": site, **broken}, "visit_by_site"),
        (BUSY_TIMES, busy, "busy_time_by_time"),
        (NOT_HAD, {"site_id": site, "resource_id": [room], **day}, "closure_by_resource"),
        (NOT_HAD, {"site_id": site, "resource_id": [room], **day}, "busy_time_by_time"),
        (APPOINTMENTS, feed, "allocation_by_time"),
        (LAST_LANE, {"id": room, "now": FIRST, "lane_count": 1}, "allocation_"),  # By one of two.
        (RESOURCES, {"site_id": site, "after": NO_ID, "limit": 51}, "lent_resource_by_site"),
        (COMPLETE_TASKS_OF, completed, "task_of_closure"),
        (TASKS[()], {"site_id": site, "after": NO_ID, "limit": 51}, "task_by_site"),
        (BOARD_VISITS, day_of_board, "visit_by_site"),
        (BOARD_VISITS, day_of_board, "visit_by_course"),
        (WHOLE_VISITS, {"visit_ids": [new_id()]}, "visit_status_change_pkey"),
        (WHOLE_VISITS, {"visit_ids": [new_id()]}, "visit_pkey"),
        (CHANGES, {"site_id": site, "transaction": 2**40, "place": 0, "limit": 500}, "site_change_pkey"),
        (
            ALLOCATIONS,
            {"resource_id": [room], "start_time": FIRST - DAY, "end_time": FIRST, "limit": 51},
            "allocation_by_time",
        ),
        (TASKS["state",], {"site_id": site, "state": TaskState.OPEN, "after": NO_ID, "limit": 51}, "task_by_state"),
        (ENTRIES["status",], {**list_of_site, "status": EntryStatus.WAITING}, "waitlist_entry_by_status"),
        (ENTRIES[()], list_of_site, "waitlist_entry_by_site"),
        (ENTRIES_OF_PATIENT, {"patient_id": new_id()}, "Index Scan using waitlist_entry_by_"),
        (END_OVER, {"now": FIRST, "end_reason": "", "limit": 20}, "waitlist_entry_by_end"),
        (LOOK_AGAIN, {"site_ids": [site]}, "waitlist_entry_by_status"),
        (LOOK_AGAIN_FOR, {"patient_ids": [new_id()]}, "Index Scan using waitlist_entry_by_"),
    ):
        plan = await explained(clinic, statement, values)
        assert index in plan, plan
        for table in LARGE:
            assert f"Seq Scan on {table}" not in plan, plan

    kind = {"site_id": site, "kind": "RESOURCE_KIND_ROOM", "after": NO_ID, "limit": 51}
    rooms = await explained(clinic, CALENDAR_RESOURCES["kind",], kind, "SET LOCAL enable_seqscan = off")
    assert "Seq Scan" not in rooms, rooms
    terms = await explained(clinic, TERMS, wanted, "SET LOCAL enable_seqscan = off")
    assert "Seq Scan" not in terms, terms  # Of tables so small that they would be read whole.
    taken = await explained(clinic, TAKEN, {"holder_id": [room], **slot})
    assert "end_at < wanted.near_at" in next(line for line in taken.splitlines() if "Index Cond" in line), taken


async def explained(clinic: Clinic, statement: Statement, values: dict[str, Any], setting: str = "SELECT 1") -> str:
    """As the service's role, at one site."""
    call = clinic.svc.inside("Explain", sites=frozenset({clinic.site_uuid}))
    arguments = statement.args({"chain_id": clinic.svc.chain_id, **values})
    async with clinic.svc.db.transaction(call) as conn:
        await conn.execute(setting)
        return "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.text}", *arguments))
