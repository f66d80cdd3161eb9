"""Visits: reading them, and their changes of status."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, and_, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB

from chassis.ids import read_id, to_wire
from chassis.pages import Page
from chassis.sql import Statement, param
from chassis.store import Settling, Store
from chassis.tables import Instant
from services.scheduling.domain.changes import ChangeKind
from services.scheduling.domain.hours import DAY, Slot
from services.scheduling.domain.protocols import SegmentKind
from services.scheduling.domain.visits import FREEING, CancellationReason, Status, StatusChange, Visit, VisitNotFound
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.store.told import TOLD, told
from services.scheduling.tables import allocation, course, presence, visit, visit_status_change

VISIT, STATUS = param("visit_id", Uuid), param("status", Text)
_this = [visit.c.chain_id == CHAIN, visit.c.id == VISIT]
GET_VISIT = Statement(select(visit).where(*_this))
_course_of_visit = and_(course.c.chain_id == visit.c.chain_id, course.c.id == visit.c.course_id)
# Waits for whoever changes another visit of the course: each change has a number of its own, and sees the one before.
# Of other tables it would see what was there before it waited: see `GateStore.known_gates`.
VISIT_TO_CHANGE = Statement(
    select(
        visit,
        course.c.protocol_version_id,
        course.c.version.label("course_version"),
        course.c.route_code.label("course_route_code"),
    )
    .join_from(visit, course, _course_of_visit)
    .where(*_this)
    .with_for_update()
)
CHANGES = Statement(
    select(visit_status_change)
    .where(visit_status_change.c.chain_id == CHAIN, visit_status_change.c.visit_id == VISIT)
    .order_by(visit_status_change.c.at)
)
_start, _after, _after_id = param("start_time", Instant), param("after", Instant), param("after_id", Uuid)
# Nothing lasts longer than a day: who is there at `start_time` began within the day before.
VISITS = Statement(
    select(visit)
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.site_id == param("site_id", Uuid),
        visit.c.start_at > _start - DAY,
        visit.c.end_at > _start,
        visit.c.start_at < param("end_time", Instant),
        or_(visit.c.start_at > _after, and_(visit.c.start_at == _after, visit.c.id > _after_id)),
    )
    .order_by(visit.c.start_at, visit.c.id)
    .limit(LIMIT)
)

_changed_visit = (
    update(visit)
    .where(*_this)
    .values(
        status=STATUS,
        band_code=param("band_code", Text),
        segment_minutes=param("segment_minutes", JSONB),
        cancellation_reason=param("cancellation_reason", Text),
    )
    .returning(*TOLD)
    .cte("changed_visit")
)
_changed_course = (
    update(course)
    .where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid))
    .values(version=param("course_version", Integer))
    .cte("changed_course")
)
_new_change = (
    insert(visit_status_change)
    .from_select(
        ["chain_id", "visit_id", "status", "site_id", "at", "actor"],
        select(CHAIN, VISIT, STATUS, param("site_id", Uuid), param("at", Instant), param("actor", Text)),
    )
    .cte("new_change")
)
# `at` and `actor` are those of the audit row.
_told = told(_changed_visit, ChangeKind.STATUS_CHANGED, param("course_version", Integer))
CHANGE_VISIT = Settling(_changed_visit, _changed_course, _new_change, _told)
FREE_VISIT = Settling(
    _changed_visit,
    _changed_course,
    _new_change,
    _told,
    delete(allocation).where(allocation.c.chain_id == CHAIN, allocation.c.visit_id == VISIT).cte("freed_resources"),
    delete(presence).where(presence.c.chain_id == CHAIN, presence.c.visit_id == VISIT).cte("freed_patient"),
)


@dataclass(frozen=True, slots=True)
class VisitToChange:
    visit: Visit
    protocol_version_id: UUID
    course_version: int
    course_route_code: str


class VisitStore(Store):
    async def visit(self, id: UUID) -> Visit:
        row = await self.row(GET_VISIT, visit_id=id)
        if row is None:
            raise VisitNotFound(visit_id=to_wire("visit", id))
        return visit_of(row)

    async def status_changes(self, visit_id: UUID) -> list[StatusChange]:
        found = await self.rows(CHANGES, visit_id=visit_id)
        return [StatusChange(Status(row["status"]), row["at"], row["actor"], row["reason"]) for row in found]

    async def visits(self, site_id: UUID, slot: Slot, page: Page) -> list[Visit]:
        after, after_id = page.after or [(slot.start - DAY).isoformat(), str(NO_ID)]
        found = await self.rows(
            VISITS,
            site_id=site_id,
            start_time=slot.start,
            end_time=slot.end,
            after=datetime.fromisoformat(after),
            after_id=UUID(after_id),
            limit=page.limit,
        )
        return [visit_of(row) for row in found]

    async def visit_to_change(self, id: UUID) -> VisitToChange:
        """No other change of the course's visits begins before this one's transaction ends."""
        row = await self.row(VISIT_TO_CHANGE, visit_id=id)
        if row is None:
            raise VisitNotFound(visit_id=to_wire("visit", id))
        return VisitToChange(visit_of(row), row["protocol_version_id"], row["course_version"], row["course_route_code"])

    def change_visit(self, changed: Visit, course_version: int) -> None:
        """Written with what the chassis writes last."""
        statement = FREE_VISIT if changed.status in FREEING else CHANGE_VISIT
        self.write_last(statement, **_changed(changed, course_version))


def _changed(changed: Visit, course_version: int) -> dict[str, object]:
    return {
        "visit_id": changed.id,
        "course_id": changed.course_id,
        "course_version": course_version,
        "site_id": changed.site_id,
        "status": changed.status,
        "band_code": changed.band_code,
        "segment_minutes": json.dumps(changed.segment_minutes),
        "cancellation_reason": changed.cancellation_reason,
    }


def visit_of(row: Record) -> Visit:
    reason = row["cancellation_reason"]
    return Visit(
        id=row["id"],
        course_id=row["course_id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        phase_code=row["phase_code"],
        visit_type_code=row["visit_type_code"],
        route_code=row["route_code"],
        band_code=row["band_code"],
        telehealth=row["telehealth"],
        slot=Slot(row["start_at"], row["end_at"]),
        resources=tuple((key, read_id(id)) for key, id in json.loads(row["resources"])),
        status=Status(row["status"]),
        segment_minutes=_minutes(json.loads(row["segment_minutes"])),
        cancellation_reason=CancellationReason(reason) if reason else None,
    )


def _minutes(data: Sequence[tuple[str, int]]) -> tuple[tuple[SegmentKind, int], ...]:
    return tuple((SegmentKind(kind), minutes) for kind, minutes in data)
