"""Heads of audit trails, signed, in a file that grows by a line of JSON for each: kept where nobody who runs the
databases can change it, they prove later that no trail was cut off, rewritten or made anew.

    {"service": "patients", "chain": "chain_01h…", "sequence": 71, "hash": "9f…", "exported_time": "…", "previous": "…",
     "signature": "eyJ…..…"}

`signature` is a JWS (ES256) over the other fields, with its payload left out; `previous` is the SHA-256 of the line
before, so that no line is taken out between others. Of each chain of clinics only what is new since the last export is
written: a head stands for every row up to it.
"""

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from pydantic import TypeAdapter, ValidationError

from chassis.ids import BadId, from_wire, to_wire
from chassis.metrics import AUDIT_HEADS_BEHIND
from chassis.pool import Pool
from chassis.sealer import Head, read_chains, read_heads
from chassis.signing import ALGORITHM, signing_key
from chassis.times import utc_now

log = structlog.get_logger()

EVERY_S = 60.0
TAIL_BYTES = 1 << 16
"""Far above the length of a line."""
SEED_BYTES = 1 << 26
"""What a process that begins reads of an export's end: 150,000 lines, half a second."""

Kept: TypeAlias = Mapping[int, bytes]
"""Of one chain of clinics: the hash that each exported seal had."""


@dataclass(frozen=True)
class ExportedHead:
    """One line of an export."""

    service: str
    chain: str
    sequence: int
    hash: str
    exported_time: str
    previous: str
    signature: str


_exported = TypeAdapter(ExportedHead)


def signed_lines(key: ECKey, service: str, heads: Iterable[Head], at: datetime, previous: str) -> Iterator[str]:
    """`previous` is the digest of the line that they follow, "" of none."""
    for head in heads:
        chain = to_wire("chain", head.chain_id)
        line = ExportedHead(service, chain, head.sequence, head.hash.hex(), at.isoformat(), previous, "")
        signature = jws.serialize_compact({"alg": ALGORITHM, "kid": key.kid}, _payload(line), key, [ALGORITHM])
        text = json.dumps(asdict(line) | {"signature": jws.detach_content(signature)})
        previous = digest_of(text)
        yield text


def digest_of(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _payload(line: ExportedHead) -> bytes:
    fields = {name: value for name, value in asdict(line).items() if name != "signature"}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def append(path: Path, key: ECKey, service: str, heads: Sequence[Head]) -> None:
    """All or, after a crash, the first of them; on disk when it returns.

    A line that a crash cut off is taken away first. Two processes that each believe to be elected do not mix lines.
    """
    new = not path.exists()
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL_BYTES))
        tail = file.read()
        whole, newline, torn = tail.rpartition(b"\n")
        if torn:
            file.truncate(end - len(torn))
        previous = digest_of(whole.rpartition(b"\n")[2].decode(errors="replace")) if newline else ""
        lines = signed_lines(key, service, heads, utc_now(), previous)
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())
    if new:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Else a machine that loses power may come back without the new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def furthest(path: Path, service: str) -> dict[UUID, int]:
    """Of each chain of clinics of whose trail the end of the file tells: up to where it was exported.

    Signatures are not looked at: this tells, `atoll audit verify` proves.
    """
    found = dict[UUID, int]()
    if not path.exists():
        return found
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - SEED_BYTES))
        for line in file:
            with suppress(ValidationError, BadId):
                head = _exported.validate_json(line)
                if head.service == service:
                    chain = from_wire("chain", head.chain)
                    found[chain] = max(head.sequence, found.get(chain, 0))
    return found


class Exporter:
    """Writes to `path` each minute what was sealed since. One runs at a time; the next one begins with every head."""

    def __init__(self, pool: Pool, service: str, path: Path, key_path: Path) -> None:
        self._pool, self._service, self._path, self._key_path = pool, service, path, key_path
        self._last: dict[UUID, int] = {}
        self._furthest: dict[UUID, int] | None = None

    async def run(self) -> None:
        while True:
            await self.export()
            await asyncio.sleep(EVERY_S)

    async def export(self) -> int:
        """How many heads were written."""
        async with self._pool.acquire() as conn:
            heads = await read_heads(conn, await read_chains(conn))
        if self._furthest is None:
            self._furthest = await asyncio.to_thread(furthest, self._path, self._service)
        _look_behind(heads, self._furthest)
        new = [head for head in heads if head.sequence != self._last.get(head.chain_id)]
        if new:
            await asyncio.to_thread(append, self._path, signing_key(self._key_path), self._service, new)
            self._last = {head.chain_id: head.sequence for head in heads}
            for chain, sequence in self._last.items():
                self._furthest[chain] = max(sequence, self._furthest.get(chain, 0))
        return len(new)


def _look_behind(heads: Sequence[Head], exported: Mapping[UUID, int]) -> None:
    """A trail only grows: one that ends before what was exported of it was cut off. The file proves it, this tells."""
    now = {head.chain_id: head.sequence for head in heads}
    behind = [chain for chain, sequence in exported.items() if now.get(chain, 0) < sequence]
    AUDIT_HEADS_BEHIND.set(len(behind))
    for chain in behind:
        log.error("audit.cut_off", chain_id=to_wire("chain", chain), exported=exported[chain], now=now.get(chain))


@dataclass(frozen=True, slots=True)
class Exports:
    """What the lines of an export say."""

    kept: dict[tuple[str, UUID], dict[int, bytes]] = field(default_factory=dict)
    """By service and chain."""
    last: dict[tuple[str, UUID], ExportedHead] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """Why lines are not what was written, a sentence each."""

    def read(self, text: str, keys: KeySet, name: str = "the export") -> None:
        """Takes in the lines of one file. The last one may still be being written."""
        previous: str | None = None  # The first may follow one of a file before this.
        *whole, rest = text.split("\n")
        for number, line in enumerate([*whole, rest] if _is_whole(rest) else whole, 1):
            fault = self._take(line, keys, previous)
            if fault:
                self.faults.append(f"line {number} of {name} {fault}")
            previous = digest_of(line)

    def _take(self, line: str, keys: KeySet, previous: str | None) -> str:
        try:
            head = _exported.validate_json(line)
            found = (head.service, from_wire("chain", head.chain)), head.sequence, bytes.fromhex(head.hash)
            jws.deserialize_compact(head.signature, keys, [ALGORITHM], payload=_payload(head))
        except (ValidationError, BadId):
            return "is no head"
        except (JoseError, ValueError):
            return "is not signed by a key that is known"
        trail, sequence, digest = found
        self.last[trail] = max(head, self.last.get(trail, head), key=lambda each: each.sequence)
        if self.kept.setdefault(trail, {}).setdefault(sequence, digest) != digest:
            return f"names another seal {sequence} than a line before"
        return "" if previous in (None, head.previous) else "does not follow the line before"


def _is_whole(line: str) -> bool:
    try:
        _exported.validate_json(line)
    except ValidationError:
        return False
    return True
