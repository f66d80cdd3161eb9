"""A real PostgreSQL and a real NATS for a run of tests, and a database of its own for each test.

The servers are those that ATOLL_POSTGRES_URL and ATOLL_NATS_URL name; with ATOLL_TEST_CONTAINERS set, containers;
else the embedded ones.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

import chassis
from chassis.provision import DEADLOCK_TIMEOUT, DatabaseUrls, database_urls, provision
from deploy.local.nats import nats, nats_url
from deploy.local.postgres import postgres, postgres_url
from deploy.local.process import free_port, start

CHASSIS, MAKERS = Path(chassis.__file__).parent, ("migrate.py", "provision.py")
"""What makes a database, beside its service's migrations."""
MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108  # Where Linux keeps files in memory.
_in_memory: set[str] = set()
"""Servers whose files are there."""


def _folder(*, durable: bool) -> "tempfile.TemporaryDirectory[str]":
    """In memory where there is room, unless what is written shall really be: tests make and drop a thousand databases
    of 600 files each."""
    in_memory = not durable and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return tempfile.TemporaryDirectory(prefix="atoll-", dir=MEMORY if in_memory else None)


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """The server's URL, as its administrator. `durable`: it waits for a disk, as a benchmark must."""
    if url := os.environ.get("ATOLL_POSTGRES_URL"):
        yield url
    elif os.environ.get("ATOLL_TEST_CONTAINERS"):
        require_docker()
        from testcontainers.community.postgres import PostgresContainer

        image = os.environ.get("ATOLL_POSTGRES_IMAGE", "postgres:18")
        container = PostgresContainer(image, username="postgres", dbname="postgres", driver=None)
        with container.with_command("-c max_connections=200") as server:
            yield server.get_connection_url()
    else:
        with _folder(durable=durable) as folder:
            data, logs = Path(folder) / "postgres", Path(folder) / "logs"
            process = start(postgres(data, logs), logs)
            if Path(folder).is_relative_to(MEMORY):
                _in_memory.add(postgres_url(data))
            try:
                yield postgres_url(data)
            finally:
                process.stop()


@contextmanager
def nats_server(*, durable: bool = False) -> Iterator[str]:
    if url := os.environ.get("ATOLL_NATS_URL"):
        yield url
    elif os.environ.get("ATOLL_TEST_CONTAINERS"):
        require_docker()
        from testcontainers.community.nats import NatsContainer

        with NatsContainer(os.environ.get("ATOLL_NATS_IMAGE", "nats:2.15"), jetstream=True) as server:
            yield server.nats_uri()
    else:
        with _folder(durable=durable) as folder:
            port = free_port()
            process = start(nats(Path(folder), port, free_port()), Path(folder) / "logs")
            try:
                yield nats_url(port)
            finally:
                process.stop()


def require_docker() -> None:
    """Ends the run, saying so, where no Docker engine answers."""
    import docker  # type: ignore[import-untyped]

    try:
        docker.from_env(timeout=5).ping()
    except docker.errors.DockerException:
        pytest.exit("CONTAINERS=1 needs a Docker engine, and none answers; without it the embedded servers are used", 1)


async def create_template(server_url: str, service: str) -> None:
    """The service's database, migrated, to be cloned for each test. One that a run made of the same before is kept."""
    from chassis.migrate import migrate, migrations_of

    template = f"{service}_template"
    digest = _digest(*(CHASSIS / name for name in MAKERS), *migrations_of(service).rglob("*.py"))
    if await _comment(server_url, template) == digest:
        return
    await _execute(server_url, f"DROP DATABASE IF EXISTS {template} WITH (FORCE)")
    urls = await provision(server_url, service, database=template, password=password_of(server_url))
    await migrate(urls.owner, service)
    await _execute(server_url, f"COMMENT ON DATABASE {template} IS '{digest}'")


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


async def _comment(server_url: str, database: str) -> str | None:
    admin = await asyncpg.connect(server_url)
    try:
        found: str | None = await admin.fetchval(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", database
        )
    finally:
        await admin.close()
    return found


_templates: set[tuple[str, str]] = set()
"""Server and service, of the templates that this run made or found."""


async def clone(server_url: str, service: str) -> DatabaseUrls:
    """A fresh database made from the service's template, in about 30 ms. Settings of a database are not cloned.

    The template is made when a run first asks for it: a run of one service's tests migrates no other.
    """
    if (server_url, service) not in _templates and importlib.util.find_spec(f"services.{service}"):
        await create_template(server_url, service)
        _templates.add((server_url, service))
    name = f"{service}_{uuid.uuid4().hex[:12]}"
    copied = "FILE_COPY" if server_url in _in_memory else "WAL_LOG"  # Which takes half as long, or five times.
    await _execute(
        server_url,
        f"CREATE DATABASE {name} OWNER {service}_owner TEMPLATE {service}_template STRATEGY {copied}",
        f"ALTER DATABASE {name} SET deadlock_timeout = '{DEADLOCK_TIMEOUT}'",
    )
    return database_urls(server_url, service, name, password_of(server_url))


async def drop(server_url: str, database: DatabaseUrls) -> None:
    await _execute(server_url, f"DROP DATABASE {urlsplit(database.owner).path.lstrip('/')} WITH (FORCE)")


def as_administrator(server_url: str, database: DatabaseUrls) -> str:
    """The database as the server's administrator, who sees past row-level security."""
    return urlsplit(server_url)._replace(path=urlsplit(database.owner).path).geturl()


async def _execute(server_url: str, *statements: str) -> None:
    admin = await asyncpg.connect(server_url)
    try:
        for statement in statements:
            await admin.execute(statement)
    finally:
        await admin.close()


def password_of(server_url: str) -> str:
    """The roles that tests make have the administrator's password, if the server asks for one."""
    return unquote(urlsplit(server_url).password or "")
