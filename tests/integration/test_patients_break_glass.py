"""Breaking the glass: a record read in need, for a while, by one person, who is looked after."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1 import break_glass_service_pb2 as pb
from atoll.patients.v1 import clearance_service_pb2 as clearance_pb
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from chassis.ids import from_wire, new_id, to_wire
from services.patients.domain.break_glass import Finding, GlassBreak, GlassBreakReviewed
from services.patients.store import PatientsStore
from services.patients.use_cases.break_glass import ReviewGlassBreak, review_glass_break
from tests.support.patients import Desk, desk
from tests.support.patients_access import REASON, break_glass, glass_breaks, let_it_expire, review, stranger
from tests.support.service import refusal

__all__ = ["desk"]


async def clearances(desk: Desk, patient_id: str, token: str) -> list[str]:
    request = clearance_pb.ListClearancesRequest(patient_id=patient_id)
    answer = await desk.service.call(desk.clearances.ListClearances, request, token)
    return [each.id for each in answer.clearances]


async def screening(desk: Desk, screening_id: str, token: str) -> Any:
    request = screening_pb.GetScreeningRequest(screening_id=screening_id)
    return (await desk.service.call(desk.screenings.GetScreening, request, token)).screening


async def test_who_breaks_the_glass_reads_what_the_record_has(desk: Desk) -> None:
    patient = await desk.create()
    asked, granted = await desk.screen(patient.id), await desk.clear(patient.id)
    assert await clearances(desk, patient.id, stranger(desk)) == []
    broken = await break_glass(desk, patient.id)
    assert (broken.patient_id, broken.site_id) == (patient.id, to_wire("site", desk.other_site_id))
    assert (broken.actor, broken.reason, broken.HasField("review")) == ("stranger", REASON, False)
    assert await clearances(desk, patient.id, stranger(desk)) == [granted.id]
    assert await screening(desk, asked.id, stranger(desk)) == asked
    assert (await desk.get(patient.id, stranger(desk))).family_name == "Ruiz"


async def test_it_is_open_for_as_many_minutes_of_real_time_as_asked_and_sixty_if_none_are(desk: Desk) -> None:
    patient = await desk.create()
    for minutes, lasts in ((0, 60), (1, 1), (60, 60)):
        broken = await break_glass(desk, patient.id, minutes=minutes)
        start, expire = broken.start_time.ToDatetime(), broken.expire_time.ToDatetime()
        assert expire - start == timedelta(minutes=lasts)
        assert abs(start - await desk.service.admin.fetchval("SELECT localtimestamp")) < timedelta(minutes=1)
    for minutes in (-1, 61):
        assert (await refusal(break_glass(desk, patient.id, minutes=minutes))).reason == "BAD_REQUEST"


async def test_once_it_has_expired_the_record_is_closed_again(desk: Desk) -> None:
    patient = await desk.create()
    asked, granted = await desk.screen(patient.id), await desk.clear(patient.id)
    broken = await break_glass(desk, patient.id)
    assert await clearances(desk, patient.id, stranger(desk)) == [granted.id]
    await let_it_expire(desk, broken.id)
    assert await clearances(desk, patient.id, stranger(desk)) == []
    assert (await refusal(desk.get(patient.id, stranger(desk)))).reason == "PATIENT_NOT_FOUND"
    assert (await refusal(screening(desk, asked.id, stranger(desk)))).reason == "SCREENING_NOT_FOUND"


async def test_it_opens_for_nobody_else_and_nowhere_else(desk: Desk) -> None:
    patient, other = await desk.create(), await desk.create()
    await desk.clear(patient.id)
    await desk.clear(other.id)
    await break_glass(desk, patient.id)
    third_site = desk.service.token("ROLE_CLINICIAN", sites=[new_id()], subject="stranger")
    other_chain = desk.service.token(
        "ROLE_CLINICIAN", sites=[desk.other_site_id], subject="stranger", chain_id=new_id()
    )
    for token in (stranger(desk, subject="colleague"), third_site, other_chain):
        assert await clearances(desk, patient.id, token) == []
        assert (await refusal(desk.get(patient.id, token))).reason == "PATIENT_NOT_FOUND"
    assert await clearances(desk, other.id, stranger(desk)) == []


async def test_it_gives_no_right_to_change_anything(desk: Desk) -> None:
    patient = await desk.create()
    granted = await desk.clear(patient.id)
    await break_glass(desk, patient.id)
    here, there = to_wire("site", desk.site_id), to_wire("site", desk.other_site_id)
    asked: list[tuple[Awaitable[Any], str]] = [
        (desk.screen(patient.id, stranger(desk), site_id=there), "PATIENT_NOT_FOUND"),
        (desk.screen(patient.id, stranger(desk), site_id=here), "ACCESS_DENIED"),
        (desk.clear(patient.id, stranger(desk), site_id=there), "PATIENT_NOT_FOUND"),
        (desk.revoke(granted.id, stranger(desk)), "CLEARANCE_NOT_FOUND"),
        (desk.update(patient, stranger(desk), prefix="Dr."), "PATIENT_NOT_FOUND"),
    ]
    for answer, reason in asked:
        assert (await refusal(answer)).reason == reason
    assert [await desk.service.count(table) for table in ("screening", "clearance")] == [0, 1]
    assert await desk.service.admin.fetchval("SELECT revoked_by FROM clearance") is None


async def test_the_database_lets_whoever_broke_the_glass_change_and_delete_nothing(desk: Desk) -> None:
    patient = await desk.create()
    await desk.clear(patient.id)
    await break_glass(desk, patient.id, desk.service.token("ROLE_NURSE", sites=[desk.other_site_id]))
    call = desk.service.inside("test", sites=frozenset({desk.other_site_id}))
    async with desk.service.db.transaction(call) as conn:
        assert await conn.fetchval("SELECT count(*) FROM clearance") == 1
        assert await conn.execute("UPDATE clearance SET revoked_by = 'me', revoked_at = now()") == "UPDATE 0"
        assert await conn.execute("DELETE FROM clearance") == "DELETE 0"


async def test_it_is_told_to_those_who_watch_without_the_reason(desk: Desk) -> None:
    broken = await break_glass(desk, (await desk.create()).id)
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.glass_break_id) == ("patients.v1.glass.broken", broken.id)
    assert (event.patient_id, event.site_id) == (broken.patient_id, broken.site_id)
    assert (event.expire_time, event.meta.actor) == (broken.expire_time, "stranger")
    assert REASON.encode() not in event.SerializeToString()


async def test_the_same_request_breaks_the_glass_once(desk: Desk) -> None:
    patient, request_id = await desk.create(), str(uuid4())
    first = await break_glass(desk, patient.id, request_id=request_id)
    await let_it_expire(desk, first.id)
    assert await break_glass(desk, patient.id, request_id=request_id) == first
    assert await clearances(desk, patient.id, stranger(desk)) == []
    assert await desk.service.count("break_glass") == 1
    other = await refusal(break_glass(desk, patient.id, request_id=request_id, minutes=5))
    assert other.reason == "REQUEST_ID_REUSED"
    assert (await desk.facts()).count("patients.v1.glass.broken") == 1


@pytest.mark.parametrize("reason", ["needed", "he fainted", "  he   fainted  ", "he - fainted !"])
async def test_a_reason_of_fewer_than_three_words_is_refused(desk: Desk, reason: str) -> None:
    refused = await refusal(break_glass(desk, (await desk.create()).id, reason=reason))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "GLASS_REASON_TOO_SHORT")
    assert refused.faults == [("reason", "WORDS_MISSING")]
    assert await desk.service.count("break_glass") == 0


@pytest.mark.parametrize("reason", ["", "he fainted\nhere", "x" * 501, "he fainted\0here"])
async def test_a_reason_that_breaks_its_rules_is_refused(desk: Desk, reason: str) -> None:
    refused = await refusal(break_glass(desk, to_wire("patient", new_id()), reason=reason))
    assert (refused.reason, refused.faults[0][0]) == ("BAD_REQUEST", "reason")


async def test_a_reason_in_another_script_has_words_too(desk: Desk) -> None:
    reason = "пациент без сознания"
    assert (await break_glass(desk, (await desk.create()).id, reason=reason)).reason == reason


async def test_a_record_that_the_site_may_see_needs_no_breaking(desk: Desk) -> None:
    patient = await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    refused = await refusal(break_glass(desk, patient.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "GLASS_NOT_NEEDED")
    assert await desk.service.count("break_glass") == 0


async def test_the_record_of_nobody_or_of_another_chain_is_not_found(desk: Desk) -> None:
    patient = await desk.create()
    theirs = desk.service.token("ROLE_CLINICIAN", chain_id=new_id())
    assert (await refusal(break_glass(desk, to_wire("patient", new_id())))).reason == "PATIENT_NOT_FOUND"
    assert (await refusal(break_glass(desk, patient.id, theirs))).reason == "NOT_YET_KNOWN"
    assert await desk.service.count("break_glass") == 0


async def test_only_clinicians_nurses_and_managers_break_the_glass_and_only_where_they_are(desk: Desk) -> None:
    patient = await desk.create()
    for role in ("FRONT_DESK", "CHAIN_ADMIN", "AUDITOR", "BILLING", "INTEGRATION", "SERVICE", "PATIENT"):
        refused = await refusal(break_glass(desk, patient.id, stranger(desk, f"ROLE_{role}")))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    elsewhere = await refusal(break_glass(desk, patient.id, site_id=to_wire("site", desk.site_id)))
    assert elsewhere.reason == "ACCESS_DENIED"
    assert await desk.service.count("break_glass") == 0
    for role in ("CLINICIAN", "NURSE", "SITE_MANAGER"):
        assert (await break_glass(desk, patient.id, stranger(desk, f"ROLE_{role}"))).actor == "stranger"


async def test_a_site_that_was_not_heard_of_is_to_be_asked_for_again(desk: Desk) -> None:
    unknown = new_id()
    token = desk.service.token("ROLE_NURSE", sites=[unknown])
    refused = await refusal(break_glass(desk, (await desk.create()).id, token, site_id=to_wire("site", unknown)))
    assert (refused.reason, refused.retry) == ("NOT_YET_KNOWN", True)


async def test_breaks_are_listed_until_somebody_looked_after_them(desk: Desk) -> None:
    patient = await desk.create()
    made = [await break_glass(desk, patient.id) for _ in range(3)]
    reviewed = await review(desk, made[1].id, finding=pb.GLASS_FINDING_NOT_JUSTIFIED, note="no need\nat all")
    assert (reviewed.review.finding, reviewed.review.note) == (pb.GLASS_FINDING_NOT_JUSTIFIED, "no need\nat all")
    assert (reviewed.review.reviewed_by, reviewed.review.review_time.ToDatetime(tzinfo=desk.service.now.tzinfo)) == (
        "user", desk.service.now,
    )  # fmt: skip
    first = await glass_breaks(desk, page_size=1)
    second = await glass_breaks(desk, page_size=1, page_token=first.next_page_token)
    assert [*first.glass_breaks, *second.glass_breaks] == [made[2], made[0]]
    assert second.next_page_token == ""
    assert list((await glass_breaks(desk, reviewed_too=True)).glass_breaks) == [made[2], reviewed, made[0]]


async def test_a_list_shows_the_callers_sites_only_and_one_of_them_if_asked(desk: Desk) -> None:
    here = await desk.create()
    there = await desk.create(desk.at_other_site("ROLE_SITE_MANAGER"), home_site_id=to_wire("site", desk.other_site_id))
    one = await break_glass(desk, here.id)
    other = await break_glass(
        desk, there.id, desk.service.token("ROLE_NURSE", sites=[desk.site_id]), site_id=to_wire("site", desk.site_id)
    )
    assert list((await glass_breaks(desk)).glass_breaks) == [other, one]
    manager = stranger(desk, "ROLE_SITE_MANAGER")
    assert list((await glass_breaks(desk, manager)).glass_breaks) == [one]
    assert list((await glass_breaks(desk, site_id=to_wire("site", desk.site_id))).glass_breaks) == [other]
    asked = await refusal(glass_breaks(desk, manager, site_id=to_wire("site", desk.site_id)))
    assert asked.reason == "ACCESS_DENIED"
    assert list((await glass_breaks(desk, desk.of_other_chain())).glass_breaks) == []
    assert len((await glass_breaks(desk, desk.service.token("ROLE_AUDITOR"))).glass_breaks) == 2
    for role in ("ROLE_CLINICIAN", "ROLE_NURSE", "ROLE_FRONT_DESK", "ROLE_PATIENT"):
        assert (await refusal(glass_breaks(desk, desk.service.token(role)))).reason == "ACCESS_DENIED"


async def test_nobody_reviews_their_own_nor_what_was_reviewed_nor_what_they_may_not_see(desk: Desk) -> None:
    manager = stranger(desk, "ROLE_SITE_MANAGER")
    broken = await break_glass(desk, (await desk.create()).id, manager)
    own = await refusal(review(desk, broken.id, manager))
    assert (own.code, own.reason) == (StatusCode.PERMISSION_DENIED, "GLASS_REVIEW_OF_OWN")
    elsewhere = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    for token in (elsewhere, desk.of_other_chain()):
        refused = await refusal(review(desk, broken.id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "GLASS_BREAK_NOT_FOUND")
    for role in ("ROLE_AUDITOR", "ROLE_CLINICIAN", "ROLE_FRONT_DESK"):
        assert (await refusal(review(desk, broken.id, desk.service.token(role)))).reason == "ACCESS_DENIED"
    assert await desk.service.count("glass_review") == 0
    await review(desk, broken.id, stranger(desk, "ROLE_SITE_MANAGER", "colleague"))
    again = await refusal(review(desk, broken.id))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "GLASS_BREAK_REVIEWED")
    assert (await refusal(review(desk, broken.id, finding=0))).reason == "BAD_REQUEST"


async def test_the_database_lets_nobody_review_their_own(desk: Desk) -> None:
    await break_glass(desk, (await desk.create()).id)
    review_own = "INSERT INTO glass_review SELECT chain_id, id, {}, 'JUSTIFIED', '', 'stranger', now() FROM break_glass"
    for broken_by in ("actor", "'another'"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await desk.service.admin.execute(review_own.format(broken_by))


async def test_of_two_who_review_at_once_the_database_refuses_one(desk: Desk) -> None:
    broken = await break_glass(desk, (await desk.create()).id)
    both_have_read = asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def glass_break(self, id: UUID) -> GlassBreak:
            found = await super().glass_break(id)
            await both_have_read.wait()
            return found

    async def once() -> None:
        request = pb.ReviewGlassBreakRequest(request_id=str(uuid4()))
        command = ReviewGlassBreak(from_wire("glass", broken.id), Finding.JUSTIFIED, "")

        async def work(store: PatientsStore) -> pb.ReviewGlassBreakResponse:
            await review_glass_break(store, command)
            return pb.ReviewGlassBreakResponse()

        call = desk.service.inside("Review", request.request_id)
        await desk.service.db.once(call, request, pb.ReviewGlassBreakResponse, Hesitant, work)

    answers = await asyncio.gather(once(), once(), return_exceptions=True)
    assert [type(answer) for answer in answers if answer] == [GlassBreakReviewed]
    assert await desk.service.count("glass_review") == 1
