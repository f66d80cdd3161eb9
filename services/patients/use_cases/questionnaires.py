"""Questionnaires. Their caller holds the lock of the one that changes."""

from dataclasses import replace
from uuid import UUID

from chassis.ids import new_id
from services.patients.domain.questionnaires import Assignment, Content, Questionnaire, QuestionnaireVersion
from services.patients.store import PatientsStore


async def publish_version(store: PatientsStore, questionnaire_id: UUID, content: Content) -> QuestionnaireVersion:
    """With the lock, two versions never get the same number; else the unique key refuses the second."""
    content.check()
    questionnaire = await store.questionnaire(questionnaire_id)
    questionnaire.check_in_use()
    version = QuestionnaireVersion(
        id=new_id(),
        questionnaire_id=questionnaire.id,
        version=questionnaire.latest_version + 1,
        content=content,
        published_at=store.call.now,
        published_by=store.call.actor,
    )
    store.add_questionnaire_version(version)
    return version


async def retire(store: PatientsStore, questionnaire_id: UUID) -> Questionnaire:
    questionnaire = await store.questionnaire(questionnaire_id)
    questionnaire.check_in_use()
    retired = replace(questionnaire, retired_at=store.call.now)
    store.retire_questionnaire(retired)
    return retired


async def assign(store: PatientsStore, questionnaire_id: UUID, protocol_id: UUID) -> Assignment:
    (await store.questionnaire(questionnaire_id)).check_in_use()
    assignment = Assignment(protocol_id, questionnaire_id, store.call.now, store.call.actor)
    store.assign_questionnaire(assignment)
    return assignment
