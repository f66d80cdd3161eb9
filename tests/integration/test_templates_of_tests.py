"""A template is made once for as long as it is made of the same: rows of mutants make it in each process otherwise."""

import asyncpg
import pytest

from tests.support import servers
from tests.support.servers import create_template

SERVICE = "scheduling"
MADE = f"SELECT oid FROM pg_database WHERE datname = '{SERVICE}_template'"


async def made(server_url: str) -> int:
    await create_template(server_url, SERVICE)
    admin = await asyncpg.connect(server_url)
    try:
        return int(await admin.fetchval(MADE))
    finally:
        await admin.close()


async def test_a_template_is_kept_until_what_makes_it_changes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await made(postgres_url)
    assert await made(postgres_url) == first

    monkeypatch.setattr(servers, "MAKERS", ("migrate.py",))
    assert await made(postgres_url) != first
