"""ReplyService and SuppressionService through their door: the inbox of a site, and who is written to no more."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import reply_service_pb2 as pb
from atoll.notifications.v1 import suppression_service_pb2 as spb
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.domain.texting import Method, SuppressionKind
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.texting.job import forget_some
from tests.support.service import refusal
from tests.support.texting import OURS, THEIRS, TextingOffice, open_texting

DESK = "ROLE_FRONT_DESK"
READERS, CHANGERS = ["CHAIN_ADMIN", "SITE_MANAGER", "FRONT_DESK", "AUDITOR"], ["SITE_MANAGER", "FRONT_DESK"]
ROLES = [*READERS, "CLINICIAN", "NURSE", "BILLING", "INTEGRATION", "PATIENT", "SERVICE"]
DAY = timedelta(days=1)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[TextingOffice]:
    async with open_texting(postgres_url, issuer_folder) as office:
        yield office


def desk(office: TextingOffice, site_id: UUID | None = None) -> str:
    return office.svc.token(DESK, sites=[site_id or office.site_id], subject="ann")


async def inbox(office: TextingOffice, token: str | None = None, **filters: Any) -> pb.ListRepliesResponse:
    request = pb.ListRepliesRequest(site_id=to_wire("site", office.site_id), **filters)
    answer: pb.ListRepliesResponse = await office.svc.call(office.replies.ListReplies, request, token or desk(office))
    return answer


async def a_reply(office: TextingOffice, text: str = "Is there parking?") -> pb.Reply:
    await office.texted()
    await office.say(text)
    return (await inbox(office)).replies[-1]


async def get(office: TextingOffice, id: str, token: str = "") -> pb.GetReplyResponse:
    request = pb.GetReplyRequest(reply_id=id)
    answer: pb.GetReplyResponse = await office.svc.call(office.replies.GetReply, request, token or desk(office))
    return answer


async def change(office: TextingOffice, method: str, reply: pb.Reply, *, token: str = "", **fields: Any) -> Any:
    stub, request_type = getattr(office.replies, method), getattr(pb, f"{method}Request")
    values = {"request_id": str(uuid4()), "reply_id": reply.id} | fields
    return await office.svc.call(stub, request_type(**values), token or desk(office))


# Replies.


async def test_what_came_in_is_listed_without_its_words_and_read_with_them(office: TextingOffice) -> None:
    reply = await a_reply(office)
    assert reply == pb.Reply(
        id=reply.id,
        site_id=to_wire("site", office.site_id),
        patient_id=to_wire("patient", office.patient_id),
        meaning=pb.REPLY_MEANING_OTHER,
        state=pb.REPLY_STATE_OPEN,
        receive_time=to_timestamp(office.svc.now),
        etag='"1"',
    )
    await office.answer()
    found = await get(office, reply.id)
    assert (found.reply, found.text, found.phone) == (reply, "Is there parking?", THEIRS)
    [answer] = found.answers
    assert (answer.kind, answer.state, answer.code) == (
        pb.REPLY_ANSWER_KIND_REPLY_RECEIVED,
        pb.REPLY_ANSWER_STATE_SENT,
        "TWILIO_TAKEN",
    )
    methods = await office.svc.admin.fetch("SELECT method, actor FROM audit WHERE kind = 'AUDIT_PHI_READ'")
    assert {tuple(row) for row in methods} == {
        ("atoll.notifications.v1.ReplyService.ListReplies", "ann"),
        ("atoll.notifications.v1.ReplyService.GetReply", "ann"),
    }


async def test_an_inbox_is_of_its_site_only_and_comes_in_pages_the_oldest_first(office: TextingOffice) -> None:
    await office.texted()
    await office.texted(patient_id=new_id(), phone="+15055550178", site_id=office.other_site_id)
    for number in range(5):
        await office.say(f"{number}?")
        office.svc.clock.now += timedelta(minutes=1)
    await office.say("elsewhere", phone="+15055550178")
    seen, token = list[str](), ""
    for size in (2, 2, 1):
        page = await inbox(office, page_size=2, page_token=token)
        assert len(page.replies) == size
        seen += [(await get(office, reply.id)).text for reply in page.replies]
        token = page.next_page_token
    assert (seen, token) == ([f"{number}?" for number in range(5)], "")
    refused = await refusal(inbox(office, page_token="x"))
    assert refused.reason == "BAD_PAGE_TOKEN"
    refused = await refusal(inbox(office, desk(office, office.other_site_id)))
    assert refused.code == StatusCode.PERMISSION_DENIED


async def test_an_inbox_can_be_of_one_state_only(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await office.say("STOP")
    for state, found in ((pb.REPLY_STATE_OPEN, [reply.id]), (pb.REPLY_STATE_ASSIGNED, [])):
        assert [each.id for each in (await inbox(office, state=state)).replies] == found
    assert len((await inbox(office, state=pb.REPLY_STATE_CLOSED)).replies) == 1
    assert len((await inbox(office)).replies) == 2


async def test_a_reply_is_assigned_and_closed_with_how_it_was_seen_to(office: TextingOffice) -> None:
    reply = await a_reply(office)
    assigned = (await change(office, "AssignReply", reply, etag=reply.etag, assignee="ben")).reply
    assert (assigned.state, assigned.assignee, assigned.etag) == (pb.REPLY_STATE_ASSIGNED, "ben", '"2"')
    stale = await refusal(change(office, "CloseReply", reply, etag=reply.etag, reason="Called."))
    assert (stale.code, stale.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    fields = {"request_id": str(uuid4()), "etag": assigned.etag, "reason": "Called."}
    closed = (await change(office, "CloseReply", reply, **fields)).reply
    assert (closed.state, closed.closed_by, closed.close_reason) == (pb.REPLY_STATE_CLOSED, "ann", "Called.")
    assert (await change(office, "CloseReply", reply, **fields)).reply == closed
    assert (await get(office, reply.id)).reply == closed
    for method, more in (
        ("CloseReply", {"etag": closed.etag, "reason": "Again."}),
        ("AssignReply", {"etag": closed.etag, "assignee": "ben"}),
        ("AnswerReply", {"text": "Yes."}),
    ):
        refused = await refusal(change(office, method, reply, **more))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "REPLY_CLOSED")
        assert refused.metadata == {"closed_by": "ann"}


async def test_staff_answer_from_the_same_number_to_the_same_person_once(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await office.answer()
    request_id = str(uuid4())
    made = [
        (await change(office, "AnswerReply", reply, request_id=request_id, text="Yes, behind the house.")).answer
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert (made[0].kind, made[0].state, made[0].written_by) == (
        pb.REPLY_ANSWER_KIND_STAFF,
        pb.REPLY_ANSWER_STATE_PENDING,
        "ann",
    )
    await office.answer()
    text = office.fake.texts[-1]
    assert (len(office.fake.texts), text["From"], text["To"]) == (2, OURS, THEIRS)
    assert text["Body"] == "Yes, behind the house."
    answer = (await get(office, reply.id)).answers[-1]
    assert (answer.text, answer.state) == ("Yes, behind the house.", pb.REPLY_ANSWER_STATE_SENT)
    for table in ("answer", "idempotency", "audit"):
        for row in await office.svc.admin.fetch(f"SELECT {table}::text AS row FROM {table}"):
            assert b"behind".hex() not in row["row"]
            assert "behind" not in row["row"]


async def test_what_a_text_may_not_say_is_refused(office: TextingOffice) -> None:
    reply = await a_reply(office)
    refused = await refusal(change(office, "AnswerReply", reply, text="Your infusion is at 9. " + "x" * 320))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "ANSWER_REFUSED")
    assert refused.faults == [("text", "TOO_LONG"), ("text", "HEALTH_WORD")]
    assert await office.svc.admin.fetchval("SELECT count(*) FROM answer WHERE kind = 'STAFF'") == 0


async def test_whoever_opted_out_is_not_answered_and_not_if_they_do_meanwhile(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await change(office, "AnswerReply", reply, text="Yes.")
    await office.say("STOP")
    refused = await refusal(change(office, "AnswerReply", reply, text="Really?"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "RECIPIENT_OPTED_OUT")
    await office.answer()
    assert (await get(office, reply.id)).answers[-1].state == pb.REPLY_ANSWER_STATE_SUPPRESSED
    assert [text["Body"] for text in office.fake.texts if text["Body"] == "Yes."] == []


async def test_staffs_answer_waits_two_hours_at_most(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await office.answer()
    await change(office, "AnswerReply", reply, text="Yes.")
    office.svc.clock.now += timedelta(hours=2)
    await office.answer()
    answer = (await get(office, reply.id)).answers[-1]
    assert (answer.state, answer.code) == (pb.REPLY_ANSWER_STATE_FAILED, "TOO_LATE")


async def test_what_is_forgotten_is_neither_read_nor_answered(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await change(office, "AnswerReply", reply, text="Yes.")
    office.svc.clock.now += DAY
    await forget_some(office.svc.db, timedelta(hours=1), office.svc.clock)
    found = await get(office, reply.id)
    assert (found.text, found.phone, [each.text for each in found.answers]) == ("", "", ["", ""])
    refused = await refusal(change(office, "AnswerReply", reply, text="Yes."))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "REPLY_PURGED")
    await office.answer()
    assert office.fake.texts == []


async def test_a_number_that_went_from_the_settings_answers_nothing(office: TextingOffice) -> None:
    reply = await a_reply(office)
    await office.svc.admin.execute("UPDATE reply SET account = 'gone'")
    refused = await refusal(change(office, "AnswerReply", reply, text="Yes."))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NO_TEXTING")


async def test_replies_of_nobody_or_of_another_site_or_chain_are_not_found(office: TextingOffice) -> None:
    reply, svc = await a_reply(office), office.svc
    nobody = pb.Reply(id=to_wire("reply", new_id()))
    elsewhere = desk(office, office.other_site_id)
    for about, token in ((nobody, desk(office)), (reply, elsewhere), (reply, svc.token(DESK, chain_id=new_id()))):
        for asked in (
            get(office, about.id, token),
            change(office, "CloseReply", about, token=token, etag='"1"', reason="x"),
            change(office, "AssignReply", about, token=token, etag='"1"', assignee="x"),
            change(office, "AnswerReply", about, token=token, text="x"),
        ):
            refused = await refusal(asked)
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "REPLY_NOT_FOUND")


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_read_replies_and_who_may_see_to_them(office: TextingOffice, role: str) -> None:
    reply, token = await a_reply(office), office.svc.token(f"ROLE_{role}", sites=[office.site_id])
    if role in READERS:
        await get(office, reply.id, token)
        await inbox(office, token)
    else:
        assert (await refusal(get(office, reply.id, token))).code == StatusCode.PERMISSION_DENIED
        assert (await refusal(inbox(office, token))).code == StatusCode.PERMISSION_DENIED
    changes = (
        change(office, "AssignReply", reply, token=token, etag='"1"', assignee="ben"),
        change(office, "AnswerReply", reply, token=token, text="Yes."),
        change(office, "CloseReply", reply, token=token, etag='"2"', reason="Called."),
    )
    for asked in changes:
        if role in CHANGERS:
            await asked
        else:
            assert (await refusal(asked)).code == StatusCode.PERMISSION_DENIED


# Suppressions.


async def listed(office: TextingOffice, token: str = "", **about: Any) -> spb.ListSuppressionsResponse:
    about = about or {"patient_id": to_wire("patient", office.patient_id)}
    request = spb.ListSuppressionsRequest(**about)
    stub = office.suppressions.ListSuppressions
    answer: spb.ListSuppressionsResponse = await office.svc.call(stub, request, token or desk(office))
    return answer


async def add(office: TextingOffice, token: str = "", **fields: Any) -> spb.Suppression:
    values: dict[str, Any] = {
        "request_id": str(uuid4()),
        "site_id": to_wire("site", office.site_id),
        "patient_id": to_wire("patient", office.patient_id),
        "channel": message_pb2.CHANNEL_SMS,
        "address": THEIRS,
        "method": spb.ASK_METHOD_VERBAL,
        "reason": "Said so by phone.",
    } | fields
    request = spb.AddSuppressionRequest(**values)
    answer = await office.svc.call(office.suppressions.AddSuppression, request, token or desk(office))
    suppression: spb.Suppression = answer.suppression
    return suppression


async def lift(office: TextingOffice, found: spb.Suppression, token: str = "", **fields: Any) -> spb.Suppression:
    values = {"request_id": str(uuid4()), "suppression_id": found.id, "etag": found.etag, "reason": "Asked."} | fields
    request = spb.LiftSuppressionRequest(**values)
    answer = await office.svc.call(office.suppressions.LiftSuppression, request, token or desk(office))
    suppression: spb.Suppression = answer.suppression
    return suppression


async def test_what_a_patient_says_at_the_desk_holds_at_once_whatever_we_text_from(office: TextingOffice) -> None:
    request_id = str(uuid4())
    added = await add(office, request_id=request_id)
    assert await add(office, request_id=request_id) == added
    assert added == spb.Suppression(
        id=added.id,
        channel=message_pb2.CHANNEL_SMS,
        kind=spb.SUPPRESSION_KIND_OPT_OUT,
        patient_id=to_wire("patient", office.patient_id),
        site_id=to_wire("site", office.site_id),
        method="VERBAL",
        reason="Said so by phone.",
        create_time=to_timestamp(office.svc.now),
        created_by="ann",
        etag='"1"',
    )
    assert await office.suppressed(sender="+15055550109")
    [event] = await office.told()
    assert (event.DESCRIPTOR.name, event.method, event.giver, event.channel) == (
        "ChannelOptedOut",
        "VERBAL",
        "PATIENT",
        "SMS",
    )
    again = await refusal(add(office))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "ALREADY_SUPPRESSED")
    for row in await office.svc.admin.fetch("SELECT suppression::text AS s FROM suppression"):
        assert THEIRS[1:] not in row["s"]
    mail = await add(office, channel=message_pb2.CHANNEL_EMAIL, address="Ana@example.org")
    assert mail.channel == message_pb2.CHANNEL_EMAIL
    assert await office.suppressed("ana@example.org", sender="", channel="EMAIL")


@pytest.mark.parametrize(
    ("channel", "address"),
    [("CHANNEL_SMS", "5055550177"), ("CHANNEL_VOICE", "ana@example.org"), ("CHANNEL_EMAIL", "+15055550177")],
)
async def test_what_is_no_address_of_the_channel_is_refused(office: TextingOffice, channel: str, address: str) -> None:
    refused = await refusal(add(office, channel=channel, address=address))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "ADDRESS_UNUSABLE")
    assert refused.faults == [("address", "ADDRESS_UNUSABLE")]
    assert await office.svc.count("suppression") == 0


async def test_without_keys_staff_are_told_so_and_what_they_did_can_be_sent_again(
    office: TextingOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await a_reply(office)
    answers = await office.svc.count("answer")
    with monkeypatch.context() as without:
        without.delenv(MESSAGE_KEYS)
        for asked in (
            add(office),
            get(office, reply.id),
            change(office, "AnswerReply", reply, text="Yes, there is."),
        ):
            refused = await refusal(asked)
            assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "MESSAGE_KEYS_MISSING")
            assert refused.retry
    assert (await office.svc.count("suppression"), await office.svc.count("answer")) == (0, answers)
    assert (await get(office, reply.id)).text == "Is there parking?"


async def test_a_patient_who_is_not_known_yet_has_none(office: TextingOffice) -> None:
    refused = await refusal(add(office, patient_id=to_wire("patient", new_id())))
    assert refused.reason == "NOT_YET_KNOWN"
    assert await office.svc.count("suppression") == 0


async def test_an_opt_out_is_lifted_only_because_the_patient_asked(office: TextingOffice) -> None:
    await office.texted()
    await office.say("STOP")
    found = next(each for each in (await listed(office)).suppressions if each.of_one_sender)
    refused = await refusal(lift(office, found))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "OPT_OUT_STANDS")
    stale = await refusal(lift(office, found, etag='"9"', patient_asked_by=spb.ASK_METHOD_PAPER))
    assert (stale.code, stale.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    for each in (await listed(office)).suppressions:
        lifted = await lift(office, each, patient_asked_by=spb.ASK_METHOD_PAPER)
        assert (lifted.lifted_by, lifted.lift_reason, lifted.etag) == ("ann", "Asked.", '"2"')
    assert not await office.suppressed()
    events = await office.told()
    assert [(event.DESCRIPTOR.name, event.method) for event in events] == [
        ("ChannelOptedOut", "REPLY"),
        ("ChannelOptedIn", "PAPER"),
        ("ChannelOptedIn", "PAPER"),
    ]
    refused = await refusal(lift(office, lifted, patient_asked_by=spb.ASK_METHOD_PAPER))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "SUPPRESSION_LIFTED")


async def test_what_nobody_asked_for_is_lifted_with_a_reason_and_tells_nobody(office: TextingOffice) -> None:
    key, kind, about = office.key(), SuppressionKind.UNREACHABLE, {"site_id": office.site_id}
    await office.job(lambda store: store.suppress("SMS", key, kind, Method.RECEIPT, **about))
    [found] = (await listed(office, site_id=to_wire("site", office.site_id))).suppressions
    assert (found.kind, found.patient_id) == (spb.SUPPRESSION_KIND_UNREACHABLE, "")
    await lift(office, found)
    assert not await office.suppressed()
    assert await office.told() == []


async def test_suppressions_come_in_pages_the_latest_first_and_of_their_patient_only(office: TextingOffice) -> None:
    other = new_id()
    await office.register(other)
    await add(office, patient_id=to_wire("patient", other), address="+15055550150")
    added = [(await add(office, address=f"+1505555016{n}")).id for n in range(3)]
    first = await listed(office, patient_id=to_wire("patient", office.patient_id), page_size=2)
    token = first.next_page_token
    rest = await listed(office, patient_id=to_wire("patient", office.patient_id), page_size=2, page_token=token)
    assert [each.id for each in (*first.suppressions, *rest.suppressions)] == added[::-1]
    assert rest.next_page_token == ""
    assert len((await listed(office, site_id=to_wire("site", office.site_id))).suppressions) == 4


async def test_suppressions_of_nobody_or_of_another_chain_are_not_found(office: TextingOffice) -> None:
    found = await add(office)
    nobody = spb.Suppression(id=to_wire("suppression", new_id()), etag='"1"')
    for about, token in ((nobody, ""), (found, office.svc.token(DESK, chain_id=new_id()))):
        refused = await refusal(lift(office, about, token, patient_asked_by=spb.ASK_METHOD_PAPER))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SUPPRESSION_NOT_FOUND")
    assert list((await listed(office, office.svc.token(chain_id=new_id()))).suppressions) == []


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_see_suppressions_and_who_may_change_them(office: TextingOffice, role: str) -> None:
    found, token = await add(office), office.svc.token(f"ROLE_{role}", sites=[office.site_id])
    reading = listed(office, token)
    changes = (
        add(office, token, address="+15055550160"),
        lift(office, found, token, patient_asked_by=spb.ASK_METHOD_VERBAL),
    )
    for asked, allowed in ((reading, READERS), *((each, CHANGERS) for each in changes)):
        if role in allowed:
            await asked
        else:
            assert (await refusal(asked)).code == StatusCode.PERMISSION_DENIED
