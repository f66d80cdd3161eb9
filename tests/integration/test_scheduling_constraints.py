"""What the database refuses though the code let it through: each constraint of a table that booking writes."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from chassis.ids import new_id
from tests.support.scheduling import Clinic, local, open_clinic, open_scheduling
from tests.support.service import Running

FIRST = local(3, 2, 9)
COURSE = "INSERT INTO course SELECT chain_id, {id}, {site_id}, patient_id, {version_id}, 'iv', NULL, 1 FROM course"
VISIT = """
    INSERT INTO visit SELECT chain_id, {id}, {course_id}, site_id, patient_id, 'induction', 'treatment', 'iv', 'short',
    false, {start}, {end}, '[]', 'VISIT_STATUS_BOOKED', '[]', NULL FROM visit
"""
ALLOCATION = """
    INSERT INTO allocation SELECT chain_id, {visit_id}, site_id, {resource_id}, lane, {start}, {end}, {until}
    FROM allocation WHERE lane = 0 ORDER BY resource_id LIMIT 1
"""
PRESENCE = "INSERT INTO presence SELECT chain_id, {visit_id}, patient_id, {start}, {end}, {until} FROM presence"
CHANGE = """
    INSERT INTO visit_status_change SELECT chain_id, {visit_id}, {status}, site_id, at, actor FROM visit_status_change
"""
HOLD = """
    INSERT INTO hold SELECT chain_id, {course_id}, site_id, patient_id, 'user', {from}, {until} FROM course
"""
SAME = {"start": "start_at", "end": "end_at", "until": "NULL"}
ANOTHER = "gen_random_uuid()"
LATER = {"start": "start_at + interval '2 days'", "end": "end_at + interval '2 days'", "until": "NULL"}
BACKWARDS = {"start": "end_at", "end": "start_at", "until": "NULL"}
LONG = {"start": "start_at + interval '2 days'", "end": "start_at + interval '3 days 1 second'", "until": "NULL"}
SHIFTED = {"start": "start_at + interval '1 minute'", "end": "end_at", "until": "NULL"}
OF_IT = {"visit_id": "visit_id", "resource_id": "resource_id"}
PINNED = {"id": ANOTHER, "site_id": "site_id", "version_id": "protocol_version_id"}
SOON = {"from": "booked_at", "until": "booked_at + interval '15 minutes'"}


class Kept(Exception):
    """The database let it through. Rolls the transaction back."""


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture(scope="module")
async def clinic(svc: Running) -> Clinic:
    """With one course of one visit."""
    clinic = await open_clinic(svc)
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    return clinic


async def write(clinic: Clinic, *statements: str) -> None:
    """As the service's role; never kept."""
    async with clinic.svc.db.transaction(clinic.svc.inside("Write")) as conn:
        for statement in statements:
            assert await conn.execute(statement) == "INSERT 0 1"
        raise Kept


@pytest.mark.parametrize(
    ("constraint", "statement", "values"),
    [
        ("course_pkey", COURSE, PINNED | {"id": "id"}),
        ("course_chain_id_site_id_fkey", COURSE, PINNED | {"site_id": ANOTHER}),
        ("course_chain_id_protocol_version_id_fkey", COURSE, PINNED | {"version_id": ANOTHER}),
        ("visit_pkey", VISIT, SAME | {"id": "id", "course_id": "course_id"}),
        ("visit_chain_id_course_id_fkey", VISIT, SAME | {"id": ANOTHER, "course_id": ANOTHER}),
        ("visit_a_day_at_most_check", VISIT, BACKWARDS | {"id": ANOTHER, "course_id": "course_id"}),
        ("visit_a_day_at_most_check", VISIT, LONG | {"id": ANOTHER, "course_id": "course_id"}),
        ("allocation_pkey", ALLOCATION, SAME | OF_IT),
        ("allocation_never_twice", ALLOCATION, SHIFTED | OF_IT),
        ("allocation_a_day_at_most_check", ALLOCATION, BACKWARDS | OF_IT),
        ("allocation_a_day_at_most_check", ALLOCATION, LONG | OF_IT),
        ("allocation_chain_id_visit_id_fkey", ALLOCATION, LATER | {"visit_id": ANOTHER, "resource_id": "resource_id"}),
        ("allocation_chain_id_resource_id_fkey", ALLOCATION, LATER | {"visit_id": "visit_id", "resource_id": ANOTHER}),
        ("presence_pkey", PRESENCE, LATER | {"visit_id": "visit_id"}),
        ("presence_never_twice", PRESENCE, SHIFTED | {"visit_id": ANOTHER}),
        ("presence_a_day_at_most_check", PRESENCE, BACKWARDS | {"visit_id": ANOTHER}),
        ("presence_a_day_at_most_check", PRESENCE, LONG | {"visit_id": ANOTHER}),
        ("presence_chain_id_visit_id_fkey", PRESENCE, LATER | {"visit_id": ANOTHER}),
        ("visit_status_change_pkey", CHANGE, {"visit_id": "visit_id", "status": "status"}),
        ("visit_status_change_chain_id_visit_id_fkey", CHANGE, {"visit_id": ANOTHER, "status": "status"}),
        ("hold_chain_id_course_id_fkey", HOLD, SOON | {"course_id": ANOTHER}),
        ("hold_not_for_long_check", HOLD, SOON | {"course_id": "id", "until": "booked_at"}),
        ("hold_not_for_long_check", HOLD, SOON | {"course_id": "id", "until": "booked_at + interval '61 minutes'"}),
    ],
)
async def test_the_database_refuses_what_the_code_would_let_through(
    clinic: Clinic, constraint: str, statement: str, values: dict[str, str]
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await write(clinic, statement.format(**values))
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(("minutes", "refused"), [(14, True), (15, False)])
async def test_the_database_lets_a_patient_hold_once_at_a_time(clinic: Clinic, minutes: int, *, refused: bool) -> None:
    """The next from the instant at which one ends."""
    other = COURSE.format(id=ANOTHER, site_id="site_id", version_id="protocol_version_id")
    first = f"{HOLD.format(course_id='id', **SOON)} WHERE booked_at IS NOT NULL"
    at = f"(SELECT held_at + interval '{minutes} minutes' FROM hold)"
    again = HOLD.format(course_id="id", **{"from": at, "until": f"{at} + interval '15 minutes'"})
    with pytest.raises(asyncpg.ExclusionViolationError if refused else Kept) as answered:
        await write(clinic, first, other, f"{again} WHERE booked_at IS NULL")
    if refused:
        assert vars(answered.value)["constraint_name"] == "hold_one_at_a_time"


async def test_rows_of_another_chain_are_not_written(clinic: Clinic) -> None:
    same = COURSE.format(id="id", site_id="site_id", version_id="protocol_version_id")
    course = same.replace("SELECT chain_id", f"SELECT '{new_id()}'::uuid")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await write(clinic, course)
