"""Copies of sites, patients and visits."""

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    Integer,
    Text,
    Uuid,
    select,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.aliases import Aliases, AliasStore
from chassis.errors import NotYetKnown
from chassis.sql import Statement, param, params, rows
from chassis.tables import Instant
from services.notifications.domain.visits import Patient, Site, Visit, VisitStatus
from services.notifications.tables import NO_CHAIN, chain, patient, patient_alias, site, visit

CHAIN, ID = param("chain_id", Uuid), param("id", Uuid)


_site = pg_insert(site).values(params(*site.c.keys()))


KEEP_SITE = Statement(
    _site.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _site.excluded[name] for name in ("discreet_name", "time_zone", "address", "phone", "version")},
        where=site.c.version <= _site.excluded.version,
    )
)


KEEP_CHAIN = Statement(pg_insert(chain).values(chain_id=CHAIN).on_conflict_do_nothing())


CHAINS = Statement(select(chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(chain.c.chain_id))


_told = rows("told", patient_id=Uuid, time_zone=Text, version=Integer)


_patient = pg_insert(patient).from_select(
    ["chain_id", "id", "time_zone", "version"],
    select(CHAIN, _told.c.patient_id, _told.c.time_zone, _told.c.version),
)


KEEP_PATIENTS = Statement(
    _patient.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _patient.excluded[name] for name in ("time_zone", "version")},
        where=patient.c.version < _patient.excluded.version,
    )
)


PATIENTS = Aliases(patient_alias)


_end = PATIENTS.end(ID)


_zone = select(patient.c.time_zone).where(patient.c.chain_id == CHAIN, patient.c.id == _end)


PATIENT = Statement(select(_end.label("end_id"), _zone.scalar_subquery().label("time_zone")))


HAS_SITE = Statement(select(site.c.id).where(site.c.chain_id == CHAIN, site.c.id == ID))


_booked = rows("booked", visit_id=Uuid, start_at=Instant, telehealth=Boolean)


_new_visits = pg_insert(visit).from_select(
    ["chain_id", "id", "site_id", "patient_id", "status", "start_at", "telehealth"],
    select(
        CHAIN,
        _booked.c.visit_id,
        param("site_id", Uuid),
        param("patient_id", Uuid),
        param("booked", Text),
        _booked.c.start_at,
        _booked.c.telehealth,
    ),
)


KEEP_VISITS = Statement(
    _new_visits.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _new_visits.excluded[name] for name in ("start_at", "telehealth")},
    ).returning(visit.c.id, visit.c.status)
)


_off = pg_insert(visit).values(params("chain_id", "id", "site_id", "patient_id", "status"))


CALL_OFF = Statement(
    _off.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"status": _off.excluded.status},
        where=visit.c.status == VisitStatus.BOOKED,
    )
)


class CopyStore(AliasStore):
    aliases = PATIENTS

    async def chains(self) -> list[UUID]:
        """All that are known, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]

    async def keep_site(self, known: Site, version: int) -> None:
        """Unless what is known is newer."""
        await self.rows(KEEP_CHAIN)
        values = {"discreet_name": known.discreet_name, "address": known.address, "phone": known.phone}
        await self.rows(KEEP_SITE, id=known.id, time_zone=known.zone.key, version=version, **values)

    async def keep_patients(self, told: Sequence[Patient]) -> None:
        """Each once; unless what is known is newer."""
        await self.rows(
            KEEP_PATIENTS,
            patient_id=[each.id for each in told],
            time_zone=[each.zone.key for each in told],
            version=[each.version for each in told],
        )

    async def patient(self, patient_id: UUID) -> tuple[UUID, ZoneInfo]:
        """To whom messages are written, and their zone; of a merged patient the survivor, who must be known."""
        row = await self.row(PATIENT, id=patient_id)
        assert row
        if row["time_zone"] is None:
            raise NotYetKnown("patient", row["end_id"])
        return row["end_id"], ZoneInfo(row["time_zone"])

    async def zone_of_patient(self, patient_id: UUID) -> ZoneInfo | None:
        """Of a merged patient the survivor's; None while that one is not known."""
        row = await self.row(PATIENT, id=patient_id)
        return ZoneInfo(row["time_zone"]) if row and row["time_zone"] else None

    async def require_site(self, site_id: UUID) -> None:
        if await self.row(HAS_SITE, id=site_id) is None:
            raise NotYetKnown("site", site_id)

    async def keep_visits(self, site_id: UUID, patient_id: UUID, visits: Sequence[Visit]) -> dict[UUID, VisitStatus]:
        """What each visit's status is now: one may have been called off before it was known to be booked."""
        kept = await self.rows(
            KEEP_VISITS,
            site_id=site_id,
            patient_id=patient_id,
            booked=VisitStatus.BOOKED,
            visit_id=[visit.id for visit in visits],
            start_at=[visit.start for visit in visits],
            telehealth=[visit.telehealth for visit in visits],
        )
        return {row["id"]: VisitStatus(row["status"]) for row in kept}

    async def call_off(self, visit_id: UUID, site_id: UUID, patient_id: UUID, status: VisitStatus) -> None:
        await self.rows(CALL_OFF, id=visit_id, site_id=site_id, patient_id=patient_id, status=status)
