"""SQL of questionnaires, their versions, and which protocol uses which."""

import json
from dataclasses import asdict
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Settling, Store
from services.patients.domain.questionnaires import (
    Assignment,
    Questionnaire,
    QuestionnaireNotFound,
    QuestionnaireVersion,
    QuestionnaireVersionNotFound,
    content_of,
)
from services.patients.tables.questionnaires import protocol_questionnaire, questionnaire, questionnaire_version

CHAIN, QUESTIONNAIRE, LIMIT = param("chain_id", Uuid), param("questionnaire_id", Uuid), param("limit")
AFTER_EVERY_VERSION = 2**31 - 1

_versions = select(questionnaire_version).where(
    questionnaire_version.c.chain_id == questionnaire.c.chain_id,
    questionnaire_version.c.questionnaire_id == questionnaire.c.id,
)
_latest = _versions.order_by(questionnaire_version.c.version.desc()).limit(1).lateral("latest")
_questionnaires = (
    select(questionnaire, _latest.c.id.label("latest_version_id"), _latest.c.version.label("latest_version"))
    .outerjoin_from(questionnaire, _latest, _latest.c.chain_id == questionnaire.c.chain_id)
    .where(questionnaire.c.chain_id == CHAIN)
)
QUESTIONNAIRE_BY_ID = Statement(_questionnaires.where(questionnaire.c.id == QUESTIONNAIRE))
QUESTIONNAIRES = Statement(
    _questionnaires.where(questionnaire.c.code > param("after", Text)).order_by(questionnaire.c.code).limit(LIMIT)
)
ADD_QUESTIONNAIRE = Settling(
    insert(questionnaire).inline().values(params("chain_id", "id", "code", "display_name", "created_at")).cte("made")
)
RETIRE = Settling(
    update(questionnaire)
    .where(questionnaire.c.chain_id == CHAIN, questionnaire.c.id == QUESTIONNAIRE)
    .values(params("retired_at"))
    .cte("retired")
)
ADD_VERSION = Settling(
    insert(questionnaire_version).inline().values(params(*questionnaire_version.c.keys())).cte("published")
)
VERSION = Statement(
    select(questionnaire_version).where(
        questionnaire_version.c.chain_id == CHAIN, questionnaire_version.c.id == param("version_id", Uuid)
    )
)
VERSIONS = Statement(
    select(*(column for column in questionnaire_version.c if column.name != "content"))
    .where(
        questionnaire_version.c.chain_id == CHAIN,
        questionnaire_version.c.questionnaire_id == QUESTIONNAIRE,
        questionnaire_version.c.version < param("before", Integer),
    )
    .order_by(questionnaire_version.c.version.desc())
    .limit(LIMIT)
)
_assigned = pg_insert(protocol_questionnaire).values(params(*protocol_questionnaire.c.keys()))
ASSIGN = Settling(
    _assigned.on_conflict_do_update(
        index_elements=["chain_id", "protocol_id"],
        set_={name: _assigned.excluded[name] for name in ("questionnaire_id", "assigned_at", "assigned_by")},
    ).cte("assigned")
)
# What is asked for a protocol: its questionnaire, unless that is retired, and the latest version of it.
current = (
    select(questionnaire.c.id.label("assigned_id"), _latest.c.id.label("current_version_id"))
    .select_from(protocol_questionnaire)
    .join(
        questionnaire,
        (questionnaire.c.chain_id == protocol_questionnaire.c.chain_id)
        & (questionnaire.c.id == protocol_questionnaire.c.questionnaire_id),
    )
    .outerjoin(_latest, _latest.c.chain_id == questionnaire.c.chain_id)
    .where(
        protocol_questionnaire.c.chain_id == CHAIN,
        protocol_questionnaire.c.protocol_id == param("protocol_id", Uuid),
        questionnaire.c.retired_at.is_(None),
    )
    .subquery("current")
)
VERSION_OF_PROTOCOL = Statement(
    select(questionnaire_version)
    .join(current, current.c.current_version_id == questionnaire_version.c.id)
    .where(questionnaire_version.c.chain_id == CHAIN)
)


class QuestionnaireStore(Store):
    def add_questionnaire(self, new: Questionnaire) -> None:
        self.write_last(
            ADD_QUESTIONNAIRE, id=new.id, code=new.code, display_name=new.display_name, created_at=new.created_at
        )

    async def questionnaire(self, id: UUID) -> Questionnaire:
        if row := await self.row(QUESTIONNAIRE_BY_ID, questionnaire_id=id):
            return _questionnaire(row)
        raise QuestionnaireNotFound(questionnaire_id=to_wire("questionnaire", id))

    async def questionnaires(self, page: Page) -> list[Questionnaire]:
        found = await self.rows(QUESTIONNAIRES, after=page.after[0] if page.after else "", limit=page.limit)
        return [_questionnaire(row) for row in found]

    def retire_questionnaire(self, retired: Questionnaire) -> None:
        self.write_last(RETIRE, questionnaire_id=retired.id, retired_at=retired.retired_at)

    def add_questionnaire_version(self, new: QuestionnaireVersion) -> None:
        assert new.content
        self.write_last(
            ADD_VERSION,
            id=new.id,
            questionnaire_id=new.questionnaire_id,
            version=new.version,
            content=json.dumps(asdict(new.content)),
            published_at=new.published_at,
            published_by=new.published_by,
        )

    async def questionnaire_version(self, id: UUID) -> QuestionnaireVersion:
        if row := await self.row(VERSION, version_id=id):
            return _version(row)
        raise QuestionnaireVersionNotFound(questionnaire_version_id=to_wire("questionnaireversion", id))

    async def questionnaire_versions(self, questionnaire_id: UUID, page: Page) -> list[QuestionnaireVersion]:
        """Without their content, the latest first."""
        await self.questionnaire(questionnaire_id)
        before = int(page.after[0]) if page.after else AFTER_EVERY_VERSION
        found = await self.rows(VERSIONS, questionnaire_id=questionnaire_id, before=before, limit=page.limit)
        return [_version(row) for row in found]

    async def version_of_protocol(self, protocol_id: UUID) -> QuestionnaireVersion:
        if row := await self.row(VERSION_OF_PROTOCOL, protocol_id=protocol_id):
            return _version(row)
        raise QuestionnaireVersionNotFound(protocol_id=to_wire("protocol", protocol_id))

    def assign_questionnaire(self, new: Assignment) -> None:
        self.write_last(
            ASSIGN,
            protocol_id=new.protocol_id,
            questionnaire_id=new.questionnaire_id,
            assigned_at=new.assigned_at,
            assigned_by=new.assigned_by,
        )


def _questionnaire(row: Record) -> Questionnaire:
    return Questionnaire(
        id=row["id"],
        code=row["code"],
        display_name=row["display_name"],
        created_at=row["created_at"],
        retired_at=row["retired_at"],
        latest_version_id=row["latest_version_id"],
        latest_version=row["latest_version"] or 0,
    )


def _version(row: Record) -> QuestionnaireVersion:
    content = row.get("content")
    return QuestionnaireVersion(
        id=row["id"],
        questionnaire_id=row["questionnaire_id"],
        version=row["version"],
        content=content_of(json.loads(content)) if content else None,
        published_at=row["published_at"],
        published_by=row["published_by"],
    )
