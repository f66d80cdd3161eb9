"""How long records are kept, restrictions, and forgetting a patient for good."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from grpc import StatusCode
from sqlalchemy import ARRAY, Text
from sqlalchemy.dialects.postgresql import JSONB

from atoll.notifications.v1.events_pb2 import ChannelOptedOut
from atoll.patients.v1 import clearance_service_pb2 as clearance_pb
from atoll.patients.v1.patient_service_pb2 import GetContactDetailsRequest
from atoll.patients.v1.retention_service_pb2 import AnonymisePatientRequest, AnonymisePatientResponse
from atoll.scheduling.v1.events_pb2 import VisitCompleted
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.patients.consumers import keep_visits
from services.patients.domain.patients import Person
from services.patients.store import PatientsStore
from services.patients.store.retention import UNCHANGED
from services.patients.tables import metadata
from services.patients.tables.retention import FORGOTTEN, KEPT, SCRUBBED
from services.patients.use_cases.records import ChangePatient, change_patient
from services.patients.use_cases.retention import Decide, anonymise_patient, decide_restriction
from tests.integration.test_patients_races import until_a_lock_is_awaited
from tests.integration.test_patients_speed import explained, most_rows
from tests.support.patients import Desk, desk
from tests.support.patients_access import Retention, accesses, break_glass, named, review
from tests.support.patients_merges import Merges
from tests.support.patients_parts import CALM, call_adverse_events, diagnose, record_measure, report, several_many
from tests.support.patients_questionnaires import content, number, question
from tests.support.sealed import opened
from tests.support.service import read_refusal, refusal

__all__ = ["desk"]

LAW = "right to erasure, state of somewhere"
MANY = """
    WITH made AS (INSERT INTO patient (chain_id, id, mrn, given_names, family_name, prefix, birth_date, gender,
                  language, time_zone, home_site_id, deceased, version, created_at, updated_at)
                  SELECT $1, gen_random_uuid(), 'M' || n, '{Given}', 'Family', '', '1950-01-01', 'FEMALE', 'en-US',
                  'America/Denver', $2, false, 1, now(), now() - n * interval '1 hour'
                  FROM generate_series(1, $3::integer) AS n RETURNING id),
         seen AS (INSERT INTO patient_site SELECT $1, id, $2 FROM made)
    INSERT INTO screening SELECT $1, gen_random_uuid(), id, id, $2, '', 'dr', now() - interval '20 years' FROM made
"""


@pytest.fixture
def retention(desk: Desk) -> Retention:
    return Retention(desk)


def to_year(desk: Desk, year: int, month: int = 3, day: int = 1, hour: int = 16) -> None:
    desk.service.clock.now = datetime(year, month, day, hour, tzinfo=UTC)


async def contact_details(desk: Desk, patient_id: str) -> Any:
    service = desk.service.token("ROLE_SERVICE", chain="*", subject="notifications")
    request, chain = GetContactDetailsRequest(patient_id=patient_id), to_wire("chain", desk.service.chain_id)
    return await desk.service.call(desk.patients.GetContactDetails, request, service, atoll_chain=chain)


async def clearances(desk: Desk, patient_id: str, role: str) -> int:
    request, token = clearance_pb.ListClearancesRequest(patient_id=patient_id), desk.service.token(role)
    return len((await desk.service.call(desk.clearances.ListClearances, request, token)).clearances)


async def test_a_chain_keeps_records_for_seven_years_unless_it_says_otherwise(desk: Desk, retention: Retention) -> None:
    assert await retention.policy() == (7, 7)
    await retention.set_policy(10, 3)
    assert await retention.policy() == (10, 3)
    await retention.set_policy(6, 0)
    assert await retention.policy(desk.service.token("ROLE_AUDITOR")) == (6, 0)
    assert await retention.policy(desk.of_other_chain()) == (7, 7)
    for years, years_of_age in ((0, 7), (51, 7), (7, -1), (7, 51)):
        assert (await refusal(retention.set_policy(years, years_of_age))).reason == "BAD_REQUEST"
    for role in ("SITE_MANAGER", "CLINICIAN", "AUDITOR", "FRONT_DESK"):
        token = desk.service.token(f"ROLE_{role}")
        assert (await refusal(retention.set_policy(1, 1, token))).reason == "ACCESS_DENIED"
    assert await retention.policy() == (6, 0)


async def test_what_is_kept_is_listed_with_why_and_until_when(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    assert await retention.holds(patient.id) == [("PERIOD", (2034, 3, 1))]
    to_year(desk, 2027, 3, 2)
    await desk.screen(patient.id)
    assert await retention.holds(patient.id) == [("PERIOD", (2034, 3, 2))]
    await desk.clear(patient.id)
    broken = await break_glass(desk, patient.id)
    assert await retention.holds(patient.id) == [
        ("PERIOD", (2034, 3, 2)), ("CLEARANCE", (2027, 9, 2)), ("GLASS_BREAK", (0, 0, 0)),
    ]  # fmt: skip
    await review(desk, broken.id)
    to_year(desk, 2027, 9, 2)
    assert await retention.holds(patient.id) == [("PERIOD", (2034, 3, 2))]
    assert (await retention.of(patient.id)).last_contact_date.day == 2


async def test_whatever_tells_of_a_contact_lengthens_the_period(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    to_year(desk, 2030)
    event = await report(desk, patient.id)
    assert ("PERIOD", (2037, 3, 1)) in await retention.holds(patient.id)
    to_year(desk, 2031)
    resolve = {"adverse_event_id": event.id, "etag": event.etag, "outcome": "OUTCOME_RECOVERED"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **resolve)
    assert await retention.holds(patient.id) == [("PERIOD", (2038, 3, 1))]
    to_year(desk, 2032)
    told = ChannelOptedOut(patient_id=patient.id, channel="SMS", giver="PATIENT", method="REPLY")
    await desk.service.deliver(told)
    assert await retention.holds(patient.id) == [("PERIOD", (2039, 3, 1))]


async def test_an_adverse_event_keeps_the_patient_from_being_forgotten_until_it_is_resolved(
    desk: Desk, retention: Retention
) -> None:
    patient = await desk.create()
    event = await report(desk, patient.id)
    to_year(desk, 2040)
    assert await retention.holds(patient.id) == [("ADVERSE_EVENT", (0, 0, 0))]
    assert list((await retention.due()).due) == []
    refused = await refusal(retention.anonymise(patient.id, law=LAW))
    assert (refused.reason, refused.faults) == ("PATIENT_RETAINED", [("ADVERSE_EVENT", "RETENTION_HOLD")])
    resolve = {"adverse_event_id": event.id, "etag": event.etag, "outcome": "OUTCOME_NOT_RECOVERED"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **resolve)
    assert await retention.holds(patient.id) == [("PERIOD", (2047, 3, 1))]


def completed(patient_id: str, year: int) -> VisitCompleted:
    """As scheduling tells it."""
    ended = datetime(year, 3, 1, 16, tzinfo=UTC)
    return VisitCompleted(
        visit_id=to_wire("visit", new_id()),
        patient_id=patient_id,
        start_time=to_timestamp(ended - timedelta(hours=2)),
        end_time=to_timestamp(ended),
    )


async def test_a_completed_visit_is_a_contact_in_whatever_order_it_is_heard_of(
    desk: Desk, retention: Retention
) -> None:
    patient, other = await desk.create(), await desk.create()
    for year, until in ((2030, 2037), (2029, 2037), (2032, 2039)):
        event = completed(patient.id, year)
        for _ in range(2):
            await desk.service.deliver(event)
        assert await retention.holds(patient.id) == [("PERIOD", (until, 3, 1))]
    to_year(desk, 2036)
    assert [each.patient_id for each in (await retention.due()).due] == [other.id]
    assert (await refusal(retention.anonymise(patient.id))).reason == "PATIENT_RETAINED"


async def test_visits_that_are_heard_of_together_are_kept_together(desk: Desk, retention: Retention) -> None:
    first, second = await desk.create(), await desk.create()
    told = [completed(each, year) for each in (first.id, second.id) for year in (2031, 2030)]

    async def work(store: PatientsStore) -> None:
        await keep_visits(store, told)

    await desk.service.db.job(desk.service.inside("Test"), PatientsStore, work)
    for each in (first, second):
        assert await retention.holds(each.id) == [("PERIOD", (2038, 3, 1))]


async def test_days_are_those_of_the_home_site(desk: Desk, retention: Retention) -> None:
    """At five in UTC it is still the day before in Denver."""
    to_year(desk, 2027, 3, 1, hour=5)
    patient = await desk.create()
    assert await retention.holds(patient.id) == [("PERIOD", (2034, 2, 28))]
    to_year(desk, 2034, 2, 28, hour=5)
    assert await retention.holds(patient.id) == [("PERIOD", (2034, 2, 28))]
    to_year(desk, 2034, 2, 28, hour=8)
    assert await retention.holds(patient.id) == []


async def test_a_minors_record_is_kept_until_years_after_coming_of_age(desk: Desk, retention: Retention) -> None:
    minor = await desk.create(birth_date={"year": 2012, "month": 2, "day": 29})
    await retention.set_policy(2, 5)
    assert await retention.holds(minor.id) == [("PERIOD", (2029, 3, 1)), ("MINORITY", (2035, 3, 1))]
    of_age = await desk.create(birth_date={"year": 2009, "month": 3, "day": 1})
    assert await retention.holds(of_age.id) == [("PERIOD", (2029, 3, 1))]


async def test_a_change_of_a_merged_record_is_a_contact_with_the_person(desk: Desk, retention: Retention) -> None:
    survivor, merged = await desk.create(), await desk.create()
    to_year(desk, 2033)
    merged = await desk.update(merged, prefix="Dr.")
    to_year(desk, 2034)
    await Merges(desk).merge(survivor, merged)
    for patient_id in (survivor.id, merged.id):
        assert await retention.holds(patient_id) == [("PERIOD", (2040, 3, 1))]
        assert (await refusal(retention.anonymise(patient_id))).faults == [("PERIOD", "RETENTION_HOLD")]
    assert list((await retention.due()).due) == []
    to_year(desk, 2040)
    assert [each.patient_id for each in (await retention.due()).due] == [survivor.id]


async def test_a_person_was_a_minor_if_any_of_their_records_says_so(desk: Desk, retention: Retention) -> None:
    survivor, merged = await desk.create(), await desk.create(birth_date={"year": 2012, "month": 5, "day": 17})
    await Merges(desk).merge(survivor, merged)
    assert await retention.holds(survivor.id) == [("PERIOD", (2034, 3, 1)), ("MINORITY", (2037, 5, 17))]


async def test_nobody_is_forgotten_while_something_of_them_is_to_be_kept(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    await desk.clear(patient.id)
    refused = await refusal(retention.anonymise(patient.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_RETAINED")
    assert refused.faults == [("PERIOD", "RETENTION_HOLD"), ("CLEARANCE", "RETENTION_HOLD")]
    by_law = await refusal(retention.anonymise(patient.id, law=LAW))
    assert by_law.faults == [("CLEARANCE", "RETENTION_HOLD")]
    assert (await desk.get(patient.id)).family_name == "Ruiz"
    assert "patients.v1.patient.anonymised" not in await desk.facts()


async def test_a_patient_is_forgotten_once_the_period_is_over(desk: Desk, retention: Retention) -> None:
    patient = await desk.create(
        identifiers=[{"system": "urn:old", "value": "7"}],
        contact_points=[{"system": 2, "value": "ana@example.com"}],
        mrn="ANA-1",
    )
    answers = [{"question_code": "free", "text_value": "my sister Bea"}, {"question_code": "weight", "int_value": 47}]
    protocol_id = to_wire("protocol", new_id())
    asked = await desk.asks(protocol_id, content([question("free", "TEXT", max_length=20), number("weight", 0, 300)]))
    told = {"protocol_id": protocol_id, "questionnaire_version_id": asked.id}
    await desk.screen(patient.id, answers=answers, **told)
    to_year(desk, 2034)
    forgotten = await retention.anonymise(patient.id)
    assert (forgotten.patient_id, forgotten.restricted, list(forgotten.holds)) == (patient.id, True, [])
    assert forgotten.anonymise_time.ToDatetime(tzinfo=UTC) == desk.service.now
    left = await desk.get(patient.id)
    assert (list(left.given_names), left.family_name, left.mrn.startswith("GONE-")) == ([], "", True)
    assert (left.birth_date.year, left.birth_date.month, left.birth_date.day) == (1980, 1, 1)
    assert (list(left.contact_points), list(left.identifiers)) == ([], [])
    assert [await desk.service.count(table) for table in ("patient_name", "contact_point", "patient_identifier")] == [
        0, 0, 0,
    ]  # fmt: skip
    [kept] = await rows_of(desk, "screening")
    assert (kept["answers"], kept["answer_texts"]) == ('[["free",""],["weight",47]]', "")
    history = await rows_of(desk, "patient_change")
    assert [(row["changes"], row["reason"]) for row in history] == [("", "")]
    assert "family_name" in history[0]["fields"]
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.patient_id) == ("patients.v1.patient.anonymised", patient.id)
    assert len((await accesses(desk, patient.id)).accesses) == 4


async def rows_of(desk: Desk, table: str) -> list[dict[str, Any]]:
    """With what they hold sealed, opened."""
    return [opened(table, row) for row in await desk.service.admin.fetch(f"SELECT * FROM {table}")]


async def test_a_law_overrules_the_period(desk: Desk, retention: Retention) -> None:
    patient = await desk.create(birth_date={"year": 2015, "month": 5, "day": 17})
    admin = desk.service.token("ROLE_CHAIN_ADMIN", subject="ada")
    await retention.restrict(patient.id)
    assert (await retention.anonymise(patient.id, admin, law=LAW)).restricted
    decisions = sorted(await rows_of(desk, "restriction"), key=lambda row: row["id"])
    assert [(row["reason"], row["decided_by"]) for row in decisions] == [("", "user"), (LAW, "ada")]
    assert (await desk.get(patient.id)).family_name == ""


async def test_who_is_forgotten_cannot_be_known_again(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    request_id = str(uuid4())
    first = await retention.anonymise(patient.id, law=LAW, request_id=request_id)
    assert first.patient_id == patient.id
    assert (await desk.service.published())[-1][0] == "patients.v1.patient.anonymised"
    again = retention.anonymise(patient.id, law=LAW)
    for answer in (again, retention.restrict(patient.id), retention.lift(patient.id)):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_ANONYMISED")
    seen = await desk.get(patient.id)
    assert (await refusal(desk.update(seen, family_name="Ruiz"))).reason == "PATIENT_NOT_FOUND"
    assert (await desk.get(patient.id)).family_name == ""
    found = await desk.search(birth_date={"year": 1980, "month": 1, "day": 1})
    assert list(found.cards) == []


async def test_answers_that_are_remembered_for_replays_are_emptied_and_those_of_others_are_not(
    desk: Desk, retention: Retention
) -> None:
    mine, theirs = [str(uuid4()) for _ in range(2)]
    patient = await desk.create(request_id=mine)
    other = await desk.create(request_id=theirs, given_names=["Eva"])  # Nobody who is told of the first.
    await desk.update(patient, prefix="Dr.")
    await retention.anonymise(patient.id, law=LAW)
    remembered = await rows_of(desk, "idempotency")
    assert sorted("Ruiz" in str(row["response"]) for row in remembered) == [False, False, False, True]
    assert await desk.create(request_id=theirs, given_names=["Eva"]) == other
    assert (await desk.create(request_id=mine)).id == ""
    assert await desk.service.count("patient") == 2


async def test_forgetting_that_fails_forgets_nothing(
    desk: Desk, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = await desk.create()

    def bug(*_: Any) -> None:
        raise ValueError("after the erasing")

    monkeypatch.setattr("services.patients.events.patient_anonymised", bug)
    with pytest.raises(Exception, match="internal error"):
        await retention.anonymise(patient.id, law=LAW)
    assert (await desk.get(patient.id)).family_name == "Ruiz"
    assert await desk.service.count("patient_name") == 2


async def test_the_database_erases_nothing_of_another_chain(desk: Desk) -> None:
    patient = await desk.create()
    erase = "SELECT anonymise_patient($1, now())"
    call = desk.service.inside("Test")
    settings = "SELECT set_config('app.chain', $1, true), set_config('app.sites', '*', true)"
    async with desk.service.pool.acquire() as conn, conn.transaction():
        await conn.execute(settings, str(new_id()))
        await conn.execute(erase, from_wire("patient", patient.id))
    assert (await desk.get(patient.id)).family_name == "Ruiz"
    async with desk.service.db.transaction(call) as inside:
        await inside.execute(erase, from_wire("patient", patient.id))
    assert (await desk.get(patient.id)).family_name == ""
    relay = await asyncpg.connect(desk.service.urls.relay)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await relay.execute(erase, from_wire("patient", patient.id))
    await relay.close()


async def test_a_restricted_record_is_read_by_few_found_by_nobody_and_nothing_is_sent(
    desk: Desk, retention: Retention
) -> None:
    patient = await desk.create()
    await desk.clear(patient.id)
    decided = await retention.restrict(patient.id)
    assert (decided.restricted, decided.reason, decided.decided_by) == (True, "asked for it", "user")
    for role in ("FRONT_DESK", "NURSE", "SITE_MANAGER"):
        assert (await refusal(desk.get(patient.id, desk.service.token(f"ROLE_{role}")))).reason == "PATIENT_NOT_FOUND"
        assert await clearances(desk, patient.id, f"ROLE_{role}") == 0
    for role in ("CHAIN_ADMIN", "AUDITOR", "CLINICIAN"):
        assert (await desk.get(patient.id, desk.service.token(f"ROLE_{role}"))).id == patient.id
        assert await clearances(desk, patient.id, f"ROLE_{role}") == 1
        assert list((await desk.search(desk.service.token(f"ROLE_{role}"), name="ruiz")).cards) == []
    elsewhere = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id])
    assert (await refusal(desk.get(patient.id, elsewhere))).reason == "PATIENT_NOT_FOUND"
    mine = desk.service.token("ROLE_PATIENT", patient=patient.id)
    assert (await desk.get(patient.id, mine)).family_name == "Ruiz"
    refused = await refusal(contact_details(desk, patient.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_RESTRICTED")
    desk_token = desk.service.token("ROLE_FRONT_DESK")
    assert (await refusal(desk.update(patient, desk_token, prefix="Dr."))).reason == "PATIENT_NOT_FOUND"
    await desk.update(patient, desk.clinician(), prefix="Dr.")
    assert await desk.found("ruiz") == []


async def test_words_that_nobody_is_called_by_any_more_are_forgotten_with_the_last_who_was(
    desk: Desk, retention: Retention
) -> None:
    first, second = await desk.create(), await desk.create(given_names=["Beatriz"])
    await retention.anonymise(first.id, law=LAW)
    assert await words_known(desk) == ["beatriz", "ruiz"]
    assert await desk.service.count("patient_name") == 2
    await retention.restrict(second.id)
    await retention.anonymise(second.id, law=LAW)
    assert await words_known(desk) == []


async def test_words_of_a_name_that_was_changed_are_forgotten_with_the_change(desk: Desk, retention: Retention) -> None:
    """Also of one whom no search finds. What somebody else is called by, or the patient was before, stays."""
    patient, namesake = await desk.create(family_name="Quillfeather"), await desk.create(family_name="Ruizmann")
    patient = await desk.update(patient, family_name="Ruizmann")
    assert await words_known(desk) == ["ruizmann"]
    patient = await desk.update(patient, family_name="Smith", former_names=[{"family_name": "Oldfield"}])
    assert await words_known(desk) == ["oldfield", "ruizmann", "smith"]
    await desk.update(namesake, family_name="Smith")
    await retention.restrict(patient.id)
    await desk.update(patient, desk.clinician(), family_name="Brown")
    assert await words_known(desk) == ["oldfield", "smith"]
    await retention.anonymise(patient.id, law=LAW)
    assert await words_known(desk) == ["smith"]


async def test_nothing_is_added_to_a_record_by_those_who_do_not_see_it_nor_by_anybody_to_one_that_is_forgotten(
    desk: Desk, retention: Retention
) -> None:
    restricted, forgotten = await desk.create(), await desk.create()
    await retention.restrict(restricted.id)
    await retention.anonymise(forgotten.id, law=LAW)
    nurse = desk.service.token("ROLE_NURSE")
    for answer in (
        desk.screen(restricted.id, nurse), desk.screen(forgotten.id, nurse), desk.screen(forgotten.id),
        desk.clear(forgotten.id),
    ):  # fmt: skip
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert [await desk.service.count(table) for table in ("screening", "clearance")] == [0, 0]
    assert (await desk.screen(restricted.id)).patient_id == restricted.id


async def test_the_report_of_a_restricted_record_is_read_by_those_who_may_read_the_record(
    desk: Desk, retention: Retention
) -> None:
    patient = await desk.create()
    await retention.restrict(patient.id)
    refused = await refusal(accesses(desk, patient.id, desk.service.token("ROLE_SITE_MANAGER")))
    assert refused.reason == "PATIENT_NOT_FOUND"
    assert len((await accesses(desk, patient.id, desk.service.token("ROLE_AUDITOR"))).accesses) == 2


async def test_a_restriction_is_lifted_and_the_record_is_as_before(desk: Desk, retention: Retention) -> None:
    patient, request_id = await desk.create(), str(uuid4())
    assert (await refusal(retention.lift(patient.id))).reason == "PATIENT_NOT_RESTRICTED"
    decided = await retention.restrict(patient.id, request_id=request_id)
    assert (await refusal(retention.restrict(patient.id))).reason == "PATIENT_RESTRICTED"
    lifted = await retention.lift(patient.id)
    assert (lifted.restricted, lifted.reason) == (False, "agreed again")
    assert await retention.restrict(patient.id, request_id=request_id) == decided
    assert await desk.found("ruiz") == ["Ana"]
    assert await desk.get(patient.id, desk.service.token("ROLE_FRONT_DESK")) == patient
    assert (await contact_details(desk, patient.id)).contact_details.given_name == "Ana"
    assert await desk.service.count("restriction") == 2


async def test_only_an_admin_of_the_chain_restricts_and_forgets(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    for role in ("SITE_MANAGER", "CLINICIAN", "NURSE", "FRONT_DESK", "AUDITOR", "INTEGRATION", "PATIENT"):
        token = desk.service.token(f"ROLE_{role}", patient=patient.id)
        for answer in (
            retention.restrict(patient.id, token),
            retention.lift(patient.id, token),
            retention.anonymise(patient.id, token, law=LAW),
        ):
            assert (await refusal(answer)).reason == "ACCESS_DENIED"
    for missing, token in (
        (patient.id, desk.of_other_chain()),
        (to_wire("patient", new_id()), desk.service.token()),
    ):
        for answer in (
            retention.restrict(missing, token),
            retention.anonymise(missing, token, law=LAW),
            retention.of(missing, token),
        ):
            refused = await refusal(answer)
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("restriction") == 0
    assert (await desk.get(patient.id)).family_name == "Ruiz"


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 501])
async def test_a_restriction_has_a_reason(desk: Desk, retention: Retention, reason: str) -> None:
    assert (await refusal(retention.restrict((await desk.create()).id, reason=reason))).reason == "BAD_REQUEST"


async def test_those_who_are_due_are_proposed_and_nobody_else(desk: Desk, retention: Retention) -> None:
    due = [await desk.create() for _ in range(3)]
    treated, minor = await desk.create(), await desk.create(birth_date={"year": 2020, "month": 1, "day": 1})
    forgotten = await desk.create()
    await retention.anonymise(forgotten.id, law=LAW)
    assert list((await retention.due()).due) == []
    to_year(desk, 2033)
    days: dict[str, Any] = {
        "effective_date": {"year": 2033, "month": 3, "day": 1},
        "expire_date": {"year": 2034, "month": 3, "day": 1},
    }
    await desk.clear(treated.id, **days)
    to_year(desk, 2034, 3, 2)
    await desk.create()
    first = await retention.due(page_size=2)
    second = await retention.due(page_size=200, page_token=first.next_page_token)
    assert [each.patient_id for page in (first, second) for each in page.due] == [each.id for each in due]
    assert second.next_page_token == ""
    assert [named(hold) for each in second.due for hold in each.holds] == []
    assert list((await retention.due(desk.of_other_chain())).due) == []
    assert minor.id not in [each.patient_id for page in (first, second) for each in page.due]
    assert (await refusal(retention.due(desk.service.token("ROLE_SITE_MANAGER")))).reason == "ACCESS_DENIED"
    assert (await desk.get(due[0].id)).family_name == "Ruiz"


@pytest.mark.timeout(240)
@several_many
async def test_those_who_are_due_are_found_by_index_among_many(desk: Desk, many: int) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute("ANALYZE")
    values = {
        "changed_before": datetime(2100, 1, 1, tzinfo=UTC), "after_at": datetime(1, 1, 1, tzinfo=UTC),
        "after_id": new_id(), "limit": 51,
    }  # fmt: skip
    plan = await explained(desk, UNCHANGED, values)
    assert plan["Actual Rows"] == 51
    assert "patient_updated_idx" in str(plan)
    assert most_rows(plan) <= 120


def test_whatever_is_written_of_a_patient_is_scrubbed_or_known_to_tell_nothing() -> None:
    """A new column of text, in a table that holds patients' rows, is decided on here."""
    scrubbed = {table.name: frozenset(columns) for table, columns in SCRUBBED.items()}
    forgotten = {table.name for table in FORGOTTEN} | {"patient"}
    for table in metadata.sorted_tables:
        if "patient_id" in table.c and table.name not in forgotten:
            texts = {each.name for each in table.c if isinstance(each.type, Text | JSONB | ARRAY)}
            decided = scrubbed.get(table.name, frozenset()) | KEPT.get(table.name, frozenset())
            assert texts == decided, table.name


async def once(desk: Desk, work: Callable[[PatientsStore], Awaitable[Any]]) -> None:
    """Round the door, without locks."""
    request = AnonymisePatientRequest(request_id=str(uuid4()))
    call = desk.service.inside("Test", request.request_id)

    async def answered(store: PatientsStore) -> AnonymisePatientResponse:
        await work(store)
        return AnonymisePatientResponse()

    await desk.service.db.once(call, request, AnonymisePatientResponse, PatientsStore, answered)


async def first_then_second(
    desk: Desk, first: Callable[[PatientsStore], Awaitable[Any]], second: Awaitable[Any]
) -> Any:
    """`first` has done its work and holds what it locked; `second` comes and waits; then the first commits."""
    worked, commit = asyncio.Event(), asyncio.Event()

    async def work_and_wait(store: PatientsStore) -> None:
        await first(store)
        worked.set()
        await commit.wait()

    holding = asyncio.create_task(once(desk, work_and_wait))
    await worked.wait()
    waiting = asyncio.ensure_future(second)
    await until_a_lock_is_awaited(desk)
    commit.set()
    await holding
    return await waiting


async def test_forgetting_waits_for_a_change_and_forgets_what_it_brought(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    told = Person(("Bea",), "Sanchez", None, None)
    change = ChangePatient(from_wire("patient", patient.id), 1, told, frozenset({"given_names", "family_name"}))
    await first_then_second(desk, lambda store: change_patient(store, change), retention.anonymise(patient.id, law=LAW))
    assert ((await desk.get(patient.id)).family_name, await desk.service.count("patient_name")) == ("", 0)
    history = await rows_of(desk, "patient_change")
    assert [row["changes"] for row in history if "Sanchez" in row["changes"] or "Ruiz" in row["changes"]] == []


async def test_a_change_that_waits_for_forgetting_finds_nobody_to_change(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    patient_id = from_wire("patient", patient.id)
    change = desk.update(patient, family_name="Sanchez")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, lambda store: anonymise_patient(store, patient_id, LAW), change)
    assert read_refusal(caught.value).reason == "PATIENT_NOT_FOUND"
    assert (await desk.get(patient.id)).family_name == ""
    assert await desk.service.count("patient_name") == 0


@pytest.mark.parametrize(
    ("write", "table"),
    [(report, "adverse_event"), (partial(record_measure, vital_signs=CALM), "measure"), (diagnose, "diagnosis")],
)
async def test_what_is_written_of_a_patient_waits_for_who_forgets_them_and_is_refused(
    desk: Desk, retention: Retention, write: Callable[..., Awaitable[Any]], table: str
) -> None:
    """Else it would stay: whoever forgets did not see it."""
    patient = await desk.create()
    patient_id = from_wire("patient", patient.id)

    async def first(store: PatientsStore) -> None:
        await store.lock([patient_id])
        await anonymise_patient(store, patient_id, LAW)

    refused = await first_then_second(desk, first, refusal(write(desk, patient.id)))
    assert refused.reason == "PATIENT_NOT_FOUND"
    assert await desk.service.count(table) == 0


async def test_of_two_who_restrict_at_once_the_second_is_refused(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    command = Decide(from_wire("patient", patient.id), True, "asked for it")

    async def first(store: PatientsStore) -> None:
        await store.lock([command.patient_id])
        await decide_restriction(store, command)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, first, retention.restrict(patient.id))
    assert read_refusal(caught.value).reason == "PATIENT_RESTRICTED"
    assert await desk.service.count("restriction") == 1


async def test_of_two_who_forget_at_once_the_second_finds_it_done(desk: Desk, retention: Retention) -> None:
    patient = await desk.create()
    patient_id = from_wire("patient", patient.id)

    async def first(store: PatientsStore) -> None:
        await store.lock([patient_id])
        await anonymise_patient(store, patient_id, LAW)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, first, retention.anonymise(patient.id, law=LAW))
    assert read_refusal(caught.value).reason == "PATIENT_ANONYMISED"
    assert (await desk.facts()).count("patients.v1.patient.anonymised") == 1


async def words_known(desk: Desk) -> list[str]:
    known = await desk.service.admin.fetch("SELECT DISTINCT word FROM name_spelling ORDER BY word")
    return [row["word"] for row in known]
