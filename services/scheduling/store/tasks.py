"""Tasks of front desks, and the look-ups that find what a merge of two patients left to do."""

from collections.abc import Collection, Sequence
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Text, Uuid, and_, any_, func, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling, Store
from chassis.tables import Instant
from services.scheduling.domain.tasks import Meanwhile, Merge, Task, TaskKind, TaskNotFound, TaskState
from services.scheduling.domain.visits import STANDING, Status
from services.scheduling.store.sites import CHAIN, LIMIT, NO_ID
from services.scheduling.tables import course, patient_merge, presence, task, visit, visit_status_change

ALIAS = param("alias_id", Uuid)
_new_merge = insert(patient_merge).values(params(*patient_merge.c.keys())).on_conflict_do_nothing()
NOTE_MERGE = Statement(_new_merge.returning(patient_merge.c.version))
MERGES = Statement(select(patient_merge).where(patient_merge.c.chain_id == CHAIN, patient_merge.c.alias_id == ALIAS))

_ones, _others = rows("ones", one_id=Uuid), rows("others", other_id=Uuid)
_one, _other = presence.alias("one"), presence.alias("other")
_its_one, _its_other = visit.alias("its_one"), visit.alias("its_other")
OVERLAPS = Statement(
    select(
        _one.c.visit_id,
        _other.c.visit_id.label("other_id"),
        _its_one.c.site_id,
        _its_other.c.site_id.label("other_site_id"),
    )
    .join_from(_ones, _one, and_(_one.c.chain_id == CHAIN, _one.c.patient_id == _ones.c.one_id))
    .join(_others, CHAIN.is_not(None))
    .join(
        _other,
        and_(
            _other.c.chain_id == CHAIN,
            _other.c.patient_id == _others.c.other_id,
            _other.c.start_at < _one.c.end_at,
            _other.c.end_at > _one.c.start_at,
        ),
    )
    .join(_its_one, and_(_its_one.c.chain_id == CHAIN, _its_one.c.id == _one.c.visit_id))
    .join(_its_other, and_(_its_other.c.chain_id == CHAIN, _its_other.c.id == _other.c.visit_id))
    .order_by(_one.c.visit_id, _other.c.visit_id)
)
_until, _change = param("until", Instant), visit_status_change
_in_order = aggregate_order_by(visit.c.id, visit.c.start_at, visit.c.id)
BOOKED_MEANWHILE = Statement(
    select(
        course.c.site_id,
        func.array_agg(_in_order).label("visit_ids"),
    )
    .join(visit, and_(visit.c.chain_id == course.c.chain_id, visit.c.course_id == course.c.id))
    .join(_change, and_(_change.c.chain_id == visit.c.chain_id, _change.c.visit_id == visit.c.id))
    .where(
        course.c.chain_id == CHAIN,
        course.c.patient_id == any_(param("patient_ids", ARRAY(Uuid))),
        visit.c.status == any_(param("standing", ARRAY(Text))),
        _change.c.status == Status.BOOKED,
        _change.c.at >= param("since", Instant),
        or_(_until.is_(None), _change.c.at < _until),
    )
    .group_by(course.c.id, course.c.site_id)
    .order_by(course.c.id)
)

_new_task = insert(task).values(params(*task.c.keys()))
ADD_TASK = Statement(_new_task.on_conflict_do_nothing().returning(task.c.id))
_this = [task.c.chain_id == CHAIN, task.c.id == param("task_id", Uuid)]
TASK = Statement(select(task).where(*_this))
TASK_TO_CHANGE = Statement(select(task).where(*_this).with_for_update())
_completion = ("state", "version", "note", "completed_by", "completed_at")
COMPLETE_TASK = Settling(update(task).where(*_this).values(params(*_completion)).cte("completed_task"))

COMPLETE_TASKS_OF = Statement(
    update(task)
    .where(
        task.c.chain_id == CHAIN,
        task.c.closure_id == param("closure_id", Uuid),
        task.c.state == param("open_state", Text),
    )
    .values(version=task.c.version + 1, **params("state", "note", "completed_by", "completed_at"))
)

_theirs = rows("theirs", patient_id=Uuid)
# Held visits are none of them: a hold ends by itself.
VISITS_TO_COME = Statement(
    select(visit.c.site_id, visit.c.patient_id, func.array_agg(_in_order).label("visit_ids"))
    .join_from(_theirs, presence, and_(presence.c.chain_id == CHAIN, presence.c.patient_id == _theirs.c.patient_id))
    .join(visit, and_(visit.c.chain_id == CHAIN, visit.c.id == presence.c.visit_id))
    .where(presence.c.start_at > param("at", Instant), visit.c.status == any_(param("statuses", ARRAY(Text))))
    .group_by(visit.c.site_id, visit.c.patient_id)
    .order_by(visit.c.site_id, visit.c.patient_id)
)
COMPLETE_TASKS_OF_PATIENTS = Statement(
    update(task)
    .where(
        task.c.chain_id == CHAIN,
        task.c.patient_id == any_(param("patient_ids", ARRAY(Uuid))),
        task.c.kind == param("kind", Text),
        task.c.state == param("open_state", Text),
    )
    .values(version=task.c.version + 1, **params("state", "note", "completed_by", "completed_at"))
)


def _tasks(*filters: str) -> Statement:
    """A page of a site's tasks. One statement for each set of filters, so that each has its own plan."""
    of_site = select(task).where(task.c.chain_id == CHAIN, task.c.site_id == param("site_id", Uuid))
    chosen = of_site.where(*(task.c[name] == param(name, Text) for name in filters))
    return Statement(chosen.where(task.c.id > param("after", Uuid)).order_by(task.c.id).limit(LIMIT))


TASKS: dict[tuple[str, ...], Statement] = {
    names: _tasks(*names) for names in ((), ("kind",), ("state",), ("kind", "state"))
}


class TaskStore(Store):
    async def note_merge(self, alias_id: UUID, version: int, merge: Merge) -> bool:
        """Whether it is new."""
        told = {"survivor_id": merge.survivor_id, "at": merge.at}
        return await self.row(NOTE_MERGE, alias_id=alias_id, version=version, **told) is not None

    async def merges(self, alias_id: UUID) -> dict[int, Merge]:
        found = await self.rows(MERGES, alias_id=alias_id)
        return {row["version"]: Merge(row["survivor_id"], row["at"]) for row in found}

    async def overlaps(
        self, ones: Collection[UUID], others: Collection[UUID]
    ) -> list[tuple[frozenset[UUID], tuple[UUID, UUID]]]:
        """Two visits at once, one of each side's, and the sites where they are."""
        found = await self.rows(OVERLAPS, one_id=list(ones), other_id=list(others))
        return [
            (frozenset({row["site_id"], row["other_site_id"]}), (row["visit_id"], row["other_id"])) for row in found
        ]

    async def booked_meanwhile(
        self, patient_ids: Sequence[UUID], stretch: Meanwhile
    ) -> list[tuple[UUID, tuple[UUID, ...]]]:
        """Of each course under one of the ids its site, and its visits that were booked then and stand: the course may
        be older."""
        found = await self.rows(
            BOOKED_MEANWHILE,
            patient_ids=list(patient_ids),
            since=stretch.since,
            until=stretch.until,
            standing=sorted(STANDING),
        )
        return [(row["site_id"], tuple(row["visit_ids"])) for row in found]

    async def add_task(self, new: Task) -> None:
        """Unless it is there."""
        await self.rows(
            ADD_TASK,
            id=new.id,
            site_id=new.site_id,
            kind=new.kind,
            patient_id=new.patient_id,
            merged_patient_id=new.merged_patient_id,
            merge_version=new.merge_version,
            visit_ids=list(new.visit_ids),
            created_at=new.created_at,
            state=new.state,
            version=new.version,
            note=new.note,
            completed_by=new.completed_by,
            completed_at=new.completed_at,
            closure_id=new.closure_id,
            course_id=new.course_id,
        )

    async def complete_tasks_of(self, closure_id: UUID, note: str) -> None:
        """Those that are open."""
        await self.rows(COMPLETE_TASKS_OF, closure_id=closure_id, **self._completion(note))

    async def complete_tasks_of_patients(self, patient_ids: Collection[UUID], kind: TaskKind, note: str) -> None:
        """Those of the kind that are open."""
        ids = sorted(patient_ids)
        await self.rows(COMPLETE_TASKS_OF_PATIENTS, patient_ids=ids, kind=kind, **self._completion(note))

    def _completion(self, note: str) -> dict[str, object]:
        by, at = self.call.actor, self.call.now
        done = {"state": TaskState.DONE, "note": note, "completed_by": by, "completed_at": at}
        return {"open_state": TaskState.OPEN, **done}

    async def visits_to_come(self, patient_ids: Collection[UUID]) -> list[tuple[UUID, UUID, tuple[UUID, ...]]]:
        """Site, patient and visits, in order of time, of each of these ids at each site."""
        about = {"patient_id": sorted(patient_ids), "at": self.call.now, "statuses": [Status.BOOKED, Status.CONFIRMED]}
        found = await self.rows(VISITS_TO_COME, **about)
        return [(row["site_id"], row["patient_id"], tuple(row["visit_ids"])) for row in found]

    async def task(self, id: UUID) -> Task:
        return _found(await self.row(TASK, task_id=id), id)

    async def task_to_change(self, id: UUID) -> Task:
        return _found(await self.row(TASK_TO_CHANGE, task_id=id), id)

    async def tasks(self, site_id: UUID, kind: TaskKind | None, state: TaskState | None, page: Page) -> list[Task]:
        given = {"kind": kind, "state": state}
        filters = {name: value for name, value in given.items() if value is not None}
        after = UUID(page.after[0]) if page.after else NO_ID
        found = await self.rows(TASKS[tuple(filters)], site_id=site_id, **filters, after=after, limit=page.limit)
        return [_task(row) for row in found]

    def complete_task(self, done: Task) -> None:
        """Written with what the chassis writes last."""
        values = {name: getattr(done, name) for name in _completion}
        self.write_last(COMPLETE_TASK, task_id=done.id, **values)


def _found(row: Record | None, id: UUID) -> Task:
    if row is None:
        raise TaskNotFound(task_id=to_wire("task", id))
    return _task(row)


def _task(row: Record) -> Task:
    return Task(
        id=row["id"],
        site_id=row["site_id"],
        kind=TaskKind(row["kind"]),
        patient_id=row["patient_id"],
        merged_patient_id=row["merged_patient_id"],
        merge_version=row["merge_version"],
        visit_ids=tuple(row["visit_ids"]),
        created_at=row["created_at"],
        version=row["version"],
        note=row["note"],
        completed_by=row["completed_by"],
        completed_at=row["completed_at"],
        closure_id=row["closure_id"],
        course_id=row["course_id"],
    )
