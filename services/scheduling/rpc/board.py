"""BoardService: a site's day, and its changes as they are made."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache, partial
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from atoll.common.v1.access_pb2 import AUDIT_NONE
from atoll.scheduling.v1 import board_service_pb2 as pb
from atoll.scheduling.v1 import visit_pb2
from atoll.scheduling.v1.protocol_pb2 import ResourceKind as WireKind
from atoll.scheduling.v1.protocol_pb2 import SegmentKind as WireSegmentKind
from chassis.call import Call
from chassis.db import Database
from chassis.feed import Feeds, Position, Reading
from chassis.ids import from_wire, to_wire
from chassis.times import from_date, to_date, to_timestamp
from services.scheduling.domain.board import (
    Begun,
    BoardResource,
    BoardVisit,
    Next,
    minutes_until,
    next_visits,
    resources_of,
    segments_of,
    standing_of,
)
from services.scheduling.domain.changes import Mark, VisitChange
from services.scheduling.domain.protocols import SegmentKind
from services.scheduling.domain.resources import ResourceKind
from services.scheduling.rpc.marks import mark_from_wire, mark_to_wire
from services.scheduling.rpc.visits import visit_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.store.board import VISITS_KEPT, BoardSite

HEARTBEAT_S = 15.0
KINDS = {kind: WireSegmentKind.Value(kind) for kind in SegmentKind}


class BoardServicer:
    def __init__(self, db: Database) -> None:
        self._db, self._feeds = db, Feeds()

    async def GetDayBoard(self, request: pb.GetDayBoardRequest, call: Call) -> pb.GetDayBoardResponse:
        site_id = from_wire("site", request.site_id)
        given = from_date(request.date, "date") if request.HasField("date") else None

        async def read(store: SchedulingStore) -> tuple[BoardSite, date, list[BoardVisit]]:
            site = await store.board_site(site_id)
            day = given or call.now.astimezone(site.zone).date()
            return site, day, await store.board_visits(site_id, site, day)

        site, day, visits = await self._db.read(call, request, SchedulingStore, read)
        board = pb.DayBoard(
            site_id=request.site_id,
            date=to_date(day),
            time_zone=site.zone.key,
            as_of_time=to_timestamp(call.now),
            resume_token=mark_to_wire(call.chain_id, site_id, site.mark),
        )
        _fill(board, site, visits, call.now)
        return pb.GetDayBoardResponse(day_board=board)

    async def WatchSite(self, request: pb.WatchSiteRequest, call: Call) -> AsyncGenerator[pb.WatchSiteResponse, None]:
        """Audited once, when it opens. What it delivers is read for all who watch the site in this process."""
        site_id = from_wire("site", request.site_id)
        token = request.resume_token
        given = mark_from_wire(call.chain_id, site_id, token) if token else None
        now = await self._db.read(call, request, SchedulingStore, lambda store: store.mark(site_id))
        mark = given or now
        mark.check(now)
        start: Reading[VisitChange] = Reading((), now.position, now.read_at)
        read = partial(self._changes, _reader(call, site_id), site_id, now)
        to_token = partial(mark_to_wire, call.chain_id, site_id)
        async with self._feeds.watch((call.chain_id, site_id), read, start) as feed:
            yield pb.WatchSiteResponse(resume_token=to_token(mark))
            while True:
                reading = await feed.after(mark.position, HEARTBEAT_S)
                for position, change in reading.entries:
                    told = to_token(Mark(now.database, position, change.recorded_at))
                    yield pb.WatchSiteResponse(resume_token=told, visit_change=_change(change))
                mark = Mark(now.database, reading.upto, reading.read_at)
                if not reading.entries:
                    yield pb.WatchSiteResponse(resume_token=to_token(mark))

    async def _changes(self, call: Call, site_id: UUID, since: Mark, position: Position) -> Reading[VisitChange]:
        """Of the database that answered when the first of those who watch began."""

        async def read(store: SchedulingStore) -> Reading[VisitChange]:
            return await store.changes(site_id, replace(since, position=position))

        return await self._db.read(call, pb.WatchSiteRequest(), SchedulingStore, read)


def _fill(board: pb.DayBoard, site: BoardSite, visits: Sequence[BoardVisit], now: datetime) -> None:
    spelling = _Spelling()
    following, standings = next_visits(visits), [standing_of(each, now) for each in visits]
    for each, standing in zip(visits, standings, strict=True):
        board.visits.append(_visit(each))
        wire, next = board.visits[-1], following.get(each.visit.id)
        if standing.current is not None:
            wire.current_segment = standing.current
        if standing.due:
            wire.due_time.CopyFrom(spelling.time(standing.due))
            wire.minutes_left = minutes_until(standing.due, now)
        if next and next is not each.next_of_course:
            _set_next(wire, next)
    board.resources.extend(_resource(each, spelling) for each in resources_of(site.resources, visits, standings))


class _Spelling:
    """A board says many things more than once, ids and instants: each is spelt once."""

    def __init__(self) -> None:
        self._ids: dict[UUID, str] = {}
        self._times: dict[datetime, Timestamp] = {}

    def visit(self, id: UUID) -> str:
        return self._ids.get(id) or self._ids.setdefault(id, to_wire("visit", id))

    def resource(self, id: UUID) -> str:
        return self._ids.get(id) or self._ids.setdefault(id, to_wire("resource", id))

    def time(self, instant: datetime) -> Timestamp:
        return self._times.get(instant) or self._times.setdefault(instant, to_timestamp(instant))


@lru_cache(maxsize=VISITS_KEPT)
def _visit(each: BoardVisit) -> pb.BoardVisit:
    """Without what depends on the hour and on other courses. A board is read all day, and few of its visits change."""
    taken = [(to_wire("resource", id), kind) for id, kind in each.taken]
    wire = pb.BoardVisit(
        visit=visit_to_wire(each.visit),
        segments=map(_segment, segments_of(each)),
        room_ids=[id for id, kind in taken if kind is ResourceKind.ROOM],
        staff_ids=[id for id, kind in taken if kind is ResourceKind.STAFF],
        equipment_ids=[id for id, kind in taken if kind is ResourceKind.EQUIPMENT],
    )
    if each.next_of_course:
        _set_next(wire, each.next_of_course)
    return wire


def _set_next(wire: pb.BoardVisit, next: Next) -> None:
    wire.next_visit_id = to_wire("visit", next.visit_id)
    wire.next_visit_time.CopyFrom(to_timestamp(next.start))


def _segment(begun: Begun) -> pb.BoardSegment:
    return pb.BoardSegment(
        kind=KINDS[begun.segment.kind],
        planned_start_time=to_timestamp(begun.start),
        planned_end_time=to_timestamp(begun.end),
        actual_start_time=to_timestamp(begun.began) if begun.began else None,
        actual_end_time=to_timestamp(begun.ended) if begun.ended else None,
        requirement_keys=[use.requirement_key for use in begun.segment.uses],
    )


def _resource(each: BoardResource, spelling: _Spelling) -> pb.BoardResource:
    return pb.BoardResource(
        resource_id=spelling.resource(each.id),
        kind=WireKind.Value(each.kind),
        display_name=each.display_name,
        current_visit_ids=map(spelling.visit, each.current),
        next_visit_id=spelling.visit(each.next.visit_id) if each.next else "",
        next_time=spelling.time(each.next.start) if each.next else None,
    )


def _change(change: VisitChange) -> pb.VisitChange:
    return pb.VisitChange(
        kind=pb.VisitChangeKind.Value(change.kind),
        visit_id=to_wire("visit", change.visit_id),
        course_id=to_wire("course", change.course_id),
        status=visit_pb2.VisitStatus.Value(change.status),
        change_time=to_timestamp(change.at),
        course_version=change.course_version,
        visit=visit_to_wire(change.visit) if change.visit else None,
    )


def _reader(call: Call, site_id: UUID) -> Call:
    """Reads for every caller who may watch the site, whoever is the first."""
    return replace(call, sites=frozenset({site_id}), actor="watch", audit=AUDIT_NONE, roles=frozenset())
