"""Duplicates of whom an import brings, told of in a file beside its report."""

import stat
from pathlib import Path

import pytest

from chassis.ids import to_wire
from cli.importing import Assignment, Report
from cli.importing.batches import import_source
from cli.importing.duplicates import SCORED_AT_ONCE, score_duplicates
from cli.importing.report import COLUMNS, csv_line
from cli.importing.tables import CsvSource
from tests.integration.test_import_fhir import client
from tests.support.patients import Desk, desk

__all__ = ["desk"]


@pytest.mark.parametrize("name", ["report.jsonl", "report.csv"])
async def test_pairs_among_the_rows_and_with_the_chain_are_told(desk: Desk, tmp_path: Path, name: str) -> None:
    there = await desk.create()
    rows = ["1,Ana,Ruiz,1980-05-17", "2,Ana,Ruiz,1980-05-17", "3,Peter,Huber,1971-01-02"]
    rows += [f"{n},Given{n},Family{n},19{n % 90 + 10}-03-{n % 28 + 1:02}" for n in range(4, SCORED_AT_ONCE + 4)]
    file, report_file = tmp_path / "a.csv", tmp_path / name
    file.write_text("\r\n".join(["source_id,given_names,family_name,birth_date", *rows]) + "\r\n", newline="")
    site = to_wire("site", desk.site_id)
    report = await import_source(
        client(desk), CsvSource([file]), assign=lambda number, row: Assignment(site), report=Report()
    )
    lines = [each.csv_line() if name.endswith(".csv") else each.line() for each in report.entries]
    report_file.write_text((csv_line(COLUMNS) if name.endswith(".csv") else "") + "".join(lines), newline="")
    scored = await score_duplicates(client(desk), report_file, run="r")
    assert scored.file == tmp_path / "report-duplicates.csv"
    assert stat.S_IMODE(scored.file.stat().st_mode) == 0o600
    header, *told = scored.file.read_text().splitlines()
    assert header == "first_patient_id,second_patient_id,score,grade"
    likely = {frozenset(line.split(",")[:2]) for line in told if line.endswith(",likely")}
    first, second = report.patient_ids[:2]
    three = [{first, second}, {first, there.id}, {second, there.id}]
    assert all(frozenset(pair) in likely for pair in three)
    assert scored.likely == len(likely) == 3
