"""Who sees a person whose records were merged: under every id, whichever of them they have a right to."""

from dataclasses import replace
from typing import Any

import pytest
from grpc import StatusCode

from atoll.patients.v1 import export_service_pb2
from atoll.patients.v1 import screening_service_pb2 as screening_pb
from atoll.patients.v1.export_service_pb2_grpc import ExportServiceStub
from chassis.call import Call
from chassis.ids import from_wire, new_id, to_wire
from tests.integration.test_patients_speed import round_trips
from tests.support.patients import Desk, desk
from tests.support.patients_access import accesses, break_glass, let_it_expire, stranger
from tests.support.patients_merges import Merges, merges
from tests.support.patients_record import Records
from tests.support.service import refusal

__all__ = ["desk", "merges"]


async def screenings(desk: Desk, patient_id: str, token: str) -> list[str]:
    request = screening_pb.ListScreeningsRequest(patient_id=patient_id)
    found = await desk.service.call(desk.screenings.ListScreenings, request, token)
    return [each.id for each in found.screenings]


def of_patient(desk: Desk, patient_id: str) -> str:
    return desk.service.token("ROLE_PATIENT", patient=patient_id, subject="ana")


def inside(desk: Desk, patient_id: str) -> Call:
    """What the door makes of a patient's own call."""
    return replace(desk.service.inside("test"), patient_id=from_wire("patient", patient_id))


async def test_glass_that_was_broken_for_one_id_shows_what_stands_under_the_others(desk: Desk, merges: Merges) -> None:
    survivor, merged, third = [await desk.create() for _ in range(3)]
    written = [(await desk.screen(each.id)).id for each in (survivor, merged, third)]
    await merges.merge(survivor, merged)
    await merges.merge(survivor, third)
    assert await screenings(desk, survivor.id, stranger(desk)) == []
    broken = await break_glass(desk, merged.id)
    assert broken.patient_id == survivor.id
    for patient_id in (survivor.id, merged.id, third.id):
        assert await screenings(desk, patient_id, stranger(desk)) == written[::-1]
        assert (await desk.get(patient_id, stranger(desk))).id == survivor.id
    assert await screenings(desk, survivor.id, stranger(desk, subject="colleague")) == []
    await let_it_expire(desk, broken.id)
    assert await screenings(desk, survivor.id, stranger(desk)) == []
    assert (await refusal(desk.get(merged.id, stranger(desk)))).reason == "PATIENT_NOT_FOUND"


@pytest.mark.parametrize("broken_for", [0, 1, 2])
async def test_glass_that_was_broken_before_a_merge_shows_the_person_until_they_are_taken_apart(
    desk: Desk, merges: Merges, broken_for: int
) -> None:
    people = survivor, merged, third = [await desk.create() for _ in range(3)]
    other = await desk.create()
    written = [(await desk.screen(each.id)).id for each in people]
    await desk.screen(other.id)
    await break_glass(desk, people[broken_for].id)
    await merges.merge(merged, third)
    await merges.merge(survivor, merged)
    for each in people:
        assert (await desk.get(each.id, stranger(desk))).id == survivor.id
        assert await screenings(desk, each.id, stranger(desk)) == written[::-1]
    await merges.unmerge(merged.id)
    await merges.unmerge(third.id)
    for n, each in enumerate(people):
        assert await screenings(desk, each.id, stranger(desk)) == ([written[n]] if n == broken_for else [])
    assert await screenings(desk, other.id, stranger(desk)) == []


async def test_glass_gives_no_right_to_change_what_stands_under_another_id(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    granted = await desk.clear(merged.id)
    await merges.merge(survivor, merged)
    await break_glass(desk, survivor.id)
    assert (await refusal(desk.revoke(granted.id, stranger(desk)))).reason == "CLEARANCE_NOT_FOUND"
    there = to_wire("site", desk.other_site_id)
    refused = await refusal(desk.screen(merged.id, stranger(desk), site_id=there))
    assert refused.reason == "PATIENT_NOT_FOUND"
    assert await desk.service.count("screening") == 0
    assert await desk.service.admin.fetchval("SELECT revoked_by FROM clearance") is None


async def test_a_patient_sees_themselves_whichever_of_their_ids_the_token_names(desk: Desk, merges: Merges) -> None:
    point = {"system": "CONTACT_SYSTEM_EMAIL", "value": "ana@example.org"}
    survivor, merged, third = await desk.create(contact_points=[point]), await merges.elsewhere(), await desk.create()
    other = await desk.create()
    written = [(await desk.screen(survivor.id)).id, (await desk.screen(third.id)).id]
    await desk.screen(other.id)
    await merges.merge(merged, third)
    await merges.merge(survivor, await desk.get(merged.id))
    full = await desk.get(survivor.id)
    assert list(full.merged_patient_ids) == sorted([merged.id, third.id])
    for each in (survivor, merged, third):
        token = of_patient(desk, each.id)
        assert await desk.get(each.id, token) == full
        assert await screenings(desk, each.id, token) == written[::-1]
        assert (await refusal(desk.get(other.id, token))).code == StatusCode.PERMISSION_DENIED
    for each in (survivor, merged, third):
        async with desk.service.db.transaction(inside(desk, each.id)) as conn:
            assert await conn.fetchval("SELECT count(*) FROM screening") == 2
            assert await conn.fetchval("SELECT count(DISTINCT subject_id) FROM audit_subject") == 3
    async with desk.service.db.transaction(inside(desk, other.id)) as conn:
        assert await conn.fetchval("SELECT count(*) FROM screening") == 1


async def test_what_was_asked_in_confidence_under_one_id_is_owed_under_each(desk: Desk, merges: Merges) -> None:
    home, mine = ({"system": "CONTACT_SYSTEM_EMAIL", "value": f"{name}@example.org"} for name in ("home", "mine"))
    escort = {"role": "RELATED_PERSON_ROLE_ESCORT", "name": "Bo", "phone": "+15058422000"}
    survivor = await desk.create(contact_points=[home], related_persons=[escort])
    merged = await desk.create(contact_points=[mine | {"confidential": True}])
    await merges.merge(survivor, merged)
    for each in (survivor, merged):
        details = await Records(desk).contact_details(each.id)
        assert [point.value for point in details.contact_points] == ["mine@example.org"]
        assert list(details.related_persons) == []
    await merges.unmerge(merged.id)
    details = await Records(desk).contact_details(survivor.id)
    assert [point.value for point in details.contact_points] == ["home@example.org"]
    assert [each.name for each in details.related_persons] == ["Bo"]


@pytest.mark.parametrize("dead", [0, 1])
async def test_who_died_by_one_of_their_records_is_dead_under_each_id(desk: Desk, merges: Merges, dead: int) -> None:
    survivor, merged = [await desk.create(deceased=n == dead) for n in range(2)]
    await merges.merge(survivor, merged)
    for each in (survivor, merged):
        assert (await Records(desk).contact_details(each.id)).deceased


async def test_a_patient_is_a_stranger_to_a_record_that_was_taken_apart_from_theirs(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    mine, theirs = (await desk.screen(survivor.id)).id, (await desk.screen(merged.id)).id
    await merges.merge(survivor, merged)
    await merges.unmerge(merged.id)
    assert await screenings(desk, survivor.id, of_patient(desk, survivor.id)) == [mine]
    assert await screenings(desk, merged.id, of_patient(desk, merged.id)) == [theirs]
    assert (await desk.get(merged.id, of_patient(desk, merged.id))).id == merged.id
    request = screening_pb.GetScreeningRequest(screening_id=mine)
    answer = desk.service.call(desk.screenings.GetScreening, request, of_patient(desk, merged.id))
    assert (await refusal(answer)).reason == "SCREENING_NOT_FOUND"


async def test_what_a_patient_answers_under_a_merged_id_is_kept_under_the_survivor(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create()
    await merges.merge(survivor, merged)
    protocol_id = to_wire("protocol", new_id())
    asked = await desk.asks(protocol_id)
    fields = {"protocol_id": protocol_id, "questionnaire_version_id": asked.id}
    recorded = await desk.screen(merged.id, of_patient(desk, merged.id), **fields)
    assert recorded.patient_id == survivor.id
    kept = await desk.service.admin.fetchval("SELECT patient_id FROM screening")
    assert kept == from_wire("patient", survivor.id)


async def test_a_patient_reads_who_looked_at_any_of_their_records_and_takes_all_of_them_away(
    desk: Desk, merges: Merges
) -> None:
    survivor, merged = await desk.create(), await desk.create()
    screened = await desk.screen(merged.id)
    await merges.merge(survivor, merged)
    for each in (survivor, merged):
        token = of_patient(desk, each.id)
        report = await accesses(desk, each.id, token)
        methods = [each.method.rpartition(".")[2].rpartition("/")[2] for each in report.accesses]
        assert methods[-4:] == ["MergePatients", "RecordScreening", "CreatePatient", "CreatePatient"]
        exports: Any = desk.service.stub(ExportServiceStub)
        request = export_service_pb2.ExportPatientRequest(patient_id=each.id)
        parts = exports.ExportPatient(request, metadata=[("authorization", f"Bearer {token}")])
        exported = [part.patient_export async for part in parts]
        assert [part.patient.id for part in exported if part.HasField("patient")] == [survivor.id]
        assert [one.id for part in exported for one in part.screenings] == [screened.id]


async def test_a_patient_who_has_several_ids_costs_no_more_round_trips(desk: Desk, merges: Merges) -> None:
    alone, survivor, merged = [await desk.create() for _ in range(3)]
    await merges.merge(survivor, merged)
    await desk.get(alone.id)
    assert await round_trips(desk, desk.get(alone.id, of_patient(desk, alone.id))) == 1
    assert await round_trips(desk, desk.get(merged.id, of_patient(desk, merged.id))) == 1
