"""A site's calendar, as planning reads it: in one statement."""

import json
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Table, and_, cast, func, or_, select

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.hours import DAY
from services.scheduling.domain.planning import Calendar, Wish, last_day, visits_of
from services.scheduling.domain.protocols import ProtocolVersion
from services.scheduling.store.courses import PATIENT, as_json, of_site, site_hours, site_terms
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.resources import resources_at
from services.scheduling.store.sites import CHAIN
from services.scheduling.tables import allocation, busy_time, presence, resource

FROM, UNTIL = param("from_time", Instant), param("until_time", Instant)
NOW = param("now", Instant)


def _minute(column: ColumnElement[datetime]) -> ColumnElement[int]:
    """After `from_time`. Visits start on whole minutes and last whole minutes."""
    return cast(func.extract("epoch", column - FROM) / 60, Integer)


def _ahead(table: Table) -> ColumnElement[bool]:
    """Nothing lasts longer than a day: the index is read no further than that beyond what is wanted."""
    touches = and_(table.c.end_at > FROM, table.c.start_at < UNTIL)
    if "held_until" in table.c:
        touches = and_(touches, or_(table.c.held_until.is_(None), table.c.held_until > NOW))
    return and_(table.c.chain_id == CHAIN, touches, table.c.end_at < UNTIL + DAY)


def _spans(table: Table) -> ColumnElement[Any]:
    return func.jsonb_agg(func.jsonb_build_array(_minute(table.c.start_at), _minute(table.c.end_at)))


_lanes = (
    select(
        func.jsonb_build_array(allocation.c.resource_id, allocation.c.lane, _spans(allocation)).label("taken"),
    )
    .join_from(resource, allocation, allocation.c.resource_id == resource.c.id)
    .where(of_site, _ahead(allocation))
    .group_by(allocation.c.resource_id, allocation.c.lane)
    .subquery("lanes")
)
_busy = (
    select(func.jsonb_build_array(busy_time.c.resource_id, _spans(busy_time)).label("busy"))
    .join_from(resource, busy_time, busy_time.c.resource_id == resource.c.id)
    .where(of_site, _ahead(busy_time))
    .group_by(busy_time.c.resource_id)
    .subquery("busy_times")
)
_ids = PATIENTS.each_id(PATIENT, "their_ids")
CALENDAR = Statement(
    site_terms.add_columns(
        as_json(resource, of_site).label("resources"),
        select(func.jsonb_agg(_lanes.c.taken)).scalar_subquery().label("taken"),
        select(_spans(presence))
        .join_from(_ids, presence, presence.c.patient_id == _ids.c.id)
        .where(_ahead(presence))
        .scalar_subquery()
        .label("patient"),
        select(func.jsonb_agg(_busy.c.busy)).scalar_subquery().label("busy"),
    )
)


class PlanningStore(Store):
    async def calendar(self, site_id: UUID, version: ProtocolVersion, patient_id: UUID, wish: Wish) -> Calendar:
        """From the wish's first day to the last that the course can reach, and a day more on both sides.

        Refuses a wish that the version does not allow, since it would be read for nothing.
        """
        last = last_day(visits_of(version.template, wish), wish)
        return await self.calendar_of_days(site_id, version, patient_id, wish.earliest - DAY, last + 3 * DAY)

    async def calendar_of_days(
        self,
        site_id: UUID,
        version: ProtocolVersion,
        patient_id: UUID,
        first: date,
        until: date,
        *,
        pinned: bool = False,
    ) -> Calendar:
        """From midnight of one day to midnight of another, in UTC."""
        origin, end = (datetime.combine(day, time(), UTC) for day in (first, until))
        row = await self.row(
            CALENDAR,
            site_id=site_id,
            protocol_version_id=version.id,
            patient_id=patient_id,
            from_time=origin,
            until_time=end,
            now=self.call.now,
        )
        hours = site_hours(row, site_id, version.id, pinned=pinned)
        assert row
        taken: dict[tuple[UUID, int], list[tuple[int, int]]] = {
            (UUID(id), lane): spans for id, lane, spans in json.loads(row["taken"] or "[]")
        }
        in_order = tuple(sorted(resources_at(row), key=lambda each: each.id))
        for id, spans in json.loads(row["busy"] or "[]"):
            for lane in next(range(each.lane_count) for each in in_order if each.id == UUID(id)):
                taken[UUID(id), lane] = [*taken.get((UUID(id), lane), ()), *spans]
        return Calendar(hours, in_order, origin, taken, json.loads(row["patient"] or "[]"))
