"""Hash-chains committed audit rows, chain of clinics by chain of clinics, in an order of its own.

Each row's hash covers the hash before it, so that no row can be changed, taken out, put in or moved without every later
hash changing. Sealing is apart from writing: a previous-hash column filled by each transaction would make all
transactions of a chain wait for one another.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    Table,
    Uuid,
    and_,
    any_,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    union,
    union_all,
)

from chassis.metrics import AUDIT_SEALED
from chassis.pool import Connection, Pool
from chassis.sql import Statement, param, rows
from chassis.tables import audit, audit_seal, audit_subject
from chassis.times import utc_now

POLL_S = 1.0
BATCH_MAX = 2_000
AT_A_TIME = 50
"""Rows are hashed before calls have their turn: about two milliseconds."""
GAP_MAX_S = 120.0
"""A position that has not turned up for so long was rolled back: no transaction lives longer (`chassis.provision`)."""
GAP_SPAN = 10_000
"""How far below the last sealed row a sealer that starts looks for rows that committed late."""

_seal_of_row = and_(audit_seal.c.chain_id == audit.c.chain_id, audit_seal.c.position == audit.c.position)
_unsealed = select(audit).outerjoin(audit_seal, _seal_of_row).where(audit_seal.c.position.is_(None))
UNSEALED = Statement(
    _unsealed.where(
        or_(audit.c.position > param("after", BigInteger), audit.c.position == any_(param("gaps", ARRAY(BigInteger))))
    )
    .order_by(audit.c.position)
    .limit(BATCH_MAX)
)
# Looked up for each: over all of them at once, PostgreSQL reads and sorts every seal there is.
_asked = rows("asked", chain_id=Uuid)
_last = (
    select(audit_seal.c.sequence, audit_seal.c.hash)
    .where(audit_seal.c.chain_id == _asked.c.chain_id)
    .order_by(audit_seal.c.sequence.desc())
    .limit(1)
    .lateral("last_seal")
)
HEADS = Statement(select(_asked.c.chain_id, _last.c.sequence, _last.c.hash).join_from(_asked, _last, true()))
_ONE: ColumnElement[int] = literal_column("1")


def _chains_of(table: Table) -> Select[Any]:
    """From one to the next by the key: there are few chains, and rows of each without number."""
    first = select(table.c.chain_id).order_by(table.c.chain_id).limit(_ONE).cte(f"{table.name}_chain", recursive=True)
    later = select(table.c.chain_id).where(table.c.chain_id > first.c.chain_id).order_by(table.c.chain_id).limit(_ONE)
    found = first.union_all(select(later.scalar_subquery()).where(first.c.chain_id.is_not(None)))
    return select(found.c.chain_id).where(found.c.chain_id.is_not(None))


_sealed_chain = _chains_of(audit_seal).subquery("sealed_chain")
_sealed = (
    select(audit_seal.c.position)
    .where(audit_seal.c.chain_id == _sealed_chain.c.chain_id)
    .order_by(audit_seal.c.position.desc())
)
_last_sealed = _sealed.limit(_ONE).lateral("last_sealed")
LAST_SEALED = Statement(select(func.max(_last_sealed.c.position)).select_from(_sealed_chain.join(_last_sealed, true())))
_sealed_after = _sealed.where(audit_seal.c.position > param("after", BigInteger)).lateral("sealed_after")
SEALED_AFTER = Statement(select(_sealed_after.c.position).select_from(_sealed_chain.join(_sealed_after, true())))
_seal = rows("seal", chain_id=Uuid, sequence=BigInteger, position=BigInteger, hash=LargeBinary)
SEAL = Statement(
    insert(audit_seal).from_select(
        ["chain_id", "sequence", "position", "hash"],
        select(_seal.c.chain_id, _seal.c.sequence, _seal.c.position, _seal.c.hash),
    )
)
SEALED = Statement(
    select(audit_seal.c.sequence, audit_seal.c.hash, audit_seal.c.position.label("sealed_position"), audit)
    .outerjoin(audit, _seal_of_row)
    .where(audit_seal.c.chain_id == param("chain_id"))
    .order_by(audit_seal.c.sequence)
)
_all_seals = audit_seal.alias("all_seals")
_last_of_chain = select(func.max(_all_seals.c.position)).where(_all_seals.c.chain_id == audit.c.chain_id)
UNSEALED_OF_CHAIN = Statement(
    select(
        func.count().label("unsealed"),
        func.min(audit.c.at).label("oldest"),
        func.count().filter(audit.c.position < _last_of_chain.scalar_subquery()).label("late"),
    )
    .select_from(audit)
    .outerjoin(audit_seal, _seal_of_row)
    .where(audit.c.chain_id == param("chain_id"), audit_seal.c.position.is_(None))
)
_noted = func.jsonb_array_elements_text(audit.c.ids["subjects"]).table_valued("id").render_derived(name="noted")
_in_row = (
    select(audit.c.position.label("position"), cast(_noted.c.id, Uuid).label("subject_id"), audit.c.at.label("at"))
    .select_from(audit, _noted)
    .where(audit.c.chain_id == param("chain_id"))
)
_in_index = select(audit_subject.c.position, audit_subject.c.subject_id, audit_subject.c.at).where(
    audit_subject.c.chain_id == param("chain_id")
)
_in_one_only = union_all(_in_row.except_(_in_index), _in_index.except_(_in_row)).subquery()
NOT_AS_INDEXED = Statement(select(func.min(_in_one_only.c.position)))
CHAINS = Statement(union(_chains_of(audit), _chains_of(audit_seal)).order_by("chain_id"))

_encode = json.JSONEncoder(sort_keys=True).encode
"""Made once: `json.dumps` makes an encoder for each row."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last seal of a chain of clinics: kept elsewhere, it proves that nothing before it was touched."""

    chain_id: UUID
    sequence: int
    hash: bytes


class Sealer:
    """Connects with a role that sees audit rows and seals of every chain, and may add seals. One runs at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._after: int | None = None
        self._gaps: dict[int, datetime] = {}

    async def run(self) -> None:
        """Begins after the last sealed row each time: what others sealed since it led before is no gap."""
        self._after = None
        while True:
            if await self.seal() < BATCH_MAX:
                await asyncio.sleep(POLL_S)

    async def seal(self) -> int:
        """Seals a batch of rows; how many. Rows that commit late, below positions already sealed, are found as gaps."""
        async with self._pool.acquire() as conn, conn.transaction():
            after = await self._start(conn) if self._after is None else self._after
            found = await conn.fetch(UNSEALED.text, *UNSEALED.args({"after": after, "gaps": list(self._gaps)}))
            if found:
                await self._add_seals(conn, found)
        self._remember(after, [row["position"] for row in found])
        AUDIT_SEALED.inc(len(found))
        return len(found)

    async def _add_seals(self, conn: Connection, found: Sequence[Record]) -> None:
        by_chain = defaultdict(list)
        for row in found:
            by_chain[row["chain_id"]].append(row)
        heads = {head.chain_id: head for head in await read_heads(conn, list(by_chain))}
        seals = list[tuple[UUID, int, int, bytes]]()
        for chain_id, rows_ in by_chain.items():
            for seal in _seals(chain_id, heads.get(chain_id), rows_):
                seals.append(seal)
                if not len(seals) % AT_A_TIME:
                    await asyncio.sleep(0)
        columns = [list(column) for column in zip(*seals, strict=True)]
        names = ("chain_id", "sequence", "position", "hash")
        await conn.execute(SEAL.text, *SEAL.args(dict(zip(names, columns, strict=True))))

    async def _start(self, conn: Connection) -> int:
        """Goes on after the last sealed row; what the sealer before this one may have waited for counts as a gap."""
        last: int = await conn.fetchval(LAST_SEALED.text) or 0
        first = max(1, last - GAP_SPAN)
        sealed = await conn.fetch(SEALED_AFTER.text, *SEALED_AFTER.args({"after": first - 1}))
        self._gaps = dict.fromkeys({*range(first, last)} - {row["position"] for row in sealed}, utc_now())
        return last

    def _remember(self, after: int, positions: list[int]) -> None:
        now, last = utc_now(), max([after, *positions])
        seen = set(positions)
        self._gaps |= dict.fromkeys((n for n in range(after + 1, last) if n not in seen), now)
        oldest = now - timedelta(seconds=GAP_MAX_S)
        self._gaps = {n: since for n, since in self._gaps.items() if since > oldest and n not in seen}
        self._after = last


def _seals(chain_id: UUID, head: Head | None, found: Iterable[Record]) -> Iterator[tuple[UUID, int, int, bytes]]:
    sequence, digest = (head.sequence, head.hash) if head else (0, b"")
    for row in found:
        sequence, digest = sequence + 1, hash_of(digest, row)
        yield chain_id, sequence, row["position"], digest


def hash_of(previous: bytes, row: Any) -> bytes:
    """SHA-256 over the previous hash and the row, as JSON with sorted keys."""
    fields = {
        "chain_id": str(row["chain_id"]),
        "position": row["position"],
        "actor": row["actor"],
        "method": row["method"],
        "kind": row["kind"],
        "cause": row["cause"],
        "ids": json.loads(row["ids"]),
        "at": row["at"].isoformat(),
    }
    return hashlib.sha256(previous + _encode(fields).encode()).digest()


async def read_chains(conn: Connection) -> list[UUID]:
    return [row["chain_id"] for row in await conn.fetch(CHAINS.text)]


async def read_heads(conn: Connection, chain_ids: Sequence[UUID]) -> list[Head]:
    """Of those among the chains that have a seal."""
    found = await conn.fetch(HEADS.text, *HEADS.args({"chain_id": chain_ids}))
    return [Head(row["chain_id"], row["sequence"], row["hash"]) for row in found]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the audit trail of one chain of clinics looks like."""

    chain_id: UUID
    sealed: int
    fault: str  # "" if every seal fits its row and the seal before it.
    unsealed: int = 0
    oldest_unsealed: datetime | None = None  # In business time.
    late: int = 0
    """Unsealed rows below a sealed one: committed late, which the sealer makes good at once, or put in by somebody."""


NONE_KEPT: Mapping[int, bytes] = {}


async def verify(conn: Connection, chain_id: UUID, kept: Mapping[int, bytes] = NONE_KEPT) -> Verdict:
    """Recomputes every hash of a chain of clinics; `kept` are hashes of seals that were exported before."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        sealed, fault = await _verify_seals(conn, chain_id, kept)
        fault = fault or await _verify_index(conn, chain_id)
        row = await conn.fetchrow(UNSEALED_OF_CHAIN.text, *UNSEALED_OF_CHAIN.args({"chain_id": chain_id}))
        assert row
    return Verdict(chain_id, sealed, fault, row["unsealed"], row["oldest"], row["late"])


async def _verify_index(conn: Connection, chain_id: UUID) -> str:
    """The rows are what counts; by the index they are found, and by nothing else."""
    position = await conn.fetchval(NOT_AS_INDEXED.text, *NOT_AS_INDEXED.args({"chain_id": chain_id}))
    return "" if position is None else f"the index of subjects is not what row {position} says"


async def _verify_seals(conn: Connection, chain_id: UUID, kept: Mapping[int, bytes]) -> tuple[int, str]:
    digest, sequence = b"", 0
    async for row in conn.cursor(SEALED.text, *SEALED.args({"chain_id": chain_id})):
        sequence, fault = sequence + 1, ""
        if row["position"] is None:
            fault = f"row {row['sealed_position']} was removed"
        elif row["sequence"] != sequence:
            fault = f"seal {sequence} is missing"
        elif (digest := hash_of(digest, row)) != row["hash"]:
            fault = f"row {row['sealed_position']} was changed or moved"
        elif kept.get(sequence, digest) != digest:
            fault = f"seal {sequence} is not the one exported before"
        if fault:
            return sequence - 1, fault
    last = max(kept, default=0)
    if last > sequence:
        return sequence, f"it ends at seal {sequence}, before the exported {last}"
    return sequence, ""
