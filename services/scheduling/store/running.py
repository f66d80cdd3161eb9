"""Courses with visits still to come, as a change of their protocol looks at them."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import ARRAY, Text, Uuid, and_, any_, func, select

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.template_changes import RunningCourse, RunningVisit
from services.scheduling.domain.visits import STANDING
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.tables import course, protocol_version, site, visit

COURSES_MAX = 5_000
"""Looked at by one preview."""

# Visits beside the phases are no matter of a version's.
_stands = and_(visit.c.status == any_(param("statuses", ARRAY(Text))), visit.c.phase_code != "")
# By site, since that is how the visits of days ahead are found.
_ahead = (
    select(visit.c.course_id)
    .distinct()
    .join_from(site, visit, and_(visit.c.chain_id == site.c.chain_id, visit.c.site_id == site.c.id))
    .where(site.c.chain_id == CHAIN, visit.c.start_at > param("now", Instant), _stands)
    .subquery("ahead")
)
_visits = (
    select(
        func.jsonb_agg(
            func.jsonb_build_array(visit.c.phase_code, visit.c.visit_type_code, visit.c.start_at, visit.c.end_at)
        )
    )
    .where(visit.c.chain_id == course.c.chain_id, visit.c.course_id == course.c.id, _stands)
    .scalar_subquery()
)
_pinned = and_(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == course.c.protocol_version_id)
RUNNING = Statement(
    select(
        course.c.id,
        course.c.site_id,
        course.c.route_code,
        protocol_version.c.version,
        site.c.time_zone,
        _visits.label("visits"),
    )
    .join_from(_ahead, course, and_(course.c.chain_id == CHAIN, course.c.id == _ahead.c.course_id))
    .join(
        protocol_version,
        and_(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == course.c.protocol_version_id),
    )
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == course.c.site_id))
    .where(protocol_version.c.protocol_id == param("protocol_id", Uuid))
    .order_by(course.c.id.desc())
    .limit(LIMIT)
)


class RunningStore(Store):
    async def running(self, protocol_id: UUID) -> list[RunningCourse]:
        """One more than are looked at where there are more; the first booked first."""
        found = await self.rows(
            RUNNING,
            protocol_id=protocol_id,
            now=self.call.now,
            statuses=[status.value for status in STANDING],
            limit=COURSES_MAX + 1,
        )
        return [_running(row) for row in reversed(found)]


def _running(row: Record) -> RunningCourse:
    visits = sorted((_visit(each) for each in json.loads(row["visits"])), key=lambda each: each.slot.start)
    zone = ZoneInfo(row["time_zone"])
    return RunningCourse(row["id"], row["site_id"], row["version"], row["route_code"], zone, tuple(visits))


def _visit(data: Sequence[str]) -> RunningVisit:
    phase_code, type_code, start, end = data
    return RunningVisit(phase_code, type_code, Slot(datetime.fromisoformat(start), datetime.fromisoformat(end)))
