"""Consent documents through the gRPC door."""

import hashlib
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from atoll.patients.v1 import consent_document_service_pb2 as pb
from chassis.ids import new_id, to_wire
from chassis.times import to_date
from tests.support.patients_consents import ConsentDesk, desk, text
from tests.support.service import refusal

__all__ = ["desk"]

STAFF = ("ROLE_SITE_MANAGER", "ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_NURSE", "ROLE_BILLING", "ROLE_AUDITOR")
ABSENT, ABSENT_VERSION = to_wire("consentdocument", new_id()), to_wire("consentdocumentversion", new_id())


async def get(desk: ConsentDesk, document_id: str, token: str | None = None) -> pb.GetConsentDocumentResponse:
    request = pb.GetConsentDocumentRequest(consent_document_id=document_id)
    got: pb.GetConsentDocumentResponse = await desk.service.call(desk.documents.GetConsentDocument, request, token)
    return got


async def listed(desk: ConsentDesk, token: str | None = None, **page: Any) -> pb.ListConsentDocumentsResponse:
    request = pb.ListConsentDocumentsRequest(**page)
    found: pb.ListConsentDocumentsResponse = await desk.service.call(
        desk.documents.ListConsentDocuments, request, token
    )
    return found


async def test_a_document_is_kept_as_created(desk: ConsentDesk) -> None:
    created = await desk.document(
        code="FINANCIAL_POLICY", state_code="NM", display_name="  Póliza financiera ", guarantor_may_sign=True
    )
    assert (created.code, created.state_code, created.display_name) == ("FINANCIAL_POLICY", "NM", "Póliza financiera")
    assert (created.guarantor_may_sign, created.HasField("retire_time")) == (True, False)
    assert created.create_time.ToDatetime(tzinfo=UTC) == desk.service.now
    assert (await get(desk, created.id)).consent_document == created
    assert await desk.facts() == []


async def test_a_code_is_one_documents_in_each_state_and_another_one_in_every_state(desk: ConsentDesk) -> None:
    for state in ("", "NM", "TX"):
        await desk.document(state_code=state)
        refused = await refusal(desk.document(state_code=state))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CONSENT_DOCUMENT_TAKEN")
    await desk.document(desk.of_other_chain())
    assert await desk.service.count("consent_document") == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"code": ""},
        {"code": "treatment"},
        {"code": "T" * 33},
        {"code": "1ST"},
        {"state_code": "nm"},
        {"state_code": "NMX"},
        {"display_name": " "},
        {"display_name": "a\nb"},
        {"display_name": "x" * 101},
    ],
)
async def test_a_document_that_breaks_a_rule_is_refused(desk: ConsentDesk, changes: dict[str, str]) -> None:
    refused = await refusal(desk.document(**changes))
    assert (refused.code, [field for field, _ in refused.faults]) == (StatusCode.INVALID_ARGUMENT, list(changes))
    assert await desk.service.count("consent_document") == 0


async def test_only_the_chains_admin_creates_publishes_and_retires(desk: ConsentDesk) -> None:
    document = await desk.document()
    for role in (*STAFF, "ROLE_INTEGRATION", "ROLE_SERVICE"):
        token = desk.service.token(role)
        for answer in (
            desk.document(token),
            desk.publish_document(document.id, token),
            desk.retire(document.id, token),
        ):
            assert (await refusal(answer)).reason == "ACCESS_DENIED"
    assert [await desk.service.count(f"consent_{kind}") for kind in ("document", "document_version")] == [1, 0]


async def test_everybody_of_the_chain_reads_documents_patients_too(desk: ConsentDesk) -> None:
    version = await desk.published()
    patient = desk.as_patient((await desk.create()).id)
    for token in (*(desk.service.token(role) for role in (*STAFF, "ROLE_INTEGRATION")), patient):
        assert list((await get(desk, version.consent_document_id, token)).versions) == [version]
        assert (await desk.get_version(version.id, token=token)).text == text()
        assert len((await listed(desk, token)).consent_documents) == 1
    assert (await refusal(listed(desk, desk.service.token("ROLE_SERVICE")))).reason == "ACCESS_DENIED"


async def test_a_document_of_another_chain_does_not_exist(desk: ConsentDesk) -> None:
    version = await desk.published()
    token = desk.of_other_chain()
    for answer in (
        get(desk, version.consent_document_id, token),
        desk.get_version(version.id, token=token),
        desk.publish_document(version.consent_document_id, token),
        desk.retire(version.consent_document_id, token),
        get(desk, ABSENT),
        desk.get_version(ABSENT_VERSION),
        desk.publish_document(ABSENT),
        desk.retire(ABSENT),
    ):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "CONSENT_DOCUMENT_NOT_FOUND")
    assert len((await listed(desk, token)).consent_documents) == 0
    assert await desk.service.count("consent_document_version") == 1


async def test_a_version_keeps_its_texts_and_their_hashes(desk: ConsentDesk) -> None:
    english, spanish = "# I agree\r\n\n\tto *this*.", "Estoy de acuerdo — 😀\u0301"
    texts = [text("en-us", english, format=pb.CONSENT_TEXT_FORMAT_MARKDOWN), text("ES", spanish)]
    version = await desk.publish_document((await desk.document()).id, texts=texts, earlier_signatures_stay_good=True)
    assert (version.number, list(version.language_codes)) == (1, ["en-US", "es"])
    assert (version.effective_date, version.earlier_signatures_stay_good) == (to_date(date(2027, 3, 1)), True)
    assert (version.publish_time.ToDatetime(tzinfo=UTC), version.published_by) == (desk.service.now, "user")
    for language, content, format in (
        ("en-US", english, pb.CONSENT_TEXT_FORMAT_MARKDOWN),
        ("es", spanish, pb.CONSENT_TEXT_FORMAT_PLAIN),
    ):
        got = await desk.get_version(version.id, language)
        assert got.consent_document_version == version
        assert got.text == text(language, content, format=format)
        assert got.content_hash == hashlib.sha256(content.encode()).hexdigest()


async def test_a_version_is_published_with_all_that_a_gate_needs(desk: ConsentDesk) -> None:
    document = await desk.document(state_code="NM")
    await desk.publish_document(document.id)
    version = await desk.publish_document(document.id, from_day=date(2027, 4, 1), earlier_signatures_stay_good=True)
    subject, event = (await desk.service.published())[-1]
    assert subject == "patients.v1.consent_document_version.published"
    assert (event.consent_document_version_id, event.consent_document_id) == (version.id, document.id)
    assert (event.document_code, event.state_code, event.version_number) == ("TREATMENT", "NM", 2)
    assert (event.effective_date, event.earlier_signatures_stay_good) == (to_date(date(2027, 4, 1)), True)
    assert event.meta.aggregate_version == 2
    assert b"agree" not in event.SerializeToString()


async def test_the_same_request_creates_publishes_and_retires_once(desk: ConsentDesk) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    document = await desk.document(request_id=ids[0])
    assert await desk.document(request_id=ids[0]) == document
    version = await desk.publish_document(document.id, request_id=ids[1])
    assert await desk.publish_document(document.id, request_id=ids[1]) == version
    retired = await desk.retire(document.id, request_id=ids[2])
    assert await desk.retire(document.id, request_id=ids[2]) == retired
    assert [await desk.service.count(f"consent_{kind}") for kind in ("document", "document_version")] == [1, 1]
    assert [subject.rpartition(".")[2] for subject in await desk.facts()] == ["published", "retired"]


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"texts": [text(), text("es"), text("EN-us")]}, [("texts[2].language_code", "LANGUAGE_TWICE")]),
        ({"from_day": date(2027, 2, 28)}, [("effective_date", "EFFECTIVE_DATE_PASSED")]),
    ],
)
async def test_a_version_that_cannot_be_is_refused(desk: ConsentDesk, changes: dict[str, Any], faults: Any) -> None:
    refused = await refusal(desk.publish_document((await desk.document()).id, **changes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CONSENT_VERSION_REFUSED")
    assert refused.faults == faults
    assert [await desk.service.count(f"consent_{kind}") for kind in ("document_version", "text")] == [0, 0]


async def test_a_day_has_passed_when_it_has_passed_everywhere_on_earth(desk: ConsentDesk) -> None:
    document, sunday = await desk.document(), date(2027, 2, 28)
    desk.service.clock.now = datetime(2027, 3, 1, 11, 59, tzinfo=UTC)
    await desk.publish_document(document.id, from_day=sunday)
    desk.service.clock.now = datetime(2027, 3, 1, 12, tzinfo=UTC)
    assert (await refusal(desk.publish_document(document.id, from_day=sunday))).reason == "CONSENT_VERSION_REFUSED"


async def test_a_version_begins_no_earlier_than_the_one_before_it(desk: ConsentDesk) -> None:
    document, may = await desk.document(), date(2027, 5, 1)
    await desk.publish_document(document.id, from_day=may)
    refused = await refusal(desk.publish_document(document.id, from_day=date(2027, 4, 30)))
    assert refused.faults == [("effective_date", "EFFECTIVE_DATE_BEFORE_LAST_VERSION")]
    assert (await desk.publish_document(document.id, from_day=may)).number == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"texts": []}, "texts"),
        ({"texts": [text("")]}, "texts[0].language_code"),
        ({"texts": [text("english")]}, "texts[0].language_code"),
        ({"texts": [text(content="")]}, "texts[0].content"),
        ({"texts": [text(content=" \n ")]}, "texts[0].content"),
        ({"texts": [text(content="a\x00b")]}, "texts[0].content"),
        ({"texts": [text(content="a\x85b")]}, "texts[0].content"),
        ({"texts": [text(content="x" * 100_001)]}, "texts[0].content"),
        ({"texts": [text(format=0)]}, "texts[0].format"),
        ({"texts": [text(f"e{chr(97 + n)}") for n in range(21)]}, "texts"),
        ({"effective_date": None}, "effective_date"),
        ({"effective_date": {"year": 2027, "month": 2, "day": 30}}, "effective_date"),
    ],
)
async def test_texts_and_days_that_break_a_rule_are_refused(desk: ConsentDesk, changes: Any, field: str) -> None:
    refused = await refusal(desk.publish_document((await desk.document()).id, **changes))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults[0][0] == field
    assert await desk.service.count("consent_document_version") == 0


async def test_a_text_of_100_000_characters_is_kept(desk: ConsentDesk) -> None:
    content = "ñ" * 100_000
    version = await desk.publish_document((await desk.document()).id, texts=[text(content=content)])
    assert (await desk.get_version(version.id)).text.content == content


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("es-MX", "es-MX"),
        ("ES-mx", "es-MX"),
        ("es-US", "es"),
        ("fr", "en-US"),
        ("", "en-US"),
        ("zh-Hant-TW", "zh-Hans"),
    ],
)
async def test_a_text_is_read_in_the_nearest_language(desk: ConsentDesk, wanted: str, found: str) -> None:
    texts = [text(language) for language in ("es", "es-MX", "en-US", "zh-Hans")]
    version = await desk.publish_document((await desk.document()).id, texts=texts)
    assert (await desk.get_version(version.id, wanted)).text.language_code == found


async def test_a_retired_document_is_published_and_retired_no_more(desk: ConsentDesk) -> None:
    version = await desk.published()
    retired = await desk.retire(version.consent_document_id)
    assert (retired.retire_time.ToDatetime(tzinfo=UTC), retired.retired_by) == (desk.service.now, "user")
    assert (await get(desk, retired.id)).consent_document == retired
    subject, event = (await desk.service.published())[-1]
    assert (subject, event.consent_document_id) == ("patients.v1.consent_document.retired", retired.id)
    assert (event.document_code, event.state_code, event.retire_time) == ("TREATMENT", "", retired.retire_time)
    assert event.meta.aggregate_version == 2
    for answer in (desk.publish_document(retired.id), desk.retire(retired.id)):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CONSENT_DOCUMENT_RETIRED")
        assert refused.metadata == {"consent_document_id": retired.id}
    assert await desk.service.count("consent_document_version") == 1


async def test_versions_come_the_latest_first(desk: ConsentDesk) -> None:
    document = await desk.document()
    assert len((await get(desk, document.id)).versions) == 0
    made = [await desk.publish_document(document.id) for _ in range(3)]
    assert [version.number for version in made] == [1, 2, 3]
    assert list((await get(desk, document.id)).versions) == made[::-1]


async def test_documents_come_by_code_and_state_in_pages(desk: ConsentDesk) -> None:
    for code, state in (("B", ""), ("A", "TX"), ("A", ""), ("A", "NM")):
        await desk.document(code=code, state_code=state)
    found, token = list[tuple[str, str]](), ""
    while True:
        page = await listed(desk, page_size=1, page_token=token)
        found += [(each.code, each.state_code) for each in page.consent_documents]
        if not (token := page.next_page_token):
            break
    assert found == [("A", ""), ("A", "NM"), ("A", "TX"), ("B", "")]
    assert (await refusal(listed(desk, page_token="x"))).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize("change", ["UPDATE {} SET chain_id = chain_id", "DELETE FROM {}"])
@pytest.mark.parametrize(
    "table", ["consent_document_version", "consent_text", "consent", "consent_withdrawal", "permission"]
)
async def test_what_is_published_or_signed_the_service_cannot_change(
    desk: ConsentDesk, table: str, change: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with desk.service.db.transaction(desk.service.inside("test")) as conn:
            await conn.execute(change.format(table))


async def test_the_database_keeps_no_text_with_another_ones_hash(desk: ConsentDesk) -> None:
    version = await desk.published()
    forged = "SELECT chain_id, version_id, 'es', format, 'Acepto.', content_hash FROM consent_text"
    with pytest.raises(asyncpg.CheckViolationError, match="consent_text_content_hash_check"):
        await desk.service.admin.execute(f"INSERT INTO consent_text {forged}")
    assert list((await get(desk, version.consent_document_id)).versions) == [version]
