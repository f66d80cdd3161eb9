"""Copies of what messages speak of: sites, patients, visits, protocols' instructions, bills."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import ARRAY, Boolean, Integer, Text, Uuid, any_, func, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.aliases import Aliases, AliasStore
from chassis.errors import NotYetKnown
from chassis.sql import Statement, param, params, rows
from chassis.tables import NO_CHAIN, Instant
from services.notifications.domain.matters import Matter
from services.notifications.domain.visits import Patient, Site, Visit, VisitStatus
from services.notifications.tables import chain, matter, patient, patient_alias, protocol_version, site, visit

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

_booked = rows(
    "booked",
    visit_id=Uuid,
    start_at=Instant,
    end_at=Instant,
    telehealth=Boolean,
    visit_type_code=Text,
)
_of_booking = {name: param(name, type_) for name, type_ in {"protocol_id": Uuid, "protocol_version_id": Uuid}.items()}
_before = (
    select(visit.c.id, visit.c.start_at)
    .where(visit.c.chain_id == CHAIN, visit.c.id == _booked.c.visit_id)
    .cte("before")
)
_new_visits = pg_insert(visit).from_select(
    [
        "chain_id",
        "id",
        "site_id",
        "patient_id",
        "status",
        "version",
        "protocol_id",
        "protocol_version_id",
        "start_at",
        "end_at",
        "telehealth",
        "visit_type_code",
    ],
    select(
        CHAIN,
        _booked.c.visit_id,
        param("site_id", Uuid),
        param("patient_id", Uuid),
        param("booked", Text),
        param("version", Integer),
        *_of_booking.values(),
        _booked.c.start_at,
        _booked.c.end_at,
        _booked.c.telehealth,
        _booked.c.visit_type_code,
    ),
)
_told_again = (
    "start_at",
    "end_at",
    "telehealth",
    "visit_type_code",
    "protocol_id",
    "protocol_version_id",
    "site_id",
    "version",
)
_kept_visits = (
    _new_visits.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _new_visits.excluded[name] for name in _told_again},
        where=visit.c.version <= _new_visits.excluded.version,
    )
    .returning(visit.c.id, visit.c.status)
    .cte("kept")
)
# The start of before: NULL of a visit that was not known, or only as off. What was told later than this is left alone.
KEEP_VISITS = Statement(
    select(_kept_visits.c.id, _kept_visits.c.status, _before.c.start_at.label("start_before")).outerjoin_from(
        _kept_visits, _before, _before.c.id == _kept_visits.c.id
    )
)
_status = pg_insert(visit).values(params("chain_id", "id", "site_id", "patient_id", "status"))
# A visit that is over, or off, stays so.
KEEP_STATUS = Statement(
    _status.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"status": _status.excluded.status},
        where=visit.c.status.in_((literal_column("'BOOKED'"), literal_column("'CONFIRMED'"))),
    ).returning(visit.c.id)
)
CONFIRM = Statement(
    update(visit)
    .where(visit.c.chain_id == CHAIN, visit.c.id == ID, visit.c.status == VisitStatus.BOOKED)
    .values(status=VisitStatus.CONFIRMED)
)
VISIT = Statement(select(visit).where(visit.c.chain_id == CHAIN, visit.c.id == ID))
_version = pg_insert(protocol_version).values(params("chain_id", "id", "protocol_id", "instructions"))
KEEP_VERSION = Statement(_version.on_conflict_do_nothing())
INSTRUCTIONS = Statement(
    select(protocol_version.c.instructions).where(protocol_version.c.chain_id == CHAIN, protocol_version.c.id == ID)
)
SITE_ZONE = Statement(select(site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.id == ID))
_matter = pg_insert(matter).values(
    params(
        "chain_id",
        "id",
        "site_id",
        "patient_id",
        "kind",
        "amount_minor",
        "currency",
        "due_date",
        "number",
        "about",
        "course_id",
        "version",
        "offer_start_at",
        "offer_end_at",
        "offer_telehealth",
        "offer_until_at",
    )
)
_closed = pg_insert(matter).values(params("chain_id", "id", "site_id", "patient_id", "kind", "closed_at"))
# One that is closed before it is heard of stays closed; an amount that was told stays where later news name none.
KEEP_MATTER = Statement(
    _matter.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _matter.excluded[name] for name in ("due_date", "number", "about", "course_id", "version")}
        | {name: func.coalesce(_matter.excluded[name], matter.c[name]) for name in ("amount_minor", "currency")},
    ).returning(matter.c.closed_at)
)
_of_course = matter.alias("of_course")
_latest = select(func.max(_of_course.c.version)).where(
    _of_course.c.chain_id == CHAIN, _of_course.c.course_id == param("course_id", Uuid)
)
CLOSE_REPLACED = Statement(
    update(matter)
    .where(
        matter.c.chain_id == CHAIN,
        matter.c.course_id == param("course_id", Uuid),
        matter.c.closed_at.is_(None),
        matter.c.version < _latest.scalar_subquery(),
    )
    .values(closed_at=param("closed_at", Instant))
    .returning(matter.c.id)
)
CLOSE_MATTERS = Statement(
    update(matter)
    .where(matter.c.chain_id == CHAIN, matter.c.id == any_(param("matter_ids", ARRAY(Uuid))))
    .values(closed_at=param("closed_at", Instant))
)
REOPEN_MATTERS = Statement(
    update(matter)
    .where(matter.c.chain_id == CHAIN, matter.c.id == any_(param("matter_ids", ARRAY(Uuid))))
    .values(closed_at=null())
)
OFFERED = Statement(
    select(matter.c.id).where(matter.c.chain_id == CHAIN, matter.c.id == any_(param("matter_ids", ARRAY(Uuid))))
)
MATTER_CLOSED = Statement(select(matter.c.closed_at).where(matter.c.chain_id == CHAIN, matter.c.id == ID))
CLOSE_MATTER = Statement(
    _closed.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={"closed_at": func.coalesce(matter.c.closed_at, _closed.excluded.closed_at)},
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

    async def keep_visits(
        self, site_id: UUID, patient_id: UUID, visits: Sequence[Visit], version_id: UUID | None, version: int
    ) -> dict[UUID, tuple[VisitStatus, datetime | None]]:
        """What each visit's status is now, and its start of before: one may have been called off before it was known to
        be booked. Those of which something later is known are left out."""
        kept = await self.rows(
            KEEP_VISITS,
            site_id=site_id,
            patient_id=patient_id,
            booked=VisitStatus.BOOKED,
            version=version,
            protocol_id=visits[0].protocol_id if visits else None,
            protocol_version_id=version_id,
            visit_id=[visit.id for visit in visits],
            start_at=[visit.start for visit in visits],
            end_at=[visit.end for visit in visits],
            telehealth=[visit.telehealth for visit in visits],
            visit_type_code=[visit.visit_type_code for visit in visits],
        )
        return {row["id"]: (VisitStatus(row["status"]), row["start_before"]) for row in kept}

    async def keep_status(self, visit_id: UUID, site_id: UUID, patient_id: UUID, status: VisitStatus) -> bool:
        """Whether that is news: a visit that is over, or off, stays so."""
        told = {"site_id": site_id, "patient_id": patient_id, "status": status}
        return await self.row(KEEP_STATUS, id=visit_id, **told) is not None

    async def confirm(self, visit_id: UUID) -> None:
        """Unless it is off, or over."""
        if await self.row(VISIT, id=visit_id) is None:
            raise NotYetKnown("visit", visit_id)
        await self.rows(CONFIRM, id=visit_id)

    async def visit(self, visit_id: UUID) -> Visit | None:
        """None: it is not known, or only as off."""
        row = await self.row(VISIT, id=visit_id)
        if row is None or row["start_at"] is None:
            return None
        return visit_of(row)

    async def keep_protocol_version(
        self, version_id: UUID, protocol_id: UUID, instructions: Sequence[Mapping[str, Any]]
    ) -> None:
        await self.rows(
            KEEP_VERSION, id=version_id, protocol_id=protocol_id, instructions=json.dumps(list(instructions))
        )

    async def instructions(self, version_id: UUID) -> list[Mapping[str, Any]]:
        """As the version has them; none of one that is not known."""
        row = await self.row(INSTRUCTIONS, id=version_id)
        return json.loads(row["instructions"]) if row else []

    async def site_zone(self, site_id: UUID) -> ZoneInfo:
        row = await self.row(SITE_ZONE, id=site_id)
        if row is None:
            raise NotYetKnown("site", site_id)
        return ZoneInfo(row["time_zone"])

    async def keep_matter(self, told: Matter) -> bool:
        """Whether there is anything to be said of it: it may be closed already."""
        row = await self.row(
            KEEP_MATTER,
            id=told.id,
            site_id=told.site_id,
            patient_id=told.patient_id,
            kind=told.kind,
            amount_minor=told.amount.minor if told.amount else None,
            currency=told.amount.currency if told.amount else None,
            due_date=told.due_date,
            number=told.number,
            about=told.about,
            course_id=told.course_id,
            version=told.version,
            offer_start_at=told.offered.start if told.offered else None,
            offer_end_at=told.offered.end if told.offered else None,
            offer_telehealth=told.offered.telehealth if told.offered else None,
            offer_until_at=told.offered.until if told.offered else None,
        )
        return row is not None and row["closed_at"] is None

    async def close_replaced(self, course_id: UUID) -> list[UUID]:
        """The estimates of a course that a later version replaces, and that were open."""
        found = await self.rows(CLOSE_REPLACED, course_id=course_id, closed_at=self.call.now)
        return [row["id"] for row in found]

    async def close_matters(self, matter_ids: Sequence[UUID]) -> None:
        await self.rows(CLOSE_MATTERS, matter_ids=list(matter_ids), closed_at=self.call.now)

    async def reopen_matters(self, matter_ids: Sequence[UUID]) -> None:
        await self.rows(REOPEN_MATTERS, matter_ids=list(matter_ids))

    async def is_closed(self, matter_id: UUID) -> bool:
        row = await self.row(MATTER_CLOSED, id=matter_id)
        return bool(row and row["closed_at"])

    async def were_offered(self, visit_ids: Sequence[UUID]) -> bool:
        """An offer has the id of its visit."""
        return bool(await self.rows(OFFERED, matter_ids=list(visit_ids)))

    async def close_matter(self, told: Matter) -> None:
        of = {"site_id": told.site_id, "patient_id": told.patient_id, "kind": told.kind}
        await self.rows(CLOSE_MATTER, id=told.id, closed_at=self.call.now, **of)


def visit_of(row: Record, id: str = "id", status: str = "status") -> Visit:
    return Visit(
        row[id],
        VisitStatus(row[status]),
        row["start_at"],
        row["end_at"] or row["start_at"],
        row["telehealth"],
        row["visit_type_code"],
        row["protocol_id"],
    )
