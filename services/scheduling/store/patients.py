"""What events told of patients: that they exist, who died, which were merged, what they are cleared for, what went
wrong."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ARRAY, Boolean, ColumnElement, Integer, Uuid, and_, any_, exists, or_, select
from sqlalchemy.dialects.postgresql import insert

from chassis.aliases import Aliases, AliasStore
from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from services.scheduling.domain.courses import Clearance, PatientAnonymised, PatientDeceased
from services.scheduling.store.sites import CHAIN
from services.scheduling.tables import adverse_event, clearance, patient, patient_alias

PATIENTS = Aliases(patient_alias)


@dataclass(frozen=True, slots=True)
class PatientTold:
    """What a record says of a patient, by its version."""

    id: UUID
    deceased: bool
    version: int


_told_of = rows("told_of", patient_id=Uuid, deceased=Boolean, version=Integer)
_kept = insert(patient).from_select(["chain_id", *(column.name for column in _told_of.c)], select(CHAIN, *_told_of.c))
# What a record said last counts, whichever is heard first. Of one version a death does: earlier releases told none.
KEEP_PATIENTS = Statement(
    _kept.on_conflict_do_update(
        index_elements=[patient.c.chain_id, patient.c.patient_id],
        set_={name: _kept.excluded[name] for name in ("deceased", "version")},
        where=or_(
            patient.c.version < _kept.excluded.version,
            and_(patient.c.version == _kept.excluded.version, _kept.excluded.deceased),
        ),
    )
)
_forgotten = insert(patient).values(**params("chain_id", "patient_id"), anonymised=True)
FORGET_PATIENT = Statement(
    _forgotten.on_conflict_do_update(
        index_elements=[patient.c.chain_id, patient.c.patient_id], set_={"anonymised": True}
    )
)
_new = insert(clearance).values(params(*clearance.c.keys()))
_limits = ("route_codes", "effective_date", "expire_date", "band_codes", "session_minutes_max")
_told = {name: _new.excluded[name] for name in _limits}
_key = [clearance.c.chain_id, clearance.c.id]
# Whichever comes first, a clearance that was revoked stays revoked.
GRANT = Statement(_new.on_conflict_do_update(index_elements=_key, set_=_told))
REVOKE = Statement(_new.on_conflict_do_update(index_elements=_key, set_={"revoked": True}))
_heard = insert(adverse_event).values(params(*adverse_event.c.keys()))
_state = {name: _heard.excluded[name] for name in ("pausing", "version")}
# What it came to last counts, whichever is heard first.
KEEP_ADVERSE_EVENT = Statement(
    _heard.on_conflict_do_update(
        index_elements=[adverse_event.c.chain_id, adverse_event.c.id],
        set_=_state,
        where=adverse_event.c.version < _heard.excluded.version,
    )
)


def is_paused(patient_id: ColumnElement[UUID], *of: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether an adverse event of the patient, under any of their ids, that fits keeps treatment from going on."""
    theirs = adverse_event.c.patient_id == any_(PATIENTS.all_ids(patient_id))
    return exists().where(adverse_event.c.pausing, adverse_event.c.chain_id == CHAIN, theirs, *of).label("paused")


def endings(patient_id: ColumnElement[UUID]) -> list[ColumnElement[Any]]:
    """Columns of a row by which `check_not_ended` tells whether any record of the person is a dead or forgotten one."""
    theirs = patient.c.chain_id == CHAIN, patient.c.patient_id == any_(PATIENTS.all_ids(patient_id))
    found = [exists().where(each, *theirs).label(each.name) for each in (patient.c.deceased, patient.c.anonymised)]
    return [*found, PATIENTS.end(patient_id).label("patient_end")]


def check_not_ended(row: Record) -> None:
    """Nothing is planned, booked, held, offered or waited for by those who are."""
    if row["anonymised"]:
        raise PatientAnonymised(patient_id=to_wire("patient", row["patient_end"]))
    if row["deceased"]:
        raise PatientDeceased(patient_id=to_wire("patient", row["patient_end"]))


_told_of_ids = select(patient.c.patient_id).where(
    patient.c.chain_id == CHAIN, patient.c.patient_id == any_(param("ids", ARRAY(Uuid)))
)
DECEASED, FORGOTTEN = (Statement(_told_of_ids.where(each)) for each in (patient.c.deceased, patient.c.anonymised))


class PatientStore(AliasStore):
    aliases = PATIENTS

    async def keep_patients(self, told: Sequence[PatientTold]) -> None:
        """Each once."""
        await self.rows(
            KEEP_PATIENTS,
            patient_id=[each.id for each in told],
            deceased=[each.deceased for each in told],
            version=[each.version for each in told],
        )

    async def forget_patient(self, id: UUID) -> None:
        """Once and for all, whatever is heard of them later."""
        await self.rows(FORGET_PATIENT, patient_id=id)

    async def deceased(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Of these records those that say so."""
        return frozenset(row["patient_id"] for row in await self.rows(DECEASED, ids=sorted(ids)))

    async def ended(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Of these records those that are forgotten, too."""
        forgotten = await self.rows(FORGOTTEN, ids=sorted(ids))
        return await self.deceased(ids) | {row["patient_id"] for row in forgotten}

    async def grant(self, id: UUID, patient_id: UUID, protocol_id: UUID, granted: Clearance) -> None:
        await self.rows(
            GRANT,
            id=id,
            patient_id=patient_id,
            protocol_id=protocol_id,
            route_codes=sorted(granted.route_codes),
            effective_date=granted.effective,
            expire_date=granted.expire,
            revoked=False,
            band_codes=sorted(granted.band_codes),
            session_minutes_max=granted.session_minutes_max,
        )

    async def revoke(self, id: UUID, patient_id: UUID, protocol_id: UUID) -> None:
        unknown: date | None = None
        await self.rows(
            REVOKE,
            id=id,
            patient_id=patient_id,
            protocol_id=protocol_id,
            route_codes=[],
            effective_date=unknown,
            expire_date=unknown,
            revoked=True,
            band_codes=[],
            session_minutes_max=0,
        )

    async def keep_adverse_event(
        self, id: UUID, patient_id: UUID, course_id: UUID | None, *, pausing: bool, version: int
    ) -> None:
        await self.rows(
            KEEP_ADVERSE_EVENT, id=id, patient_id=patient_id, course_id=course_id, pausing=pausing, version=version
        )
