"""SQL of breaking the glass, and of looking after it."""

from uuid import UUID

from asyncpg import Record
from sqlalchemy import Boolean, Integer, Uuid, and_, exists, func, insert, or_, select

from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling
from services.patients.domain.break_glass import Finding, GlassBreak, GlassBreakNotFound, Review
from services.patients.domain.patients import PatientNotFound
from services.patients.store.texts import TextStore
from services.patients.tables.break_glass import glass_review
from services.patients.tables.records import break_glass, patient, patient_site

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

_at_site = (
    patient_site.c.chain_id == CHAIN,
    patient_site.c.patient_id == PATIENT,
    patient_site.c.site_id == param("site_id", Uuid),
)
SEEN_AT = Statement(
    select(exists(select(patient_site.c.site_id).where(*_at_site)).label("seen")).where(
        exists(select(patient.c.id).where(patient.c.chain_id == CHAIN, patient.c.id == PATIENT))
    )
)
# Of the transaction's own start, so that both instants are of one clock.
_minutes = func.make_interval(0, 0, 0, 0, 0, param("minutes", Integer))
BREAK = Statement(
    insert(break_glass)
    .values(
        params("chain_id", "id", "patient_id", "site_id", "actor", "reason")
        | {"started_at": func.now(), "expire_at": func.now() + _minutes}
    )
    .returning(break_glass.c.started_at, break_glass.c.expire_at)
)
_reviewed = and_(glass_review.c.chain_id == CHAIN, glass_review.c.glass_break_id == break_glass.c.id)
_break = (
    select(
        break_glass,
        glass_review.c.finding,
        glass_review.c.note,
        glass_review.c.reviewed_by,
        glass_review.c.reviewed_at,
    )
    .outerjoin(glass_review, _reviewed)
    .where(break_glass.c.chain_id == CHAIN)
)
BREAK_OF_ID = Statement(_break.where(break_glass.c.id == param("id", Uuid)))
BREAKS = Statement(
    _break.where(
        break_glass.c.id < param("before", Uuid),
        or_(param("site_id", Uuid).is_(None), break_glass.c.site_id == param("site_id", Uuid)),
        or_(param("reviewed_too", Boolean), glass_review.c.glass_break_id.is_(None)),
    )
    .order_by(break_glass.c.id.desc())
    .limit(param("limit"))
)
_review = ("chain_id", "glass_break_id", "broken_by", "finding", "note", "reviewed_by", "reviewed_at")
REVIEW = Settling(insert(glass_review).inline().values(params(*_review)).cte("new_review"))


class BreakGlassStore(TextStore):
    async def seen_at(self, patient_id: UUID, site_id: UUID) -> bool:
        """Whether the site may see the record."""
        if row := await self.row(SEEN_AT, patient_id=patient_id, site_id=site_id):
            return bool(row["seen"])
        raise PatientNotFound(patient_id=to_wire("patient", patient_id))

    async def break_glass(self, id: UUID, patient_id: UUID, site_id: UUID, reason: str, minutes: int) -> GlassBreak:
        """For the actor of the call, from now on."""
        sealed = self.texts.seal(break_glass.c.reason, reason, id)
        told = {"patient_id": patient_id, "site_id": site_id, "actor": self.call.actor, "reason": sealed}
        row = await self.row(BREAK, id=id, minutes=minutes, **told)
        assert row
        return GlassBreak(
            id=id, patient_id=patient_id, site_id=site_id, actor=self.call.actor, reason=reason,
            started_at=row["started_at"], expire_at=row["expire_at"],
        )  # fmt: skip

    async def glass_break(self, id: UUID) -> GlassBreak:
        if row := await self.row(BREAK_OF_ID, id=id):
            return self._glass_break(row)
        raise GlassBreakNotFound(glass_break_id=to_wire("glass", id))

    async def glass_breaks(
        self, site_id: UUID | None, reviewed_too: bool, before: UUID | None, limit: int
    ) -> list[GlassBreak]:
        """The latest first: ids are in the order of their making."""
        asked = {"site_id": site_id, "reviewed_too": reviewed_too, "before": before or LAST_ID, "limit": limit}
        return [self._glass_break(row) for row in await self.rows(BREAKS, **asked)]

    def review_glass_break(self, glass: GlassBreak, review: Review) -> None:
        self.write_last(
            REVIEW,
            glass_break_id=glass.id,
            broken_by=glass.actor,
            finding=review.finding,
            note=self.texts.seal(glass_review.c.note, review.note, glass.id),
            reviewed_by=review.reviewed_by,
            reviewed_at=review.reviewed_at,
        )

    def _glass_break(self, row: Record) -> GlassBreak:
        review = None
        if row["finding"]:
            note = self.texts.open(glass_review.c.note, row["note"], row["id"])
            review = Review(Finding(row["finding"]), note, row["reviewed_by"], row["reviewed_at"])
        return GlassBreak(
            id=row["id"],
            patient_id=row["patient_id"],
            site_id=row["site_id"],
            actor=row["actor"],
            reason=self.texts.open(break_glass.c.reason, row["reason"], row["id"]),
            started_at=row["started_at"],
            expire_at=row["expire_at"],
            review=review,
        )
