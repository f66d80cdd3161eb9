"""SQL of screenings."""

import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Select,
    Text,
    Uuid,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    update,
)

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling
from chassis.tables import Instant
from services.patients.domain.eligibility import Answers, Chosen, Value
from services.patients.domain.patients import PatientNotFound
from services.patients.domain.questionnaires import Outcome, QuestionnaireVersionNotFound, content_of
from services.patients.domain.screenings import Asked, Decision, Review, Screening, ScreeningNotFound
from services.patients.store.persons import PERSON, SURVIVOR
from services.patients.store.questionnaires import current
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.clearances import clearance, screening, screening_review
from services.patients.tables.questionnaires import questionnaire, questionnaire_version
from services.patients.tables.records import patient, patient_site, site

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

_new_review = rows("new_review", review_id=Uuid)
_review_columns = ["chain_id", "screening_id", "patient_id", "protocol_id", "site_id", "reason"]
_waiting_as = select(
    CHAIN,
    _new_review.c.review_id,
    PATIENT,
    param("protocol_id", Uuid),
    param("site_id", Uuid),
    param("no_reason", Text),
)
WAITING = (
    screening_review.c.chain_id == CHAIN,
    screening_review.c.patient_id == PERSON,
    screening_review.c.protocol_id == param("protocol_id", Uuid),
    screening_review.c.decision.is_(None),
)
"""What waits of a person for a protocol, under any id of theirs and at any site."""
ADD_SCREENING = Settling(
    insert(screening).inline().values(params(*screening.c.keys())).cte("new_screening"),
    insert(screening_review).from_select(_review_columns, _waiting_as).cte("waits_now"),
    update(screening_review)
    .where(*WAITING, param("supersedes", Boolean))
    .values(
        decision=literal(Decision.SCREENED_AGAIN, Text),
        decided_by=param("recorded_by", Text),
        decided_at=param("recorded_at", Instant),
    )
    .cte("waits_no_longer"),
)
every_screening = select(
    screening,
    screening_review.c.screening_id.label("review_id"),
    *(screening_review.c[name] for name in ("decision", "decided_by", "decided_at", "reason", "clearance_id")),
).outerjoin(
    screening_review,
    and_(screening_review.c.chain_id == CHAIN, screening_review.c.screening_id == screening.c.id),
)
SCREENING = Statement(
    every_screening.where(screening.c.chain_id == CHAIN, screening.c.id == param("screening_id", Uuid))
)
SCREENINGS = Statement(
    every_screening.where(
        screening.c.chain_id == CHAIN, screening.c.patient_id == PERSON, screening.c.id < param("before", Uuid)
    )
    .order_by(screening.c.id.desc())
    .limit(param("limit"))
)
TO_REVIEW = Statement(
    every_screening.where(
        screening.c.chain_id == CHAIN,
        screening_review.c.site_id == param("site_id", Uuid),
        screening_review.c.decision.is_(None),
        screening_review.c.screening_id < param("before", Uuid),
    )
    .order_by(screening_review.c.screening_id.desc())
    .limit(param("limit"))
)
DECIDE = Settling(
    update(screening_review)
    .where(screening_review.c.chain_id == CHAIN, screening_review.c.screening_id == param("screening_id", Uuid))
    .values(params("decision", "decided_by", "decided_at", "reason"))
    .cte("decided_screening")
)

zone_of_site = select(site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.id == param("site_id", Uuid))


def standing(now: ColumnElement[datetime]) -> Select[Any]:
    """Clearances of the person for the protocol that are neither revoked nor over, by the day at the site."""
    today = cast(func.timezone(zone_of_site.scalar_subquery(), now), Date)
    return select(clearance.c.id).where(
        clearance.c.chain_id == CHAIN,
        clearance.c.patient_id == PERSON,
        clearance.c.protocol_id == param("protocol_id", Uuid),
        clearance.c.revoked_at.is_(None),
        clearance.c.expire_date >= today,
    )


_now = param("now", Instant)
REVIEW_TO_DECIDE = Statement(
    select(
        screening_review.c.decision,
        standing(_now).order_by(clearance.c.id.desc()).limit(1).scalar_subquery().label("standing_id"),
    )
    .where(screening_review.c.chain_id == CHAIN, screening_review.c.screening_id == param("screening_id", Uuid))
    .with_for_update(of=screening_review)
)
_seen = exists().where(patient_site.c.chain_id == CHAIN, patient_site.c.patient_id == SURVIVOR)
_birth_date = select(patient.c.birth_date).where(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR, _seen)
_answered = (
    select(
        questionnaire_version.c.questionnaire_id,
        questionnaire_version.c.content,
        questionnaire.c.retired_at.is_not(None).label("retired"),
    )
    .join(
        questionnaire,
        (questionnaire.c.chain_id == questionnaire_version.c.chain_id)
        & (questionnaire.c.id == questionnaire_version.c.questionnaire_id),
    )
    .where(questionnaire_version.c.chain_id == CHAIN, questionnaire_version.c.id == param("version_id", Uuid))
    .subquery("answered")
)
_one = select(literal(1).label("one")).subquery("one")
ASKED = Statement(
    select(
        _birth_date.scalar_subquery().label("birth_date"),
        zone_of_site.scalar_subquery().label("time_zone"),
        exists(standing(_now)).label("cleared"),
        _answered,
        current,
    )
    .select_from(_one)
    .outerjoin(_answered, true())
    .outerjoin(current, true())
)


class ScreeningStore(TextStore):
    async def asked(self, patient_id: UUID, protocol_id: UUID, site_id: UUID, version_id: UUID) -> Asked:
        """All that a screening rests on, at once."""
        ids = {"patient_id": patient_id, "protocol_id": protocol_id, "site_id": site_id, "version_id": version_id}
        row = await self.row(ASKED, **ids, now=self.call.now)
        assert row
        if row["birth_date"] is None:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        if row["time_zone"] is None:
            raise NotYetKnown("site", site_id)
        if row["content"] is None:
            raise QuestionnaireVersionNotFound(questionnaire_version_id=to_wire("questionnaireversion", version_id))
        return Asked(
            version_id=version_id,
            questionnaire_id=row["questionnaire_id"],
            retired=row["retired"],
            content=content_of(json.loads(row["content"])),
            assigned_id=row["assigned_id"],
            current_version_id=row["current_version_id"],
            birth_date=row["birth_date"],
            time_zone=row["time_zone"],
            cleared=row["cleared"],
        )

    def add_screening(self, new: Screening, *, supersedes: bool) -> None:
        """`supersedes`: what waited before of the person for the protocol waits no longer."""
        told = [[code, "" if isinstance(value, str) else _to_json(value)] for code, value in new.answers]
        written = [value for _, value in new.answers if isinstance(value, str)]
        self.write_last(
            ADD_SCREENING,
            id=new.id,
            patient_id=new.patient_id,
            protocol_id=new.protocol_id,
            site_id=new.site_id,
            answers=self.texts.seal_json(screening.c.answers, told, new.id),
            answer_texts=self.texts.seal_json(screening.c.answer_texts, written, new.id),
            recorded_by=new.recorded_by,
            recorded_at=new.recorded_at,
            questionnaire_version_id=new.questionnaire_version_id,
            outcome=new.outcome,
            reason_codes=list(new.reason_codes),
            review_id=[new.id] if new.review else [],
            no_reason="",
            supersedes=supersedes,
        )

    async def screening(self, screening_id: UUID) -> Screening:
        if row := await self.row(SCREENING, screening_id=screening_id):
            return screening_of(row, self.texts)
        raise ScreeningNotFound(screening_id=to_wire("screening", screening_id))

    async def screenings(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Screening]:
        found = await self.rows(SCREENINGS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [screening_of(row, self.texts) for row in found]

    async def screenings_to_review(self, site_id: UUID, before: UUID | None, limit: int) -> list[Screening]:
        found = await self.rows(TO_REVIEW, site_id=site_id, before=before or LAST_ID, limit=limit)
        return [screening_of(row, self.texts) for row in found]

    async def screening_to_review(self, screening_id: UUID) -> tuple[Screening, UUID | None]:
        """With the clearance for its protocol that stands, if one does. Nobody else decides meanwhile."""
        found = await self.screening(screening_id)
        if found.review is None:
            return found, None
        ids = {"patient_id": found.patient_id, "protocol_id": found.protocol_id, "site_id": found.site_id}
        row = await self.row(REVIEW_TO_DECIDE, screening_id=screening_id, **ids, now=self.call.now)
        if row is None:  # Seen behind broken glass.
            raise ScreeningNotFound(screening_id=to_wire("screening", screening_id))
        decision = Decision(row["decision"]) if row["decision"] else None
        return replace(found, review=replace(found.review, decision=decision)), row["standing_id"]

    def decide_screening(self, reviewed: Screening) -> None:
        review = reviewed.review
        assert review
        self.write_last(
            DECIDE,
            screening_id=reviewed.id,
            decision=review.decision,
            decided_by=review.decided_by,
            decided_at=review.decided_at,
            reason=self.texts.seal(screening_review.c.reason, review.reason, reviewed.id),
        )


def screening_of(row: Record, texts: Texts) -> Screening:
    return Screening(
        id=row["id"],
        patient_id=row["patient_id"],
        protocol_id=row["protocol_id"],
        site_id=row["site_id"],
        answers=_answers(row, texts),
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
        questionnaire_version_id=row["questionnaire_version_id"],
        outcome=Outcome(row["outcome"]),
        reason_codes=tuple(row["reason_codes"]),
        review=_review(row, texts) if row["review_id"] else None,
    )


def _review(row: Record, texts: Texts) -> Review:
    return Review(
        decision=Decision(row["decision"]) if row["decision"] else None,
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        reason=texts.open(screening_review.c.reason, row["reason"], row["id"]),
        clearance_id=row["clearance_id"],
    )


def _answers(row: Record, texts: Texts) -> Answers:
    """Texts are put where they were given; those that were erased stay empty."""
    told = texts.open_json(screening.c.answers, row["answers"], row["id"]) or ()
    written = iter(texts.open_json(screening.c.answer_texts, row["answer_texts"], row["id"]) or ())
    return tuple((code, next(written, "") if isinstance(value, str) else _from_json(value)) for code, value in told)


def _to_json(value: Value) -> Any:
    """JSON's own types as they are; the others name themselves."""
    if isinstance(value, Chosen):
        return {"option": value.code}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _from_json(value: Any) -> Value:
    if not isinstance(value, dict):
        plain: bool | int | str = value
        return plain
    return Chosen(value["option"]) if "option" in value else date.fromisoformat(value["date"])
