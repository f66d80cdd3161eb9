"""A whole chain in a folder: one file of NDJSON for each type, gone on with where it was cut off."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from atoll.patients.v1.export_service_pb2 import ExportPatientsRequest, ExportPatientsResponse
from atoll.patients.v1.export_service_pb2_grpc import ExportServiceStub
from cli.client import PATIENCE_S, Refused
from cli.exporting.resources import TYPES, resources_of
from cli.private import open_private
from deploy.local.files import write_whole
from deploy.local.process import LocalError

AGAIN_S = 1.0
SAVED_EVERY = 500  # Records. What came after the last of them is fetched again.


class Streams(Protocol):
    """`cli.client.Client`, as far as it is needed."""

    def stream(self, stub_type: Any, method: str, request: Any) -> AsyncIterator[Any]: ...


class ChainExport:
    """`options` are what must be the same when it goes on: which API, which chain."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self._folder, self._options = folder, dict(options)
        self._state = folder / "export.state"
        self._files: dict[str, TextIO] = {}
        self.token, self.records, self.counts = "", 0, Counter[str]()
        self.moved = False  # By the stream that was opened last.

    def resume(self) -> bool:
        """Goes on where an earlier one was cut off, if one was."""
        if not self._state.exists():
            return False
        try:
            told = json.loads(self._state.read_text())
            self.token, self.records, self.counts = told["token"], told["records"], Counter(told["counts"])
            sizes, options = told["sizes"], told["options"]
        except (ValueError, KeyError, TypeError) as error:
            raise LocalError(f"{self._state} is no state of an export: begin anew with --restart") from error
        if options != self._options:
            raise LocalError(f"the export in {self._folder} was of another chain or API: begin anew with --restart")
        for type_, size in sizes.items():
            file = self._folder / f"{type_}.ndjson"
            if not file.exists() or file.stat().st_size < size:
                raise LocalError(f"{file} is not as the export left it: begin anew with --restart")
            os.truncate(file, size)
        return True

    async def run(self, client: Streams, advance: Callable[[int], None] = lambda records: None) -> None:
        """Until the last record has come. A stream that ends before is opened again, for a while."""
        self._open()
        try:
            until = time.monotonic() + PATIENCE_S
            while not await self._read_some(client, advance, until):
                if self.moved:
                    until = time.monotonic() + PATIENCE_S
                else:
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._save()
            for file in self._files.values():
                file.close()
        self._state.unlink()

    async def _read_some(self, client: Streams, advance: Callable[[int], None], until: float) -> bool:
        """Whether it is complete."""
        before, self.moved = self.token, False
        try:
            return await self._read(client, advance)
        except Refused as refused:
            if not (refused.may_ask_again or refused.reason == "TOKEN_EXPIRED") or time.monotonic() > until:
                raise
            return False
        finally:
            self.moved = self.token != before

    async def _read(self, client: Streams, advance: Callable[[int], None]) -> bool:
        """Whether it is complete. Parts of a record wait until the record is whole."""
        parts, request = list[ExportPatientsResponse](), ExportPatientsRequest(resume_token=self.token)
        async for answer in client.stream(ExportServiceStub, "ExportPatients", request):
            if answer.complete:
                return True
            parts.append(answer)
            if answer.resume_token:
                self._write(parts)
                parts.clear()
                self.token = answer.resume_token
                self.records += 1
                advance(self.records)
                if self.records % SAVED_EVERY == 0:
                    self._save()
        return False

    def _write(self, parts: list[ExportPatientsResponse]) -> None:
        for part in parts:
            for resource in resources_of(part.patient_export):
                type_ = resource["resourceType"]
                self._files[type_].write(json.dumps(resource, ensure_ascii=False) + "\n")
                self.counts[type_] += 1

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for type_ in TYPES:
            self._files[type_] = open_private(self._folder / f"{type_}.ndjson", "a" if self.token else "w")

    def _save(self) -> None:
        for file in self._files.values():
            file.flush()
        told = {
            "options": self._options,
            "token": self.token,
            "records": self.records,
            "counts": self.counts,
            "sizes": {type_: os.fstat(file.fileno()).st_size for type_, file in self._files.items()},
        }
        write_whole(self._state, json.dumps(told))
