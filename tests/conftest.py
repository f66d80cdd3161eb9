"""One PostgreSQL and one NATS for the whole run; property tests try the same examples in each run."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import Phase, settings

from tests.support.databases import handing_on
from tests.support.others import SHARED
from tests.support.record_keys import write_keys
from tests.support.servers import nats_server, postgres_server

# A run passes or fails for what was changed, not by luck. `--hypothesis-profile explore` looks for new examples.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False, print_blob=True)
# Of a mutant nobody reads the smallest example, which takes longer than all the rest.
settings.register_profile("mutants", derandomize=True, phases=(Phase.explicit, Phase.generate))
settings.load_profile("same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Imports and exports are tried with files that tests make; those of others come on top, where there are any."""
    others = [] if SHARED.is_dir() else [item for item in items if item.get_closest_marker("others")]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not SHARED.is_dir():
        terminalreporter.write_line("no ../shared/data: tests that read files of others were left out")


@pytest_asyncio.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    with postgres_server() as url:
        async with handing_on(url):
            yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with nats_server() as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def record_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What texts of patients' records are sealed with, unless a test has keys of its own."""
    path = tmp_path_factory.mktemp("keys") / "record-keys.json"
    write_keys(path, "1")
    os.environ["ATOLL_RECORD_KEYS_FILE"] = str(path)
    return path


@pytest.fixture(scope="session")
def issuer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the development issuer."""
    return tmp_path_factory.mktemp("issuer")
