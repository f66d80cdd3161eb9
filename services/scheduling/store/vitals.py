"""What events told of vital signs, and what of it is of a visit.

Each event tells a fact that never changes again, so they may come in any order, and more than once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import Boolean, Uuid, and_, any_, delete, func, not_, or_, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, insert

from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.scheduling.domain.visits import OVER, Status
from services.scheduling.domain.vitals import Vitals, VitalSigns
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.sites import CHAIN
from services.scheduling.tables import site, visit, visit_status_change, vital_signs

BEFORE_MAX = timedelta(days=2)
"""Longer than any day, so that a visit's own has begun by then in every zone."""


@dataclass(frozen=True, slots=True)
class VitalSignsTold:
    measure_id: UUID
    patient_id: UUID
    taken_at: datetime | None
    """None where a retraction tells of them, which says no more of when."""
    within: Mapping[int, bool]
    retracted: bool


_told = rows("told", id=Uuid, patient_id=Uuid, taken_at=Instant, within=JSONB, retracted=Boolean)
_kept = insert(vital_signs).from_select(["chain_id", *(column.name for column in _told.c)], select(CHAIN, *_told.c))
KEEP_VITAL_SIGNS = Statement(
    _kept.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"retracted": or_(vital_signs.c.retracted, _kept.excluded.retracted)},
    )
)
FORGET_VITAL_SIGNS = Statement(
    delete(vital_signs).where(vital_signs.c.chain_id == CHAIN, vital_signs.c.patient_id == param("patient_id", Uuid))
)
_reached = select(func.jsonb_object_agg(visit_status_change.c.status, visit_status_change.c.at)).where(
    visit_status_change.c.chain_id == CHAIN, visit_status_change.c.visit_id == visit.c.id
)
_in_order = aggregate_order_by(func.to_jsonb(vital_signs.table_valued()), vital_signs.c.taken_at, vital_signs.c.id)
_taken = select(func.jsonb_agg(_in_order)).where(
    vital_signs.c.chain_id == CHAIN,
    vital_signs.c.patient_id == any_(PATIENTS.all_ids(visit.c.patient_id)),
    vital_signs.c.taken_at > visit.c.start_at - BEFORE_MAX,
    not_(vital_signs.c.retracted),
)
VITALS_TOLD = Statement(
    select(
        visit.c.start_at,
        visit.c.status,
        site.c.time_zone,
        _reached.scalar_subquery().label("reached"),
        _taken.scalar_subquery().label("taken"),
    )
    .join_from(visit, site, and_(site.c.chain_id == CHAIN, site.c.id == visit.c.site_id))
    .where(visit.c.chain_id == CHAIN, visit.c.id == param("visit_id", Uuid))
)


class VitalsStore(Store):
    async def keep_vital_signs(self, told: Sequence[VitalSignsTold]) -> None:
        """Each once. What is retracted stays so, whichever is heard first."""
        await self.rows(
            KEEP_VITAL_SIGNS,
            id=[each.measure_id for each in told],
            patient_id=[each.patient_id for each in told],
            taken_at=[each.taken_at for each in told],
            within=[json.dumps(each.within) for each in told],
            retracted=[each.retracted for each in told],
        )

    async def forget_vital_signs(self, patient_id: UUID) -> None:
        await self.rows(FORGET_VITAL_SIGNS, patient_id=patient_id)

    async def vitals(self, visit_id: UUID) -> Vitals:
        """Of a visit that is over no signs: what let it end was recorded then."""
        row = await self.row(VITALS_TOLD, visit_id=visit_id)
        assert row
        return _vitals_of(row)


def _vitals_of(row: Record) -> Vitals:
    zone, taken = ZoneInfo(row["time_zone"]), json.loads(row["taken"] or "[]")
    reached = {Status(status): datetime.fromisoformat(at) for status, at in json.loads(row["reached"]).items()}
    return Vitals(
        told=[] if Status(row["status"]) in OVER else list(map(_signs_of, taken)),
        day=row["start_at"].astimezone(zone).date(),
        zone=zone,
        arrived_at=reached.get(Status.CHECKED_IN),
        treated_at=reached.get(Status.IN_TREATMENT),
    )


def _signs_of(data: Mapping[str, Any]) -> VitalSigns:
    return VitalSigns(datetime.fromisoformat(data["taken_at"]), data["within"])
