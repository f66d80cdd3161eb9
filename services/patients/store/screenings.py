"""SQL of screenings."""

import json
from datetime import date
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Uuid, exists, insert, literal, select, true

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, param, params
from chassis.store import Settling
from services.patients.domain.eligibility import Answers, Chosen, Value
from services.patients.domain.patients import PatientNotFound
from services.patients.domain.questionnaires import Outcome, QuestionnaireVersionNotFound, content_of
from services.patients.domain.screenings import Asked, Screening, ScreeningNotFound
from services.patients.store.persons import PERSON, SURVIVOR
from services.patients.store.questionnaires import current
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.clearances import screening
from services.patients.tables.questionnaires import questionnaire, questionnaire_version
from services.patients.tables.records import patient, patient_site, site

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
LAST_ID = UUID(int=2**128 - 1)

ADD_SCREENING = Settling(insert(screening).inline().values(params(*screening.c.keys())).cte("new_screening"))
SCREENING = Statement(select(screening).where(screening.c.chain_id == CHAIN, screening.c.id == param("screening_id")))
SCREENINGS = Statement(
    select(screening)
    .where(screening.c.chain_id == CHAIN, screening.c.patient_id == PERSON, screening.c.id < param("before", Uuid))
    .order_by(screening.c.id.desc())
    .limit(param("limit"))
)

zone_of_site = select(site.c.time_zone).where(site.c.chain_id == CHAIN, site.c.id == param("site_id", Uuid))
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
        row = await self.row(ASKED, **ids)
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
        )

    def add_screening(self, new: Screening) -> None:
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
        )

    async def screening(self, screening_id: UUID) -> Screening:
        if row := await self.row(SCREENING, screening_id=screening_id):
            return screening_of(row, self.texts)
        raise ScreeningNotFound(screening_id=to_wire("screening", screening_id))

    async def screenings(self, patient_id: UUID, before: UUID | None, limit: int) -> list[Screening]:
        found = await self.rows(SCREENINGS, patient_id=patient_id, before=before or LAST_ID, limit=limit)
        return [screening_of(row, self.texts) for row in found]


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
