"""What may go on an invoice: charges with their codes, the site with its taxes, and money that may pay it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import Uuid, and_, any_, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from chassis.errors import NotYetKnown
from chassis.ids import read_id
from chassis.sql import Statement, param
from chassis.store import Store
from services.billing.domain.accounts import ChargeKind, ItemKind, OpenItem
from services.billing.domain.codes import ServiceCode
from services.billing.domain.invoices import Issuer, Terms, ToBill
from services.billing.domain.profiles import lines_of_address
from services.billing.domain.sites import Site
from services.billing.domain.tax import TaxRule
from services.billing.store.documents import ON_LINE, OPEN_ITEMS, charge_of, open_item_of
from services.billing.tables import (
    charge,
    invoice_line,
    legal_entity,
    legal_entity_billing,
    service_code,
    site,
    site_billing,
    tax_rule,
)

CHAIN, ID, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "course_id"))

_code = func.jsonb_build_array(service_code.c.code, service_code.c.units, service_code.c.modifiers)
_codes = (
    select(
        func.coalesce(
            func.jsonb_agg(aggregate_order_by(_code, service_code.c.code, service_code.c.id)), literal_column("'[]'")
        )
    )
    .where(
        service_code.c.chain_id == charge.c.chain_id,
        service_code.c.visit_type_code == charge.c.visit_type_code,
        charge.c.visit_type_code != "",
        service_code.c.route_code.in_(["", charge.c.route_code]),
        service_code.c.band_code.in_(["", charge.c.band_code]),
        service_code.c.effective_date <= charge.c.service_date,
        or_(service_code.c.end_date.is_(None), service_code.c.end_date >= charge.c.service_date),
    )
    .scalar_subquery()
)
_to_bill = (
    select(charge, invoice_line.c.invoice_id, _codes.label("codes"))
    .outerjoin(invoice_line, ON_LINE)
    .where(charge.c.chain_id == CHAIN)
    .order_by(charge.c.service_date, charge.c.id)
)
TO_BILL_OF_COURSE = Statement(_to_bill.where(charge.c.course_id == COURSE, invoice_line.c.charge_id.is_(None)))
_ids = param("ids", ARRAY(Uuid))
TO_BILL = Statement(_to_bill.where(or_(charge.c.id == any_(_ids), charge.c.corrects_id == any_(_ids))))
_rule_columns = [column for column in tax_rule.c if column.name not in ("chain_id", "site_id")]
_rule = func.json_build_array(*_rule_columns)
_rules = (
    select(
        func.coalesce(
            func.json_agg(aggregate_order_by(_rule, tax_rule.c.effective_date, tax_rule.c.id)), literal_column("'[]'")
        )
    )
    .where(tax_rule.c.chain_id == CHAIN, tax_rule.c.site_id == ID)
    .scalar_subquery()
)
_its_entity = and_(legal_entity.c.chain_id == site.c.chain_id, legal_entity.c.id == site.c.legal_entity_id)
_its_terms = and_(
    legal_entity_billing.c.chain_id == site.c.chain_id,
    legal_entity_billing.c.legal_entity_id == site.c.legal_entity_id,
)
_its_profile = and_(site_billing.c.chain_id == site.c.chain_id, site_billing.c.site_id == site.c.id)
_terms = ("legal_name", "tax_id", "npi", "address", "invoice_prefix", "payment_terms_days", "statement_text")
SITE_TO_BILL = Statement(
    select(
        *(site.c[name] for name in ("id", "legal_entity_id", "time_zone", "display_name")),
        _rules.label("rules"),
        legal_entity.c.display_name.label("entity_name"),
        site_billing.c.npi.label("site_npi"),
        *(legal_entity_billing.c[name] for name in _terms),
    )
    .outerjoin_from(site, legal_entity, _its_entity)
    .outerjoin(legal_entity_billing, _its_terms)
    .outerjoin(site_billing, _its_profile)
    .where(site.c.chain_id == CHAIN, site.c.id == ID)
)


@dataclass(frozen=True, slots=True)
class SiteToBill:
    """With how its legal entity bills, and its taxes, past and to come."""

    site: Site
    terms: Terms
    issuer: Issuer
    rules: tuple[TaxRule, ...]


class BillableStore(Store):
    async def to_bill_of_course(self, course_id: UUID) -> list[ToBill]:
        """Its charges that are on no invoice yet."""
        return [_to_be_billed(row) for row in await self.rows(TO_BILL_OF_COURSE, course_id=course_id)]

    async def to_bill(self, charge_ids: Sequence[UUID]) -> list[ToBill]:
        """Those charges, and what corrects them."""
        return [_to_be_billed(row) for row in await self.rows(TO_BILL, ids=list(charge_ids))]

    async def site_to_bill(self, site_id: UUID) -> SiteToBill:
        row = await self.row(SITE_TO_BILL, id=site_id)
        if row is None:
            raise NotYetKnown("site", site_id)
        return SiteToBill(
            Site(row["id"], row["legal_entity_id"], ZoneInfo(row["time_zone"])),
            Terms(row["invoice_prefix"] or "", row["payment_terms_days"] or 0),
            _issuer(row),
            tuple(_rule_of(site_id, values) for values in json.loads(row["rules"])),
        )

    async def money_to_use(self, patient_id: UUID, site_id: UUID, currency: str) -> tuple[list[OpenItem], set[UUID]]:
        """Payments and credit of a patient at a site, of which something is left; and which of them are credit."""
        kinds = [ItemKind.PAYMENT, ItemKind.CREDIT]
        found = await self.rows(OPEN_ITEMS, kinds=kinds, patient_id=patient_id, site_id=site_id, currency=currency)
        return [open_item_of(row) for row in found], {row["id"] for row in found if row["kind"] == ItemKind.CREDIT}


def codes_of(text: str) -> tuple[ServiceCode, ...]:
    return tuple(ServiceCode(code, units, tuple(modifiers)) for code, units, modifiers in json.loads(text))


def _to_be_billed(row: Record) -> ToBill:
    return ToBill(charge_of(row), codes_of(row["codes"]), row["invoice_id"] is not None)


def _issuer(row: Record) -> Issuer:
    return Issuer(
        name=row["legal_name"] or row["entity_name"] or "",
        address=lines_of_address(json.loads(row["address"] or "{}")),
        tax_id=row["tax_id"] or "",
        npi=row["site_npi"] or row["npi"] or "",
        site=row["display_name"],
        text=row["statement_text"] or "",
    )


def _rule_of(site_id: UUID, values: Sequence[Any]) -> TaxRule:
    named = dict(zip((column.name for column in _rule_columns), values, strict=True))
    return TaxRule(
        id=read_id(named["id"]),
        site_id=site_id,
        name=named["name"],
        rate_ppm=named["rate_ppm"],
        charge_kinds=frozenset(map(ChargeKind, named["charge_kinds"])),
        product_codes=frozenset(named["product_codes"]),
        included=named["included"],
        effective_date=date.fromisoformat(named["effective_date"]),
        end_date=date.fromisoformat(named["end_date"]) if named["end_date"] else None,
        version=named["version"],
    )
