"""Rows to the API, in batches; their answers to the report."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rich.progress import Progress

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, Patient
from atoll.patients.v1.patient_service_pb2 import ImportPatientsRequest, ImportPatientsResponse
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from cli.fhir import Reading, Remark
from cli.importing.documents import Row, count_documents, documents, files_of, rows_of
from cli.importing.report import Entry, Outcome, Report

ROWS_MAX = 200
BATCH_BYTES_MAX = 900_000  # The API takes messages of 1 MiB.
HEARD_OF_WITHIN_S, AGAIN_S = 30.0, 0.3  # Of a site made a moment ago, patients may not have heard yet.

Result = ImportPatientsResponse.Result
OUTCOMES = {
    ImportPatientsResponse.OUTCOME_CREATED: Outcome.CREATED,
    ImportPatientsResponse.OUTCOME_ALREADY_THERE: Outcome.ALREADY_THERE,
    ImportPatientsResponse.OUTCOME_REFUSED: Outcome.REFUSED,
}


class Caller(Protocol):
    """`cli.client.Client`, as far as it is needed."""

    async def call(self, stub_type: Any, method: str, request: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class ImportedPatient:
    """A row that was read."""

    file: str
    row: int  # Line of an NDJSON file, or place in a bundle, from 1.
    patient: Patient


@dataclass(frozen=True, slots=True)
class Assignment:
    """What no document says of a patient."""

    home_site_id: str
    time_zone: str = ""  # Empty: the home site's.
    email: str = ""  # For who has none.


Assign = Callable[[int, ImportedPatient], Assignment]
"""The rows that could be read are numbered from 0."""


async def import_fhir(
    client: Caller,
    files: Sequence[Path],
    *,
    assign: Assign,
    progress: Progress | None = None,
    tell: Callable[[Entry], None] = lambda entry: None,
) -> Report:
    """Imports files and folders of FHIR R4. `tell` hears of each entry as soon as it stands."""
    paths = files_of(files)
    task = progress.add_task("Patients imported", total=sum(map(count_documents, paths))) if progress else None
    batch = _Batch(client, assign, tell)
    for path in paths:
        for document in documents(path):
            for row in rows_of(document):
                await batch.add(row)
            if progress and task is not None:
                progress.advance(task)
    await batch.send()
    return batch.report


class _Batch:
    """Rows on their way, in their order."""

    def __init__(self, client: Caller, assign: Assign, tell: Callable[[Entry], None]) -> None:
        self._client, self._assign, self._tell = client, assign, tell
        self.report, self._rows, self._patients, self._bytes, self._assigned = Report(), list[Row](), 0, 0, 0

    async def add(self, row: Row) -> None:
        size = self._complete(row) if row.reading else 0
        if size > BATCH_BYTES_MAX:
            fault = Remark("", "TOO_LARGE", "the patient is larger than a message may be")
            row = Row(replace(row.entry, faults=(fault,)))
            size = 0
        if self._patients == ROWS_MAX or self._bytes + size > BATCH_BYTES_MAX:
            await self.send()
        self._rows.append(row)
        self._patients += row.reading is not None
        self._bytes += size

    def _complete(self, row: Row) -> int:
        """Adds what the document does not say; the size of the patient in a message."""
        assert row.reading
        patient = row.reading.patient
        assigned = self._assign(self._assigned, ImportedPatient(row.entry.file, row.entry.row, patient))
        self._assigned += 1
        patient.home_site_id, patient.time_zone = assigned.home_site_id, assigned.time_zone
        has_email = any(point.system == CONTACT_SYSTEM_EMAIL for point in patient.contact_points)
        if assigned.email and not has_email:
            patient.contact_points.add(system=CONTACT_SYSTEM_EMAIL, value=assigned.email)
        return patient.ByteSize() + 8

    async def send(self) -> None:
        readings = [row.reading for row in self._rows if row.reading]
        results = iter(await self._results([reading.patient for reading in readings]) if readings else [])
        for row in self._rows:
            entry = _answered(row.entry, row.reading, next(results)) if row.reading else row.entry
            self.report.entries.append(entry)
            self._tell(entry)
        self._rows, self._patients, self._bytes = [], 0, 0

    async def _results(self, patients: Sequence[Patient]) -> list[Result]:
        """Rows of a site that the API has not heard of yet are sent again, for a while."""
        until, waiting = time.monotonic() + HEARD_OF_WITHIN_S, list(range(len(patients)))
        results: dict[int, Result] = {}
        while waiting:
            request = ImportPatientsRequest(rows=[patients[i] for i in waiting])
            response = await self._client.call(PatientServiceStub, "ImportPatients", request)
            results |= zip(waiting, response.results, strict=True)
            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]
            if time.monotonic() > until:
                break
            if waiting:
                await asyncio.sleep(AGAIN_S)
        return [results[i] for i in range(len(patients))]


def _answered(entry: Entry, reading: Reading, result: Result) -> Entry:
    notes = [Remark(reading.path_of(each.field), each.rule, each.description) for each in result.notes]
    faults = [Remark(reading.path_of(each.field), each.rule, each.description) for each in result.faults]
    return replace(
        entry,
        outcome=OUTCOMES[result.outcome],
        patient_id=result.patient_id,
        home_site_id=reading.patient.home_site_id,
        faults=faults,
        notes=[*entry.notes, *notes],
    )
