"""A site's calendar, as planning reads it: the site and its resources, then all that is taken; a statement each."""

from array import array
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Table,
    Uuid,
    all_,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from chassis.sql import Statement, param
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.hours import DAY, Hours
from services.scheduling.domain.planning import Calendar, Place
from services.scheduling.domain.protocols import ProtocolVersion, Template
from services.scheduling.store.courses import (
    EACH_LANE,
    PATIENT,
    as_json,
    goes_on,
    of_site,
    site_hours,
    site_template,
    site_terms,
)
from services.scheduling.store.patients import PATIENTS, check_not_ended, endings
from services.scheduling.store.resources import resources_at
from services.scheduling.store.sites import CHAIN
from services.scheduling.tables import allocation, busy_time, presence, resource

FROM, UNTIL, NOW = (param(name, Instant) for name in ("from_time", "until_time", "now"))
WITHOUT = param("without", ARRAY(Uuid))


def _minute(column: ColumnElement[datetime]) -> ColumnElement[int]:
    """After `from_time`. Visits start on whole minutes and last whole minutes."""
    return cast(func.date_part("epoch", column - FROM) / 60, Integer)


def _ahead(table: Table) -> ColumnElement[bool]:
    """Nothing lasts longer than a day: the index is read no further than that beyond what is wanted."""
    touches = and_(table.c.end_at > FROM, table.c.start_at < UNTIL)
    if "held_until" in table.c:
        touches = and_(touches, or_(table.c.held_until.is_(None), table.c.held_until > NOW))
        touches = and_(touches, table.c.visit_id != all_(WITHOUT))
    return and_(table.c.chain_id == CHAIN, touches, table.c.end_at < UNTIL + DAY)


def _spans(table: Table) -> list[ColumnElement[Any]]:
    return [func.array_agg(_minute(table.c[name])).label(name) for name in ("start_at", "end_at")]


PLACE = Statement(site_terms.add_columns(as_json(resource, of_site).label("resources"), *endings(PATIENT), goes_on))
_ids = PATIENTS.each_id(PATIENT, "their_ids")
TAKEN_AHEAD = Statement(
    union_all(
        select(allocation.c.resource_id, allocation.c.lane, *_spans(allocation))
        .join_from(resource, allocation, allocation.c.resource_id == resource.c.id)
        .where(of_site, _ahead(allocation))
        .group_by(allocation.c.resource_id, allocation.c.lane),
        select(cast(null(), Uuid), literal(0, Integer), *_spans(presence))
        .join_from(_ids, presence, presence.c.patient_id == _ids.c.id)
        .where(_ahead(presence)),
        select(busy_time.c.resource_id, literal(EACH_LANE, Integer), *_spans(busy_time))
        .join_from(resource, busy_time, busy_time.c.resource_id == resource.c.id)
        .where(of_site, _ahead(busy_time))
        .group_by(busy_time.c.resource_id),
    )
)


class PlanningStore(Store):
    async def place(
        self,
        site_id: UUID,
        version: ProtocolVersion,
        patient_id: UUID,
        earliest: date,
        last_day: Callable[[Template], date],
        *,
        course_id: UUID | None,
    ) -> Place:
        """From the first day to the last that may matter, and a day more on both sides; `course_id` as below.

        `last_day` is asked with the site's own form of the version, and may refuse it, before the calendar is read.
        There is none for whoever has died.
        """
        row, hours = await self._site(site_id, version, patient_id, course_id)
        template = site_template(row, version)
        calendar = await self._calendar(row, hours, site_id, patient_id, earliest - DAY, last_day(template) + 3 * DAY)
        return Place(site_id, template, calendar)

    async def place_of_days(
        self,
        site_id: UUID,
        version: ProtocolVersion,
        patient_id: UUID,
        first: date,
        until: date,
        *,
        course_id: UUID | None,
        without: Collection[UUID] = (),
    ) -> Place:
        """From midnight of one day to midnight of another, in UTC; for a course that is booked also where nothing new
        is booked by its version. As it were `without` some visits."""
        row, hours = await self._site(site_id, version, patient_id, course_id)
        calendar = await self._calendar(row, hours, site_id, patient_id, first, until, without)
        return Place(site_id, site_template(row, version), calendar)

    async def _site(
        self, site_id: UUID, version: ProtocolVersion, patient_id: UUID, course_id: UUID | None
    ) -> tuple[Record, Hours]:
        row = await self.row(
            PLACE,
            site_id=site_id,
            protocol_version_id=version.id,
            patient_id=patient_id,
            course_id=course_id,
            now=self.call.now,
        )
        hours = site_hours(row, site_id, version.id)
        assert row
        check_not_ended(row)
        return row, hours

    async def _calendar(
        self,
        row: Record,
        hours: Hours,
        site_id: UUID,
        patient_id: UUID,
        first: date,
        until: date,
        without: Collection[UUID] = (),
    ) -> Calendar:
        origin, end = (datetime.combine(day, time(), UTC) for day in (first, until))
        rows = await self.rows(
            TAKEN_AHEAD,
            site_id=site_id,
            patient_id=patient_id,
            from_time=origin,
            until_time=end,
            now=self.call.now,
            without=list(without),
        )
        taken = {
            (each["resource_id"], each["lane"]): _flat(each["start_at"], each["end_at"])
            for each in rows
            if each["end_at"]
        }
        patient = taken.pop((None, 0), array("i"))
        in_order = tuple(sorted(resources_at(row), key=lambda each: each.id))
        for each in in_order:
            if busy := taken.pop((each.id, EACH_LANE), None):
                for lane in range(each.lane_count):
                    taken[each.id, lane] = taken.get((each.id, lane), array("i")) + busy
        return Calendar(hours, in_order, origin, taken, patient)


def _flat(starts: Sequence[int], ends: Sequence[int]) -> "array[int]":
    spans = array("i", bytes(8 * len(starts)))
    spans[::2], spans[1::2] = array("i", starts), array("i", ends)
    return spans
