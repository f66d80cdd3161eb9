"""All that chains have published and had signed, told anew."""

from typing import Any

import pytest

from atoll.patients.v1.events_pb2 import ConsentsRecounted, RecountedDocument
from chassis.ids import to_wire
from chassis.settings import SettingsRefused
from services.patients import recounting
from services.patients.__main__ import SERVICE
from services.patients.recounting import recount_all
from services.patients.settings import RecountSettings
from tests.support.patients_consents import ConsentDesk, desk

__all__ = ["desk"]


async def recounted(desk: ConsentDesk) -> list[ConsentsRecounted]:
    urls = desk.service.urls
    settings = RecountSettings(database_url=urls.service, sealer_database_url=urls.sealer)
    before = len(await desk.service.published())
    await recount_all(settings, lambda: desk.service.now)
    told = [event for _, event in (await desk.service.published())[before:]]
    assert {type(each) for each in told} == {ConsentsRecounted}
    return told


async def test_all_that_was_published_and_signed_is_told_as_it_stands(desk: ConsentDesk) -> None:
    document = await desk.document()
    first, second = [await desk.publish_document(document.id) for _ in range(2)]
    other = await desk.published(code="PRIVACY", state_code="CO")
    patient = await desk.create()
    signed, taken_back = await desk.sign(patient.id, second.id), await desk.sign(patient.id, other.id)
    withdrawn = await desk.withdraw(taken_back)
    retired = await desk.retire(other.consent_document_id)
    told = await recounted(desk)
    documents = {each.consent_document_id: each for part in told for each in part.documents}
    assert [(each.consent_document_version_id, each.version_number) for each in documents[document.id].versions] == [
        (first.id, 1),
        (second.id, 2),
    ]
    assert documents[document.id].document_code == "TREATMENT"
    assert not documents[document.id].HasField("retire_time")
    own = documents[other.consent_document_id]
    assert (own.state_code, own.retire_time) == ("CO", retired.retire_time)
    [stands, gone] = [each for part in told for each in part.signatures]
    assert (stands.consent_id, stands.patient_id, stands.version_number) == (signed.id, patient.id, 2)
    assert (stands.consent_document_id, stands.sign_time) == (document.id, signed.sign_time)
    assert not stands.HasField("withdraw_time")
    assert (gone.consent_id, gone.withdraw_time) == (withdrawn.id, withdrawn.withdraw_time)


async def test_the_last_part_alone_says_that_all_is_told(desk: ConsentDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recounting, "SIGNATURES_AT_ONCE", 2)
    monkeypatch.setattr(recounting, "DOCUMENTS_AT_ONCE", 1)
    versions = [await desk.published(code=code) for code in ("A", "B", "C", "D")]
    patient = await desk.create()
    signed = [(await desk.sign(patient.id, version.id)).id for version in versions]
    told = await recounted(desk)
    assert [(len(each.documents), len(each.signatures)) for each in told] == [*[(1, 0)] * 4, (0, 2), (0, 2), (0, 0)]
    assert [each.complete for each in told] == [False] * 6 + [True]
    assert [each.consent_id for part in told for each in part.signatures] == signed


async def test_each_chain_is_told_of_its_own(desk: ConsentDesk) -> None:
    token, ours = desk.of_other_chain(), await desk.published()
    theirs = await desk.publish_document((await desk.document(token)).id, token)
    told = [
        (part.meta.chain_id == to_wire("chain", desk.service.chain_id), each.consent_document_id, part.complete)
        for part in await recounted(desk)
        for each in part.documents or [RecountedDocument()]
    ]
    assert sorted(told) == sorted(
        [
            (True, ours.consent_document_id, False),
            (True, "", True),
            (False, theirs.consent_document_id, False),
            (False, "", True),
        ]
    )


def test_the_command_says_which_setting_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.maintenance.configure_process", lambda _: None)  # It lasts.
    monkeypatch.delenv("ATOLL_DATABASE_URL", raising=False)
    command: Any = SERVICE.commands["recount"]
    with pytest.raises(SettingsRefused):
        command(SERVICE)
