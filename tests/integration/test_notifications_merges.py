"""Patients who were merged: their messages go to the survivor, and are listed together."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from atoll.notifications.v1.message_service_pb2 import ListMessagesRequest
from atoll.patients.v1.events_pb2 import PatientMerged, PatientRegistered, PatientUnmerged
from chassis.errors import NotYetKnown
from chassis.ids import new_id, to_wire
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW

EARLY = datetime(2027, 3, 8, 14, 30, tzinfo=UTC)  # 7:30 in Denver, 9:30 in New York.
EVENING_BEFORE = datetime(2027, 3, 6, 2, tzinfo=UTC)  # Friday, 19:00 in Denver, where Saturday, 7:30, is too early.
IN_NEW_YORK = datetime(2027, 3, 6, 14, 30, tzinfo=UTC)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    """Its patient is to be the survivor."""
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def merge(office: Office, alias: UUID, survivor: UUID | None = None, version: int = 1) -> None:
    ids = to_wire("patient", survivor or office.patient_id), to_wire("patient", alias)
    await office.svc.deliver(PatientMerged(patient_id=ids[0], merged_patient_id=ids[1]), version=version)


async def unmerge(office: Office, alias: UUID, survivor: UUID | None = None, version: int = 2) -> None:
    ids = to_wire("patient", survivor or office.patient_id), to_wire("patient", alias)
    await office.svc.deliver(PatientUnmerged(patient_id=ids[0], merged_patient_id=ids[1]), version=version)


async def another(office: Office, email: str = "old@example.org", zone: str = "America/Denver") -> UUID:
    patient_id = new_id()
    await office.register(patient_id, email, zone=zone)
    return patient_id


async def booked(office: Office, patient_id: UUID, *starts: datetime) -> None:
    await office.svc.deliver(office.course_booked(*starts, patient_id=patient_id))


async def recipients(office: Office) -> list[str]:
    """Of what is due now."""
    await office.sender().drain()
    arrived = [str(mail["To"]) for mail in office.mailbox.arrived]
    office.mailbox.arrived.clear()
    return sorted(arrived)


async def listed(office: Office, patient_id: UUID) -> list[str]:
    request = ListMessagesRequest(patient_id=to_wire("patient", patient_id))
    answer = await office.svc.call(office.stub.ListMessages, request)
    return [message.id for message in answer.messages]


async def reminders(office: Office) -> list[datetime]:
    return [row["due_at"] for row in await office.rows() if row["kind"] == "VISIT_REMINDER"]


async def test_what_was_written_for_an_alias_goes_to_the_survivor_and_stays_the_aliass_row(office: Office) -> None:
    alias = await another(office)
    await booked(office, alias)
    await merge(office, alias)
    assert await recipients(office) == ["ana@example.org"]
    assert {row["patient_id"] for row in await office.rows()} == {alias}
    assert [event.patient_id for _, event in await office.svc.published()] == [to_wire("patient", alias)]


async def test_after_an_unmerge_the_patient_is_written_to_again(office: Office) -> None:
    alias = await another(office)
    await booked(office, alias)
    await merge(office, alias)
    await unmerge(office, alias)
    assert await recipients(office) == ["old@example.org"]


async def test_new_messages_are_the_survivors_whichever_id_was_booked(office: Office) -> None:
    alias = await another(office)
    await merge(office, alias)
    await booked(office, alias)
    assert {row["patient_id"] for row in await office.rows()} == {office.patient_id}


async def test_a_list_by_any_id_of_a_patient_is_the_same(office: Office) -> None:
    alias, stranger = await another(office), await another(office)
    for patient_id in (alias, office.patient_id, stranger):
        await booked(office, patient_id)
    apart = await listed(office, alias), await listed(office, office.patient_id)
    strangers = await listed(office, stranger)
    assert [len(each) for each in (*apart, strangers)] == [2, 2, 2]
    await merge(office, alias)
    for patient_id in (alias, office.patient_id):
        assert sorted(await listed(office, patient_id)) == sorted(apart[0] + apart[1])
    assert await listed(office, stranger) == strangers
    await unmerge(office, alias)
    assert (await listed(office, alias), await listed(office, office.patient_id)) == apart


async def test_reminders_move_with_the_zone_of_who_they_go_to(office: Office) -> None:
    alias = await another(office, zone="America/New_York")
    await booked(office, alias, EARLY)
    assert await reminders(office) == [IN_NEW_YORK]
    await merge(office, alias)
    assert await reminders(office) == [EVENING_BEFORE]
    await unmerge(office, alias)
    assert await reminders(office) == [IN_NEW_YORK]


async def test_reminders_of_every_id_move_when_the_survivors_zone_changes(office: Office) -> None:
    alias = await another(office)
    await booked(office, alias, EARLY)
    await merge(office, alias)
    await office.svc.deliver(office.patient_updated("America/New_York"), version=2)
    assert await reminders(office) == [IN_NEW_YORK]
    late = PatientRegistered(patient_id=to_wire("patient", alias), time_zone="America/Denver", language="en")
    await office.svc.deliver(late, version=3)  # Of the alias, whose zone no longer matters.
    assert await reminders(office) == [IN_NEW_YORK]


async def test_a_survivor_that_is_merged_itself_passes_its_messages_on(office: Office) -> None:
    one, two = await another(office), await another(office, "two@example.org")
    for patient_id in (one, two, office.patient_id):
        await booked(office, patient_id)
    await merge(office, two)
    await merge(office, one, two)
    assert len(await listed(office, one)) == 6
    assert await recipients(office) == ["ana@example.org"] * 3


async def test_a_merge_heard_of_before_its_survivor_holds_up_new_messages_and_no_others(office: Office) -> None:
    alias, survivor = await another(office), new_id()
    await booked(office, alias)
    await merge(office, alias, survivor)
    late = office.course_booked(FIRST, patient_id=alias)
    with pytest.raises(NotYetKnown) as waiting:
        await office.svc.deliver(late)
    assert waiting.value.waits_for == to_wire("patient", survivor)
    assert len(await office.rows()) == 2
    patients = office.patients.details
    patients[to_wire("patient", survivor)] = patients[to_wire("patient", office.patient_id)]
    assert await recipients(office) == ["ana@example.org"]  # Patients knows the survivor already.
    await office.register(survivor, "new@example.org")
    await office.svc.deliver(late)
    assert await recipients(office) == ["new@example.org"]


async def test_until_the_survivors_zone_is_known_the_patients_own_counts(office: Office) -> None:
    alias, survivor = await another(office), new_id()
    await booked(office, alias, EARLY)
    await merge(office, alias, survivor)
    assert await reminders(office) == [EVENING_BEFORE]
    patients = office.patients.details
    patients[to_wire("patient", survivor)] = patients[to_wire("patient", office.patient_id)]
    office.svc.clock.now = EVENING_BEFORE + timedelta(minutes=30)  # 19:30 in Denver; the small hours in UTC.
    assert await recipients(office) == ["ana@example.org"] * 2


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_was_said_last_holds_in_whatever_order_and_however_often_it_comes(
    office: Office, order: tuple[int, ...]
) -> None:
    alias, last = await another(office), await another(office, "last@example.org")
    await booked(office, alias)
    story = [(merge, office.patient_id), (unmerge, office.patient_id), (merge, last)]
    for n in (*order, order[0]):
        tell, survivor = story[n]
        await tell(office, alias, survivor, n + 1)
    assert await recipients(office) == ["last@example.org"]


async def test_an_older_merge_moves_no_reminder(office: Office) -> None:
    alias = await another(office, zone="America/New_York")
    await booked(office, alias, EARLY)
    await unmerge(office, alias)
    await merge(office, alias)
    assert (await reminders(office), office.svc.now) == ([IN_NEW_YORK], NOW)
