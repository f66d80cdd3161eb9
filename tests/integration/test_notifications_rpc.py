"""MessageService through its door: what is answered to whom, and what is refused."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import message_service_pb2 as pb
from chassis.ids import new_id, to_wire
from chassis.sql import Statement
from chassis.times import to_timestamp
from services.notifications.store import copies, messages, sending
from tests.support.notifications import FIRST, Office, open_office
from tests.support.service import NOW, refusal

READERS = ["CHAIN_ADMIN", "SITE_MANAGER", "FRONT_DESK", "CLINICIAN", "NURSE", "BILLING", "AUDITOR"]
OTHERS = ["INTEGRATION", "PATIENT", "SERVICE"]


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def listed(office: Office, token: str | None = None, **about: Any) -> pb.ListMessagesResponse:
    answer: pb.ListMessagesResponse = await office.svc.call(
        office.stub.ListMessages, pb.ListMessagesRequest(**about), token
    )
    return answer


async def counted(office: Office, token: str | None = None, **about: Any) -> pb.CountMessagesResponse:
    answer: pb.CountMessagesResponse = await office.svc.call(
        office.stub.CountMessages, pb.CountMessagesRequest(**about), token
    )
    return answer


async def test_a_message_answers_why_and_from_what_and_when_and_with_which_result(office: Office) -> None:
    booked = await office.book()
    await office.sender().drain()
    [row] = await office.rows("VISIT_CONFIRMATION")
    request = pb.GetMessageRequest(message_id=to_wire("message", row["id"]))
    message = (await office.svc.call(office.stub.GetMessage, request)).message
    assert message.template.version
    message.template.ClearField("version")
    assert message == message_pb2.Message(
        id=to_wire("message", row["id"]),
        patient_id=to_wire("patient", office.patient_id),
        visit_id=booked.visits[0].visit_id,
        site_id=to_wire("site", office.site_id),
        kind=message_pb2.MESSAGE_KIND_VISIT_CONFIRMATION,
        channel=message_pb2.CHANNEL_EMAIL,
        due_time=to_timestamp(NOW),
        status=message_pb2.MESSAGE_STATUS_SENT,
        attempts=1,
        template=message_pb2.TemplateRef(code="visit_confirmation", language="en"),
        event_id=booked.meta.event_id,
        sent_time=to_timestamp(NOW),
        rule_code="visit_confirmation",
        next_channels=[message_pb2.CHANNEL_SMS],
    )


async def test_a_message_that_did_not_go_out_says_why(office: Office) -> None:
    booked = await office.book()
    await office.svc.deliver(office.cancelled(booked))
    messages = (await listed(office, visit_id=booked.visits[0].visit_id)).messages
    ahead = [message for message in messages if message.kind != message_pb2.MESSAGE_KIND_VISIT_CANCELLED]
    assert {(message.status, message.reason) for message in ahead} == {
        (message_pb2.MESSAGE_STATUS_WITHDRAWN, message_pb2.MESSAGE_REASON_VISIT_CANCELLED)
    }


async def test_a_message_of_nobody_or_of_another_chain_or_site_is_not_found(office: Office) -> None:
    await office.book()
    [row, _] = await office.rows()
    svc, request = office.svc, pb.GetMessageRequest(message_id=to_wire("message", row["id"]))
    nowhere = pb.GetMessageRequest(message_id=to_wire("message", new_id()))
    for asked, token in (
        (nowhere, svc.token()),
        (request, svc.token(chain_id=new_id())),
        (request, svc.token("ROLE_FRONT_DESK", sites=[new_id()])),
    ):
        refused = await refusal(svc.call(office.stub.GetMessage, asked, token))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
    assert await svc.call(office.stub.GetMessage, request, svc.token("ROLE_FRONT_DESK", sites=[office.site_id]))


@pytest.mark.parametrize("role", READERS)
async def test_staff_read_messages(office: Office, role: str) -> None:
    await office.book()
    token = office.svc.token(f"ROLE_{role}", sites=[office.site_id])
    assert len((await listed(office, token, site_id=to_wire("site", office.site_id))).messages) == 2


@pytest.mark.parametrize("role", OTHERS)
@pytest.mark.parametrize("method", ["GetMessage", "ListMessages", "CountMessages"])
async def test_others_do_not(office: Office, role: str, method: str) -> None:
    request = {
        "GetMessage": pb.GetMessageRequest(message_id=to_wire("message", new_id())),
        "ListMessages": pb.ListMessagesRequest(site_id=to_wire("site", office.site_id)),
        "CountMessages": pb.CountMessagesRequest(),
    }[method]
    token = office.svc.token(f"ROLE_{role}")
    refused = await refusal(office.svc.call(getattr(office.stub, method), request, token))
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED


async def test_a_list_is_of_a_patient_a_visit_or_a_site(office: Office) -> None:
    booked = await office.book(FIRST, FIRST + timedelta(days=3))
    other = new_id()
    await office.register(other)
    await office.svc.deliver(office.course_booked(patient_id=other))
    visit_id = booked.visits[1].visit_id
    assert [message.visit_id for message in (await listed(office, visit_id=visit_id)).messages] == [visit_id] * 2
    assert len((await listed(office, patient_id=to_wire("patient", office.patient_id))).messages) == 4
    assert len((await listed(office, site_id=to_wire("site", office.site_id))).messages) == 6


async def test_a_list_can_be_of_one_status_only(office: Office) -> None:
    await office.book()
    await office.sender().drain()
    for status, kinds in (
        (message_pb2.MESSAGE_STATUS_SENT, [message_pb2.MESSAGE_KIND_VISIT_CONFIRMATION]),
        (message_pb2.MESSAGE_STATUS_SCHEDULED, [message_pb2.MESSAGE_KIND_VISIT_REMINDER]),
        (message_pb2.MESSAGE_STATUS_FAILED, []),
    ):
        messages = (await listed(office, site_id=to_wire("site", office.site_id), status=status)).messages
        assert [message.kind for message in messages] == kinds


async def test_a_list_comes_in_pages_in_the_order_of_due_times(office: Office) -> None:
    await office.book(*(FIRST + timedelta(days=day) for day in range(5)))
    site, seen, token = to_wire("site", office.site_id), list[message_pb2.Message](), ""
    for size in (4, 4, 2):
        page = await listed(office, site_id=site, page_size=4, page_token=token)
        assert len(page.messages) == size
        seen += page.messages
        token = page.next_page_token
    assert token == ""
    assert len({message.id for message in seen}) == 10
    assert [message.due_time.seconds for message in seen] == sorted(message.due_time.seconds for message in seen)


async def test_a_page_token_of_another_list_is_refused(office: Office) -> None:
    await office.book(FIRST, FIRST + timedelta(days=1))
    token = (await listed(office, site_id=to_wire("site", office.site_id), page_size=1)).next_page_token
    patient = to_wire("patient", office.patient_id)
    for bad in (token, "nonsense"):
        refused = await refusal(listed(office, patient_id=patient, page_token=bad))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


@pytest.mark.parametrize(
    "about",
    [{}, {"patient_id": "visit_01h455vb4pex5vsknk084sn02q"}, {"site_id": "x"}],
    ids=["about nothing", "an id of another kind", "no id"],
)
async def test_a_list_about_nothing_is_refused(office: Office, about: dict[str, str]) -> None:
    refused = await refusal(listed(office, **about))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_counts_tell_whether_anything_due_is_unsent_and_when_the_next_is_due(office: Office) -> None:
    await office.book(FIRST, FIRST + timedelta(days=3))
    scheduled, sent = message_pb2.MESSAGE_STATUS_SCHEDULED, message_pb2.MESSAGE_STATUS_SENT
    now = to_timestamp(NOW)
    before = await counted(office, due_by_time=now)
    assert [(each.status, each.messages) for each in before.counts] == [(scheduled, 2)]
    assert before.next_due_time == now
    await office.sender().drain()
    after = await counted(office, due_by_time=now)
    assert [(each.status, each.messages) for each in after.counts] == [(sent, 2)]
    assert after.next_due_time == to_timestamp(FIRST - timedelta(hours=48))
    all_of_them = await counted(office)
    assert [(each.status, each.messages) for each in all_of_them.counts] == [(scheduled, 2), (sent, 2)]


async def test_counts_are_of_the_sites_that_the_caller_may_see(office: Office) -> None:
    await office.book()
    svc, elsewhere = office.svc, new_id()
    await svc.deliver(office.site_registered(elsewhere))
    await svc.deliver(office.course_booked(site_id=elsewhere))
    here = svc.token("ROLE_SITE_MANAGER", sites=[office.site_id])
    assert [each.messages for each in (await counted(office)).counts] == [4]
    assert [each.messages for each in (await counted(office, here)).counts] == [2]
    assert [each.messages for each in (await counted(office, site_id=to_wire("site", elsewhere))).counts] == [2]
    refused = await refusal(counted(office, here, site_id=to_wire("site", elsewhere)))
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED


async def test_reading_a_message_is_audited_and_counting_is_not(office: Office) -> None:
    await office.book()
    await counted(office)
    assert await office.svc.count("audit") == 0
    await listed(office, patient_id=to_wire("patient", office.patient_id))
    [row] = await office.svc.admin.fetch("SELECT kind, ids FROM audit")
    assert row["kind"] == "AUDIT_PHI_READ"
    assert to_wire("patient", office.patient_id) in row["ids"]


MANY = """
INSERT INTO patient SELECT chain_id, gen_random_uuid(), time_zone, version FROM patient, generate_series(1, 300);
INSERT INTO site SELECT chain_id, gen_random_uuid(), discreet_name, time_zone, address, phone
FROM site, generate_series(1, 20);
INSERT INTO visit (chain_id, id, site_id, patient_id, status, start_at, end_at, telehealth)
SELECT visit.chain_id, gen_random_uuid(), site.id, patient.id, status, start_at, end_at, telehealth
FROM visit, patient, site, generate_series(1, 5);
INSERT INTO message (chain_id, id, site_id, patient_id, visit_id, kind, rule, cadence_version, anchor, anchor_at,
                     offset_minutes, channel, channels, due_at, status, sent_at, event_id)
SELECT chain_id, gen_random_uuid(), site_id, patient_id, id, 'VISIT_REMINDER', 'visit_reminder', 0, 'START', start_at,
       -2880, 'EMAIL', '{EMAIL}', start_at - interval '30 days', 'SENT', now(), gen_random_uuid()
FROM visit WHERE id NOT IN (SELECT visit_id FROM message);
INSERT INTO message (chain_id, id, site_id, patient_id, visit_id, kind, rule, cadence_version, anchor, anchor_at,
                     offset_minutes, channel, channels, due_at, status, event_id)
SELECT chain_id, gen_random_uuid(), site_id, patient_id, visit_id, 'VISIT_CONFIRMATION', 'visit_confirmation', 0,
       'BOOKED', anchor_at, 0, 'EMAIL', '{EMAIL}', due_at + interval '90 days', 'SCHEDULED', gen_random_uuid()
FROM message WHERE status = 'SENT';
INSERT INTO patient_alias SELECT chain_id, gen_random_uuid(), id, id, 1 FROM patient, generate_series(1, 20);
INSERT INTO patient SELECT chain_id, gen_random_uuid(), time_zone, version FROM patient, generate_series(1, 30);
ANALYZE
"""
PAGE: dict[str, Any] = {
    "status": None,
    "after_due": messages.FIRST[0],
    "after_id": messages.FIRST[1],
    "limit": 10,
    "due_by": NOW + timedelta(days=999),
}
LEASE = {"now": NOW, "limit": 10, "hold": timedelta(seconds=30), "lease_id": new_id()}


async def test_messages_are_found_by_index_among_many(office: Office) -> None:
    """As the service's own role: row-level security keeps operators that are not leakproof from an index."""
    await office.book()
    await office.svc.admin.execute(MANY)
    of_patient, of_site = {"about_id": office.patient_id}, {"about_id": office.site_id}
    asked: list[tuple[Statement, dict[str, Any], str]] = [
        (sending.TAKE, LEASE, "message_unsent_idx"),
        (messages.NEXT_DUE, {"site_id": None}, "message_unsent_idx"),
        (sending.TAKE, LEASE, "patient_alias_pkey"),
        (sending.TAKE, LEASE, "patient_pkey"),
        (copies.PATIENT, {"id": new_id()}, "patient_alias_pkey"),
        (messages.SCHEDULED_OF_PATIENT, {"id": office.patient_id}, "message_patient_idx"),
        (messages.SCHEDULED_OF_PATIENT, {"id": office.patient_id}, "patient_alias_end_idx"),
        (messages.LISTINGS["patient_id"], PAGE | of_patient, "message_patient_idx"),
        (messages.LISTINGS["site_id"], PAGE | of_site, "message_site_idx"),
        (messages.LISTINGS["visit_id"], PAGE | {"about_id": new_id()}, "message_once_key"),
    ]
    async with office.svc.db.transaction(office.svc.inside("explain")) as conn:
        for statement, values, index in asked:
            arguments = statement.args({"chain_id": office.svc.chain_id, **values})
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.text}", *arguments))
            assert index in plan, plan
            for table in ("message", "patient_alias", "patient"):
                assert f"Seq Scan on {table}" not in plan, plan
