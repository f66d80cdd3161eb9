"""InboxService: a patient's messages inside the chain's own front ends, and each as it comes."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from atoll.common.v1.access_pb2 import AUDIT_NONE
from atoll.notifications.v1 import inbox_service_pb2 as pb
from atoll.notifications.v1 import message_pb2
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Violation
from chassis.feed import Feed, Feeds, Position, Reading
from chassis.ids import from_wire, to_wire
from chassis.pages import BadPageToken, Page
from chassis.times import EPOCH, to_timestamp
from services.notifications.domain.inbox import Arrival, InboxTokenInvalid, Item, Mark
from services.notifications.store import NotificationsStore
from services.notifications.store.inbox import LATEST

HEARTBEAT_S = 15.0
SECOND = timedelta(seconds=1)
Entries = Sequence[tuple[Position, Arrival]]


class InboxServicer:
    def __init__(self, db: Database) -> None:
        self._db, self._feeds = db, Feeds()

    async def ListInboxItems(self, request: pb.ListInboxItemsRequest, call: Call) -> pb.ListInboxItemsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = _before(page)

        async def work(store: NotificationsStore) -> tuple[Mark, list[Item]]:
            mark, _ = await store.inbox_mark(patient_id)  # First: what comes between the two is told twice, not lost.
            return mark, await store.inbox(patient_id, before, page.limit, unread_only=request.unread_only)

        mark, found = await self._db.read(call, request, NotificationsStore, work)
        shown, token = page.cut(found, key=lambda item: [item.at.isoformat(), str(item.message_id)])
        return pb.ListInboxItemsResponse(
            inbox_items=map(_to_wire, shown),
            next_page_token=token,
            resume_token=_token(call.chain_id, patient_id, mark),
        )

    async def CountUnreadInboxItems(
        self, request: pb.CountUnreadInboxItemsRequest, call: Call
    ) -> pb.CountUnreadInboxItemsResponse:
        patient_id = from_wire("patient", request.patient_id)
        unread = await self._db.read(call, request, NotificationsStore, lambda store: store.count_unread(patient_id))
        return pb.CountUnreadInboxItemsResponse(unread_count=unread)

    async def MarkInboxItemsRead(
        self, request: pb.MarkInboxItemsReadRequest, call: Call
    ) -> pb.MarkInboxItemsReadResponse:
        patient_id = from_wire("patient", request.patient_id)
        message_ids = [from_wire("message", id) for id in request.message_ids]

        async def work(store: NotificationsStore) -> pb.MarkInboxItemsReadResponse:
            await store.mark_read(patient_id, message_ids)
            return pb.MarkInboxItemsReadResponse(unread_count=await store.count_unread(patient_id))

        return await self._db.once(call, request, pb.MarkInboxItemsReadResponse, NotificationsStore, work)

    async def WatchInbox(
        self, request: pb.WatchInboxRequest, call: Call
    ) -> AsyncGenerator[pb.WatchInboxResponse, None]:
        """Audited once, when it opens. What came into inboxes of the chain is read for all who watch one in this
        process, as ids; each item is read for whoever is told of it, and may be none of the caller's."""
        patient_id = from_wire("patient", request.patient_id)
        given = _mark(call.chain_id, patient_id, request.resume_token) if request.resume_token else None
        now, end_id = await self._mark_now(call, patient_id)
        mark = given or now
        mark.check(now)
        to_token = partial(_token, call.chain_id, patient_id)
        quiet = replace(call, audit=AUDIT_NONE)
        yield pb.WatchInboxResponse(resume_token=to_token(mark))
        while mark.position < now.position:
            missed = await self._arrivals(quiet, mark, patient_id, mark.position)
            async for each in self._items(quiet, now, missed.entries, to_token):
                yield each
            mark = replace(now, position=missed.upto, read_at=missed.read_at)
        start: Reading[Arrival] = Reading((), mark.position, mark.read_at)
        read = partial(self._arrivals, _reader(call), mark, None)
        async with self._feeds.watch(call.chain_id, read, start) as feed:
            async for reading in _beats(feed, start):
                own = [each for each in reading.entries if patient_id == each[1].patient_id or end_id == each[1].end_id]
                async for each in self._items(quiet, now, own, to_token):
                    yield each
                if not reading.entries:
                    _, end_id = await self._mark_now(quiet, patient_id)  # The patient may be another's alias by now.
                    told = replace(now, position=reading.upto, read_at=reading.read_at)
                    yield pb.WatchInboxResponse(resume_token=to_token(told))

    async def _mark_now(self, call: Call, patient_id: UUID) -> tuple[Mark, UUID]:
        request = pb.WatchInboxRequest(patient_id=to_wire("patient", patient_id))
        return await self._db.read(call, request, NotificationsStore, lambda store: store.inbox_mark(patient_id))

    async def _items(
        self, call: Call, now: Mark, entries: Entries, to_token: Callable[[Mark], str]
    ) -> AsyncGenerator[pb.WatchInboxResponse, None]:
        """Of those that the caller may see."""
        if not entries:
            return
        ids = [arrival.message_id for _, arrival in entries]
        found = await self._db.read(
            call, pb.WatchInboxRequest(), NotificationsStore, lambda store: store.inbox_items(ids)
        )
        for position, arrival in entries:
            if item := found.get(arrival.message_id):
                told = replace(now, position=position, read_at=arrival.recorded_at)
                yield pb.WatchInboxResponse(resume_token=to_token(told), inbox_item=_to_wire(item))

    async def _arrivals(self, call: Call, since: Mark, patient_id: UUID | None, position: Position) -> Reading[Arrival]:
        """Of the database that answered when the first of those who watch began."""

        async def read(store: NotificationsStore) -> Reading[Arrival]:
            return await store.arrivals(replace(since, position=position), patient_id)

        return await self._db.read(call, pb.WatchInboxRequest(), NotificationsStore, read)


async def _beats(feed: Feed[Arrival], start: Reading[Arrival]) -> AsyncGenerator[Reading[Arrival], None]:
    """What comes, as it comes, and every HEARTBEAT_S nothing, however much comes for others."""
    loop, reading = asyncio.get_running_loop(), start
    beat_at = loop.time() + HEARTBEAT_S
    while True:
        reading = await feed.after(reading.upto, max(beat_at - loop.time(), 0))
        yield reading
        if not reading.entries:
            beat_at = loop.time() + HEARTBEAT_S


def _reader(call: Call) -> Call:
    """Reads ids for every caller who watches an inbox of the chain, whoever is the first."""
    return replace(call, sites=None, patient_id=None, actor="watch", audit=AUDIT_NONE, roles=frozenset())


def _token(chain_id: UUID, patient_id: UUID, mark: Mark) -> str:
    parts = [_of(chain_id, patient_id), mark.database, *mark.position, (mark.read_at - EPOCH) // SECOND]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def _mark(chain_id: UUID, patient_id: UUID, token: str) -> Mark:
    try:
        of, database, transaction, place, seconds = json.loads(base64.urlsafe_b64decode(token))
        numbers = transaction, place, seconds
        if of != _of(chain_id, patient_id) or not isinstance(database, str) or not all(map(_is_number, numbers)):
            raise ValueError(token)
        return Mark(database, Position(transaction, place), EPOCH + seconds * SECOND)
    except (ValueError, TypeError, OverflowError):
        violation = Violation("resume_token", "INBOX_TOKEN_INVALID", InboxTokenInvalid.message)
        raise InboxTokenInvalid(violation) from None


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _of(chain_id: UUID, patient_id: UUID) -> str:
    return hashlib.sha256(chain_id.bytes + patient_id.bytes).hexdigest()[:16]


def _before(page: Page) -> tuple[datetime, UUID]:
    if page.after is None:
        return LATEST
    try:
        at, id = page.after
        return datetime.fromisoformat(at), UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _to_wire(item: Item) -> pb.InboxItem:
    return pb.InboxItem(
        message_id=to_wire("message", item.message_id),
        patient_id=to_wire("patient", item.patient_id),
        site_id=to_wire("site", item.site_id),
        kind=message_pb2.MessageKind.Value(f"MESSAGE_KIND_{item.kind}"),
        subject=item.subject,
        text=item.text,
        create_time=to_timestamp(item.at),
        read_time=to_timestamp(item.read_at) if item.read_at else None,
    )
