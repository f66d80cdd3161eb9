"""Changes of a site's visits, as those who watch the site read them; `store.told` writes them with the visits."""

from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Text,
    Uuid,
    and_,
    cast,
    func,
    literal_column,
    select,
    true,
    tuple_,
)

from chassis.feed import Position, Reading
from chassis.ids import to_wire
from chassis.sql import Statement, param
from chassis.store import Store
from services.scheduling.domain.changes import ChangeKind, Mark, VisitChange
from services.scheduling.domain.sites import SiteNotFound
from services.scheduling.domain.visits import Status
from services.scheduling.store.sites import CHAIN, LIMIT
from services.scheduling.store.visits import visit_of
from services.scheduling.tables import site, site_change, visit

READ_MAX = 500
"""Changes that are read at once."""
PLACE_MAX = 2**63 - 1
SITE = param("site_id", Uuid)

# The oldest transaction under way: what those below it wrote is all there is, and all there will be.
_oldest = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
# Of which database, and of which of its histories: a restored or promoted one counts transactions anew.
_database = func.concat(
    select(literal_column("system_identifier")).select_from(func.pg_control_system()).scalar_subquery(),
    "-",
    func.left(func.pg_walfile_name(func.pg_current_wal_insert_lsn()), 8),
)
MARK = (_database.label("database"), _oldest.label("oldest"), func.clock_timestamp().label("read_at"))
"""Columns of a statement that reads visits, or comes before it in the transaction: see `mark_of`."""
SITE_MARK = Statement(select(*MARK).where(site.c.chain_id == CHAIN, site.c.id == SITE))

_now = select(*MARK).subquery("now")
_after = tuple_(site_change.c.transaction, site_change.c.place) > tuple_(
    param("transaction", BigInteger), param("place", BigInteger)
)
_changes = (
    select(site_change)
    .where(site_change.c.chain_id == CHAIN, site_change.c.site_id == SITE, _after)
    .where(site_change.c.transaction < _now.c.oldest)
    .order_by(site_change.c.transaction, site_change.c.place)
    .limit(LIMIT)
    .lateral("change")
)
_taken_from_change = ("kind", "status", "course_version", "at", "recorded_at", "transaction", "place")
CHANGES = Statement(
    select(
        *_now.c,
        *(_changes.c[name].label(f"change_{name}") for name in _taken_from_change),
        _changes.c.visit_id.label("changed_id"),
        _changes.c.course_id.label("changed_course_id"),
        visit,
    )
    .select_from(_now.outerjoin(_changes, true()))
    .outerjoin(visit, and_(visit.c.chain_id == CHAIN, visit.c.site_id == SITE, visit.c.id == _changes.c.visit_id))
    .order_by(_changes.c.transaction, _changes.c.place)
)


class ChangeStore(Store):
    async def mark(self, site_id: UUID) -> Mark:
        row = await self.row(SITE_MARK, site_id=site_id)
        if row is None:
            raise SiteNotFound(site_id=to_wire("site", site_id))
        return mark_of(row)

    async def changes(self, site_id: UUID, after: Mark) -> Reading[VisitChange]:
        """What came after a mark, as far as nothing more can come before it."""
        position = after.position
        found = await self.rows(
            CHANGES, site_id=site_id, transaction=position.transaction, place=position.place, limit=READ_MAX
        )
        now = mark_of(found[0])
        after.check_history(now)
        entries = [(_position(row), _change(row)) for row in found if row["changed_id"]]
        upto = entries[-1][0] if len(entries) == READ_MAX else now.position
        return Reading(entries, upto, now.read_at)


def mark_of(row: Record) -> Mark:
    """Of the columns MARK."""
    return Mark(row["database"], Position(row["oldest"] - 1, PLACE_MAX), row["read_at"])


def _position(row: Record) -> Position:
    return Position(row["change_transaction"], row["change_place"])


def _change(row: Record) -> VisitChange:
    return VisitChange(
        kind=ChangeKind(row["change_kind"]),
        visit_id=row["changed_id"],
        course_id=row["changed_course_id"],
        status=Status(row["change_status"]),
        at=row["change_at"],
        course_version=row["change_course_version"],
        recorded_at=row["change_recorded_at"],
        visit=visit_of(row) if row["id"] else None,
    )
