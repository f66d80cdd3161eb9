"""What events told of patients: that they exist, and what they are cleared for."""

from datetime import date
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from chassis.sql import Statement, params
from chassis.store import Store
from services.scheduling.domain.courses import Clearance
from services.scheduling.tables import clearance, patient

KEEP_PATIENT = Statement(insert(patient).values(params("chain_id", "patient_id")).on_conflict_do_nothing())
_new = insert(clearance).values(params(*clearance.c.keys()))
_limits = ("route_codes", "effective_date", "expire_date", "band_codes", "session_minutes_max")
_told = {name: _new.excluded[name] for name in _limits}
_key = [clearance.c.chain_id, clearance.c.id]
# Whichever comes first, a clearance that was revoked stays revoked.
GRANT = Statement(_new.on_conflict_do_update(index_elements=_key, set_=_told))
REVOKE = Statement(_new.on_conflict_do_update(index_elements=_key, set_={"revoked": True}))


class PatientStore(Store):
    async def keep_patient(self, patient_id: UUID) -> None:
        await self.rows(KEEP_PATIENT, patient_id=patient_id)

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
