"""Whose record it is, in SQL: of an id that was merged, the record that stands for it; and all ids of one person.

The one place where ids of merged records are resolved: statements compare with `SURVIVOR` where they want the record,
and with `PERSON` where they want what was written about somebody, under whichever id. Both are read once for each
statement, before its rows.
"""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, select, union_all

from chassis.sql import param
from services.patients.tables.records import patient

_CHAIN = param("chain_id", Uuid)
_PATIENT = param("patient_id", Uuid)
_merged = patient.alias("merged")
_other = patient.alias("other")

_survivor = (
    select(_merged.c.survivor_id).where(_merged.c.chain_id == _CHAIN, _merged.c.id == _PATIENT).scalar_subquery()
)
# As a whole a subselect: a bare COALESCE counts as leaky, and row-level security keeps it from the indexes.
SURVIVOR: ColumnElement[Any] = select(func.coalesce(_survivor, _PATIENT)).scalar_subquery()
"""Of :patient_id."""
_ids = union_all(
    select(SURVIVOR.label("id")),
    select(_other.c.id).where(_other.c.chain_id == _CHAIN, _other.c.survivor_id == SURVIVOR),
)
PERSON_IDS: ColumnElement[Any] = func.array(_ids.scalar_subquery(), type_=ARRAY(Uuid))
PERSON: Any = any_(PERSON_IDS)
"""The ids of whoever :patient_id is, to be compared with: `table.c.patient_id == PERSON`."""


EACH_ID = func.unnest(PERSON_IDS).table_valued("id").render_derived(name="one")
"""The same, to be joined to a lateral look-up of the latest few for each: of all ids at once, PostgreSQL would read all
that there is, to sort it."""


def merged_ids(id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of the records merged into one of the statement."""
    others = select(_other.c.id).where(_other.c.chain_id == _CHAIN, _other.c.survivor_id == id).order_by(_other.c.id)
    return func.array(others.correlate_except(_other).scalar_subquery(), type_=ARRAY(Uuid))


def ids_with(id: ColumnElement[Any]) -> Any:
    """As `PERSON`, of a record of the statement that stands for itself."""
    return any_(func.array_append(merged_ids(id), id, type_=ARRAY(Uuid)))
