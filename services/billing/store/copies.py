"""Copies of what scheduling and patients own: written by their events, read to check what calls name."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    exists,
    false,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chassis.aliases import Aliases, AliasStore, Whole
from chassis.errors import NotYetKnown
from chassis.sql import Statement, param, params, rows
from chassis.tables import NO_CHAIN, Instant
from services.billing.domain.accounts import CourseVisit, billing_status
from services.billing.domain.prices import VisitKind
from services.billing.domain.sites import BookedVisit, Course, RenderedVisit, Site, Staff, VisitStatus
from services.billing.store.profiles import calendar_of
from services.billing.tables import (
    charge,
    course,
    legal_entity,
    legal_entity_billing,
    patient,
    patient_alias,
    price_book,
    publication,
    redemption,
    rendered_visit,
    served_chain,
    site,
    site_billing,
    staff,
    visit,
    visit_type,
)
from services.billing.tables.copies import KIND_OF_VISIT

CHAIN, ID, SITE, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id"))


def _charge_of(table: Table) -> ColumnElement[bool]:
    """Of a visit that took place, not its fee, nor one that is billed again: a visit has one."""
    return and_(
        charge.c.chain_id == table.c.chain_id,
        charge.c.visit_id == table.c.id,
        charge.c.kind == literal_column("1"),  # As in the index, in any plan.
        charge.c.replaces_id.is_(None),
    )


def _redemption_of(table: Table) -> ColumnElement[bool]:
    return and_(
        redemption.c.chain_id == table.c.chain_id,
        redemption.c.visit_id == table.c.id,
        redemption.c.undone_at.is_(None),
    )


_entity = insert(legal_entity).values(params(*legal_entity.c.keys()))
KEEP_LEGAL_ENTITY = Statement(
    _entity.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _entity.excluded[name] for name in ("display_name", "version")},
        where=legal_entity.c.version < _entity.excluded.version,
    )
)
_site = insert(site).values(params(*site.c.keys()))
KEEP_SITE = Statement(
    _site.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _site.excluded[name] for name in ("display_name", "state", "address", "version")},
        where=site.c.version < _site.excluded.version,
    )
)
_staff = insert(staff).values(params(*staff.c.keys()))
KEEP_STAFF = Statement(
    _staff.on_conflict_do_update(
        index_elements=["chain_id", "id"],
        set_={name: _staff.excluded[name] for name in ("display_name", "credential", "npi", "version")},
        where=staff.c.version < _staff.excluded.version,
    )
)
STAFF = Statement(
    select(staff).where(staff.c.chain_id == CHAIN, staff.c.id == any_(param("ids", ARRAY(Uuid)))).order_by(staff.c.id)
)
SERVE_CHAIN = Statement(insert(served_chain).values(chain_id=CHAIN).on_conflict_do_nothing())
SERVED_CHAINS = Statement(select(served_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(served_chain.c.chain_id))
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
_kind = dict.fromkeys(KIND_OF_VISIT, Text)
_visit = rows("new_visit", visit_id=Uuid, start_at=Instant, **_kind)
_of_visit = ["chain_id", "id", "site_id", "patient_id", "course_id", "status", "start_at", "held", *KIND_OF_VISIT]
_new_course = insert(course).values(params(*course.c.keys())).on_conflict_do_nothing()
_kept = _new_course.returning(course.c.id, course.c.site_id, course.c.patient_id).cte("kept")
_new_visits = insert(visit).from_select(
    _of_visit,
    select(
        CHAIN,
        _visit.c.visit_id,
        _kept.c.site_id,
        _kept.c.patient_id,
        _kept.c.id,
        param("status", SmallInteger),
        _visit.c.start_at,
        param("held", Boolean),
        *(_visit.c[name] for name in KIND_OF_VISIT),
    ).join_from(_kept, _visit, true()),
)
KEEP_COURSE = Statement(select(_kept.c.id).add_cte(_new_visits.cte("new_visits")))
_more_visits = insert(visit).from_select(
    _of_visit,
    select(
        CHAIN,
        _visit.c.visit_id,
        SITE,
        param("patient_id", Uuid),
        COURSE,
        param("status", SmallInteger),
        _visit.c.start_at,
        param("held", Boolean),
        *(_visit.c[name] for name in KIND_OF_VISIT),
    ),
)
KEEP_VISITS = Statement(_more_visits.on_conflict_do_nothing().returning(visit.c.id))
MARK_VISITS = Statement(
    update(visit)
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.id == any_(param("ids", ARRAY(Uuid))),
        visit.c.status != param("status", SmallInteger),
    )
    .values(status=param("status"))
    .returning(visit)
)
_named = rows("named", visit_id=Uuid)
UNKNOWN_VISITS = Statement(
    select(_named.c.visit_id)
    .outerjoin(visit, and_(visit.c.chain_id == CHAIN, visit.c.id == _named.c.visit_id))
    .where(visit.c.id.is_(None))
    .order_by(_named.c.visit_id)
)
BOOK_VISITS = Statement(
    update(visit)
    .where(visit.c.chain_id == CHAIN, visit.c.id == any_(param("ids", ARRAY(Uuid))), visit.c.held)
    .values(held=false())
    .returning(visit.c.id)
)
EXPECTED_VISITS = Statement(
    select(visit, or_(charge.c.id.is_not(None), redemption.c.id.is_not(None)).label("settled"))
    .select_from(visit.outerjoin(charge, _charge_of(visit)).outerjoin(redemption, _redemption_of(visit)))
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.course_id == COURSE,
        visit.c.status == literal_column(str(VisitStatus.BOOKED.value)),
    )
    .order_by(visit.c.start_at, visit.c.id)
)
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
_its_profile = and_(site_billing.c.chain_id == site.c.chain_id, site_billing.c.site_id == site.c.id)
_who_bills = and_(
    legal_entity_billing.c.chain_id == site.c.chain_id,
    legal_entity_billing.c.legal_entity_id == site.c.legal_entity_id,
)
SITE_OF = Statement(
    select(
        site,
        _currency.label("currency"),
        *(site_billing.c[name] for name in ("closed_dates", "open_dates", "npi")),
        legal_entity_billing.c.npi.label("entity_npi"),
        legal_entity_billing.c.tax_id,
    )
    .outerjoin_from(site, site_billing, _its_profile)
    .outerjoin(legal_entity_billing, _who_bills)
    .where(site.c.chain_id == CHAIN, site.c.id == ID)
)
CURRENCIES = Statement(
    select(site.c.id, _currency.label("currency")).where(
        site.c.chain_id == CHAIN, site.c.id == any_(param("ids", ARRAY(Uuid)))
    )
)
COURSE_OF = Statement(select(course).where(course.c.chain_id == CHAIN, course.c.id == ID))
LEGAL_ENTITY = Statement(select(legal_entity.c.id).where(legal_entity.c.chain_id == CHAIN, legal_entity.c.id == ID))
PATIENTS = Aliases(patient_alias)
_known = exists().where(patient.c.chain_id == CHAIN, patient.c.id == PATIENTS.end(ID))
_asked = rows("asked", ids=Uuid)
ENDS = Statement(select(PATIENTS.end(_asked.c.ids).label("end_id")).select_from(_asked))
PATIENT = Statement(select(PATIENTS.end(ID).label("end_id"), PATIENTS.all_ids(ID).label("ids"), _known.label("known")))
ABOUT = param("about_id", Uuid)
VISIT_TYPES = Statement(
    select(visit_type.c.code, visit_type.c.display_name).where(
        visit_type.c.chain_id == CHAIN, visit_type.c.protocol_version_id == ID
    )
)
_its_charge, _its_redemption = _charge_of(rendered_visit), _redemption_of(rendered_visit)
uncharged = (
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
"""Visits of a site that no package has either; those that wait longest first."""
UNCHARGED = Statement(uncharged)
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


def has_number(table: Table, between: str = "") -> ColumnElement[bool]:
    """Of a list of documents: what is shown as :shown, with `between` between prefix and number. It is found by what
    the two may be: under row-level security no index is of use to a text that is put together."""
    return and_(
        table.c.number == any_(param("numbers", ARRAY(BigInteger))),
        table.c.prefix == any_(param("prefixes", ARRAY(Text))),
        table.c.prefix.concat(literal(between, Text)).concat(cast(table.c.number, Text)) == param("shown", Text),
    )


class CopyStore(AliasStore):
    aliases = PATIENTS

    async def keep_legal_entity(self, legal_entity_id: UUID, display_name: str, version: int) -> None:
        """Unless what is known is as new."""
        await self.rows(KEEP_LEGAL_ENTITY, id=legal_entity_id, display_name=display_name, version=version)

    async def keep_site(self, kept: Site, version: int) -> None:
        """Unless what is known is as new."""
        await self.rows(
            KEEP_SITE,
            id=kept.id,
            legal_entity_id=kept.legal_entity_id,
            time_zone=kept.zone.key,
            display_name=kept.display_name,
            state=kept.state,
            address=kept.address,
            version=version,
        )

    async def keep_staff(self, kept: Staff, version: int) -> None:
        """Unless what is known is as new."""
        named = {"display_name": kept.display_name, "credential": kept.credential, "npi": kept.npi}
        await self.rows(KEEP_STAFF, id=kept.id, version=version, **named)

    async def staff(self, ids: Collection[UUID]) -> list[Staff]:
        """All of them, in the order of their ids."""
        found = [
            Staff(row["id"], row["display_name"], row["credential"], row["npi"])
            for row in await self.rows(STAFF, ids=sorted(ids))
        ]
        if missing := set(ids) - {each.id for each in found}:
            raise NotYetKnown("resource", min(missing))
        return found

    async def serve_chain(self) -> None:
        """From now on jobs look at this chain."""
        await self.rows(SERVE_CHAIN)

    async def served_chains(self) -> list[UUID]:
        """All that jobs look at, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(SERVED_CHAINS)]

    async def keep_patients(self, patient_ids: Sequence[UUID]) -> None:
        await self.rows(KEEP_PATIENTS, patient_id=patient_ids)

    async def keep_visit_types(self, protocol_version_id: UUID, names: Mapping[str, str]) -> None:
        values = {"code": list(names), "display_name": list(names.values())}
        await self.rows(KEEP_VISIT_TYPES, protocol_version_id=protocol_version_id, **values)

    async def keep_course(self, kept: Course, visits: Sequence[BookedVisit], *, held: bool) -> bool:
        """With its visits; whether it is new: one that is known already stays as it is."""
        row = await self.row(
            KEEP_COURSE,
            id=kept.id,
            site_id=kept.site_id,
            patient_id=kept.patient_id,
            protocol_version_id=kept.protocol_version_id,
            booked_at=kept.booked_at,
            **_visits(visits, held=held),
        )
        return row is not None

    async def keep_visits(self, known: Course, visits: Sequence[BookedVisit], *, held: bool) -> set[UUID]:
        """Which of them are new."""
        found = await self.rows(
            KEEP_VISITS,
            site_id=known.site_id,
            patient_id=known.patient_id,
            course_id=known.id,
            **_visits(visits, held=held),
        )
        return {row["id"] for row in found}

    async def book_visits(self, ids: Sequence[UUID]) -> set[UUID]:
        """Which of them were held until now."""
        return {row["id"] for row in await self.rows(BOOK_VISITS, ids=list(ids))}

    async def need_visits(self, visit_ids: Sequence[UUID]) -> None:
        if unknown := await self.rows(UNKNOWN_VISITS, visit_id=list(visit_ids)):
            raise NotYetKnown("visit", unknown[0]["visit_id"])

    async def mark_visits(self, visit_ids: Sequence[UUID], status: VisitStatus) -> list[BookedVisit]:
        """Those that were something else."""
        found = await self.rows(MARK_VISITS, ids=list(visit_ids), status=status)
        return [BookedVisit(row["id"], kind_of(row), row["start_at"], row["held"]) for row in found]

    async def expected_visits(self, course_id: UUID) -> list[BookedVisit]:
        """All of a course that were neither cancelled nor missed, rendered ones too, in the order of their starts."""
        found = await self.rows(EXPECTED_VISITS, course_id=course_id)
        return [BookedVisit(row["id"], kind_of(row), row["start_at"], row["held"], row["settled"]) for row in found]

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
        return Site(
            row["id"],
            row["legal_entity_id"],
            ZoneInfo(row["time_zone"]),
            row["currency"],
            calendar_of(row),
            display_name=row["display_name"],
            state=row["state"],
            address=row["address"],
            npi=row["npi"] or row["entity_npi"] or "",
            tin=row["tax_id"] or "",
        )

    async def currencies(self, site_ids: Collection[UUID]) -> dict[UUID, str | None]:
        """Of those sites, which must be known; None where a site has no price yet."""
        found = {row["id"]: row["currency"] for row in await self.rows(CURRENCIES, ids=list(site_ids))}
        if unknown := sorted(set(site_ids) - found.keys()):
            raise NotYetKnown("site", unknown[0])
        return found

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

    async def ends(self, patient_ids: Iterable[UUID]) -> set[UUID]:
        """Of merged ones, the survivors, under whose ids all are locked."""
        return {row["end_id"] for row in await self.rows(ENDS, ids=list(patient_ids))}

    async def lock_patient(self, patient_id: UUID) -> Whole:
        """And the survivor, if it was merged, whom others may act for: nobody else changes what is theirs meanwhile."""
        await self.lock([patient_id])
        return await self.lock_whole(patient_id, locked=patient_id)

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


def _visits(visits: Sequence[BookedVisit], *, held: bool) -> dict[str, Any]:
    return {
        "status": VisitStatus.BOOKED,
        "held": held,
        "visit_id": [each.id for each in visits],
        "start_at": [each.start for each in visits],
        "visit_type_code": [each.kind.visit_type_code for each in visits],
        "route_code": [each.kind.route_code for each in visits],
        "band_code": [each.kind.band_code for each in visits],
    }


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
