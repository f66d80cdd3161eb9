"""Records taken away: through the door, and into files."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from grpc import StatusCode

from atoll.patients.v1 import export_service_pb2 as pb
from atoll.patients.v1.access_service_pb2 import AccessKind
from atoll.patients.v1.export_service_pb2_grpc import ExportServiceStub
from chassis.ids import from_wire, new_id, to_wire
from cli.client import Client, Refused
from cli.exporting.chain import ChainExport
from cli.exporting.command import patient_lines
from cli.exporting.resources import TYPES
from cli.importing import Assignment, Outcome, import_fhir
from deploy.local.process import LocalError
from services.patients.store.exports import EXPORTED_AFTER, KINDS
from tests.integration.test_import_fhir import at_first_site
from tests.integration.test_patients_speed import MANY, explained, most_rows
from tests.support.fhir import check_resource
from tests.support.others import SHARED
from tests.support.patients import Desk, desk
from tests.support.patients_access import accesses
from tests.support.patients_parts import several_many
from tests.support.patients_questionnaires import choice, content, number, question
from tests.support.service import refusal

__all__ = ["desk"]


FLAGGED = """
    WITH taken AS (INSERT INTO measure SELECT $1, gen_random_uuid(), id, $2, NULL, NULL, 'PHQ_9', now(),
        '{"item_scores": [0, 0, 0, 0, 0, 0, 0, 0, 1]}', 1, 'dr', now() FROM patient RETURNING id, patient_id)
    INSERT INTO safety_flag SELECT $1, gen_random_uuid(), patient_id, $2, id, 'SELF_HARM', now(), NULL, NULL, ''
    FROM taken
"""
"""Each patient once."""


def stream(desk: Desk, method: str, request: Any, token: str | None = None) -> Any:
    metadata = [("authorization", f"Bearer {token or desk.service.token()}")]
    return getattr(desk.service.stub(ExportServiceStub), method)(request, metadata=metadata, timeout=20)


async def exported(desk: Desk, patient_id: str, token: str | None = None) -> list[pb.PatientExport]:
    request = pb.ExportPatientRequest(patient_id=patient_id)
    return [answer.patient_export async for answer in stream(desk, "ExportPatient", request, token)]


async def all_exported(desk: Desk, token: str | None = None, after: str = "") -> list[pb.ExportPatientsResponse]:
    request = pb.ExportPatientsRequest(resume_token=after)
    return [answer async for answer in stream(desk, "ExportPatients", request, token)]


async def refused(answers: Any) -> str:
    return (await refusal(answers)).reason


def client(desk: Desk) -> Client:
    chain = to_wire("chain", desk.service.chain_id)
    return Client.issued(desk.service.channel, desk.service.issuer, "export", chain, {"ROLE_CHAIN_ADMIN": ["*"]})


async def test_a_record_is_exported_with_what_belongs_to_it_whichever_site_wrote_it(desk: Desk) -> None:
    sites = [to_wire("site", desk.other_site_id)]
    created = await desk.create(site_ids=sites)
    first = await desk.screen(created.id)
    second = await desk.screen(created.id, site_id=sites[0])
    granted = await desk.clear(created.id, site_id=sites[0])
    other = await desk.create()
    await desk.screen(other.id)
    [export] = await exported(desk, created.id, desk.service.token("ROLE_FRONT_DESK", sites=[desk.site_id]))
    assert export.patient_id == created.id
    assert (export.patient.mrn, list(export.patient.given_names)) == (created.mrn, ["Ana"])
    assert [each.id for each in export.screenings] == [first.id, second.id]
    assert [each.id for each in export.clearances] == [granted.id]


async def test_an_export_of_one_is_audited_and_one_of_none_is_not(desk: Desk) -> None:
    created = await desk.create()
    await exported(desk, created.id)
    assert await refused(exported(desk, to_wire("patient", new_id()))) == "PATIENT_NOT_FOUND"
    rows = await desk.service.admin.fetch("SELECT kind, ids FROM audit WHERE method LIKE '%ExportPatient'")
    assert [(row["kind"], json.loads(row["ids"])["patient_id"]) for row in rows] == [("AUDIT_PHI_READ", created.id)]


async def test_who_does_not_see_a_record_cannot_export_it(desk: Desk) -> None:
    created = await desk.create()
    assert await refused(exported(desk, created.id, desk.at_other_site())) == "PATIENT_NOT_FOUND"
    assert await refused(exported(desk, created.id, desk.of_other_chain())) == "PATIENT_NOT_FOUND"


@pytest.mark.parametrize("role", ["ROLE_NURSE", "ROLE_CLINICIAN", "ROLE_BILLING", "ROLE_AUDITOR", "ROLE_INTEGRATION"])
async def test_a_record_is_handed_out_by_the_desk_and_no_other(desk: Desk, role: str) -> None:
    created = await desk.create()
    assert await refused(exported(desk, created.id, desk.service.token(role))) == "ACCESS_DENIED"


async def test_a_patient_takes_their_own_record_and_no_other(desk: Desk) -> None:
    own, other = await desk.create(), await desk.create()
    await desk.screen(own.id)
    token = desk.service.token("ROLE_PATIENT", patient=own.id)
    [export] = await exported(desk, own.id, token)
    assert (export.patient.id, len(export.screenings)) == (own.id, 1)
    assert await refused(exported(desk, other.id, token)) == "ACCESS_DENIED"
    assert await refused(all_exported(desk, token)) == "ACCESS_DENIED"


@pytest.mark.parametrize("role", ["ROLE_SITE_MANAGER", "ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_INTEGRATION"])
async def test_a_chain_is_exported_by_its_admin_only(desk: Desk, role: str) -> None:
    assert await refused(all_exported(desk, desk.service.token(role))) == "ACCESS_DENIED"
    assert await desk.service.count("audit") == 0


async def test_a_chain_is_exported_in_the_order_of_its_records_and_ends_complete(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.patients.rpc.exports.RECORDS_AT_ONCE", 2)
    created = [await desk.create(given_names=[name]) for name in ("Ana", "Bea", "Eva", "Ida")]
    for each in created[1:3]:
        await desk.screen(each.id)
        await desk.clear(each.id)
    *answers, last = await all_exported(desk)
    assert [answer.patient_export.patient.given_names[0] for answer in answers] == ["Ana", "Bea", "Eva", "Ida"]
    assert [len(answer.patient_export.screenings) for answer in answers] == [0, 1, 1, 0]
    assert [len(answer.patient_export.clearances) for answer in answers] == [0, 1, 1, 0]
    assert [answer.resume_token for answer in answers] == [each.id for each in created]
    assert (last.complete, last.HasField("patient_export"), last.resume_token) == (True, False, "")
    assert not any(answer.complete for answer in answers)


async def test_an_export_goes_on_behind_the_token_and_takes_who_was_made_meanwhile(desk: Desk) -> None:
    first, second = await desk.create(), await desk.create()
    third = await desk.create()
    answers = await all_exported(desk, after=first.id)
    assert [answer.patient_export.patient_id for answer in answers] == [second.id, third.id, ""]
    assert [answer.complete for answer in await all_exported(desk, after=third.id)] == [True]


async def test_an_export_of_a_chain_names_all_whom_it_shows_on_the_audit_trail_as_they_are_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.patients.rpc.exports.RECORDS_AT_ONCE", 2)
    created = [(await desk.create(given_names=[name])).id for name in ("Ana", "Bea", "Eva")]
    await desk.screen(created[0])
    await all_exported(desk)
    await all_exported(desk, after=created[0])
    rows = await desk.service.admin.fetch(
        "SELECT kind, ids FROM audit WHERE method LIKE '%ExportPatients' ORDER BY position"
    )
    assert {row["kind"] for row in rows} == {"AUDIT_PHI_READ"}
    shown = [[to_wire("patient", UUID(id)) for id in json.loads(row["ids"]).get("subjects", ())] for row in rows]
    assert shown == [created[:2], created[2:], created[1:], []]


async def test_who_is_exported_with_the_chain_has_it_in_their_report(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.patients.rpc.exports.RECORDS_AT_ONCE", 1)
    created = [await desk.create(given_names=[name]) for name in ("Ana", "Bea")]
    await all_exported(desk)
    for each in created:
        latest = (await accesses(desk, each.id)).accesses[0]
        assert (AccessKind.Name(latest.kind), list(latest.roles)) == ("ACCESS_KIND_EXPORTED", ["CHAIN_ADMIN"])


async def test_a_token_that_is_none_is_refused(desk: Desk) -> None:
    for token in ("7", to_wire("site", new_id()), "patient_" + "!" * 26):
        found = await refusal(all_exported(desk, after=token))
        assert found.code is StatusCode.INVALID_ARGUMENT


async def test_another_chain_exports_none_of_it(desk: Desk) -> None:
    await desk.create()
    [answer] = await all_exported(desk, desk.of_other_chain())
    assert answer.complete


async def test_a_long_record_comes_in_parts_and_is_whole_behind_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.patients.domain.exports.PART_MAX", 2)
    created = await desk.create()
    screenings = [(await desk.screen(created.id)).id for _ in range(5)]
    await desk.clear(created.id)
    parts = await exported(desk, created.id)
    assert [part.HasField("patient") for part in parts] == [True, False, False]
    assert [[each.id for each in part.screenings] for part in parts] == [
        screenings[:2],
        screenings[2:4],
        screenings[4:],
    ]
    assert [len(part.clearances) for part in parts] == [1, 0, 0]
    answers = await all_exported(desk)
    assert [answer.resume_token for answer in answers] == ["", "", created.id, ""]


@several_many
async def test_exports_find_rows_by_an_index_among_many_patients(desk: Desk, many: int) -> None:
    await desk.service.admin.execute(MANY, desk.service.chain_id, desk.site_id, many)
    await desk.service.admin.execute(FLAGGED, desk.service.chain_id, desk.site_id)
    await desk.service.admin.execute("ANALYZE")
    ids = [row["id"] for row in await desk.service.admin.fetch("SELECT id FROM patient ORDER BY id LIMIT 50")]
    for statement, values in (
        (EXPORTED_AFTER, {"after": ids[0], "limit": 50}),
        *((entries, {"patient_ids": ids}) for entries, _ in KINDS.values()),
    ):
        assert most_rows(await explained(desk, statement, values)) <= 200


async def test_one_record_becomes_lines_of_valid_resources(desk: Desk) -> None:
    created = await desk.create(identifiers=[{"system": "urn:old", "value": "1"}])
    answers = [
        {"question_code": "psychosis", "bool_value": False},
        {"question_code": "failed", "int_value": 2},
        {"question_code": "use", "option_code": "past"},
        {"question_code": "last_use", "date_value": {"year": 2024, "month": 2, "day": 29}},
        {"question_code": "medication", "text_value": "nöne\nat all"},
    ]
    questions = [
        question("psychosis"),
        number("failed", 0, 20),
        choice("use", "none", "past"),
        question("last_use", "DATE"),
        question("medication", "TEXT", max_length=20),
    ]
    protocol_id = to_wire("protocol", new_id())
    version_id = (await desk.asks(protocol_id, content(questions))).id
    told = {"protocol_id": protocol_id, "questionnaire_version_id": version_id}
    screened = await desk.screen(created.id, answers=answers, **told)
    granted = await desk.clear(created.id, protocol_id=screened.protocol_id, screening_id=screened.id)
    await desk.revoke(granted.id)
    lines = [json.loads(line) async for line in patient_lines(client(desk), created.id)]
    for line in lines:
        check_resource(line)
    patient, response, basic = lines
    assert patient["id"] == created.id.replace("_", "-")
    assert response["subject"] == basic["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert response["item"] == [
        {"linkId": "psychosis", "answer": [{"valueBoolean": False}]},
        {"linkId": "failed", "answer": [{"valueInteger": 2}]},
        {"linkId": "use", "answer": [{"valueCoding": {"code": "past"}}]},
        {"linkId": "last_use", "answer": [{"valueDate": "2024-02-29"}]},
        {"linkId": "medication", "answer": [{"valueString": "nöne\nat all"}]},
    ]
    urls = [each["url"].rpartition(":")[2] for each in basic["extension"]]
    assert urls == ["site", "protocol", "route", "period", "screening", "revoked"]


class Cut:
    """The client, whose first streams break off after a few answers each."""

    def __init__(self, inner: Client, *after: int) -> None:
        self._inner, self._after, self.opened = inner, list(after), list[str]()

    async def stream(self, stub_type: Any, method: str, request: Any) -> AsyncIterator[Any]:
        self.opened.append(request.resume_token)
        left = self._after.pop(0) if self._after else 1_000_000
        async for answer in self._inner.stream(stub_type, method, request):
            if not left:
                return
            left -= 1
            yield answer


def written(folder: Path) -> dict[str, list[Any]]:
    return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in folder.glob("*.ndjson")}


def kept(folder: Path) -> dict[str, int]:
    """Files with who may read them."""
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_a_chain_fills_a_file_for_each_type_though_streams_break_off(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.patients.domain.exports.PART_MAX", 1)
    created = [await desk.create() for _ in range(4)]
    for _ in range(3):
        await desk.screen(created[1].id)
    await desk.clear(created[2].id)
    cut, export = Cut(client(desk), 2, 1), ChainExport(tmp_path, {})
    await export.run(cut)
    assert cut.opened == ["", created[0].id, created[0].id]
    found = written(tmp_path)
    assert [each["id"] for each in found["Patient"]] == [each.id.replace("_", "-") for each in created]
    assert [len(found[type_]) for type_ in ("QuestionnaireResponse", "Basic")] == [3, 1]
    assert (export.records, export.counts) == (4, {"Patient": 4, "QuestionnaireResponse": 3, "Basic": 1})
    assert kept(tmp_path) == dict.fromkeys((f"{type_}.ndjson" for type_ in TYPES), 0o600)


async def test_an_export_that_was_cut_off_goes_on_in_another_process(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = [await desk.create() for _ in range(5)]

    class Killed(Cut):
        async def stream(self, stub_type: Any, method: str, request: Any) -> AsyncIterator[Any]:
            async for answer in super().stream(stub_type, method, request):
                yield answer
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await ChainExport(tmp_path, {"edge": "a"}).run(Killed(client(desk), 3))
    with (tmp_path / "Patient.ndjson").open("a") as file:
        file.write('{"half of a li')
    other = ChainExport(tmp_path, {"edge": "b"})
    with pytest.raises(LocalError, match="another chain or API"):
        other.resume()
    export, cut = ChainExport(tmp_path, {"edge": "a"}), Cut(client(desk))
    assert (export.resume(), export.records) == (True, 3)
    await export.run(cut)
    assert cut.opened == [created[2].id]
    assert [each["id"] for each in written(tmp_path)["Patient"]] == [each.id.replace("_", "-") for each in created]
    assert not ChainExport(tmp_path, {"edge": "a"}).resume()


async def test_a_refusal_ends_an_export(desk: Desk, tmp_path: Path) -> None:
    service = desk.service
    token = service.token("ROLE_FRONT_DESK")
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await ChainExport(tmp_path, {}).run(Client(service.channel, lambda: token))


@pytest.mark.others
async def test_what_others_made_is_exported_valid_and_imported_into_another_chain_the_same(
    desk: Desk, tmp_path: Path
) -> None:
    examples = sorted((SHARED / "hl7-examples").glob("Patient-*.json"))
    first = await import_fhir(_importing(desk), [SHARED / "synthea" / "fhir", *examples], assign=at_first_site(desk))
    await ChainExport(tmp_path / "out", {}).run(client(desk))
    resources = written(tmp_path / "out")["Patient"]
    assert len(resources) == first.count(Outcome.CREATED) == 43
    for resource in resources:
        check_resource(resource)
    assert (await _again(desk, tmp_path)).count(Outcome.ALREADY_THERE) == 43

    other_chain = new_id()
    site_id = from_wire("site", to_wire("site", desk.site_id))
    await desk.service.admin.execute("INSERT INTO site VALUES ($1, $2, 'America/Denver')", other_chain, site_id)
    desk.service.chain_id = other_chain
    assert (await _again(desk, tmp_path)).count(Outcome.CREATED) == 43
    await ChainExport(tmp_path / "other", {}).run(client(desk))
    assert list(map(_bare, written(tmp_path / "other")["Patient"])) == list(map(_bare, resources))


def _importing(desk: Desk) -> Client:
    chain = to_wire("chain", desk.service.chain_id)
    return Client.issued(desk.service.channel, desk.service.issuer, "import", chain, {"ROLE_INTEGRATION": ["*"]})


async def _again(desk: Desk, folder: Path) -> Any:
    file = folder / "out" / "Patient.ndjson"
    return await import_fhir(_importing(desk), [file], assign=lambda n, row: Assignment(to_wire("site", desk.site_id)))


def _bare(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}
