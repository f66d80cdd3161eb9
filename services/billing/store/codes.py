"""Code sets by date of service."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.etags import StaleEtag
from chassis.ids import to_wire
from chassis.sql import Statement, param, rows
from chassis.store import Store
from services.billing.domain.codes import (
    DiagnosisCode,
    ServiceCode,
    ServiceCodeNotFound,
    ServiceCodeRow,
    with_dot,
)
from services.billing.domain.prices import VisitKind
from services.billing.tables import diagnosis_code, service_code

CHAIN, ID, LIMIT = param("chain_id", Uuid), param("id", Uuid), param("limit", Integer)
DAY, CODES = param("day", Date), param("codes", ARRAY(Text))


def _valid(table: FromClause) -> ColumnElement[bool]:
    """On :day; on any, if it is NULL."""
    is_valid = and_(
        table.c.effective_date <= DAY,
        or_(table.c.end_date.is_(None), table.c.end_date >= DAY),
    )
    return or_(DAY.is_(None), is_valid)


_services = select(service_code).where(service_code.c.chain_id == CHAIN)
_of_types = service_code.c.visit_type_code == any_(param("visit_type_codes", ARRAY(Text)))
SERVICE_CODES_OF_TYPES = Statement(_services.where(_of_types))
SERVICE_CODE = Statement(_services.where(service_code.c.id == ID))
_page = (
    _services.where(
        _valid(service_code),
        tuple_(service_code.c.code, service_code.c.id) > tuple_(param("after_code", Text), param("after_id", Uuid)),
    )
    .order_by(service_code.c.code, service_code.c.id)
    .limit(LIMIT)
)
LIST_ALL = Statement(_page)
LIST_OF_TYPE = Statement(_page.where(service_code.c.visit_type_code == param("visit_type_code", Text)))
VALID_SERVICE_CODES = Statement(
    _services.ext(distinct_on(service_code.c.code))
    .where(service_code.c.code == any_(CODES), _valid(service_code))
    .order_by(service_code.c.code, service_code.c.id)
)

_row = rows(
    "new_row",
    row_id=Uuid,
    visit_type_code=Text,
    route_code=Text,
    band_code=Text,
    code=Text,
    modifiers=Text,  # Parted by commas: an array of arrays would be one.
    units=Integer,
    effective_date=Date,
    end_date=Date,
)
_plain = ("visit_type_code", "route_code", "band_code", "code", "units", "effective_date", "end_date")
_modifiers = func.string_to_array(_row.c.modifiers, ",")
ADD_SERVICE_CODES = Statement(
    insert(service_code).from_select(
        ["chain_id", "id", "modifiers", *_plain],
        select(CHAIN, _row.c.row_id, _modifiers, *(_row.c[name] for name in _plain)),
    )
)
_changed = rows("changed", row_id=Uuid, modifiers=Text, units=Integer, end_date=Date, version=Integer)
CHANGE_SERVICE_CODES = Statement(
    update(service_code)
    .where(
        service_code.c.chain_id == CHAIN,
        service_code.c.id == _changed.c.row_id,
        service_code.c.version == _changed.c.version - 1,
    )
    .values(
        modifiers=func.string_to_array(_changed.c.modifiers, ","),
        units=_changed.c.units,
        end_date=_changed.c.end_date,
        version=_changed.c.version,
    )
    .returning(service_code.c.id)
)

_diagnoses = select(diagnosis_code).where(diagnosis_code.c.chain_id == CHAIN)
DIAGNOSIS_CODES = Statement(_diagnoses.where(diagnosis_code.c.code == any_(CODES)))
VALID_DIAGNOSIS_CODES = Statement(
    _diagnoses.where(diagnosis_code.c.code == any_(CODES), _valid(diagnosis_code)).order_by(diagnosis_code.c.code)
)
LIST_DIAGNOSIS_CODES = Statement(
    _diagnoses.where(
        _valid(diagnosis_code),
        tuple_(diagnosis_code.c.code, diagnosis_code.c.effective_date)
        > tuple_(param("after_code", Text), param("after_date", Date)),
    )
    .order_by(diagnosis_code.c.code, diagnosis_code.c.effective_date)
    .limit(LIMIT)
)
_diagnosis = rows("new_diagnosis", code=Text, effective_date=Date, end_date=Date)
_new_diagnoses = pg_insert(diagnosis_code).from_select(
    ["chain_id", "code", "effective_date", "end_date"],
    select(CHAIN, _diagnosis.c.code, _diagnosis.c.effective_date, _diagnosis.c.end_date),
)
KEEP_DIAGNOSIS_CODES = Statement(
    _new_diagnoses.on_conflict_do_update(
        index_elements=["chain_id", "code", "effective_date"], set_={"end_date": _new_diagnoses.excluded.end_date}
    )
)


class CodeStore(Store):
    async def service_code(self, service_code_id: UUID) -> ServiceCodeRow:
        row = await self.row(SERVICE_CODE, id=service_code_id)
        if row is None:
            raise ServiceCodeNotFound(service_code_id=to_wire("servicecode", service_code_id))
        return _service_row(row)

    async def service_codes_of_types(self, visit_type_codes: set[str]) -> list[ServiceCodeRow]:
        found = await self.rows(SERVICE_CODES_OF_TYPES, visit_type_codes=sorted(visit_type_codes))
        return [_service_row(row) for row in found]

    async def list_service_codes(
        self, visit_type_code: str, day: date | None, after: tuple[str, UUID], limit: int
    ) -> list[ServiceCodeRow]:
        """In the order of the code. '' and None: all."""
        place = {"day": day, "after_code": after[0], "after_id": after[1], "limit": limit}
        if visit_type_code:
            found = await self.rows(LIST_OF_TYPE, visit_type_code=visit_type_code, **place)
        else:
            found = await self.rows(LIST_ALL, **place)
        return [_service_row(row) for row in found]

    async def add_service_codes(self, new: Sequence[ServiceCodeRow]) -> None:
        await self.rows(
            ADD_SERVICE_CODES,
            row_id=[row.id for row in new],
            visit_type_code=[row.kind.visit_type_code for row in new],
            route_code=[row.kind.route_code for row in new],
            band_code=[row.kind.band_code for row in new],
            code=[row.code.code for row in new],
            modifiers=[",".join(row.code.modifiers) for row in new],
            units=[row.code.units for row in new],
            effective_date=[row.effective_date for row in new],
            end_date=[row.end_date for row in new],
        )

    async def change_service_codes(self, changed: Sequence[ServiceCodeRow]) -> None:
        """Unless somebody else did since they were read."""
        found = await self.rows(
            CHANGE_SERVICE_CODES,
            row_id=[row.id for row in changed],
            modifiers=[",".join(row.code.modifiers) for row in changed],
            units=[row.code.units for row in changed],
            end_date=[row.end_date for row in changed],
            version=[row.version for row in changed],
        )
        if len(found) < len(changed):
            raise StaleEtag()

    async def valid_service_codes(self, codes: Sequence[str], day: date) -> list[ServiceCodeRow]:
        """Of each of these codes one, in their order: there may be more, of other kinds of visits."""
        found = await self.rows(VALID_SERVICE_CODES, codes=list(codes), day=day)
        return [_service_row(row) for row in found]

    async def diagnosis_codes(self, codes: Sequence[str]) -> list[DiagnosisCode]:
        """Every row of these codes."""
        return [_diagnosis_code(row) for row in await self.rows(DIAGNOSIS_CODES, codes=list(codes))]

    async def list_diagnosis_codes(self, day: date | None, after: tuple[str, date], limit: int) -> list[DiagnosisCode]:
        """In the order of the code. None: all."""
        place = {"after_code": after[0], "after_date": after[1], "limit": limit}
        return [_diagnosis_code(row) for row in await self.rows(LIST_DIAGNOSIS_CODES, day=day, **place)]

    async def keep_diagnosis_codes(self, kept: Sequence[DiagnosisCode]) -> None:
        await self.rows(
            KEEP_DIAGNOSIS_CODES,
            code=[row.code for row in kept],
            effective_date=[row.effective_date for row in kept],
            end_date=[row.end_date for row in kept],
        )

    async def valid_diagnosis_codes(self, codes: Sequence[str], day: date) -> list[DiagnosisCode]:
        """Of these codes, in their order."""
        found = await self.rows(VALID_DIAGNOSIS_CODES, codes=list(codes), day=day)
        return [_diagnosis_code(row) for row in found]

    async def diagnosis_valid(self, code: str, day: date) -> bool:
        """Whether the chain may use the code, with or without its dot, for a day of service."""
        return bool(await self.valid_diagnosis_codes([with_dot(code)], day))


def _service_code(row: Record) -> ServiceCode:
    return ServiceCode(row["code"], row["units"], tuple(row["modifiers"]))


def _service_row(row: Record) -> ServiceCodeRow:
    return ServiceCodeRow(
        id=row["id"],
        kind=VisitKind(row["visit_type_code"], row["route_code"], row["band_code"]),
        code=_service_code(row),
        effective_date=row["effective_date"],
        end_date=row["end_date"],
        version=row["version"],
    )


def _diagnosis_code(row: Record) -> DiagnosisCode:
    return DiagnosisCode(row["code"], row["effective_date"], row["end_date"])
