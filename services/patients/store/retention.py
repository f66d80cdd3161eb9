"""SQL of retention: what is known of a patient that decides, restrictions, and forgetting."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Table,
    Uuid,
    and_,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.tables import Instant
from services.patients.domain.patients import Patient, PatientNotFound
from services.patients.domain.retention import Restriction, Retention, RetentionPolicy
from services.patients.store.persons import PERSON, SURVIVOR, ids_with, merged_ids
from services.patients.store.records import NEW_NAMES, name_columns
from services.patients.store.texts import TextStore
from services.patients.tables.adverse_events import adverse_event
from services.patients.tables.break_glass import glass_review
from services.patients.tables.clearances import clearance, screening
from services.patients.tables.consents import consent, consent_withdrawal
from services.patients.tables.diagnoses import diagnosis
from services.patients.tables.measures import measure
from services.patients.tables.permissions import permission
from services.patients.tables.records import break_glass, patient, patient_name, site
from services.patients.tables.retention import last_visit, restriction, retention_policy

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
FIRST_ID = UUID(int=0)

POLICY = Statement(
    select(retention_policy.c.years, retention_policy.c.years_of_age).where(retention_policy.c.chain_id == CHAIN)
)
_policy = pg_insert(retention_policy).values(params("chain_id", "years", "years_of_age", "set_by", "set_at"))
_told = ("years", "years_of_age", "set_by", "set_at")
SET_POLICY = Settling(
    _policy.on_conflict_do_update(
        index_elements=["chain_id"], set_={name: _policy.excluded[name] for name in _told}
    ).cte("new_policy")
)

_judged: ColumnElement[datetime] = literal_column("greatest((grades -> -1 ->> 1)::timestamptz, resolved_at)", Instant)
CONTACTS: tuple[tuple[Table, ColumnElement[datetime]], ...] = (
    (screening, screening.c.recorded_at),
    (clearance, clearance.c.granted_at),
    (consent, consent.c.recorded_at),
    (consent_withdrawal, consent_withdrawal.c.withdrawn_at),
    (permission, permission.c.recorded_at),
    (measure, measure.c.recorded_at),
    (diagnosis, diagnosis.c.recorded_at),
    (adverse_event, _judged),
    (last_visit, last_visit.c.ended_at),
)
"""Instants of the parts of a record that tell of a contact with the patient. Changes of the record are others."""


def _latest(table: Table, instant: ColumnElement[datetime]) -> ScalarSelect[datetime]:
    of_patient = and_(table.c.chain_id == CHAIN, table.c.patient_id == ids_with(patient.c.id))
    return select(func.max(instant)).select_from(table).where(of_patient).scalar_subquery()


_record = patient.alias("record")
_of_person = and_(_record.c.chain_id == CHAIN, _record.c.id == ids_with(patient.c.id))
# Of all records of the person: a merge changes none, and the one that stands for the others may be the oldest.
_changed = select(func.max(_record.c.updated_at)).where(_of_person).scalar_subquery()
_born = select(func.max(_record.c.birth_date)).where(_of_person).scalar_subquery()
_in_force = select(func.max(clearance.c.expire_date)).where(
    clearance.c.chain_id == CHAIN, clearance.c.patient_id == ids_with(patient.c.id), clearance.c.revoked_at.is_(None)
)
_reviewed = exists(
    select(glass_review.c.finding).where(
        glass_review.c.chain_id == CHAIN, glass_review.c.glass_break_id == break_glass.c.id
    )
)
_open_break = select(break_glass.c.id).where(
    break_glass.c.chain_id == CHAIN, break_glass.c.patient_id == ids_with(patient.c.id), ~_reviewed
)
_open_adverse_event = select(adverse_event.c.id).where(
    adverse_event.c.chain_id == CHAIN,
    adverse_event.c.patient_id == ids_with(patient.c.id),
    adverse_event.c.resolved_at.is_(None),
)
_retention = (
    select(
        patient.c.id,
        _born.label("birth_date"),
        patient.c.restricted,
        patient.c.anonymised_at,
        patient.c.updated_at,
        site.c.time_zone,
        func.greatest(_changed, *(_latest(*each) for each in CONTACTS)).label("last_contact_at"),
        _in_force.scalar_subquery().label("cleared_until"),
        exists(_open_break).label("glass_breaks_open"),
        exists(_open_adverse_event).label("adverse_events_open"),
        merged_ids(patient.c.id).label("merged_ids"),
    )
    .join(site, and_(site.c.chain_id == CHAIN, site.c.id == patient.c.home_site_id))
    .where(patient.c.chain_id == CHAIN)
)
RETENTION = Statement(_retention.where(patient.c.id == SURVIVOR))
UNCHANGED = Statement(
    _retention.where(
        patient.c.anonymised_at.is_(None),
        patient.c.survivor_id.is_(None),
        patient.c.updated_at < param("changed_before", Instant),
        tuple_(patient.c.updated_at, patient.c.id) > tuple_(param("after_at", Instant), param("after_id", Uuid)),
    )
    .order_by(patient.c.updated_at, patient.c.id)
    .limit(param("limit"))
)
_ended = rows("ended", patient_id=Uuid, ended_at=Instant)
_visits = select(CHAIN, _ended.c.patient_id, func.max(_ended.c.ended_at)).group_by(_ended.c.patient_id)
_visited = pg_insert(last_visit).from_select(["chain_id", "patient_id", "ended_at"], _visits)
# The last one counts, whichever is heard first.
KEEP_VISITS = Statement(
    _visited.on_conflict_do_update(
        index_elements=["chain_id", "patient_id"],
        set_={"ended_at": func.greatest(last_visit.c.ended_at, _visited.excluded.ended_at)},
    )
)
_restricted = (
    update(patient)
    .where(patient.c.chain_id == CHAIN, patient.c.id == PERSON)
    .values(params("restricted"))
    .cte("restricted_patient")
)
_decision = params("chain_id", "id", "patient_id", "reason", "decided_by", "decided_at")
_decided = insert(restriction).inline().values(_decision).cte("new_restriction")
_hidden = delete(patient_name).where(patient_name.c.chain_id == CHAIN, patient_name.c.patient_id == PATIENT)
RESTRICT = Settling(_decided, _restricted, _hidden.cte("hidden_names"))
LIFT = Settling(_decided, _restricted, *NEW_NAMES)
IS_RESTRICTED = Statement(select(patient.c.restricted).where(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR))
ANONYMISE = Statement(select(func.anonymise_patient(PATIENT, param("at", Instant))).where(CHAIN.is_not(None)))


class RetentionStore(TextStore):
    async def retention_policy(self) -> RetentionPolicy:
        row = await self.row(POLICY)
        return RetentionPolicy(**row) if row else RetentionPolicy()

    def set_retention_policy(self, policy: RetentionPolicy) -> None:
        self.write_last(
            SET_POLICY,
            years=policy.years,
            years_of_age=policy.years_of_age,
            set_by=self.call.actor,
            set_at=self.call.now,
        )

    async def retention(self, patient_id: UUID) -> Retention:
        if row := await self.row(RETENTION, patient_id=patient_id):
            return _retention_of(row)
        raise PatientNotFound(patient_id=to_wire("patient", patient_id))

    async def unchanged(self, before: datetime, after: tuple[datetime, UUID] | None, limit: int) -> list[Retention]:
        """Patients whose record was not changed since `before`, by how long not."""
        after_at, after_id = after or (datetime.min.replace(tzinfo=before.tzinfo), FIRST_ID)
        found = await self.rows(UNCHANGED, changed_before=before, after_at=after_at, after_id=after_id, limit=limit)
        return [_retention_of(row) for row in found]

    async def keep_visits(self, ended: Sequence[tuple[UUID, datetime]]) -> None:
        """Whose visits ended when."""
        ids, instants = zip(*ended, strict=True)
        await self.rows(KEEP_VISITS, patient_id=list(ids), ended_at=list(instants))

    def restrict(self, decided: Restriction) -> None:
        """Nobody finds the patient any more: no search looks at names that are not there."""
        self.write_last(RESTRICT, **self._decision(decided))

    def lift(self, decided: Restriction, patient: Patient) -> None:
        self.write_last(LIFT, **self._decision(decided), **name_columns([patient]))

    async def is_restricted(self, patient_id: UUID) -> bool:
        row = await self.row(IS_RESTRICTED, patient_id=patient_id)
        return row is not None and bool(row["restricted"])

    async def anonymise(self, patient_id: UUID) -> None:
        """What the database erases of the patient, in every table."""
        await self.rows(ANONYMISE, patient_id=patient_id, at=self.call.now)

    def _decision(self, decided: Restriction) -> dict[str, Any]:
        return {
            "id": decided.id,
            "patient_id": decided.patient_id,
            "restricted": decided.restricted,
            "reason": self.texts.seal(restriction.c.reason, decided.reason, decided.id),
            "decided_by": decided.decided_by,
            "decided_at": decided.decided_at,
        }


def _retention_of(row: Record) -> Retention:
    return Retention(
        patient_id=row["id"],
        birth_date=row["birth_date"],
        last_contact_at=row["last_contact_at"],
        time_zone=row["time_zone"],
        cleared_until=row["cleared_until"],
        glass_breaks_open=row["glass_breaks_open"],
        adverse_events_open=row["adverse_events_open"],
        restricted=row["restricted"],
        anonymised_at=row["anonymised_at"],
        updated_at=row["updated_at"],
        merged_ids=tuple(row["merged_ids"]),
    )
