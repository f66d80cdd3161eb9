"""An import that was cut off goes on; bad rows, large ones and a service that fails stop none."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from rich.console import Console

from chassis.ids import to_wire
from cli.importing import Assignment, Outcome, Report
from cli.importing.batches import IN_FLIGHT_MAX, Source, import_source
from cli.importing.command import carry_out
from cli.importing.documents import FhirSource
from cli.importing.duplicates import file_of
from cli.importing.state import Run
from cli.importing.tables import CsvSource
from deploy.local.process import LocalError
from tests.integration.test_import_fhir import Counting, at_first_site, client, imported, outcomes, patient
from tests.support.patients import Desk, desk

__all__ = ["desk"]

OPTIONS = {"home_site": ["abq"], "edge": "here"}


class Killed(Exception):
    """Stands for the end of the process."""


class Dying(Counting):
    """Lets the first batches be answered, and dies before the answers to the others are told."""

    def __init__(self, inner: Counting, after: int) -> None:
        super().__init__(inner._client)
        self._after, self._sent = after, 0

    async def call(self, stub_type: Any, method: str, request: Any) -> Any:
        self._sent += 1
        number = self._sent
        answer = await super().call(stub_type, method, request)
        if number > self._after:
            raise Killed
        return answer


async def run(desk: Desk, counting: Counting, source: Source, report: Path, **options: Any) -> Run:
    """As the command does it: goes on, if there is something to go on with."""
    begun = Run(report, source.files, OPTIONS | options)
    begun.resume()
    await carry_out(counting, source, at_first_site(desk), begun, Console(quiet=True))
    return begun


def lines_of(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


def many(folder: Path, count: int) -> Path:
    file = folder / "a.ndjson"
    file.write_text("\n".join(json.dumps(patient(n)) for n in range(count)))
    return file


def table(folder: Path, count: int) -> Path:
    file = folder / "a.csv"
    rows = (f'{n},Ruiz,1980-05-17,"1 Main St\nApt 2"\n' for n in range(count))
    file.write_text("source_id,family_name,birth_date,address_lines\n" + "".join(rows))
    return file


@pytest.mark.parametrize("kind", ["ndjson", "csv", "bundle"])
async def test_an_import_that_was_cut_off_goes_on_and_its_report_is_as_if_it_had_not_been(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("cli.importing.batches.ROWS_MAX", 10)
    report = tmp_path / "report.jsonl"
    if kind == "ndjson":
        source: Source = FhirSource([many(tmp_path, 95)])
    elif kind == "csv":
        source = CsvSource([table(tmp_path, 95)])
    else:
        (tmp_path / "a.json").write_text(json.dumps(patient(1000)))
        entries = [{"resource": patient(n)} for n in range(94)]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        (tmp_path / "b.json").write_text(json.dumps(bundle))
        source = FhirSource([tmp_path / "a.json", tmp_path / "b.json"])
    with pytest.raises(Killed):
        await run(desk, Dying(client(desk), 3), source, report)
    told = len(lines_of(report))
    assert told == 30
    with report.open("a") as file:
        file.write('{"file": "a line that was not wri')
    counting = client(desk)
    done = await run(desk, counting, source, report)
    assert sum(len(batch.rows) for batch in counting.batches) == 95 - told
    assert done.summary.outcomes == {Outcome.CREATED: 95}
    entries = lines_of(report)
    assert len({entry["patient_id"] for entry in entries}) == len(entries) == await desk.service.count("patient") == 95
    places = [(entry["file"], entry["row"]) for entry in entries]
    assert places == sorted(set(places))
    assert {str(entry["outcome"]) for entry in entries} == {"created"}  # Also those whose answer was lost.
    assert report.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.glob("report*")) == ["report-duplicates.csv", "report.jsonl"]  # noqa: ASYNC240


class DyingAtTheEnd(Counting):
    """Is killed while duplicates are scored."""

    async def call(self, stub_type: Any, method: str, request: Any) -> Any:
        if method == "ScoreDuplicates":
            raise Killed
        return await super().call(stub_type, method, request)


async def test_an_import_that_was_cut_off_while_duplicates_were_scored_scores_them_and_sends_no_row_again(
    desk: Desk, tmp_path: Path
) -> None:
    source, report, again = FhirSource([many(tmp_path, 5)]), tmp_path / "report.jsonl", client(desk)
    with pytest.raises(Killed):
        await run(desk, DyingAtTheEnd(client(desk)._client), source, report)
    assert not file_of(report).exists()
    done = await run(desk, again, source, report)
    assert (again.batches, done.summary.count(Outcome.CREATED), len(lines_of(report))) == ([], 5, 5)
    assert file_of(report).exists()
    assert not report.with_name("report.jsonl.state").exists()


async def test_a_file_that_changed_is_not_gone_on_with_and_other_options_neither(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.batches.ROWS_MAX", 10)
    file, report = many(tmp_path, 50), tmp_path / "report.jsonl"
    with pytest.raises(Killed):
        await run(desk, Dying(client(desk), 2), FhirSource([file]), report)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b" }")
    with pytest.raises(LocalError, match=r"a\.ndjson changed since the import was cut off at row \d+ of .*--restart"):
        await run(desk, client(desk), FhirSource([file]), report)
    file.write_bytes(content)
    with pytest.raises(LocalError, match="--home-site is not as it was"):
        await run(desk, client(desk), FhirSource([file]), report, home_site=["phx"])
    with pytest.raises(LocalError, match="there are other files"):
        await run(desk, client(desk), FhirSource([file, many(tmp_path / "..", 1)]), report)
    assert (await run(desk, client(desk), FhirSource([file]), report)).summary.count(Outcome.CREATED) == 50


async def test_batches_are_on_their_way_together_and_told_in_their_order(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.batches.ROWS_MAX", 5)

    class Watched(Counting):
        flying = most = 0

        async def call(self, stub_type: Any, method: str, request: Any) -> Any:
            self.flying += 1
            self.most = max(self.most, self.flying)
            try:
                return await super().call(stub_type, method, request)
            finally:
                self.flying -= 1

    watched = Watched(client(desk)._client)
    report = await import_source(
        watched, FhirSource([many(tmp_path, 100)]), assign=at_first_site(desk), report=Report()
    )
    assert watched.most == IN_FLIGHT_MAX
    assert [entry.row for entry in report.entries] == list(range(1, 101))
    assert report.count(Outcome.CREATED) == 100


async def test_the_same_patient_in_two_batches_that_are_on_their_way_is_registered_once(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.batches.ROWS_MAX", 1)
    file = tmp_path / "a.ndjson"
    file.write_text("\n".join(json.dumps(patient(1)) for _ in range(8)))
    report = await imported(desk, file)
    assert (report.count(Outcome.CREATED), report.count(Outcome.ALREADY_THERE)) == (1, 7)
    assert await desk.service.count("patient") == 1


async def test_bad_lines_among_good_ones_are_refused_alone(desk: Desk, tmp_path: Path) -> None:
    lines = [
        json.dumps(patient(1)).encode(),
        b'{"resourceType": "Patient", "name": [{"family": "\xff\xfe"}]}',
        b'{"resourceType": "Patient", ',
        json.dumps(patient(2, name=[{"family": "Ru\x01iz"}])).encode(),
        json.dumps({"resourceType": "Bundle", "type": "batch",
                    "entry": [{"resource": patient(3)}, {"resource": patient(4)}]}).encode(),
        b"null",
        json.dumps(patient(5)).encode(),
    ]  # fmt: skip
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines))
    found = outcomes(await imported(desk, tmp_path))
    assert [(row, outcome, rules) for _, row, outcome, rules in found] == [
        (1, "created", []), (2, "refused", ["NOT_UTF8"]), (3, "refused", ["NOT_JSON"]),
        (4, "refused", ["string.pattern"]), (5, "refused", ["TWO_PATIENTS"]), (6, "refused", ["NOT_FHIR"]),
        (7, "created", []),
    ]  # fmt: skip


async def test_a_bundle_of_50_megabytes_is_refused_and_what_follows_is_taken(desk: Desk, tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.write(b'{"resourceType": "Bundle", "entry": [')
        file.truncate(50 << 20)
    (tmp_path / "b.json").write_text(json.dumps(patient(1)))
    report = await imported(desk, tmp_path)
    assert outcomes(report) == [("a.json", 1, "refused", ["TOO_LARGE"]), ("b.json", 1, "created", [])]
    assert report.entries[0].faults[0].description == "is larger than 32 MiB"


async def test_a_row_that_the_service_has_a_mistake_with_is_refused_alone(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.patients.rpc import patients as rpc

    inner = rpc.register_command

    def failing(row: Any, path: str) -> Any:
        if row.identifiers[0].value == "13":
            raise ZeroDivisionError
        return inner(row, path)

    monkeypatch.setattr(rpc, "register_command", failing)
    report = await imported(desk, many(tmp_path, 30))
    assert (report.count(Outcome.CREATED), report.count(Outcome.ALREADY_THERE)) == (29, 0)
    [refused] = [entry for entry in report.entries if entry.outcome is Outcome.REFUSED]
    assert (refused.row, [fault.rule for fault in refused.faults]) == (14, ["NOT_ANSWERED"])


async def test_who_may_not_import_is_told_so_at_once(desk: Desk, tmp_path: Path) -> None:
    from cli.client import Client, Refused

    token = desk.service.token("ROLE_FRONT_DESK")
    counting = Counting(Client(desk.service.channel, lambda: token))
    with pytest.raises(Refused) as refused:
        await import_source(counting, FhirSource([many(tmp_path, 3)]), assign=at_first_site(desk), report=Report())
    assert (refused.value.code, len(counting.batches)) == (StatusCode.PERMISSION_DENIED, 1)


async def test_a_report_for_a_spreadsheet_tells_rows_and_remarks_and_nothing_of_the_patients(
    desk: Desk, tmp_path: Path
) -> None:
    file, report = tmp_path / "a.csv", tmp_path / "report.csv"
    file.write_text(
        "source_id,family_name,birth_date,email,home_phone\n"
        "A-1,Zyxwvut,1980-05-17,zyxwvut@example.org,12\n"
        "A-2,Zyxwvut,1980-05-99,,\n"
        "Zyxwvut 3,Zyxwvut,1980-05-17,,\n"
    )
    await run(desk, client(desk), CsvSource([file]), report)
    text = report.read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["row"], row["source_id"], row["outcome"], row["faults"], row["notes"]) for row in rows] == [
        ("2", "A-1", "created", "", "home_phone.value PHONE_NOT_POSSIBLE: no phone number can be like this"),
        ("3", "A-2", "refused", "birth_date date.exists: is not a day of the calendar", ""),
        ("4", "", "created", "", ""),
    ]
    assert [bool(row["patient_id"]) for row in rows] == [True, False, True]
    assert "zyxwvut" not in text.lower()
    assert rows[0]["home_site_id"] == to_wire("site", desk.site_id)


async def test_a_batch_that_was_cut_otherwise_before_is_sent_under_another_name(desk: Desk, tmp_path: Path) -> None:
    file, first, second = many(tmp_path, 3), client(desk), client(desk)
    assign = at_first_site(desk)
    await import_source(first, FhirSource([file]), assign=assign, report=Report(), run="run")
    other = to_wire("site", desk.other_site_id)
    report = await import_source(
        second, FhirSource([file]), assign=lambda n, row: Assignment(other), report=Report(), run="run"
    )
    assert report.count(Outcome.ALREADY_THERE) == 3
    assert first.batches[0].request_id == second.batches[0].request_id != second.batches[1].request_id
