"""Rows to the API, in batches of which several are on their way; their answers, in the order of the rows."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import grpc
from rich.progress import Progress

from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL, Patient
from atoll.patients.v1.patient_service_pb2 import ImportPatientsRequest, ImportPatientsResponse, RowRemark
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from cli.client import Refused, request_id_for
from cli.importing.documents import FhirSource
from cli.importing.places import Place, Row
from cli.importing.report import Entry, Outcome, Report, Summary
from cli.readings import Reading, Remark

ROWS_MAX = 200
ENTRIES_MAX = 1_000  # Of a batch, with those that are not sent.
BATCH_BYTES_MAX = 900_000  # The API takes messages of 1 MiB.
IN_FLIGHT_MAX = 4
HEARD_OF_WITHIN_S, AGAIN_S = 30.0, 0.3  # Of a site made a moment ago, patients may not have heard yet.
BROKEN = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""Answers of a service that a row has met a mistake of: the other rows are sent without it."""

Result = ImportPatientsResponse.Result
OUTCOMES = {
    ImportPatientsResponse.OUTCOME_CREATED: Outcome.CREATED,
    ImportPatientsResponse.OUTCOME_ALREADY_THERE: Outcome.ALREADY_THERE,
    ImportPatientsResponse.OUTCOME_REFUSED: Outcome.REFUSED,
}


class Caller(Protocol):
    """`cli.client.Client`, as far as it is needed."""

    async def call(self, stub_type: Any, method: str, request: Any) -> Any: ...


class Source(Protocol):
    """Files that hold patients."""

    @property
    def files(self) -> Sequence[Path]: ...

    def count(self) -> int:
        """Of documents or records."""
        ...

    def rows(self, start: Place) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class ImportedPatient:
    """A row that was read."""

    file: str
    row: int  # Line of an NDJSON file, place in a bundle, row of a table, from 1.
    patient: Patient
    home_site: str = ""  # Code or id, where the source names one.


@dataclass(frozen=True, slots=True)
class Assignment:
    """What no document says of a patient."""

    home_site_id: str
    time_zone: str = ""  # Empty: as the source says, or else the home site's.
    email: str = ""  # For who has none.


Assign = Callable[[int, ImportedPatient], "Assignment | Remark"]
"""The rows that could be read are numbered from 0. A remark says why there is nothing to assign."""


@dataclass(frozen=True, slots=True)
class Settled:
    """So much of an import is answered, and told."""

    after: Place
    assigned: int  # Rows that were numbered.


@dataclass(slots=True)
class Batch:
    """Rows that are sent together, between entries that stand already."""

    rows: list[Row] = field(default_factory=list)
    patients: list[Patient] = field(default_factory=list)
    size: int = 0
    assigned: int = 0

    def takes(self, size: int) -> bool:
        few = len(self.patients) < ROWS_MAX and len(self.rows) < ENTRIES_MAX
        return few and self.size + size <= BATCH_BYTES_MAX

    def add(self, row: Row, size: int, assigned: int) -> None:
        self.rows.append(row)
        if row.reading:
            self.patients.append(row.reading.patient)
        self.size += size
        self.assigned = assigned


R = TypeVar("R", bound=Summary)


async def import_fhir(
    client: Caller,
    files: Sequence[Path],
    *,
    assign: Assign,
    progress: Progress | None = None,
    tell: Callable[[Entry], None] = lambda entry: None,
) -> Report:
    """Imports files and folders of FHIR R4. `tell` hears of each entry as soon as it stands, in the order of rows."""
    return await import_source(client, FhirSource(files), assign=assign, report=Report(), progress=progress, tell=tell)


async def import_source(
    client: Caller,
    source: Source,
    *,
    assign: Assign,
    report: R,
    progress: Progress | None = None,
    tell: Callable[[Entry], None] = lambda entry: None,
    start: Settled | None = None,
    settled: Callable[[Settled], None] = lambda settled: None,
    run: str = "",
) -> R:
    """Adds what becomes of each row after `start` to `report`.

    `settled` hears of each batch after its entries were told. Under the name of the same `run`, a batch is sent under
    the same request_id: one whose answer was lost is answered again.
    """
    watch = _Watch(source, progress, start)
    line = _Line(client, run or str(uuid4()))
    started = start or Settled(Place(), 0)

    def answered(batch: Batch, entries: Sequence[Entry]) -> None:
        for entry in entries:
            report.add(entry)
            tell(entry)
        settled(Settled(batch.rows[-1].after, batch.assigned))
        watch.advance(batch)

    async with line:
        for batch in _batches(source.rows(started.after), assign, started.assigned):
            await line.send(batch, answered)
        await line.finish(answered)
    watch.end()
    return report


def _batches(rows: Iterator[Row], assign: Assign, assigned: int) -> Iterator[Batch]:
    batch = Batch(assigned=assigned)
    for row in rows:
        size = 0
        if row.reading:
            size = _complete(row, row.reading, assign, assigned)
            assigned += 1
        if not batch.takes(size):
            yield batch
            batch = Batch()
        batch.add(row, size, assigned)
    if batch.rows:
        yield batch


def _complete(row: Row, reading: Reading, assign: Assign, number: int) -> int:
    """Adds what the document does not say; the size of the patient in a message, 0 if it is not sent."""
    patient = reading.patient
    assigned = assign(number, ImportedPatient(row.entry.file, row.entry.row, patient, reading.home_site))
    if isinstance(assigned, Remark):
        return _withhold(row, assigned)
    patient.home_site_id = assigned.home_site_id
    patient.time_zone = assigned.time_zone or patient.time_zone
    if assigned.email and not any(point.system == CONTACT_SYSTEM_EMAIL for point in patient.contact_points):
        patient.contact_points.add(system=CONTACT_SYSTEM_EMAIL, value=assigned.email)
    size = patient.ByteSize() + 8
    if size > BATCH_BYTES_MAX:
        return _withhold(row, Remark("", "TOO_LARGE", "the patient is larger than a message may be"))
    return size


def _withhold(row: Row, fault: Remark) -> int:
    row.reading, row.entry = None, replace(row.entry, faults=(fault,))
    return 0


Answered = Callable[[Batch, Sequence[Entry]], None]


class _Line:
    """Batches on their way, answered in their order whichever answer comes first."""

    def __init__(self, client: Caller, run: str) -> None:
        self._client, self._run = client, run
        self._flying = deque[tuple[Batch, asyncio.Task[list[Result]]]]()

    async def __aenter__(self) -> "_Line":
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, task in self._flying:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._flying), return_exceptions=True)

    async def send(self, batch: Batch, answered: Answered) -> None:
        while len(self._flying) >= IN_FLIGHT_MAX:
            await self._land(answered)
        self._flying.append((batch, asyncio.create_task(self._results(batch))))
        await asyncio.sleep(0)

    async def finish(self, answered: Answered) -> None:
        while self._flying:
            await self._land(answered)

    async def _land(self, answered: Answered) -> None:
        batch, task = self._flying[0]
        results = iter(await task)
        self._flying.popleft()
        answered(batch, [_entry(row, row.reading, next(results)) if row.reading else row.entry for row in batch.rows])

    async def _results(self, batch: Batch) -> list[Result]:
        """Rows of a site that the API has not heard of yet are sent again, for a while."""
        if not batch.patients:
            return []
        until, waiting = time.monotonic() + HEARD_OF_WITHIN_S, list(range(len(batch.patients)))
        results, attempt = dict[int, Result](), 0
        while waiting:
            rows = [batch.patients[i] for i in waiting]
            results |= zip(waiting, await self._answers(rows, self._name(batch, str(attempt))), strict=True)
            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]
            if time.monotonic() > until:
                break
            if waiting:
                await asyncio.sleep(AGAIN_S)
            attempt += 1
        return [results[i] for i in range(len(batch.patients))]

    def _name(self, batch: Batch, attempt: str) -> str:
        at = batch.rows[0].at
        return request_id_for(self._run, f"{at.file} {at.offset} {at.done}", attempt)

    async def _answers(self, rows: Sequence[Patient], request_id: str) -> list[Result]:
        try:
            return await self._call(rows, request_id)
        except Refused as refused:
            if refused.reason == "REQUEST_ID_REUSED":  # Cut otherwise than before: identifiers tell who is there.
                return await self._call(rows, str(uuid4()))
            if refused.code not in BROKEN:
                raise
            if len(rows) == 1:
                fault = RowRemark(rule="NOT_ANSWERED", description="the service met a mistake of its own")
                return [Result(outcome=ImportPatientsResponse.OUTCOME_REFUSED, faults=[fault])]
            half = len(rows) // 2
            first = await self._answers(rows[:half], request_id_for(request_id, "first"))
            return first + await self._answers(rows[half:], request_id_for(request_id, "second"))

    async def _call(self, rows: Sequence[Patient], request_id: str) -> list[Result]:
        response = await self._client.call(
            PatientServiceStub, "ImportPatients", ImportPatientsRequest(request_id=request_id, rows=rows)
        )
        return list(response.results)


def _entry(row: Row, reading: Reading, result: Result) -> Entry:
    entry = row.entry
    notes = [Remark(reading.path_of(each.field), each.rule, each.description) for each in result.notes]
    faults = [Remark(reading.path_of(each.field), each.rule, each.description) for each in result.faults]
    return Entry(
        entry.file,
        entry.row,
        OUTCOMES[result.outcome],
        patient_id=result.patient_id,
        home_site_id=reading.patient.home_site_id,
        source_id=entry.source_id,
        faults=faults,
        notes=[*entry.notes, *notes],
        others=entry.others,
    )


class _Watch:
    """The progress, in documents."""

    def __init__(self, source: Source, progress: Progress | None, start: Settled | None) -> None:
        self._progress, self._documents = progress, 0
        self._last: tuple[int, int] | None = None
        if progress:
            self._total = source.count()
            self._task = progress.add_task("Patients imported", total=self._total)

    def advance(self, batch: Batch) -> None:
        if self._progress:
            places = [(row.at.file, row.at.offset) for row in batch.rows]
            before = [self._last, *places]
            self._documents += sum(now != earlier for earlier, now in zip(before, places, strict=False))
            self._last = places[-1]
            self._progress.update(self._task, completed=self._documents)

    def end(self) -> None:
        if self._progress:
            self._progress.update(self._task, completed=self._total)
