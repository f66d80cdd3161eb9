"""Copies of what scheduling and patients own: written by their events, read to check what calls name."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    ColumnElement,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    exists,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from chassis.aliases import Aliases, AliasStore, Whole
from chassis.errors import NotYetKnown
from chassis.sql import Statement, param, params, rows
from chassis.tables import Instant
from services.billing.domain.accounts import CourseVisit, billing_status
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import Course, RenderedVisit, Site, VisitStatus
from services.billing.store.profiles import calendar_of
from services.billing.tables import (
    charge,
    course,
    legal_entity,
    patient,
    patient_alias,
    price_book,
    publication,
    redemption,
    rendered_visit,
    site,
    site_billing,
    visit,
    visit_type,
)

CHAIN, ID, SITE, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id"))

_entity = insert(legal_entity).values(params(*legal_entity.c.keys()))
KEEP_LEGAL_ENTITY = Statement(
    _entity.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _entity.excluded[name] for name in ("display_name", "version")},
        where=legal_entity.c.version < _entity.excluded.version,
    )
)
KEEP_SITE = Statement(insert(site).values(params(*site.c.keys())).on_conflict_do_nothing())
_registered = rows("registered", patient_id=Uuid)
KEEP_PATIENTS = Statement(
    insert(patient).from_select(["chain_id", "id"], select(CHAIN, _registered.c.patient_id)).on_conflict_do_nothing()
)
_type = rows("new_type", code=Text, display_name=Text)
KEEP_VISIT_TYPES = Statement(
    insert(visit_type)
    .from_select(
        ["chain_id", "protocol_version_id", "code", "display_name"],
        select(CHAIN, param("protocol_version_id", Uuid), _type.c.code, _type.c.display_name),
    )
    .on_conflict_do_nothing()
)
_visit = rows("new_visit", visit_id=Uuid, start_at=Instant)
_new_course = insert(course).values(params(*course.c.keys())).on_conflict_do_nothing()
_kept = _new_course.returning(course.c.id, course.c.site_id, course.c.patient_id).cte("kept")
_new_visits = insert(visit).from_select(
    ["chain_id", "id", "site_id", "patient_id", "course_id", "status", "start_at"],
    select(
        CHAIN,
        _visit.c.visit_id,
        _kept.c.site_id,
        _kept.c.patient_id,
        _kept.c.id,
        param("status", SmallInteger),
        _visit.c.start_at,
    ).join_from(_kept, _visit, true()),
)
KEEP_COURSE = Statement(select(_kept.c.id).add_cte(_new_visits.cte("new_visits")))
_more_visits = insert(visit).from_select(
    ["chain_id", "id", "site_id", "patient_id", "course_id", "status", "start_at"],
    select(
        CHAIN,
        _visit.c.visit_id,
        SITE,
        param("patient_id", Uuid),
        COURSE,
        param("status", SmallInteger),
        _visit.c.start_at,
    ),
)
KEEP_VISITS = Statement(_more_visits.on_conflict_do_nothing().returning(visit.c.id))
_is_the_visit = and_(visit.c.chain_id == CHAIN, visit.c.id == ID)
MARK_VISIT = Statement(update(visit).where(_is_the_visit).values(status=param("status")))
_new_rendered = insert(rendered_visit).values(params(*rendered_visit.c.keys())).on_conflict_do_nothing()
KEEP_RENDERED = Statement(_new_rendered.returning(rendered_visit.c.id))

_currency = (
    select(price_book.c.currency)
    .join(
        publication,
        and_(publication.c.chain_id == price_book.c.chain_id, publication.c.price_book_id == price_book.c.id),
    )
    .where(price_book.c.chain_id == site.c.chain_id, price_book.c.site_id == site.c.id)
    .limit(1)
    .scalar_subquery()
)
_its_days = and_(site_billing.c.chain_id == site.c.chain_id, site_billing.c.site_id == site.c.id)
SITE_OF = Statement(
    select(site, _currency.label("currency"), site_billing.c.closed_dates, site_billing.c.open_dates)
    .outerjoin(site_billing, _its_days)
    .where(site.c.chain_id == CHAIN, site.c.id == ID)
)
COURSE_OF = Statement(select(course).where(course.c.chain_id == CHAIN, course.c.id == ID))
LEGAL_ENTITY = Statement(select(legal_entity.c.id).where(legal_entity.c.chain_id == CHAIN, legal_entity.c.id == ID))
PATIENTS = Aliases(patient_alias)
_known = exists().where(patient.c.chain_id == CHAIN, patient.c.id == PATIENTS.end(ID))
PATIENT = Statement(select(PATIENTS.end(ID).label("end_id"), PATIENTS.all_ids(ID).label("ids"), _known.label("known")))
ABOUT = param("about_id", Uuid)
VISIT_TYPES = Statement(
    select(visit_type.c.code, visit_type.c.display_name).where(
        visit_type.c.chain_id == CHAIN, visit_type.c.protocol_version_id == ID
    )
)
_its_charge = and_(
    charge.c.chain_id == rendered_visit.c.chain_id,
    charge.c.visit_id == rendered_visit.c.id,
    charge.c.kind == literal_column("1"),  # As in the index, in any plan.
)
_its_redemption = and_(
    redemption.c.chain_id == rendered_visit.c.chain_id,
    redemption.c.visit_id == rendered_visit.c.id,
    redemption.c.undone_at.is_(None),
)
UNCHARGED = Statement(
    select(rendered_visit)
    .select_from(rendered_visit.outerjoin(charge, _its_charge).outerjoin(redemption, _its_redemption))
    .where(
        rendered_visit.c.chain_id == CHAIN,
        rendered_visit.c.site_id == SITE,
        charge.c.id.is_(None),
        redemption.c.id.is_(None),
    )
    .order_by(rendered_visit.c.service_date, rendered_visit.c.id)
    .limit(param("limit", Integer))
)
COURSE_VISITS = Statement(
    select(
        visit.c.id,
        visit.c.status,
        rendered_visit.c.id.is_not(None).label("rendered"),
        charge.c.id.is_not(None).label("charged"),
        redemption.c.id.is_not(None).label("redeemed"),
    )
    .select_from(
        visit.outerjoin(
            rendered_visit, and_(rendered_visit.c.chain_id == visit.c.chain_id, rendered_visit.c.id == visit.c.id)
        )
        .outerjoin(charge, _its_charge)
        .outerjoin(redemption, _its_redemption)
    )
    .where(visit.c.chain_id == CHAIN, visit.c.course_id == COURSE)
    .order_by(visit.c.start_at, visit.c.id)
)


def is_about(table: Table, column: str) -> ColumnElement[bool]:
    """Of a list: what is about :about_id. Of a patient, what is under any of their ids."""
    return table.c[column] == (any_(PATIENTS.all_ids(ABOUT)) if column == "patient_id" else ABOUT)


class CopyStore(AliasStore):
    aliases = PATIENTS

    async def keep_legal_entity(self, legal_entity_id: UUID, display_name: str, version: int) -> None:
        """Unless what is known is as new."""
        await self.rows(KEEP_LEGAL_ENTITY, id=legal_entity_id, display_name=display_name, version=version)

    async def keep_site(self, kept: Site) -> None:
        await self.rows(KEEP_SITE, id=kept.id, legal_entity_id=kept.legal_entity_id, time_zone=kept.zone.key)

    async def keep_patients(self, patient_ids: Sequence[UUID]) -> None:
        await self.rows(KEEP_PATIENTS, patient_id=patient_ids)

    async def keep_visit_types(self, protocol_version_id: UUID, names: Mapping[str, str]) -> None:
        values = {"code": list(names), "display_name": list(names.values())}
        await self.rows(KEEP_VISIT_TYPES, protocol_version_id=protocol_version_id, **values)

    async def keep_course(self, kept: Course, visits: Mapping[UUID, datetime]) -> bool:
        """With its visits and when they start; whether it is new: one that is known already stays as it is."""
        row = await self.row(
            KEEP_COURSE,
            id=kept.id,
            site_id=kept.site_id,
            patient_id=kept.patient_id,
            protocol_version_id=kept.protocol_version_id,
            booked_at=kept.booked_at,
            status=VisitStatus.BOOKED,
            visit_id=list(visits),
            start_at=list(visits.values()),
        )
        return row is not None

    async def keep_visits(self, known: Course, visits: Mapping[UUID, datetime]) -> set[UUID]:
        """Which of them are new."""
        found = await self.rows(
            KEEP_VISITS,
            site_id=known.site_id,
            patient_id=known.patient_id,
            course_id=known.id,
            status=VisitStatus.BOOKED,
            visit_id=list(visits),
            start_at=list(visits.values()),
        )
        return {row["id"] for row in found}

    async def mark_visit(self, visit_id: UUID, status: VisitStatus) -> None:
        await self.rows(MARK_VISIT, id=visit_id, status=status)

    async def keep_rendered(self, kept: RenderedVisit) -> bool:
        """Whether it is new."""
        row = await self.row(
            KEEP_RENDERED,
            id=kept.id,
            site_id=kept.site_id,
            patient_id=kept.patient_id,
            course_id=kept.course_id,
            visit_type_code=kept.kind.visit_type_code,
            route_code=kept.kind.route_code,
            band_code=kept.kind.band_code,
            service_date=kept.service_date,
            event_id=kept.event_id,
        )
        return row is not None

    async def site(self, site_id: UUID) -> Site:
        row = await self.row(SITE_OF, id=site_id)
        if row is None:
            raise NotYetKnown("site", site_id)
        zone = ZoneInfo(row["time_zone"])
        return Site(row["id"], row["legal_entity_id"], zone, row["currency"], calendar_of(row))

    async def course(self, course_id: UUID) -> Course:
        row = await self.row(COURSE_OF, id=course_id)
        if row is None:
            raise NotYetKnown("course", course_id)
        return Course(row["id"], row["site_id"], row["patient_id"], row["protocol_version_id"], row["booked_at"])

    async def patient(self, patient_id: UUID) -> Whole:
        """Of a merged one, the survivor must be known: documents are written under that id."""
        row = await self.row(PATIENT, id=patient_id)
        assert row
        if not row["known"]:
            raise NotYetKnown("patient", row["end_id"])
        return Whole(row["end_id"], frozenset(row["ids"]))

    async def locked_patient(self, patient_id: UUID) -> Whole:
        """The caller has locked the id. Of a merged patient the survivor is locked, too, whom others may act for."""
        locked = patient_id
        while (patient := await self.patient(patient_id)).end != locked:
            locked = patient.end
            await self.lock([locked])
        return patient

    async def need_legal_entity(self, legal_entity_id: UUID) -> None:
        if await self.row(LEGAL_ENTITY, id=legal_entity_id) is None:
            raise NotYetKnown("legalentity", legal_entity_id)

    async def visit_types(self, protocol_version_id: UUID) -> dict[str, str]:
        """Their names by code."""
        found = await self.rows(VISIT_TYPES, id=protocol_version_id)
        if not found:
            raise NotYetKnown("protocolversion", protocol_version_id)
        return {row["code"]: row["display_name"] for row in found}

    async def uncharged(self, site_id: UUID, limit: int) -> list[RenderedVisit]:
        """Visits of a site that took place and have no price yet; those that wait longest."""
        return [rendered_of(row) for row in await self.rows(UNCHARGED, site_id=site_id, limit=limit)]

    async def course_visits(self, course_id: UUID) -> list[CourseVisit]:
        """In the order in which they start."""
        return [
            CourseVisit(
                row["id"],
                billing_status(
                    VisitStatus(row["status"]),
                    rendered=row["rendered"],
                    charged=row["charged"],
                    redeemed=row["redeemed"],
                ),
            )
            for row in await self.rows(COURSE_VISITS, course_id=course_id)
        ]


def kind_of(row: Record) -> VisitKind:
    return VisitKind(row["visit_type_code"], row["route_code"], row["band_code"])


def rendered_of(row: Record) -> RenderedVisit:
    return RenderedVisit(
        row["id"],
        row["site_id"],
        row["patient_id"],
        row["course_id"],
        kind_of(row),
        row["service_date"],
        row["event_id"],
    )
