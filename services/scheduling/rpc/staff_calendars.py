"""StaffCalendarService."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from atoll.scheduling.v1 import staff_calendar_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Overloaded
from chassis.ids import from_wire
from chassis.pages import Page
from chassis.times import from_date, to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.staff_calendars import Appointment, feed, feed_window
from services.scheduling.reader import read_apart
from services.scheduling.store import SchedulingStore

READING_MAX = 8
"""Calendars being read or waiting for it, in one worker."""


class StaffCalendarServicer:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._reader, self._reading = ThreadPoolExecutor(1, "calendars"), 0

    async def ImportBusyTimes(self, request: pb.ImportBusyTimesRequest, call: Call) -> pb.ImportBusyTimesResponse:
        """The calendar is read in another process, before the transaction that keeps what it says."""
        id, source = from_wire("resource", request.resource_id), request.source
        if self._reading >= READING_MAX:
            raise Overloaded()
        self._reading += 1
        try:
            zone = await self._db.read(call, request, SchedulingStore, lambda store: use_cases.zone_of_staff(store, id))
            read = partial(read_apart, request.calendar, zone, call.now)
            slots = await asyncio.get_running_loop().run_in_executor(self._reader, read)
        finally:
            self._reading -= 1

        async def work(store: SchedulingStore) -> pb.ImportBusyTimesResponse:
            await store.keep_busy_times(id, source, slots)
            return pb.ImportBusyTimesResponse(busy_time_count=len(slots))

        return await self._db.once(call, request, pb.ImportBusyTimesResponse, SchedulingStore, work, locks=[id])

    async def ListBusyTimes(self, request: pb.ListBusyTimesRequest, call: Call) -> pb.ListBusyTimesResponse:
        id, page = from_wire("resource", request.resource_id), Page.of(request, call)

        async def work(store: SchedulingStore) -> list[tuple[str, Slot]]:
            await store.resource(id)
            return await store.busy_times(id, page)

        found = await self._db.read(call, request, SchedulingStore, work)
        kept, token = page.cut(found, key=lambda each: [each[1].end.isoformat(), each[0]])
        return pb.ListBusyTimesResponse(
            busy_times=[
                pb.BusyTime(source=source, start_time=to_timestamp(slot.start), end_time=to_timestamp(slot.end))
                for source, slot in kept
            ],
            next_page_token=token,
        )

    async def GetResourceCalendarFeed(
        self, request: pb.GetResourceCalendarFeedRequest, call: Call
    ) -> pb.GetResourceCalendarFeedResponse:
        id = from_wire("resource", request.resource_id)
        first, last = from_date(request.first_date, "first_date"), from_date(request.last_date, "last_date")

        async def work(store: SchedulingStore) -> list[Appointment]:
            home = await store.site((await store.resource(id)).site_id)
            return await store.appointments(id, feed_window(first, last, home.hours.zone))

        appointments = await self._db.read(call, request, SchedulingStore, work)
        return pb.GetResourceCalendarFeedResponse(calendar=feed(appointments, call.now))
