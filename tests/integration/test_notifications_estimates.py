"""Who is reminded of an estimate before the day by which it is to be with them, and who no more."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atoll.billing.v1 import events_pb2 as bills
from atoll.notifications.v1 import cadence_service_pb2 as pb
from atoll.notifications.v1 import message_pb2
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.settings import MESSAGE_KEYS
from tests.integration.test_notifications_bills import USD, of, told
from tests.integration.test_notifications_cadence import change, policy, rule
from tests.support.notifications import Office, open_office
from tests.support.texting import write_message_keys

LAST = to_timestamp(datetime(2027, 3, 6, 7, tzinfo=UTC))  # What ends 5 March in Denver.
REMINDED = datetime(2027, 3, 4, 17, tzinfo=UTC)  # A day before 10:00 of it.
COURSE = to_wire("course", new_id())
CLOSED = ("WITHDRAWN", "MATTER_CLOSED")
OPEN = ("SCHEDULED", None)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def recall(office: Office) -> None:
    """The chain reminds of estimates a day before they are due, and tells of each that is issued."""
    due = {"kind": message_pb2.MESSAGE_KIND_ESTIMATE_DUE, "anchor": pb.CADENCE_ANCHOR_DUE, "offset_minutes": -1440}
    ready = {"kind": message_pb2.MESSAGE_KIND_ESTIMATE_READY, "anchor": pb.CADENCE_ANCHOR_TOLD, "offset_minutes": 0}
    await change(office, rule("due", **due), rule("ready", **ready))


def issued(office: Office, *, due: bool = True, **changes: Any) -> bills.EstimateIssued:
    fields = {"estimate_id": to_wire("estimate", new_id()), "course_id": COURSE, "total": USD}
    return bills.EstimateIssued(**of(office, **fields | changes), due_time=LAST if due else None)


def of_estimate(event: bills.EstimateIssued) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("estimate_id", "patient_id", "site_id", "course_id")}


def started(event: bills.EstimateIssued) -> bills.EstimateClockStarted:
    return bills.EstimateClockStarted(**of_estimate(event), due_time=LAST)


async def deliver(office: Office, first: str, *events: tuple[Any, int]) -> None:
    """Each with the version that it tells of, in this order or the other way round."""
    for event, version in events if first == "older" else reversed(events):
        await office.svc.deliver(event, version=version)


async def outcomes(office: Office) -> list[tuple[str, str, str | None]]:
    return sorted((row["kind"], row["status"], row["reason"]) for row in await office.rows())


async def test_as_shipped_nobody_is_reminded_of_an_estimate(office: Office) -> None:
    await office.svc.deliver(issued(office))
    assert await told(office) == {"ESTIMATE_READY": OPEN}


@pytest.mark.parametrize("of_a_course", [True, False])
async def test_an_estimate_is_recalled_before_the_day_that_the_law_sets(office: Office, *, of_a_course: bool) -> None:
    await recall(office)
    event = issued(office) if of_a_course else issued(office, course_id="")
    await office.svc.deliver(event)
    [row] = await office.rows("ESTIMATE_DUE")
    assert (row["due_at"], row["anchor"], row["status"]) == (REMINDED, "DUE", "SCHEDULED")


async def test_what_the_law_sets_no_day_for_is_not_recalled(office: Office) -> None:
    await recall(office)
    await office.svc.deliver(issued(office, due=False))
    assert await told(office) == {"ESTIMATE_READY": OPEN}


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_what_was_held_is_recalled_once_it_is_booked_and_its_amount_is_kept(office: Office, first: str) -> None:
    await recall(office)
    event = issued(office, due=False)
    await deliver(office, first, (event, 1), (started(event), 1))
    assert await told(office) == {"ESTIMATE_READY": OPEN, "ESTIMATE_DUE": OPEN}
    [row] = await office.rows("ESTIMATE_DUE")
    assert row["due_at"] == REMINDED
    assert await office.svc.admin.fetchval("SELECT amount_minor FROM matter") == 59_000


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_what_was_acknowledged_is_not_recalled(office: Office, first: str) -> None:
    await recall(office)
    event = issued(office)
    await deliver(office, first, (event, 1), (bills.EstimateAcknowledged(**of_estimate(event)), 0))
    assert await told(office) == ({"ESTIMATE_READY": CLOSED, "ESTIMATE_DUE": CLOSED} if first == "older" else {})


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_of_two_versions_only_the_later_is_told_and_recalled(office: Office, first: str) -> None:
    await recall(office)
    earlier, later = issued(office), issued(office)
    await deliver(office, first, (earlier, 1), (started(earlier), 1), (later, 2))
    kept = [("ESTIMATE_DUE", *OPEN), ("ESTIMATE_READY", *OPEN)]
    gone = [("ESTIMATE_DUE", *CLOSED), ("ESTIMATE_READY", *CLOSED)]
    assert await outcomes(office) == sorted([*kept, *(gone if first == "older" else [])])
    assert await office.svc.admin.fetchval("SELECT array_agg(about) FROM matter WHERE closed_at IS NULL") == [
        later.estimate_id
    ]


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_what_nothing_is_left_of_is_not_recalled(office: Office, first: str) -> None:
    await recall(office)
    event = issued(office, due=False)
    off = bills.EstimateWithdrawn(**of_estimate(event))
    await deliver(office, first, (event, 1), (started(event), 1), (off, 1))
    assert await told(office) == ({"ESTIMATE_READY": CLOSED, "ESTIMATE_DUE": CLOSED} if first == "older" else {})


@pytest.mark.parametrize("first", ["older", "newer"])
async def test_with_a_later_version_that_was_never_told_the_earlier_one_is_off(office: Office, first: str) -> None:
    await recall(office)
    event = issued(office)
    off = bills.EstimateWithdrawn(**of_estimate(event) | {"estimate_id": to_wire("estimate", new_id())})
    await deliver(office, first, (event, 1), (off, 2))
    assert await told(office) == ({"ESTIMATE_READY": CLOSED, "ESTIMATE_DUE": CLOSED} if first == "older" else {})


async def test_estimates_of_two_courses_and_of_requests_replace_none(office: Office) -> None:
    await recall(office)
    for version, course_id in enumerate((COURSE, to_wire("course", new_id()), "", ""), 1):
        await office.svc.deliver(issued(office, course_id=course_id), version=version)
    assert [row["status"] for row in await office.rows("ESTIMATE_DUE")] == ["SCHEDULED"] * 4


async def test_the_reminder_leads_to_where_the_estimate_is_acknowledged(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_message_keys(tmp_path / "keys.json")
    monkeypatch.setenv(MESSAGE_KEYS, str(tmp_path / "keys.json"))
    await recall(office)
    await policy(office, link_base_url="https://visits.example.org/")
    await office.svc.deliver(issued(office))
    await office.svc.admin.execute("DELETE FROM message WHERE kind = 'ESTIMATE_READY'")
    office.svc.clock.now = REMINDED + timedelta(minutes=1)
    await office.sender().drain()
    assert await told(office) == {"ESTIMATE_DUE": ("SENT", None)}
    [mail] = office.mailbox.arrived
    body = mail.get_body(("plain",))
    assert body
    assert "https://visits.example.org/acknowledge/" in body.get_content()
    assert mail["Subject"].startswith("Please read your estimate")
