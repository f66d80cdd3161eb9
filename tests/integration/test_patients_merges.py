"""Records of one person: merged, resolved wherever a patient's id is taken, and taken apart again."""

import asyncio
import itertools
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from grpc import StatusCode

from atoll.patients.v1 import access_service_pb2, audit_service_pb2, export_service_pb2, retention_service_pb2
from atoll.patients.v1 import clearance_service_pb2 as clearance_pb
from atoll.patients.v1 import merge_service_pb2 as pb
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from atoll.patients.v1.access_service_pb2_grpc import AccessServiceStub
from atoll.patients.v1.audit_service_pb2_grpc import AuditServiceStub
from atoll.patients.v1.export_service_pb2_grpc import ExportServiceStub
from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.patient_service_pb2 import ImportPatientsResponse
from chassis.ids import from_wire, new_id, to_wire
from services.patients.domain.patients import Person
from services.patients.store import PatientsStore
from services.patients.use_cases.merges import MergePatients, merge_lock, merge_patients
from services.patients.use_cases.records import ChangePatient, change_patient
from tests.integration.test_patients_races import until_a_lock_is_awaited
from tests.integration.test_patients_speed import round_trips
from tests.support.patients import Desk, desk
from tests.support.patients_merges import Merges, merges
from tests.support.patients_parts import report
from tests.support.patients_record import Records
from tests.support.service import read_refusal, refusal

__all__ = ["desk", "merges"]


async def screenings(desk: Desk, patient_id: str, token: str | None = None) -> list[str]:
    request = screening_pb.ListScreeningsRequest(patient_id=patient_id)
    found = await desk.service.call(desk.screenings.ListScreenings, request, token or desk.clinician())
    return [each.id for each in found.screenings]


async def clearances(desk: Desk, patient_id: str) -> list[str]:
    request = clearance_pb.ListClearancesRequest(patient_id=patient_id)
    found = await desk.service.call(desk.clearances.ListClearances, request, desk.clinician())
    return [each.id for each in found.clearances]


async def test_a_merged_id_answers_the_record_that_stands_for_it(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(prefix="Dr."), await desk.create()
    done = await merges.merge(survivor, merged)
    assert (done.patient_id, done.merged_patient_id, done.merged_by) == (survivor.id, merged.id, "user")
    got = await desk.get(merged.id)
    assert (got.id, got.prefix, list(got.merged_patient_ids)) == (survivor.id, "Dr.", [merged.id])
    assert await desk.get(survivor.id) == got
    assert (await desk.facts())[-1] == "patients.v1.patient.merged"


async def test_what_was_written_under_all_ids_is_shown_and_what_is_new_goes_under_the_survivor(
    desk: Desk, merges: Merges
) -> None:
    survivor, merged = await desk.create(), await desk.create()
    before = [await desk.screen(survivor.id), await desk.screen(merged.id)]
    cleared = [await desk.clear(survivor.id), await desk.clear(merged.id)]
    await merges.merge(survivor, merged)
    new, new_clearance = await desk.screen(merged.id), await desk.clear(merged.id)
    assert (new.patient_id, new_clearance.patient_id) == (survivor.id, survivor.id)
    expected = [each.id for each in (new, *reversed(before))]
    for patient_id in (survivor.id, merged.id):
        assert await screenings(desk, patient_id) == expected
        assert await clearances(desk, patient_id) == [each.id for each in (new_clearance, *reversed(cleared))]
    kept = await desk.service.admin.fetch("SELECT patient_id FROM screening ORDER BY id")
    ids = [from_wire("patient", each.id) for each in (survivor, merged, survivor)]
    assert [row["patient_id"] for row in kept] == ids


async def test_sites_of_both_records_see_and_write_to_the_person_until_they_are_taken_apart(
    desk: Desk, merges: Merges
) -> None:
    survivor, merged = await desk.create(), await merges.elsewhere()
    here = desk.service.token("ROLE_CLINICIAN", sites=[desk.site_id])
    there = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id])
    first = await desk.screen(merged.id, there, site_id=to_wire("site", desk.other_site_id))
    assert (await refusal(desk.get(merged.id, here))).reason == "PATIENT_NOT_FOUND"
    await merges.merge(survivor, merged)
    assert (await desk.get(merged.id, here)).id == (await desk.get(survivor.id, there)).id == survivor.id
    assert await screenings(desk, survivor.id, here) == await screenings(desk, survivor.id, there) == [first.id]
    await merges.unmerge(merged.id)
    assert (await refusal(desk.get(merged.id, here))).reason == "PATIENT_NOT_FOUND"
    assert (await refusal(desk.get(survivor.id, there))).reason == "PATIENT_NOT_FOUND"
    assert await desk.get(merged.id, there) == merged
    assert await desk.get(survivor.id, here) == survivor


async def test_a_site_that_wrote_under_the_survivor_goes_on_to_see_it(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await merges.elsewhere()
    there = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id])
    await merges.merge(survivor, merged)
    wrote = await desk.screen(merged.id, there, site_id=to_wire("site", desk.other_site_id))
    answer = await merges.unmerge(merged.id)
    assert [(each.kind, each.written_id, each.patient_id) for each in answer.written] == [
        (pb.WRITTEN_KIND_SCREENING, wrote.id, survivor.id)
    ]
    assert await screenings(desk, survivor.id, there) == [wrote.id]


async def test_the_merged_record_is_not_changed_and_the_answer_names_who_stands_for_it(
    desk: Desk, merges: Merges
) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await merges.merge(survivor, merged)
    refused = await refusal(desk.update(merged, prefix="Dr."))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_MERGED")
    assert refused.metadata["patient_id"] == survivor.id
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient WHERE prefix = 'Dr.'") == 0
    assert (await desk.update(survivor, prefix="Dr.")).prefix == "Dr."


async def test_a_refused_merge_names_the_field_of_the_record_that_stands_against_it(desk: Desk, merges: Merges) -> None:
    one, two, three, restricted = [await desk.create() for _ in range(4)]
    await merges.merge(one, two)
    await merges.restrict(restricted.id)
    for answer, fault in (
        (merges.merge(two, three), ("patient_id", "PATIENT_MERGED")),
        (merges.merge(three, two), ("merged_patient_id", "PATIENT_MERGED")),
        (merges.merge(restricted, three), ("patient_id", "PATIENT_RESTRICTED")),
        (merges.merge(three, restricted), ("merged_patient_id", "PATIENT_RESTRICTED")),
        (merges.merge(three, one, etag='"9"'), ("etag", "STALE_ETAG")),
        (merges.merge(one, three, merged_etag='"9"'), ("merged_etag", "STALE_ETAG")),
    ):
        assert (await refusal(answer)).faults == [fault]


async def test_a_merge_is_refused_with_its_reason_and_nothing_is_merged(desk: Desk, merges: Merges) -> None:
    one, two, three = await desk.create(), await desk.create(), await desk.create()
    forgotten, restricted = await desk.create(), await desk.create()
    await merges.anonymise(forgotten.id)
    await merges.restrict(restricted.id)
    missing = Patient(id=to_wire("patient", new_id()), etag=one.etag)
    await merges.merge(one, two)
    here = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    away = await merges.elsewhere()
    for answer, code, reason in (
        (merges.merge(one, one), StatusCode.INVALID_ARGUMENT, "MERGE_OF_SAME"),
        (merges.merge(three, two), StatusCode.FAILED_PRECONDITION, "PATIENT_MERGED"),
        (merges.merge(two, three), StatusCode.FAILED_PRECONDITION, "PATIENT_MERGED"),
        (merges.merge(two, one), StatusCode.FAILED_PRECONDITION, "PATIENT_MERGED"),
        (merges.merge(three, restricted), StatusCode.FAILED_PRECONDITION, "PATIENT_RESTRICTED"),
        (merges.merge(restricted, three), StatusCode.FAILED_PRECONDITION, "PATIENT_RESTRICTED"),
        (merges.merge(three, forgotten), StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND"),
        (merges.merge(three, missing), StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND"),
        (merges.merge(missing, three), StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND"),
        (merges.merge(three, away, here), StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND"),
        (merges.merge(one, three, desk.of_other_chain()), StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND"),
        (merges.merge(three, one, etag='"9"'), StatusCode.ABORTED, "STALE_ETAG"),
        (merges.merge(one, three, merged_etag='"9"'), StatusCode.ABORTED, "STALE_ETAG"),
        (merges.merge(one, three, reason=" "), StatusCode.INVALID_ARGUMENT, "BAD_REQUEST"),
        (merges.merge(one, three, reason="a\nb"), StatusCode.INVALID_ARGUMENT, "BAD_REQUEST"),
        (merges.unmerge(one.id), StatusCode.FAILED_PRECONDITION, "PATIENT_NOT_MERGED"),
        (merges.unmerge(three.id), StatusCode.FAILED_PRECONDITION, "PATIENT_NOT_MERGED"),
        (merges.unmerge(two.id, desk.of_other_chain()), StatusCode.FAILED_PRECONDITION, "PATIENT_NOT_MERGED"),
        (merges.written(to_wire("merge", new_id())), StatusCode.NOT_FOUND, "MERGE_NOT_FOUND"),
    ):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (code, reason)
    for role in ("CLINICIAN", "NURSE", "FRONT_DESK", "BILLING", "AUDITOR", "INTEGRATION", "PATIENT"):
        token = desk.service.token(f"ROLE_{role}", patient=one.id)
        for answer in (merges.merge(one, three, token), merges.unmerge(two.id, token)):
            assert (await refusal(answer)).reason == "ACCESS_DENIED"
    assert await desk.service.count("patient_merge") == 1
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient WHERE survivor_id IS NOT NULL") == 1


async def test_the_same_request_merges_once(desk: Desk, merges: Merges) -> None:
    survivor, merged, request_id = await desk.create(), await desk.create(), str(uuid4())
    first = await merges.merge(survivor, merged, request_id=request_id)
    assert await merges.merge(survivor, merged, request_id=request_id) == first
    assert await desk.service.count("patient_merge") == 1
    assert (await desk.facts()).count("patients.v1.patient.merged") == 1


async def test_a_survivor_is_merged_in_its_turn_and_taken_apart_with_what_it_stood_for(
    desk: Desk, merges: Merges
) -> None:
    one, two, three = await desk.create(), await desk.create(), await desk.create()
    await merges.merge(two, one)
    await merges.merge(three, two)
    assert list((await desk.get(one.id)).merged_patient_ids) == [one.id, two.id]
    await merges.unmerge(two.id)
    assert (await desk.get(one.id)).id == two.id
    assert await desk.get(three.id) == three
    await merges.unmerge(one.id)
    assert [await desk.get(each.id) for each in (one, two, three)] == [one, two, three]
    history = [(each.patient_id, each.HasField("unmerge_time")) for each in (await merges.of(two.id)).merges]
    assert history == [(three.id, True), (two.id, True)]


async def test_however_records_are_merged_and_taken_apart_each_is_then_as_it_was(desk: Desk, merges: Merges) -> None:
    for order in itertools.permutations(range(3)):
        people = [await desk.create(), await merges.elsewhere(), await desk.create()]
        await merges.merge(people[1], people[0])
        await merges.merge(people[2], people[1])
        other = await merges.elsewhere()
        await merges.merge(people[2], other)
        for n in order:
            await merges.unmerge((people[0], people[1], other)[n].id)
        assert [await desk.get(each.id) for each in (*people, other)] == [*people, other]
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient_site WHERE shared") == 0


async def test_no_person_has_more_than_20_merged_records(desk: Desk, merges: Merges) -> None:
    survivor = await desk.create()
    for _ in range(20):
        await merges.merge(survivor, await desk.create())
    refused = await refusal(merges.merge(survivor, await desk.create()))
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_MERGED")
    assert await desk.service.count("patient_merge") == 20


async def test_what_was_written_while_a_merge_stood_is_listed_in_pages(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await desk.screen(survivor.id)
    done = await merges.merge(survivor, merged)
    written = [(await desk.screen(merged.id)).id, (await desk.clear(survivor.id)).id]
    await merges.unmerge(merged.id)
    await desk.screen(survivor.id)
    first = await merges.written(done.id, page_size=1)
    second = await merges.written(done.id, page_size=5, page_token=first.next_page_token)
    assert [each.written_id for page in (first, second) for each in page.written] == written
    assert second.next_page_token == ""
    here = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.other_site_id])
    assert (await refusal(merges.written(done.id, here))).reason == "MERGE_NOT_FOUND"
    assert list((await merges.of(survivor.id, here)).merges) == []


async def test_a_person_is_forgotten_as_a_whole(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create(family_name="Cruz")
    await merges.merge(survivor, merged)
    await merges.anonymise(merged.id)
    left = await desk.service.admin.fetch("SELECT family_name, anonymised_at IS NULL AS known FROM patient")
    assert [(row["family_name"], row["known"]) for row in left] == [("", False), ("", False)]
    assert await desk.service.admin.fetchval("SELECT reason FROM patient_merge") == ""
    assert (await desk.facts()).count("patients.v1.patient.anonymised") == 2


async def test_a_clearance_under_a_merged_id_keeps_the_person_from_being_forgotten(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await desk.clear(merged.id)
    await merges.merge(survivor, merged)
    assert (await refusal(merges.anonymise(survivor.id))).reason == "PATIENT_RETAINED"


async def test_an_adverse_event_under_a_merged_id_keeps_the_person_from_being_forgotten(
    desk: Desk, merges: Merges
) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await report(desk, merged.id)
    await merges.merge(survivor, merged)
    assert (await refusal(merges.anonymise(survivor.id))).reason == "PATIENT_RETAINED"


async def test_a_restriction_is_of_the_whole_person(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await merges.merge(survivor, merged)
    await merges.restrict(merged.id)
    for patient_id in (survivor.id, merged.id):
        nurse = desk.service.token("ROLE_NURSE")
        assert (await refusal(desk.get(patient_id, nurse))).reason == "PATIENT_NOT_FOUND"
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient WHERE restricted") == 2


async def test_the_report_of_accesses_and_the_export_cover_all_ids(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    screened = await desk.screen(merged.id)
    await merges.merge(survivor, merged)
    report = await desk.service.call(
        desk.service.stub(AccessServiceStub).ListAccesses,
        access_service_pb2.ListAccessesRequest(patient_id=survivor.id),
    )
    methods = [each.method.rpartition(".")[2] for each in report.accesses]
    assert [method.rpartition("/")[2] for method in methods] == [
        "MergePatients", "RecordScreening", "CreatePatient", "CreatePatient",
    ]  # fmt: skip
    exports: Any = desk.service.stub(ExportServiceStub)
    parts = exports.ExportPatient(
        export_service_pb2.ExportPatientRequest(patient_id=merged.id),
        metadata=[("authorization", f"Bearer {desk.service.token()}")],
    )
    exported = [part.patient_export async for part in parts]
    assert [each.patient.id for each in exported if each.HasField("patient")] == [survivor.id]
    assert [each.id for part in exported for each in part.screenings] == [screened.id]


async def test_the_database_refuses_that_a_merged_record_stands_for_another(desk: Desk, merges: Merges) -> None:
    one, two, three = [from_wire("patient", (await desk.create()).id) for _ in range(3)]
    admin = desk.service.admin
    merge = "UPDATE patient SET survivor_id = $1 WHERE id = $2"
    await admin.execute(merge, one, two)
    for survivor, merged in ((two, one), (two, three), (three, one), (one, one)):
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.execute(merge, survivor, merged)


async def test_getting_a_merged_record_takes_no_more_round_trips(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await desk.get(survivor.id)
    await merges.merge(survivor, merged)
    assert await round_trips(desk, desk.get(merged.id)) == 1


async def test_an_audit_row_names_the_survivor_when_a_merged_id_was_asked_for(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await merges.merge(survivor, merged)
    last = await desk.service.admin.fetchval("SELECT max(position) FROM audit")
    await desk.get(merged.id, desk.service.token("ROLE_NURSE"))
    noted = await desk.service.admin.fetch("SELECT * FROM audit_subject WHERE position > $1", last)
    assert [row["subject_id"] for row in noted] == sorted(from_wire("patient", each.id) for each in (survivor, merged))
    assert len({row["position"] for row in noted}) == 1


async def first_then_second(desk: Desk, first: Any, second: Any) -> Any:
    """`first` has done its work and holds what it locked; `second` comes and waits; then the first commits."""
    worked, commit = asyncio.Event(), asyncio.Event()
    request = pb.MergePatientsRequest(request_id=str(uuid4()))
    call = desk.service.inside("Test", request.request_id)

    async def work(store: PatientsStore) -> pb.MergePatientsResponse:
        await first(store)
        worked.set()
        await commit.wait()
        return pb.MergePatientsResponse()

    holding = asyncio.create_task(desk.service.db.once(call, request, pb.MergePatientsResponse, PatientsStore, work))
    await worked.wait()
    waiting = asyncio.ensure_future(second)
    await until_a_lock_is_awaited(desk)
    commit.set()
    await holding
    return await waiting


def merging(desk: Desk, survivor: Patient, merged: Patient) -> Any:
    command = MergePatients(from_wire("patient", survivor.id), 1, from_wire("patient", merged.id), 1, "the same")

    async def first(store: PatientsStore) -> None:
        await store.lock([merge_lock(desk.service.chain_id), command.survivor_id, command.merged_id])
        await merge_patients(store, command)

    return first


async def test_of_two_merges_that_cross_the_second_is_refused(desk: Desk, merges: Merges) -> None:
    one, two = await desk.create(), await desk.create()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, merging(desk, one, two), merges.merge(two, one))
    assert read_refusal(caught.value).reason == "PATIENT_MERGED"
    assert await desk.service.count("patient_merge") == 1
    assert (await desk.get(two.id)).id == one.id


async def test_a_change_that_waits_for_a_merge_finds_the_record_merged(desk: Desk, merges: Merges) -> None:
    one, two = await desk.create(), await desk.create()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, merging(desk, one, two), desk.update(two, prefix="Dr."))
    assert read_refusal(caught.value).reason == "PATIENT_MERGED"
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient WHERE prefix = 'Dr.'") == 0


async def test_a_change_that_waits_for_a_merge_into_its_record_keeps_the_names_of_both(
    desk: Desk, merges: Merges
) -> None:
    survivor = await desk.create(given_names=["Ana"], family_name="Ruiz")
    merged = await desk.create(given_names=["Anita"], family_name="Solano")
    await first_then_second(desk, merging(desk, survivor, merged), desk.update(survivor, given_names=["Bea"]))
    for name in ("bea ruiz", "anita solano"):
        assert await ids_found(desk, name=name) == [survivor.id], name


async def test_a_merge_that_waits_for_a_change_finds_its_etag_stale(desk: Desk, merges: Merges) -> None:
    one, two = await desk.create(), await desk.create()
    told = Person((), "", None, None, prefix="Dr.")
    change = ChangePatient(from_wire("patient", two.id), 1, told, frozenset({"prefix"}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, lambda store: change_patient(store, change), merges.merge(one, two))
    assert read_refusal(caught.value).reason == "STALE_ETAG"
    assert await desk.service.count("patient_merge") == 0


async def test_forgetting_that_waits_for_a_merge_forgets_the_whole_person(desk: Desk, merges: Merges) -> None:
    one, two = await desk.create(), await desk.create()
    await first_then_second(desk, merging(desk, one, two), merges.anonymise(two.id))
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient WHERE anonymised_at IS NOT NULL") == 2


async def ids_found(desk: Desk, **asked: Any) -> list[str]:
    return [card.patient_id for card in (await desk.search(**asked)).cards]


async def test_a_person_is_found_once_by_the_names_and_numbers_of_all_their_records(desk: Desk, merges: Merges) -> None:
    phone = {"system": "CONTACT_SYSTEM_PHONE", "value": "+15058422111"}
    survivor = await desk.create(given_names=["Ana"], family_name="Ruiz")
    merged = await desk.create(given_names=["Anita"], family_name="Solano", contact_points=[phone])
    await merges.merge(survivor, merged)
    for name in ("ana", "anita", "ruiz", "solano", "ruiz solano", "solanno"):
        assert await ids_found(desk, name=name) == [survivor.id], name
    assert await ids_found(desk, phone="+15058422111") == [survivor.id]
    assert await ids_found(desk, mrn=merged.mrn) == [survivor.id]
    assert await ids_found(desk, phone="+15058422111", name="ruiz") == [survivor.id]


async def test_a_merged_name_is_kept_by_a_change_and_by_a_lifted_restriction(desk: Desk, merges: Merges) -> None:
    survivor = await desk.create(given_names=["Ana"], family_name="Ruiz")
    await merges.merge(survivor, await desk.create(given_names=["Anita"], family_name="Solano"))
    await desk.update(survivor, given_names=["Bea"])
    assert await ids_found(desk, name="bea solano") == [survivor.id]
    assert await ids_found(desk, name="ana") == []
    await merges.restrict(survivor.id)
    assert await ids_found(desk, name="solano") == []
    request = retention_service_pb2.LiftRestrictionRequest(
        request_id=str(uuid4()), patient_id=survivor.id, reason="agreed"
    )
    await desk.service.call(merges.retention.LiftRestriction, request)
    assert await ids_found(desk, name="bea solano") == [survivor.id]


async def test_records_taken_apart_are_found_each_by_their_own_names(desk: Desk, merges: Merges) -> None:
    survivor = await desk.create(given_names=["Ana"], family_name="Ruiz")
    merged = await desk.create(given_names=["Anita"], family_name="Solano")
    third = await desk.create(given_names=["Eva"], family_name="Quintero")
    await merges.merge(merged, third)
    await merges.merge(survivor, merged)
    assert await ids_found(desk, name="quintero") == [survivor.id]
    await merges.unmerge(merged.id)
    assert await ids_found(desk, name="ruiz") == [survivor.id]
    assert await ids_found(desk, name="quintero") == [merged.id]
    assert await ids_found(desk, name="anita") == [merged.id]
    await merges.unmerge(third.id)
    assert await ids_found(desk, name="quintero") == [third.id]
    assert await ids_found(desk, name="ana ruiz") == [survivor.id]


async def test_all_words_of_a_person_are_forgotten_with_them(desk: Desk, merges: Merges) -> None:
    survivor = await desk.create(given_names=["Ana"], family_name="Ruiz")
    await merges.merge(survivor, await desk.create(given_names=["Anita"], family_name="Solano"))
    await merges.anonymise(survivor.id)
    assert await desk.service.count("name_spelling") == 0
    assert await desk.service.count("patient_name") == 0


async def test_an_import_that_knows_a_merged_record_answers_who_stands_for_it(desk: Desk, merges: Merges) -> None:
    survivor, told = await desk.create(), desk.told(identifiers=[{"system": "urn:old", "value": "7"}])
    [first] = await desk.import_rows(told)
    await merges.merge(survivor, await desk.get(first.patient_id))
    [again] = await desk.import_rows(told)
    assert (again.outcome, again.patient_id) == (ImportPatientsResponse.OUTCOME_ALREADY_THERE, survivor.id)
    assert await desk.service.count("patient") == 2
    await merges.unmerge(first.patient_id)
    [apart] = await desk.import_rows(told)
    assert apart.patient_id == first.patient_id


async def test_a_site_that_is_added_to_or_taken_from_a_merged_id_is_of_the_whole_person(
    desk: Desk, merges: Merges
) -> None:
    records, survivor, merged = Records(desk), await desk.create(), await desk.create()
    there = desk.at_other_site("ROLE_SITE_MANAGER")
    await merges.merge(survivor, merged)
    etag = await records.add_site(merged.id, there)
    for patient_id in (survivor.id, merged.id):
        assert (await desk.get(patient_id, there)).etag == etag == '"2"'
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.patient_id) == ("patients.v1.patient.site_added", survivor.id)
    assert (await refusal(records.add_site(merged.id, there))).reason == "PATIENT_SITE_THERE"
    assert await records.remove_site(merged.id, there) == '"3"'
    for patient_id in (survivor.id, merged.id):
        assert (await refusal(desk.get(patient_id, there))).reason == "PATIENT_NOT_FOUND"
    assert await desk.service.count("patient_site") == 2


async def test_a_site_where_the_person_was_seen_under_a_merged_id_stays(desk: Desk, merges: Merges) -> None:
    records, survivor, merged = Records(desk), await desk.create(), await desk.create()
    there = desk.service.token("ROLE_CLINICIAN", sites=[desk.other_site_id])
    await records.add_site(merged.id)
    await desk.screen(merged.id, there, site_id=to_wire("site", desk.other_site_id))
    await merges.merge(survivor, await desk.get(merged.id))
    assert (await refusal(records.remove_site(survivor.id))).reason == "PATIENT_SITE_IN_USE"
    assert await desk.service.count("patient_site") == 4


async def test_the_home_of_a_merged_record_stays_among_the_sites_of_the_person(desk: Desk, merges: Merges) -> None:
    records, survivor, merged = Records(desk), await desk.create(), await merges.elsewhere()
    await merges.merge(survivor, merged)
    for patient_id in (survivor.id, merged.id):
        assert (await refusal(records.remove_site(patient_id))).reason == "PATIENT_SITE_IS_HOME"
    await merges.unmerge(merged.id)
    assert await desk.get(merged.id, desk.at_other_site()) == merged


async def test_a_site_that_is_added_while_a_merge_goes_on_finds_the_record_merged(desk: Desk, merges: Merges) -> None:
    one, two = await desk.create(), await desk.create()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_then_second(desk, merging(desk, one, two), Records(desk).add_site(two.id))
    refused = read_refusal(caught.value)
    assert (refused.reason, refused.metadata["patient_id"]) == ("PATIENT_MERGED", one.id)
    assert await desk.service.count("patient_site") == 2


async def test_an_auditor_finds_what_was_done_under_any_id_of_a_person(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await desk.get(merged.id)
    await merges.merge(survivor, merged)
    stub, token = desk.service.stub(AuditServiceStub), desk.service.token("ROLE_AUDITOR", subject="auditor")
    for patient_id in (survivor.id, merged.id):
        request = audit_service_pb2.SearchAuditRequest(patient_id=patient_id, page_size=10)
        found = (await desk.service.call(stub.SearchAudit, request, token)).entries
        named = [each.method.rpartition(".")[2] for each in found if each.actor != "auditor"]
        assert named == ["MergePatients", "GetPatient", "CreatePatient", "CreatePatient"]
