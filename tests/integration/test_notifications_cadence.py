"""What a chain says of its messages: rules, hours and caps, pauses; and what follows from them."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.type.timeofday_pb2 import TimeOfDay
from grpc import StatusCode

from atoll.notifications.v1 import cadence_service_pb2 as pb
from atoll.notifications.v1 import message_pb2, pause_service_pb2
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.notifications.v1.pause_service_pb2_grpc import PauseServiceStub
from chassis.errors import NotYetKnown
from chassis.ids import new_id, to_wire
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW, refusal

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


def rule(code: str = "reminder_2h", **changes: Any) -> pb.CadenceRule:
    fields: dict[str, Any] = {
        "kind": message_pb2.MESSAGE_KIND_VISIT_REMINDER,
        "anchor": pb.CADENCE_ANCHOR_START,
        "offset_minutes": -120,
        "channels": [message_pb2.CHANNEL_EMAIL],
    }
    return pb.CadenceRule(code=code, **fields | changes)


async def cadence(office: Office, *, shipped: bool = False) -> pb.Cadence:
    stub = office.svc.stub(CadenceServiceStub)
    return (await office.svc.call(stub.GetCadence, pb.GetCadenceRequest(shipped=shipped))).cadence  # type: ignore[no-any-return]


async def change(office: Office, *rules: pb.CadenceRule, etag: str = "", token: str | None = None) -> pb.Cadence:
    request = pb.UpdateCadenceRequest(request_id=str(uuid4()), rules=rules, etag=etag or (await cadence(office)).etag)
    stub = office.svc.stub(CadenceServiceStub)
    return (await office.svc.call(stub.UpdateCadence, request, token)).cadence  # type: ignore[no-any-return]


async def policy(office: Office, **changes: Any) -> pb.SendingPolicy:
    stub = office.svc.stub(CadenceServiceStub)
    found = (await office.svc.call(stub.GetSendingPolicy, pb.GetSendingPolicyRequest())).sending_policy
    for name, value in changes.items():
        getattr(found, name).CopyFrom(value) if name.endswith("_time") else setattr(found, name, value)
    if not changes:
        return found  # type: ignore[no-any-return]
    request = pb.UpdateSendingPolicyRequest(request_id=str(uuid4()), sending_policy=found)
    return (await office.svc.call(stub.UpdateSendingPolicy, request)).sending_policy  # type: ignore[no-any-return]


async def planned(office: Office) -> list[tuple[str, Any]]:
    return [(row["rule"], row["due_at"]) for row in await office.rows()]


# Rules


async def test_a_chain_without_rules_of_its_own_has_those_that_are_shipped(office: Office) -> None:
    found = await cadence(office)
    assert (found.version, found.etag) == (0, '"0"')
    assert found == await cadence(office, shipped=True)
    codes = {each.code: each.offset_minutes for each in found.rules}
    assert (codes["visit_confirmation"], codes["visit_reminder"]) == (0, -48 * 60)


async def test_rules_of_a_chains_own_are_what_its_messages_follow_from(office: Office) -> None:
    changed = await change(office, rule(), rule("reminder_7d", offset_minutes=-7 * 24 * 60))
    assert (changed.version, [each.code for each in changed.rules]) == (1, ["reminder_2h", "reminder_7d"])
    assert await cadence(office) == changed
    assert (await cadence(office, shipped=True)).version == 0
    start = FIRST + timedelta(days=7, hours=3)  # Noon in Denver.
    await office.book(start)
    assert await planned(office) == [("reminder_7d", start - timedelta(days=7)), ("reminder_2h", start - 2 * HOUR)]
    assert {row["cadence_version"] for row in await office.rows()} == {1}


async def test_a_rule_may_be_of_some_visit_types_protocols_and_sites_only(office: Office) -> None:
    elsewhere = to_wire("site", new_id())
    await change(
        office,
        rule("of_infusions", visit_type_codes=["infusion"]),
        rule("of_talks", visit_type_codes=["talk"]),
        rule("here", site_ids=[to_wire("site", office.site_id)]),
        rule("there", site_ids=[elsewhere]),
        rule("of_another_protocol", protocol_ids=[to_wire("protocol", new_id())]),
    )
    await office.book()
    assert {code for code, _ in await planned(office)} == {"of_infusions", "here"}


async def test_what_would_come_too_late_is_sent_at_once_or_left_out_as_its_rule_says(office: Office) -> None:
    week = -7 * 24 * 60 - 60
    await change(
        office,
        rule("at_once", offset_minutes=week),
        rule("left_out", offset_minutes=week, late=pb.LATE_MESSAGE_SKIP),
    )
    await office.book()
    ends = {row["rule"]: (row["status"], row["reason"]) for row in await office.rows()}
    assert ends == {"at_once": ("SCHEDULED", None), "left_out": ("SUPPRESSED", "TOO_LATE")}
    assert await office.outcomes() == ["SUPPRESSED"]


async def test_who_has_confirmed_is_not_asked_to_confirm(office: Office) -> None:
    await change(office, rule("ask", unless_confirmed=True), rule("tell"))
    booked = await office.book()
    await office.svc.deliver(office.confirmed(booked))
    office.svc.clock.now = FIRST - 2 * HOUR
    await office.sender().drain()
    ends = {row["rule"]: (row["status"], row["reason"]) for row in await office.rows()}
    assert ends == {"ask": ("SUPPRESSED", "VISIT_CONFIRMED"), "tell": ("SENT", None)}


async def test_a_confirmation_that_is_heard_of_before_its_booking_waits_for_it(office: Office) -> None:
    """As the booking does for a patient who was registered just before."""
    await change(office, rule("ask", unless_confirmed=True))
    booked = office.course_booked()
    confirmed = office.confirmed(booked)
    with pytest.raises(NotYetKnown) as waiting:
        await office.svc.deliver(confirmed)
    assert waiting.value.waits_for == booked.visits[0].visit_id
    await office.svc.deliver(booked)
    await office.svc.deliver(confirmed)
    office.svc.clock.now = FIRST - 2 * HOUR
    await office.sender().drain()
    assert [row["reason"] for row in await office.rows()] == ["VISIT_CONFIRMED"]


REFUSED = [
    ([rule(), rule()], "rules[1].code"),
    ([rule(anchor=pb.CADENCE_ANCHOR_DUE)], "rules[0].anchor"),
    ([rule(kind=message_pb2.MESSAGE_KIND_HELP)], "rules[0].anchor"),
    (
        [rule(kind=message_pb2.MESSAGE_KIND_VISIT_CONFIRMATION, anchor=pb.CADENCE_ANCHOR_BOOKED, offset_minutes=-1)],
        "rules[0].offset_minutes",
    ),
    (
        [
            rule(
                kind=message_pb2.MESSAGE_KIND_BALANCE_DUE,
                anchor=pb.CADENCE_ANCHOR_DUE,
                channels=[message_pb2.CHANNEL_VOICE],
            )
        ],
        "rules[0].channels",
    ),
    (
        [rule(kind=message_pb2.MESSAGE_KIND_COMPANION_PICK_UP, channels=[message_pb2.CHANNEL_IN_APP])],
        "rules[0].channels",
    ),
    (
        [
            rule(
                kind=message_pb2.MESSAGE_KIND_INVOICE_ISSUED,
                anchor=pb.CADENCE_ANCHOR_TOLD,
                offset_minutes=0,
                visit_type_codes=["infusion"],
            )
        ],
        "rules[0].kind",
    ),
]


@pytest.mark.parametrize(("rules", "field"), REFUSED)
async def test_a_rule_that_cannot_be_kept_is_refused_at_its_field(
    office: Office, rules: Sequence[pb.CadenceRule], field: str
) -> None:
    refused = await refusal(change(office, *rules))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CADENCE_REFUSED")
    assert [field for field, _ in refused.faults] == [field]
    assert (await cadence(office)).version == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "Reminder"},
        {"offset_minutes": 86_401},
        {"channels": []},
        {"channels": [message_pb2.CHANNEL_EMAIL, message_pb2.CHANNEL_EMAIL]},
        {"kind": 0},
        {"anchor": 0},
        {"site_ids": ["site"]},
    ],
)
async def test_a_rule_is_checked_field_by_field(office: Office, changes: dict[str, Any]) -> None:
    told = rule()
    for name, value in changes.items():
        told.ClearField(name)  # type: ignore[arg-type]
        getattr(told, name).extend(value) if isinstance(value, list) else setattr(told, name, value)
    assert (await refusal(change(office, told))).reason == "BAD_REQUEST"


async def test_rules_that_changed_meanwhile_are_read_again_first(office: Office) -> None:
    first = await cadence(office)
    await change(office, rule())
    refused = await refusal(change(office, rule("another"), etag=first.etag))
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")


async def test_only_who_runs_the_chain_changes_its_rules(office: Office) -> None:
    manager = office.svc.token("ROLE_SITE_MANAGER")
    assert (await refusal(change(office, rule(), token=manager))).code == StatusCode.PERMISSION_DENIED


# Hours and caps


async def test_quiet_hours_are_the_chains(office: Office) -> None:
    assert (await policy(office)).texts_a_day == 2
    changed = await policy(office, begin_time=TimeOfDay(hours=10), end_time=TimeOfDay(hours=18), texts_a_week=5)
    assert (changed.etag, changed.texts_a_week) == ('"1"', 5)
    assert await policy(office) == changed
    await office.book()  # 9:00 in Denver: one waits for 10:00, the other comes at 17:00 of the day before.
    due = [row["due_at"] for row in await office.rows()]
    assert due == [NOW + HOUR, FIRST - timedelta(hours=64)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"begin_time": TimeOfDay(hours=7, minutes=59)}, "begin_time"),
        ({"end_time": TimeOfDay(hours=21, minutes=1)}, "begin_time"),
        ({"begin_time": TimeOfDay(hours=12), "end_time": TimeOfDay(hours=12)}, "begin_time"),
        ({"texts_a_day": 8}, "texts_a_week"),
        ({"link_base_url": "http://visits.example.org/"}, "link_base_url"),
        ({"link_base_url": "https://visits.example.org"}, "link_base_url"),
        ({"link_base_url": "https://ketamine.example.org/"}, "link_base_url"),
    ],
)
async def test_hours_and_caps_have_bounds(office: Office, changes: dict[str, Any], field: str) -> None:
    refused = await refusal(policy(office, **changes))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("POLICY_REFUSED", [field])


# Pauses


async def pause(office: Office, token: str | None = None, **of: Any) -> pause_service_pb2.Pause:
    request = pause_service_pb2.CreatePauseRequest(request_id=str(uuid4()), reason="Provider trouble", **of)
    stub = office.svc.stub(PauseServiceStub)
    return (await office.svc.call(stub.CreatePause, request, token)).pause  # type: ignore[no-any-return]


async def end_pause(office: Office, pause_id: str, token: str | None = None) -> pause_service_pb2.Pause:
    request = pause_service_pb2.EndPauseRequest(request_id=str(uuid4()), pause_id=pause_id)
    stub = office.svc.stub(PauseServiceStub)
    return (await office.svc.call(stub.EndPause, request, token)).pause  # type: ignore[no-any-return]


async def pauses(office: Office, **of: Any) -> list[pause_service_pb2.Pause]:
    stub = office.svc.stub(PauseServiceStub)
    return list((await office.svc.call(stub.ListPauses, pause_service_pb2.ListPausesRequest(**of))).pauses)


async def test_what_is_paused_waits_and_goes_out_when_the_pause_ends(office: Office) -> None:
    site = to_wire("site", office.site_id)
    for of in (
        {"site_id": site},
        {"channel": message_pb2.CHANNEL_EMAIL},
        {"kind": message_pb2.MESSAGE_KIND_VISIT_CONFIRMATION, "site_id": site},
    ):
        made = await pause(office, **of)
        await office.book()
        assert await office.sender().drain() == 0
        assert await pauses(office) == [made]
        assert (await end_pause(office, made.id)).HasField("end_time")
        assert await pauses(office) == []
        assert await office.sender().drain() == 1


async def test_what_is_not_paused_goes_out(office: Office) -> None:
    await pause(office, site_id=to_wire("site", new_id()))
    await pause(office, channel=message_pb2.CHANNEL_SMS)
    await pause(office, kind=message_pb2.MESSAGE_KIND_VISIT_REMINDER)
    await office.book()
    assert await office.sender().drain() == 1


async def test_the_same_is_paused_once_and_ended_once(office: Office) -> None:
    made = await pause(office, channel=message_pb2.CHANNEL_EMAIL)
    refused = await refusal(pause(office, channel=message_pb2.CHANNEL_EMAIL))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "ALREADY_PAUSED")
    await end_pause(office, made.id)
    assert (await refusal(end_pause(office, made.id))).reason == "PAUSE_ENDED"
    assert (await refusal(end_pause(office, to_wire("pause", new_id())))).reason == "PAUSE_NOT_FOUND"
    await pause(office, channel=message_pb2.CHANNEL_EMAIL)


@pytest.mark.parametrize("of", [{}, {"channel": 1, "kind": 1}])
async def test_a_pause_is_of_something_and_of_one_thing(office: Office, of: dict[str, Any]) -> None:
    assert (await refusal(pause(office, **of))).reason == "BAD_REQUEST"


async def test_a_site_manager_pauses_their_site_and_sees_what_holds_for_it(office: Office) -> None:
    manager = office.svc.token("ROLE_SITE_MANAGER", sites=[office.site_id])
    assert (await refusal(pause(office, manager, channel=1))).code == StatusCode.PERMISSION_DENIED
    whole = await pause(office, channel=message_pb2.CHANNEL_SMS)
    own = await pause(office, manager, site_id=to_wire("site", office.site_id))
    other = await pause(office, site_id=to_wire("site", new_id()))
    stub = office.svc.stub(PauseServiceStub)
    seen = (await office.svc.call(stub.ListPauses, pause_service_pb2.ListPausesRequest(), manager)).pauses
    assert [each.id for each in seen] == [whole.id, own.id]
    for unseen in (whole, other):
        assert (await refusal(end_pause(office, unseen.id, manager))).reason in {"PAUSE_NOT_FOUND", "PAUSE_ENDED"}
    assert len(await pauses(office)) == 3
    assert [each.id for each in await pauses(office, site_id=other.site_id)] == [whole.id, other.id]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("INSERT INTO policy VALUES ($1, '07:00', '20:00', 1, 3, 0, 1)", "policy_hours_check"),
        ("INSERT INTO policy VALUES ($1, '08:00', '20:00', 3, 2, 0, 1)", "policy_texts_check"),
        ("INSERT INTO policy VALUES ($1, '08:00', '20:00', 1, 3, -1, 1)", "policy_price_check"),
        (
            "INSERT INTO pause VALUES ($1, gen_random_uuid(), 'SITE', NULL, NULL, NULL, 'x', now())",
            "pause_of_check",
        ),
        (
            "INSERT INTO pause VALUES ($1, gen_random_uuid(), 'KIND', NULL, 'SMS', 'HELP', 'x', now())",
            "pause_of_check",
        ),
        ("INSERT INTO cadence VALUES ($1, 0, '[]', now())", "cadence_version_check"),
    ],
)
async def test_the_database_refuses_what_no_chain_can_say(office: Office, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await office.svc.admin.execute(change, office.svc.chain_id)
    assert refused.value.constraint_name == constraint
