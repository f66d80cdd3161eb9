"""Which screenings wait for a clinician, site by site, and how they cease to, through the gRPC door."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1 import screening_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.screening_service_pb2_grpc import ScreeningServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import provision
from services.patients.store import PatientsStore
from services.patients.store.screenings import LAST_ID, TO_REVIEW
from services.patients.use_cases.clearances import revoke_clearance
from tests.integration.test_patients_races import once, until_a_lock_is_awaited
from tests.integration.test_patients_screenings import self_token, told
from tests.integration.test_patients_speed import MANY, explained, most_rows, read_through
from tests.support.patients import Desk, desk
from tests.support.patients_access import Retention, accesses, break_glass, stranger
from tests.support.patients_merges import Merges, merges
from tests.support.patients_parts import call_part, let_in, several_many
from tests.support.patients_questionnaires import KETAMINE
from tests.support.servers import as_administrator, drop, password_of
from tests.support.service import NOW, refusal

__all__ = ["desk", "merges"]

HIGH, PSYCHOTIC = {"systolic": {"int_value": 190}}, {"psychosis": {"bool_value": True}}
OVERRIDE, REASON = "the pressure was measured again", "the pressure stays too high"
DECIDED = """
    UPDATE screening_review SET decision = 'SCREENING_DECISION_SCREENED_AGAIN', decided_by = 'dr', decided_at = now()
    WHERE screening_id NOT IN (SELECT screening_id FROM screening_review LIMIT 100)
"""
ELSEWHERE = """
    WITH seen AS (INSERT INTO patient_site SELECT $1, id, $2 FROM patient),
         asked AS (INSERT INTO screening SELECT $1, gen_random_uuid(), id, id, $2, '', 'dr', now()
                   FROM patient, generate_series(1, 2) RETURNING id, patient_id)
    INSERT INTO screening_review SELECT $1, id, patient_id, patient_id, $2, NULL, NULL, NULL, '' FROM asked
"""
OLD_PATIENT = """
    WITH seen AS (INSERT INTO patient_site SELECT $1, $2::uuid, $1)
    INSERT INTO patient SELECT $1, $2::uuid, $2::uuid::text, '{A}', 'B', '', '1980-01-01', 'FEMALE', 'en-US',
        'America/Denver', $1, false, 1, now(), now()
"""
OLD_SCREENING = """
    INSERT INTO screening (chain_id, id, patient_id, protocol_id, site_id, answers, recorded_by, recorded_at, outcome,
        questionnaire_version_id, reason_codes)
    VALUES ($1, $2, $3, $4, $1, '', 'dr', $5, 'SCREENING_OUTCOME_' || $6, $1, '{why}')
"""
OLD_CLEARANCE = """
    INSERT INTO clearance (chain_id, id, patient_id, protocol_id, site_id, route_codes, effective_date, expire_date,
        granted_by, granted_at, revoked_by, revoked_at)
    VALUES ($1, $2, $3, $4, $1, '{iv}', '2020-01-01', $5, 'dr', $6, 'dr' || left($7::timestamptz::text, 0), $7)
"""


async def call_screenings(desk: Desk, method: str, token: str | None = None, **fields: Any) -> Any:
    return await call_part(desk, pb, ScreeningServiceStub, method, token, fields)


async def to_review(desk: Desk, token: str | None = None, **asked: Any) -> pb.ListScreeningsToReviewResponse:
    fields = {"site_id": to_wire("site", desk.site_id)} | asked
    answer: pb.ListScreeningsToReviewResponse = await call_screenings(desk, "ListScreeningsToReview", token, **fields)
    return answer


async def waiting(desk: Desk, **asked: Any) -> list[str]:
    return [each.id for each in (await to_review(desk, **asked)).screenings]


async def review(desk: Desk, screening_id: str, token: str | None = None, **changes: Any) -> pb.Screening:
    fields = {"screening_id": screening_id, "reason": REASON} | changes
    reviewed: pb.Screening = (await call_screenings(desk, "ReviewScreening", token, **fields)).screening
    return reviewed


async def decision(desk: Desk, screening_id: str) -> tuple[str, str, str]:
    """With who decided, and by which clearance."""
    found = (await call_screenings(desk, "GetScreening", screening_id=screening_id)).screening.review
    name = pb.ScreeningDecision.Name(found.decision).removeprefix("SCREENING_DECISION_")
    return name, found.decided_by, found.clearance_id


class Protocol:
    """One that asks the sample's questions."""

    def __init__(self, desk: Desk, id: str, version_id: str) -> None:
        self.desk, self.id, self._version_id = desk, id, version_id

    async def screen(
        self, patient: Patient, answers: dict[str, Any], token: str | None = None, **changes: Any
    ) -> pb.Screening:
        asked = {"protocol_id": self.id, "questionnaire_version_id": self._version_id, "answers": told(**answers)}
        return await self.desk.screen(patient.id, token, **asked | changes)

    async def clear(self, patient: Patient, **changes: Any) -> str:
        fields = {"protocol_id": self.id, "override_reason": OVERRIDE} | changes
        return (await self.desk.clear(patient.id, **fields)).id


async def protocol_of(desk: Desk) -> Protocol:
    id = to_wire("protocol", new_id())
    return Protocol(desk, id, (await desk.asks(id, KETAMINE)).id)


async def test_what_needs_review_waits_at_its_site_the_latest_first_page_by_page(desk: Desk) -> None:
    protocol, there = await protocol_of(desk), to_wire("site", desk.other_site_id)
    patients = [await desk.create(site_ids=[there]) for _ in range(4)]
    first, second = [await protocol.screen(each, HIGH) for each in patients[:2]]
    fine = await protocol.screen(patients[2], {})
    await protocol.screen(patients[2], PSYCHOTIC)
    other = await protocol.screen(patients[3], HIGH, site_id=there)
    page = await to_review(desk, page_size=1)
    assert list(page.screenings) == [second]
    rest = await to_review(desk, page_size=1, page_token=page.next_page_token)
    assert (list(rest.screenings), rest.next_page_token) == ([first], "")
    assert await waiting(desk, site_id=there) == [other.id]
    assert (second.HasField("review"), fine.HasField("review")) == (True, False)
    assert await decision(desk, second.id) == ("UNSPECIFIED", "", "")


async def test_whoever_is_looked_at_and_not_cleared_waits_no_longer(desk: Desk) -> None:
    protocol, patient, request_id = await protocol_of(desk), await desk.create(), str(uuid4())
    found, other = await protocol.screen(patient, HIGH), await protocol.screen(await desk.create(), HIGH)
    desk.service.clock.now = desk.service.now + timedelta(hours=1)
    reviewed = await review(desk, found.id, request_id=request_id)
    decided = reviewed.review
    assert decided.decision == pb.SCREENING_DECISION_NOT_CLEARED
    assert (decided.reason, decided.decided_by, decided.clearance_id) == (REASON, "dr", "")
    assert decided.decide_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    assert await waiting(desk) == [other.id]
    assert (await call_screenings(desk, "GetScreening", screening_id=found.id)).screening == reviewed
    listed = (await call_screenings(desk, "ListScreenings", patient_id=patient.id)).screenings
    assert list(listed) == [reviewed]
    assert await review(desk, found.id, request_id=request_id) == reviewed


async def test_that_somebody_was_looked_at_is_published_once_with_ids_only(desk: Desk) -> None:
    found = await (await protocol_of(desk)).screen(await desk.create(), HIGH)
    request_id = str(uuid4())
    for _ in range(2):
        await review(desk, found.id, request_id=request_id)
    told = [event for subject, event in await desk.service.published() if subject == "patients.v1.screening.reviewed"]
    [event] = told
    assert (event.screening_id, event.patient_id) == (found.id, found.patient_id)
    assert (event.protocol_id, event.site_id) == (found.protocol_id, found.site_id)
    assert REASON.encode() not in event.SerializeToString()


async def test_what_does_not_wait_is_not_reviewed(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    decided = await protocol.screen(patient, HIGH)
    await review(desk, decided.id)
    for found in (decided, await protocol.screen(patient, {}), await protocol.screen(patient, PSYCHOTIC)):
        refused = await refusal(review(desk, found.id, reason="another"))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "SCREENING_NOT_WAITING")
    assert (await decision(desk, decided.id))[0] == "NOT_CLEARED"
    refused = await refusal(review(desk, to_wire("screening", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SCREENING_NOT_FOUND")


@pytest.mark.parametrize(("reason", "rule"), [("", "pattern"), (" \t", "pattern"), ("x" * 501, "max_len")])
async def test_whoever_does_not_clear_says_why(desk: Desk, reason: str, rule: str) -> None:
    found = await (await protocol_of(desk)).screen(await desk.create(), HIGH)
    refused = await refusal(review(desk, found.id, reason=reason))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("reason", f"string.{rule}")])
    assert await waiting(desk) == [found.id]


async def test_nobody_is_not_cleared_while_a_clearance_stands(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    granted = await protocol.clear(patient)
    found = await protocol.screen(patient, HIGH)
    desk.service.clock.now = desk.service.now.replace(month=9, day=2, hour=5)  # Still the first in Denver.
    refused = await refusal(review(desk, found.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CLEARANCE_STANDS")
    assert refused.metadata == {"clearance_id": granted}
    assert await waiting(desk) == [found.id]
    desk.service.clock.now = desk.service.now.replace(hour=7)
    assert (await review(desk, found.id)).review.decision == pb.SCREENING_DECISION_NOT_CLEARED


async def test_of_a_decision_and_a_review_at_once_the_later_finds_it_decided(desk: Desk) -> None:
    found = await (await protocol_of(desk)).screen(await desk.create(), HIGH)
    call = desk.service.inside("test")
    async with desk.service.db.transaction(call) as conn:
        await conn.execute(
            "UPDATE screening_review SET decision = 'SCREENING_DECISION_SCREENED_AGAIN', decided_by = 'another', "
            "decided_at = now()"
        )
        reviewing = asyncio.create_task(refusal(review(desk, found.id)))
        await until_a_lock_is_awaited(desk)
    assert (await reviewing).reason == "SCREENING_NOT_WAITING"
    assert await decision(desk, found.id) == ("SCREENED_AGAIN", "another", "")


async def test_a_later_screening_for_the_protocol_takes_the_place_of_one(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    first = await protocol.screen(patient, HIGH)
    again = await protocol.screen(patient, HIGH)
    await (await protocol_of(desk)).screen(patient, {})
    await protocol.screen(await desk.create(), {})
    assert await waiting(desk) == [again.id]
    assert await decision(desk, first.id) == ("SCREENED_AGAIN", "dr", "")
    await protocol.screen(patient, {})
    assert await waiting(desk) == []


async def test_patients_do_not_answer_away_what_a_clinician_has_to_see(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    own = self_token(desk, patient.id)
    first = await protocol.screen(patient, HIGH, own)
    assert not (await protocol.screen(patient, {}, own)).HasField("review")
    assert await waiting(desk) == [first.id]
    again = await protocol.screen(patient, HIGH, own)
    assert await waiting(desk) == [again.id]
    assert (
        await call_screenings(desk, "GetScreening", own, screening_id=first.id)
    ).screening.review.decided_by == "ana"


async def test_a_clearance_for_the_protocol_ends_the_waiting_at_every_site(desk: Desk) -> None:
    there = to_wire("site", desk.other_site_id)
    protocol, patient = await protocol_of(desk), await desk.create(site_ids=[there])
    found = await protocol.screen(patient, HIGH)
    await (await protocol_of(desk)).clear(patient)
    await protocol.clear(await desk.create())
    assert await waiting(desk) == [found.id]
    fields = {"protocol_id": protocol.id, "override_reason": OVERRIDE, "site_id": there}
    granted = await desk.clear(patient.id, desk.at_other_site("ROLE_CLINICIAN"), **fields)
    assert await waiting(desk) == []
    assert await decision(desk, found.id) == ("CLEARED", granted.granted_by, granted.id)


async def test_who_is_excluded_waits_where_a_clearance_stands_until_the_last_is_revoked(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    await protocol.screen(await desk.create(), PSYCHOTIC)
    first, last = [await protocol.clear(patient) for _ in range(2)]
    other = await (await protocol_of(desk)).clear(patient)
    found = await protocol.screen(patient, PSYCHOTIC)
    assert found.HasField("review")
    for each in (first, other):
        await desk.revoke(each)
        assert await waiting(desk) == [found.id]
    await desk.revoke(last)
    assert await waiting(desk) == []
    assert await decision(desk, found.id) == ("CLEARANCE_REVOKED", "dr", last)


async def test_of_the_last_two_clearances_that_are_revoked_at_once_the_second_ends_the_waiting(desk: Desk) -> None:
    """Each would see the other stand."""
    protocol, patient = await protocol_of(desk), await desk.create()
    first, last = [await protocol.clear(patient) for _ in range(2)]
    found = await protocol.screen(patient, PSYCHOTIC)
    async with being_revoked(desk, first):
        revoking = asyncio.create_task(desk.revoke(last))
        await until_a_lock_is_awaited(desk)
    await revoking
    assert await waiting(desk) == []
    assert await decision(desk, found.id) == ("CLEARANCE_REVOKED", "dr", last)


async def test_who_is_excluded_while_the_last_clearance_is_revoked_at_once_waits_for_nothing(desk: Desk) -> None:
    """It would stand for the one, and nothing would wait for the other."""
    protocol, patient = await protocol_of(desk), await desk.create()
    async with being_revoked(desk, await protocol.clear(patient)):
        screening = asyncio.create_task(protocol.screen(patient, PSYCHOTIC))
        await until_a_lock_is_awaited(desk)
    await screening
    assert await waiting(desk) == []


@asynccontextmanager
async def being_revoked(desk: Desk, clearance_id: str) -> AsyncIterator[None]:
    """Committed once the block is done."""
    revoked, commit = asyncio.Event(), asyncio.Event()

    async def revoke_and_wait(store: PatientsStore) -> None:
        await revoke_clearance(store, from_wire("clearance", clearance_id), "why")
        revoked.set()
        await commit.wait()

    holding = asyncio.create_task(once(desk, revoke_and_wait))
    await revoked.wait()
    try:
        yield
    finally:
        commit.set()
        await holding


async def test_a_clearance_that_is_over_neither_makes_one_wait_nor_ends_that(desk: Desk) -> None:
    protocol, patient, excluded = await protocol_of(desk), await desk.create(), await desk.create()
    granted = await protocol.clear(patient)
    await protocol.clear(excluded)
    desk.service.clock.now = desk.service.now.replace(month=9, day=2, hour=7)
    found = await protocol.screen(patient, HIGH)
    await protocol.screen(excluded, PSYCHOTIC)
    await desk.revoke(granted)
    assert await waiting(desk) == [found.id]


async def test_a_decision_under_another_id_of_the_person_is_one(desk: Desk, merges: Merges) -> None:
    protocol, survivor, merged = await protocol_of(desk), await desk.create(), await desk.create()
    found = await protocol.screen(merged, HIGH)
    await merges.merge(survivor, merged)
    assert await waiting(desk) == [found.id]
    granted = await protocol.clear(survivor)
    assert await decision(desk, found.id) == ("CLEARED", "dr", granted)


async def test_clinicians_nurses_and_auditors_see_what_waits_at_their_sites_and_clinicians_decide(desk: Desk) -> None:
    found = await (await protocol_of(desk)).screen(await desk.create(), HIGH)
    assert await let_in(desk, call_screenings, "ListScreeningsToReview") == {"CLINICIAN", "NURSE", "AUDITOR"}
    assert await let_in(desk, call_screenings, "ReviewScreening") == {"CLINICIAN"}
    elsewhere, other_chain = desk.at_other_site("ROLE_CLINICIAN"), desk.of_other_chain("ROLE_CLINICIAN")
    assert (await refusal(to_review(desk, elsewhere))).reason == "ACCESS_DENIED"
    assert not (await to_review(desk, other_chain)).screenings
    for token in (elsewhere, other_chain):
        assert (await refusal(review(desk, found.id, token))).reason == "SCREENING_NOT_FOUND"
    assert await waiting(desk) == [found.id]


async def test_whoever_broke_the_glass_reads_and_does_not_decide(desk: Desk) -> None:
    found = await (await protocol_of(desk)).screen(await desk.create(), HIGH)
    await break_glass(desk, found.patient_id)
    token = stranger(desk)
    assert (await call_screenings(desk, "GetScreening", token, screening_id=found.id)).screening == found
    assert (await refusal(review(desk, found.id, token))).reason == "SCREENING_NOT_FOUND"
    assert await waiting(desk) == [found.id]


async def test_nothing_waits_of_a_record_that_the_site_may_not_see(desk: Desk) -> None:
    patient, there = await desk.create(), to_wire("site", desk.other_site_id)
    refused = await refusal((await protocol_of(desk)).screen(patient, HIGH, site_id=there))
    assert refused.reason == "PATIENT_NOT_FOUND"
    assert await desk.service.count("screening_review") == 0


async def test_who_saw_what_waits_is_in_the_patients_report(desk: Desk) -> None:
    patient = await desk.create()
    await (await protocol_of(desk)).screen(patient, HIGH)
    await to_review(desk)
    methods = [each.method.rpartition(".")[2] for each in (await accesses(desk, patient.id)).accesses]
    assert methods.count("ListScreeningsToReview") == 1


async def test_nobody_waits_who_is_forgotten_and_the_reasons_of_decisions_are(desk: Desk) -> None:
    protocol, patient = await protocol_of(desk), await desk.create()
    decided = await protocol.screen(patient, HIGH)
    await review(desk, decided.id)
    await protocol.screen(patient, HIGH)
    await Retention(desk).anonymise(patient.id, law="a law")
    assert await waiting(desk) == []
    [left] = await desk.service.admin.fetch("SELECT decision, reason FROM screening_review")
    assert tuple(left) == ("SCREENING_DECISION_NOT_CLEARED", "-")


@several_many
async def test_what_waits_is_found_by_an_index_among_many_screenings(desk: Desk, many: int) -> None:
    """Of which most are decided or another site's."""
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute(DECIDED)
    await desk.service.admin.execute(ELSEWHERE, desk.service.chain_id, desk.other_site_id)
    await desk.service.admin.execute("VACUUM ANALYZE")
    plan = await explained(desk, TO_REVIEW, {"site_id": desk.site_id, "before": LAST_ID, "limit": 51})
    assert plan["Actual Rows"] == 51
    assert "screening_review_open_idx" in json.dumps(plan)
    assert read_through(plan) == set()
    assert most_rows(plan) <= 51


async def test_what_was_not_decided_before_the_migration_waits(postgres_url: str) -> None:
    urls = await provision(
        postgres_url, "patients", database=f"waiting_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "patients", "0019")
    waits = await _screened_before(admin)
    await migrate(urls.owner, "patients", "0020")
    found = await admin.fetch("SELECT screening_id FROM screening_review WHERE decision IS NULL AND reason = ''")
    forced = await admin.fetch("SELECT DISTINCT relforcerowsecurity FROM pg_class WHERE relrowsecurity")
    await admin.close()
    await drop(postgres_url, urls)
    assert {row["screening_id"] for row in found} == waits
    assert [tuple(row) for row in forced] == [(True,)]


async def _screened_before(admin: Any) -> set[UUID]:
    """Those that wait."""
    chain_id, protocol_id = new_id(), new_id()
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys.

    async def patient() -> UUID:
        id = new_id()
        await admin.execute(OLD_PATIENT, chain_id, id)
        return id

    async def screened(id: UUID, outcome: str = "NEEDS_REVIEW", protocol: UUID = protocol_id) -> UUID:
        made = new_id()
        await admin.execute(OLD_SCREENING, chain_id, made, id, protocol, NOW, outcome)
        return made

    async def cleared(id: UUID, until: int = 2099, protocol: UUID = protocol_id, revoked: Any = None) -> None:
        at = NOW.replace(year=until - 1)
        await admin.execute(OLD_CLEARANCE, chain_id, new_id(), id, protocol, at.date().replace(year=until), at, revoked)

    plain, again, other, excluded, merged, later = [await patient() for _ in range(6)]
    survivor, revoked, over, taken = [await patient() for _ in range(4)]
    await admin.execute("UPDATE patient SET survivor_id = $2 WHERE id = $1", merged, survivor)
    waits = {await screened(plain)}
    await screened(again)
    waits.add(await screened(again))
    await screened(other, "EXCLUDED")
    await cleared(excluded)
    waits.add(await screened(excluded, "EXCLUDED"))
    await cleared(over, 2021)
    await screened(over, "EXCLUDED")
    await cleared(revoked, revoked=NOW - timedelta(days=1))
    waits.add(await screened(revoked))
    await cleared(taken, revoked=NOW + timedelta(days=1))
    await screened(taken)
    await screened(later)
    await cleared(later, protocol=new_id())
    waits.add(await screened(later))
    await screened(merged)
    await cleared(survivor)
    return waits
