"""When staff are busy by calendars of their own, and what of their visits a calendar may show."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, Uuid, and_, delete, func, insert, or_, select

from chassis.pages import Page
from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.calendars import CalendarTooLarge
from services.scheduling.domain.hours import DAY, Slot
from services.scheduling.domain.resources import ResourceKind
from services.scheduling.domain.staff_calendars import FEED_EVENTS_MAX, Appointment
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.tables import allocation, busy_time, course, resource, site, visit

RESOURCE, SOURCE = param("resource_id", Uuid), param("source", Text)
_of_source = [busy_time.c.chain_id == CHAIN, busy_time.c.resource_id == RESOURCE, busy_time.c.source == SOURCE]
FORGET_BUSY = Statement(delete(busy_time).where(*_of_source))
_busy = rows("busy", start_at=Instant, end_at=Instant)
ADD_BUSY = Statement(
    insert(busy_time).from_select(
        ["chain_id", "resource_id", "source", "start_at", "end_at"],
        select(CHAIN, RESOURCE, SOURCE, _busy.c.start_at, _busy.c.end_at),
    )
)
_after, _after_source = param("after", Instant), param("after_source", Text)
BUSY_TIMES = Statement(
    select(busy_time)
    .where(
        busy_time.c.chain_id == CHAIN,
        busy_time.c.resource_id == RESOURCE,
        busy_time.c.end_at > param("now", Instant),
        or_(busy_time.c.end_at > _after, and_(busy_time.c.end_at == _after, busy_time.c.source > _after_source)),
    )
    .order_by(busy_time.c.end_at, busy_time.c.source)
    .limit(LIMIT)
)

FROM, UNTIL = param("from_time", Instant), param("until_time", Instant)
_taken = (
    select(
        allocation.c.visit_id,
        func.min(allocation.c.start_at).label("start_at"),
        func.max(allocation.c.end_at).label("end_at"),
    )
    .where(
        allocation.c.chain_id == CHAIN,
        allocation.c.resource_id == RESOURCE,
        allocation.c.end_at > FROM,
        allocation.c.start_at < UNTIL,
        allocation.c.end_at < UNTIL + DAY,
    )
    .group_by(allocation.c.visit_id)
    .subquery("taken")
)
_room = resource.alias("room")
_of_visit = allocation.alias("of_visit")
_rooms = (
    select(_room.c.display_name)
    .distinct()
    .join_from(_of_visit, _room, and_(_room.c.chain_id == _of_visit.c.chain_id, _room.c.id == _of_visit.c.resource_id))
    .where(
        _of_visit.c.chain_id == CHAIN,
        _of_visit.c.visit_id == _taken.c.visit_id,
        _room.c.kind == param("room_kind", Text),
    )
    .correlate(_taken)
)
APPOINTMENTS = Statement(
    select(_taken, site.c.discreet_name, course.c.version, func.array(_rooms.scalar_subquery()).label("rooms"))
    .join_from(_taken, visit, and_(visit.c.chain_id == CHAIN, visit.c.id == _taken.c.visit_id))
    .join(course, and_(course.c.chain_id == CHAIN, course.c.id == visit.c.course_id))
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == visit.c.site_id))
    .order_by(_taken.c.start_at, _taken.c.visit_id)
    .limit(LIMIT)
)


class StaffCalendarStore(Store):
    async def keep_busy_times(self, resource_id: UUID, source: str, slots: Sequence[Slot]) -> None:
        """Instead of all that the source told before."""
        await self.rows(FORGET_BUSY, resource_id=resource_id, source=source)
        starts, ends = [slot.start for slot in slots], [slot.end for slot in slots]
        await self.rows(ADD_BUSY, resource_id=resource_id, source=source, start_at=starts, end_at=ends)

    async def busy_times(self, resource_id: UUID, page: Page) -> list[tuple[str, Slot]]:
        """Source and stretch, of those that are not over."""
        after, source = page.after or [self.call.now.isoformat(), ""]
        values = {"after": datetime.fromisoformat(after), "after_source": source, "now": self.call.now}
        found = await self.rows(BUSY_TIMES, resource_id=resource_id, **values, limit=page.limit)
        return [(row["source"], Slot(row["start_at"], row["end_at"])) for row in found]

    async def appointments(self, resource_id: UUID, window: Slot) -> list[Appointment]:
        """At the sites that the caller may see."""
        found = await self.rows(
            APPOINTMENTS,
            resource_id=resource_id,
            from_time=window.start,
            until_time=window.end,
            room_kind=ResourceKind.ROOM,
            limit=FEED_EVENTS_MAX + 1,
        )
        if len(found) > FEED_EVENTS_MAX:
            raise CalendarTooLarge(events_max=FEED_EVENTS_MAX)
        return [
            Appointment(
                row["visit_id"],
                Slot(row["start_at"], row["end_at"]),
                row["version"],
                row["discreet_name"],
                tuple(sorted(row["rooms"])),
            )
            for row in found
        ]
