"""`import_fhir` against the running service: files in, patients and a report out."""

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from atoll.patients.v1 import patient_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, CONTACT_USE_OLD
from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.ids import new_id, to_wire
from cli.client import Client
from cli.importing import Assignment, Entry, ImportedPatient, Outcome, Report, import_fhir
from cli.importing.batches import BATCH_BYTES_MAX, ROWS_MAX
from tests.support.others import SHARED
from tests.support.patients import Desk, desk
from tests.unit.test_fhir import ANA, bundle

__all__ = ["desk"]


class Counting:
    """The client, and what went through it."""

    def __init__(self, client: Client) -> None:
        self._client, self.batches = client, list[pb.ImportPatientsRequest]()

    async def call(self, stub_type: Any, method: str, request: Any) -> Any:
        if isinstance(request, pb.ImportPatientsRequest):
            self.batches.append(request)
        return await self._client.call(stub_type, method, request)


def client(desk: Desk) -> Counting:
    chain = to_wire("chain", desk.service.chain_id)
    return Counting(
        Client.issued(desk.service.channel, desk.service.issuer, "import", chain, {"ROLE_INTEGRATION": ["*"]})
    )


def at_first_site(desk: Desk) -> Callable[[int, ImportedPatient], Assignment]:
    return lambda number, patient: Assignment(to_wire("site", desk.site_id))


async def imported(desk: Desk, *files: Path) -> Report:
    return await import_fhir(client(desk), files, assign=at_first_site(desk))


def patient(number: int, **changes: Any) -> dict[str, Any]:
    return ANA | {"identifier": [{"system": "urn:old", "value": str(number)}]} | changes


def outcomes(report: Report) -> list[tuple[str, int, str, list[str]]]:
    return [
        (Path(entry.file).name, entry.row, entry.outcome.value, [fault.rule for fault in entry.faults])
        for entry in report.entries
    ]


async def test_what_was_true_once_is_imported_as_what_was(desk: Desk, tmp_path: Path) -> None:
    """So that no message goes to a number that is somebody else's since."""
    phone = {"system": "phone", "value": "505 842 2000", "period": {"end": "2014"}}
    survivor = patient(1, id="1", link=[{"other": {"reference": "Patient/2"}, "type": "replaces"}], telecom=[phone])
    gone = patient(2, id="2", link=[{"other": {"reference": "Patient/1"}, "type": "replaced-by"}])
    gone["telecom"] = [phone | {"value": "505 842 2001"}]
    lines = "\n".join(map(json.dumps, (survivor, gone)))
    (tmp_path / "patients.ndjson").write_text(lines)
    report = await imported(desk, tmp_path / "patients.ndjson")
    points = (await desk.get(report.patient_ids[0])).contact_points
    assert [(point.value, point.use) for point in points] == [
        ("+15058422000", CONTACT_USE_OLD),
        ("+15058422001", CONTACT_USE_OLD),
    ]


async def test_bundles_single_resources_and_lines_are_imported(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(bundle(patient(1), {"resourceType": "Encounter"}))
    (tmp_path / "b.json").write_text(json.dumps(patient(2)))
    lines = [patient(3), {"resourceType": "Slot"}, patient(4)]
    (tmp_path / "c.ndjson").write_text("\n\n".join(map(json.dumps, lines)))
    (tmp_path / "d.json").write_bytes(bundle(patient(5), patient(6), type_="searchset"))
    (tmp_path / "notes.txt").write_text("no FHIR")
    report = await imported(desk, tmp_path)
    assert outcomes(report) == [
        ("a.json", 1, "created", []),
        ("b.json", 1, "created", []),
        ("c.ndjson", 1, "created", []),
        ("c.ndjson", 3, "skipped", []),
        ("c.ndjson", 5, "created", []),
        ("d.json", 1, "created", []),
        ("d.json", 2, "created", []),
    ]
    assert sum((Counter(entry.others) for entry in report.entries), Counter()) == {"Encounter": 1, "Slot": 1}
    identifiers = [(await desk.get(patient_id)).identifiers[0].value for patient_id in report.patient_ids]
    assert identifiers == ["1", "2", "3", "4", "5", "6"]


async def test_an_import_run_again_adds_nothing_and_names_the_same_patients(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("\n".join(json.dumps(patient(n)) for n in range(3)))
    first, second = await imported(desk, tmp_path), await imported(desk, tmp_path)
    assert (first.count(Outcome.CREATED), second.count(Outcome.ALREADY_THERE)) == (3, 3)
    assert second.patient_ids == first.patient_ids
    assert await desk.service.count("patient") == 3


async def test_broken_documents_and_bad_rows_harm_no_other(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"resourceType": "Bundle", "entry": [')
    (tmp_path / "2.json").write_bytes(bundle(patient(1), patient(2)))
    (tmp_path / "3.json").write_bytes(bundle({"resourceType": "Encounter"}))
    (tmp_path / "4.json").write_bytes(b'{"resourceType": "Patient", "id": "\xff"}')
    (tmp_path / "5.json").write_text(json.dumps(patient(3, birthDate="1899-12-31")))
    (tmp_path / "6.json").write_text(json.dumps(patient(4, name=[{"family": "Ru\x00iz"}])))
    (tmp_path / "7.json").write_text(json.dumps(patient(5, birthDate="2030-02-30")))
    (tmp_path / "8.json").write_text(json.dumps(patient(6)))
    report = await imported(desk, tmp_path)
    assert [(name, outcome, rules) for name, _, outcome, rules in outcomes(report)] == [
        ("1.json", "refused", ["NOT_JSON"]),
        ("2.json", "refused", ["TWO_PATIENTS"]),
        ("3.json", "refused", ["NO_PATIENT"]),
        ("4.json", "refused", ["NOT_UTF8"]),
        ("5.json", "refused", ["BIRTH_DATE_TOO_EARLY"]),
        ("6.json", "refused", ["string.pattern"]),
        ("7.json", "refused", ["date.exists"]),
        ("8.json", "created", []),
    ]
    assert [fault.field for entry in report.entries[4:7] for fault in entry.faults] == [
        "birthDate", "name[0].family", "birthDate",
    ]  # fmt: skip
    assert await desk.service.count("patient") == 1


async def test_a_document_or_line_that_is_too_large_is_refused_and_the_next_is_read(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.documents.DOCUMENT_BYTES_MAX", 1000)
    (tmp_path / "a.json").write_bytes(b"[" + b" " * 1000 + b"]")
    with (tmp_path / "b.ndjson").open("wb") as file:
        file.write(b'"' + b"x" * 2500 + b'"\n')
        file.write(json.dumps(patient(1)).encode())
    assert outcomes(await imported(desk, tmp_path)) == [
        ("a.json", 1, "refused", ["TOO_LARGE"]),
        ("b.ndjson", 1, "refused", ["TOO_LARGE"]),
        ("b.ndjson", 2, "created", []),
    ]


async def test_batches_hold_200_rows_and_fit_a_message(desk: Desk, tmp_path: Path) -> None:
    few = [json.dumps(patient(n)) for n in range(201)]
    long = [{"system": "email", "value": "x" * 500}] * 20
    big = [json.dumps(patient(1000 + n, telecom=long)) for n in range(120)]
    (tmp_path / "a.ndjson").write_text("\n".join(few + big))
    counting = client(desk)
    report = await import_fhir(counting, [tmp_path], assign=at_first_site(desk))
    assert report.count(Outcome.CREATED) == 321
    assert max(len(batch.rows) for batch in counting.batches) == ROWS_MAX
    assert max(batch.ByteSize() for batch in counting.batches) <= BATCH_BYTES_MAX + 100
    assert len(counting.batches) == 3


async def test_the_caller_assigns_sites_zones_and_addresses_to_those_without(desk: Desk, tmp_path: Path) -> None:
    own = [{"system": "email", "value": "own@example.org"}]
    lines = [patient(1), {"resourceType": "Patient"}, patient(2, telecom=own), patient(3)]
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
    sites = [to_wire("site", desk.site_id), to_wire("site", desk.other_site_id)]

    def assign(number: int, row: ImportedPatient) -> Assignment:
        return Assignment(sites[number % 2], "America/Chicago" if row.row == 4 else "", f"p{number}@example.org")

    report = await import_fhir(client(desk), [tmp_path], assign=assign)
    assert [entry.home_site_id for entry in report.entries] == [sites[0], "", sites[1], sites[0]]
    found = [await desk.get(patient_id) for patient_id in report.patient_ids]
    emails = [[point.value for point in each.contact_points if point.system == CONTACT_SYSTEM_EMAIL] for each in found]
    assert emails == [["p0@example.org"], ["own@example.org"], ["p2@example.org"]]
    zones = [(each.home_site_id, each.time_zone) for each in found]
    assert zones == [
        (sites[0], "America/Denver"), (sites[1], "America/Phoenix"), (sites[0], "America/Chicago"),
    ]  # fmt: skip


async def test_rows_of_a_site_just_made_wait_until_the_service_has_heard_of_it(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(patient(1)))
    new_site = to_wire("site", new_id())

    class Late(Counting):
        async def call(self, stub_type: Any, method: str, request: Any) -> Any:
            if len(self.batches) == 2:
                await desk.service.deliver(SiteRegistered(site_id=new_site, time_zone="America/Denver"))
            return await super().call(stub_type, method, request)

    late = Late(client(desk)._client)
    report = await import_fhir(late, [tmp_path], assign=lambda number, row: Assignment(new_site))
    assert outcomes(report) == [("a.json", 1, "created", [])]
    assert len(late.batches) == 3


async def test_each_entry_is_told_in_its_order_and_can_be_written_as_json(desk: Desk, tmp_path: Path) -> None:
    phones = [{"system": "phone", "value": "555-929-9025"}, {"system": "phone", "value": "12"}]
    lines = [patient(1, telecom=phones), {"resourceType": "Slot"}, patient(2)]
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
    told = list[Entry]()
    report = await import_fhir(client(desk), [tmp_path], assign=at_first_site(desk), tell=told.append)
    assert told == report.entries
    first, second = json.loads(told[0].line()), json.loads(told[1].line())
    assert (first["row"], first["outcome"], first["patient_id"]) == (1, "created", report.patient_ids[0])
    assert (second["row"], second["outcome"], second["others"]) == (2, "skipped", {"Slot": 1})
    assert sorted((note["field"], note["rule"]) for note in first["notes"]) == [
        ("telecom[0].value", "PHONE_NOT_VALID"),
        ("telecom[1].value", "PHONE_NOT_POSSIBLE"),
    ]


async def test_the_progress_counts_documents(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("\n".join(json.dumps(patient(n)) for n in range(3)))
    (tmp_path / "b.json").write_bytes(bundle(patient(5)))
    with Progress(disable=True) as progress:
        await import_fhir(client(desk), [tmp_path], assign=at_first_site(desk), progress=progress)
    assert [(task.completed, task.total) for task in progress.tasks] == [(4, 4)]


def shown(report: Report) -> str:
    screen = StringIO()
    Console(file=screen, width=160).print(report.table())
    return screen.getvalue()


@pytest.mark.others
async def test_all_40_bundles_of_others_are_accounted_for(desk: Desk) -> None:
    report = await imported(desk, SHARED / "synthea" / "fhir")
    assert (report.count(Outcome.CREATED), len(report.entries)) == (40, 40)
    notes = Counter(note.description for entry in report.entries for note in entry.notes)
    assert notes == {
        "a social security number is never kept": 40,
        "a driver's licence number is never kept": 40,
        "a passport number is never kept": 40,
        "kept unverified: no operator gave out such a number": 40,
        "suffixes are not kept": 1,
    }
    assert all(description in shown(report) for description in notes)
    assert await desk.found("agustin fonseca") == ["Agustín"]
    again = await imported(desk, SHARED / "synthea" / "fhir")
    assert again.count(Outcome.ALREADY_THERE) == 40
    kept = await desk.service.admin.fetch("SELECT DISTINCT system FROM patient_identifier ORDER BY system")
    assert [row["system"] for row in kept] == [
        "http://hospital.smarthealthit.org", "https://github.com/synthetichealth/synthea",
    ]  # fmt: skip


@pytest.mark.others
async def test_each_official_example_is_taken_or_refused_for_a_true_reason(desk: Desk) -> None:
    report = await imported(desk, *sorted((SHARED / "hl7-examples").glob("Patient-*.json")))
    assert outcomes(report) == [
        ("Patient-example.json", 1, "created", []),
        ("Patient-f001.json", 1, "created", []),
        ("Patient-pat1.json", 1, "refused", ["BIRTH_DATE_MISSING"]),
        ("Patient-xcda.json", 1, "created", []),
    ]
    dutch = await desk.get(report.patient_ids[1])
    assert [point.value for point in dutch.contact_points][:2] == ["+31648352638", "p.heuvel@gmail.com"]


@pytest.mark.others
async def test_resources_of_other_types_are_skipped_and_counted(desk: Desk) -> None:
    report = await imported(desk, SHARED / "hl7-examples")
    others = [path for path in (SHARED / "hl7-examples").glob("*.json") if not path.name.startswith("Patient-")]
    assert report.count(Outcome.SKIPPED) == len(others)
    assert sum(sum(entry.others.values()) for entry in report.entries) == len(others)
