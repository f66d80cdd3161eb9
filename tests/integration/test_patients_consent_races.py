"""Two at once around one document or one patient, held at the point where it matters."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from atoll.patients.v1 import consent_service_pb2 as pb
from chassis.ids import from_wire, to_wire
from services.patients.domain.consents import (
    ConsentAlreadyGiven,
    ConsentNotStanding,
    ConsentVersionNotCurrent,
    Method,
    Relationship,
    Signature,
    Signing,
)
from services.patients.domain.documents import ConsentDocumentRetired, ConsentText, TextFormat
from services.patients.store import PatientsStore
from services.patients.use_cases import consents, documents
from services.patients.use_cases.consents import SignConsent, WithdrawConsent
from tests.support.patients_consents import ConsentDesk, desk
from tests.support.service import refusal

__all__ = ["desk"]

Work = Callable[[PatientsStore], Awaitable[Any]]
TODAY = date(2027, 3, 1)


async def once(desk: ConsentDesk, work: Work, store: type[PatientsStore] = PatientsStore, *locks: UUID) -> None:
    """Round the door, with no locks but those named."""
    request = pb.SignConsentRequest(request_id=str(uuid4()))
    call = desk.service.inside("Test", request.request_id)

    async def answered(inner: PatientsStore) -> pb.SignConsentResponse:
        await work(inner)
        return pb.SignConsentResponse()

    await desk.service.db.once(call, request, pb.SignConsentResponse, store, answered, locks=locks)


def signs(desk: ConsentDesk, patient_id: str, version_id: str) -> Work:
    command = SignConsent(
        patient_id=from_wire("patient", patient_id),
        site_id=desk.site_id,
        version_id=from_wire("consentdocumentversion", version_id),
        signer_name="Ana Ruiz",
        signing=Signing("en-US", Relationship.SELF, Method.ELECTRONIC, "", None, by_patient=False),
    )
    return lambda store: consents.sign_consent(store, command)


def publishes(document_id: str) -> Work:
    texts = [ConsentText("en-US", TextFormat.PLAIN, "I agree, again.")]
    id = from_wire("consentdocument", document_id)
    return lambda store: documents.publish_version(store, id, texts, TODAY, earlier_signatures_stay_good=False)


def retires(document_id: str) -> Work:
    id = from_wire("consentdocument", document_id)
    return lambda store: documents.retire_document(store, id)


async def second_waits_for_first(desk: ConsentDesk, first: Work, second: Work) -> BaseException | None:
    """How the second ends, which began while the first had done its work and had not committed."""
    worked, commit = asyncio.Event(), asyncio.Event()

    async def work_and_wait(store: PatientsStore) -> None:
        await first(store)
        worked.set()
        await commit.wait()

    tasks = [asyncio.create_task(once(desk, work_and_wait))]
    await worked.wait()
    tasks.append(asyncio.create_task(once(desk, second)))
    try:
        await until_a_lock_is_awaited(desk)
    finally:
        commit.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] is None
    return answers[1]


async def until_a_lock_is_awaited(desk: ConsentDesk) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(300):
        if await desk.service.admin.fetchval(waiting):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_whoever_signs_while_a_version_is_published_is_told_of_it(desk: ConsentDesk) -> None:
    patient, read = await desk.create(), await desk.published()
    ended = await second_waits_for_first(desk, publishes(read.consent_document_id), signs(desk, patient.id, read.id))
    assert isinstance(ended, ConsentVersionNotCurrent)
    published = await desk.service.admin.fetchval("SELECT id FROM consent_document_version WHERE number = 2")
    assert ended.metadata == {"current_version_id": to_wire("consentdocumentversion", published)}
    assert await desk.service.count("consent") == 0


async def test_whoever_signs_while_the_state_gets_a_document_of_its_own_is_told_of_it(desk: ConsentDesk) -> None:
    patient, read, of_state = await desk.create(), await desk.published(), await desk.document(state_code="CO")
    ended = await second_waits_for_first(desk, publishes(of_state.id), signs(desk, patient.id, read.id))
    assert isinstance(ended, ConsentVersionNotCurrent)
    assert [each.rule for each in ended.violations] == ["STATE_HAS_ITS_OWN"]
    assert await desk.service.count("consent") == 0


async def test_whoever_signs_while_the_document_is_retired_is_told_of_it(desk: ConsentDesk) -> None:
    patient, read = await desk.create(), await desk.published()
    ended = await second_waits_for_first(desk, retires(read.consent_document_id), signs(desk, patient.id, read.id))
    assert isinstance(ended, ConsentVersionNotCurrent)
    assert await desk.service.count("consent") == 0


async def test_a_version_is_published_after_those_who_sign_the_one_before(desk: ConsentDesk) -> None:
    patient, read = await desk.create(), await desk.published()
    signing = signs(desk, patient.id, read.id)
    assert await second_waits_for_first(desk, signing, publishes(read.consent_document_id)) is None
    assert await desk.stands(patient.id) == {"TREATMENT": "OUTDATED"}


async def test_of_two_who_publish_each_gets_a_number_of_its_own(desk: ConsentDesk) -> None:
    document = await desk.document()
    assert await second_waits_for_first(desk, publishes(document.id), publishes(document.id)) is None
    numbers = await desk.service.admin.fetch("SELECT number FROM consent_document_version ORDER BY number")
    assert [row["number"] for row in numbers] == [1, 2]


async def test_of_two_who_retire_the_second_sees_that_it_is_late(desk: ConsentDesk) -> None:
    document = await desk.document()
    ended = await second_waits_for_first(desk, retires(document.id), retires(document.id))
    assert isinstance(ended, ConsentDocumentRetired)


async def test_two_patients_sign_a_document_without_waiting_for_each_other(desk: ConsentDesk) -> None:
    one, other, version = await desk.create(), await desk.create(), await desk.published()
    both_have_worked = asyncio.Barrier(2)

    def signs_and_waits(patient_id: str) -> Work:
        async def work(store: PatientsStore) -> None:
            await signs(desk, patient_id, version.id)(store)
            await both_have_worked.wait()

        return work

    async with asyncio.timeout(5):
        await asyncio.gather(*(once(desk, signs_and_waits(each.id)) for each in (one, other)))
    assert await desk.service.count("consent") == 2


async def test_of_two_signatures_that_both_saw_none_the_database_refuses_one(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    both_have_read = asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def last_signature(self, patient_id: UUID, document_id: UUID) -> Signature | None:
            found = await super().last_signature(patient_id, document_id)
            await both_have_read.wait()
            return found

    work = signs(desk, patient.id, version.id)
    answers = await asyncio.gather(*(once(desk, work, Hesitant) for _ in range(2)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer] == [ConsentAlreadyGiven]
    await one_current_consent(desk, patient.id)


async def test_of_two_signatures_at_once_the_second_is_told_that_it_is_given(desk: ConsentDesk) -> None:
    """At the door, where the patient's lock is taken: the second waits, and then reads the first."""
    patient, version = await desk.create(), await desk.published()
    worked, commit = asyncio.Event(), asyncio.Event()

    async def sign_and_wait(store: PatientsStore) -> None:
        await signs(desk, patient.id, version.id)(store)
        worked.set()
        await commit.wait()

    first = asyncio.create_task(once(desk, sign_and_wait, PatientsStore, from_wire("patient", patient.id)))
    await worked.wait()
    second = asyncio.create_task(reason_of(desk.sign(patient.id, version.id)))
    await until_a_lock_is_awaited(desk)
    assert await desk.service.admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    ) == 1  # fmt: skip
    commit.set()
    await first
    given = await desk.service.admin.fetchval("SELECT id FROM consent")
    assert await second == ("CONSENT_ALREADY_GIVEN", {"consent_id": to_wire("consent", given)})
    await one_current_consent(desk, patient.id)


async def test_a_withdrawal_at_the_door_waits_for_another_signature(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    newer = await desk.publish_document(version.consent_document_id)
    worked, commit = asyncio.Event(), asyncio.Event()

    async def sign_and_wait(store: PatientsStore) -> None:
        await signs(desk, patient.id, newer.id)(store)
        worked.set()
        await commit.wait()

    first = asyncio.create_task(once(desk, sign_and_wait, PatientsStore, from_wire("patient", patient.id)))
    await worked.wait()
    second = asyncio.create_task(reason_of(desk.withdraw(signed)))
    await until_a_lock_is_awaited(desk)
    commit.set()
    await first
    assert (await second)[0] == "CONSENT_NOT_STANDING"
    assert await desk.stands(patient.id) == {"TREATMENT": "CURRENT"}
    assert await desk.service.count("consent_withdrawal") == 0


async def test_of_two_withdrawals_that_both_saw_none_the_database_refuses_one(desk: ConsentDesk) -> None:
    patient, version = await desk.create(), await desk.published()
    signed = await desk.sign(patient.id, version.id)
    both_have_read = asyncio.Barrier(2)

    class Hesitant(PatientsStore):
        async def last_signature(self, patient_id: UUID, document_id: UUID) -> Signature | None:
            found = await super().last_signature(patient_id, document_id)
            await both_have_read.wait()
            return found

    consent_id = from_wire("consent", signed.id)
    command = WithdrawConsent(from_wire("patient", patient.id), consent_id, desk.site_id, "no longer")
    answers = await asyncio.gather(
        *(once(desk, lambda store: consents.withdraw_consent(store, command), Hesitant) for _ in range(2)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if answer] == [ConsentNotStanding]
    assert await desk.service.count("consent_withdrawal") == 1


async def test_of_two_documents_of_one_code_at_once_the_database_keeps_one(desk: ConsentDesk) -> None:
    answers = await asyncio.gather(*(desk.document() for _ in range(4)), return_exceptions=True)
    assert [isinstance(answer, BaseException) for answer in answers].count(False) == 1
    assert await desk.service.count("consent_document") == 1


async def one_current_consent(desk: ConsentDesk, patient_id: str) -> None:
    assert await desk.stands(patient_id) == {"TREATMENT": "CURRENT"}
    assert len((await desk.list_consents(patient_id)).consents) == 1


async def reason_of(answer: Awaitable[object]) -> tuple[str, dict[str, str]]:
    refused = await refusal(answer)
    return refused.reason, refused.metadata
