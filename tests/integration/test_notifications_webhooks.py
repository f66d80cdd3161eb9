"""Webhooks through their door, and over real HTTP to whoever is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.webhooks import CONFIRMED, Hooks, Receiver, open_hooks, receiving


@pytest_asyncio.fixture
async def hooks(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Hooks]:
    async with open_hooks(postgres_url, issuer_folder) as hooks:
        yield hooks


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_an_event_is_told_signed_and_with_ids_only(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.endpoint(receiver.url)
    event = await hooks.confirm()
    assert await hooks.sender().drain() == 1
    [got] = receiver.got
    assert got.verified(made.secret) == {
        "type": CONFIRMED,
        "timestamp": "2027-03-01T16:00:00Z",
        "data": {
            "event_id": event.meta.event_id,
            "chain_id": event.meta.chain_id,
            "site_id": event.site_id,
            "visit_id": event.visit_id,
            "course_id": event.course_id,
            "patient_id": event.patient_id,
        },
    }
    assert got.target == "/hooks?from=atoll"
    assert got.headers["content-type"] == "application/json"
    assert await hooks.states() == [("DELIVERED", 1, "HTTP_204")]
