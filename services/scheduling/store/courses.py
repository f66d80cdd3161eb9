"""Courses: what their booking must know, and the one statement that writes one."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    FromClause,
    Insert,
    Integer,
    ScalarSelect,
    SmallInteger,
    Table,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    cast,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, TypeArgument, param, rows, uncounted_rows
from chassis.store import Settling, Store
from chassis.tables import Instant
from services.scheduling.domain.changes import ChangeKind
from services.scheduling.domain.courses import (
    Clearance,
    Course,
    CourseNotFound,
    Layout,
    ProtocolNotAdopted,
    Taken,
    Terms,
)
from services.scheduling.domain.hours import DAY, Hours, Slot
from services.scheduling.domain.protocols import ProtocolVersion, ProtocolVersionRetired, Template
from services.scheduling.domain.sites import SiteNotFound
from services.scheduling.domain.visits import Visit
from services.scheduling.store.patients import PATIENTS, check_not_ended, endings, is_paused
from services.scheduling.store.protocols import kept_template
from services.scheduling.store.resources import AT_SITE, CLOSED, hours_at, resources_at
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.store.told import TOLD, told
from services.scheduling.store.visits import visit_of
from services.scheduling.tables import (
    adoption,
    adverse_event,
    allocation,
    busy_time,
    clearance,
    course,
    hold,
    holding_chain,
    patient,
    presence,
    protocol_version_retirement,
    resource,
    site,
    visit,
    visit_status_change,
)

SITE, COURSE, PATIENT = param("site_id", Uuid), param("course_id", Uuid), param("patient_id", Uuid)
PROTOCOL, VERSION = param("protocol_id", Uuid), param("protocol_version_id", Uuid)

_this_adoption = [adoption.c.chain_id == CHAIN, adoption.c.site_id == SITE, adoption.c.protocol_version_id == VERSION]
_retired = exists().where(
    protocol_version_retirement.c.chain_id == CHAIN, protocol_version_retirement.c.protocol_version_id == VERSION
)
of_site = and_(*AT_SITE)
site_terms = select(
    site,
    CLOSED,
    exists().where(*_this_adoption).label("adopted"),
    _retired.label("retired"),
    select(adoption.c.narrowed_template).where(*_this_adoption).scalar_subquery().label("narrowed_template"),
).where(site.c.chain_id == CHAIN, site.c.id == SITE)

goes_on = (
    exists().where(course.c.chain_id == CHAIN, course.c.id == COURSE, course.c.booked_at.is_not(None)).label("goes_on")
)


def as_json(table: Table, *where: ColumnElement[bool]) -> ScalarSelect[Any]:
    """The rows of a table as one JSON list, or NULL when there are none."""
    return select(func.jsonb_agg(func.to_jsonb(table.table_valued()))).where(*where).scalar_subquery()


_ids = PATIENTS.all_ids(PATIENT)
_is_known = exists().where(patient.c.chain_id == CHAIN, patient.c.patient_id == PATIENTS.end(PATIENT))
_cleared = [clearance.c.chain_id == CHAIN, clearance.c.patient_id == any_(_ids), clearance.c.protocol_id == PROTOCOL]
TERMS = Statement(
    site_terms.add_columns(
        as_json(resource, of_site, resource.c.id == any_(param("resource_ids", ARRAY(Uuid)))).label("resources"),
        _is_known.label("patient_known"),
        as_json(clearance, *_cleared).label("clearances"),
        is_paused(PATIENT),
        *endings(PATIENT),
        goes_on,
        _ids.label("patient_ids"),
    )
)

CLEARANCES = Statement(
    select(site.c.time_zone, as_json(clearance, *_cleared).label("clearances")).where(
        site.c.chain_id == CHAIN, site.c.id == SITE
    )
)
LEAVING = Statement(
    select(resource.c.id).where(
        resource.c.chain_id == CHAIN,
        resource.c.id == any_(param("ids", ARRAY(Uuid))),
        resource.c.retire_date.is_not(None),
    )
)
_spans: dict[str, TypeArgument] = {"holder_id": Uuid, "start_at": Instant, "end_at": Instant, "near_at": Instant}
WANTED, _wanted = rows("wanted", **_spans), uncounted_rows("wanted", **_spans)


def while_wanted(table: Table, holder: str, wanted: FromClause = WANTED) -> ColumnElement[bool]:
    """What overlaps. Nothing lasts longer than a day: the index is read no further than `near_at`, a day beyond.

    `near_at` comes from outside since reckoning it here is not leakproof, which would keep it from the index.
    """
    overlaps = and_(table.c.start_at < wanted.c.end_at, table.c.end_at > wanted.c.start_at)
    near = table.c.end_at < wanted.c.near_at
    return and_(table.c.chain_id == CHAIN, table.c[holder] == wanted.c.holder_id, overlaps, near)


EACH_LANE = -1
"""Of who is busy elsewhere, so that none of their lanes is free."""
TAKEN = Statement(
    union_all(
        select(
            allocation.c.resource_id.label("holder_id"),
            allocation.c.lane,
            allocation.c.start_at,
            allocation.c.end_at,
            allocation.c.visit_id,
            allocation.c.held_until,
        ).join(_wanted, while_wanted(allocation, "resource_id", _wanted)),
        select(
            presence.c.patient_id,
            literal(0, SmallInteger),
            presence.c.start_at,
            presence.c.end_at,
            presence.c.visit_id,
            presence.c.held_until,
        ).join(_wanted, while_wanted(presence, "patient_id", _wanted)),
        select(
            busy_time.c.resource_id,
            literal(EACH_LANE, SmallInteger),
            busy_time.c.start_at,
            busy_time.c.end_at,
            null().cast(Uuid),
            null().cast(Instant),
        ).join(_wanted, while_wanted(busy_time, "resource_id", _wanted)),
    )
)

_visit = rows(
    "new_visit",
    visit_id=Uuid,
    change_reason=Text,
    phase_code=Text,
    visit_type_code=Text,
    visit_route_code=Text,
    band_code=Text,
    telehealth=Boolean,
    start_at=Instant,
    end_at=Instant,
    resources=Text,
)
_lane = rows(
    "new_lane",
    lane_visit_id=Uuid,
    resource_id=Uuid,
    lane=SmallInteger,
    lane_start_at=Instant,
    lane_end_at=Instant,
)
_v, _a = _visit.c, _lane.c
NOW, UNTIL, STATUS = param("at", Instant), param("held_until", Instant), param("status", Text)
_new_course = insert(course).from_select(
    ["chain_id", "id", "site_id", "patient_id", "protocol_version_id", "route_code", "booked_at", "version"],
    select(
        CHAIN,
        COURSE,
        SITE,
        PATIENT,
        VERSION,
        param("route_code", Text),
        param("booked_at", Instant),
        literal(1, Integer),
    ),
)
this_course = and_(course.c.chain_id == CHAIN, course.c.id == COURSE)
longer_course = (
    update(course)
    .where(this_course)
    .values(version=param("course_version", Integer), booked_at=func.coalesce(course.c.booked_at, param("booked_at")))
)
_visit_values: dict[str, ColumnElement[Any]] = {
    "chain_id": CHAIN,
    "id": _v.visit_id,
    "course_id": COURSE,
    "site_id": SITE,
    "patient_id": PATIENT,
    "phase_code": _v.phase_code,
    "visit_type_code": _v.visit_type_code,
    "route_code": _v.visit_route_code,
    "band_code": _v.band_code,
    "telehealth": _v.telehealth,
    "start_at": _v.start_at,
    "end_at": _v.end_at,
    "resources": cast(_v.resources, JSONB),
    "status": STATUS,
    "segment_minutes": cast(literal("[]", Text), JSONB),
}
_new_visits = (
    insert(visit).from_select(list(_visit_values), select(*_visit_values.values())).returning(*TOLD).cte("new_visits")
)
_new_changes = insert(visit_status_change).from_select(
    ["chain_id", "visit_id", "status", "site_id", "at", "actor", "reason"],
    select(CHAIN, _v.visit_id, STATUS, SITE, NOW, param("actor", Text), _v.change_reason),
)
_new_hold = insert(hold).from_select(
    ["chain_id", "course_id", "site_id", "patient_id", "actor", "held_at", "expire_at", "offer_id"],
    select(CHAIN, COURSE, SITE, PATIENT, param("actor", Text), NOW, UNTIL, param("offer_id", Uuid)),
)
_holding = pg_insert(holding_chain).values(chain_id=CHAIN).on_conflict_do_nothing()


def _adding(into: Insert | Update, version: ColumnElement[int], *, held: bool) -> Settling:
    """Visits, all that they take, and `into`: the course that they make, or go into. `at` and `actor` are those of the
    audit row."""
    until = UNTIL if held else null().cast(Instant)
    new_presences = insert(presence).from_select(
        ["chain_id", "visit_id", "patient_id", "start_at", "end_at", "held_until"],
        select(CHAIN, _v.visit_id, PATIENT, _v.start_at, _v.end_at, until),
    )
    new_allocations = insert(allocation).from_select(
        ["chain_id", "visit_id", "site_id", "resource_id", "lane", "start_at", "end_at", "held_until"],
        select(CHAIN, _a.lane_visit_id, SITE, _a.resource_id, _a.lane, _a.lane_start_at, _a.lane_end_at, until),
    )
    return Settling(
        into.cte("into_course"),
        _new_visits,
        told(_new_visits, ChangeKind.HELD if held else ChangeKind.BOOKED, version),
        _new_changes.cte("new_changes"),
        new_presences.cte("new_presences"),
        new_allocations.cte("new_allocations"),
        *([_new_hold.cte("new_hold"), _holding.cte("holding")] if held else []),
    )


ADD_COURSE = {held: _adding(_new_course, literal(1, Integer), held=held) for held in (False, True)}
ADD_TO_COURSE = {held: _adding(longer_course, param("course_version", Integer), held=held) for held in (False, True)}

_of_course = and_(visit.c.chain_id == course.c.chain_id, visit.c.course_id == course.c.id)
_of_the_course = [
    course.c.protocol_version_id,
    course.c.route_code.label("course_route_code"),
    course.c.booked_at,
    course.c.version.label("course_version"),
    hold.c.expire_at.label("hold_until"),
    hold.c.offer_id,
    is_paused(
        course.c.patient_id,
        or_(adverse_event.c.course_id.is_(None), adverse_event.c.course_id == course.c.id),
    ),
]
_with_visits = (
    select(visit, *_of_the_course)
    .join_from(course, visit, _of_course)
    .outerjoin(hold, and_(hold.c.chain_id == course.c.chain_id, hold.c.course_id == course.c.id))
    .order_by(course.c.id, visit.c.start_at, visit.c.id)
)
GET_COURSE = Statement(_with_visits.where(this_course))
# Waits for whoever changes a visit of the course, its hold, or what it consists of.
LOCK_COURSE = Statement(select(course.c.id).where(this_course).with_for_update())


_LISTED_BY = {"site_id": course.c.site_id == SITE, "patient_id": course.c.patient_id == any_(_ids)}


def _courses(*filters: str) -> Statement:
    """A page of courses with their visits. One statement for each set of filters, so that each has its own plan."""
    chosen = select(course.c.id).where(course.c.chain_id == CHAIN, course.c.id > param("after", Uuid))
    chosen = chosen.where(*(_LISTED_BY[name] for name in filters)).order_by(course.c.id)
    return Statement(_with_visits.where(course.c.chain_id == CHAIN, course.c.id.in_(chosen.limit(LIMIT))))


COURSES: dict[tuple[str, ...], Statement] = {
    names: _courses(*names) for names in ((), ("site_id",), ("patient_id",), ("site_id", "patient_id"))
}


class CourseStore(Store):
    async def terms(
        self,
        site_id: UUID,
        version: ProtocolVersion,
        patient_id: UUID,
        resource_ids: set[UUID],
        *,
        course_id: UUID | None = None,
        held: bool = False,
    ) -> Terms:
        """For visits of that course, or of a new one. `held`: they were, while something new was booked by the version.

        There are none for whoever has died or is forgotten: see `check_not_ended`.
        """
        row = await self.row(
            TERMS,
            site_id=site_id,
            protocol_version_id=version.id,
            protocol_id=version.protocol_id,
            patient_id=patient_id,
            resource_ids=list(resource_ids),
            course_id=course_id,
            now=self.call.now,
        )
        hours = site_hours(row, site_id, version.id, held=held)
        assert row
        if not row["patient_known"]:
            raise NotYetKnown("patient", row["patient_end"])
        check_not_ended(row)
        return Terms(
            site=hours,
            protocol_id=version.protocol_id,
            template=site_template(row, version),
            resources={each.id: each for each in resources_at(row)},
            clearances=_clearances(row["clearances"]),
            paused=row["paused"],
            patient_id=row["patient_end"],
            patient_ids=frozenset(row["patient_ids"]),
        )

    async def locked_terms(
        self, site_id: UUID, version: ProtocolVersion, patient_id: UUID, resource_ids: set[UUID], **of: Any
    ) -> Terms:
        """As `terms`, with the patient locked for whom they are. The one that is named is locked; a survivor is once it
        is known, and then all is read again, since others may have booked for it until then, or it was merged itself.
        """
        locked = patient_id
        while (terms := await self.terms(site_id, version, patient_id, resource_ids, **of)).patient_id != locked:
            locked = terms.patient_id
            await self.lock([locked])
        return terms

    async def clearances(self, visit: Visit, protocol_id: UUID) -> tuple[list[Clearance] | None, ZoneInfo]:
        """The patient's that hold now, as `Terms` has them, and the zone of the visit's site."""
        ids = {"site_id": visit.site_id, "patient_id": visit.patient_id, "protocol_id": protocol_id}
        row = await self.row(CLEARANCES, **ids)
        assert row
        return _clearances(row["clearances"]), ZoneInfo(row["time_zone"])

    async def leaving(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Those of the resources that are to go for good, or are gone."""
        return frozenset(row["id"] for row in await self.rows(LEAVING, ids=list(ids)))

    async def taken(self, terms: Terms, layouts: Sequence[Layout]) -> list[Taken]:
        """Whatever overlaps a visit, of the resources that it wants and of the patient, under any of their ids."""
        wanted = [(id, each.hold) for each in layouts for id in each.resources.values()]
        wanted += [(id, each.stay) for each in layouts for id in terms.patient_ids]
        found = await self.rows(
            TAKEN,
            holder_id=[id for id, _ in wanted],
            start_at=[slot.start for _, slot in wanted],
            end_at=[slot.end for _, slot in wanted],
            near_at=[slot.end + DAY for _, slot in wanted],
        )
        return [
            Taken(
                terms.holder(row["holder_id"]),
                lane,
                Slot(row["start_at"], row["end_at"]),
                row["visit_id"] if row["held_until"] and row["held_until"] <= self.call.now else None,
            )
            for row in found
            for lane in _lanes_of(row, terms)
        ]

    def add_visits(
        self,
        course: Course,
        new: Sequence[Visit],
        placed: Sequence[Sequence[Taken]],
        held_until: datetime | None,
        reasons: Sequence[str],
    ) -> None:
        """To a course that is there or, with its first version, new with them; `reasons`: of each visit why it is where
        the spacing does not allow it. Written with what the chassis writes last."""
        lanes = [(visit.id, each) for visit, each_placed in zip(new, placed, strict=True) for each in each_placed]
        if course.version == 1:
            pinned = {"protocol_version_id": course.protocol_version_id, "route_code": course.route_code}
            statement, of_course = ADD_COURSE[held_until is not None], pinned
        else:
            statement, of_course = ADD_TO_COURSE[held_until is not None], {"course_version": course.version}
        self.write_last(
            statement,
            **of_course,
            **({"held_until": held_until, "offer_id": course.offer_id} if held_until else {}),
            course_id=course.id,
            site_id=course.site_id,
            patient_id=course.patient_id,
            booked_at=course.booked_at,
            status=new[0].status,
            visit_id=[visit.id for visit in new],
            change_reason=list(reasons),
            phase_code=[visit.phase_code for visit in new],
            visit_type_code=[visit.visit_type_code for visit in new],
            visit_route_code=[visit.route_code for visit in new],
            band_code=[visit.band_code for visit in new],
            telehealth=[visit.telehealth for visit in new],
            start_at=[visit.slot.start for visit in new],
            end_at=[visit.slot.end for visit in new],
            resources=[_kept_resources(visit.resources) for visit in new],
            lane_visit_id=[visit_id for visit_id, _ in lanes],
            resource_id=[each.holder_id for _, each in lanes],
            lane=[each.lane for _, each in lanes],
            lane_start_at=[each.slot.start for _, each in lanes],
            lane_end_at=[each.slot.end for _, each in lanes],
        )

    async def course_to_change(self, id: UUID) -> Course:
        """No other change of the course or its visits begins before this one's transaction ends."""
        await self.rows(LOCK_COURSE, course_id=id)
        return await self.course(id)

    async def course(self, id: UUID) -> Course:
        found = await self.rows(GET_COURSE, course_id=id)
        if not found:
            raise CourseNotFound(course_id=to_wire("course", id))
        return _course(found)

    async def courses(self, site_id: UUID | None, patient_id: UUID | None, page: Page) -> list[Course]:
        given = {"site_id": site_id, "patient_id": patient_id}
        filters = {name: id for name, id in given.items() if id is not None}
        after = UUID(page.after[0]) if page.after else NO_ID
        found = await self.rows(COURSES[tuple(filters)], **filters, after=after, limit=page.limit)
        return [_course(list(visits)) for _, visits in groupby(found, key=lambda row: row["course_id"])]


def _lanes_of(row: Record, terms: Terms) -> Iterable[int]:
    return range(terms.resources[row["holder_id"]].lane_count) if row["lane"] == EACH_LANE else (row["lane"],)


def site_hours(row: Record | None, site_id: UUID, version_id: UUID, *, held: bool = False) -> Hours:
    """Of the columns of `site_terms` and `goes_on`; refused where there is no site, or nothing new is booked there by
    the version. A course goes on by it once it is booked: one whose hold lapsed would be booked anew."""
    if row is None:
        raise SiteNotFound(site_id=to_wire("site", site_id))
    may_be_new = not (row["goes_on"] or held)
    if row["retired"] and may_be_new:
        raise ProtocolVersionRetired(protocol_version_id=to_wire("protocolversion", version_id))
    if not row["adopted"] and may_be_new:
        ids = {"site_id": to_wire("site", site_id), "protocol_version_id": to_wire("protocolversion", version_id)}
        raise ProtocolNotAdopted(**ids)
    return hours_at(row)


def site_template(row: Record, version: ProtocolVersion) -> Template:
    """Of the columns of `site_terms`: the site's own form of the version, or that itself."""
    form = row["narrowed_template"]
    return kept_template(form) if form else version.template


@lru_cache(maxsize=1_000)
def _kept_resources(resources: tuple[tuple[str, UUID], ...]) -> str:
    """As JSON. Kept: visits of one course have mostly the same."""
    return json.dumps(resources, default=str)


def _clearances(text: str | None) -> list[Clearance] | None:
    """The valid ones; None where none was ever heard of."""
    if text is None:
        return None
    return [
        Clearance(
            frozenset(each["route_codes"]),
            date.fromisoformat(each["effective_date"]),
            date.fromisoformat(each["expire_date"]),
            frozenset(each["band_codes"]),
            each["session_minutes_max"],
        )
        for each in json.loads(text)
        if not each["revoked"]
    ]


def _course(found: Sequence[Record]) -> Course:
    first = found[0]
    return Course(
        id=first["course_id"],
        site_id=first["site_id"],
        patient_id=first["patient_id"],
        protocol_version_id=first["protocol_version_id"],
        route_code=first["course_route_code"],
        booked_at=first["booked_at"],
        visits=tuple(visit_of(row) for row in found),
        paused=first["paused"],
        version=first["course_version"],
        hold_until=first["hold_until"],
        offer_id=first["offer_id"],
    )
