"""After an import: who of those it brought is likely or possibly somebody of the chain, or of the import itself."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from atoll.patients.v1.duplicate_pb2 import DUPLICATE_GRADE_LIKELY, DuplicateGrade
from atoll.patients.v1.duplicate_service_pb2 import ScoreDuplicatesRequest
from atoll.patients.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from cli.client import request_id_for
from cli.importing.batches import Caller
from cli.private import open_private

SCORED_AT_ONCE = 100
COLUMNS = ("first_patient_id", "second_patient_id", "score", "grade")


@dataclass(frozen=True, slots=True)
class Scored:
    file: Path
    likely: int
    possible: int


def file_of(report: Path) -> Path:
    return report.with_name(f"{report.stem}-duplicates.csv")


async def score_duplicates(client: Caller, report: Path, *, run: str, progress: Progress | None = None) -> Scored:
    """Of all rows that the report says are there now: an import that is run again scores them again."""
    ids = list(dict.fromkeys(_patient_ids(report)))
    task = progress.add_task("Duplicates", total=len(ids)) if progress else None
    found = dict[tuple[str, str], tuple[float, DuplicateGrade.ValueType]]()
    for number, part in enumerate(_parts(ids)):
        request = ScoreDuplicatesRequest(request_id=request_id_for(run, "duplicates", str(number)), patient_ids=part)
        answer = await client.call(DuplicateServiceStub, "ScoreDuplicates", request)
        found |= {(each.first_patient_id, each.second_patient_id): (each.score, each.grade) for each in answer.pairs}
        if progress and task is not None:
            progress.advance(task, len(part))
    file = file_of(report)
    _write(file, found)
    likely = sum(grade == DUPLICATE_GRADE_LIKELY for _, grade in found.values())
    return Scored(file, likely, len(found) - likely)


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), SCORED_AT_ONCE):
        yield ids[start : start + SCORED_AT_ONCE]


def _patient_ids(report: Path) -> Iterator[str]:
    with report.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines) if report.suffix == ".csv" else map(json.loads, lines)
        yield from (row["patient_id"] for row in rows if row.get("patient_id"))


def _write(file: Path, found: dict[tuple[str, str], tuple[float, DuplicateGrade.ValueType]]) -> None:
    """Who may be whom is for whoever imports only."""
    with open_private(file) as text:
        table = csv.writer(text)
        table.writerow(COLUMNS)
        for pair, (score, grade) in sorted(found.items(), key=lambda each: (-each[1][0], each[0])):
            name = DuplicateGrade.Name(grade).removeprefix("DUPLICATE_GRADE_").lower()
            table.writerow((*pair, f"{score:.4f}", name))
