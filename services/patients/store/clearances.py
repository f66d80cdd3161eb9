"""SQL of clearances."""

from dataclasses import asdict
from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    Text,
    Uuid,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling, locking
from chassis.tables import Instant
from services.patients.domain.clearances import (
    Clearance,
    ClearanceCondition,
    ClearanceNotFound,
    Limits,
    PatientDeceased,
)
from services.patients.domain.questionnaires import Outcome
from services.patients.domain.screenings import Decision, Judged
from services.patients.store.persons import PERSON
from services.patients.store.screenings import CHAIN, LAST_ID, WAITING, standing, zone_of_site
from services.patients.store.seen import AT_ITS_SITES
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.clearances import clearance, screening, screening_review
from services.patients.tables.records import patient


def _deciding(decision: Decision, by: str, at: str, clearance_id: str, *conditions: ColumnElement[bool]) -> CTE:
    """What waits of the person for the protocol waits no longer: the names of who decided, when, and by which."""
    return (
        update(screening_review)
        .where(*WAITING, *conditions)
        .values(
            decision=literal(decision, Text),
            decided_by=param(by, Text),
            decided_at=param(at, Instant),
            clearance_id=param(clearance_id, Uuid),
        )
        .cte("waits_no_longer")
    )


ADD_CLEARANCE = Settling(
    insert(clearance).inline().values(params(*clearance.c.keys())).cte("new_clearance"),
    _deciding(Decision.CLEARED, "granted_by", "granted_at", "id"),
)
_clearance = select(clearance).where(clearance.c.chain_id == CHAIN, clearance.c.id == param("clearance_id"))
CLEARANCE = Statement(_clearance)
# Of those that the caller may change, which are fewer than they may see behind glass.
CLEARANCE_TO_CHANGE = Statement(_clearance.with_for_update())
_id = param("clearance_id", Uuid)
# As a claim locks whom it names.
_whose = (
    select(func.coalesce(patient.c.survivor_id, clearance.c.patient_id).label("lock_id"))
    .join_from(clearance, patient, and_(patient.c.chain_id == CHAIN, patient.c.id == clearance.c.patient_id))
    .where(clearance.c.chain_id == CHAIN, clearance.c.id == _id)
)
LOCK_PERSON = Statement(locking(_whose.subquery("whose")))
_standing = standing(param("revoked_at", Instant))
# Decides only where it stood, and nothing else does: as it was before this statement.
REVOKE = Settling(
    update(clearance)
    .where(clearance.c.chain_id == CHAIN, clearance.c.id == _id)
    .values(params("revoked_by", "revoked_at", "revoke_reason"))
    .cte("revoked_clearance"),
    _deciding(
        Decision.CLEARANCE_REVOKED,
        "revoked_by",
        "revoked_at",
        "clearance_id",
        exists(_standing.where(clearance.c.id == _id)),
        ~exists(_standing.where(clearance.c.id != _id)),
    ),
)
# The latest first: ids are in the order of their making.
_of_patient = (
    select(clearance)
    .where(clearance.c.chain_id == CHAIN, clearance.c.patient_id == PERSON, clearance.c.id < param("before", Uuid))
    .order_by(clearance.c.id.desc())
    .limit(param("limit"))
)
CLEARANCES = Statement(_of_patient)
_day = param("day", Date)
CLEARANCES_IN_FORCE = Statement(
    _of_patient.where(
        clearance.c.effective_date <= _day, clearance.c.expire_date >= _day, clearance.c.revoked_at.is_(None)
    )
)
_for_protocol = [
    screening.c.chain_id == CHAIN,
    screening.c.patient_id == PERSON,
    screening.c.protocol_id == param("protocol_id", Uuid),
]
_latest = select(screening.c.id).where(*_for_protocol).order_by(screening.c.id.desc()).limit(1).scalar_subquery()
_decisive = (
    select(screening.c.id, screening.c.outcome)
    .where(*_for_protocol, or_(screening.c.id == param("screening_id", Uuid), screening.c.id == _latest))
    .subquery("decisive")
)
_dead = exists().where(patient.c.chain_id == CHAIN, patient.c.id == PERSON, patient.c.deceased, AT_ITS_SITES)
_place = select(
    func.coalesce(zone_of_site.scalar_subquery(), literal("")).label("time_zone"), _dead.label("deceased")
).subquery("place")
# The site's zone, whether any record of the patient that the caller sees says that they have died, and the screenings
# for the protocol that count: the one that is named, and the latest.
GROUNDS = Statement(
    select(_place, _decisive).outerjoin_from(_place, _decisive, true()).order_by(_decisive.c.id.desc().nulls_last())
)


class ClearanceStore(TextStore):
    async def grounds(
        self, patient_id: UUID, protocol_id: UUID, site_id: UUID, screening_id: UUID | None
    ) -> tuple[str, list[Judged]]:
        """The site's zone, and the screenings that count for a clearance: the one that is named, and the latest.

        Refused for whoever has died, by any record of theirs.
        """
        ids = {"patient_id": patient_id, "protocol_id": protocol_id, "site_id": site_id, "screening_id": screening_id}
        found = await self.rows(GROUNDS, **ids)
        time_zone: str = found[0]["time_zone"]
        if not time_zone:
            raise NotYetKnown("site", site_id)
        if found[0]["deceased"]:
            raise PatientDeceased()
        return time_zone, [Judged(row["id"], Outcome(row["outcome"])) for row in found if row["id"]]

    def add_clearance(self, new: Clearance) -> None:
        texts = self.texts
        self.write_last(
            ADD_CLEARANCE,
            id=new.id,
            patient_id=new.patient_id,
            protocol_id=new.protocol_id,
            site_id=new.site_id,
            route_codes=list(new.route_codes),
            effective_date=new.effective_date,
            expire_date=new.expire_date,
            screening_id=new.screening_id,
            granted_by=new.granted_by,
            granted_at=new.granted_at,
            revoked_by=new.revoked_by,
            revoked_at=new.revoked_at,
            band_codes=list(new.limits.band_codes),
            session_minutes_max=new.limits.session_minutes_max,
            conditions=texts.seal_json(
                clearance.c.conditions, [asdict(each) for each in new.limits.conditions], new.id
            ),
            override_reason=texts.seal(clearance.c.override_reason, new.override_reason, new.id),
            revoke_reason=texts.seal(clearance.c.revoke_reason, new.revoke_reason, new.id),
        )

    def revoke(self, revoked: Clearance) -> None:
        self.write_last(
            REVOKE,
            clearance_id=revoked.id,
            patient_id=revoked.patient_id,
            protocol_id=revoked.protocol_id,
            site_id=revoked.site_id,
            revoked_by=revoked.revoked_by,
            revoked_at=revoked.revoked_at,
            revoke_reason=self.texts.seal(clearance.c.revoke_reason, revoked.revoke_reason, revoked.id),
        )

    async def clearance(self, clearance_id: UUID) -> Clearance:
        return self._clearance(await self.row(CLEARANCE, clearance_id=clearance_id), clearance_id)

    async def clearance_to_change(self, clearance_id: UUID) -> Clearance:
        """With its person locked, as who grants one and who screens: each would take the other's for what stands."""
        await self.rows(LOCK_PERSON, clearance_id=clearance_id)
        return self._clearance(await self.row(CLEARANCE_TO_CHANGE, clearance_id=clearance_id), clearance_id)

    async def clearances(
        self, patient_id: UUID, before: UUID | None, limit: int, in_force: date | None = None
    ) -> list[Clearance]:
        """All, or those in force on a day."""
        page = {"patient_id": patient_id, "before": before or LAST_ID, "limit": limit}
        if in_force is None:
            found = await self.rows(CLEARANCES, **page)
        else:
            found = await self.rows(CLEARANCES_IN_FORCE, **page, day=in_force)
        return [clearance_of(row, self.texts) for row in found]

    def _clearance(self, row: Record | None, clearance_id: UUID) -> Clearance:
        if row is None:
            raise ClearanceNotFound(clearance_id=to_wire("clearance", clearance_id))
        return clearance_of(row, self.texts)


def clearance_of(row: Record, texts: Texts) -> Clearance:
    told = texts.open_json(clearance.c.conditions, row["conditions"], row["id"]) or ()
    conditions = tuple(ClearanceCondition(**each) for each in told)
    return Clearance(
        id=row["id"],
        patient_id=row["patient_id"],
        protocol_id=row["protocol_id"],
        site_id=row["site_id"],
        route_codes=tuple(row["route_codes"]),
        effective_date=row["effective_date"],
        expire_date=row["expire_date"],
        screening_id=row["screening_id"],
        granted_by=row["granted_by"],
        granted_at=row["granted_at"],
        limits=Limits(tuple(row["band_codes"]), row["session_minutes_max"], conditions),
        override_reason=texts.open(clearance.c.override_reason, row["override_reason"], row["id"]),
        revoked_by=row["revoked_by"],
        revoked_at=row["revoked_at"],
        revoke_reason=texts.open(clearance.c.revoke_reason, row["revoke_reason"], row["id"]),
    )
