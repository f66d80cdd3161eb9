"""Clearances through the gRPC door."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.common.v1.access_pb2 import Role
from atoll.patients.v1 import clearance_service_pb2 as pb
from atoll.patients.v1.screening_service_pb2 import Screening
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import from_wire, new_id, to_wire
from chassis.store import Store
from tests.integration.test_patients_races import until_a_lock_is_awaited
from tests.support.patients import Desk, desk
from tests.support.patients_merges import Merges
from tests.support.patients_questionnaires import condition, content, question, rule
from tests.support.service import refusal

__all__ = ["desk"]

READERS = {
    "ROLE_CHAIN_ADMIN", "ROLE_SITE_MANAGER", "ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_NURSE", "ROLE_AUDITOR",
}  # fmt: skip


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
    limits: dict[str, Any] = {
        "band_codes": ["60", "up_to_40"],
        "session_minutes_max": 60,
        "conditions": [{"code": "blood_pressure"}, {"text": "Sits with her sister"}, {"code": "x", "text": "y"}],
    }
    granted = await desk.clear(
        patient.id,
        route_codes=["nasal", "iv"],
        screening_id=screening.id,
        protocol_id=screening.protocol_id,
        override_reason="",
        **limits,
    )
    assert (granted.patient_id, granted.site_id) == (patient.id, to_wire("site", desk.site_id))
    assert (list(granted.band_codes), granted.session_minutes_max) == (["60", "up_to_40"], 60)
    assert [(each.code, each.text) for each in granted.conditions] == [
        ("blood_pressure", ""), ("", "Sits with her sister"), ("x", "y"),
    ]  # fmt: skip
    assert (granted.override_reason, granted.revoke_reason) == ("", "")
    assert (list(granted.route_codes), granted.screening_id) == (["nasal", "iv"], screening.id)
    assert (granted.granted_by, granted.HasField("revoke_time"), granted.revoked_by) == ("dr", False, "")
    assert await get_clearance(desk, granted.id) == granted


async def test_a_clearance_is_published_with_its_routes_and_days(desk: Desk) -> None:
    granted = await desk.clear(
        (await desk.create()).id, band_codes=["short"], session_minutes_max=45, conditions=[{"text": "lithium"}],
        override_reason="seen in person",
    )  # fmt: skip
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.clearance_id) == ("patients.v1.clearance.granted", granted.id)
    assert (list(event.band_codes), event.session_minutes_max) == (["short"], 45)
    for word in (b"lithium", b"seen in person"):
        assert word not in event.SerializeToString()
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


async def test_nobody_is_cleared_who_has_died_until_it_turns_out_to_be_an_error(desk: Desk) -> None:
    patient = await desk.update(await desk.create(), deceased=True)
    refused = await refusal(desk.clear(patient.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_DECEASED")
    assert await desk.service.count("clearance") == 0
    await desk.update(patient, deceased=False)
    assert (await desk.clear(patient.id)).patient_id == patient.id


async def test_nobody_is_cleared_of_whom_a_merged_record_says_that_they_died(desk: Desk) -> None:
    merges, survivor = Merges(desk), await desk.create()
    merged = await desk.update(await desk.create(), deceased=True)
    await merges.merge(survivor, merged)
    for id in (survivor.id, merged.id):
        assert (await refusal(desk.clear(id))).reason == "PATIENT_DECEASED"
    await merges.unmerge(merged.id)
    assert (await desk.clear(survivor.id)).patient_id == survivor.id


async def test_who_may_not_see_the_record_does_not_hear_of_a_death(desk: Desk) -> None:
    patient, there = await desk.update(await desk.create(), deceased=True), to_wire("site", desk.other_site_id)
    refused = await refusal(desk.clear(patient.id, desk.at_other_site("ROLE_CLINICIAN"), site_id=there))
    assert refused.reason == "PATIENT_NOT_FOUND"


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ({"effective_date": (2027, 3, 9), "expire_date": (2027, 3, 8)}, "CLEARANCE_DATES_REVERSED"),
        ({"effective_date": (2027, 2, 1), "expire_date": (2027, 2, 28)}, "CLEARANCE_IN_PAST"),
        ({"expire_date": (2027, 2, 29)}, "BAD_REQUEST"),
        ({"expire_date": (2028, 3, 2)}, "CLEARANCE_TOO_LONG"),
        ({"effective_date": (2028, 3, 2), "expire_date": (2028, 3, 2)}, "CLEARANCE_TOO_LONG"),
    ],
)
async def test_days_that_clear_nothing_are_refused(desk: Desk, days: dict[str, Any], reason: str) -> None:
    dates: dict[str, Any] = {name: dict(zip(("year", "month", "day"), day, strict=True)) for name, day in days.items()}
    refused = await refusal(desk.clear((await desk.create()).id, **dates))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert [field for field, _ in refused.faults] == ["expire_date"]
    assert await desk.service.count("clearance") == 0


async def test_whether_a_day_has_passed_is_told_by_the_sites_clock(desk: Desk) -> None:
    """At five on Tuesday in UTC it is still Monday in Denver."""
    patient_id, today = (await desk.create()).id, {"year": 2027, "month": 3, "day": 1}
    desk.service.clock.now = desk.service.now.replace(day=2, hour=5)
    assert (await desk.clear(patient_id, expire_date=today)).expire_date.day == 1
    desk.service.clock.now = desk.service.now.replace(hour=7)
    assert (await refusal(desk.clear(patient_id, expire_date=today))).reason == "CLEARANCE_IN_PAST"


async def test_a_clearance_ends_at_most_twelve_months_after_the_day_of_the_decision_at_the_site(desk: Desk) -> None:
    """At five on the second in UTC it is still the first in Denver."""
    patient_id = (await desk.create()).id
    first, second = ({"year": 2028, "month": 3, "day": day} for day in (1, 2))
    desk.service.clock.now = desk.service.now.replace(day=2, hour=5)
    assert (await desk.clear(patient_id, expire_date=first)).expire_date.day == 1
    refused = await refusal(desk.clear(patient_id, expire_date=second))
    assert (refused.reason, refused.metadata["latest_date"]) == ("CLEARANCE_TOO_LONG", "2028-03-01")
    desk.service.clock.now = desk.service.now.replace(hour=7)
    assert (await desk.clear(patient_id, expire_date=second)).expire_date.day == 2


async def test_where_it_is_march_already_a_clearance_ends_in_march_of_a_leap_year(desk: Desk) -> None:
    """At 20:00 of 28 February in UTC it is the first of March in Guam, and twelve months later is no leap day."""
    guam = to_wire("site", new_id())
    await desk.service.deliver(SiteRegistered(site_id=guam, time_zone="Pacific/Guam"))
    patient = await desk.create(home_site_id=guam)
    desk.service.clock.now = datetime(2027, 2, 28, 20, tzinfo=UTC)
    first = {"year": 2028, "month": 3, "day": 1}
    assert (await desk.clear(patient.id, site_id=guam, expire_date=first)).expire_date.month == 3


async def test_only_a_clinician_clears_and_revokes(desk: Desk) -> None:
    patient_id = (await desk.create()).id
    granted = await desk.clear(patient_id)
    for role in set(Role.keys()) - {"ROLE_UNSPECIFIED", "ROLE_CLINICIAN"}:
        token = desk.service.token(role, patient=patient_id)
        for answer in (desk.clear(patient_id, token), desk.revoke(granted.id, token)):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"), role
    assert await desk.service.count("clearance") == 1
    assert not (await get_clearance(desk, granted.id)).HasField("revoke_time")


async def test_those_who_treat_book_or_check_read_clearances(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    for role in Role.keys()[1:]:
        token = desk.service.token(role, patient=granted.patient_id)
        if role in READERS:
            assert await get_clearance(desk, granted.id, token) == granted
            assert len((await list_clearances(desk, granted.patient_id, token)).clearances) == 1
        else:
            for answer in (
                get_clearance(desk, granted.id, token),
                list_clearances(desk, granted.patient_id, token),
            ):
                assert (await refusal(answer)).reason == "ACCESS_DENIED", role


async def screened(desk: Desk, patient_id: str, *, psychosis: bool, **changes: Any) -> Screening:
    answers = [{"question_code": "psychosis", "bool_value": psychosis}]
    return await desk.screen(patient_id, answers=answers, **changes)


async def test_who_is_excluded_is_cleared_only_with_a_reason_which_is_kept(desk: Desk) -> None:
    patient = await desk.create()
    screening = await screened(desk, patient.id, psychosis=True)
    named = {"protocol_id": screening.protocol_id, "screening_id": screening.id}
    refused = await refusal(desk.clear(patient.id, **named))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_OVERRIDE_MISSING")
    assert (refused.faults, refused.metadata["screening_id"]) == ([("override_reason", "MISSING")], screening.id)
    assert await desk.service.count("clearance") == 0
    granted = await desk.clear(patient.id, **named, override_reason="in remission for ten years")
    assert granted.override_reason == "in remission for ten years"
    assert await get_clearance(desk, granted.id) == granted


async def test_who_needs_review_is_cleared_only_with_a_reason(desk: Desk) -> None:
    patient, protocol_id = await desk.create(), to_wire("protocol", new_id())
    asks = content([question("heart")], rule("heart", "NEEDS_REVIEW", condition("heart", "MISSING")))
    version = await desk.asks(protocol_id, asks)
    screening = await desk.screen(patient.id, protocol_id=protocol_id, questionnaire_version_id=version.id, answers=[])
    named = {"protocol_id": protocol_id, "screening_id": screening.id}
    assert (await refusal(desk.clear(patient.id, **named))).reason == "CLEARANCE_OVERRIDE_MISSING"
    assert (await desk.clear(patient.id, **named, override_reason="examined")).screening_id == screening.id


async def test_the_latest_screening_for_the_protocol_counts_though_another_or_none_is_named(desk: Desk) -> None:
    patient = await desk.create()
    fine = await screened(desk, patient.id, psychosis=False)
    same = {"protocol_id": fine.protocol_id, "questionnaire_version_id": fine.questionnaire_version_id}
    assert (await desk.clear(patient.id, protocol_id=fine.protocol_id, screening_id=fine.id)).id
    excluded = await screened(desk, patient.id, psychosis=True, **same)
    for named in ({"screening_id": fine.id}, {}):
        refused = await refusal(desk.clear(patient.id, protocol_id=fine.protocol_id, **named))
        assert (refused.reason, refused.metadata["screening_id"]) == ("CLEARANCE_OVERRIDE_MISSING", excluded.id)
    corrected = await screened(desk, patient.id, psychosis=False, **same)
    assert (await desk.clear(patient.id, protocol_id=fine.protocol_id, screening_id=corrected.id)).id
    refused = await refusal(desk.clear(patient.id, protocol_id=fine.protocol_id, screening_id=excluded.id))
    assert refused.reason == "CLEARANCE_OVERRIDE_MISSING"
    assert (await desk.clear(patient.id)).screening_id == ""


async def test_a_screening_for_another_protocol_is_none_for_this_one(desk: Desk) -> None:
    patient = await desk.create()
    screening = await screened(desk, patient.id, psychosis=False)
    refused = await refusal(desk.clear(patient.id, screening_id=screening.id))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SCREENING_NOT_FOUND")
    assert await desk.service.count("clearance") == 0


async def test_a_clearance_waits_for_a_screening_that_is_being_recorded(desk: Desk) -> None:
    """The patient's lock holds it until the screening, which excludes, has committed."""
    patient = await desk.create()
    fine = await screened(desk, patient.id, psychosis=False)
    call = desk.service.inside("test")
    async with desk.service.db.transaction(call) as conn:
        await Store(conn, call).lock([from_wire("patient", patient.id)])
        waiting = asyncio.create_task(
            refusal(desk.clear(patient.id, protocol_id=fine.protocol_id, screening_id=fine.id))
        )
        await until_a_lock_is_awaited(desk)
        await conn.execute(
            "INSERT INTO screening SELECT chain_id, $2, patient_id, protocol_id, site_id, '', recorded_by, "
            "recorded_at, questionnaire_version_id, 'SCREENING_OUTCOME_EXCLUDED', '{psychosis_history}' "
            "FROM screening WHERE id = $1",
            from_wire("screening", fine.id),
            new_id(),
        )
    assert (await waiting).reason == "CLEARANCE_OVERRIDE_MISSING"
    assert await desk.service.count("clearance") == 0


async def test_a_screening_waits_for_a_clearance_that_is_being_granted(desk: Desk) -> None:
    patient = await desk.create()
    call = desk.service.inside("test")
    async with desk.service.db.transaction(call) as conn:
        await Store(conn, call).lock([from_wire("patient", patient.id)])
        waiting = asyncio.create_task(screened(desk, patient.id, psychosis=True))
        await until_a_lock_is_awaited(desk)
        assert not waiting.done()
    assert (await waiting).patient_id == patient.id


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"conditions": [{}]}, ("conditions[0]", "condition.says_something")),
        ({"conditions": [{"text": "a\x00b"}]}, ("conditions[0].text", "string.pattern")),
        ({"conditions": [{"text": "   "}]}, ("conditions[0].text", "string.pattern")),
        ({"conditions": [{"code": "X"}]}, ("conditions[0].code", "string.pattern")),
        ({"band_codes": ["a", "a"]}, ("band_codes", "repeated.unique")),
        ({"band_codes": ["A"]}, ("band_codes[0]", "string.pattern")),
        ({"session_minutes_max": 721}, ("session_minutes_max", "int32.gte_lte")),
        ({"session_minutes_max": -1}, ("session_minutes_max", "int32.gte_lte")),
        ({"override_reason": " "}, ("override_reason", "string.pattern")),
        ({"override_reason": "x" * 501}, ("override_reason", "string.max_len")),
    ],
)
async def test_limits_that_say_nothing_or_too_much_are_refused(
    desk: Desk, changes: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.clear((await desk.create()).id, **changes))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [fault])
    assert await desk.service.count("clearance") == 0


async def test_a_clearance_is_revoked_for_a_reason(desk: Desk) -> None:
    granted = await desk.clear((await desk.create()).id)
    for reason, broken in (("", "string.pattern"), (" \t", "string.pattern"), ("x" * 501, "string.max_len")):
        request = pb.RevokeClearanceRequest(request_id=str(uuid4()), clearance_id=granted.id, reason=reason)
        refused = await refusal(desk.service.call(desk.clearances.RevokeClearance, request, desk.clinician()))
        assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("reason", broken)])
    assert (await desk.revoke(granted.id)).revoke_reason == "a new diagnosis"
    assert (await get_clearance(desk, granted.id)).revoke_reason == "a new diagnosis"
    assert b"diagnosis" not in (await desk.service.published())[-1][1].SerializeToString()


async def test_those_in_force_on_a_day_can_be_asked_for(desk: Desk) -> None:
    patient = await desk.create()
    march = await desk.clear(patient.id, expire_date={"year": 2027, "month": 3, "day": 31})
    late = await desk.clear(patient.id, effective_date={"year": 2027, "month": 3, "day": 31})
    revoked = await desk.clear(patient.id)
    await desk.revoke(revoked.id)
    for month, day, ids in (
        (2, 28, []), (3, 1, [march.id]), (3, 30, [march.id]), (3, 31, [late.id, march.id]), (4, 1, [late.id]),
        (9, 1, [late.id]), (9, 2, []),
    ):  # fmt: skip
        on = {"year": 2027, "month": month, "day": day}
        listed = await list_clearances(desk, patient.id, in_force_date=on)
        assert [each.id for each in listed.clearances] == ids, on
    on = {"year": 2027, "month": 3, "day": 31}
    first = await list_clearances(desk, patient.id, in_force_date=on, page_size=1)
    second = await list_clearances(desk, patient.id, in_force_date=on, page_size=1, page_token=first.next_page_token)
    assert [each.id for page in (first, second) for each in page.clearances] == [late.id, march.id]
    refused = await refusal(list_clearances(desk, patient.id, page_token=first.next_page_token))
    assert refused.reason == "BAD_PAGE_TOKEN"
    refused = await refusal(list_clearances(desk, patient.id, in_force_date={"year": 2027, "month": 2, "day": 29}))
    assert refused.faults == [("in_force_date", "date.exists")]


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


async def test_a_clearance_rests_on_a_screening_under_any_id_of_the_person(desk: Desk) -> None:
    survivor, merged = await desk.create(), await desk.create()
    fine = await screened(desk, merged.id, psychosis=False)
    await Merges(desk).merge(survivor, merged)
    for patient_id in (survivor.id, merged.id):
        granted = await desk.clear(patient_id, protocol_id=fine.protocol_id, screening_id=fine.id)
        assert (granted.patient_id, granted.screening_id) == (survivor.id, fine.id)


async def test_the_database_refuses_a_clearance_on_a_screening_of_another_chain(desk: Desk) -> None:
    """As if it had been moved there: of whatever else names it, nothing is looked at."""
    patient = await desk.create()
    granted, screening = await desk.clear(patient.id), await desk.screen(patient.id)
    admin, id = desk.service.admin, from_wire("screening", screening.id)
    rests = ("UPDATE clearance SET screening_id = $1 WHERE id = $2", id, from_wire("clearance", granted.id))
    await admin.execute(*rests)
    await admin.execute("UPDATE clearance SET screening_id = NULL")
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("UPDATE screening SET chain_id = $1 WHERE id = $2", new_id(), id)
    await admin.execute("SET session_replication_role = origin")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute(*rests)


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
                "INSERT INTO screening SELECT $1, gen_random_uuid(), $2, $2, $3, '', 'dr', now()",
                desk.service.chain_id,
                from_wire("patient", patient.id),
                desk.site_id,
            )


async def test_staff_of_a_site_that_may_not_see_the_record_write_nothing_into_it(desk: Desk) -> None:
    patient, there = await desk.create(), to_wire("site", desk.other_site_id)
    for written in (
        desk.screen(patient.id, desk.at_other_site("ROLE_NURSE"), site_id=there),
        desk.clear(patient.id, desk.at_other_site("ROLE_CLINICIAN"), site_id=there),
    ):
        assert (await refusal(written)).reason == "PATIENT_NOT_FOUND"
    assert [await desk.service.count("screening"), await desk.service.count("clearance")] == [0, 0]
