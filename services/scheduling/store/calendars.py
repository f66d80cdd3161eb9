"""Days of resources: the resources of a page, when they cannot be had, all that they are taken by, and the sites' own
forms of versions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Text, Uuid, and_, any_, cast, func, select, union_all

from chassis.pages import Page
from chassis.sql import Statement, param, rows
from chassis.tables import Instant
from services.scheduling.domain.calendars import ALLOCATIONS_MAX, Allocation, CalendarTooLarge, kinds_taken
from services.scheduling.domain.hours import DAY, Hours, Slot
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.domain.visits import Status
from services.scheduling.store.protocols import ProtocolStore, kept_template
from services.scheduling.store.resources import resource_of
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.tables import adoption, allocation, busy_time, closure, course, resource, visit

_of_site = (
    select(func.to_jsonb(resource.table_valued()).label("resource"))
    .where(resource.c.chain_id == CHAIN, resource.c.site_id == param("site_id", Uuid))
    .where(resource.c.id > param("after", Uuid))
    .order_by(resource.c.id)
    .limit(LIMIT)
)
CALENDAR_RESOURCES: dict[tuple[str, ...], Statement] = {
    (): Statement(_of_site),
    ("kind",): Statement(_of_site.where(resource.c.kind == param("kind", Text))),
}

_wanted = rows("wanted", resource_id=Uuid)
_start, _end = param("start_time", Instant), param("end_time", Instant)
_closed = [
    closure.c.chain_id == CHAIN,
    closure.c.cancelled_at.is_(None),
    closure.c.start_at < _end,
    closure.c.end_at > _start,
]
# Closures of the resources wherever they are at home, and of the site itself, which has no resource.
NOT_HAD = Statement(
    union_all(
        select(closure.c.resource_id, closure.c.start_at, closure.c.end_at).join_from(
            _wanted, closure, and_(closure.c.resource_id == _wanted.c.resource_id, *_closed)
        ),
        select(closure.c.resource_id, closure.c.start_at, closure.c.end_at).where(
            closure.c.site_id == param("site_id", Uuid), closure.c.resource_id.is_(None), *_closed
        ),
        select(busy_time.c.resource_id, busy_time.c.start_at, busy_time.c.end_at).join_from(
            _wanted,
            busy_time,
            and_(
                busy_time.c.chain_id == CHAIN,
                busy_time.c.resource_id == _wanted.c.resource_id,
                busy_time.c.start_at < _end,
                busy_time.c.end_at > _start,
                busy_time.c.end_at < _end + DAY,
            ),
        ),
    )
)
# Nothing lasts longer than a day: the index is read no further than that beyond what is wanted.
ALLOCATIONS = Statement(
    select(
        allocation.c.resource_id,
        allocation.c.lane,
        allocation.c.start_at,
        allocation.c.end_at,
        visit.c.id.label("visit_id"),
        visit.c.patient_id,
        visit.c.site_id,
        visit.c.status,
        visit.c.visit_type_code,
        visit.c.resources,
        visit.c.start_at.label("visit_start_at"),
        visit.c.end_at.label("visit_end_at"),
        course.c.protocol_version_id,
    )
    .join_from(
        _wanted,
        allocation,
        and_(
            allocation.c.chain_id == CHAIN,
            allocation.c.resource_id == _wanted.c.resource_id,
            allocation.c.start_at < _end,
            allocation.c.end_at > _start,
            allocation.c.end_at < _end + DAY,
        ),
    )
    .join(visit, and_(visit.c.chain_id == CHAIN, visit.c.id == allocation.c.visit_id))
    .join(course, and_(course.c.chain_id == CHAIN, course.c.id == visit.c.course_id))
    .order_by(allocation.c.start_at, allocation.c.lane, visit.c.id)
    .limit(LIMIT)
)
FORMS = Statement(
    select(
        adoption.c.site_id,
        adoption.c.protocol_version_id,
        cast(adoption.c.narrowed_template, Text).label("narrowed_template"),
    ).where(
        adoption.c.chain_id == CHAIN,
        adoption.c.site_id == any_(param("site_ids", ARRAY(Uuid))),
        adoption.c.protocol_version_id == any_(param("protocol_version_ids", ARRAY(Uuid))),
        adoption.c.narrowed_template.is_not(None),
    )
)


class CalendarStore(ProtocolStore):
    async def calendar_resources(self, site_id: UUID, kind: ResourceKind | None, page: Page) -> list[Resource]:
        filters = {"kind": kind} if kind else {}
        after = UUID(page.after[0]) if page.after else NO_ID
        found = await self.rows(
            CALENDAR_RESOURCES[tuple(filters)], site_id=site_id, **filters, after=after, limit=page.limit
        )
        return [resource_of(json.loads(row["resource"])) for row in found]

    async def as_had(
        self, site: Hours, resources: Sequence[Resource], window: Slot
    ) -> tuple[Hours, Sequence[Resource]]:
        """With what keeps them from being had in the window as time off: closures, and times at which calendars of
        their own have them busy."""
        ids = [each.id for each in resources]
        found = await self.rows(
            NOT_HAD, site_id=site.site_id, resource_id=ids, start_time=window.start, end_time=window.end
        )
        off: dict[UUID | None, list[Slot]] = {id: [] for id in (None, *ids)}
        for row in found:
            off[row["resource_id"]].append(Slot(row["start_at"], row["end_at"]))
        had = [replace(each, time_off=(*each.time_off, *off[each.id])) for each in resources]
        return replace(site, off=(*site.off, *off[None])), had

    async def allocations(self, resource_ids: Sequence[UUID], window: Slot) -> Mapping[UUID, Sequence[Allocation]]:
        """Of each resource what touches the window, in order."""
        found = await self.rows(
            ALLOCATIONS,
            resource_id=list(resource_ids),
            start_time=window.start,
            end_time=window.end,
            limit=ALLOCATIONS_MAX + 1,
        )
        if len(found) > ALLOCATIONS_MAX:
            raise CalendarTooLarge(allocations_max=ALLOCATIONS_MAX)
        templates = await self._templates({(row["site_id"], row["protocol_version_id"]) for row in found})
        taken: dict[UUID, list[Allocation]] = {id: [] for id in resource_ids}
        for row in found:
            template = templates[row["site_id"], row["protocol_version_id"]]
            taken[row["resource_id"]].append(_allocation(row, template))
        return taken

    async def _templates(self, pairs: set[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Template]:
        """By site and version: the site's own form of it, or the version as it is."""
        site_ids, version_ids = {site_id for site_id, _ in pairs}, {version_id for _, version_id in pairs}
        forms = await self.rows(FORMS, site_ids=list(site_ids), protocol_version_ids=list(version_ids)) if pairs else []
        found = {(row["site_id"], row["protocol_version_id"]): kept_template(row["narrowed_template"]) for row in forms}
        return {pair: found.get(pair) or (await self.version(pair[1])).template for pair in pairs}


def _allocation(row: Record, template: Template) -> Allocation:
    taken, visit = Slot(row["start_at"], row["end_at"]), Slot(row["visit_start_at"], row["visit_end_at"])
    chosen = tuple((key, UUID(id)) for key, id in json.loads(row["resources"]))
    visit_type = template.visit_type(row["visit_type_code"])
    return Allocation(
        row["visit_id"],
        row["patient_id"],
        row["site_id"],
        Status(row["status"]),
        row["lane"],
        taken,
        kinds_taken(visit_type, chosen, row["resource_id"], visit, taken),
    )
