"""Brings a service's database to the newest schema. Forward only; run by the owner role, before the service starts."""

import asyncio
import importlib.util
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, pool
from sqlalchemy.ext.asyncio import create_async_engine

LOCK_TIMEOUT = "5s"
"""A migration that would have to wait longer for a table fails, instead of making every call wait behind it."""
VERSION_TABLE = "schema_version"


def migrations_of(service: str) -> Path:
    spec = importlib.util.find_spec(f"services.{service}")
    if spec is None or spec.origin is None:
        raise LookupError(f"no service {service}")
    return Path(spec.origin).parent / "migrations"


def config_for(owner_url: str, service: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_of(service)).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", owner_url.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["service"] = service
    return config


async def migrate(owner_url: str, service: str, revision: str = "head") -> None:
    await asyncio.to_thread(command.upgrade, config_for(owner_url, service), revision)


def run_environment(metadata: MetaData) -> None:
    """What each service's migrations/env.py does."""
    asyncio.run(_run_online(metadata))


async def _run_online(metadata: MetaData) -> None:
    from alembic import context  # Exists while Alembic runs env.py only.

    url = str(context.config.get_main_option("sqlalchemy.url")).replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run, metadata)
    await engine.dispose()


def _run(connection: Connection, metadata: MetaData) -> None:
    from alembic import context

    options = context.config.attributes.get("options", {})
    context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, **options)
    with context.begin_transaction():
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()
