"""Holds: who holds what, and how a hold ends, booked or not."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Integer,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    delete,
    exists,
    func,
    insert,
    join,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.sql import Statement, param
from chassis.store import Settling, Store
from chassis.tables import NO_CHAIN, Instant
from services.scheduling.domain.changes import ChangeKind
from services.scheduling.domain.courses import Course, Taken, Terms
from services.scheduling.domain.holds import Held, OwnBookings
from services.scheduling.domain.hours import DAY, DAY_MINUTES, Slot, instant
from services.scheduling.domain.visits import Status, Visit
from services.scheduling.store.courses import COURSE, SITE, WANTED, longer_course, while_wanted
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.store.told import TOLD, told
from services.scheduling.store.waitlist import look_at_site
from services.scheduling.tables import (
    allocation,
    busy_time,
    course,
    hold,
    holding_chain,
    presence,
    visit,
    visit_status_change,
)

NOW, STATUS = param("at", Instant), param("status", Text)
VISITS, PATIENTS = param("visit_ids", ARRAY(Uuid)), param("patient_ids", ARRAY(Uuid))

_going = and_(hold.c.chain_id == CHAIN, hold.c.expire_at > NOW)
_of_patient = select(hold.c.course_id).where(_going, hold.c.patient_id == any_(PATIENTS)).limit(1)
_of_caller = select(func.count()).where(_going, hold.c.actor == param("actor", Text)).select_from(hold)
HELD = Statement(
    select(_of_patient.scalar_subquery().label("course_of_patient"), _of_caller.scalar_subquery().label("of_caller"))
)
HELD_OF_DAYS = Statement(
    select(allocation.c.resource_id, allocation.c.lane, allocation.c.start_at, allocation.c.end_at)
    .distinct()
    .join(WANTED, while_wanted(allocation, "resource_id"))
    .where(allocation.c.held_until > NOW)
)
_allocated = exists().where(allocation.c.chain_id == CHAIN, allocation.c.visit_id == visit.c.id)
# Who cleared one away for a patient's own call left the presence, which is another's.
_present = (
    select(func.count().label("present"))
    .join_from(presence, visit, and_(visit.c.chain_id == CHAIN, visit.c.id == presence.c.visit_id))
    .where(presence.c.chain_id == CHAIN, presence.c.visit_id == any_(VISITS))
    .where(or_(visit.c.resources == cast(literal("[]", Text), JSONB), _allocated))
    .subquery("present")
)
_busy = (
    select(busy_time.c.resource_id, busy_time.c.start_at, busy_time.c.end_at)
    .join(WANTED, while_wanted(busy_time, "resource_id"))
    .subquery("busy")
)
STILL_HELD = Statement(select(_present, _busy).select_from(_present.outerjoin(_busy, true())))
_own_visits = join(
    course,
    visit,
    and_(
        course.c.chain_id == CHAIN,
        course.c.patient_id == any_(PATIENTS),
        visit.c.chain_id == CHAIN,
        visit.c.course_id == course.c.id,
    ),
)
_change = visit_status_change
_own_holds = (
    select(visit.c.course_id, _change.c.at)
    .select_from(_own_visits.join(_change, and_(_change.c.chain_id == CHAIN, _change.c.visit_id == visit.c.id)))
    .where(_change.c.status == Status.HELD, _change.c.at > NOW - DAY, _change.c.actor == param("actor", Text))
    .distinct()
    .subquery()
)
_held_by_self = exists().where(_going, hold.c.course_id == visit.c.course_id, hold.c.actor == param("actor", Text))
_stands = or_(visit.c.status == Status.BOOKED, visit.c.status == Status.CONFIRMED)
_ahead = (
    select(func.count(visit.c.course_id.distinct()))
    .select_from(_own_visits)
    .where(or_(_stands, and_(visit.c.status == Status.HELD, _held_by_self)), visit.c.start_at > NOW)
)
OWN_BOOKINGS = Statement(
    select(
        select(func.count()).select_from(_own_holds).scalar_subquery().label("holds"),
        _ahead.scalar_subquery().label("courses_ahead"),
    )
)
ENDED = Statement(
    select(hold.c.course_id)
    .where(hold.c.chain_id == CHAIN, hold.c.expire_at <= NOW)
    .order_by(hold.c.expire_at)
    .limit(LIMIT)
)
CHAINS = Statement(select(holding_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(holding_chain.c.chain_id))

_freed = (
    delete(allocation).where(allocation.c.chain_id == CHAIN, allocation.c.visit_id == any_(VISITS)),
    delete(presence).where(presence.c.chain_id == CHAIN, presence.c.visit_id == any_(VISITS)),
)
CLEAR = Statement(_freed[1].add_cte(_freed[0].cte("freed_resources")))

_gone = delete(hold).where(hold.c.chain_id == CHAIN, hold.c.course_id == COURSE)
_of_hold = [visit.c.chain_id == CHAIN, visit.c.id == any_(VISITS)]
_changed = update(visit).where(*_of_hold).values(status=STATUS).returning(*TOLD).cte("changed")
_each = func.unnest(VISITS).table_valued("id").render_derived(name="of_hold")
_changes = insert(visit_status_change).from_select(
    ["chain_id", "visit_id", "status", "site_id", "at", "actor"],
    select(CHAIN, cast(_each.c.id, Uuid), STATUS, SITE, NOW, param("actor", Text)),
)


def _booked(table: Table) -> CTE:
    mine = [table.c.chain_id == CHAIN, table.c.visit_id == any_(VISITS)]
    return update(table).where(*mine).values(held_until=null()).cte(f"booked_{table.name}")


# `at` and `actor` are those of the audit row. Nothing is told of what may be offered since: that less of a day is held,
# and that its patient holds nothing.
BOOK_HOLD = Settling(
    longer_course.cte("into_course"),
    _gone.cte("gone"),
    _changed,
    told(_changed, ChangeKind.STATUS_CHANGED, param("course_version", Integer)),
    _changes.cte("changes"),
    _booked(allocation),
    _booked(presence),
    look_at_site.cte("to_look_at"),
)
END_HOLD = Statement(
    _gone.add_cte(
        _freed[0].cte("freed_resources"),
        _freed[1].cte("freed_patient"),
        _changed,
        told(_changed, ChangeKind.STATUS_CHANGED, param("course_version", Integer)),
        _changes.cte("changes"),
        longer_course.cte("into_course"),
    )
)


class HoldStore(Store):
    async def held(self, terms: Terms) -> Held:
        row = await self.row(HELD, patient_ids=list(terms.patient_ids), actor=self.call.actor, at=self.call.now)
        assert row
        return Held(row["course_of_patient"], row["of_caller"])

    async def own_bookings(self, terms: Terms) -> OwnBookings:
        row = await self.row(OWN_BOOKINGS, patient_ids=list(terms.patient_ids), actor=self.call.actor, at=self.call.now)
        assert row
        return OwnBookings(row["holds"], row["courses_ahead"])

    async def held_on_days(self, terms: Terms, placed: Sequence[Sequence[Taken]]) -> list[Taken]:
        """What is held of the same resources on the same days of the site."""
        days = {(each.holder_id, terms.day(each.slot)) for lanes in placed for each in lanes}
        zone = terms.site.zone
        spans = [(id, instant(zone, day, 0), instant(zone, day, DAY_MINUTES)) for id, day in days]
        found = await self.rows(
            HELD_OF_DAYS,
            holder_id=[id for id, _, _ in spans],
            start_at=[start for _, start, _ in spans],
            end_at=[end for _, _, end in spans],
            near_at=[end + DAY for _, _, end in spans],
            at=self.call.now,
        )
        return [Taken(row["resource_id"], row["lane"], Slot(row["start_at"], row["end_at"])) for row in found]

    async def clear_away(self, visit_ids: Collection[UUID]) -> None:
        """What visits take whose hold has ended. The job that ends it tells of it, and changes their status."""
        await self.rows(CLEAR, visit_ids=sorted(visit_ids))

    async def still_held(self, held: Sequence[Visit]) -> tuple[int, dict[UUID, list[Slot]]]:
        """How many of the visits nobody has cleared away; and when, until a day after each, those they take are busy by
        calendars of their own, some told of since."""
        wanted = [(id, visit.slot) for visit in held for _, id in visit.resources]
        found = await self.rows(
            STILL_HELD,
            visit_ids=[visit.id for visit in held],
            holder_id=[id for id, _ in wanted],
            start_at=[slot.start for _, slot in wanted],
            end_at=[slot.end + DAY for _, slot in wanted],
            near_at=[slot.end + 2 * DAY for _, slot in wanted],
        )
        busy = dict[UUID, list[Slot]]()
        for row in found:
            if row["resource_id"]:
                busy.setdefault(row["resource_id"], []).append(Slot(row["start_at"], row["end_at"]))
        return int(found[0]["present"]), busy

    def book_hold(self, booked: Course, visit_ids: Sequence[UUID]) -> None:
        """Written with what the chassis writes last."""
        self.write_last(
            BOOK_HOLD,
            course_id=booked.id,
            site_id=booked.site_id,
            course_version=booked.version,
            booked_at=booked.booked_at,
            status=Status.BOOKED,
            visit_ids=list(visit_ids),
        )

    async def end_hold(self, ended: Course, visit_ids: Sequence[UUID]) -> None:
        await self.rows(
            END_HOLD,
            course_id=ended.id,
            site_id=ended.site_id,
            course_version=ended.version,
            booked_at=ended.booked_at,
            status=Status.EXPIRED,
            visit_ids=list(visit_ids),
            at=self.call.now,
            actor=self.call.actor,
        )

    async def ended_holds(self, limit: int) -> list[UUID]:
        """Courses whose hold has ended, the first to end first."""
        return [row["course_id"] for row in await self.rows(ENDED, at=self.call.now, limit=limit)]

    async def holding_chains(self) -> list[UUID]:
        """Those that ever held anything, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]
