"""Rows in every table of billing, of which only the number and the spread are right."""

from typing import Any

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Integer, SmallInteger, Table, Text, Uuid

from services.billing.tables import metadata
from tests.support.billing import Billing

SITES, PATIENTS, COURSES = 20, 2_000, 5_000


def _filler(column: Column[Any]) -> str:
    """SQL for the n-th value of a column."""
    spread = {"site_id": SITES, "patient_id": PATIENTS, "course_id": COURSES}
    if column.name == "chain_id":
        return "$1"
    if column.name in spread:
        return f"md5('{column.name}' || n % {spread[column.name]})::uuid"
    if column.name == "corrects_id":
        return "NULL"  # A check binds it to the kind of a charge.
    if column.name == "alias_id":
        return "md5('alias' || n)::uuid"
    if isinstance(column.type, Uuid):
        return "md5('id' || n)::uuid"
    if isinstance(column.type, DateTime):
        return "now()"
    if isinstance(column.type, Date):
        return "date '2020-01-01' + n % 2000"
    if isinstance(column.type, Boolean):
        return "false"
    if isinstance(column.type, ARRAY):
        return "'{}'"
    if column.name == "visit_type_code":
        return "'type ' || n % 50"
    if isinstance(column.type, Text):
        return "'USD'"
    assert isinstance(column.type, BigInteger | Integer | SmallInteger)
    return "n % 2" if column.name == "left_minor" else "1 + n % 3"


async def fill(billing: Billing, count: int) -> None:
    """Rows of which only the number and the spread are right: nothing checks the rest."""
    names = {"site_id", "alias_id", "legal_entity_id", "effective_date"}
    own: list[Table] = [table for table in metadata.sorted_tables if names & set(table.c.keys())]
    await billing.svc.admin.execute("SET session_replication_role = replica")
    for table in own:
        columns = ", ".join(table.c.keys())
        values = ", ".join(map(_filler, table.c))
        await billing.svc.admin.execute(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {count}) AS n "
            "ON CONFLICT DO NOTHING",
            billing.svc.chain_id,
        )
    await billing.svc.admin.execute("SET session_replication_role = origin")
