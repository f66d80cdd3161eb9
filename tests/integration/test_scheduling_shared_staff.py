"""Staff of one site who work at another as well: seen, planned and booked from both, with tokens of one site each."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from atoll.scheduling.v1 import course_service_pb2 as courses
from atoll.scheduling.v1 import resource_service_pb2 as resources
from chassis.ids import from_wire
from chassis.times import to_date, to_instant
from tests.support.scheduling import TEMPLATE, Clinic, hours, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)  # A Tuesday.
ODD_WEEKS = {"every_weeks": 2, "anchor_date": {"year": 2027, "month": 3, "day": 1}}
EVEN_WEEKS = {"every_weeks": 2, "anchor_date": {"year": 2027, "month": 3, "day": 8}}


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


class Pair:
    """A clinic and a second site of its chain, with a room of its own and one nurse who works at both."""

    def __init__(self, clinic: Clinic, there: str, room: str, nurse: str) -> None:
        self.clinic, self.there, self.room, self.nurse = clinic, there, room, nurse

    async def book_there(self, *starts: Any, patient: str = "") -> courses.Course:
        patient = patient or await self.clinic.add_patient()
        choices = self.clinic.treatments(starts, self.nurse, self.room)
        request = self.clinic.request(patient, choices, site_id=self.there)
        return await self.clinic.book(request, self.clinic.token(site_id=self.there))

    async def book_here(self, *starts: Any, patient: str = "") -> courses.Course:
        patient = patient or await self.clinic.add_patient()
        return await self.clinic.book(
            self.clinic.request(patient, self.clinic.treatments(starts, self.nurse)), self.clinic.token()
        )


async def open_pair(svc: Running, *shifts: dict[str, Any], **changes: Any) -> Pair:
    """Without shifts she works at both from eight to six, Monday to Friday: here in the mornings of such a day too."""
    clinic = await open_clinic(svc)
    there = await clinic.add_site("bld")
    await clinic.adopt(site_id=there)
    room = await clinic.add_resource("ROOM", "Room there", site_id=there)
    placed = [each | {"site_id": there if each.get("site_id") else clinic.site_id} for each in shifts]
    staff = {"capabilities": ["infusion"], "lane_count": 2, "shifts": placed} | changes
    return Pair(clinic, there, room, await clinic.add_resource("STAFF", "Traveller", **staff))


def weekly(start: int, end: int, *, there: bool, **rhythm: Any) -> list[dict[str, Any]]:
    return [{"hours": each, "site_id": "there" if there else "", **rhythm} for each in hours(start, end)]


async def plan_request(clinic: Clinic) -> courses.PlanCourseRequest:
    """One treatment here, from Tuesday to Friday."""
    return courses.PlanCourseRequest(
        site_id=clinic.site_id,
        patient_id=await clinic.add_patient(),
        protocol_version_id=clinic.version_id,
        route_code="iv",
        phases=[courses.PlanCourseRequest.PhaseChoice(phase_code="induction", visit_count=1)],
        earliest_date=to_date(date(2027, 3, 2)),
        latest_date=to_date(date(2027, 3, 5)),
    )


async def test_she_is_listed_at_both_sites_and_at_no_third(svc: Running) -> None:
    pair = await open_pair(svc, *weekly(8, 13, there=False), *weekly(13, 18, there=True))
    clinic, third = pair.clinic, await pair.clinic.add_site("gld")
    for site, listed in ((clinic.site_id, True), (pair.there, True), (third, False)):
        request = resources.ListResourcesRequest(site_id=site)
        answer = await clinic.svc.call(clinic.resources.ListResources, request, clinic.token(site_id=site))
        assert (pair.nurse in [each.id for each in answer.resources]) is listed
    get = resources.GetResourceRequest(resource_id=pair.nurse)
    token = clinic.token(site_id=third)
    assert (await refusal(clinic.svc.call(clinic.resources.GetResource, get, token))).reason == "RESOURCE_NOT_FOUND"


async def test_she_is_booked_where_her_shift_is_and_nowhere_else(svc: Running) -> None:
    pair = await open_pair(svc, *weekly(8, 13, there=False), *weekly(13, 18, there=True))
    await pair.book_here(FIRST)
    await pair.book_there(local(3, 2, 14))
    for booking in (pair.book_here(local(3, 3, 14)), pair.book_there(local(3, 3, 9))):
        refused = await refusal(booking)
        assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("visits[0].resources[0]", "NOT_AT_WORK")])
    assert await pair.clinic.count("visit") == 2


async def test_a_shift_of_every_second_week_changes_sites_with_the_weeks(svc: Running) -> None:
    pair = await open_pair(svc, *weekly(8, 18, there=False, **ODD_WEEKS), *weekly(8, 18, there=True, **EVEN_WEEKS))
    await pair.book_here(FIRST)
    await pair.book_there(local(3, 9, 9))
    await pair.book_here(local(3, 16, 9))  # Clocks changed in between.
    assert (await refusal(pair.book_there(local(3, 16, 9)))).reason == "OUTSIDE_HOURS"
    assert (await refusal(pair.book_here(local(3, 9, 9)))).reason == "OUTSIDE_HOURS"


async def test_what_one_site_took_of_her_the_other_sees_taken(svc: Running) -> None:
    """Both sites' calendars would allow it: she is said to be at both, by hours kept in two places."""
    pair = await open_pair(svc, *weekly(8, 18, there=True))
    await svc.admin.execute(
        "UPDATE resource SET working_hours = '[[1, 480, 1080]]' WHERE id = $1", from_wire("resource", pair.nurse)
    )
    await pair.book_there(FIRST)
    refused = await refusal(pair.book_here(FIRST))
    assert (refused.reason, refused.faults) == ("VISITS_CONFLICT", [("visits[0].resources[0]", "RESOURCE_TAKEN")])
    assert await pair.clinic.count("visit") == 1


async def test_plans_of_one_site_keep_away_from_what_the_other_took(svc: Running) -> None:
    pair = await open_pair(svc, *weekly(8, 18, there=True))
    clinic = pair.clinic
    await svc.admin.execute(
        "UPDATE resource SET working_hours = '[[1, 480, 720]]' WHERE id = $1", from_wire("resource", pair.nurse)
    )
    others = [from_wire("resource", id) for id in clinic.nurses]
    await svc.admin.execute("UPDATE resource SET capabilities = '{}' WHERE id = ANY($1)", others)
    await pair.book_there(local(3, 2, 8))
    request = await plan_request(clinic)
    request.latest_date.day = 3
    plans = (await clinic.svc.call(clinic.courses.PlanCourse, request, clinic.token())).plans
    starts = [to_instant(plan.visits[0].start_time) for plan in plans]
    assert starts == [local(3, 2, 9, 15)]  # Until twenty past nine she observes with one lane; the other may prepare.


async def test_two_sites_that_reach_for_her_at_once_get_her_once(svc: Running) -> None:
    """Eight bookings of her two lanes in one hour, four from each site: one stands, since a treatment takes both."""
    pair = await open_pair(svc, *weekly(8, 18, there=True))
    await svc.admin.execute(
        "UPDATE resource SET working_hours = '[[1, 480, 1080]]' WHERE id = $1", from_wire("resource", pair.nurse)
    )
    patients = [await pair.clinic.add_patient() for _ in range(8)]
    bookings = [
        (pair.book_here if n % 2 else pair.book_there)(FIRST, patient=patient) for n, patient in enumerate(patients)
    ]
    answers = await asyncio.gather(*bookings, return_exceptions=True)
    assert sum(isinstance(each, courses.Course) for each in answers) == 1
    assert await pair.clinic.counts("visit", "presence") == [1, 1]


async def test_one_site_sees_but_never_changes_what_another_took(svc: Running) -> None:
    """The database refuses it, whatever the code."""
    pair = await open_pair(svc, *weekly(8, 18, there=True))
    await pair.book_there(FIRST)
    here = svc.inside("Tamper", sites=frozenset({pair.clinic.site_uuid}))
    async with svc.db.transaction(here) as conn:
        assert await conn.fetchval("SELECT count(*) FROM allocation WHERE chain_id = $1", svc.chain_id) > 0
        assert await conn.fetchval("SELECT count(*) FROM visit WHERE chain_id = $1", svc.chain_id) == 0
        assert await conn.execute("DELETE FROM allocation") == "DELETE 0"
        assert await conn.execute("UPDATE allocation SET lane = 1") == "UPDATE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(
                "INSERT INTO allocation SELECT chain_id, visit_id, site_id, resource_id, 7::smallint, start_at, end_at "
                "FROM allocation LIMIT 1"
            )
        await conn.execute("ROLLBACK; BEGIN")


async def test_another_chains_allocations_stay_unseen(svc: Running) -> None:
    pair = await open_pair(svc, *weekly(8, 18, there=True))
    await pair.book_there(FIRST)
    chain_id, svc.chain_id = svc.chain_id, (await open_clinic(svc)).svc.chain_id
    async with svc.db.transaction(svc.inside("Look")) as conn:
        seen = await conn.fetchval("SELECT count(*) FROM allocation WHERE chain_id = $1", chain_id)
    assert seen == 0


def licensed_template() -> dict[str, Any]:
    template = deepcopy(dict(TEMPLATE))
    template["visit_types"][1]["requirements"][0]["credential_codes"] = ["RN", "LPN"]
    return template


async def open_licensed(svc: Running, *credentials: dict[str, Any]) -> Pair:
    """In the mornings here in Colorado, in the afternoons there in New Mexico, where clocks show the same."""
    pair = await open_pair(svc, *weekly(8, 13, there=False), *weekly(13, 18, there=True), credentials=list(credentials))
    clinic = pair.clinic
    await svc.admin.execute("UPDATE site SET state = 'NM' WHERE id = $1", from_wire("site", pair.there))
    clinic.version_id = await clinic.publish(licensed_template())
    for site in (clinic.site_id, pair.there):
        await clinic.adopt(site_id=site)
    return pair


async def test_a_credential_must_be_valid_in_the_state_of_the_site_on_the_day_of_the_visit(svc: Running) -> None:
    last = {"year": 2027, "month": 3, "day": 5}
    here, there = {"code": "RN", "states": ["CO"]}, {"code": "LPN", "states": ["NM"], "expire_date": last}
    pair = await open_licensed(svc, here, there, {"code": "MD"})
    await pair.book_here(FIRST, local(3, 5, 9), local(3, 8, 9))
    await pair.book_there(local(3, 2, 14), local(3, 5, 14))
    refused = await refusal(pair.book_there(local(3, 4, 16), local(3, 8, 16)))
    assert (refused.reason, refused.faults) == (
        "RESOURCE_UNSUITABLE",
        [("visits[1].resources[0].resource_id", "CREDENTIAL_NOT_VALID")],
    )
    assert await pair.clinic.count("visit") == 5


async def test_the_day_of_a_visit_is_the_sites_when_a_credential_ends(svc: Running) -> None:
    """Six in the evening in Denver is the next day in UTC."""
    first = {"year": 2027, "month": 3, "day": 3}
    pair = await open_licensed(svc, {"code": "RN", "effective_date": first})
    await svc.admin.execute(
        "UPDATE site SET opening_hours = '[[1, 0, 1440], [2, 0, 1440]]' WHERE id = $1", pair.clinic.site_uuid
    )
    await svc.admin.execute("UPDATE resource SET shifts = '[]' WHERE id = $1", from_wire("resource", pair.nurse))
    refused = await refusal(pair.book_here(local(3, 2, 20)))
    assert refused.faults == [("visits[0].resources[0].resource_id", "CREDENTIAL_NOT_VALID")]
    await pair.book_here(local(3, 3, 0))


async def test_plans_keep_to_days_on_which_a_credential_is_valid(svc: Running) -> None:
    pair = await open_licensed(svc, {"code": "RN", "effective_date": {"year": 2027, "month": 3, "day": 4}})
    answer = await pair.clinic.svc.call(
        pair.clinic.courses.PlanCourse, await plan_request(pair.clinic), pair.clinic.token()
    )
    starts = [to_instant(plan.visits[0].start_time) for plan in answer.plans]
    assert starts == [local(3, 4, 8), local(3, 5, 8)]
