"""Packages: offered, sold, drawn from by visits that took place, and settled between sites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.billing import open_billing, open_chain
from tests.support.packages import Packages
from tests.support.service import Running


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def chain(service: Running) -> Packages:
    return await Packages(await open_chain(service)).open()
