"""Makes a service's database and its roles on a PostgreSQL server. The service itself never has these rights.

owner: owns the tables, runs migrations. The service's own role, relay and sealer own nothing, and get by GRANT what
each needs. None is a superuser or may bypass row-level security.

    ATOLL_POSTGRES_URL=postgresql://admin@… python -m chassis.provision patients scheduling …

Passwords are their administrator's to set: what this makes has none.
"""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "30s"
IDLE_IN_TRANSACTION_TIMEOUT = "60s"
DEADLOCK_TIMEOUT = "100ms"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One database, as each of its roles."""

    owner: str
    service: str
    relay: str
    sealer: str


def database_urls(server_url: str, service: str, database: str | None = None, password: str = "") -> DatabaseUrls:
    """`server_url` names the server as its administrator; `database` defaults to the service's own."""
    roles = (f"{service}_owner", service, f"{service}_relay", f"{service}_sealer")
    return DatabaseUrls(*(_as_role(server_url, role, database or service, password) for role in roles))


async def provision(server_url: str, service: str, *, database: str | None = None, password: str = "") -> DatabaseUrls:
    """Creates what is missing, changes nothing that is there but passwords. Needs a role that may create both."""
    urls = database_urls(server_url, service, database, password)
    admin = await asyncpg.connect(server_url)
    try:
        for role in (f"{service}_owner", service, f"{service}_relay", f"{service}_sealer"):
            await _create_role(admin, role, password)
        settings = {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": STATEMENT_TIMEOUT}
        settings["idle_in_transaction_session_timeout"] = IDLE_IN_TRANSACTION_TIMEOUT
        for name, value in settings.items():
            await admin.execute(f"ALTER ROLE {service} SET {name} = '{value}'")
        name = database or service
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            made = f"CREATE DATABASE {name} OWNER {service}_owner ENCODING 'UTF8' TEMPLATE template0"
            await admin.execute(made)  # Whatever the server's own databases are in: one in SQL_ASCII takes no names.
        await _lower_deadlock_timeout(admin, name)
    finally:
        await admin.close()
    await _create_extensions(_in_database(server_url, name))
    return urls


async def _create_role(admin: "asyncpg.Connection[asyncpg.Record]", role: str, password: str) -> None:
    if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await admin.execute(f"CREATE ROLE {role} LOGIN NOINHERIT NOBYPASSRLS")
    if password:
        quoted = await admin.fetchval("SELECT quote_literal($1::text)", password)
        await admin.execute(f"ALTER ROLE {role} PASSWORD {quoted}")


async def _lower_deadlock_timeout(admin: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    """A superuser's setting; where we are none, as on managed servers, the default of one second stays."""
    if await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        await admin.execute(f"ALTER DATABASE {database} SET deadlock_timeout = '{DEADLOCK_TIMEOUT}'")


async def _create_extensions(url: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        for extension in ("btree_gist", "pg_trgm", "unaccent"):
            await conn.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        await conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    finally:
        await conn.close()


def _as_role(server_url: str, role: str, database: str, password: str) -> str:
    """`server_url` with another role and database; its host may be a socket folder in the query, which stays."""
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    secret = f":{quote(password, safe='')}" if password else ""
    return urlunsplit(parts._replace(netloc=f"{role}{secret}@{host}", path=f"/{database}"))


def _in_database(server_url: str, database: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


def _service(text: str) -> str:
    """It becomes part of names in SQL."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a service")
    return text


def main(given: Sequence[str] | None = None) -> None:
    arguments = argparse.ArgumentParser(prog="chassis.provision", description="Makes databases and roles of services")
    arguments.add_argument("services", nargs="+", type=_service, metavar="SERVICE")
    services, server_url = arguments.parse_args(given).services, os.environ.get("ATOLL_POSTGRES_URL")
    if not server_url:
        arguments.error("ATOLL_POSTGRES_URL is to name the server, as its administrator")
    for service in services:
        try:
            asyncio.run(provision(server_url, service))
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            arguments.error(f"{service} is not made: {str(error) or type(error).__name__}")
        sys.stdout.write(f"{service}: roles {service}_owner, {service}, {service}_relay, {service}_sealer\n")


if __name__ == "__main__":
    main()
