"""Connections are lent one at a time, opened anew when they were lost, and never lost count of."""

import asyncio

import asyncpg
import pytest

from chassis.pool import Connection, Pool
from tests.support.service import Running


async def test_what_came_back_last_is_lent_first(notes: Running) -> None:
    async with Pool(notes.urls.service, size=2) as pool:
        one, other = await pool.take(), await pool.take()
        pool.give(other)
        pool.give(one)
        assert [await pool.take(), await pool.take()] == [one, other]


async def test_a_connection_that_was_lost_is_opened_anew_for_whoever_is_lent_it_next(notes: Running) -> None:
    async with Pool(notes.urls.service, size=1) as pool:
        lost = await pool.take()
        lost.terminate()
        pool.give(lost)
        assert await pool.fetchval("SELECT 1") == 1
        assert (pool.get_idle_size(), pool.get_size()) == (1, 1)


async def test_a_connection_that_cannot_be_opened_leaves_its_place_to_the_next(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(pool: Pool) -> Connection:
        raise ConnectionRefusedError

    async with Pool(notes.urls.service, size=1) as pool:
        lost = await pool.take()
        lost.terminate()
        pool.give(lost)
        with monkeypatch.context() as patched:
            patched.setattr(Pool, "_open", refused)
            for _ in range(2):
                with pytest.raises(ConnectionRefusedError):
                    await pool.take()
        assert await pool.fetchval("SELECT 1") == 1


async def test_whoever_waits_is_lent_what_comes_back_in_the_order_of_their_coming(notes: Running) -> None:
    async with Pool(notes.urls.service, size=1) as pool:
        lent = await pool.take()
        first, second = asyncio.create_task(pool.take()), asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        pool.give(lent)
        late = asyncio.create_task(pool.take())
        assert await first is lent
        assert not second.done()
        pool.give(lent)
        assert await second is lent
        pool.give(lent)
        assert await late is lent
        pool.give(lent)


async def test_whoever_stops_waiting_takes_nothing_along(notes: Running) -> None:
    async with Pool(notes.urls.service, size=1) as pool:
        lent = await pool.take()
        with pytest.raises(TimeoutError):
            await pool.take(0.01)
        gone = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        pool.give(lent)  # In the same instant as the caller goes.
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert pool.get_idle_size() == 1
        assert await pool.take(1) is lent
        pool.give(lent)


async def test_a_pool_that_is_closed_lends_nothing_and_cuts_what_comes_back(notes: Running) -> None:
    async with Pool(notes.urls.service, size=2) as pool:
        lent, idle = await pool.take(), pool._idle[0]
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await pool.take()
    pool.give(lent)
    assert idle is not None
    assert lent.is_closed()
    assert idle.is_closed()


async def test_a_pool_that_cannot_be_opened_whole_keeps_no_connection_open(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, opening = list[Connection](), Pool._open

    async def some(pool: Pool) -> Connection:
        if opened:
            raise ConnectionRefusedError
        opened.append(None)  # type: ignore[arg-type]  # Before it is there, so that the other fails.
        opened[0] = await opening(pool)
        return opened[0]

    monkeypatch.setattr(Pool, "_open", some)
    with pytest.raises(ConnectionRefusedError):
        await Pool(notes.urls.service, size=2).__aenter__()
    assert opened[0].is_closed()
