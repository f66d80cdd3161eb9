"""One PostgreSQL and one NATS for the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import nats_server, postgres_server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with nats_server() as url:
        yield url


@pytest.fixture(scope="session")
def issuer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the development issuer."""
    return tmp_path_factory.mktemp("issuer")
