"""The detail of VISITS_CONFLICT: where the visits in conflict could be instead."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from google.protobuf.message import Message

from atoll.scheduling.v1 import course_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import DomainError
from chassis.status import DETAIL_MAX
from services.scheduling.domain.courses import VisitsConflict
from services.scheduling.domain.planning.plans import PlannedVisit
from services.scheduling.rpc.planning import planned_visit_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import alternatives
from services.scheduling.use_cases.courses import BookCourse

LOOKING_MAX = 2
"""Refusals in one worker for which other places are looked for at once."""
IN_HAND_MAX = 8
"""Bookings in one worker beside which a refusal still looks: it costs as much as ten bookings, and in a rush for the
same places whoever is told late would be told later still."""

T = TypeVar("T")
Command = BookCourse | Callable[[SchedulingStore], Awaitable[BookCourse]]
"""What was asked for; or how it is found, where the site's hours say when its visits are."""
log = structlog.get_logger()


class Conflicts:
    def __init__(self, db: Database) -> None:
        self._db, self._in_hand, self._looking = db, 0, 0
        self._thread = ThreadPoolExecutor(1, "conflicts")

    async def or_elsewhere(self, call: Call, request: Message, command: Command, answer: Awaitable[T]) -> T:
        """A conflict says where else its visits could be, unless too many ask at once."""
        self._in_hand += 1
        came_in_rush = self._in_hand > IN_HAND_MAX
        try:
            return await answer
        except VisitsConflict as error:
            in_rush = came_in_rush or self._in_hand > IN_HAND_MAX
            if error.indexes and self._looking < LOOKING_MAX and not in_rush:
                self._looking += 1
                try:
                    error.detail = await self._elsewhere(call, request, command, error.indexes)
                except DomainError as failed:
                    log.info("alternatives.left_out", reason=failed.reason)
                finally:
                    self._looking -= 1
            raise
        finally:
            self._in_hand -= 1

    async def _elsewhere(
        self, call: Call, request: Message, command: Command, indexes: Sequence[int]
    ) -> pb.VisitsConflictDetail:
        async def read(store: SchedulingStore) -> list[alternatives.Elsewhere]:
            asked = command if isinstance(command, BookCourse) else await command(store)
            return await alternatives.elsewhere(store, asked, indexes)

        found = await self._db.read(call, request, SchedulingStore, read)
        work = partial(alternatives.places, found, call.now)
        by_index = dict(await asyncio.get_running_loop().run_in_executor(self._thread, work))
        return fitting(indexes, by_index)


def fitting(indexes: Sequence[int], by_index: Mapping[int, Sequence[PlannedVisit]]) -> pb.VisitsConflictDetail:
    """With as many places for each visit as a status has room for: the nearest come first."""
    for places in range(alternatives.PLACES_MAX, 0, -1):
        detail = pb.VisitsConflictDetail(
            visits=(
                pb.VisitAlternatives(
                    visit_index=index, visits=map(planned_visit_to_wire, by_index.get(index, ())[:places])
                )
                for index in indexes
            )
        )
        if detail.ByteSize() <= DETAIL_MAX:
            break
    return detail
