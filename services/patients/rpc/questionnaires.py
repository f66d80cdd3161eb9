"""QuestionnaireService."""

from dataclasses import asdict

from google.protobuf.json_format import MessageToDict, ParseDict

from atoll.patients.v1 import questionnaire_pb2
from atoll.patients.v1 import questionnaire_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.questionnaires import Content, Questionnaire, QuestionnaireVersion, content_of
from services.patients.store import PatientsStore
from services.patients.use_cases import questionnaires as use_cases


class QuestionnaireServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateQuestionnaire(
        self, request: pb.CreateQuestionnaireRequest, call: Call
    ) -> pb.CreateQuestionnaireResponse:
        questionnaire = Questionnaire(new_id(), request.code, request.display_name, call.now)

        async def work(store: PatientsStore) -> pb.CreateQuestionnaireResponse:
            store.add_questionnaire(questionnaire)
            return pb.CreateQuestionnaireResponse(questionnaire=_questionnaire(questionnaire))

        return await self._db.once(call, request, pb.CreateQuestionnaireResponse, PatientsStore, work)

    async def PublishQuestionnaireVersion(
        self, request: pb.PublishQuestionnaireVersionRequest, call: Call
    ) -> pb.PublishQuestionnaireVersionResponse:
        questionnaire_id = from_wire("questionnaire", request.questionnaire_id)

        async def work(store: PatientsStore) -> pb.PublishQuestionnaireVersionResponse:
            content = content_from_wire(request.content)
            version = await use_cases.publish_version(store, questionnaire_id, content)
            return pb.PublishQuestionnaireVersionResponse(questionnaire_version=_version(version))

        return await self._db.once(
            call, request, pb.PublishQuestionnaireVersionResponse, PatientsStore, work, locks=[questionnaire_id]
        )

    async def RetireQuestionnaire(
        self, request: pb.RetireQuestionnaireRequest, call: Call
    ) -> pb.RetireQuestionnaireResponse:
        questionnaire_id = from_wire("questionnaire", request.questionnaire_id)

        async def work(store: PatientsStore) -> pb.RetireQuestionnaireResponse:
            retired = await use_cases.retire(store, questionnaire_id)
            return pb.RetireQuestionnaireResponse(questionnaire=_questionnaire(retired))

        return await self._db.once(
            call, request, pb.RetireQuestionnaireResponse, PatientsStore, work, locks=[questionnaire_id]
        )

    async def AssignQuestionnaire(
        self, request: pb.AssignQuestionnaireRequest, call: Call
    ) -> pb.AssignQuestionnaireResponse:
        questionnaire_id = from_wire("questionnaire", request.questionnaire_id)
        protocol_id = from_wire("protocol", request.protocol_id)

        async def work(store: PatientsStore) -> pb.AssignQuestionnaireResponse:
            made = await use_cases.assign(store, questionnaire_id, protocol_id)
            assignment = pb.QuestionnaireAssignment(
                protocol_id=request.protocol_id,
                questionnaire_id=request.questionnaire_id,
                assign_time=to_timestamp(made.assigned_at),
                assigned_by=made.assigned_by,
            )
            return pb.AssignQuestionnaireResponse(assignment=assignment)

        return await self._db.once(
            call, request, pb.AssignQuestionnaireResponse, PatientsStore, work, locks=[questionnaire_id]
        )

    async def GetQuestionnaire(self, request: pb.GetQuestionnaireRequest, call: Call) -> pb.GetQuestionnaireResponse:
        questionnaire_id = from_wire("questionnaire", request.questionnaire_id)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.questionnaire(questionnaire_id))
        return pb.GetQuestionnaireResponse(questionnaire=_questionnaire(found))

    async def ListQuestionnaires(
        self, request: pb.ListQuestionnairesRequest, call: Call
    ) -> pb.ListQuestionnairesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.questionnaires(page))
        kept, token = page.cut(found, key=lambda each: [each.code])
        return pb.ListQuestionnairesResponse(questionnaires=map(_questionnaire, kept), next_page_token=token)

    async def GetQuestionnaireVersion(
        self, request: pb.GetQuestionnaireVersionRequest, call: Call
    ) -> pb.GetQuestionnaireVersionResponse:
        id = from_wire("questionnaireversion", request.questionnaire_version_id)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.questionnaire_version(id))
        return pb.GetQuestionnaireVersionResponse(questionnaire_version=_version(found))

    async def ListQuestionnaireVersions(
        self, request: pb.ListQuestionnaireVersionsRequest, call: Call
    ) -> pb.ListQuestionnaireVersionsResponse:
        questionnaire_id, page = from_wire("questionnaire", request.questionnaire_id), Page.of(request, call)
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.questionnaire_versions(questionnaire_id, page)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.version)])
        return pb.ListQuestionnaireVersionsResponse(questionnaire_versions=map(_version, kept), next_page_token=token)

    async def FindQuestionnaireVersion(
        self, request: pb.FindQuestionnaireVersionRequest, call: Call
    ) -> pb.FindQuestionnaireVersionResponse:
        protocol_id = from_wire("protocol", request.protocol_id)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.version_of_protocol(protocol_id))
        return pb.FindQuestionnaireVersionResponse(questionnaire_version=_version(found))


def content_from_wire(wire: questionnaire_pb2.QuestionnaireContent) -> Content:
    """The domain's field names are those of the proto."""
    return content_of(MessageToDict(wire, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def _questionnaire(questionnaire: Questionnaire) -> questionnaire_pb2.Questionnaire:
    latest_id, retired_at = questionnaire.latest_version_id, questionnaire.retired_at
    return questionnaire_pb2.Questionnaire(
        id=to_wire("questionnaire", questionnaire.id),
        code=questionnaire.code,
        display_name=questionnaire.display_name,
        latest_version_id=to_wire("questionnaireversion", latest_id) if latest_id else "",
        latest_version=questionnaire.latest_version,
        create_time=to_timestamp(questionnaire.created_at),
        retire_time=to_timestamp(retired_at) if retired_at else None,
    )


def _version(version: QuestionnaireVersion) -> questionnaire_pb2.QuestionnaireVersion:
    content = questionnaire_pb2.QuestionnaireContent()
    return questionnaire_pb2.QuestionnaireVersion(
        id=to_wire("questionnaireversion", version.id),
        questionnaire_id=to_wire("questionnaire", version.questionnaire_id),
        version=version.version,
        content=ParseDict(asdict(version.content), content) if version.content else None,
        publish_time=to_timestamp(version.published_at),
        published_by=version.published_by,
    )
