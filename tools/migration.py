"""Writes the next migration of a service: what its tables.py has and the newest migration has not.

    python -m tools.migration scheduling "add holds"

Security (`chassis.tables.security`) of new tables is written into it as plain SQL, since a migration must never change
with the code. Read what it wrote before it is committed.
"""

import asyncio
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import render
from alembic.operations import ops
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.schema import AddConstraint

from chassis.migrate import config_for, migrate, migrations_of
from chassis.provision import provision
from chassis.sql import DIALECT
from chassis.tables import security
from tests.support.servers import postgres_server

ENV = '''"""What Alembic runs to bring {service} to a revision."""

from chassis.migrate import run_environment
from services.{service}.tables import metadata

run_environment(metadata)
'''
TEMPLATE = '''"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "raise AssertionError('nothing to do')"}
'''


def main(service: str, message: str) -> None:
    folder = migrations_of(service)
    prepare(folder, service)
    with postgres_server() as url:
        asyncio.run(write(url, service, message))
    tidy(folder)


def prepare(folder: Path, service: str) -> None:
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(ENV.format(service=service))
    (folder / "script.py.mako").write_text(TEMPLATE)


async def write(url: str, service: str, message: str) -> None:
    urls = await provision(url, service, database=f"{service}_draft")
    folder = migrations_of(service)
    numbered = len(list((folder / "versions").glob("*.py")))
    if numbered:
        await migrate(urls.owner, service)
    config = config_for(urls.owner, service)
    slug = re.sub(r"\W+", "_", message.lower()).strip("_")
    config.set_main_option("file_template", f"%%(rev)s_{slug}")
    config.attributes["options"] = {"process_revision_directives": with_security(service), "include_name": not_ours}
    await asyncio.to_thread(command.revision, config, message=message, autogenerate=True, rev_id=f"{numbered + 1:04d}")


def not_ours(name: str | None, kind: str, parents: Any) -> bool:
    return not (kind == "table" and name == "schema_version")


def with_security(service: str) -> Any:
    metadata: MetaData = importlib.import_module(f"services.{service}.tables").metadata

    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        upgrade = directives[0].upgrade_ops
        created = [metadata.tables[op.table_name] for op in upgrade.ops if isinstance(op, ops.CreateTableOp)]
        for statement in (sql for table in created for sql in after_creation(table, service)):
            upgrade.ops.append(ops.ExecuteSQLOp(statement))

    return process


def after_creation(table: Table, service: str) -> Iterator[str]:
    """Security, and DDL that the table itself asks for (triggers): `Table(..., info={"ddl": [...]})`."""
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, ExcludeConstraint):
            yield str(AddConstraint(constraint).compile(dialect=DIALECT))
    yield from security(table, service)
    yield from table.info.get("ddl", ())


@render._constraint_renderers.dispatch_for(ExcludeConstraint, replace=True)
def render_exclude(*_: Any) -> None:
    """Left out of the table and added as SQL after it: Alembic's own rendering loses functions in the elements."""


def tidy(folder: Path) -> None:
    """Without what Alembic adds and PostgreSQL never sees; then formatted."""
    for path in (folder / "versions").glob("*.py"):
        text = re.sub(r"\n *# ### .*", "", path.read_text())
        path.write_text(re.sub(r",\n? *info=\{[^}]*\}", "", text))
    binary = Path(sys.executable).with_name("ruff")
    subprocess.run([binary, "check", "--fix", "--quiet", folder], check=False)
    subprocess.run([binary, "format", "--quiet", folder], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
