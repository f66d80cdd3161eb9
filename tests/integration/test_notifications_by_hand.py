"""Messages that staff sends: again, or to many at once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.notifications.v1 import announcement_service_pb2 as announcement_pb
from atoll.notifications.v1 import cadence_service_pb2 as cadence_pb
from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import message_service_pb2 as pb
from atoll.notifications.v1.announcement_service_pb2_grpc import AnnouncementServiceStub
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.use_cases import resending
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW, refusal

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def resend(
    office: Office, message_id: str, channel: int = 0, token: str | None = None, request_id: str = ""
) -> message_pb2.Message:
    request = pb.ResendMessageRequest(
        request_id=request_id or str(uuid4()),
        message_id=message_id,
        channel=channel,  # type: ignore[arg-type]  # An enum's number.
    )
    return (await office.svc.call(office.stub.ResendMessage, request, token)).message  # type: ignore[no-any-return]


async def confirmation(office: Office) -> str:
    [row] = await office.rows("VISIT_CONFIRMATION")
    return to_wire("message", row["id"])


async def test_a_message_that_was_sent_is_sent_again(office: Office) -> None:
    await office.book()
    await office.sender().drain()
    message_id, request_id = await confirmation(office), str(uuid4())
    again = await resend(office, message_id, request_id=request_id)
    assert (again.status, again.rule_code.partition(":")[0]) == (message_pb2.MESSAGE_STATUS_SCHEDULED, "resend")
    assert await resend(office, message_id, request_id=request_id) == again
    await office.sender().drain()
    assert [mail["Subject"].partition(":")[0] for mail in office.mailbox.arrived] == ["Booked", "Booked"]
    assert len({mail["Message-ID"] for mail in office.mailbox.arrived}) == 2


async def test_what_failed_is_sent_again_by_all_its_channels_or_by_one(office: Office) -> None:
    await office.book()
    office.mailbox.rcpt_answer = "550 no such mailbox"
    await office.sender().drain()
    await office.sender().drain()
    message_id = await confirmation(office)
    again = await resend(office, message_id)
    assert (again.channel, list(again.next_channels)) == (message_pb2.CHANNEL_EMAIL, [message_pb2.CHANNEL_SMS])
    by_voice = await resend(office, message_id, message_pb2.CHANNEL_VOICE)
    assert (by_voice.channel, list(by_voice.next_channels)) == (message_pb2.CHANNEL_VOICE, [])


async def test_what_is_still_to_go_out_is_not_sent_again(office: Office) -> None:
    await office.book()
    refused = await refusal(resend(office, await confirmation(office)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "MESSAGE_NOT_ENDED")


async def test_what_is_over_is_not_told_again(office: Office) -> None:
    booked = await office.book()
    await office.sender().drain()
    message_id = await confirmation(office)
    office.svc.clock.now = FIRST + HOUR
    assert (await refusal(resend(office, message_id))).reason == "MESSAGE_OUT_OF_DATE"
    office.svc.clock.now = NOW
    await office.svc.deliver(office.cancelled(booked))
    assert (await refusal(resend(office, message_id))).reason == "MESSAGE_OUT_OF_DATE"


async def test_what_nobody_needs_any_more_is_not_made_again(office: Office) -> None:
    """A confirmation, once its visit has begun: it would end as VISIT_STARTED."""
    booked = office.course_booked(FIRST)
    booked.visits[0].end_time.CopyFrom(to_timestamp(FIRST + 2 * HOUR))
    await office.svc.deliver(booked)
    await office.sender().drain()
    message_id = await confirmation(office)
    office.svc.clock.now = FIRST
    assert (await refusal(resend(office, message_id))).reason == "MESSAGE_OUT_OF_DATE"
    assert await confirmation(office) == message_id


async def test_what_is_said_of_a_visit_that_moved_is_sent_again_until_it_begins(office: Office) -> None:
    booked = office.course_booked()
    await office.svc.deliver(booked, version=1)
    await office.sender().drain()
    message_id = await confirmation(office)
    booked.ClearField("meta")
    booked.visits[0].start_time.CopyFrom(to_timestamp(FIRST + 48 * HOUR))
    await office.svc.deliver(booked, version=2)
    office.svc.clock.now = FIRST + HOUR
    await resend(office, message_id)
    office.svc.clock.now = FIRST + 48 * HOUR
    assert (await refusal(resend(office, message_id))).reason == "MESSAGE_OUT_OF_DATE"


async def test_what_follows_a_visit_is_sent_again_after_it_unless_it_was_off(office: Office) -> None:
    rule = cadence_pb.CadenceRule(
        code="next_day",
        kind=message_pb2.MESSAGE_KIND_VISIT_FOLLOW_UP,
        anchor=cadence_pb.CADENCE_ANCHOR_END,
        offset_minutes=24 * 60,
        channels=[message_pb2.CHANNEL_EMAIL],
    )
    asked = cadence_pb.UpdateCadenceRequest(request_id=str(uuid4()), rules=[rule], etag='"0"')
    await office.svc.call(office.svc.stub(CadenceServiceStub).UpdateCadence, asked)
    booked = await office.book()
    await office.svc.deliver(office.completed(booked))
    office.svc.clock.now = FIRST + 26 * HOUR
    await office.sender().drain()
    [row] = await office.rows("VISIT_FOLLOW_UP")
    again = await resend(office, to_wire("message", row["id"]))
    await office.sender().drain()
    assert (len(office.mailbox.arrived), again.visit_id) == (2, booked.visits[0].visit_id)
    await office.svc.admin.execute("UPDATE visit SET status = 'MISSED'")
    assert (await refusal(resend(office, again.id))).reason == "MESSAGE_OUT_OF_DATE"


async def test_only_staff_of_the_site_sends_again(office: Office) -> None:
    await office.book()
    await office.sender().drain()
    message_id = await confirmation(office)
    elsewhere = office.svc.token("ROLE_FRONT_DESK", sites=[new_id()])
    assert (await refusal(resend(office, message_id, token=elsewhere))).reason == "MESSAGE_NOT_FOUND"
    auditor = office.svc.token("ROLE_AUDITOR")
    assert (await refusal(resend(office, message_id, token=auditor))).code == StatusCode.PERMISSION_DENIED
    desk = office.svc.token("ROLE_FRONT_DESK", sites=[office.site_id])
    assert (await resend(office, message_id, token=desk)).id != message_id


async def test_sent_again_at_night_it_waits_for_the_morning(office: Office) -> None:
    await office.book()
    await office.sender().drain()
    office.svc.clock.now = NOW + 14 * HOUR  # 23:00 in Denver.
    again = await resend(office, await confirmation(office))
    assert again.due_time == to_timestamp(NOW + 23 * HOUR)


# Announcements


def snow(office: Office, **changes: Any) -> announcement_pb.Announcement:
    fields: dict[str, Any] = {
        "site_id": to_wire("site", office.site_id),
        "start_time": to_timestamp(FIRST - HOUR),
        "end_time": to_timestamp(FIRST + 10 * HOUR),
        "texts": [
            announcement_pb.AnnouncementText(language="en", text="We are closed on Monday because of the snow."),
            announcement_pb.AnnouncementText(language="es", text="El lunes estamos cerrados por la nieve."),
        ],
        "channels": [message_pb2.CHANNEL_EMAIL],
    }
    return announcement_pb.Announcement(**fields | changes)


async def preview(office: Office, **changes: Any) -> announcement_pb.PreviewAnnouncementResponse:
    stub = office.svc.stub(AnnouncementServiceStub)
    request = announcement_pb.PreviewAnnouncementRequest(announcement=snow(office, **changes))
    return await office.svc.call(stub.PreviewAnnouncement, request)  # type: ignore[no-any-return]


async def announce(
    office: Office, count: int, token: str | None = None, **changes: Any
) -> announcement_pb.CreateAnnouncementResponse:
    stub = office.svc.stub(AnnouncementServiceStub)
    request = announcement_pb.CreateAnnouncementRequest(
        request_id=str(uuid4()), announcement=snow(office, **changes), recipient_count=count
    )
    return await office.svc.call(stub.CreateAnnouncement, request, token)  # type: ignore[no-any-return]


async def second_patient(office: Office) -> Any:
    id = new_id()
    await office.register(id, "luz@example.org", language="es")
    await office.svc.deliver(office.course_booked(FIRST + HOUR, FIRST + 2 * HOUR, patient_id=id))
    return id


async def test_an_announcement_counts_everybody_with_a_visit_then_once_and_what_it_costs_at_most(
    office: Office,
) -> None:
    await office.book(FIRST, FIRST + timedelta(days=1))
    await second_patient(office)
    found = await preview(office)
    assert (found.recipient_count, found.segment_count) == (2, 1)
    assert (found.cost_max.units, found.cost_max.nanos) == (0, 20_000_000)  # 1.66 cents, rounded up.
    assert len(await office.rows("ANNOUNCEMENT")) == 0


async def test_an_announcement_makes_one_message_for_each(office: Office) -> None:
    booked = await office.book()
    luz = await second_patient(office)
    gone = new_id()
    await office.register(gone, "gone@example.org")
    cancelled = office.course_booked(FIRST, patient_id=gone)
    await office.svc.deliver(cancelled)
    await office.svc.deliver(office.cancelled(cancelled))
    made = await announce(office, 2)
    rows = await office.rows("ANNOUNCEMENT")
    assert {row["patient_id"] for row in rows} == {office.patient_id, luz}
    assert {(row["rule"], row["status"], row["visit_id"]) for row in rows} == {(made.rule_code, "SCHEDULED", None)}
    await office.svc.deliver(office.cancelled(booked))  # They hear of the snow all the same.
    assert {row["status"] for row in await office.rows("ANNOUNCEMENT")} == {"SCHEDULED"}


async def test_others_than_were_previewed_are_not_told(office: Office) -> None:
    await office.book()
    refused = await refusal(announce(office, 2))
    assert (refused.reason, refused.metadata["recipient_count"]) == ("RECIPIENTS_CHANGED", "1")
    assert await office.rows("ANNOUNCEMENT") == []


async def test_more_than_may_be_told_at_once_are_not_told_in_part(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "RECIPIENTS_MAX", 1)
    await office.book()
    assert (await preview(office)).recipient_count == 1
    await second_patient(office)
    for asked in (preview(office), announce(office, 1)):
        refused = await refusal(asked)
        assert (refused.reason, refused.faults[0][0]) == ("ANNOUNCEMENT_REFUSED", "announcement.end_time")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"end_time": to_timestamp(FIRST - 2 * HOUR)}, "end_time"),
        ({"start_time": to_timestamp(NOW - 2 * HOUR), "end_time": to_timestamp(NOW - HOUR)}, "end_time"),
        ({"end_time": to_timestamp(FIRST + timedelta(days=15))}, "end_time"),
        ({"texts": [announcement_pb.AnnouncementText(language="es", text="Nieve")]}, "texts"),
        ({"texts": [announcement_pb.AnnouncementText(language="en", text="No ketamine today")]}, "texts[en]"),
    ],
)
async def test_an_announcement_that_cannot_be_made_is_refused_at_its_field(
    office: Office, changes: dict[str, Any], field: str
) -> None:
    for asked in (preview(office, **changes), announce(office, 1, **changes)):
        refused = await refusal(asked)
        assert (refused.reason, [name for name, _ in refused.faults]) == (
            "ANNOUNCEMENT_REFUSED",
            [f"announcement.{field}"],
        )


EUROS = [
    announcement_pb.AnnouncementText(language="en", text="We are closed."),
    announcement_pb.AnnouncementText(language="es", text="€" * 90),
]
ONLY_EUROS = [announcement_pb.AnnouncementText(language="en", text="€" * 90)]


async def test_what_fits_into_no_text_is_refused_where_it_is_to_go_by_sms(office: Office) -> None:
    await office.book()
    by_sms: dict[str, Any] = {"texts": EUROS, "channels": [message_pb2.CHANNEL_EMAIL, message_pb2.CHANNEL_SMS]}
    for asked in (preview(office, **by_sms), announce(office, 1, **by_sms)):
        refused = await refusal(asked)
        assert (refused.reason, [name for name, _ in refused.faults]) == (
            "ANNOUNCEMENT_REFUSED",
            ["announcement.texts[es]"],
        )
    assert await office.rows("ANNOUNCEMENT") == []


async def test_what_fits_into_no_text_goes_by_email(office: Office) -> None:
    await office.book()
    assert [(await preview(office, texts=texts)).segment_count for texts in (EUROS, ONLY_EUROS)] == [1, 0]
    assert (await announce(office, 1, texts=EUROS)).recipient_count == 1


async def test_an_announcement_is_for_who_manages_the_site(office: Office) -> None:
    await office.book()
    desk = office.svc.token("ROLE_FRONT_DESK", sites=[office.site_id])
    assert (await refusal(announce(office, 1, desk))).code == StatusCode.PERMISSION_DENIED
    elsewhere = office.svc.token("ROLE_SITE_MANAGER", sites=[new_id()])
    assert (await refusal(announce(office, 1, elsewhere))).code == StatusCode.PERMISSION_DENIED
    manager = office.svc.token("ROLE_SITE_MANAGER", sites=[office.site_id])
    assert (await announce(office, 1, manager)).recipient_count == 1
