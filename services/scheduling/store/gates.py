"""What is known of the gates of visits."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import Boolean, Integer, Text, Uuid, and_, func, literal_column, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from chassis.tables import Instant
from services.scheduling.domain.consents import Consents
from services.scheduling.domain.courses import CoursePaused
from services.scheduling.domain.gates import GateRecord, GateState, Records, states_of
from services.scheduling.domain.protocols import Gate, GateKind, GateStage, Template
from services.scheduling.domain.visits import Visit, VisitNotFound
from services.scheduling.domain.vitals import Vitals
from services.scheduling.store.consents import ConsentStore
from services.scheduling.store.patients import is_paused
from services.scheduling.store.protocols import ProtocolStore, kept_template
from services.scheduling.store.sites import CHAIN
from services.scheduling.store.vitals import VitalsStore
from services.scheduling.tables import (
    adoption,
    adverse_event,
    course,
    estimate_delivery,
    gate_override,
    gate_record,
    site,
    visit,
)

# Of a statement that joins a visit with its course.
_GATES = (
    course.c.deposit_paid_at,
    course.c.estimate_delivered_at,
    select(adoption.c.narrowed_template)
    .where(
        adoption.c.chain_id == visit.c.chain_id,
        adoption.c.site_id == visit.c.site_id,
        adoption.c.protocol_version_id == course.c.protocol_version_id,
    )
    .scalar_subquery()
    .label("narrowed_template"),
    select(func.jsonb_agg(func.to_jsonb(gate_record.table_valued())))
    .where(gate_record.c.chain_id == visit.c.chain_id, gate_record.c.visit_id == visit.c.id)
    .scalar_subquery()
    .label("gate_records"),
    select(func.jsonb_agg(func.to_jsonb(gate_override.table_valued())))
    .where(gate_override.c.chain_id == visit.c.chain_id, gate_override.c.visit_id == visit.c.id)
    .scalar_subquery()
    .label("gate_overrides"),
    is_paused(
        visit.c.patient_id,
        or_(adverse_event.c.course_id.is_(None), adverse_event.c.course_id == visit.c.course_id),
    ),
)
VISIT_GATES = Statement(
    select(
        visit.c.visit_type_code,
        visit.c.site_id,
        visit.c.patient_id,
        visit.c.start_at,
        course.c.protocol_version_id,
        site.c.time_zone,
        *_GATES,
    )
    .join_from(visit, course, and_(course.c.chain_id == visit.c.chain_id, course.c.id == visit.c.course_id))
    .join(site, and_(site.c.chain_id == visit.c.chain_id, site.c.id == visit.c.site_id))
    .where(visit.c.chain_id == CHAIN, visit.c.id == param("visit_id", Uuid))
)
DEPOSIT_PAID = Statement(
    select(course.c.deposit_paid_at).where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid))
)
_recording = insert(gate_record).values(params(*gate_record.c.keys()))
RECORD_GATE = Statement(
    _recording.on_conflict_do_update(
        index_elements=[gate_record.c.chain_id, gate_record.c.visit_id, gate_record.c.kind],
        set_={name: _recording.excluded[name] for name in ("passed", "at", "actor")},
    )
)
KEEP_DEPOSIT = Statement(
    update(course)
    .where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid), course.c.deposit_paid_at.is_(None))
    .values(deposit_paid_at=param("at", Instant))
)
_told = insert(estimate_delivery).from_select(
    ["chain_id", "course_id", "id", "version", "delivered_at", "returned"],
    select(
        CHAIN,
        course.c.id,
        param("id", Uuid),
        func.coalesce(func.nullif(param("version", Integer), literal_column("0")), course.c.estimate_version),
        param("delivered_at", Instant),
        param("returned", Boolean),
    ).where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid)),
)
KEEP_ESTIMATE_DELIVERY = Statement(
    _told.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"returned": or_(estimate_delivery.c.returned, _told.excluded.returned)},
    )
)
_asked = func.greatest(course.c.estimate_version, param("version", Integer))
_first_delivery = (
    select(func.min(estimate_delivery.c.delivered_at))
    .where(
        estimate_delivery.c.chain_id == CHAIN,
        estimate_delivery.c.course_id == course.c.id,
        estimate_delivery.c.version >= _asked,
        not_(estimate_delivery.c.returned),
    )
    .correlate(course)
    .scalar_subquery()
)
RECKON_ESTIMATE_DELIVERED = Statement(
    update(course)
    .where(course.c.chain_id == CHAIN, course.c.id == param("course_id", Uuid))
    .values(estimate_version=_asked, estimate_delivered_at=_first_delivery)
)
_overridden = rows("overridden", kind=Text, stage=Text)
OVERRIDE_GATES = Statement(
    insert(gate_override).from_select(
        ["chain_id", "visit_id", "kind", "stage", "site_id", "reason", "at", "actor"],
        select(
            CHAIN,
            param("visit_id", Uuid),
            _overridden.c.kind,
            _overridden.c.stage,
            param("site_id", Uuid),
            param("reason", Text),
            param("at", Instant),
            param("actor", Text),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class KnownGates:
    records: Records
    overrides: Mapping[tuple[GateKind, GateStage], str]
    narrowed: Template | None
    """The site's own form of the version."""
    paused: bool
    day: date
    """Of the visit, in its site's zone."""

    def check_not_paused(self, visit: Visit) -> None:
        """A visit at which nothing is given goes on."""
        if self.paused and visit.route_code:
            raise CoursePaused(course_id=to_wire("course", visit.course_id))


class GateStore(ProtocolStore, ConsentStore, VitalsStore):
    async def gates(self, visit_id: UUID) -> list[GateState]:
        row = await self._visit_gates(visit_id)
        known = _known_gates(row)
        template = known.narrowed or (await self.version(row["protocol_version_id"])).template
        gates = template.gates_of(row["visit_type_code"], known.day)
        consents = await self.consents_of(gates, row["site_id"], row["patient_id"], row["start_at"])
        vitals = await self.vitals_of(gates, visit_id)
        return states_of(gates, known.records, known.overrides, consents, vitals)

    async def known_gates(self, visit_id: UUID) -> KnownGates:
        """To be read once the visit is locked: what others record of it until then counts."""
        return _known_gates(await self._visit_gates(visit_id))

    async def deposit_of(self, course_id: UUID) -> Records:
        """Nothing, of a course that is not there yet."""
        row = await self.row(DEPOSIT_PAID, course_id=course_id)
        return _deposit(row["deposit_paid_at"] if row else None)

    async def _visit_gates(self, visit_id: UUID) -> Record:
        row = await self.row(VISIT_GATES, visit_id=visit_id)
        if row is None:
            raise VisitNotFound(visit_id=to_wire("visit", visit_id))
        return row

    async def consents_of(
        self, gates: Iterable[Gate], site_id: UUID, patient_id: UUID, at: datetime
    ) -> Consents | None:
        """What the visit's `gates` follow. Most visits have none that asks for consent: they do not look."""
        if any(gate.kind is GateKind.CONSENT for gate in gates):
            return await self.consents(site_id, patient_id, at)
        return None

    async def vitals_of(self, gates: Iterable[Gate], visit_id: UUID) -> Vitals | None:
        """As `consents_of`."""
        if any(gate.kind is GateKind.VITALS for gate in gates):
            return await self.vitals(visit_id)
        return None

    async def record_gate(self, visit: Visit, kind: GateKind, record: GateRecord) -> None:
        await self.rows(
            RECORD_GATE,
            visit_id=visit.id,
            kind=kind,
            site_id=visit.site_id,
            passed=record.passed,
            at=record.at,
            actor=record.actor,
        )

    async def keep_deposit(self, course_id: UUID, at: datetime) -> None:
        await self.rows(KEEP_DEPOSIT, course_id=course_id, at=at)

    async def keep_estimate_delivery(self, course_id: UUID, id: UUID, version: int, delivered_at: datetime) -> None:
        """`version` is that of the estimate; 0: of the one that is asked for by now."""
        await self._reckon_delivered(course_id, id=id, version=version, delivered_at=delivered_at, returned=False)

    async def return_estimate_delivery(self, course_id: UUID, id: UUID, version: int) -> None:
        """It may be heard of before its delivery."""
        await self._reckon_delivered(course_id, id=id, version=version, delivered_at=None, returned=True)

    async def ask_estimate(self, course_id: UUID, version: int) -> None:
        """What was delivered of an earlier version holds no more."""
        await self.lock([course_id])
        await self.rows(RECKON_ESTIMATE_DELIVERED, course_id=course_id, version=version)

    async def _reckon_delivered(self, course_id: UUID, **told: Any) -> None:
        await self.lock([course_id])
        await self.rows(KEEP_ESTIMATE_DELIVERY, course_id=course_id, **told)
        await self.rows(RECKON_ESTIMATE_DELIVERED, course_id=course_id, version=0)

    async def override_gates(self, visit: Visit, unpassed: Sequence[GateState], reason: str) -> None:
        await self.rows(
            OVERRIDE_GATES,
            visit_id=visit.id,
            site_id=visit.site_id,
            kind=[each.gate.kind for each in unpassed],
            stage=[each.gate.stage for each in unpassed],
            reason=reason,
            at=self.call.now,
            actor=self.call.actor,
        )


def _known_gates(row: Record) -> KnownGates:
    records = {GateKind(each["kind"]): _record(each) for each in json.loads(row["gate_records"] or "[]")}
    records |= _deposit(row["deposit_paid_at"])
    if delivered_at := row["estimate_delivered_at"]:
        records[GateKind.ESTIMATE_DELIVERED] = GateRecord(True, delivered_at, "billing")
    overrides = {
        (GateKind(each["kind"]), GateStage(each["stage"])): each["reason"]
        for each in json.loads(row["gate_overrides"] or "[]")
    }
    form = row["narrowed_template"]
    day = row["start_at"].astimezone(ZoneInfo(row["time_zone"])).date()
    return KnownGates(records, overrides, kept_template(form) if form else None, row["paused"], day)


def _deposit(paid_at: datetime | None) -> dict[GateKind, GateRecord]:
    return {GateKind.DEPOSIT_PAID: GateRecord(True, paid_at, "billing")} if paid_at else {}


def _record(data: Mapping[str, Any]) -> GateRecord:
    return GateRecord(data["passed"], datetime.fromisoformat(data["at"]), data["actor"])
