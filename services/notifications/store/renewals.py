"""SQL of documents that patients are to sign anew."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Uuid, and_, any_, exists, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from chassis.tables import Instant
from services.notifications.domain.renewals import Ending, Renewal, Standing
from services.notifications.store.copies import CHAIN, ID, PATIENTS
from services.notifications.tables import matter, message, renewal, renewal_end, retired_document, visit

DOCUMENT = param("document_id", Uuid)
KEY = ("chain_id", "patient_id", "document_id")
_of_version = ("version_id", "number", "site_ids", "asked_at")

_renewal = pg_insert(renewal).values(params(*KEY, *_of_version))
KEEP = Statement(
    _renewal.on_conflict_do_update(
        index_elements=KEY,
        set_={name: _renewal.excluded[name] for name in _of_version},
        where=renewal.c.number < _renewal.excluded.number,
    )
)
_end = pg_insert(renewal_end).values(params(*renewal_end.c.keys()))
END = Statement(
    _end.on_conflict_do_update(
        index_elements=KEY,
        set_={name: func.greatest(renewal_end.c[name], _end.excluded[name]) for name in ("number", "ended_at")},
    )
)
RETIRE = Statement(pg_insert(retired_document).values(params("chain_id", "document_id")).on_conflict_do_nothing())
_ids = PATIENTS.all_ids(ID)
_ended = exists().where(
    renewal_end.c.chain_id == CHAIN,
    renewal_end.c.patient_id == any_(_ids),
    renewal_end.c.document_id == renewal.c.document_id,
    or_(renewal_end.c.number >= renewal.c.number, renewal_end.c.ended_at >= renewal.c.asked_at),
)
_retired = exists().where(retired_document.c.chain_id == CHAIN, retired_document.c.document_id == renewal.c.document_id)
_next_site = (
    select(visit.c.site_id)
    .where(
        visit.c.chain_id == CHAIN,
        visit.c.patient_id == any_(_ids),
        visit.c.start_at > param("now", Instant),
        visit.c.status.in_((literal_column("'BOOKED'"), literal_column("'CONFIRMED'"))),
        visit.c.site_id == any_(renewal.c.site_ids),
    )
    .order_by(visit.c.start_at)
    .limit(1)
    .scalar_subquery()
)
_told_open = and_(matter.c.chain_id == CHAIN, matter.c.id == renewal.c.matter_id, matter.c.closed_at.is_(None))
_sent = exists().where(
    message.c.chain_id == CHAIN,
    message.c.visit_id.is_(None),  # As the index begins.
    message.c.matter_id == renewal.c.matter_id,
    message.c.status.in_((literal_column("'SENDING'"), literal_column("'SENT'"), literal_column("'UNKNOWN'"))),
)
OF_PATIENT = Statement(
    select(
        renewal,
        or_(_ended, _retired).label("ended"),
        matter.c.id.is_not(None).label("told_open"),
        _sent.label("sent"),
        _next_site.label("next_site_id"),
    )
    .outerjoin(matter, _told_open)
    .where(renewal.c.chain_id == CHAIN, renewal.c.patient_id == any_(_ids))
    .order_by(renewal.c.document_id, renewal.c.patient_id)
)
TOLD_OF = Statement(
    select(renewal.c.matter_id)
    .join(matter, _told_open)
    .where(renewal.c.chain_id == CHAIN, renewal.c.document_id == DOCUMENT)
)
_told = rows("told", patient_id=Uuid, document_id=Uuid, matter_id=Uuid)
NOTE_TOLD = Statement(
    update(renewal)
    .where(
        renewal.c.chain_id == CHAIN,
        renewal.c.patient_id == _told.c.patient_id,
        renewal.c.document_id == _told.c.document_id,
    )
    .values(matter_id=_told.c.matter_id)
)


class RenewalStore(Store):
    async def keep_renewal(self, asked: Renewal) -> None:
        """Unless a later version is known."""
        await self.rows(
            KEEP,
            patient_id=asked.patient_id,
            document_id=asked.document_id,
            version_id=asked.version_id,
            number=asked.number,
            site_ids=list(asked.site_ids),
            asked_at=asked.asked_at,
        )

    async def end_renewal(self, told: Ending) -> None:
        """Also of what is not known yet."""
        of = {"patient_id": told.patient_id, "document_id": told.document_id}
        await self.rows(END, **of, number=told.number, ended_at=told.ended_at)

    async def retire_document(self, document_id: UUID) -> None:
        await self.rows(RETIRE, document_id=document_id)

    async def renewals(self, patient_id: UUID) -> list[Standing]:
        """Under any id of the patient."""
        return [_standing(row) for row in await self.rows(OF_PATIENT, id=patient_id, now=self.call.now)]

    async def told_of(self, document_id: UUID) -> list[UUID]:
        """The matters that still ask for a document."""
        return [row["matter_id"] for row in await self.rows(TOLD_OF, document_id=document_id)]

    async def note_told(self, told: Sequence[Renewal]) -> None:
        if told:
            await self.rows(
                NOTE_TOLD,
                patient_id=[each.patient_id for each in told],
                document_id=[each.document_id for each in told],
                matter_id=[each.matter_id for each in told],
            )


def _standing(row: Record) -> Standing:
    of = row["patient_id"], row["document_id"], row["version_id"]
    asked = Renewal(*of, row["number"], tuple(row["site_ids"]), row["asked_at"])
    return Standing(asked, row["ended"], row["matter_id"], row["told_open"], row["sent"], row["next_site_id"])
