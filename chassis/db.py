"""One RPC, one event or one step of a job is one transaction, opened here and nowhere else.

Its changes, its outbox rows, its audit row and its remembered answer commit together or not at all.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from asyncpg import Record
from google.protobuf.message import Message

from atoll.common.v1.access_pb2 import AUDIT_PHI_READ
from chassis.call import Call
from chassis.errors import NulInText, TryAgain
from chassis.pool import Connection, Pool
from chassis.store import NotedRead, Store

ATTEMPTS_MAX = 3
ACQUIRE_S = 2.0
RETRYABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# Out of reach for now, or too busy: nothing was changed, unless the connection broke in the commit. Then the remembered
# response is found when the request comes again. Since Python 3.11 TimeoutError is an OSError: a deadline that runs out
# is told apart by `chassis.endpoint`, which cancels.
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # It stops, starts, crashed, or cancelled a statement at its timeout.
    asyncpg.InsufficientResourcesError,  # Connections, memory or disk.
    asyncpg.LockNotAvailableError,
)
NO_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""A NUL, in a text or in JSON."""

S = TypeVar("S", bound=Store)
M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Database:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, call: Call, *, read_only: bool = False) -> AsyncIterator[Connection]:
        """BEGIN and who may see what, which row-level security asks for, go in one round trip.

        As SET LOCAL, which is not planned: a SELECT of `set_config` costs three times as much.
        """
        begin = [f"BEGIN {'READ ONLY' if read_only else ''}", "SET LOCAL plan_cache_mode = 'auto'"]
        for name, value in call.settings.items():  # An actor is whatever an issuer calls its users.
            quoted = value.replace("'", "''")  # `chassis.auth` refuses a NUL.
            begin.append(f"SET LOCAL app.{name} = '{quoted}'")
        async with self._pool.acquire(timeout=ACQUIRE_S) as conn:
            try:  # Around BEGIN and COMMIT too: who is cancelled there may leave a transaction open.
                await conn.execute("; ".join(begin))
                yield conn
                await conn.execute("COMMIT")
            except BaseException:
                await _roll_back(conn)
                raise

    async def once(
        self,
        call: Call,
        request: Message,
        response_type: type[M],
        store_type: type[S],
        work: Callable[[S], Awaitable[M]],
        *,
        locks: Iterable[UUID] = (),
    ) -> M:
        """The answer of `work`, done once per request_id while no other call holds one of `locks`."""
        ordered = sorted(set(locks))  # Here, since each attempt takes them anew.

        async def steps(store: S) -> M:
            earlier = await store.claim(request, ordered)
            if earlier is not None:
                return response_type.FromString(earlier)
            response = await work(store)
            await store.settle(request, response)
            return response

        return await self._attempt(call, store_type, steps)

    async def read(self, call: Call, request: Message, store_type: type[S], work: Callable[[S], Awaitable[T]]) -> T:
        """What `work` reads, in a read-only transaction; or, if who saw it must be kept, with an audit row."""
        audited = call.audit == AUDIT_PHI_READ

        async def steps(store: S) -> T:
            if audited:
                store.noting(request)
            found = await work(store)
            await store.note_read(found)
            return found

        return await self._attempt(call, store_type, steps, read_only=not audited)

    async def read_row(
        self, call: Call, request: Message, store_type: type[S], read: NotedRead, **values: Any
    ) -> Record | None:
        """The row that `read` finds, noted, in one round trip: the statement is the transaction."""

        async def steps(store: S) -> Record | None:
            store.noting(request)
            return await store.noted_row(read, **values)

        return await self._attempt(call, store_type, steps, apart=True)

    async def read_apart(
        self, call: Call, request: Message, store_type: type[S], work: Callable[[S], Awaitable[T]]
    ) -> T:
        """What `work` reads by statements that are `Apart`, each a transaction by itself, with an audit row of it all:
        two round trips less, where it does not matter whether all of them see the same instant."""

        async def steps(store: S) -> T:
            store.noting(request)
            found = await work(store)
            await store.note_read(found)
            return found

        return await self._attempt(call, store_type, steps, apart=True)

    async def effect(
        self,
        call: Call,
        events: Mapping[UUID, Message],
        store_type: type[S],
        work: Callable[[S, Sequence[Message]], Awaitable[None]],
    ) -> None:
        """Does `work` for those of the events, by their ids, for which the consumer has not done it before."""

        async def steps(store: S) -> None:
            new = await store.first_times(call.method, list(events))
            if fresh := [event for id, event in events.items() if id in new]:
                await work(store, fresh)
                await store.settle_events(fresh)

        await self._attempt(call, store_type, steps)

    async def job(self, call: Call, store_type: type[S], work: Callable[[S], Awaitable[T]]) -> T:
        """One step of background work: its changes and its events commit together."""

        async def steps(store: S) -> T:
            done = await work(store)
            await store.settle_job()
            return done

        return await self._attempt(call, store_type, steps)

    async def _attempt(
        self,
        call: Call,
        store_type: type[S],
        steps: Callable[[S], Awaitable[T]],
        *,
        read_only: bool = False,
        apart: bool = False,
    ) -> T:
        """Runs `steps` in one transaction, and again where PostgreSQL asks for it: they touch nothing but the store."""
        for _ in range(ATTEMPTS_MAX):
            begun = self._pool.acquire(timeout=ACQUIRE_S) if apart else self.transaction(call, read_only=read_only)
            try:
                async with begun as conn:
                    return await steps(store_type(conn, call, apart=apart))
            except RETRYABLE:
                continue
            except asyncpg.IntegrityConstraintViolationError as error:
                if refusal := store_type.refusals.get(error.constraint_name or ""):
                    raise refusal() from error
                raise
            except asyncpg.InsufficientPrivilegeError as error:
                if refusal := store_type.refusals.get(_policy_of(error)):
                    raise refusal() from error
                raise
            except NO_TEXT:  # Whose message quotes it.
                raise NulInText() from None
            except AWAY as error:
                raise TryAgain() from error
            except asyncpg.InterfaceError as error:
                if _connection_lost(error):
                    raise TryAgain() from error
                raise
        raise TryAgain()


def _policy_of(error: asyncpg.InsufficientPrivilegeError) -> str:
    """The policy that a new row breaks, which PostgreSQL names in its message only."""
    found = re.search(r'policy "([^"]+)"', str(error))
    return found[1] if found else ""


def _connection_lost(error: asyncpg.InterfaceError) -> bool:
    """asyncpg has no class of its own for it; its other interface errors are mistakes of ours."""
    return "closed" in str(error) or "closing" in str(error)


async def _roll_back(conn: Connection) -> None:
    """A connection that cannot roll back is closed: the pool replaces it, and PostgreSQL rolls back by itself."""
    if conn.is_closed():
        return
    try:
        await conn.execute("ROLLBACK")
    except (asyncpg.InterfaceError, asyncpg.PostgresError, OSError, asyncio.CancelledError):
        conn.terminate()
