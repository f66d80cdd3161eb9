"""Rows in every table of billing, of which only the number and the spread are right."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, ExcludeConstraint

from services.billing.tables import metadata
from tests.support.billing import Billing

SITES, PATIENTS, COURSES = 20, 2_000, 5_000
SPREAD = {"site_id": SITES, "patient_id": PATIENTS, "course_id": COURSES}
BY_NAME = {
    "chain_id": "$1",
    "corrects_id": "NULL",  # A check binds it to the kind of a charge.
    "replaces_id": "NULL",  # What is billed again is seldom.
    "first_id": "NULL",
    "credited_minor": "0",  # A check binds it to what it is taken from.
    "included_tax_minor": "0",
    "service_dates": "'[]'",
    "alias_id": "md5('alias' || n)::uuid",
    "visit_type_code": f"'v' || n % {SITES}",
    "npi": "''",
    "tax_id": "''",
    "end_date": "NULL",
    "left_minor": "n % 2",
    "card_charge_id": "NULL",  # A check binds it to the tender of a payment.
    "look_at": "CASE WHEN n % 3 = 0 THEN now() END",  # A check binds it to the state.
    "code": "'C' || n",
    "redeem_site_ids": f"ARRAY[md5('site_id' || n % {SITES})::uuid]",
}
BY_COLUMN = {
    "price_item.code": "''",
    "price_item.kind": "1",
    "package_sale.ended_at": "CASE WHEN n % 2 = 0 THEN now() END",
    "package_sale.ended_as": "CASE WHEN n % 2 = 0 THEN 3 END",
    "package_sale.expire_at": "now() + n * interval '1 hour'",
    "redemption.undone_at": "CASE WHEN n % 2 = 0 THEN now() END",
    "redemption.undo_reason": "CASE WHEN n % 2 = 0 THEN '' END",
    "package_end.left_minor": "5 * (1 + n % 3)",
    "package_end.tax_minor": "0",
    "estimate_duty.closed_at": "CASE WHEN n % 10 > 0 THEN now() END",
    "estimate_duty.told_at": "CASE WHEN n % 10 > 0 THEN now() END",
    "estimate_dispute.closed_at": "CASE WHEN n % 10 > 0 THEN now() END",
    "refund_part.credit_id": "NULL",
    "settlement_item.creditor_id": "md5('creditor' || n)::uuid",
}
"""As the checks of a table, or an index of some rows only, want it."""


def _filler(column: Column[Any]) -> str:
    """SQL for the n-th value of a column."""
    if found := BY_COLUMN.get(f"{column.table.name}.{column.name}") or BY_NAME.get(column.name):
        return found
    if column.name in SPREAD:
        return f"md5('{column.name}' || n % {SPREAD[column.name]})::uuid"
    if column.name == "reason" and column.nullable:
        return "NULL"  # A check binds it to the kind of a charge.
    if isinstance(column.type, ARRAY | JSONB):
        return "'{}'"
    if isinstance(column.type, Uuid):
        return "md5('id' || n)::uuid"
    if isinstance(column.type, DateTime):
        return "now()"
    if isinstance(column.type, Date):
        return "date '2020-01-01' + n % 2000"
    if isinstance(column.type, Boolean):
        return "false"
    if column.name in ("processor_id", "transaction", "payment_method", "event_id") and isinstance(column.type, Text):
        return "'told' || n"  # Each once.
    if isinstance(column.type, Text):
        return "'USD'"
    if isinstance(column.type, LargeBinary):
        return "repeat('x', 40)::bytea"
    assert isinstance(column.type, BigInteger | Integer | SmallInteger)
    return "1 + n % 3"


async def fill(billing: Billing, count: int) -> None:
    names = {"site_id", "alias_id", "legal_entity_id", "units", "code", "account", "line_id"}
    own: list[Table] = [table for table in metadata.sorted_tables if names & set(table.c.keys())]
    await billing.svc.admin.execute("SET session_replication_role = replica")
    for table in own:
        given = [column for column in table.c if column.computed is None]
        columns = ", ".join(column.name for column in given)
        values = ", ".join(map(_filler, given))
        alike = (
            "" if any(isinstance(each, ExcludeConstraint) for each in table.constraints) else "ON CONFLICT DO NOTHING"
        )
        await billing.svc.admin.execute(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {count}) AS n {alike}",
            billing.svc.chain_id,
        )
    await billing.svc.admin.execute("SET session_replication_role = origin")
