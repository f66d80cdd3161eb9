"""SQL of measures and safety flags."""

import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Text, Uuid, any_, insert, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.tables import Instant
from services.patients.domain.measures import (
    Content,
    Instrument,
    Measure,
    MeasureNotFound,
    Questionnaire,
    SafetyFlag,
    SafetyFlagKind,
    SafetyFlagNotFound,
    Severity,
    SideEffect,
    SideEffects,
    VitalSigns,
)
from services.patients.store.persons import EACH_ID, PERSON
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.measures import measure, safety_flag

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
AFTER_ALL = datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1)
FIRST_ID = UUID(int=0)
POINTS_MAX = 500

_new_flag = rows("new_flag", flag_id=Uuid, flag_kind=Text)
ADD_MEASURE = Settling(
    insert(measure).inline().values(params(*measure.c.keys())).cte("new_measure"),
    insert(safety_flag)
    .from_select(
        ["chain_id", "id", "patient_id", "site_id", "measure_id", "kind", "raised_at", "note"],
        select(
            CHAIN,
            _new_flag.c.flag_id,
            PATIENT,
            param("site_id", Uuid),
            param("id", Uuid),
            _new_flag.c.flag_kind,
            param("recorded_at", Instant),
            param("no_note", Text),
        ),
    )
    .cte("new_flags"),
)
_measure = select(measure).where(measure.c.chain_id == CHAIN, measure.c.id == param("measure_id"))
MEASURE = Statement(_measure)
MEASURE_TO_CHANGE = Statement(_measure.with_for_update())
RETRACT_MEASURE = Settling(
    update(measure)
    .where(measure.c.chain_id == CHAIN, measure.c.id == param("measure_id"))
    .values(params("retracted_by", "retracted_at"))
    .cte("retracted_measure")
)
_of_one = (
    select(measure)
    .where(
        measure.c.chain_id == CHAIN,
        measure.c.patient_id == EACH_ID.c.id,
        measure.c.instrument == any_(param("instruments", ARRAY(Text))),
        tuple_(measure.c.taken_at, measure.c.id) < tuple_(param("before", Instant), param("before_id", Uuid)),
    )
    .order_by(measure.c.taken_at.desc(), measure.c.id.desc())
    .limit(param("limit"))
    .lateral("of_one")
)
MEASURES = Statement(
    select(_of_one)
    .select_from(EACH_ID)
    .join(_of_one, true())
    .order_by(_of_one.c.taken_at.desc(), _of_one.c.id.desc())
    .limit(param("limit"))
)
TREND = Statement(
    select(measure)
    .where(
        measure.c.chain_id == CHAIN,
        measure.c.patient_id == PERSON,
        measure.c.course_id == param("course_id", Uuid),
        measure.c.instrument == param("instrument", Text),
        measure.c.retracted_at.is_(None),
    )
    .order_by(measure.c.taken_at, measure.c.id)
    .limit(param("limit"))
)
_flag = select(safety_flag).where(safety_flag.c.chain_id == CHAIN, safety_flag.c.id == param("safety_flag_id"))
FLAG_TO_CHANGE = Statement(_flag.with_for_update())
OPEN_FLAGS = Statement(
    select(safety_flag)
    .where(
        safety_flag.c.chain_id == CHAIN,
        safety_flag.c.site_id == param("site_id", Uuid),
        safety_flag.c.acknowledged_at.is_(None),
        safety_flag.c.id > param("after", Uuid),
    )
    .order_by(safety_flag.c.id)
    .limit(param("limit"))
)
ACKNOWLEDGE_FLAG = Settling(
    update(safety_flag)
    .where(safety_flag.c.chain_id == CHAIN, safety_flag.c.id == param("safety_flag_id"))
    .values(params("acknowledged_by", "acknowledged_at", "note"))
    .cte("acknowledged_flag")
)


class MeasureStore(TextStore):
    def add_measure(self, new: Measure, flag: SafetyFlag | None) -> None:
        self.write_last(
            ADD_MEASURE,
            id=new.id,
            patient_id=new.patient_id,
            site_id=new.site_id,
            course_id=new.course_id,
            visit_id=new.visit_id,
            instrument=new.instrument,
            taken_at=new.taken_at,
            content=json.dumps(asdict(new.content)),
            total=new.total,
            recorded_by=new.recorded_by,
            recorded_at=new.recorded_at,
            retracted_by=new.retracted_by,
            retracted_at=new.retracted_at,
            flag_id=[flag.id] if flag else [],
            flag_kind=[flag.kind] if flag else [],
            no_note="",
        )

    async def measure(self, measure_id: UUID) -> Measure:
        return _found(await self.row(MEASURE, measure_id=measure_id), measure_id)

    async def measure_to_change(self, measure_id: UUID) -> Measure:
        return _found(await self.row(MEASURE_TO_CHANGE, measure_id=measure_id), measure_id)

    def retract_measure(self, retracted: Measure) -> None:
        stamps = {"retracted_by": retracted.retracted_by, "retracted_at": retracted.retracted_at}
        self.write_last(RETRACT_MEASURE, measure_id=retracted.id, **stamps)

    async def measures(
        self, patient_id: UUID, instruments: Collection[Instrument], before: tuple[datetime, UUID] | None, limit: int
    ) -> list[Measure]:
        taken_at, before_id = before or AFTER_ALL
        asked = {"instruments": list(instruments), "before": taken_at, "before_id": before_id, "limit": limit}
        return [measure_of(row) for row in await self.rows(MEASURES, patient_id=patient_id, **asked)]

    async def measures_of_course(self, patient_id: UUID, course_id: UUID, instrument: Instrument) -> list[Measure]:
        """Those that count, in the order in which they were taken."""
        asked = {"course_id": course_id, "instrument": instrument, "limit": POINTS_MAX}
        found = await self.rows(TREND, patient_id=patient_id, **asked)
        if not found:
            raise MeasureNotFound(course_id=to_wire("course", course_id))
        return [measure_of(row) for row in found]

    async def safety_flag_to_change(self, flag_id: UUID) -> SafetyFlag:
        if row := await self.row(FLAG_TO_CHANGE, safety_flag_id=flag_id):
            return safety_flag_of(row, self.texts)
        raise SafetyFlagNotFound(safety_flag_id=to_wire("safetyflag", flag_id))

    async def open_safety_flags(self, site_id: UUID, after: UUID | None, limit: int) -> list[SafetyFlag]:
        found = await self.rows(OPEN_FLAGS, site_id=site_id, after=after or FIRST_ID, limit=limit)
        return [safety_flag_of(row, self.texts) for row in found]

    def acknowledge_safety_flag(self, acknowledged: SafetyFlag) -> None:
        self.write_last(
            ACKNOWLEDGE_FLAG,
            safety_flag_id=acknowledged.id,
            acknowledged_by=acknowledged.acknowledged_by,
            acknowledged_at=acknowledged.acknowledged_at,
            note=self.texts.seal(safety_flag.c.note, acknowledged.note, acknowledged.id),
        )


def _found(row: Record | None, measure_id: UUID) -> Measure:
    if row is None:
        raise MeasureNotFound(measure_id=to_wire("measure", measure_id))
    return measure_of(row)


def measure_of(row: Record) -> Measure:
    return Measure(
        id=row["id"],
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        course_id=row["course_id"],
        visit_id=row["visit_id"],
        taken_at=row["taken_at"],
        content=_content(Instrument(row["instrument"]), json.loads(row["content"])),
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
        retracted_by=row["retracted_by"],
        retracted_at=row["retracted_at"],
    )


def _content(instrument: Instrument, kept: dict[str, Any]) -> Content:
    if instrument is Instrument.VITAL_SIGNS:
        return VitalSigns(**kept)
    if instrument is Instrument.SIDE_EFFECTS:
        return SideEffects(tuple(SideEffect(each["code"], Severity(each["severity"])) for each in kept["side_effects"]))
    return Questionnaire(instrument, tuple(kept["item_scores"]))


def safety_flag_of(row: Record, texts: Texts) -> SafetyFlag:
    return SafetyFlag(
        id=row["id"],
        kind=SafetyFlagKind(row["kind"]),
        patient_id=row["patient_id"],
        site_id=row["site_id"],
        measure_id=row["measure_id"],
        raised_at=row["raised_at"],
        acknowledged_by=row["acknowledged_by"],
        acknowledged_at=row["acknowledged_at"],
        note=texts.open(safety_flag.c.note, row["note"], row["id"]),
    )
