"""The notes service of `tests.support.notes`, its streams and its relay."""

from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest_asyncio
from nats.aio.client import Client as NATS
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from chassis.pool import open_pool
from chassis.relay import Relay
from tests.support.notes import SERVICE, create_notes_template
from tests.support.service import Running, running

DUPLICATES_S = 0.1


@pytest_asyncio.fixture(scope="session")
async def notes_server(postgres_url: str) -> str:
    await create_notes_template(postgres_url)
    return postgres_url


@pytest_asyncio.fixture
async def notes(notes_server: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with running(SERVICE, notes_server, issuer_folder) as notes:
        yield notes


@pytest_asyncio.fixture
async def nats_client(nats_url: str) -> AsyncIterator[NATS]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def js(nats_client: NATS) -> AsyncIterator[JetStreamContext]:
    """Streams that forget a copy soon, so that a test need not wait for that."""
    js = nats_client.jetstream()
    for stream in ("NOTES", "SHELVES"):
        config = StreamConfig(stream, subjects=[f"{stream.lower()}.>"], duplicate_window=DUPLICATES_S)
        await js.add_stream(config)
    yield js
    for stream in ("NOTES", "SHELVES"):
        await js.delete_stream(stream)


@pytest_asyncio.fixture
async def relay(notes: Running, js: JetStreamContext, nats_client: NATS) -> AsyncIterator[Relay]:
    """With the streams of `js`."""
    async with open_pool(notes.urls.relay, size=2) as pool:
        yield Relay(pool, nats_client)
