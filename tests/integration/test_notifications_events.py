"""What notifications makes of the events of its neighbours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from atoll.scheduling.v1.events_pb2 import CourseBooked, ProtocolVersionPublished, SiteUpdated
from atoll.scheduling.v1.protocol_pb2 import Instruction, ProtocolTemplate
from chassis.errors import NotYetKnown
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW

REMINDER_DUE = datetime(2027, 3, 6, 16, tzinfo=UTC)  # Saturday, 9:00 in Denver.


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def test_each_visit_of_a_booked_course_gets_a_confirmation_and_a_reminder(office: Office) -> None:
    event = await office.book(FIRST, FIRST + timedelta(days=3))
    rows = await office.rows()
    assert [(row["kind"], row["due_at"], row["status"]) for row in rows] == [
        ("VISIT_CONFIRMATION", NOW, "SCHEDULED"),
        ("VISIT_CONFIRMATION", NOW, "SCHEDULED"),
        ("VISIT_REMINDER", REMINDER_DUE, "SCHEDULED"),
        ("VISIT_REMINDER", REMINDER_DUE + timedelta(days=3), "SCHEDULED"),
    ]
    assert {str(row["event_id"]) for row in rows} == {event.meta.event_id}
    assert {(row["site_id"], row["patient_id"], row["channel"]) for row in rows} == {
        (office.site_id, office.patient_id, "EMAIL")
    }


async def test_events_delivered_three_times_have_their_effect_once(office: Office) -> None:
    booked = office.course_booked()
    cancelled = office.cancelled(booked)
    for event in (booked, booked, booked, cancelled, booked, cancelled, cancelled):
        await office.svc.deliver(event)
    assert await office.ends() == [
        ("CONFIRMATION", "WITHDRAWN", "VISIT_CANCELLED"),
        ("REMINDER", "WITHDRAWN", "VISIT_CANCELLED"),
    ]
    assert await office.outcomes() == ["WITHDRAWN", "WITHDRAWN"]


async def test_a_booking_told_by_another_event_makes_no_second_message(office: Office) -> None:
    booked = await office.book()
    booked.ClearField("meta")
    await office.svc.deliver(booked)
    assert len(await office.rows()) == 2


@pytest.mark.parametrize("what", ["cancelled", "missed"])
async def test_messages_of_a_visit_that_is_off_are_withdrawn_and_say_why(office: Office, what: str) -> None:
    booked = await office.book(FIRST, FIRST + timedelta(days=3))
    await office.svc.deliver(getattr(office, what)(booked, visit=1))
    reason = f"VISIT_{what.upper()}"
    assert [end for end in await office.ends() if end[1] != "SCHEDULED"] == [
        ("CONFIRMATION", "WITHDRAWN", reason),
        ("REMINDER", "WITHDRAWN", reason),
    ]
    events = [event for _, event in await office.svc.published()]
    assert {event.visit_id for event in events} == {booked.visits[1].visit_id}
    assert [event.outcome for event in events] == ["WITHDRAWN", "WITHDRAWN"]


async def test_a_cancellation_that_comes_before_its_booking_is_not_forgotten(office: Office) -> None:
    booked = office.course_booked(FIRST, FIRST + timedelta(days=3))
    await office.svc.deliver(office.cancelled(booked, visit=0))
    await office.svc.deliver(booked)
    off, on = ("WITHDRAWN", "VISIT_CANCELLED"), ("SCHEDULED", None)
    assert sorted(await office.ends(), key=str) == [
        ("CONFIRMATION", *on),
        ("CONFIRMATION", *off),
        ("REMINDER", *on),
        ("REMINDER", *off),
    ]
    [called_off] = {row["visit_id"] for row in await office.rows() if row["status"] == "WITHDRAWN"}
    assert to_wire("visit", called_off) == booked.visits[0].visit_id
    assert await office.outcomes() == ["WITHDRAWN", "WITHDRAWN"]


async def test_a_booking_of_a_patient_not_heard_of_waits_for_the_patient(office: Office) -> None:
    stranger = new_id()
    booked = office.course_booked(patient_id=stranger)
    with pytest.raises(NotYetKnown) as waiting:
        await office.svc.deliver(booked)
    assert waiting.value.waits_for == to_wire("patient", stranger)
    assert await office.rows() == []
    await office.register(stranger)
    await office.svc.deliver(booked)
    assert len(await office.rows()) == 2


async def test_a_booking_at_a_site_not_heard_of_waits_for_the_site(office: Office) -> None:
    elsewhere = new_id()
    with pytest.raises(NotYetKnown) as waiting:
        await office.svc.deliver(office.course_booked(site_id=elsewhere))
    assert waiting.value.waits_for == to_wire("site", elsewhere)


async def test_a_patient_who_moves_is_reminded_at_a_decent_hour_there(office: Office) -> None:
    await office.book()
    await office.svc.deliver(office.patient_updated("Pacific/Honolulu"), version=2)
    [reminder] = await office.rows("VISIT_REMINDER")
    assert reminder["due_at"] == datetime(2027, 3, 6, 5, tzinfo=UTC)  # 9:00 in Denver is 6:00 there: 19:00 before.


async def test_an_older_word_of_a_patient_changes_nothing(office: Office) -> None:
    await office.svc.deliver(office.patient_updated("America/Denver"), version=3)
    await office.svc.deliver(office.patient_updated("Pacific/Honolulu"), version=2)
    await office.book()
    [reminder] = await office.rows("VISIT_REMINDER")
    assert reminder["due_at"] == REMINDER_DUE


async def test_chains_do_not_see_each_other(office: Office) -> None:
    booked = office.course_booked()
    with pytest.raises(NotYetKnown):
        await office.svc.deliver(booked, chain_id=uuid4())
    assert await office.rows() == []


async def test_a_site_is_spoken_of_as_its_newest_version_has_it_in_whatever_order_these_are_heard_of(
    office: Office,
) -> None:
    known = "SELECT discreet_name, phone, version FROM site WHERE chain_id = $1"

    def updated(name: str) -> SiteUpdated:
        registered = office.site_registered(office.site_id)
        fields = {each.name: value for each, value in registered.ListFields()}
        return SiteUpdated(**fields | {"discreet_name": name, "phone": "+15055550111"})

    await office.svc.deliver(updated("Third Name"), version=3)
    await office.svc.deliver(updated("Second Name"), version=2)
    await office.svc.deliver(office.site_registered(office.site_id), version=1)
    row = await office.svc.admin.fetchrow(known, office.svc.chain_id)
    assert row
    assert tuple(row) == ("Third Name", "+15055550111", 3)


def moved_to(booked: CourseBooked, start: datetime) -> CourseBooked:
    """The same visit, at another time."""
    event = CourseBooked()
    event.CopyFrom(booked)
    event.ClearField("meta")
    event.visits[0].start_time.CopyFrom(to_timestamp(start))
    return event


async def said(office: Office) -> dict[tuple[str, datetime], tuple[str, str | None]]:
    """Of each message and the start that it names, what became of it."""
    return {(row["kind"], row["for_start"]): (row["status"], row["reason"]) for row in await office.rows()}


async def test_a_visit_that_moved_is_told_anew_and_nothing_more_of_its_old_time(office: Office) -> None:
    booked, later = office.course_booked(), FIRST + timedelta(days=2)
    await office.svc.deliver(booked, version=1)
    await office.sender().drain()
    await office.svc.deliver(moved_to(booked, later), version=2)
    assert await said(office) == {
        ("VISIT_CONFIRMATION", FIRST): ("SENT", None),
        ("VISIT_REMINDER", FIRST): ("WITHDRAWN", "VISIT_MOVED"),
        ("VISIT_MOVED", later): ("SCHEDULED", None),
        ("VISIT_REMINDER", later): ("SCHEDULED", None),
    }
    due = {row["kind"]: row["due_at"] for row in await office.rows() if row["for_start"] == later}
    assert due == {"VISIT_MOVED": NOW, "VISIT_REMINDER": later - timedelta(hours=48)}


async def test_a_move_that_is_heard_of_before_the_booking_stays(office: Office) -> None:
    booked, later = office.course_booked(), FIRST + timedelta(days=2)
    await office.svc.deliver(moved_to(booked, later), version=2)
    before = await said(office)
    await office.svc.deliver(booked, version=1)
    assert await said(office) == before
    assert {start for _, start in before} == {later}


async def test_a_message_of_a_time_at_which_the_visit_is_not_any_more_is_not_sent(office: Office) -> None:
    """It was taken up when the visit moved."""
    booked, later = office.course_booked(), FIRST + timedelta(days=2)
    await office.svc.deliver(booked, version=1)
    await office.svc.admin.execute("UPDATE visit SET start_at = $1", later)
    await office.sender().drain()
    assert office.mailbox.arrived == []
    assert (await said(office))["VISIT_CONFIRMATION", FIRST] == ("WITHDRAWN", "VISIT_MOVED")


@pytest.mark.parametrize("what", ["cancelled", "missed"])
async def test_what_became_of_a_visit_is_told_once(office: Office, what: str) -> None:
    booked = await office.book()
    ending = getattr(office, what)(booked)
    for _ in range(2):
        await office.svc.deliver(ending)
    again = getattr(office, what)(booked)
    await office.svc.deliver(again)
    kind = f"VISIT_{what.upper()}"
    assert [row["status"] for row in await office.rows(kind)] == ["SCHEDULED"]


async def test_what_patients_have_to_do_is_told_as_their_protocol_has_it(office: Office) -> None:
    version_id, protocol_id = to_wire("protocolversion", new_id()), to_wire("protocol", new_id())
    fasting = Instruction(code="fasting", display_name="No solid food for six hours", hours_before=6)
    ride = Instruction(code="ride_home", display_name="Somebody drives", visit_type_codes=["infusion"])
    other = Instruction(code="talk", display_name="Bring your diary", visit_type_codes=["talk"])
    template = ProtocolTemplate(instructions=[fasting, ride, other])
    published = ProtocolVersionPublished(
        protocol_version_id=version_id, protocol_id=protocol_id, protocol_code="iv", version=1, template=template
    )
    await office.svc.deliver(published)
    booked = office.course_booked()
    booked.protocol_version_id, booked.protocol_id = version_id, protocol_id
    await office.svc.deliver(booked)
    assert {row["kind"] for row in await office.rows()} == {
        "VISIT_CONFIRMATION",
        "VISIT_REMINDER",
        "VISIT_PREPARATION",
        "COMPANION_PICK_UP",
    }
    office.svc.clock.now = FIRST - timedelta(hours=72)
    await office.sender().drain()
    [row] = await office.rows("VISIT_PREPARATION")
    named = to_wire("message", row["id"])
    [preparation] = [str(mail) for mail in office.mailbox.arrived if named in mail["Message-ID"]]
    assert "No solid food for six hours" in preparation
    assert "Somebody drives" in preparation
    assert "diary" not in preparation
