"""Who hears that a document has a new version to sign: each person once, when it has begun, and some at a time."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from atoll.patients.v1.events_pb2 import ConsentOutdated
from chassis.ids import from_wire, to_wire
from chassis.jobs import job_call
from chassis.times import to_date
from services.patients import jobs
from services.patients.store import PatientsStore
from services.patients.use_cases.recalls import tell_outdated
from tests.integration.test_chassis_once import until_a_lock_is_awaited
from tests.support.patients_access import Retention
from tests.support.patients_consents import STATE, ConsentDesk, desk, text
from tests.support.patients_merges import Merges

__all__ = ["desk"]

MAY = date(2027, 5, 1)
BEGUN = datetime(2027, 5, 1, 12, tzinfo=UTC)
"""When the first of May has begun everywhere."""


async def told(desk: ConsentDesk) -> list[ConsentOutdated]:
    """What the job tells until it has nothing more to do, as of all that was ever told."""
    while await jobs.recall_some(desk.service.db, desk.service.clock):
        pass
    return [event for _, event in await desk.service.published() if isinstance(event, ConsentOutdated)]


async def people(desk: ConsentDesk) -> list[str]:
    return [event.patient_id for event in await told(desk)]


async def signed(desk: ConsentDesk, version: Any, **changes: Any) -> str:
    patient_id: str = (await desk.create()).id
    await desk.sign(patient_id, version.id, **changes)
    return patient_id


async def test_whoever_signed_before_hears_once_when_the_new_version_has_begun(desk: ConsentDesk) -> None:
    first = await desk.published()
    patient_id = await signed(desk, first)
    second = await desk.publish_document(first.consent_document_id, from_day=MAY)
    assert await told(desk) == []
    desk.service.clock.now = BEGUN - timedelta(seconds=1)
    assert await told(desk) == []
    desk.service.clock.now = BEGUN
    [event] = await told(desk)
    assert (event.patient_id, event.document_code, event.version_number) == (patient_id, "TREATMENT", 2)
    assert (event.consent_document_version_id, event.consent_document_id) == (second.id, first.consent_document_id)
    assert list(event.site_ids) == [to_wire("site", desk.site_id)]
    desk.service.clock.now += timedelta(days=30)
    assert await told(desk) == [event]


async def test_nobody_hears_of_a_version_that_leaves_earlier_signatures_good(desk: ConsentDesk) -> None:
    first = await desk.published()
    await signed(desk, first)
    await desk.publish_document(first.consent_document_id, from_day=MAY, earlier_signatures_stay_good=True)
    desk.service.clock.now = BEGUN
    assert await told(desk) == []


async def test_whoever_withdrew_signed_anew_or_never_signed_hears_nothing(desk: ConsentDesk) -> None:
    first = await desk.published()
    withdrew, anew, old = [await signed(desk, first) for _ in range(3)]
    await desk.create()
    [consent] = (await desk.list_consents(withdrew)).consents
    await desk.withdraw(consent)
    second = await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    await desk.sign(anew, second.id)
    assert await people(desk) == [old]


async def test_nobody_asks_the_dead(desk: ConsentDesk) -> None:
    first = await desk.published()
    patient_id = await signed(desk, first)
    await desk.update(await desk.get(patient_id), deceased=True)
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    assert await told(desk) == []


async def test_nobody_asks_who_is_forgotten(desk: ConsentDesk) -> None:
    first = await desk.published()
    patient_id = await signed(desk, first)
    await Retention(desk).anonymise(patient_id, law="a law")
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    assert await told(desk) == []


async def test_a_document_that_was_retired_asks_nobody(desk: ConsentDesk) -> None:
    first = await desk.published()
    await signed(desk, first)
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    await desk.retire(first.consent_document_id)
    desk.service.clock.now = BEGUN
    assert await told(desk) == []


async def test_of_two_versions_that_have_begun_only_the_later_is_told(desk: ConsentDesk) -> None:
    first = await desk.published()
    patient_id = await signed(desk, first)
    for _ in range(2):
        await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    [event] = await told(desk)
    assert (event.patient_id, event.version_number) == (patient_id, 3)


async def test_a_small_change_after_it_does_not_silence_a_version(desk: ConsentDesk) -> None:
    first = await desk.published()
    await signed(desk, first)
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    await desk.publish_document(first.consent_document_id, from_day=MAY, earlier_signatures_stay_good=True)
    desk.service.clock.now = BEGUN
    assert [event.version_number for event in await told(desk)] == [3]


async def test_a_states_first_document_is_told_to_who_signed_the_one_of_every_state(desk: ConsentDesk) -> None:
    general = await desk.published()
    patient_id = await signed(desk, general)
    elsewhere = (await desk.create(home_site_id=to_wire("site", desk.other_site_id))).id
    await desk.sign(elsewhere, general.id, **desk.there)
    own = await desk.document(state_code=STATE)
    version = await desk.publish_document(own.id, from_day=MAY)
    desk.service.clock.now = BEGUN
    [event] = await told(desk)
    assert (event.patient_id, event.state_code, event.version_number) == (patient_id, STATE, 1)
    assert event.consent_document_version_id == version.id


async def test_a_merged_person_hears_once(desk: ConsentDesk) -> None:
    first = await desk.published()
    one, other = [await signed(desk, first) for _ in range(2)]
    await Merges(desk).merge(await desk.get(one), await desk.get(other))
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    assert await people(desk) == [one]


async def test_whoever_signed_anew_under_another_of_their_ids_hears_nothing(desk: ConsentDesk) -> None:
    first = await desk.published()
    one, other = [await signed(desk, first) for _ in range(2)]
    second = await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    await desk.sign(one, second.id)
    await Merges(desk).merge(await desk.get(one), await desk.get(other))
    assert await told(desk) == []


async def test_many_are_told_some_at_a_time_and_a_job_that_was_killed_goes_on(
    desk: ConsentDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE_MAX", 2)
    first = await desk.published()
    patients = [await signed(desk, first) for _ in range(5)]
    await desk.publish_document(first.consent_document_id, from_day=MAY, texts=[text()], effective_date=to_date(MAY))
    desk.service.clock.now = BEGUN
    looked = [await jobs.recall_some(desk.service.db, desk.service.clock) for _ in range(2)]
    assert looked == [2, 2]
    assert len([1 for subject, _ in await desk.service.published() if subject.endswith("consent.outdated")]) == 4
    assert sorted(await people(desk)) == sorted(patients)


@pytest.mark.parametrize("spoilt", ["s1.1.", "s1.lost."])
async def test_a_name_that_does_not_open_keeps_nobody_from_hearing(desk: ConsentDesk, spoilt: str) -> None:
    first = await desk.published()
    patients = [await signed(desk, first) for _ in range(2)]
    spoil = "UPDATE consent SET signer_name = $1, witness_name = $1 WHERE patient_id = $2"
    await desk.service.admin.execute(spoil, spoilt + "A" * 60, from_wire("patient", patients[0]))
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    assert await people(desk) == patients


async def test_a_chain_that_cannot_be_told_holds_up_no_other_and_is_in_the_log(desk: ConsentDesk) -> None:
    before, admin = UUID(int=1), desk.service.admin
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys.
    await admin.execute("INSERT INTO recalling_chain VALUES ($1)", before)
    await admin.execute("INSERT INTO consent_recall VALUES ($1, $1, '2027-01-01')", before)
    await admin.execute("RESET session_replication_role")
    first = await desk.published()
    patient_id = await signed(desk, first)
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    with capture_logs() as logged:
        assert await people(desk) == [patient_id]
    failed = {(each["chain_id"], each["error"]) for each in logged if each["event"] == "consents.not_recalled"}
    assert failed == {(to_wire("chain", before), "CONSENT_DOCUMENT_NOT_FOUND")}


async def test_of_two_who_tell_at_once_the_second_goes_on_after_the_first(desk: ConsentDesk) -> None:
    """As while a process that was elected before has not heard yet that it is no more."""
    first = await desk.published()
    patients = [await signed(desk, first) for _ in range(2)]
    await desk.publish_document(first.consent_document_id, from_day=MAY)
    desk.service.clock.now = BEGUN
    has_told, go_on = asyncio.Event(), asyncio.Event()

    async def tell_and_wait(store: PatientsStore) -> None:
        await tell_outdated(store, jobs.AT_ONCE_MAX)
        has_told.set()
        await go_on.wait()

    call = job_call("patients", "recalls", desk.service.chain_id, BEGUN)
    one = asyncio.create_task(desk.service.db.job(call, PatientsStore, tell_and_wait))
    await has_told.wait()
    other = asyncio.create_task(jobs.recall_some(desk.service.db, desk.service.clock))
    await until_a_lock_is_awaited(desk.service)
    go_on.set()
    await asyncio.gather(one, other)
    assert sorted(await people(desk)) == sorted(patients)
