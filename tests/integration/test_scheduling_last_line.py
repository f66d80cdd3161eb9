"""What the database itself refuses in each table of scheduling, were the code to let it through.

Keys and references come from the tables themselves: a new table is covered by itself. What booking writes is looked at
in test_scheduling_constraints.py too, by rows that the service wrote.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Constraint,
    Date,
    DateTime,
    Integer,
    Table,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis import tables as chassis_tables
from chassis.ids import new_id
from services.scheduling.tables import metadata
from tests.support.scheduling import open_scheduling

C = TypeVar("C", bound=Constraint)
NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
CHAIN, ENTITY, SITE, NURSE, PROTOCOL, VERSION, COURSE, VISIT, ACCOUNT, WAITING = (new_id() for _ in range(10))
DOCUMENT = new_id()
REFERENCES = {
    "legal_entity_id": ENTITY, "site_id": SITE, "to_site_id": SITE, "resource_id": NURSE, "protocol_id": PROTOCOL,
    "protocol_version_id": VERSION, "course_id": COURSE, "visit_id": VISIT,
    "account_id": ACCOUNT, "entry_id": WAITING, "document_id": DOCUMENT,
}  # fmt: skip
PARENTS = {
    "chain": {}, "legal_entity": {"id": ENTITY}, "site": {"id": SITE}, "resource": {"id": NURSE},
    "protocol": {"id": PROTOCOL}, "protocol_version": {"id": VERSION}, "course": {"id": COURSE}, "visit": {"id": VISIT},
    "service_account": {"id": ACCOUNT}, "waitlist_entry": {"id": WAITING},
    "consent_document": {"id": DOCUMENT},
}  # fmt: skip
RIGHT: Mapping[str, Mapping[str, Any]] = {
    "task": {
        "kind": "TASK_KIND_VISIT_TO_MOVE", "state": "TASK_STATE_OPEN", "visit_ids": [VISIT], "course_id": None,
    },
    "service_account_key": {"secret_digest": bytes(32)},
    "hold": {"held_at": NOW, "expire_at": NOW + timedelta(minutes=15)},
    "waitlist_entry": {"phase_code": "induction", "visit_type_code": "", "status": "WAITLIST_STATUS_WAITING"},
}  # fmt: skip
"""What a row must have besides what follows from its columns' types."""
MERGED = {"kind": "TASK_KIND_OVERLAPPING_VISITS", "merged_patient_id": VISIT, "merge_version": 1}
BACKWARDS = {"start_at": NOW, "end_at": NOW}
CHECKS: list[tuple[str, str, dict[str, Any]]] = [
    ("patient_alias", "patient_alias_of_another_check", {"alias_id": VISIT, "survivor_id": VISIT}),
    ("resource", "resource_lanes_check", {"lane_count": 0}),
    ("visit", "visit_a_day_at_most_check", BACKWARDS),
    ("visit", "visit_a_day_at_most_check", {"end_at": NOW + timedelta(hours=24, seconds=1)}),
    ("allocation", "allocation_a_day_at_most_check", BACKWARDS),
    ("presence", "presence_a_day_at_most_check", BACKWARDS),
    ("busy_time", "busy_time_a_day_at_most_check", BACKWARDS),
    ("busy_time", "busy_time_a_day_at_most_check", {"end_at": NOW + timedelta(hours=24, seconds=1)}),
    ("hold", "hold_not_for_long_check", {"expire_at": NOW}),
    ("hold", "hold_not_for_long_check", {"expire_at": NOW + timedelta(minutes=61)}),
    ("hold", "hold_not_for_long_check", {"expire_at": NOW + timedelta(minutes=121), "offer_id": VISIT}),
    ("waitlist_entry", "waitlist_entry_one_visit_check", {"phase_code": "a", "visit_type_code": "b"}),
    ("waitlist_entry", "waitlist_entry_one_visit_check", {"phase_code": "", "visit_type_code": ""}),
    ("waitlist_entry", "waitlist_entry_days_check", {"last_date": date(2027, 2, 28)}),
    ("waitlist_entry", "waitlist_entry_status_check", {"status": "WAITLIST_STATUS_UNSPECIFIED"}),
    ("waitlist_entry", "waitlist_entry_ended_check", {"end_reason": "WAITLIST_END_REASON_EXPIRED"}),
    ("waitlist_entry", "waitlist_entry_ended_check", {"status": "WAITLIST_STATUS_ENDED"}),
    ("waitlist_offer", "waitlist_offer_outcome_check", {"outcome": "OFFER_OUTCOME_UNSPECIFIED"}),
    ("waitlist_offer", "waitlist_offer_a_day_at_most_check", BACKWARDS),
    ("closure", "closure_a_year_at_most_check", BACKWARDS),
    ("closure", "closure_a_year_at_most_check", {"end_at": NOW + timedelta(days=367, seconds=1)}),
    ("service_account_key", "service_account_key_a_digest_check", {"secret_digest": bytes(31)}),
    ("task", "task_kind_check", {"kind": "TASK_KIND_UNSPECIFIED"}),
    ("task", "task_state_check", {"state": "TASK_STATE_UNSPECIFIED"}),
    ("task", "task_left_by_a_merge_check", {"merged_patient_id": VISIT, "merge_version": 1}),
    ("task", "task_left_by_a_merge_check", MERGED | {"merged_patient_id": None, "merge_version": None}),
    ("task", "task_left_by_a_merge_check", MERGED | {"merge_version": None}),
    ("task", "task_left_by_a_closure_check", {"closure_id": VISIT}),
    ("task", "task_left_by_a_closure_check", {"kind": "TASK_KIND_BROKEN_VISITS"}),
    ("task", "task_left_by_a_deposit_check", {"course_id": COURSE, "visit_ids": []}),
    ("task", "task_visits_check", {"visit_ids": []}),
    ("task", "task_completed_check", {"state": "TASK_STATE_DONE"}),
    ("task", "task_completed_check", {"completed_at": NOW, "completed_by": "user"}),
    ("task", "task_completed_check", {"state": "TASK_STATE_DONE", "completed_at": NOW}),
]
TWICE: list[tuple[str, str, dict[str, Any]]] = [
    ("task", "task_never_twice", MERGED),
    ("task", "task_of_closure", {"kind": "TASK_KIND_BROKEN_VISITS", "closure_id": VISIT, "patient_id": VISIT}),
    ("task", "task_to_move", {}),
    ("task", "task_of_deposit", {"kind": "TASK_KIND_DEPOSIT_TO_SETTLE", "course_id": COURSE, "visit_ids": []}),
    ("task", "task_of_offer", {"kind": "TASK_KIND_OFFER_TO_SETTLE"}),
    ("task", "task_to_cancel", {"kind": "TASK_KIND_VISITS_TO_CANCEL", "patient_id": VISIT}),
    ("waitlist_offer", "waitlist_offer_one_at_a_time", {"outcome": None}),
    ("waitlist_offer", "waitlist_offer_never_twice", {"outcome": "OFFER_OUTCOME_DECLINED"}),
]
"""Two such rows, each with an id of its own."""
NAMES: dict[str, dict[str, Any]] = {
    "site_code_key": {"code": "abq"},
    "protocol_code_key": {"code": "p1"},
    "protocol_version_version_key": {"version": 1_000},
}
NUMBERS = count(1)
OF_THE_CHASSIS = {name for name in metadata.tables if hasattr(chassis_tables, name)}
TABLES = [table for table in metadata.sorted_tables if table.name not in OF_THE_CHASSIS]
KEYED = [table for table in TABLES if not any(each.identity for each in table.primary_key)]
"""Those whose key the database does not make itself."""


def row(table: Table, **changes: Any) -> dict[str, Any]:
    """One that the table takes, if what it belongs to is there."""
    needed = {each.name: _value(each) for each in table.c if not each.nullable and each.server_default is None}
    return needed | {"chain_id": CHAIN} | dict(RIGHT.get(table.name, {})) | changes


def _value(column: Column[Any]) -> Any:
    if column.name in REFERENCES:
        return REFERENCES[column.name]
    if column.name == "end_at":
        return NOW + timedelta(hours=1)
    of_type: list[tuple[type[Any], Any]] = [
        (Uuid, new_id()), (ARRAY, []), (JSONB, json.dumps([])), (DateTime, NOW), (Date, date(2027, 3, 1)),
        (Boolean, False), (Integer, 1),
    ]  # fmt: skip
    return next((value for kind, value in of_type if isinstance(column.type, kind)), str(new_id()))


async def insert(conn: "asyncpg.Connection[asyncpg.Record]", table: Table, values: Mapping[str, Any]) -> None:
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await conn.execute(f"INSERT INTO {table.name} ({', '.join(values)}) VALUES ({places})", *values.values())


@pytest_asyncio.fixture(scope="module")
async def filled(postgres_url: str, issuer_folder: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """With a row of whatever others belong to."""
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        for name, ids in PARENTS.items():
            await insert(svc.admin, metadata.tables[name], row(metadata.tables[name], **ids))
        yield svc.admin


async def refused(conn: "asyncpg.Connection[asyncpg.Record]", table: Table, *rows: Mapping[str, Any]) -> str:
    """Which constraint refuses the last of them. Nothing is kept."""
    transaction = conn.transaction()
    await transaction.start()
    try:
        for each in rows[:-1]:
            await insert(conn, table, each)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
            await insert(conn, table, rows[-1])
        return str(caught.value.constraint_name)
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("table", KEYED, ids=lambda table: table.name)
async def test_no_key_is_there_twice(filled: "asyncpg.Connection[asyncpg.Record]", table: Table) -> None:
    again = row(table) if table.name not in PARENTS else row(table, **PARENTS[table.name])
    first = () if table.name in PARENTS else (again,)
    assert await refused(filled, table, *first, again) == table.primary_key.name


def named(constraints: Iterable[C]) -> list[C]:
    """In an order that is the same in every process: they come as a set."""
    return sorted(constraints, key=lambda each: str(each.name))


def references() -> Iterator[tuple[Table, str, str]]:
    for table in TABLES:
        for each in named(table.foreign_key_constraints):
            yield table, str(each.name), next(name for name in each.column_keys if name != "chain_id")


@pytest.mark.parametrize(("table", "constraint", "column"), list(references()), ids=str)
async def test_nothing_belongs_to_what_is_not_there(
    filled: "asyncpg.Connection[asyncpg.Record]", table: Table, constraint: str, column: str
) -> None:
    assert await refused(filled, table, row(table, **{column: new_id()})) == constraint


@pytest.mark.parametrize(("table", "constraint", "changes"), CHECKS)
async def test_a_row_that_cannot_be_is_refused(
    filled: "asyncpg.Connection[asyncpg.Record]", table: str, constraint: str, changes: dict[str, Any]
) -> None:
    assert await refused(filled, metadata.tables[table], row(metadata.tables[table], **changes)) == constraint


@pytest.mark.parametrize(("table", "constraint", "changes"), TWICE)
async def test_what_is_to_be_there_once_is_refused_twice(
    filled: "asyncpg.Connection[asyncpg.Record]", table: str, constraint: str, changes: dict[str, Any]
) -> None:
    twice = [row(metadata.tables[table], **changes) for _ in range(2)]
    assert await refused(filled, metadata.tables[table], *twice) == constraint


@pytest.mark.parametrize(
    "each",
    [each for table in TABLES for each in named(table.constraints) if isinstance(each, UniqueConstraint)],
    ids=lambda each: str(each.name),
)
async def test_no_name_is_taken_twice(filled: "asyncpg.Connection[asyncpg.Record]", each: UniqueConstraint) -> None:
    same = NAMES | {constraint: changes for _, constraint, changes in TWICE}
    twice = [row(each.table, **same[str(each.name)]) for _ in range(2)]
    assert await refused(filled, each.table, *twice) == each.name


def test_every_check_is_broken_once() -> None:
    every = {str(each.name) for table in TABLES for each in table.constraints if isinstance(each, CheckConstraint)}
    assert {constraint for _, constraint, _ in CHECKS} == every
