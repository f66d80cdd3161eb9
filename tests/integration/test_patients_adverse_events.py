"""Adverse events through the gRPC door."""

import json
from datetime import timedelta
from typing import Any

import pytest
from grpc import StatusCode

from atoll.patients.v1 import adverse_event_service_pb2 as pb
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.patients.domain.adverse_events import TreatmentAllowed
from services.patients.store.adverse_events import ADVERSE_EVENTS, FIRST_ID, LAST_ID, OPEN_ADVERSE_EVENTS
from services.patients.use_cases import adverse_events
from tests.integration.test_patients_races import second_waits_for_first
from tests.integration.test_patients_speed import ROWS_LOOKED_AT_MAX, explained, most_rows
from tests.support.patients import Desk, desk
from tests.support.patients_parts import add_patients, call_adverse_events, let_in, report, several_many
from tests.support.service import refusal

__all__ = ["desk"]

COURSE = to_wire("course", new_id())


async def test_what_went_wrong_is_kept_and_told_without_its_description(desk: Desk) -> None:
    patient, earlier = await desk.create(), desk.service.now - timedelta(minutes=5)
    reported = await report(
        desk, patient.id, desk.service.token("ROLE_NURSE", subject="nurse"), course_id=COURSE,
        occur_time=to_timestamp(earlier), description="pressure of 190\nafter 20 minutes",
    )  # fmt: skip
    assert (reported.grade, reported.reported_by, reported.etag) == (pb.GRADE_MODERATE, "nurse", '"1"')
    assert (reported.occur_time, reported.report_time) == (to_timestamp(earlier), to_timestamp(desk.service.now))
    answer = await call_adverse_events(desk, "GetAdverseEvent", adverse_event_id=reported.id)
    assert answer.adverse_event == reported
    subject, told = (await desk.service.published())[-1]
    assert (subject, told.adverse_event_id, told.course_id, told.grade, told.meta.aggregate_version) == (
        "patients.v1.adverse_event.reported", reported.id, COURSE, 2, 1
    )  # fmt: skip


async def test_it_is_graded_resolved_and_treatment_allowed_each_told_with_its_version(desk: Desk) -> None:
    patient = await desk.create()
    event = await report(desk, patient.id)
    named = {"adverse_event_id": event.id}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("RegradeAdverseEvent", {"grade": "GRADE_SEVERE"}),
        ("ResolveAdverseEvent", {"outcome": "OUTCOME_RECOVERED"}),
        ("AllowTreatment", {}),
    ]
    for method, fields in steps:
        event = (await call_adverse_events(desk, method, **named, etag=event.etag, **fields)).adverse_event
    assert ([each.grade for each in event.grades], event.outcome, event.allowed_by) == (
        [pb.GRADE_MODERATE, pb.GRADE_SEVERE], pb.OUTCOME_RECOVERED, "dr"
    )  # fmt: skip
    told = [(subject, each.meta.aggregate_version) for subject, each in (await desk.service.published())[-4:]]
    assert told == [
        ("patients.v1.adverse_event.reported", 1),
        ("patients.v1.adverse_event.regraded", 2),
        ("patients.v1.adverse_event.resolved", 3),
        ("patients.v1.adverse_event.treatment_allowed", 4),
    ]
    for method, fields, reason in (
        ("RegradeAdverseEvent", {"grade": "GRADE_MILD"}, "ADVERSE_EVENT_RESOLVED"),
        ("ResolveAdverseEvent", {"outcome": "OUTCOME_UNKNOWN"}, "ADVERSE_EVENT_RESOLVED"),
        ("AllowTreatment", {}, "TREATMENT_ALLOWED"),
    ):
        refused = await refusal(call_adverse_events(desk, method, **named, etag=event.etag, **fields))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, reason)
    assert len(await desk.service.published()) == 5


async def test_a_change_by_a_stale_etag_and_one_after_death_are_refused(desk: Desk) -> None:
    event = await report(desk, (await desk.create()).id)
    named = {"adverse_event_id": event.id}
    refused = await refusal(call_adverse_events(desk, "AllowTreatment", **named, etag='"2"'))
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    fatal: dict[str, Any] = {"outcome": "OUTCOME_FATAL", "treatment_allowed": True}
    refused = await refusal(call_adverse_events(desk, "ResolveAdverseEvent", **named, etag=event.etag, **fatal))
    assert (refused.reason, refused.faults) == ("TREATMENT_AFTER_DEATH", [("treatment_allowed", "FATAL")])
    answer = await call_adverse_events(desk, "GetAdverseEvent", **named)
    assert answer.adverse_event == event


async def test_what_turns_out_worse_pauses_again_until_treatment_is_allowed_anew(desk: Desk) -> None:
    event = await report(desk, (await desk.create()).id, grade="GRADE_MILD")
    named, told = {"adverse_event_id": event.id}, list[bool]()
    for method, fields, allowed in (
        ("AllowTreatment", {}, True),
        ("RegradeAdverseEvent", {"grade": "GRADE_MILD"}, True),
        ("RegradeAdverseEvent", {"grade": "GRADE_LIFE_THREATENING"}, False),
        ("RegradeAdverseEvent", {"grade": "GRADE_SEVERE"}, False),
        ("AllowTreatment", {}, True),
    ):
        event = (await call_adverse_events(desk, method, **named, etag=event.etag, **fields)).adverse_event
        assert (event.HasField("allow_time"), event.allowed_by) == (allowed, "dr" if allowed else "")
        if method == "RegradeAdverseEvent":
            told.append((await desk.service.published())[-1][1].pausing)
    assert told == [False, True, True]


async def test_after_a_grade_that_is_fatal_no_treatment_is_allowed(desk: Desk) -> None:
    event = await report(desk, (await desk.create()).id, grade="GRADE_FATAL")
    named = {"adverse_event_id": event.id}
    refused = await refusal(call_adverse_events(desk, "AllowTreatment", **named, etag=event.etag))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "TREATMENT_AFTER_DEATH")
    recovered: dict[str, Any] = {"outcome": "OUTCOME_RECOVERED", "treatment_allowed": True}
    refused = await refusal(call_adverse_events(desk, "ResolveAdverseEvent", **named, etag=event.etag, **recovered))
    assert (refused.reason, refused.faults) == ("TREATMENT_AFTER_DEATH", [("treatment_allowed", "FATAL")])


async def test_the_open_ones_of_a_site_are_those_that_still_hold_something_up(desk: Desk) -> None:
    patient, site = await desk.create(), to_wire("site", desk.site_id)
    first, second, third, fourth = [await report(desk, patient.id) for _ in range(4)]
    await call_adverse_events(
        desk, "ResolveAdverseEvent", adverse_event_id=first.id, etag=first.etag, outcome="OUTCOME_RECOVERED",
        treatment_allowed=True,
    )  # fmt: skip
    await call_adverse_events(desk, "AllowTreatment", adverse_event_id=second.id, etag=second.etag)
    resolve = {"adverse_event_id": third.id, "etag": third.etag, "outcome": "OUTCOME_RECOVERED"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **resolve)
    fatal = {"adverse_event_id": fourth.id, "etag": fourth.etag, "outcome": "OUTCOME_FATAL"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **fatal)
    fifth = await report(desk, patient.id, grade="GRADE_FATAL")
    dead = {"adverse_event_id": fifth.id, "etag": fifth.etag, "outcome": "OUTCOME_UNKNOWN"}
    await call_adverse_events(desk, "ResolveAdverseEvent", **dead)
    page = await call_adverse_events(desk, "ListOpenAdverseEvents", site_id=site, page_size=1)
    rest = await call_adverse_events(
        desk, "ListOpenAdverseEvents", site_id=site, page_size=1, page_token=page.next_page_token
    )
    assert [each.id for each in (*page.adverse_events, *rest.adverse_events)] == [second.id, third.id]
    assert rest.next_page_token == ""
    every = await call_adverse_events(desk, "ListAdverseEvents", patient_id=patient.id)
    assert [each.id for each in every.adverse_events] == [fifth.id, fourth.id, third.id, second.id, first.id]


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"code": "High pressure"}, "BAD_REQUEST", "code"),
        ({"grade": 0}, "BAD_REQUEST", "grade"),
        ({"grade": 6}, "BAD_REQUEST", "grade"),
        ({"description": "\0"}, "BAD_REQUEST", "description"),
        ({"description": "x" * 4001}, "BAD_REQUEST", "description"),
        ({"occur_time": {"seconds": 4102444800}}, "ADVERSE_EVENT_IN_FUTURE", "occur_time"),
    ],
)
async def test_what_cannot_have_happened_is_refused_by_field(
    desk: Desk, changes: dict[str, Any], reason: str, field: str
) -> None:
    refused = await refusal(report(desk, (await desk.create()).id, **changes))
    assert (refused.code, refused.reason, [each for each, _ in refused.faults]) == (
        StatusCode.INVALID_ARGUMENT, reason, [field]
    )  # fmt: skip
    assert await desk.service.count("adverse_event") == 0


@pytest.mark.parametrize(
    ("method", "roles"),
    [
        ("ReportAdverseEvent", {"FRONT_DESK", "CLINICIAN", "NURSE"}),
        ("RegradeAdverseEvent", {"CLINICIAN", "NURSE"}),
        ("ResolveAdverseEvent", {"CLINICIAN"}),
        ("AllowTreatment", {"CLINICIAN"}),
        ("GetAdverseEvent", {"SITE_MANAGER", "CLINICIAN", "NURSE", "AUDITOR"}),
        ("ListAdverseEvents", {"SITE_MANAGER", "CLINICIAN", "NURSE", "AUDITOR"}),
        ("ListOpenAdverseEvents", {"SITE_MANAGER", "CLINICIAN", "NURSE", "AUDITOR"}),
    ],
)
async def test_each_call_is_open_to_its_roles_only(desk: Desk, method: str, roles: set[str]) -> None:
    assert await let_in(desk, call_adverse_events, method) == roles


async def test_no_site_writes_or_reads_where_it_may_not_see_the_record(desk: Desk) -> None:
    patient = await desk.create()
    event, there = await report(desk, patient.id), desk.at_other_site("ROLE_CLINICIAN")
    refused = await refusal(report(desk, patient.id, there, site_id=to_wire("site", desk.other_site_id)))
    assert refused.reason == "PATIENT_NOT_FOUND"
    for token in (there, desk.of_other_chain("ROLE_CLINICIAN")):
        named = {"adverse_event_id": event.id}
        for method in ("GetAdverseEvent", "AllowTreatment"):
            etag = {} if method == "GetAdverseEvent" else {"etag": event.etag}
            refused = await refusal(call_adverse_events(desk, method, token, **named | etag))
            assert refused.reason == "ADVERSE_EVENT_NOT_FOUND"
        listed = await call_adverse_events(desk, "ListAdverseEvents", token, patient_id=patient.id)
        assert not listed.adverse_events
    assert await desk.service.count("adverse_event") == 1


async def test_of_two_that_allow_treatment_the_second_waits_and_is_late(desk: Desk) -> None:
    id = from_wire("adverseevent", (await report(desk, (await desk.create()).id)).id)
    versions = iter((1, 2))
    await second_waits_for_first(
        desk, lambda store: adverse_events.allow_treatment(store, id, next(versions)), TreatmentAllowed
    )


@several_many
async def test_adverse_events_are_found_by_index_among_many(desk: Desk, many: int) -> None:
    patient_id = from_wire("patient", (await desk.create()).id)
    await add_patients(desk, many)
    await desk.service.admin.execute(
        """
        INSERT INTO adverse_event SELECT $1, gen_random_uuid(), id, $2, NULL, NULL, 'nausea', now(), '',
            '[[1, "2027-03-01T16:00:00+00:00", "dr"]]', 1, CASE WHEN closed THEN 'dr' END,
            CASE WHEN closed THEN now() END, CASE WHEN closed THEN 'RECOVERED' END, 'dr', now()
        FROM patient, LATERAL (SELECT mrn NOT LIKE '%000' AS closed) AS most
        """,
        desk.service.chain_id, desk.site_id,
    )  # fmt: skip
    await desk.service.admin.execute("ANALYZE")
    for statement, values, index in (
        (ADVERSE_EVENTS, {"patient_id": patient_id, "before": LAST_ID, "limit": 51}, "adverse_event_patient_idx"),
        (OPEN_ADVERSE_EVENTS, {"site_id": desk.site_id, "after": FIRST_ID, "limit": 51}, "adverse_event_open_idx"),
    ):
        plan = await explained(desk, statement, values)
        assert index in json.dumps(plan)
        assert most_rows(plan) <= ROWS_LOOKED_AT_MAX, index
