"""What the migrations of each service make: what its tables.py says, no more and no less, and secured."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.ids import new_id
from chassis.migrate import VERSION_TABLE, config_for, migrate, migrations_of
from chassis.provision import DatabaseUrls, main, provision
from chassis.tables import security
from tests.contract.found import SERVICES
from tests.support.servers import as_administrator, clone, drop, password_of

SHAPE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, ''), is_identity
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "policies": """
        SELECT tablename, policyname, permissive, roles::text, cmd, coalesce(qual, ''), coalesce(with_check, '')
        FROM pg_policies""",
    "security": """
        SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace""",
    "grants": """
        SELECT relname, coalesce(attname, ''), acl.grantee::regrole::text, acl.privilege_type
        FROM pg_class CROSS JOIN LATERAL (
            SELECT NULL AS attname, relacl AS list
            UNION ALL SELECT attname, attacl FROM pg_attribute WHERE attrelid = pg_class.oid AND attacl IS NOT NULL
        ) AS granted CROSS JOIN LATERAL aclexplode(list) AS acl
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND acl.grantee <> relowner""",
    "functions": """
        SELECT proname, prosrc, prosecdef, proacl::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')""",
    "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}


def tables_of(service: str) -> MetaData:
    metadata: MetaData = importlib.import_module(f"services.{service}.tables").metadata
    return metadata


async def shape(url: str) -> dict[str, set[tuple[Any, ...]]]:
    conn = await asyncpg.connect(url)
    try:
        found = {name: {tuple(row) for row in await conn.fetch(query)} for name, query in SHAPE.items()}
    finally:
        await conn.close()
    return {name: {row for row in rows if VERSION_TABLE not in str(row[0])} for name, rows in found.items()}


@pytest_asyncio.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def migrated(postgres_url: str, service: str) -> AsyncIterator[DatabaseUrls]:
    urls = await clone(postgres_url, service)
    yield urls
    await drop(postgres_url, urls)


@pytest_asyncio.fixture
async def drawn(postgres_url: str, service: str) -> AsyncIterator[DatabaseUrls]:
    """A database straight from tables.py."""
    urls = await provision(postgres_url, service, database=f"{service}_drawn", password=password_of(postgres_url))
    engine = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://", 1))
    metadata = tables_of(service)
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
        for statement in metadata.info.get("ddl", ()):
            await conn.exec_driver_sql(statement)
        for table in metadata.sorted_tables:
            for statement in (*security(table, service), *table.info.get("ddl", ())):
                await conn.exec_driver_sql(statement)
    await engine.dispose()
    yield urls
    await drop(postgres_url, urls)


async def test_migrations_make_what_the_tables_say(
    postgres_url: str, migrated: DatabaseUrls, drawn: DatabaseUrls
) -> None:
    """Policies, grants, exclusion constraints and triggers included, of which Alembic's own check sees nothing."""
    made, said = [await shape(as_administrator(postgres_url, urls)) for urls in (migrated, drawn)]
    assert {name: rows - said[name] for name, rows in made.items() if rows - said[name]} == {}
    assert {name: rows - made[name] for name, rows in said.items() if rows - made[name]} == {}


async def test_every_table_has_forced_row_level_security_and_shows_the_own_chain_only(
    postgres_url: str, migrated: DatabaseUrls, service: str
) -> None:
    found = await shape(as_administrator(postgres_url, migrated))
    tables = {name for name, _, _ in found["security"]}
    assert tables == set(tables_of(service).tables)
    assert {name for name, enabled, forced in found["security"] if not (enabled and forced)} == set()
    confined = {policy: {row[0] for row in found["policies"] if row[1] == policy} for policy in ("own_chain",)}
    assert confined["own_chain"] == tables


@pytest.mark.parametrize(("column", "policy"), [("site_id", "own_sites"), ("patient_id", "own_patient")])
async def test_every_table_with_sites_or_patients_is_confined_to_the_callers(
    postgres_url: str, migrated: DatabaseUrls, column: str, policy: str
) -> None:
    found = await shape(as_administrator(postgres_url, migrated))
    holding = {row[0] for row in found["columns"] if row[1] == column}
    assert {row[0] for row in found["policies"] if row[1] == policy and row[2] == "RESTRICTIVE"} == holding


async def test_no_other_role_is_let_past_the_own_chain_but_relay_and_sealer(
    postgres_url: str, migrated: DatabaseUrls, service: str
) -> None:
    """The service itself may see which chains there are, in a table that holds nothing else."""
    found = await shape(as_administrator(postgres_url, migrated))
    others = {(row[0], row[3]) for row in found["policies"] if row[2] == "PERMISSIVE" and row[1] != "own_chain"}
    relay, sealer = f"{{{service}_relay}}", f"{{{service}_sealer}}"
    assert {role for _, role in others} <= {relay, sealer, f"{{{service}}}"}
    listing = {table for table, role in others if role == f"{{{service}}}"}
    assert {row[1] for row in found["columns"] if row[0] in listing} <= {"chain_id"}
    short_lived = {table.name for table in tables_of(service).sorted_tables if table.info.get("aged_by")}
    swept = {table for table, role in others if role == relay}
    assert swept == {"outbox", "inbox", "idempotency", "dead_letter"} | short_lived
    assert {table for table, role in others if role == sealer} == {"audit", "audit_seal", "audit_subject"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_key_of_every_table_starts_with_the_chain(name: str) -> None:
    for table in tables_of(name).sorted_tables:
        assert next(iter(table.primary_key.columns)).name == "chain_id", table.name
        for index in table.indexes:
            if index.unique:
                assert next(iter(index.columns)).name == "chain_id", index.name


@pytest.mark.parametrize("name", SERVICES)
def test_revisions_follow_one_another_in_one_line(name: str) -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(config_for("postgresql://x", name))
    assert len(script.get_heads()) == 1
    files = sorted(path.name for path in Path(migrations_of(name) / "versions").glob("*.py"))
    assert [file.partition("_")[0] for file in files] == [f"{n + 1:04d}" for n in range(len(files))]


async def test_letters_that_wait_are_given_a_time_to_be_tried_again(postgres_url: str) -> None:
    """Earlier versions gave them none. What was refused for good stays for somebody to look at."""
    urls = await provision(
        postgres_url, "scheduling", database=f"letters_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "scheduling", "0019")
    await admin.execute(
        """
        INSERT INTO dead_letter
            (chain_id, consumer, message_id, subject, payload, reason, waits_for, attempts, replay_at)
        SELECT $1, 'scheduling', name, '', '', '', waits_for, 1, replay_at
        FROM (VALUES ('waits', 'site_x', NULL), ('is due later', 'site_x', timestamptz '2100-01-01'),
                     ('was refused', NULL, NULL)) AS letter (name, waits_for, replay_at)
        """,
        new_id(),
    )
    await migrate(urls.owner, "scheduling", "0020")
    timed = await admin.fetch("SELECT message_id, replay_at > now() FROM dead_letter WHERE replay_at IS NOT NULL")
    forced = await admin.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'dead_letter'")
    await admin.close()
    await drop(postgres_url, urls)
    assert {tuple(row) for row in timed} == {("waits", False), ("is due later", True)}
    assert forced is True


async def test_a_command_makes_roles_and_database_once(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_POSTGRES_URL", postgres_url)
    service = f"ledger_{uuid4().hex[:8]}"
    roles = [f"{service}{ending}" for ending in ("_owner", "", "_relay", "_sealer")]
    for _ in range(2):
        await asyncio.to_thread(main, [service])
    conn = await asyncpg.connect(postgres_url)
    try:
        made = await conn.fetch("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = ANY ($1)", roles)
        assert [may for (may,) in made] == [False] * 4
        await conn.execute(f"DROP DATABASE {service}")
        await conn.execute(f"DROP ROLE {', '.join(roles)}")
    finally:
        await conn.close()


@pytest.mark.parametrize(
    ("url", "service", "told"),
    [
        ("", "ledger", "ATOLL_POSTGRES_URL is to name the server"),
        ("postgresql://127.0.0.1:1/postgres", "ledger", "ledger is not made: "),
        ("postgresql://127.0.0.1:1/postgres", "a; DROP ROLE b", "'a; DROP ROLE b' is no name of a service"),
    ],
)
async def test_a_command_that_makes_nothing_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, service: str, told: str
) -> None:
    monkeypatch.setenv("ATOLL_POSTGRES_URL", url)
    with pytest.raises(SystemExit):
        await asyncio.to_thread(main, [service])
    assert told in capsys.readouterr().err
