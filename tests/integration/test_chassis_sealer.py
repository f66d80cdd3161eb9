"""The audit trail is hash-chained beside the transactions, and whoever touches it is found out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from chassis.call import Call
from chassis.db import Pool, open_pool
from chassis.ids import new_id
from chassis.sealer import Head, Sealer, Verdict, read_chains, read_heads, verify
from tests.support.notes import NoteStore, create_request
from tests.support.service import Running


@pytest_asyncio.fixture
async def pool(notes: Running) -> AsyncIterator[Pool]:
    async with open_pool(notes.urls.sealer, size=2) as pool:
        yield pool


async def look(notes: Running, chain_id: UUID | None = None, times: int = 1) -> None:
    """Leaves an audit row each time."""
    call = Call(chain_id or notes.chain_id, None, "user", "GetNote", "", 3, notes.now)  # type: ignore[arg-type]

    async def nothing(store: NoteStore) -> None:
        return None

    for _ in range(times):
        await notes.db.read(call, create_request(new_id()), NoteStore, nothing)


async def verdict(notes: Running, kept: Head | None = None, chain_id: UUID | None = None) -> Verdict:
    conn: Any = await asyncpg.connect(notes.urls.sealer)
    try:
        return await verify(conn, chain_id or notes.chain_id, kept)
    finally:
        await conn.close()


async def head(pool: Pool) -> Head:
    async with pool.acquire() as conn:
        [head] = await read_heads(conn)
    return head


async def test_rows_are_sealed_once_each_and_in_their_order(notes: Running, pool: Pool) -> None:
    sealer = Sealer(pool)
    await look(notes, times=3)
    assert [await sealer.seal(), await sealer.seal()] == [3, 0]
    await look(notes)
    assert await sealer.seal() == 1
    seals = await notes.admin.fetch("SELECT sequence, position FROM audit_seal ORDER BY sequence")
    assert [tuple(row) for row in seals] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert await verdict(notes) == Verdict(notes.chain_id, 4, "")


async def test_more_rows_than_a_batch_are_sealed_in_batches(
    notes: Running, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(notes, times=2)
    await notes.admin.execute(
        "INSERT INTO audit (chain_id, actor, method, kind, cause, ids, at) "
        "SELECT chain_id, actor, method, kind, cause, ids, at FROM audit, generate_series(1, 1500)"
    )
    sealer = Sealer(pool)
    assert [await sealer.seal() for _ in range(3)] == [2000, 1002, 0]
    assert await verdict(notes) == Verdict(notes.chain_id, 3002, "")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE audit SET actor = 'another' WHERE position = 2", "row 2 was changed or moved"),
        ('UPDATE audit SET ids = \'{"note_id": "x"}\' WHERE position = 2', "row 2 was changed or moved"),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE position = 2", "row 2 was changed or moved"),
        ("UPDATE audit SET method = kind, kind = method WHERE position = 2", "row 2 was changed or moved"),
        ("DELETE FROM audit WHERE position = 2", "row 2 was removed"),
        ("DELETE FROM audit_seal WHERE position = 2", "seal 2 is missing"),
        ("DELETE FROM audit WHERE position = 4", "row 4 was removed"),
        ("UPDATE audit_seal SET hash = sha256(hash) WHERE position = 2", "row 2 was changed or moved"),
        (
            "UPDATE audit_seal SET position = -position; "
            "UPDATE audit_seal SET position = CASE position WHEN -2 THEN 3 WHEN -3 THEN 2 ELSE -position END",
            "row 3 was changed or moved",
        ),
    ],
)
async def test_a_row_that_is_changed_removed_or_moved_is_found(
    notes: Running, pool: Pool, change: str, fault: str
) -> None:
    await look(notes, times=4)
    await notes.admin.execute("UPDATE audit SET cause = position::text")
    await Sealer(pool).seal()
    assert (await verdict(notes)).fault == ""
    await notes.admin.execute(change)
    assert (await verdict(notes)).fault == fault


async def test_a_row_that_is_slipped_in_below_the_seals_is_reported(notes: Running, pool: Pool) -> None:
    await look(notes, times=2)
    await notes.admin.execute("DELETE FROM audit WHERE position = 1")
    await Sealer(pool).seal()
    await notes.admin.execute(
        "INSERT INTO audit (chain_id, position, actor, method, kind, cause, ids, at) OVERRIDING SYSTEM VALUE "
        "SELECT chain_id, 1, 'nobody', method, kind, cause, ids, at FROM audit"
    )
    found = await verdict(notes)
    assert (found.fault, found.unsealed, found.late) == ("", 1, 1)


async def test_a_row_that_is_slipped_in_with_a_seal_is_found(notes: Running, pool: Pool) -> None:
    await look(notes, times=2)
    await Sealer(pool).seal()
    await look(notes)
    await notes.admin.execute(
        "UPDATE audit_seal SET sequence = 3 WHERE sequence = 2; "
        "INSERT INTO audit_seal (chain_id, sequence, position, hash) "
        "SELECT chain_id, 2, 3, hash FROM audit_seal LIMIT 1"
    )
    assert (await verdict(notes)).fault == "row 3 was changed or moved"


async def test_a_trail_whose_end_was_cut_off_is_found_by_a_head_that_was_kept(notes: Running, pool: Pool) -> None:
    await look(notes, times=3)
    await Sealer(pool).seal()
    kept = await head(pool)
    await notes.admin.execute("DELETE FROM audit_seal WHERE sequence = 3; DELETE FROM audit WHERE position = 3")
    assert (await verdict(notes)).fault == ""  # By itself it is a trail like any other.
    assert (await verdict(notes, kept)).fault == "it ends at seal 2, before the exported 3"


async def test_a_trail_that_was_made_anew_is_found_by_a_head_that_was_kept(notes: Running, pool: Pool) -> None:
    await look(notes, times=3)
    await Sealer(pool).seal()
    kept = await head(pool)
    await notes.admin.execute("DELETE FROM audit_seal; UPDATE audit SET actor = 'another' WHERE position = 2")
    await Sealer(pool).seal()
    assert (await verdict(notes)).fault == ""
    assert (await verdict(notes, kept)).fault == "seal 3 is not the one exported before"


async def test_a_kept_head_stays_good_as_the_trail_grows(notes: Running, pool: Pool) -> None:
    sealer = Sealer(pool)
    await look(notes, times=2)
    await sealer.seal()
    kept = await head(pool)
    await look(notes, times=2)
    await sealer.seal()
    assert await verdict(notes, kept) == Verdict(notes.chain_id, 4, "")


async def commits_late(notes: Running, written: asyncio.Event, commit: asyncio.Event) -> None:
    """Writes its audit row, and with it takes its position, before others do, and commits after them."""

    async def work(store: NoteStore) -> None:
        await store.note_read(create_request(new_id()))
        written.set()
        await commit.wait()

    await notes.db.job(notes.inside("late"), NoteStore, work)


async def test_a_row_that_commits_late_below_a_sealed_position_is_sealed(notes: Running, pool: Pool) -> None:
    sealer, written, commit = Sealer(pool), asyncio.Event(), asyncio.Event()
    late = asyncio.create_task(commits_late(notes, written, commit))
    await written.wait()
    await look(notes, times=2)
    assert await sealer.seal() == 2
    assert await sealer.seal() == 0
    commit.set()
    await late
    assert (await verdict(notes)).late == 1
    assert await sealer.seal() == 1
    assert await verdict(notes) == Verdict(notes.chain_id, 3, "")


async def test_a_sealer_that_starts_anew_seals_what_commits_late_below_the_last_ones_seals(
    notes: Running, pool: Pool
) -> None:
    written, commit = asyncio.Event(), asyncio.Event()
    late = asyncio.create_task(commits_late(notes, written, commit))
    await written.wait()
    await look(notes, times=2)
    await Sealer(pool).seal()
    second = Sealer(pool)
    assert await second.seal() == 0
    commit.set()
    await late
    assert await second.seal() == 1
    assert (await verdict(notes)).unsealed == 0


async def test_a_position_that_was_rolled_back_is_looked_for_no_longer_than_a_transaction_lives(
    notes: Running, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(notes)
    async with notes.admin.transaction():
        await notes.admin.execute("SELECT nextval(pg_get_serial_sequence('audit', 'position'))")
    await look(notes)
    sealer = Sealer(pool)
    sealer._after = 0  # As one that has run all the while.
    await sealer.seal()
    assert set(sealer._gaps) == {2}
    monkeypatch.setattr("chassis.sealer.GAP_MAX_S", 0.0)
    await sealer.seal()
    assert set(sealer._gaps) == set()


async def test_each_chain_of_clinics_has_a_chain_of_seals_of_its_own(notes: Running, pool: Pool) -> None:
    other, sealer = new_id(), Sealer(pool)
    for chain_id in (notes.chain_id, other, notes.chain_id):
        await look(notes, chain_id)
    assert await sealer.seal() == 3
    assert (await verdict(notes)).sealed == 2
    assert (await verdict(notes, chain_id=other)).sealed == 1
    async with pool.acquire() as conn:
        assert set(await read_chains(conn)) == {notes.chain_id, other}
        assert {each.chain_id: each.sequence for each in await read_heads(conn)} == {notes.chain_id: 2, other: 1}
    await notes.admin.execute("UPDATE audit SET actor = 'another' WHERE chain_id = $1", other)
    assert (await verdict(notes)).fault == ""
    assert (await verdict(notes, chain_id=other)).fault == "row 2 was changed or moved"


async def test_rows_that_are_not_sealed_yet_are_reported_with_the_oldest(notes: Running, pool: Pool) -> None:
    await look(notes)
    await Sealer(pool).seal()
    oldest = notes.now
    await look(notes)
    notes.clock.now = notes.now.replace(day=2)
    await look(notes)
    found = await verdict(notes)
    assert (found.fault, found.sealed, found.unsealed, found.oldest_unsealed, found.late) == ("", 1, 2, oldest, 0)


async def test_two_sealers_at_once_never_give_two_rows_one_place(notes: Running, pool: Pool) -> None:
    one, other = Sealer(pool), Sealer(pool)
    await look(notes, times=5)
    done = await asyncio.gather(one.seal(), other.seal(), return_exceptions=True)
    assert all(isinstance(each, int | asyncpg.UniqueViolationError) for each in done)
    await one.seal()
    assert await verdict(notes) == Verdict(notes.chain_id, 5, "")


async def test_a_sealer_seals_within_its_promise(notes: Running, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.sealer.POLL_S", 0.05)
    sealing = asyncio.create_task(Sealer(pool).run())
    await look(notes, times=2)
    for _ in range(40):
        await asyncio.sleep(0.05)
        if await notes.count("audit_seal") == 2:
            break
    sealing.cancel()
    assert await notes.count("audit_seal") == 2
