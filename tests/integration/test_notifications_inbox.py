"""A patient's inbox through its door: who sees what, each new item as it comes, none lost and none twice."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.notifications.v1 import inbox_service_pb2 as pb
from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1.inbox_service_pb2_grpc import InboxServiceStub
from atoll.patients.v1.events_pb2 import PatientMerged, PatientUnmerged
from chassis.db import Database
from chassis.housekeeping import sweep
from chassis.ids import from_wire, new_id, to_wire
from chassis.pool import open_pool
from chassis.server import Server
from chassis.sql import Statement
from chassis.times import to_timestamp
from services.notifications.__main__ import SERVICE
from services.notifications.store import NotificationsStore
from services.notifications.store import inbox as store
from services.notifications.tables import inbox_arrival
from services.notifications.tables.inbox import ARRIVALS_KEPT
from tests.support.service import NOW, Refusal, Running, read_refusal, refusal, running, tokens_of

STAFF = ["CHAIN_ADMIN", "SITE_MANAGER", "FRONT_DESK", "CLINICIAN", "NURSE", "BILLING", "AUDITOR", "INTEGRATION"]
SOON_S = 1.0
MESSAGE = to_wire("message", new_id())


@dataclass
class Inboxes:
    """A chain with a site and a patient."""

    svc: Running
    site_id: UUID = field(default_factory=new_id)
    patient_id: UUID = field(default_factory=new_id)

    @property
    def stub(self) -> Any:
        return self.svc.stub(InboxServiceStub)

    def token(self, patient_id: UUID | None = None, **more: Any) -> str:
        """A patient's own."""
        return self.svc.token("ROLE_PATIENT", patient=to_wire("patient", patient_id or self.patient_id), **more)

    async def add(
        self, patient_id: UUID | None = None, at: datetime | None = None, site_id: UUID | None = None, **given: Any
    ) -> str:
        """Its message's id."""
        fields: dict[str, Any] = {
            "message_id": new_id(),
            "kind": "VISIT_REMINDER",
            "subject": "Reminder: Harbor Lane",
            "text": "Monday, March 8, 2027, 9:00 AM MST",
        } | given

        async def work(store: NotificationsStore) -> bool:
            return await store.add_to_inbox(
                patient_id=patient_id or self.patient_id, site_id=site_id or self.site_id, at=at or NOW, **fields
            )

        assert await self.svc.db.job(self.svc.inside("sender"), NotificationsStore, work)
        return to_wire("message", fields["message_id"])

    async def call(self, name: str, token: str | None = None, **fields: Any) -> Any:
        request_type = getattr(pb, f"{name}Request")
        if "request_id" in request_type.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", str(uuid4()))
        fields.setdefault("patient_id", to_wire("patient", self.patient_id))
        return await self.svc.call(getattr(self.stub, name), request_type(**fields), token or self.token())

    async def listed(self, token: str | None = None, **fields: Any) -> list[str]:
        return [item.message_id for item in (await self.call("ListInboxItems", token, **fields)).inbox_items]

    async def merge(self, alias: UUID, survivor: UUID, version: int = 1) -> None:
        ids: dict[str, Any] = {
            "patient_id": to_wire("patient", survivor),
            "merged_patient_id": to_wire("patient", alias),
        }
        await self.svc.deliver(PatientMerged(**ids), version=version)

    async def unmerge(self, alias: UUID, survivor: UUID, version: int) -> None:
        ids: dict[str, Any] = {
            "patient_id": to_wire("patient", survivor),
            "merged_patient_id": to_wire("patient", alias),
        }
        await self.svc.deliver(PatientUnmerged(**ids), version=version)


def merged(alias: UUID, survivor: UUID) -> dict[str, Any]:
    return {"patient_id": to_wire("patient", survivor), "merged_patient_id": to_wire("patient", alias)}


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with running(SERVICE, postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def inbox(svc: Running) -> Inboxes:
    """A chain of its own."""
    svc.chain_id = new_id()
    return Inboxes(svc)


async def test_an_item_is_shown_as_it_was_written(inbox: Inboxes) -> None:
    id = await inbox.add()
    [item] = (await inbox.call("ListInboxItems")).inbox_items
    assert item == pb.InboxItem(
        message_id=id,
        patient_id=to_wire("patient", inbox.patient_id),
        site_id=to_wire("site", inbox.site_id),
        kind=message_pb2.MESSAGE_KIND_VISIT_REMINDER,
        subject="Reminder: Harbor Lane",
        text="Monday, March 8, 2027, 9:00 AM MST",
        create_time=to_timestamp(NOW),
    )


async def test_a_message_comes_once(inbox: Inboxes) -> None:
    message_id = new_id()

    async def work(store: NotificationsStore) -> bool:
        at = inbox.patient_id, inbox.site_id, "VISIT_REMINDER", "", "", NOW
        return await store.add_to_inbox(message_id, *at)

    added = [await inbox.svc.db.job(inbox.svc.inside("sender"), NotificationsStore, work) for _ in range(2)]
    assert added == [True, False]
    assert await inbox.listed() == [to_wire("message", message_id)]
    arrivals = "SELECT count(*) FROM inbox_arrival WHERE chain_id = $1"
    assert await inbox.svc.admin.fetchval(arrivals, inbox.svc.chain_id) == 1


async def test_items_come_in_pages_the_latest_first(inbox: Inboxes) -> None:
    added = [await inbox.add(at=NOW + timedelta(hours=hour // 2)) for hour in range(5)]
    seen, token = list[str](), ""
    for size in (2, 2, 1):
        page = await inbox.call("ListInboxItems", page_size=2, page_token=token)
        assert len(page.inbox_items) == size
        seen += [item.message_id for item in page.inbox_items]
        token = page.next_page_token
    assert (seen, token) == (added[::-1], "")
    bad = base64.urlsafe_b64encode(b'["0123456789abcdef","x","y"]').decode()
    assert (await refusal(inbox.call("ListInboxItems", page_token=bad))).reason == "BAD_PAGE_TOKEN"


async def test_what_is_read_is_read_since_then_and_counted_no_more(inbox: Inboxes) -> None:
    one, two, three = [await inbox.add() for _ in range(3)]
    request: dict[str, Any] = {"message_ids": [one, two], "request_id": str(uuid4())}
    assert (await inbox.call("CountUnreadInboxItems")).unread_count == 3
    read = await inbox.call("MarkInboxItemsRead", **request)
    assert read.unread_count == 1
    inbox.svc.clock.now = NOW + timedelta(hours=1)
    assert await inbox.call("MarkInboxItemsRead", **request) == read
    await inbox.call("MarkInboxItemsRead", message_ids=[two])
    inbox.svc.clock.now = NOW
    items = (await inbox.call("ListInboxItems")).inbox_items
    times = {item.message_id: item.read_time for item in items if item.HasField("read_time")}
    assert times == {one: to_timestamp(NOW), two: to_timestamp(NOW)}
    assert await inbox.listed(unread_only=True) == [three]
    assert (await inbox.call("CountUnreadInboxItems")).unread_count == 1


async def test_what_is_anothers_is_not_marked(inbox: Inboxes) -> None:
    other = new_id()
    theirs = await inbox.add(other)
    await inbox.call("MarkInboxItemsRead", message_ids=[theirs])
    integration = inbox.svc.token("ROLE_INTEGRATION")
    await inbox.call("MarkInboxItemsRead", integration, message_ids=[theirs])
    fields = {"patient_id": to_wire("patient", other)}
    assert (await inbox.call("CountUnreadInboxItems", integration, **fields)).unread_count == 1


@pytest.mark.parametrize(
    ("name", "fields", "fault"),
    [
        ("ListInboxItems", {"patient_id": "patient_1"}, ("patient_id", "string.typeid")),
        ("ListInboxItems", {"page_size": 201}, ("page_size", "int32.gte_lte")),
        ("CountUnreadInboxItems", {"patient_id": ""}, ("patient_id", "string.typeid")),
        ("MarkInboxItemsRead", {"message_ids": []}, ("message_ids", "repeated.min_items")),
        ("MarkInboxItemsRead", {"message_ids": ["x"]}, ("message_ids[0]", "string.typeid")),
        ("MarkInboxItemsRead", {"request_id": "", "message_ids": [MESSAGE]}, ("request_id", "string.uuid_empty")),
    ],
)
async def test_what_is_wrong_is_named_by_field_and_rule(
    inbox: Inboxes, name: str, fields: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(inbox.call(name, inbox.svc.token("ROLE_INTEGRATION"), **fields))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", [fault])


async def test_a_patient_sees_their_own_of_every_site_and_nobody_elses(inbox: Inboxes) -> None:
    other, elsewhere = new_id(), new_id()
    mine = [await inbox.add(), await inbox.add(site_id=elsewhere, at=NOW + timedelta(hours=1))]
    await inbox.add(other)
    assert await inbox.listed() == mine[::-1]
    for name in ("ListInboxItems", "CountUnreadInboxItems", "MarkInboxItemsRead"):
        more: dict[str, Any] = {"message_ids": mine} if name == "MarkInboxItemsRead" else {}
        refused = await refusal(inbox.call(name, patient_id=to_wire("patient", other), **more))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    refused = await refused_stream(inbox, patient_id=other)
    assert refused.reason == "ACCESS_DENIED"


async def test_the_database_itself_shows_a_patient_no_other(inbox: Inboxes) -> None:
    await inbox.add()
    await inbox.add(new_id())
    call = replace(inbox.svc.inside("test"), patient_id=inbox.patient_id)
    async with inbox.svc.db.transaction(call) as conn:
        for table in ("inbox_item", "inbox_arrival"):
            assert [row["patient_id"] for row in await conn.fetch(f"SELECT patient_id FROM {table}")] == [
                inbox.patient_id
            ]
        assert await conn.execute("UPDATE inbox_item SET read_at = now()") == "UPDATE 1"


@pytest.mark.parametrize("role", STAFF)
async def test_staff_see_what_is_of_their_sites(inbox: Inboxes, role: str) -> None:
    here = await inbox.add()
    await inbox.add(site_id=new_id())
    token = inbox.svc.token(f"ROLE_{role}", sites=[inbox.site_id])
    assert await inbox.listed(token) == [here]
    assert (await inbox.call("CountUnreadInboxItems", token)).unread_count == 1


@pytest.mark.parametrize("name", ["ListInboxItems", "CountUnreadInboxItems", "MarkInboxItemsRead"])
async def test_who_may_not_is_refused(inbox: Inboxes, name: str) -> None:
    fields: dict[str, Any] = {"message_ids": [MESSAGE]} if name == "MarkInboxItemsRead" else {}
    others = {"SERVICE"} | (set(STAFF) - {"INTEGRATION"} if fields else set())
    for role in others:
        refused = await refusal(inbox.call(name, inbox.svc.token(f"ROLE_{role}"), **fields))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"), role


async def test_another_chain_sees_nothing(inbox: Inboxes) -> None:
    await inbox.add()
    strange = inbox.svc.token("ROLE_FRONT_DESK", chain_id=new_id())
    assert await inbox.listed(strange) == []
    assert await inbox.listed(inbox.token(chain_id=new_id())) == []


async def test_a_merged_patient_has_one_inbox_under_every_id(inbox: Inboxes) -> None:
    alias, later = new_id(), new_id()
    mine, theirs = await inbox.add(), await inbox.add(alias, at=NOW + timedelta(hours=1))
    await inbox.merge(alias, inbox.patient_id)
    await inbox.merge(inbox.patient_id, later)
    for id in (inbox.patient_id, alias, later):
        for token in (inbox.token(id), inbox.svc.token("ROLE_NURSE")):
            assert await inbox.listed(token, patient_id=to_wire("patient", id)) == [theirs, mine]
    await inbox.call(
        "MarkInboxItemsRead", inbox.token(later), patient_id=to_wire("patient", later), message_ids=[theirs]
    )
    assert (await inbox.call("CountUnreadInboxItems")).unread_count == 1
    for id, seen in ((alias, {alias, inbox.patient_id}), (new_id(), set())):
        call = replace(inbox.svc.inside("test"), patient_id=id)
        async with inbox.svc.db.transaction(call) as conn:
            assert {row["alias_id"] for row in await conn.fetch("SELECT alias_id FROM patient_alias")} == seen
    await inbox.unmerge(alias, inbox.patient_id, version=2)
    assert await inbox.listed() == [mine]
    assert await inbox.listed(inbox.token(alias), patient_id=to_wire("patient", alias)) == [theirs]


async def test_reading_is_audited_and_watching_once(inbox: Inboxes) -> None:
    await inbox.listed()
    async with watching(inbox) as watch:
        for _ in range(3):
            await inbox.add()
            await watch.item()
    query = "SELECT method, kind, ids FROM audit WHERE chain_id = $1 ORDER BY position"
    rows = await inbox.svc.admin.fetch(query, inbox.svc.chain_id)
    assert [(row["method"].rpartition(".")[2], row["kind"]) for row in rows] == [
        ("ListInboxItems", "AUDIT_PHI_READ"),
        ("WatchInbox", "AUDIT_PHI_READ"),
    ]
    assert all(to_wire("patient", inbox.patient_id) in row["ids"] for row in rows)


class Watch:
    """An open stream. Its first message, a heartbeat, was read."""

    def __init__(self, stream: Any, first: pb.WatchInboxResponse) -> None:
        self._stream, self.token = stream, first.resume_token

    async def next(self, within_s: float = 5.0) -> pb.WatchInboxResponse:
        message = await asyncio.wait_for(self._stream.read(), within_s)
        assert message is not grpc.aio.EOF
        self.token = message.resume_token
        told: pb.WatchInboxResponse = message
        return told

    async def item(self) -> str:
        message = await self.next()
        assert message.HasField("inbox_item")
        return message.inbox_item.message_id

    async def is_silent(self, for_s: float = 0.8) -> bool:
        """Leaves the stream unfit for reading: to be asked last."""
        try:
            await asyncio.wait_for(self._stream.read(), for_s)
        except TimeoutError:
            return True
        return False


def open_stream(
    inbox: Inboxes, token: str = "", bearer: str = "", channel: Any = None, patient_id: UUID | None = None
) -> Any:
    stub: Any = InboxServiceStub(channel or inbox.svc.channel)
    request = pb.WatchInboxRequest(patient_id=to_wire("patient", patient_id or inbox.patient_id), resume_token=token)
    return stub.WatchInbox(request, metadata=[("authorization", f"Bearer {bearer or inbox.token()}")], timeout=30)


@asynccontextmanager
async def watching(inbox: Inboxes, token: str = "", **options: Any) -> AsyncIterator[Watch]:
    stream = open_stream(inbox, token, **options)
    try:
        first = await asyncio.wait_for(stream.read(), 5)
        assert not first.HasField("inbox_item")
        yield Watch(stream, first)
    finally:
        stream.cancel()


async def refused_stream(inbox: Inboxes, token: str = "", **options: Any) -> Refusal:
    try:
        await open_stream(inbox, token, **options).read()
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    pytest.fail("it was not refused")


async def test_each_new_item_comes_within_a_second(inbox: Inboxes) -> None:
    await inbox.add()
    async with watching(inbox) as watch:
        began = time.monotonic()
        added = await inbox.add()
        message = await watch.next()
        assert time.monotonic() - began < SOON_S
        assert message.inbox_item == (await inbox.call("ListInboxItems")).inbox_items[0]
        assert message.inbox_item.message_id == added
        assert await watch.is_silent()


async def test_a_stream_that_was_cut_goes_on_after_the_message_whose_token_it_brings(inbox: Inboxes) -> None:
    async with watching(inbox) as watch:
        one, two, three = [await inbox.add() for _ in range(3)]
        assert [await watch.item() for _ in range(2)] == [one, two]
        token = watch.token
    four = await inbox.add()
    async with watching(inbox, token) as watch:
        assert [await watch.item() for _ in range(2)] == [three, four]
        five = await inbox.add()
        assert await watch.item() == five
        assert await watch.is_silent()


async def test_a_list_and_what_is_watched_from_it_on_leave_nothing_out(inbox: Inboxes) -> None:
    await inbox.add()
    page = await inbox.call("ListInboxItems")
    second = await inbox.add()
    async with watching(inbox, page.resume_token) as watch:
        assert await watch.item() == second
        assert await watch.is_silent()


async def test_items_added_in_one_transaction_are_resumed_between(inbox: Inboxes) -> None:
    async def work(store: NotificationsStore) -> None:
        for id in ids:
            await store.add_to_inbox(id, inbox.patient_id, inbox.site_id, "VISIT_REMINDER", "", "", NOW)

    ids = [new_id() for _ in range(3)]
    async with watching(inbox) as watch:
        await inbox.svc.db.job(inbox.svc.inside("sender"), NotificationsStore, work)
        assert await watch.item() == to_wire("message", ids[0])
        token = watch.token
    async with watching(inbox, token) as watch:
        assert [await watch.item() for _ in range(2)] == [to_wire("message", id) for id in ids[1:]]


async def test_more_than_is_read_at_once_is_caught_up_with(inbox: Inboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "READ_MAX", 2)
    async with watching(inbox) as watch:
        token = watch.token
    added = [await inbox.add() for _ in range(5)]
    await inbox.add(new_id())
    async with watching(inbox, token) as watch:
        assert [await watch.item() for _ in range(5)] == added
        assert await watch.is_silent()


async def test_what_comes_for_others_is_not_told_and_does_not_hold_up_heartbeats(
    inbox: Inboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifications.rpc.inbox.HEARTBEAT_S", 0.5)

    async def add_for_others() -> None:
        while True:
            await inbox.add(new_id())
            await asyncio.sleep(0.1)

    async with watching(inbox) as watch:
        others = asyncio.create_task(add_for_others())
        for _ in range(3):
            beat = await watch.next(2)
            assert not beat.HasField("inbox_item")
        others.cancel()
        mine = await inbox.add()
        while not (message := await watch.next()).HasField("inbox_item"):
            continue
        assert message.inbox_item.message_id == mine


async def test_staff_are_told_of_their_sites_only_though_one_reader_reads_for_all(inbox: Inboxes) -> None:
    staff = inbox.svc.token("ROLE_FRONT_DESK", sites=[inbox.site_id])
    everywhere = inbox.svc.token("ROLE_CHAIN_ADMIN")
    async with watching(inbox, bearer=everywhere) as all_of_it, watching(inbox, bearer=staff) as watch:
        await inbox.add(new_id())  # A patient whom nobody watches.
        elsewhere = await inbox.add(site_id=new_id())
        here = await inbox.add()
        assert await watch.item() == here
        assert [await all_of_it.item() for _ in range(2)] == [elsewhere, here]
        assert await watch.is_silent()


async def test_another_chain_is_told_nothing(inbox: Inboxes) -> None:
    async with watching(inbox, bearer=inbox.token(chain_id=new_id())) as watch:
        await inbox.add()
        assert await watch.is_silent()


async def test_whoever_watches_a_merged_patient_is_told_under_every_id(
    inbox: Inboxes,
) -> None:
    alias = new_id()
    await inbox.merge(alias, inbox.patient_id)
    for id in (alias, inbox.patient_id):
        async with watching(inbox, bearer=inbox.token(id), patient_id=id) as watch:
            added = [await inbox.add(alias), await inbox.add()]
            assert [await watch.item() for _ in range(2)] == added
            token = watch.token
        added = [await inbox.add(alias), await inbox.add()]
        async with watching(inbox, token, bearer=inbox.token(id), patient_id=id) as watch:
            assert [await watch.item() for _ in range(2)] == added


async def test_a_merge_while_somebody_watches_is_followed_by_the_next_heartbeat(
    inbox: Inboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifications.rpc.inbox.HEARTBEAT_S", 0.3)
    survivor = new_id()
    async with watching(inbox) as watch:
        await inbox.merge(inbox.patient_id, survivor)
        for _ in range(2):
            assert not (await watch.next()).HasField("inbox_item")
        added = await inbox.add(survivor)
        while not (message := await watch.next()).HasField("inbox_item"):
            continue
        assert message.inbox_item.message_id == added


async def test_a_transaction_that_began_earlier_and_commits_later_delays_others_and_loses_nothing(
    inbox: Inboxes,
) -> None:
    """Its row has the lower transaction: a reader that had gone on beyond it would never see it."""
    async with watching(inbox) as watch:
        token = watch.token
        slow = inbox.svc.admin.transaction()
        await slow.start()
        early = new_id()
        await write(inbox, early)
        late = await inbox.add()
        async with watching(inbox, token) as other:
            assert await other.is_silent()
        await slow.commit()
        assert [await watch.item() for _ in range(2)] == [to_wire("message", early), late]
    async with watching(inbox, token) as watch:
        assert [await watch.item() for _ in range(2)] == [to_wire("message", early), late]


async def write(inbox: Inboxes, message_id: UUID) -> None:
    """As the service would, in a transaction that the test holds open."""
    chain_id = inbox.svc.chain_id
    item = """INSERT INTO inbox_item (chain_id, message_id, patient_id, site_id, kind, subject, text, at)
              VALUES ($1, $2, $3, $4, 'VISIT_REMINDER', '', '', now())"""
    await inbox.svc.admin.execute(item, chain_id, message_id, inbox.patient_id, inbox.site_id)
    arrival = "INSERT INTO inbox_arrival (chain_id, message_id, patient_id) VALUES ($1, $2, $3)"
    await inbox.svc.admin.execute(arrival, chain_id, message_id, inbox.patient_id)


async def test_another_process_goes_on_from_the_same_token(inbox: Inboxes) -> None:
    async with watching(inbox) as watch:
        await inbox.add()
        await watch.item()
        token = watch.token
    added = await inbox.add()
    async with open_pool(inbox.svc.urls.service, size=4) as pool:
        server = Server(tokens_of(inbox.svc.issuer), inbox.svc.clock)
        for descriptor, servicer in inbox.svc.service.servicers(Database(pool)).items():
            server.add(descriptor, servicer)
        port, _ = await server.start("127.0.0.1:0", "127.0.0.1:0")
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        async with channel, watching(inbox, token, channel=channel) as there:
            assert await there.item() == added
        await server.stop()


def changed(token: str, place: int, value: object) -> str:
    parts = json.loads(base64.urlsafe_b64decode(token))
    parts[place] = value
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


async def test_a_token_that_leads_nowhere_is_refused(inbox: Inboxes) -> None:
    async with watching(inbox) as watch:
        token = watch.token
    other = inbox.svc.token("ROLE_NURSE")
    for bad, patient_id in (
        ("nonsense", None),
        (changed(token, 2, "x"), None),
        (changed(token, 2, -1), None),
        (token, new_id()),
    ):
        refused = await refused_stream(inbox, bad, bearer=other, patient_id=patient_id)
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "INBOX_TOKEN_INVALID")
        assert refused.faults == [("resume_token", "INBOX_TOKEN_INVALID")]
    seconds = json.loads(base64.urlsafe_b64decode(token))[4]
    for gone in (
        changed(token, 1, "another-1"),
        changed(token, 2, 2**62),
        changed(token, 4, seconds - 6 * 86_400 - 60),
    ):
        refused = await refused_stream(inbox, gone)
        assert (refused.code, refused.reason) == (StatusCode.OUT_OF_RANGE, "INBOX_TOKEN_EXPIRED")
    async with watching(inbox, changed(token, 4, seconds - 6 * 86_400 + 60)):
        pass


async def test_a_stream_ends_with_its_token(inbox: Inboxes) -> None:
    bearer = inbox.token(exp=int(time.time()) + 2)
    stream = open_stream(inbox, bearer=bearer)

    async def read() -> None:
        async for _ in stream:
            continue

    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(read(), 10)
    assert read_refusal(ended.value).reason == "TOKEN_EXPIRED"


async def test_what_came_is_logged_for_a_week_and_stays_in_the_inbox(inbox: Inboxes) -> None:
    old, young = await inbox.add(), await inbox.add()
    admin, age = inbox.svc.admin, "UPDATE inbox_arrival SET recorded_at = now() - $2::interval WHERE message_id = $1"
    await admin.execute(age, from_wire("message", old), ARRIVALS_KEPT + timedelta(minutes=1))
    await admin.execute(age, from_wire("message", young), ARRIVALS_KEPT - timedelta(minutes=1))
    assert inbox_arrival in inbox.svc.service.short_lived
    async with open_pool(inbox.svc.urls.relay, size=1) as relay:
        await sweep(relay, inbox.svc.service.short_lived)
    left = await admin.fetch("SELECT message_id FROM inbox_arrival WHERE chain_id = $1", inbox.svc.chain_id)
    assert [to_wire("message", row["message_id"]) for row in left] == [young]
    assert set(await inbox.listed()) == {old, young}


async def test_the_log_is_never_rewritten(inbox: Inboxes) -> None:
    await inbox.add()
    async with inbox.svc.db.transaction(inbox.svc.inside("test")) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("UPDATE inbox_arrival SET recorded_at = now()")


MANY = """
INSERT INTO inbox_item (chain_id, message_id, patient_id, site_id, kind, subject, text, at)
SELECT chain_id, gen_random_uuid(), patient, site_id, kind, subject, text, at
FROM inbox_item, (SELECT gen_random_uuid() AS patient FROM generate_series(1, 2000)) AS patients, generate_series(1, 10)
WHERE chain_id = $1;
INSERT INTO inbox_arrival (chain_id, message_id, patient_id)
SELECT chain_id, message_id, patient_id FROM inbox_item WHERE chain_id = $1;
INSERT INTO patient_alias
SELECT $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1 FROM generate_series(1, 5000)
"""


async def test_items_are_found_by_index_among_many_by_staff_and_by_the_patient(inbox: Inboxes) -> None:
    """As the service's own role: row-level security keeps operators that are not leakproof from an index."""
    await inbox.add()
    for part in MANY.split(";"):
        await inbox.svc.admin.execute(part, inbox.svc.chain_id)
    await inbox.svc.admin.execute("ANALYZE")
    of_patient = {"patient_id": inbox.patient_id}
    page = {"before": store.LATEST[0], "before_id": store.LATEST[1], "limit": 10, "unread_only": False}
    from_here = {"transaction": 0, "place": 0, "limit": 10}
    asked: list[tuple[Statement, dict[str, Any], str]] = [
        (store.ITEMS, of_patient | page, "inbox_item_patient_idx"),
        (store.COUNT_UNREAD, of_patient, "inbox_item_unread_idx"),
        (store.ARRIVALS, from_here, "inbox_arrival_pkey"),
        (store.ARRIVALS_OF_PATIENT, from_here | of_patient, "inbox_arrival_patient_idx"),
    ]
    staff = inbox.svc.inside("explain")
    for call in (staff, replace(staff, patient_id=inbox.patient_id)):
        async with inbox.svc.db.transaction(call) as conn:
            for statement, values, index in asked:
                arguments = statement.args({"chain_id": inbox.svc.chain_id, **values})
                plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.text}", *arguments))
                assert index in plan, plan
                assert "Seq Scan" not in plan, plan
