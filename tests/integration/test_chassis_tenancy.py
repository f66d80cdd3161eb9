"""Many chains on few connections, with calls that are given up at any instant: nobody sees or writes another's row."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import grpc
import pytest
import pytest_asyncio

from chassis.errors import TryAgain
from chassis.ids import new_id
from tests.support.notes import SERVICE, create_request, pb, pb_grpc
from tests.support.service import Running, running

CHAINS, TASKS, CONNECTIONS = 50, 64, 4
NOTES = 400
"""Of each chain."""
PAGE = 200
GIVEN_UP = 0.2
"""Part of the calls that are cancelled, within PATIENCE_S."""
PATIENCE_S = 0.02
SITE = new_id()


@dataclass
class Crowd:
    notes: Running
    chains: list[UUID]
    random: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)

    async def fill(self) -> None:
        rows = [(chain, new_id(), SITE, None, f"{chain} {n:04}") for chain in self.chains for n in range(NOTES)]
        await self.notes.admin.copy_records_to_table("note", records=rows)

    async def read(self, rows_wanted: int) -> None:
        while self.seen["rows"] < rows_wanted:
            chain = self.random.choice(self.chains)
            step = self.random.choice((self._page, self._everything, self._everything, self._write))
            patience = self.random.uniform(0, PATIENCE_S) if self.random.random() < GIVEN_UP else 60
            try:
                async with asyncio.timeout(patience):
                    await step(chain)
            except TimeoutError:
                self.seen["given up"] += 1
            except (TryAgain, grpc.aio.AioRpcError):  # No connection was to be had in time.
                self.seen["put off"] += 1

    def _token(self, chain: UUID) -> str:
        return self.notes.token("ROLE_FRONT_DESK", chain_id=chain)

    async def _page(self, chain: UUID) -> None:
        stub = self.notes.stub(pb_grpc.NoteServiceStub)
        answer = await self.notes.call(stub.ListNotes, pb.ListNotesRequest(page_size=PAGE), self._token(chain))
        self._look(chain, [note.title for note in answer.notes])

    async def _everything(self, chain: UUID) -> None:
        """As a statement that forgot its WHERE."""
        call = replace(self.notes.inside("test"), chain_id=chain)
        async with self.notes.db.transaction(call, read_only=True) as conn:
            self._look(chain, [row["title"] for row in await conn.fetch("SELECT title FROM note")])

    async def _write(self, chain: UUID) -> None:
        stub, request = self.notes.stub(pb_grpc.NoteServiceStub), create_request(SITE, title=f"{chain} {new_id()}")
        await self.notes.call(stub.CreateNote, request, self._token(chain))
        self.seen["written"] += 1

    def _look(self, chain: UUID, titles: list[str]) -> None:
        self.seen["rows"] += len(titles)
        self.foreign += [title for title in titles if not title.startswith(str(chain))]


@pytest_asyncio.fixture
async def crowd(notes_server: str, issuer_folder: Path) -> AsyncIterator[Crowd]:
    async with running(SERVICE, notes_server, issuer_folder, pool_size=CONNECTIONS) as notes:
        crowd = Crowd(notes, [new_id() for _ in range(CHAINS)], random.Random(11))  # noqa: S311  # Examples only.
        await crowd.fill()
        yield crowd


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rows", [40_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_no_row_of_another_chain_is_read_or_written(crowd: Crowd, rows: int) -> None:
    await asyncio.gather(*(crowd.read(rows) for _ in range(TASKS)))
    assert crowd.foreign == []
    assert crowd.seen["rows"] >= rows
    assert crowd.seen["given up"] > TASKS // 4
    assert crowd.seen["written"] > 0
    astray = "SELECT count(*) FROM note WHERE left(title, 36) <> chain_id::text"
    assert await crowd.notes.admin.fetchval(astray) == 0


async def test_a_connection_that_comes_back_belongs_to_no_chain(crowd: Crowd) -> None:
    await asyncio.gather(*(crowd.read(5_000) for _ in range(TASKS)))
    connections = [await crowd.notes.pool.acquire() for _ in range(CONNECTIONS)]
    found = [(await conn.fetchval("SELECT count(*) FROM note"), conn.is_in_transaction()) for conn in connections]
    for conn in connections:  # Before anything can fail: a pool waits for what is out.
        await crowd.notes.pool.release(conn)
    assert found == [(0, False)] * CONNECTIONS
