"""Clearances through the gRPC door."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1 import clearance_service_pb2 as pb
from chassis.ids import from_wire, new_id, to_wire
from tests.support.patients import Desk, desk
from tests.support.service import refusal

__all__ = ["desk"]


async def get_clearance(desk: Desk, clearance_id: str, token: str | None = None) -> pb.Clearance:
    request = pb.GetClearanceRequest(clearance_id=clearance_id)
    got: pb.Clearance = (await desk.service.call(desk.clearances.GetClearance, request, token)).clearance
    return got


async def list_clearances(desk: Desk, patient_id: str, token: str | None = None, **page: Any) -> Any:
    request = pb.ListClearancesRequest(patient_id=patient_id, **page)
    return await desk.service.call(desk.clearances.ListClearances, request, token)


async def test_a_clearance_is_kept_as_granted(desk: Desk) -> None:
    patient = await desk.create()
    screening = await desk.screen(patient.id)
    granted = await desk.clear(patient.id, route_codes=["nasal", "iv"], screening_id=screening.id)
    assert (granted.patient_id, granted.site_id) == (patient.id, to_wire("site", desk.site_id))
    assert (list(granted.route_codes), granted.screening_id) == (["nasal", "iv"], screening.id)
    assert (granted.granted_by, granted.HasField("revoke_time"), granted.revoked_by) == ("dr", False, "")
    assert await get_clearance(desk, granted.id) == granted


async def test_a_clearance_is_published_with_its_routes_and_days(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.clearance_id) == ("patients.v1.clearance.granted", granted.id)
    assert (event.patient_id, event.protocol_id, event.site_id) == (
        granted.patient_id, granted.protocol_id, granted.site_id,
    )  # fmt: skip
    assert list(event.route_codes) == ["iv"]
    assert (event.effective_date, event.expire_date) == (granted.effective_date, granted.expire_date)
    assert event.meta.aggregate_version == 1


async def test_the_same_request_grants_one_clearance(desk: Desk) -> None:
    patient_id, same = (
        (await desk.create()).id,
        {"request_id": str(uuid4()), "protocol_id": to_wire("protocol", new_id())},
    )
    assert await desk.clear(patient_id, **same) == await desk.clear(patient_id, **same)
    assert await desk.service.count("clearance") == 1


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ({"effective_date": (2027, 3, 9), "expire_date": (2027, 3, 8)}, "CLEARANCE_DATES_REVERSED"),
        ({"effective_date": (2027, 2, 1), "expire_date": (2027, 2, 28)}, "CLEARANCE_IN_PAST"),
        ({"expire_date": (2027, 2, 29)}, "BAD_REQUEST"),
    ],
)
async def test_days_that_clear_nothing_are_refused(desk: Desk, days: dict[str, Any], reason: str) -> None:
    dates: dict[str, Any] = {name: dict(zip(("year", "month", "day"), day, strict=True)) for name, day in days.items()}
    refused = await refusal(desk.clear((await desk.create()).id, **dates))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert await desk.service.count("clearance") == 0


async def test_whether_a_day_has_passed_is_told_by_the_sites_clock(desk: Desk) -> None:
    """At five on Tuesday in UTC it is still Monday in Denver."""
    patient_id, today = (await desk.create()).id, {"year": 2027, "month": 3, "day": 1}
    desk.service.clock.now = desk.service.now.replace(day=2, hour=5)
    assert (await desk.clear(patient_id, expire_date=today)).expire_date.day == 1
    desk.service.clock.now = desk.service.now.replace(hour=7)
    assert (await refusal(desk.clear(patient_id, expire_date=today))).reason == "CLEARANCE_IN_PAST"


async def test_only_a_clinician_clears(desk: Desk) -> None:
    patient_id = (await desk.create()).id
    for role in ("ROLE_NURSE", "ROLE_CHAIN_ADMIN", "ROLE_FRONT_DESK"):
        assert (await refusal(desk.clear(patient_id, desk.service.token(role)))).reason == "ACCESS_DENIED"
    granted = await desk.clear(patient_id)
    assert (await refusal(desk.revoke(granted.id, desk.service.token("ROLE_NURSE")))).reason == "ACCESS_DENIED"


async def test_nobody_is_cleared_where_their_record_does_not_open(desk: Desk) -> None:
    patient = await desk.create()
    for patient_id, changes in (
        (patient.id, {"site_id": to_wire("site", desk.other_site_id)}),
        (to_wire("patient", new_id()), {}),
    ):
        refused = await refusal(desk.clear(patient_id, **changes))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("clearance") == 0


async def test_a_clearance_at_a_site_not_heard_of_is_to_be_asked_for_again(desk: Desk) -> None:
    refused = await refusal(desk.clear((await desk.create()).id, site_id=to_wire("site", new_id())))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True)


async def test_a_clearance_rests_on_a_screening_of_the_same_patient(desk: Desk) -> None:
    patient, other = await desk.create(), await desk.create()
    of_other = await desk.screen(other.id)
    for screening_id in (of_other.id, to_wire("screening", new_id())):
        refused = await refusal(desk.clear(patient.id, screening_id=screening_id))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SCREENING_NOT_FOUND")


async def test_a_revoked_clearance_stays_revoked(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    desk.service.clock.now = desk.service.now.replace(hour=18)
    revoked = await desk.revoke(granted.id)
    assert revoked.revoked_by == "dr"
    assert revoked.revoke_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    assert await get_clearance(desk, granted.id) == revoked
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.clearance_id, event.patient_id) == (
        "patients.v1.clearance.revoked", granted.id, granted.patient_id,
    )  # fmt: skip
    assert (event.protocol_id, event.site_id, event.meta.aggregate_version) == (
        granted.protocol_id, granted.site_id, 2,
    )  # fmt: skip
    refused = await refusal(desk.revoke(granted.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_REVOKED")


async def test_a_clearance_of_another_site_or_chain_is_not_found(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    for token in (desk.at_other_site("ROLE_CLINICIAN"), desk.of_other_chain("ROLE_CLINICIAN")):
        for answer in (get_clearance(desk, granted.id, token), desk.revoke(granted.id, token)):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CLEARANCE_NOT_FOUND")
        assert len((await list_clearances(desk, granted.patient_id, token)).clearances) == 0
    assert not (await get_clearance(desk, granted.id)).HasField("revoke_time")


async def test_clearances_come_the_latest_first_in_pages_revoked_ones_too(desk: Desk) -> None:
    patient = await desk.create()
    made = [(await desk.clear(patient.id)).id for _ in range(3)]
    await desk.revoke(made[1])
    first = await list_clearances(desk, patient.id, page_size=2)
    second = await list_clearances(desk, patient.id, page_size=2, page_token=first.next_page_token)
    assert [each.id for page in (first, second) for each in page.clearances] == made[::-1]
    assert second.next_page_token == ""


async def test_every_site_of_a_record_sees_what_the_others_wrote_and_no_other_site_does(desk: Desk) -> None:
    both = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    alone = await desk.create()
    seen, unseen = await desk.clear(both.id), await desk.clear(alone.id)
    there = desk.at_other_site("ROLE_CLINICIAN")
    assert await get_clearance(desk, seen.id, there) == seen
    assert (await desk.revoke(seen.id, there)).revoked_by == "user"
    assert (await refusal(get_clearance(desk, unseen.id, there))).reason == "CLEARANCE_NOT_FOUND"


async def test_the_database_lets_no_site_write_in_the_name_of_another(desk: Desk) -> None:
    """What the endpoint refuses by `site_id` would not pass either if it came by another way."""
    patient = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    call = desk.service.inside("test", sites=frozenset({desk.other_site_id}))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with desk.service.db.transaction(call) as conn:
            await conn.execute(
                "INSERT INTO screening SELECT $1, gen_random_uuid(), $2, $2, $3, '[]', 'dr', now()",
                desk.service.chain_id,
                from_wire("patient", patient.id),
                desk.site_id,
            )
