"""Sites that may see a record, through the gRPC door: added, removed, refused."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import from_wire, new_id, to_wire
from services.patients.domain.patient_sites import PatientSiteNotFound, PatientSiteThere
from services.patients.use_cases import patient_sites
from services.patients.use_cases.patient_sites import ChangePatientSite
from tests.integration.test_patients_races import second_waits_for_first
from tests.support.patients import Desk, desk
from tests.support.patients_record import Records, fields_of
from tests.support.service import refusal

__all__ = ["desk"]

ADDED, REMOVED = "patients.v1.patient.site_added", "patients.v1.patient.site_removed"
REGISTERED = "patients.v1.patient.registered"


async def test_a_site_that_found_a_patient_by_the_search_opens_the_record_for_itself(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    [card] = (await desk.search(desk.at_other_site(), name="ruiz")).cards
    assert (await refusal(desk.get(card.patient_id, desk.at_other_site()))).reason == "PATIENT_NOT_FOUND"
    token = desk.service.token("ROLE_FRONT_DESK", sites=[desk.other_site_id], subject="ann")
    etag = await records.add_site(card.patient_id, token, reason=" moved to Phoenix ")
    opened = await desk.get(created.id, token)
    other = to_wire("site", desk.other_site_id)
    assert (opened.etag, list(opened.site_ids)) == (etag, [other])
    assert set((await desk.get(created.id)).site_ids) == {to_wire("site", desk.site_id), other}
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.patient_id, event.site_id) == (ADDED, created.id, other)
    assert (event.meta.aggregate_version, event.meta.site_id) == (2, other)
    latest = (await records.page(created.id)).changes[0]
    assert (fields_of(latest), latest.reason) == ({"site_ids": (None, [other])}, "moved to Phoenix")
    assert (latest.changed_by, latest.method) == ("ann", "atoll.patients.v1.PatientSiteService.AddPatientSite")


@pytest.mark.parametrize(
    "role", ["ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_NURSE", "ROLE_SITE_MANAGER", "ROLE_CHAIN_ADMIN"]
)
async def test_staff_who_see_patients_add_their_own_site(desk: Desk, role: str) -> None:
    created, token = await desk.create(), desk.at_other_site(role)
    await Records(desk).add_site(created.id, token)
    assert (await desk.get(created.id, token)).id == created.id


async def test_nobody_adds_a_site_that_is_not_theirs(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    here = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    for token in (here, desk.service.token("ROLE_BILLING"), desk.service.token("ROLE_INTEGRATION")):
        refused = await refusal(records.add_site(created.id, token))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    patient = desk.service.token("ROLE_PATIENT", patient=created.id)
    assert (await refusal(records.add_site(created.id, patient))).reason == "ACCESS_DENIED"
    assert [await desk.service.count(table) for table in ("patient_site", "patient_change")] == [1, 1]


async def test_a_site_is_added_to_a_patient_of_the_chain_only(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    for patient_id, token in ((to_wire("patient", new_id()), None), (created.id, desk.of_other_chain())):
        refused = await refusal(records.add_site(patient_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
        refused = await refusal(records.remove_site(patient_id, token))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    assert await desk.service.count("patient_site") == 1


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "a\x00", "x" * 501])
async def test_a_site_says_why_in_one_line(desk: Desk, reason: str) -> None:
    records, created = Records(desk), await desk.create()
    for refused in (
        await refusal(records.add_site(created.id, reason=reason)),
        await refusal(records.remove_site(created.id, reason=reason)),
    ):
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
        assert [field for field, _ in refused.faults] == ["reason"]


async def test_a_site_not_heard_of_is_to_be_asked_for_again(desk: Desk) -> None:
    records, created, unknown = Records(desk), await desk.create(), to_wire("site", new_id())
    for change in (records.add_site, records.remove_site):
        refused = await refusal(change(created.id, site_id=unknown))
        assert (refused.code, refused.reason, refused.retry) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN", True)
        assert refused.metadata == {"waits_for": unknown}


async def test_a_site_is_added_once(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    request_id = str(uuid4())
    etags = [await records.add_site(created.id, request_id=request_id) for _ in range(2)]
    assert etags[0] == etags[1]
    for site_id in (desk.other_site_id, desk.site_id):
        refused = await refusal(records.add_site(created.id, site_id=to_wire("site", site_id)))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_SITE_THERE")
    assert await desk.facts() == [REGISTERED, ADDED]
    assert await desk.service.count("patient_change") == 2


async def test_adding_a_site_makes_an_update_read_the_record_again(desk: Desk) -> None:
    created = await desk.create()
    await Records(desk).add_site(created.id)
    assert (await refusal(desk.update(created, prefix="Dr."))).reason == "STALE_ETAG"
    assert (await desk.update(await desk.get(created.id), prefix="Dr.")).etag == '"3"'


async def test_a_site_no_longer_sees_a_record_that_it_was_removed_from(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    manager = desk.at_other_site("ROLE_SITE_MANAGER")
    await records.add_site(created.id, manager)
    etag = await records.remove_site(created.id, manager, reason="by mistake")
    for refused in (
        await refusal(desk.get(created.id, manager)),
        await refusal(records.page(created.id, manager)),
        await refusal(desk.screen(created.id, site_id=to_wire("site", desk.other_site_id))),
    ):
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_NOT_FOUND")
    got, other = await desk.get(created.id), to_wire("site", desk.other_site_id)
    assert (got.etag, list(got.site_ids)) == (etag, [to_wire("site", desk.site_id)])
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.patient_id, event.site_id) == (REMOVED, created.id, other)
    assert event.meta.aggregate_version == 3
    latest = (await records.page(created.id)).changes[0]
    assert (fields_of(latest), latest.reason) == ({"site_ids": ([other], None)}, "by mistake")
    await records.add_site(created.id, manager)
    assert (await desk.get(created.id, manager)).id == created.id


async def test_a_removal_is_done_once(desk: Desk) -> None:
    records, created = Records(desk), await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    request_id = str(uuid4())
    etags = [await records.remove_site(created.id, request_id=request_id) for _ in range(2)]
    assert etags == ['"2"', '"2"']
    refused = await refusal(records.remove_site(created.id))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PATIENT_SITE_NOT_FOUND")
    assert await desk.facts() == [REGISTERED, ADDED, REMOVED]


async def test_the_home_site_stays(desk: Desk) -> None:
    records, home = Records(desk), to_wire("site", desk.site_id)
    created = await desk.create()
    refused = await refusal(records.remove_site(created.id, site_id=home))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_SITE_IS_HOME")
    await desk.update(created, home_site_id=to_wire("site", desk.other_site_id))
    await records.remove_site(created.id, site_id=home)
    assert list((await desk.get(created.id)).site_ids) == [to_wire("site", desk.other_site_id)]


async def test_a_site_that_wrote_in_the_record_keeps_it(desk: Desk) -> None:
    records, other = Records(desk), to_wire("site", desk.other_site_id)
    created = await desk.create(site_ids=[other])
    await desk.screen(created.id, site_id=other)
    refused = await refusal(records.remove_site(created.id))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PATIENT_SITE_IN_USE")
    assert (await desk.get(created.id, desk.at_other_site())).etag == created.etag
    assert await desk.service.count("patient_change") == 1


async def test_an_update_by_a_site_does_not_keep_it(desk: Desk) -> None:
    records, created = Records(desk), await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    await desk.update(created, desk.at_other_site(), prefix="Ms.")
    assert await records.remove_site(created.id) == '"3"'


async def test_only_a_manager_of_the_site_or_the_chains_admin_removes_it(desk: Desk) -> None:
    records, created = Records(desk), await desk.create(site_ids=[to_wire("site", desk.other_site_id)])
    here = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    others = [desk.at_other_site(role) for role in ("ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_NURSE", "ROLE_AUDITOR")]
    for token in (here, *others):
        refused = await refusal(records.remove_site(created.id, token))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await desk.service.count("patient_site") == 2
    assert await records.remove_site(created.id, desk.at_other_site("ROLE_SITE_MANAGER")) == '"2"'


async def test_who_registers_a_patient_at_several_sites_tells_of_each(desk: Desk) -> None:
    other = to_wire("site", desk.other_site_id)
    created = await desk.create(site_ids=[other, to_wire("site", desk.site_id)])
    [_, (subject, event)] = await desk.service.published()
    assert (subject, event.patient_id, event.site_id, event.meta.aggregate_version) == (ADDED, created.id, other, 1)
    await desk.import_rows(desk.told(site_ids=[other], identifiers=[{"system": "urn:old", "value": "1"}]))
    assert await desk.facts() == [REGISTERED, ADDED] * 2


async def test_of_many_who_add_the_same_site_at_once_one_does(desk: Desk) -> None:
    records, created = Records(desk), await desk.create()
    answers = await asyncio.gather(*(records.add_site(created.id) for _ in range(6)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, str)] == ['"2"']
    assert await desk.facts() == [REGISTERED, ADDED]


@pytest.mark.parametrize(
    ("there", "change", "error"),
    [
        (False, patient_sites.add_patient_site, PatientSiteThere),
        (True, patient_sites.remove_patient_site, PatientSiteNotFound),
    ],
)
async def test_who_waits_for_another_who_does_the_same_is_refused(
    desk: Desk, there: bool, change: Any, error: type[Exception]
) -> None:
    """The lock is on the record: that the other's site came or went, the waiting one's snapshot does not show."""
    created = await desk.create(site_ids=[to_wire("site", desk.other_site_id)] if there else [])
    command = ChangePatientSite(from_wire("patient", created.id), desk.other_site_id, "a visit")
    await second_waits_for_first(desk, lambda store: change(store, command), error)
    assert [await desk.service.count(table) for table in ("patient_change", "patient_site")] == [2, 2 - there]


async def test_a_part_written_while_its_site_is_removed_keeps_the_site_or_is_refused(desk: Desk) -> None:
    records, other = Records(desk), to_wire("site", desk.other_site_id)
    for _ in range(5):
        created = await desk.create(site_ids=[other])
        await asyncio.gather(
            desk.screen(created.id, site_id=other), records.remove_site(created.id), return_exceptions=True
        )
        patient_id = from_wire("patient", created.id)
        counts = "SELECT (SELECT count(*) FROM {} WHERE patient_id = $1 AND site_id = $2)"
        kept, written = [
            await desk.service.admin.fetchval(counts.format(table), patient_id, desk.other_site_id)
            for table in ("patient_site", "screening")
        ]
        assert kept == written


async def test_the_database_lets_staff_write_changes_at_their_own_sites_only(desk: Desk) -> None:
    created = await desk.create()
    insert = (
        "INSERT INTO patient_change SELECT chain_id, patient_id, 9, $1, actor, method, cause, changed_at, '', '' "
        "FROM patient_change WHERE patient_id = $2"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with desk.service.db.transaction(desk.service.inside("Test", sites=frozenset({desk.site_id}))) as conn:
            await conn.execute(insert, desk.other_site_id, from_wire("patient", created.id))


async def test_a_new_site_of_the_chain_can_be_added_as_soon_as_it_is_heard_of(desk: Desk) -> None:
    records, created, new = Records(desk), await desk.create(), new_id()
    await desk.service.deliver(SiteRegistered(site_id=to_wire("site", new), time_zone="America/Chicago"))
    token = desk.service.token("ROLE_NURSE", sites=[new])
    await records.add_site(created.id, token, site_id=to_wire("site", new))
    assert (await desk.get(created.id, token)).id == created.id
