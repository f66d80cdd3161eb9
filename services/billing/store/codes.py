"""Codes by date of service."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import Date, Text, Uuid, any_, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.sql import Statement, param
from chassis.store import Store
from services.billing.domain.codes import ServiceCode
from services.billing.domain.prices import VisitKind
from services.billing.tables import service_code

DAY = param("day", Date)
SERVICE_CODES = Statement(
    select(service_code)
    .where(
        service_code.c.chain_id == param("chain_id", Uuid),
        service_code.c.visit_type_code == any_(param("visit_type_code", ARRAY(Text))),
        service_code.c.effective_date <= DAY,
        or_(service_code.c.end_date.is_(None), service_code.c.end_date >= DAY),
    )
    .order_by(service_code.c.code, service_code.c.id)
)


class CodeStore(Store):
    async def service_codes(self, kinds: Sequence[VisitKind], day: date) -> Mapping[VisitKind, tuple[ServiceCode, ...]]:
        """Those valid on the day of service, in the order of the code."""
        types = sorted({kind.visit_type_code for kind in kinds})
        found = await self.rows(SERVICE_CODES, visit_type_code=types, day=day)
        return {
            kind: tuple(
                ServiceCode(row["code"], row["units"], tuple(row["modifiers"]))
                for row in found
                if row["visit_type_code"] == kind.visit_type_code
                and row["route_code"] in ("", kind.route_code)
                and row["band_code"] in ("", kind.band_code)
            )
            for kind in kinds
        }
