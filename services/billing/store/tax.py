"""Taxes of sites."""

from datetime import date
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Date, Integer, Text, Uuid, and_, insert, or_, select, update

from chassis.etags import StaleEtag
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.accounts import ChargeKind
from services.billing.domain.tax import TaxRule, TaxRuleNotFound
from services.billing.tables import tax_rule

CHAIN, ID, SITE = (param(name, Uuid) for name in ("chain_id", "id", "site_id"))
DAY = param("before_date", Date)

ADD_TAX_RULE = Statement(insert(tax_rule).values(params(*tax_rule.c.keys())))
_own = and_(tax_rule.c.chain_id == CHAIN, tax_rule.c.id == ID)
END_TAX_RULE = Statement(
    update(tax_rule)
    .where(_own, tax_rule.c.version == param("version", Integer))
    .values(end_date=param("end_date"), version=tax_rule.c.version + 1)
    .returning(tax_rule)
)
TAX_RULE = Statement(select(tax_rule).where(_own))
_of_site = select(tax_rule).where(tax_rule.c.chain_id == CHAIN, tax_rule.c.site_id == SITE)
TAX_RULES_OF_NAME = Statement(
    _of_site.where(tax_rule.c.name == param("name", Text)).order_by(tax_rule.c.effective_date)
)
TAX_RULES = Statement(
    _of_site.where(
        tax_rule.c.effective_date <= DAY,
        or_(tax_rule.c.effective_date < DAY, tax_rule.c.id < param("before_id", Uuid)),
    )
    .order_by(tax_rule.c.effective_date.desc(), tax_rule.c.id.desc())
    .limit(param("limit", Integer))
)
ALL_TAX_RULES = Statement(_of_site.order_by(tax_rule.c.effective_date, tax_rule.c.id))


class TaxStore(Store):
    async def add_tax_rule(self, new: TaxRule) -> None:
        await self.rows(
            ADD_TAX_RULE,
            id=new.id,
            site_id=new.site_id,
            name=new.name,
            rate_ppm=new.rate_ppm,
            charge_kinds=sorted(new.charge_kinds),
            product_codes=sorted(new.product_codes),
            included=new.included,
            effective_date=new.effective_date,
            end_date=new.end_date,
            version=new.version,
        )

    async def end_tax_rule(self, tax_rule_id: UUID, version: int, end: date) -> TaxRule:
        row = await self.row(END_TAX_RULE, id=tax_rule_id, version=version, end_date=end)
        if row is None:
            raise StaleEtag()
        return _rule(row)

    async def tax_rule(self, tax_rule_id: UUID) -> TaxRule:
        row = await self.row(TAX_RULE, id=tax_rule_id)
        if row is None:
            raise TaxRuleNotFound()
        return _rule(row)

    async def tax_rules_of_name(self, site_id: UUID, name: str) -> list[TaxRule]:
        """The first to begin first."""
        return [_rule(row) for row in await self.rows(TAX_RULES_OF_NAME, site_id=site_id, name=name)]

    async def tax_rules(self, site_id: UUID, before: tuple[date, UUID], limit: int) -> list[TaxRule]:
        """The last to begin first."""
        day, id = before
        found = await self.rows(TAX_RULES, site_id=site_id, before_date=day, before_id=id, limit=limit)
        return [_rule(row) for row in found]

    async def all_tax_rules(self, site_id: UUID) -> list[TaxRule]:
        """Past and to come, the first to begin first."""
        return [_rule(row) for row in await self.rows(ALL_TAX_RULES, site_id=site_id)]


def _rule(row: Record) -> TaxRule:
    return TaxRule(
        id=row["id"],
        site_id=row["site_id"],
        name=row["name"],
        rate_ppm=row["rate_ppm"],
        charge_kinds=frozenset(map(ChargeKind, row["charge_kinds"])),
        product_codes=frozenset(row["product_codes"]),
        included=row["included"],
        effective_date=row["effective_date"],
        end_date=row["end_date"],
        version=row["version"],
    )
