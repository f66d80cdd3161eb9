"""Questionnaires through the gRPC door."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.common.v1.access_pb2 import Role
from atoll.patients.v1 import questionnaire_service_pb2 as pb
from atoll.patients.v1.questionnaire_pb2 import Questionnaire, QuestionnaireContent, QuestionnaireVersion
from chassis.ids import from_wire, new_id, to_wire
from chassis.store import Store
from services.patients.domain.questionnaires import content_of
from services.patients.store import PatientsStore
from services.patients.store.questionnaires import (
    QUESTIONNAIRE_BY_ID,
    QUESTIONNAIRES,
    VERSION,
    VERSION_OF_PROTOCOL,
    VERSIONS,
)
from services.patients.store.screenings import ASKED
from services.patients.use_cases import questionnaires
from tests.integration.test_patients_races import once, until_a_lock_is_awaited
from tests.integration.test_patients_speed import explained, most_rows, read_through
from tests.support.patients import Desk, desk
from tests.support.patients_questionnaires import KETAMINE, condition, content, group, question, rule
from tests.support.service import refusal

__all__ = ["desk"]

MANY = """
    WITH made AS (INSERT INTO questionnaire SELECT $1, gen_random_uuid(), 'q' || n, 'Many', now(), NULL
                  FROM generate_series(1, 5000) AS n RETURNING id),
         published AS (INSERT INTO questionnaire_version
                       SELECT $1, gen_random_uuid(), id, n, '{"rules": []}', now(), 'x'
                       FROM made, generate_series(1, 5) AS n)
    INSERT INTO protocol_questionnaire SELECT $1, id, id, now(), 'x' FROM made
"""
WRITERS = {"ROLE_CHAIN_ADMIN", "ROLE_CLINICIAN"}


async def create(desk: Desk, code: str = "ketamine", token: str | None = None, **changes: Any) -> Questionnaire:
    fields = {"request_id": str(uuid4()), "code": code, "display_name": "Ketamine"} | changes
    request = pb.CreateQuestionnaireRequest(**fields)
    created: Questionnaire = (
        await desk.service.call(desk.questionnaires.CreateQuestionnaire, request, token)
    ).questionnaire
    return created


async def retire(desk: Desk, questionnaire_id: str, token: str | None = None) -> Questionnaire:
    request = pb.RetireQuestionnaireRequest(request_id=str(uuid4()), questionnaire_id=questionnaire_id)
    retired: Questionnaire = (
        await desk.service.call(desk.questionnaires.RetireQuestionnaire, request, token)
    ).questionnaire
    return retired


async def get(desk: Desk, questionnaire_id: str, token: str | None = None) -> Questionnaire:
    request = pb.GetQuestionnaireRequest(questionnaire_id=questionnaire_id)
    got: Questionnaire = (await desk.service.call(desk.questionnaires.GetQuestionnaire, request, token)).questionnaire
    return got


async def get_version(desk: Desk, version_id: str, token: str | None = None) -> QuestionnaireVersion:
    request = pb.GetQuestionnaireVersionRequest(questionnaire_version_id=version_id)
    answer = await desk.service.call(desk.questionnaires.GetQuestionnaireVersion, request, token)
    got: QuestionnaireVersion = answer.questionnaire_version
    return got


async def find(desk: Desk, protocol_id: str, token: str | None = None) -> QuestionnaireVersion:
    request = pb.FindQuestionnaireVersionRequest(protocol_id=protocol_id)
    answer = await desk.service.call(desk.questionnaires.FindQuestionnaireVersion, request, token)
    found: QuestionnaireVersion = answer.questionnaire_version
    return found


def protocol() -> str:
    return to_wire("protocol", new_id())


async def test_a_questionnaire_has_no_version_until_one_is_published(desk: Desk) -> None:
    created = await create(desk)
    assert (created.code, created.display_name, created.latest_version_id) == ("ketamine", "Ketamine", "")
    assert await get(desk, created.id) == created
    one, two = await desk.publish(created.id), await desk.publish(created.id, KETAMINE)
    assert (one.version, two.version, two.questionnaire_id) == (1, 2, created.id)
    got = await get(desk, created.id)
    assert (got.latest_version_id, got.latest_version, got.HasField("retire_time")) == (two.id, 2, False)


async def test_a_version_is_kept_as_published_and_says_by_whom_and_when(desk: Desk) -> None:
    created = await create(desk)
    published = await desk.publish(created.id, KETAMINE, desk.clinician())
    assert published.content == ParseDict(KETAMINE, QuestionnaireContent())
    assert published.published_by == "dr"
    assert published.publish_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    await desk.publish(created.id)
    assert await get_version(desk, published.id) == published


async def test_the_database_never_changes_a_published_version(desk: Desk) -> None:
    published = await desk.publish((await create(desk)).id)
    for change in ("UPDATE questionnaire_version SET version = 2", "DELETE FROM questionnaire_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with desk.service.db.transaction(desk.service.inside("test")) as conn:
                await conn.execute(change)
    assert (await get_version(desk, published.id)).version == 1


async def test_the_same_request_makes_one_questionnaire_and_one_version(desk: Desk) -> None:
    same: dict[str, Any] = {"request_id": str(uuid4())}
    created = await create(desk, **same)
    assert await create(desk, **same) == created
    assert await desk.publish(created.id, **same) == await desk.publish(created.id, **same)
    assert [await desk.service.count(table) for table in ("questionnaire", "questionnaire_version")] == [1, 1]


async def test_a_code_names_one_questionnaire_of_the_chain(desk: Desk) -> None:
    await create(desk)
    refused = await refusal(create(desk))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "QUESTIONNAIRE_CODE_TAKEN")
    await create(desk, token=desk.of_other_chain())
    assert await desk.service.count("questionnaire") == 2


async def test_content_that_does_not_fit_together_is_not_published(desk: Desk) -> None:
    wrong = content([question("a")], rule("why", "EXCLUDED", condition("b", "EQUAL", True)))
    refused = await refusal(desk.publish((await create(desk)).id, wrong))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "QUESTIONNAIRE_CONTENT_INVALID")
    assert refused.faults == [("content.rules[0].when.conditions[0].question_code", "UNKNOWN_QUESTION")]
    assert await desk.service.count("questionnaire_version") == 0


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (content([]), ("content.questions", "repeated.min_items")),
        ({"questions": [question("a")], "rules": []}, ("content.rules", "repeated.min_items")),
        (content([question("A")]), ("content.questions[0].code", "string.pattern")),
        (content([question("a") | {"type": "QUESTION_TYPE_UNSPECIFIED"}]),
         ("content.questions[0].type", "enum.not_in")),
        (content([question("a", texts=[{"language": "en", "text": "a\u0000b"}])]),
         ("content.questions[0].texts[0].text", "string.pattern")),
        (content([question("a", texts=[{"language": "english language", "text": "a"}])]),
         ("content.questions[0].texts[0].language", "string.pattern")),
        (content([question("a")], rule("r", "ELIGIBLE", condition("a", "MISSING"))),
         ("content.rules[0].outcome", "enum.in")),
        (content([question("a")], {"reason_code": "r", "outcome": "SCREENING_OUTCOME_EXCLUDED"}),
         ("content.rules[0].when", "required")),
        (content([question("a", max_length=2001)]), ("content.questions[0].max_length", "int32.gte_lte")),
    ],
)  # fmt: skip
async def test_what_breaks_the_rules_of_a_field_is_named(
    desk: Desk, wrong: dict[str, Any], fault: tuple[str, str]
) -> None:
    refused = await refusal(desk.publish((await create(desk)).id, wrong))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [fault])
    assert await desk.service.count("questionnaire_version") == 0


async def test_groups_of_many_levels_are_refused_and_harm_nothing(desk: Desk) -> None:
    deep = condition("a", "MISSING")
    for _ in range(60):
        deep = group("ALL", deep)
    refused = await refusal(
        desk.publish((await create(desk)).id, content([question("a")], rule("r", "EXCLUDED", deep)))
    )
    assert refused.code == StatusCode.INVALID_ARGUMENT
    assert (await get(desk, (await create(desk, "other")).id)).code == "other"


async def test_a_retired_questionnaire_stays_retired_and_is_neither_published_nor_assigned(desk: Desk) -> None:
    created = await create(desk)
    retired = await retire(desk, created.id)
    assert retired.retire_time.ToDatetime(tzinfo=desk.service.now.tzinfo) == desk.service.now
    assert await get(desk, created.id) == retired
    for answer in (retire(desk, created.id), desk.publish(created.id), desk.assign(created.id, protocol())):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "QUESTIONNAIRE_RETIRED")
    assert [await desk.service.count(table) for table in ("questionnaire_version", "protocol_questionnaire")] == [0, 0]


async def test_a_protocol_is_asked_for_by_the_latest_version_of_its_questionnaire(desk: Desk) -> None:
    protocol_id, created = protocol(), await create(desk)
    assert (await refusal(find(desk, protocol_id))).reason == "QUESTIONNAIRE_VERSION_NOT_FOUND"
    await desk.assign(created.id, protocol_id)
    assert (await refusal(find(desk, protocol_id))).reason == "QUESTIONNAIRE_VERSION_NOT_FOUND"
    await desk.publish(created.id)
    latest = await desk.publish(created.id, KETAMINE)
    assert await find(desk, protocol_id) == latest
    assert (await refusal(find(desk, protocol()))).reason == "QUESTIONNAIRE_VERSION_NOT_FOUND"
    other = await create(desk, "other")
    version = await desk.publish(other.id)
    await desk.assign(other.id, protocol_id)
    assert (await find(desk, protocol_id)).id == version.id
    await retire(desk, other.id)
    assert (await refusal(find(desk, protocol_id))).code == StatusCode.NOT_FOUND


async def test_another_chains_questionnaires_do_not_exist(desk: Desk) -> None:
    created, stranger, protocol_id = await create(desk), desk.of_other_chain(), protocol()
    version = await desk.publish(created.id)
    await desk.assign(created.id, protocol_id)
    for answer, reason in (
        (get(desk, created.id, stranger), "QUESTIONNAIRE_NOT_FOUND"),
        (desk.publish(created.id, token=stranger), "QUESTIONNAIRE_NOT_FOUND"),
        (retire(desk, created.id, stranger), "QUESTIONNAIRE_NOT_FOUND"),
        (desk.assign(created.id, protocol_id, stranger), "QUESTIONNAIRE_NOT_FOUND"),
        (get_version(desk, version.id, stranger), "QUESTIONNAIRE_VERSION_NOT_FOUND"),
        (find(desk, protocol_id, stranger), "QUESTIONNAIRE_VERSION_NOT_FOUND"),
        (list_versions(desk, created.id, stranger), "QUESTIONNAIRE_NOT_FOUND"),
    ):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, reason)
    request = pb.ListQuestionnairesRequest()
    assert not (await desk.service.call(desk.questionnaires.ListQuestionnaires, request, stranger)).questionnaires
    assert (await get(desk, created.id)).latest_version == 1


async def list_versions(desk: Desk, questionnaire_id: str, token: str | None = None, **page: Any) -> Any:
    request = pb.ListQuestionnaireVersionsRequest(questionnaire_id=questionnaire_id, **page)
    return await desk.service.call(desk.questionnaires.ListQuestionnaireVersions, request, token)


async def test_questionnaires_come_by_code_in_pages_retired_ones_too(desk: Desk) -> None:
    made = {code: await create(desk, code) for code in ("c", "a", "b")}
    await retire(desk, made["b"].id)
    await desk.publish(made["a"].id)
    request = pb.ListQuestionnairesRequest(page_size=2)
    first = await desk.service.call(desk.questionnaires.ListQuestionnaires, request)
    request.page_token = first.next_page_token
    second = await desk.service.call(desk.questionnaires.ListQuestionnaires, request)
    listed = [each for page in (first, second) for each in page.questionnaires]
    assert [(each.code, each.latest_version, each.HasField("retire_time")) for each in listed] == [
        ("a", 1, False), ("b", 0, True), ("c", 0, False),
    ]  # fmt: skip
    assert second.next_page_token == ""


async def test_versions_come_the_latest_first_in_pages_without_their_content(desk: Desk) -> None:
    created = await create(desk)
    made = [(await desk.publish(created.id)).id for _ in range(3)]
    await desk.publish((await create(desk, "other")).id)
    first = await list_versions(desk, created.id, page_size=2)
    second = await list_versions(desk, created.id, page_size=2, page_token=first.next_page_token)
    listed = [each for page in (first, second) for each in page.questionnaire_versions]
    assert [each.id for each in listed] == made[::-1]
    assert [(each.version, each.HasField("content")) for each in listed] == [(3, False), (2, False), (1, False)]
    assert second.next_page_token == ""


async def test_the_chains_admins_and_clinicians_say_what_is_asked(desk: Desk) -> None:
    created = await create(desk)
    for role in Role.keys()[1:]:
        token = desk.service.token(role, patient=to_wire("patient", new_id()))
        for answer in (
            create(desk, role.lower(), token),
            desk.publish(created.id, token=token),
            desk.assign(created.id, protocol(), token),
        ):
            if role in WRITERS:
                await answer
            else:
                refused = await refusal(answer)
                assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"), role
        if role not in WRITERS:
            assert (await refusal(retire(desk, created.id, token))).reason == "ACCESS_DENIED"
    assert await desk.service.count("questionnaire_version") == len(WRITERS)


async def test_everybody_who_asks_or_answers_may_read_what_is_asked_but_billing(desk: Desk) -> None:
    created, protocol_id = await create(desk), protocol()
    version = await desk.publish(created.id)
    await desk.assign(created.id, protocol_id)
    for role in set(Role.keys()) - {"ROLE_UNSPECIFIED", "ROLE_BILLING"}:
        token = desk.service.token(role, patient=to_wire("patient", new_id()))
        assert (await find(desk, protocol_id, token)).id == version.id, role
        assert (await get_version(desk, version.id, token)).content == version.content, role
    billing = desk.service.token("ROLE_BILLING")
    for answer in (find(desk, protocol_id, billing), get_version(desk, version.id, billing)):
        assert (await refusal(answer)).reason == "ACCESS_DENIED"


async def test_two_who_publish_at_once_get_numbers_of_their_own(desk: Desk) -> None:
    """The second is held at the questionnaire's lock until the first has committed."""
    created = await create(desk)
    questionnaire_id = from_wire("questionnaire", created.id)
    async with desk.service.db.transaction(desk.service.inside("test")) as conn:
        await Store(conn, desk.service.inside("test")).lock([questionnaire_id])
        waiting = asyncio.create_task(desk.publish(created.id))
        await until_a_lock_is_awaited(desk)
        await conn.execute(
            "INSERT INTO questionnaire_version SELECT $1, gen_random_uuid(), $2, 1, '{}', now(), 'other'",
            desk.service.chain_id,
            questionnaire_id,
        )
    assert (await waiting).version == 2


async def test_who_publishes_while_another_retires_finds_it_retired(desk: Desk) -> None:
    created = await create(desk)
    questionnaire_id = from_wire("questionnaire", created.id)
    async with desk.service.db.transaction(desk.service.inside("test")) as conn:
        await Store(conn, desk.service.inside("test")).lock([questionnaire_id])
        waiting = asyncio.create_task(refusal(desk.publish(created.id)))
        await until_a_lock_is_awaited(desk)
        await conn.execute("UPDATE questionnaire SET retired_at = now()")
    assert (await waiting).reason == "QUESTIONNAIRE_RETIRED"
    assert await desk.service.count("questionnaire_version") == 0


async def test_without_the_lock_the_database_refuses_a_second_version_of_one_number(desk: Desk) -> None:
    questionnaire_id = from_wire("questionnaire", (await create(desk)).id)
    both_have_read = asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def questionnaire(self, id: Any) -> Any:
            found = await super().questionnaire(id)
            await both_have_read.wait()
            return found

    asked = content_of(KETAMINE)
    answers = await asyncio.gather(
        *(once(desk, lambda store: questionnaires.publish_version(store, questionnaire_id, asked), Hesitant)
          for _ in range(2)),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(answer) for answer in answers if answer] == [asyncpg.UniqueViolationError]
    assert await desk.service.count("questionnaire_version") == 1


async def test_questionnaires_are_found_by_index_among_many(desk: Desk) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id)
    await desk.service.admin.execute("ANALYZE")
    one = await desk.service.admin.fetchval("SELECT id FROM questionnaire LIMIT 1")
    version = await desk.service.admin.fetchval("SELECT id FROM questionnaire_version LIMIT 1")
    now = desk.service.now
    asked = {"patient_id": one, "protocol_id": one, "site_id": one, "version_id": version, "now": now}
    for statement, values, index in (
        (QUESTIONNAIRE_BY_ID, {"questionnaire_id": one}, "questionnaire_pkey"),
        (QUESTIONNAIRES, {"after": "q5", "limit": 51}, "questionnaire_chain_id_code_key"),
        (VERSION, {"version_id": version}, "questionnaire_version_pkey"),
        (VERSIONS, {"questionnaire_id": one, "before": 9, "limit": 51},
         "questionnaire_version_chain_id_questionnaire_id_version_key"),
        (VERSION_OF_PROTOCOL, {"protocol_id": one}, "protocol_questionnaire_pkey"),
        (ASKED, asked, "questionnaire_version_pkey"),
    ):  # fmt: skip
        plan = await explained(desk, statement, values)
        assert plan["Actual Rows"] >= 1, index
        assert index in json.dumps(plan)
        assert not read_through(plan) & {"questionnaire", "questionnaire_version", "protocol_questionnaire"}, index
        assert most_rows(plan) <= 400, index
