"""SQL of adverse events."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Uuid, insert, select, text, update

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling
from services.patients.domain.adverse_events import AdverseEvent, AdverseEventNotFound, Grade, GradeChange, Outcome
from services.patients.store.persons import PERSON
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.adverse_events import OPEN, adverse_event

CHAIN = param("chain_id", Uuid)
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
CHANGING = ("grades", "version", "resolved_by", "resolved_at", "outcome", "allowed_by", "allowed_at")

ADD_ADVERSE_EVENT = Settling(
    insert(adverse_event).inline().values(params(*adverse_event.c.keys())).cte("new_adverse_event")
)
_this = [adverse_event.c.chain_id == CHAIN, adverse_event.c.id == param("adverse_event_id", Uuid)]
ADVERSE_EVENT = Statement(select(adverse_event).where(*_this))
ADVERSE_EVENT_TO_CHANGE = Statement(select(adverse_event).where(*_this).with_for_update())
CHANGE_ADVERSE_EVENT = Settling(
    update(adverse_event).where(*_this).values(params(*CHANGING)).cte("changed_adverse_event")
)
ADVERSE_EVENTS = Statement(
    select(adverse_event)
    .where(
        adverse_event.c.chain_id == CHAIN,
        adverse_event.c.patient_id == PERSON,
        adverse_event.c.id < param("before", Uuid),
    )
    .order_by(adverse_event.c.id.desc())
    .limit(param("limit"))
)
OPEN_ADVERSE_EVENTS = Statement(
    select(adverse_event)
    .where(
        adverse_event.c.chain_id == CHAIN,
        adverse_event.c.site_id == param("site_id", Uuid),
        text(OPEN),
        text("(resolved_at IS NULL OR grades -> -1 ->> 0 <> '5')"),  # After a death there is nothing to allow.
        adverse_event.c.id > param("after", Uuid),
    )
    .order_by(adverse_event.c.id)
    .limit(param("limit"))
)


class AdverseEventStore(TextStore):
    def add_adverse_event(self, new: AdverseEvent) -> None:
        self.write_last(
            ADD_ADVERSE_EVENT,
            id=new.id,
            patient_id=new.patient_id,
            site_id=new.site_id,
            course_id=new.course_id,
            visit_id=new.visit_id,
            code=new.code,
            occurred_at=new.occurred_at,
            description=self.texts.seal(adverse_event.c.description, new.description, new.id),
            **_changing(new),
        )

    async def adverse_event(self, id: UUID) -> AdverseEvent:
        return self._adverse_event(await self.row(ADVERSE_EVENT, adverse_event_id=id), id)

    async def adverse_event_to_change(self, id: UUID) -> AdverseEvent:
        return self._adverse_event(await self.row(ADVERSE_EVENT_TO_CHANGE, adverse_event_id=id), id)

    def change_adverse_event(self, changed: AdverseEvent) -> None:
        self.write_last(CHANGE_ADVERSE_EVENT, adverse_event_id=changed.id, **_changing(changed))

    async def adverse_events(self, patient_id: UUID, before: UUID | None, limit: int) -> list[AdverseEvent]:
        found = await self.rows(ADVERSE_EVENTS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [adverse_event_of(row, self.texts) for row in found]

    async def open_adverse_events(self, site_id: UUID, after: UUID | None, limit: int) -> list[AdverseEvent]:
        found = await self.rows(OPEN_ADVERSE_EVENTS, site_id=site_id, after=after or FIRST_ID, limit=limit)
        return [adverse_event_of(row, self.texts) for row in found]

    def _adverse_event(self, row: Record | None, id: UUID) -> AdverseEvent:
        if row is None:
            raise AdverseEventNotFound(adverse_event_id=to_wire("adverseevent", id))
        return adverse_event_of(row, self.texts)


def _changing(event: AdverseEvent) -> dict[str, Any]:
    grades = [(each.grade, each.at.isoformat(), each.by) for each in event.grades]
    return {name: getattr(event, name) for name in CHANGING} | {"grades": json.dumps(grades)}


def adverse_event_of(row: Record, texts: Texts) -> AdverseEvent:
    grades = (GradeChange(Grade(n), datetime.fromisoformat(at), by) for n, at, by in json.loads(row["grades"]))
    return AdverseEvent(
        id=row["id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        course_id=row["course_id"],
        visit_id=row["visit_id"],
        code=row["code"],
        occurred_at=row["occurred_at"],
        description=texts.open(adverse_event.c.description, row["description"], row["id"]),
        grades=tuple(grades),
        version=row["version"],
        resolved_by=row["resolved_by"],
        resolved_at=row["resolved_at"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        allowed_by=row["allowed_by"],
        allowed_at=row["allowed_at"],
    )
