"""Closures, the visits that they break, and what there is around one of these."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Integer, Text, Uuid, and_, any_, exists, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB

from chassis.etags import StaleEtag
from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.closures import BREAKABLE, Closed, Closure, ClosureKind, ClosureNotFound
from services.scheduling.domain.courses import Taken
from services.scheduling.domain.hours import DAY, Slot
from services.scheduling.domain.offers import Surroundings, span_around
from services.scheduling.domain.protocols import ProtocolVersion, Template
from services.scheduling.domain.sites import SiteNotFound
from services.scheduling.domain.visits import STANDING, Visit
from services.scheduling.store.courses import (
    PATIENT,
    as_json,
    of_site,
    site_template,
    site_terms,
)
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.resources import SITE, hours_at, resources_at
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.store.visits import visit_of
from services.scheduling.tables import allocation, busy_time, closure, course, presence, resource, visit

CLOSURE, RESOURCE = param("closure_id", Uuid), param("resource_id", Uuid)
FROM, UNTIL = param("from_time", Instant), param("until_time", Instant)
AFTER, AFTER_ID = param("after", Instant), param("after_id", Uuid)
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
"""Before every instant."""

ADD_CLOSURE = Statement(insert(closure).values(params(*(each.name for each in closure.c))))
_this = [closure.c.chain_id == CHAIN, closure.c.id == CLOSURE]
CLOSURE_OF = Statement(select(closure).where(*_this))
CANCEL_CLOSURE = Statement(
    update(closure)
    .where(*_this, closure.c.version == param("seen", Integer))
    .values(params("cancelled_at", "version"))
    .returning(closure.c.version)
)
CLOSURES = Statement(
    select(closure)
    .where(
        closure.c.chain_id == CHAIN,
        closure.c.site_id == SITE,
        closure.c.end_at >= AFTER,
        or_(closure.c.end_at > AFTER, closure.c.id > AFTER_ID),
    )
    .order_by(closure.c.end_at, closure.c.id)
    .limit(LIMIT)
)
RESOURCE_IDS = Statement(select(resource.c.id).where(of_site))

_to_go_on = visit.c.status == any_(param("statuses", ARRAY(Text)))
_further = or_(visit.c.start_at > AFTER, and_(visit.c.start_at == AFTER, visit.c.id > AFTER_ID))
# Nothing lasts longer than a day: indexes are read no further than that beyond what is closed.
_holding = select(allocation.c.visit_id).where(
    allocation.c.chain_id == CHAIN,
    allocation.c.resource_id == RESOURCE,
    allocation.c.end_at > FROM,
    allocation.c.start_at < UNTIL,
    allocation.c.end_at < UNTIL + DAY,
)
BROKEN_BY_RESOURCE = Statement(
    select(visit)
    .where(visit.c.chain_id == CHAIN, visit.c.id.in_(_holding), _to_go_on, _further)
    .order_by(visit.c.start_at, visit.c.id)
    .limit(LIMIT)
)
# Something is held for the visit, maybe when the patient has left.
_still_held = [
    allocation.c.chain_id == visit.c.chain_id,
    allocation.c.visit_id == visit.c.id,
    allocation.c.end_at > FROM,
]
# Who has no hours of their own is there while the site is open, and so not at a distance when it is closed.
_nothing = literal("[]", JSONB)
_keeps_the_sites_hours = exists().where(
    *_still_held,
    resource.c.chain_id == allocation.c.chain_id,
    resource.c.id == allocation.c.resource_id,
    resource.c.site_id == SITE,
    resource.c.working_hours == _nothing,
    resource.c.shifts == _nothing,
)
BROKEN_AT_SITE = Statement(
    select(visit)
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.site_id == SITE,
        visit.c.start_at > FROM - DAY,
        visit.c.start_at < UNTIL,
        or_(
            and_(~visit.c.telehealth, or_(visit.c.end_at > FROM, exists().where(*_still_held))),
            _keeps_the_sites_hours,
        ),
        _to_go_on,
        _further,
    )
    .order_by(visit.c.start_at, visit.c.id)
    .limit(LIMIT)
)

_standing = visit.c.status == any_(param("standing", ARRAY(Text)))
COURSE_OF_VISIT = Statement(
    select(visit, course.c.protocol_version_id)
    .join_from(course, visit, and_(visit.c.chain_id == course.c.chain_id, visit.c.course_id == course.c.id))
    .where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid), _standing)
    .order_by(visit.c.start_at, visit.c.id)
)
_ids = PATIENTS.each_id(PATIENT, "their_ids")
_lanes = (
    select(
        func.jsonb_build_array(allocation.c.resource_id, allocation.c.lane, allocation.c.start_at, allocation.c.end_at)
    )
    .join_from(resource, allocation, allocation.c.resource_id == resource.c.id)
    .where(
        of_site,
        allocation.c.chain_id == CHAIN,
        allocation.c.visit_id != param("visit_id", Uuid),
        allocation.c.end_at > FROM,
        allocation.c.start_at < UNTIL,
        allocation.c.end_at < UNTIL + DAY,
    )
)
_stays = (
    select(func.jsonb_build_array(presence.c.start_at, presence.c.end_at))
    .join_from(_ids, presence, presence.c.patient_id == _ids.c.id)
    .where(
        presence.c.chain_id == CHAIN,
        presence.c.visit_id != param("visit_id", Uuid),
        presence.c.end_at > FROM,
        presence.c.start_at < UNTIL,
    )
)
_busy = (
    select(func.jsonb_build_array(busy_time.c.resource_id, busy_time.c.start_at, busy_time.c.end_at))
    .join_from(resource, busy_time, busy_time.c.resource_id == resource.c.id)
    .where(
        of_site,
        busy_time.c.chain_id == CHAIN,
        busy_time.c.end_at > FROM,
        busy_time.c.start_at < UNTIL,
        busy_time.c.end_at < UNTIL + DAY,
    )
)
SURROUNDINGS = Statement(
    site_terms.add_columns(
        as_json(resource, of_site).label("resources"),
        func.array(_lanes.scalar_subquery()).label("taken"),
        func.array(_stays.scalar_subquery()).label("patient"),
        func.array(_busy.scalar_subquery()).label("busy"),
    )
)


class ClosureStore(Store):
    async def add_closure(self, new: Closure) -> None:
        await self.rows(
            ADD_CLOSURE,
            id=new.id,
            site_id=new.closed.site_id,
            resource_id=new.closed.resource_id,
            kind=new.kind,
            start_at=new.closed.slot.start,
            end_at=new.closed.slot.end,
            created_at=new.created_at,
            created_by=new.created_by,
            cancelled_at=new.cancelled_at,
            version=new.version,
        )

    async def closure(self, id: UUID) -> Closure:
        row = await self.row(CLOSURE_OF, closure_id=id)
        if row is None:
            raise ClosureNotFound(closure_id=to_wire("closure", id))
        return _closure(row)

    async def cancel_closure(self, changed: Closure) -> None:
        """Unless somebody else did since it was read."""
        values = {"cancelled_at": changed.cancelled_at, "version": changed.version, "seen": changed.version - 1}
        if not await self.row(CANCEL_CLOSURE, closure_id=changed.id, **values):
            raise StaleEtag()

    async def closures(self, site_id: UUID, ending_after: datetime | None, page: Page) -> list[Closure]:
        after, after_id = page.after or [(ending_after or _FIRST).isoformat(), str(UUID(int=2**128 - 1))]
        values = {"after": datetime.fromisoformat(after), "after_id": UUID(after_id)}
        return [_closure(row) for row in await self.rows(CLOSURES, site_id=site_id, **values, limit=page.limit)]

    async def ids_at_site(self, site_id: UUID) -> list[UUID]:
        """Of its resources, and of those lent to it."""
        return [row["id"] for row in await self.rows(RESOURCE_IDS, site_id=site_id)]

    async def broken(self, closed: Closed, limit: int, after: Sequence[str] | None = None) -> list[Visit]:
        """Visits that are to go on yet, at the sites that the caller may see, the first first."""
        since, since_id = after or [_FIRST.isoformat(), str(NO_ID)]
        values = {
            "from_time": closed.slot.start,
            "until_time": closed.slot.end,
            "statuses": sorted(BREAKABLE),
            "after": datetime.fromisoformat(since),
            "after_id": UUID(since_id),
            "limit": limit,
        }
        if closed.resource_id:
            found = await self.rows(BROKEN_BY_RESOURCE, resource_id=closed.resource_id, **values)
        else:
            found = await self.rows(BROKEN_AT_SITE, site_id=closed.site_id, **values)
        return [visit_of(row) for row in found]

    async def course_of(self, broken: Visit) -> tuple[list[Visit], UUID]:
        """The visits of its course that stand, in order of time, and the protocol version."""
        found = await self.rows(COURSE_OF_VISIT, course_id=broken.course_id, standing=sorted(STANDING))
        return [visit_of(row) for row in found], found[0]["protocol_version_id"]

    async def surroundings(self, broken: Visit, version: ProtocolVersion) -> tuple[Surroundings, Template]:
        """And the version as the site has it, though it be adopted no longer."""
        span = span_around(broken)
        row = await self.row(
            SURROUNDINGS,
            site_id=broken.site_id,
            protocol_version_id=version.id,
            patient_id=broken.patient_id,
            visit_id=broken.id,
            from_time=span.start,
            until_time=span.end,
            now=self.call.now,
        )
        if row is None:
            raise SiteNotFound(site_id=to_wire("site", broken.site_id))
        found = tuple(sorted(resources_at(row), key=lambda each: each.id))
        taken = defaultdict[UUID, list[Taken]](list)
        for each in row["taken"]:
            id, lane, start, end = json.loads(each)
            taken[UUID(id)].append(Taken(UUID(id), lane, _slot(start, end)))
        lanes = {each.id: each.lane_count for each in found}
        for each in row["busy"]:
            id, start, end = json.loads(each)
            taken[UUID(id)] += (Taken(UUID(id), lane, _slot(start, end)) for lane in range(lanes[UUID(id)]))
        patient = [_slot(*json.loads(each)) for each in row["patient"]]
        return Surroundings(hours_at(row), found, taken, patient, span), site_template(row, version)


def _slot(start: str, end: str) -> Slot:
    return Slot(datetime.fromisoformat(start), datetime.fromisoformat(end))


def _closure(row: Record) -> Closure:
    return Closure(
        id=row["id"],
        closed=Closed(row["site_id"], row["resource_id"], Slot(row["start_at"], row["end_at"])),
        kind=ClosureKind(row["kind"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        cancelled_at=row["cancelled_at"],
        version=row["version"],
    )
