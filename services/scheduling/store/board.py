"""A site's day, in two statements: the site, then its visits; and a third for those that are new to the process."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import ARRAY, BigInteger, Text, Uuid, any_, cast, func, literal_column, or_, select, true

from chassis.ids import read_id, to_wire
from chassis.sql import Statement, param
from chassis.tables import Instant
from services.scheduling.domain.board import EXPECTED, THERE, VISITS_MAX, BoardResource, BoardTooLarge, BoardVisit, Next
from services.scheduling.domain.changes import Mark
from services.scheduling.domain.hours import DAY, DAY_MINUTES, instant
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.resources import ResourceKind
from services.scheduling.domain.sites import SiteNotFound
from services.scheduling.domain.visits import Status, Visit
from services.scheduling.store.changes import MARK, SITE, mark_of
from services.scheduling.store.protocols import ProtocolStore, kept_template
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.store.visits import visit_of
from services.scheduling.tables import adoption, course, resource, site, visit, visit_status_change

_forms = (
    select(
        func.array_agg(adoption.c.protocol_version_id).label("narrowed_ids"),
        func.array_agg(cast(adoption.c.narrowed_template, Text)).label("narrowed_templates"),
    )
    .where(adoption.c.chain_id == CHAIN, adoption.c.site_id == SITE, adoption.c.narrowed_template.is_not(None))
    .subquery("forms")
)
_in_order = select(resource).where(resource.c.chain_id == CHAIN, resource.c.site_id == SITE).order_by(resource.c.id)
_resources = _in_order.subquery("in_order")
# The mark comes before the visits are read: what is written in between is on the board, and told once more.
BOARD_SITE = Statement(
    select(
        site.c.time_zone,
        *MARK,
        *_forms.c,
        select(func.jsonb_agg(func.jsonb_build_array(_resources.c.id, _resources.c.kind, _resources.c.display_name)))
        .scalar_subquery()
        .label("resources"),
    )
    .select_from(site.outerjoin(_forms, true()))
    .where(site.c.chain_id == CHAIN, site.c.id == SITE)
)

_start, _end = param("start_time", Instant), param("end_time", Instant)
# Another one whenever the row is: no transaction writes a visit's changes of status without the visit.
_written = cast(cast(literal_column("visit.xmin"), Text), BigInteger).label("written")
_other = visit.alias("other")
_following = (
    select(_other.c.id.label("next_id"), _other.c.start_at.label("next_start_at"))
    .where(_other.c.chain_id == CHAIN, _other.c.course_id == visit.c.course_id, _other.c.start_at > visit.c.start_at)
    .where(_other.c.status == any_(param("expected", ARRAY(Text))))
    .order_by(_other.c.start_at, _other.c.id)
    .limit(1)
    .lateral("following")
)
# Nothing is planned to last longer than a day: who is there at `start_time` began within the day before. What was held
# and not booked was nobody's appointment.
BOARD_VISITS = Statement(
    select(visit.c.id, _written, *_following.c)
    .select_from(visit.outerjoin(_following, true()))
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.site_id == SITE,
        visit.c.start_at > _start - DAY,
        visit.c.start_at < _end,
        or_(visit.c.end_at > _start, visit.c.status == any_(param("there", ARRAY(Text)))),
        visit.c.status != Status.EXPIRED,
    )
    .order_by(visit.c.start_at, visit.c.id)
    .limit(LIMIT)
)

_reached = (
    select(
        func.array_agg(visit_status_change.c.status).label("reached"),
        func.array_agg(visit_status_change.c.at).label("reached_at"),
    )
    .where(visit_status_change.c.chain_id == CHAIN, visit_status_change.c.visit_id == visit.c.id)
    .lateral("changes")
)
# Not joined: PostgreSQL takes the policies for true of hardly any course, and would read all of them first.
_version = (
    select(course.c.protocol_version_id)
    .where(course.c.chain_id == CHAIN, course.c.id == visit.c.course_id)
    .scalar_subquery()
    .label("protocol_version_id")
)
WHOLE_VISITS = Statement(
    select(visit, _written, _version, *_reached.c)
    .select_from(visit.outerjoin(_reached, true()))
    .where(visit.c.chain_id == CHAIN, visit.c.id == any_(param("visit_ids", ARRAY(Uuid))))
)


VISITS_KEPT = 4_000
"""As on the boards of twenty large sites."""


class Kept(NamedTuple):
    """A visit as it was last read; whoever asks for it anew has seen its id among the visits of a day."""

    written: int
    protocol_version_id: UUID
    visit: Visit
    reached: Mapping[Status, datetime]
    shown: BoardVisit | None = None


_kept = OrderedDict[UUID, Kept]()


@dataclass(frozen=True, slots=True)
class BoardSite:
    zone: ZoneInfo
    resources: Sequence[BoardResource]
    forms: Mapping[UUID, Template]
    """The site's own forms of versions."""
    mark: Mark


class BoardStore(ProtocolStore):
    async def board_site(self, site_id: UUID) -> BoardSite:
        row = await self.row(BOARD_SITE, site_id=site_id)
        if row is None:
            raise SiteNotFound(site_id=to_wire("site", site_id))
        forms = zip(row["narrowed_ids"] or (), row["narrowed_templates"] or (), strict=True)
        return BoardSite(
            ZoneInfo(row["time_zone"]),
            [_resource(each) for each in json.loads(row["resources"] or "[]")],
            {id: kept_template(text) for id, text in forms},
            mark_of(row),
        )

    async def board_visits(self, site_id: UUID, at: BoardSite, day: date) -> list[BoardVisit]:
        found = await self.rows(
            BOARD_VISITS,
            site_id=site_id,
            start_time=instant(at.zone, day, 0),
            end_time=instant(at.zone, day, DAY_MINUTES),
            expected=sorted(EXPECTED),
            there=sorted(THERE),
            limit=VISITS_MAX + 1,
        )
        if len(found) > VISITS_MAX:
            raise BoardTooLarge(visits_max=VISITS_MAX)
        visits = {row["id"]: _kept[row["id"]] for row in found if _is_kept(row)}
        if new := [row["id"] for row in found if row["id"] not in visits]:
            visits |= {row["id"]: _whole(row) for row in await self.rows(WHOLE_VISITS, visit_ids=new)}
        templates = dict(at.forms)
        for id in {each.protocol_version_id for each in visits.values()} - templates.keys():
            templates[id] = (await self.version(id)).template
        return [_of_today(row, visits[row["id"]], templates) for row in found if row["id"] in visits]


def _resource(data: Sequence[str]) -> BoardResource:
    id, kind, display_name = data
    return BoardResource(read_id(id), ResourceKind(kind), display_name)


def _is_kept(row: Record) -> bool:
    kept = _kept.get(row["id"])
    return kept is not None and kept.written == row["written"]


def _whole(row: Record) -> Kept:
    reached = zip(row["reached"] or (), row["reached_at"] or (), strict=True)
    times = {Status(status): at for status, at in reached}
    return Kept(row["written"], row["protocol_version_id"], visit_of(row), times)


def _of_today(row: Record, kept: Kept, templates: Mapping[UUID, Template]) -> BoardVisit:
    """The same object as the last time, unless something about it is another."""
    visit_type = templates[kept.protocol_version_id].visit_type(kept.visit.visit_type_code)
    next, shown = Next(row["next_id"], row["next_start_at"]) if row["next_id"] else None, kept.shown
    if shown is None or shown.type is not visit_type or shown.next_of_course != next:
        shown = BoardVisit(kept.visit, visit_type, kept.reached, next)
        kept = kept._replace(shown=shown)
    _kept[row["id"]] = kept
    _kept.move_to_end(row["id"])
    if len(_kept) > VISITS_KEPT:
        _kept.popitem(last=False)
    return shown
