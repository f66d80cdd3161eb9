"""How a write of visits is told to those who watch the site: `store.changes` reads what this writes.

A write that returns TOLD and takes `told` of itself along, in one statement, needs nothing else.
"""

from typing import Any

from sqlalchemy import CTE, ColumnElement, insert, literal, select

from chassis.sql import param
from chassis.tables import Instant
from services.scheduling.domain.changes import ChangeKind
from services.scheduling.tables import site_change, visit

TOLD = (visit.c.chain_id, visit.c.site_id, visit.c.id, visit.c.course_id, visit.c.status, visit.c.start_at)
"""What a write of visits returns, to be told."""


def told(visits: CTE, kind: ChangeKind, course_version: ColumnElement[int]) -> CTE:
    """The change that each of the written `visits` is, the first to start first. `at` is that of the audit row."""
    values: dict[str, ColumnElement[Any]] = {
        "chain_id": visits.c.chain_id,
        "site_id": visits.c.site_id,
        "kind": literal(kind.value),
        "visit_id": visits.c.id,
        "course_id": visits.c.course_id,
        "status": visits.c.status,
        "course_version": course_version,
        "at": param("at", Instant),
    }
    in_order = select(*values.values()).order_by(visits.c.start_at, visits.c.id)
    return insert(site_change).from_select(list(values), in_order).cte(f"{visits.name}_told")
