"""SQL of the history of records."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Text, Uuid, func, insert, select

from chassis.ids import to_wire
from chassis.sql import Statement, param, rows
from chassis.tables import Instant
from services.patients.domain.changes import FieldChange, NewChange, PatientChange
from services.patients.domain.patients import PatientNotFound
from services.patients.store.persons import SURVIVOR
from services.patients.store.seen import AT_ITS_SITES_OR_BEHIND_GLASS
from services.patients.store.texts import Texts, TextStore
from services.patients.tables.changes import patient_change
from services.patients.tables.records import patient

CHAIN, PATIENT = param("chain_id", Uuid), param("patient_id", Uuid)
VERSION_MAX = 2**31 - 1
BETWEEN_FIELDS = " "  # The names of one change, in an array of many changes'.

SEEN = Statement(
    select(patient.c.id).where(patient.c.chain_id == CHAIN, patient.c.id == SURVIVOR, AT_ITS_SITES_OR_BEHIND_GLASS)
)
_change = rows(
    "new_change",
    changed_patient_id=Uuid,
    changed_version=Integer,
    written_site_id=Uuid,
    change_reason=Text,
    changes=Text,
    changed_fields=Text,
)
_COLUMNS = ("patient_id", "version", "site_id", "reason", "changes")
_of_call = {"actor": Text, "method": Text, "cause": Text}  # Parameters of the audit row, which is written with it.
NEW_CHANGES = (
    insert(patient_change)
    .from_select(
        ["chain_id", *_COLUMNS, "fields", *_of_call, "changed_at"],
        select(
            CHAIN,
            *(each for each in _change.c if each.name != "changed_fields"),
            func.string_to_array(_change.c.changed_fields, BETWEEN_FIELDS),
            *(param(name, type_) for name, type_ in _of_call.items()),
            param("at", Instant),
        ),
    )
    .cte("new_changes")
)
"""Goes with the last statement of a change, whose audit row has the same actor, method, cause and instant."""
CHANGES = Statement(
    select(patient_change)
    .where(patient_change.c.chain_id == CHAIN, patient_change.c.patient_id == PATIENT)
    .where(patient_change.c.version < param("before", Integer))
    .order_by(patient_change.c.version.desc())
    .limit(param("limit"))
)


class ChangeStore(TextStore):
    async def changes(self, patient_id: UUID, before: int | None, limit: int) -> list[PatientChange]:
        """The latest first. None need be there of a record that is older than its history."""
        if await self.row(SEEN, patient_id=patient_id) is None:
            raise PatientNotFound(patient_id=to_wire("patient", patient_id))
        before = VERSION_MAX if before is None else before
        found = await self.rows(CHANGES, patient_id=patient_id, before=before, limit=limit)
        return [_change_of(row, self.texts) for row in found]


def change_columns(changes: Sequence[NewChange], texts: Texts) -> dict[str, list[Any]]:
    """The parameters of `NEW_CHANGES`."""
    return {
        "changed_patient_id": [each.patient_id for each in changes],
        "changed_version": [each.version for each in changes],
        "written_site_id": [each.site_id for each in changes],
        "change_reason": [
            texts.seal(patient_change.c.reason, each.reason, each.patient_id, each.version) for each in changes
        ],
        "changes": [_sealed(each, texts) for each in changes],
        "changed_fields": [BETWEEN_FIELDS.join(of.field for of in each.changes) for each in changes],
    }


def _sealed(change: NewChange, texts: Texts) -> str:
    values = [[each.before, each.after] for each in change.changes]
    return texts.seal_json(patient_change.c.changes, values, change.patient_id, change.version, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON has no word for. Enumerations are their text; the only ids in a record are those of sites."""
    if isinstance(value, UUID):
        return to_wire("site", value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    kind: Any = type(value)
    return {name: getattr(value, name) for name in _fields_of(kind)}


@cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    """Of a dataclass. Asked for once: an import tells of thousands."""
    return tuple(field.name for field in fields(kind))


def _change_of(row: Record, texts: Texts) -> PatientChange:
    of_row = row["patient_id"], row["version"]
    erased = [(None, None)] * len(row["fields"])
    values = texts.open_json(patient_change.c.changes, row["changes"], *of_row) or erased
    return PatientChange(
        patient_id=row["patient_id"],
        version=row["version"],
        actor=row["actor"],
        method=row["method"],
        cause=row["cause"],
        changed_at=row["changed_at"],
        reason=texts.open(patient_change.c.reason, row["reason"], *of_row),
        changes=tuple(FieldChange(field, *each) for field, each in zip(row["fields"], values, strict=True)),
    )
