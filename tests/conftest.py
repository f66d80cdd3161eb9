"""One PostgreSQL and one NATS for the whole run, with a migrated template database per service."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.servers import create_template, nats_server, postgres_server

NAMES = os.environ.get("ATOLL_TEST_SERVICES", "patients,scheduling,billing,notifications")
SERVICES = [name for name in NAMES.split(",") if name]


@pytest_asyncio.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    with postgres_server() as url:
        for service in SERVICES:
            await create_template(url, service)
        yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with nats_server() as url:
        yield url


@pytest.fixture(scope="session")
def issuer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the development issuer."""
    return tmp_path_factory.mktemp("issuer")
