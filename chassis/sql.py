"""SQLAlchemy Core writes the SQL, asyncpg runs it: each statement is compiled once, when its module is imported.

Values go to asyncpg as they are (UUID, datetime, lists for arrays): no conversion of SQLAlchemy's runs. Lists go in as
arrays, never as an expanding IN, so that the text of a statement never changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it bare

TypeArgument = TypeEngine[Any] | type[TypeEngine[Any]]


class Statement:
    """A Core statement as text with `$1` places, and the order of its parameters."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=DIALECT)
        self.text: str = compiled.string
        self._order: tuple[str, ...] = tuple(compiled.positiontup)
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self.wanted = frozenset(self._order) - self._constants.keys()

    def args(self, values: dict[str, Any]) -> list[Any]:
        """Exactly the parameters that the text names: one left out would silently be NULL, one too many a mistake."""
        if values.keys() != self.wanted:
            raise TypeError(f"parameters are {sorted(self.wanted)}, not {sorted(values)}: {self.text}")
        if not self._constants:
            return [values[name] for name in self._order]
        return [values[name] if name in values else self._constants[name] for name in self._order]


def param(name: str, type_: TypeArgument | None = None) -> BindParameter[Any]:
    return bindparam(name, type_=type_)


def params(*names: str) -> dict[str, BindParameter[Any]]:
    """For `.values(...)`: each column from the parameter of its name."""
    return {name: param(name) for name in names}


def rows(name: str, **columns: TypeArgument) -> FromClause:
    """Parallel arrays, one parameter each, as a table: many rows go in with one statement whatever their number."""
    return _unnested(name, columns, [param(column, ARRAY(type_)) for column, type_ in columns.items()])


def uncounted_rows(name: str, **columns: TypeArgument) -> FromClause:
    """As `rows`, whose number PostgreSQL does not look at when it plans.

    Where they are few it would plan such a statement anew at each call, for a plan that it takes to be cheaper and
    that is the same.
    """
    arrays = [select(param(column, ARRAY(type_))).scalar_subquery() for column, type_ in columns.items()]
    return _unnested(name, columns, arrays)


def _unnested(name: str, columns: Mapping[str, TypeArgument], arrays: Sequence[ColumnElement[Any]]) -> FromClause:
    return func.unnest(*arrays).table_valued(*columns).render_derived(name=name)
