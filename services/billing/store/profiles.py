"""Who bills: profiles of legal entities and sites."""

import json
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Integer, Table, Uuid, and_, select
from sqlalchemy.dialects.postgresql import insert

from chassis.errors import NotYetKnown
from chassis.etags import StaleEtag
from chassis.sql import Statement, param, params
from chassis.store import Store
from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.profiles import LegalEntityBilling, SiteBilling
from services.billing.tables import legal_entity, legal_entity_billing, site, site_billing

CHAIN, ID = param("chain_id", Uuid), param("id", Uuid)


def _profile_of(owner: Table, profile: Table, key: str) -> Statement:
    """Of an owner that is known; without values while nothing was said."""
    of_it = and_(profile.c.chain_id == owner.c.chain_id, profile.c[key] == owner.c.id)
    values = [each for each in profile.c if each.name not in ("chain_id", key)]
    return Statement(
        select(owner.c.id, *values)
        .outerjoin_from(owner, profile, of_it)
        .where(owner.c.chain_id == CHAIN, owner.c.id == ID)
    )


def _keep(profile: Table, key: str) -> Statement:
    """Unless somebody else did since version :seen was read."""
    new = insert(profile).values(params(*profile.c.keys()))
    changed = {each.name: new.excluded[each.name] for each in profile.c if each.name not in ("chain_id", key)}
    seen = profile.c.version == param("seen", Integer)
    kept = new.on_conflict_do_update(index_elements=["chain_id", key], set_=changed, where=seen)
    return Statement(kept.returning(profile.c.version))


LEGAL_ENTITY_BILLING = _profile_of(legal_entity, legal_entity_billing, "legal_entity_id")
SITE_BILLING = _profile_of(site, site_billing, "site_id")
KEEP_LEGAL_ENTITY_BILLING = _keep(legal_entity_billing, "legal_entity_id")
KEEP_SITE_BILLING = _keep(site_billing, "site_id")


class ProfileStore(Store):
    async def legal_entity_billing(self, legal_entity_id: UUID) -> LegalEntityBilling:
        row = await self.row(LEGAL_ENTITY_BILLING, id=legal_entity_id)
        if row is None:
            raise NotYetKnown("legalentity", legal_entity_id)
        if row["version"] is None:
            return LegalEntityBilling(legal_entity_id)
        return LegalEntityBilling(
            legal_entity_id=legal_entity_id,
            legal_name=row["legal_name"],
            tax_id=row["tax_id"],
            npi=row["npi"],
            address=json.loads(row["address"]),
            invoice_prefix=row["invoice_prefix"],
            payment_terms_days=row["payment_terms_days"],
            statement_text=row["statement_text"],
            version=row["version"],
        )

    async def keep_legal_entity_billing(self, kept: LegalEntityBilling) -> None:
        await self._keep(
            KEEP_LEGAL_ENTITY_BILLING,
            kept.version,
            legal_entity_id=kept.legal_entity_id,
            legal_name=kept.legal_name,
            tax_id=kept.tax_id,
            npi=kept.npi,
            address=json.dumps(dict(kept.address)),
            invoice_prefix=kept.invoice_prefix,
            payment_terms_days=kept.payment_terms_days,
            statement_text=kept.statement_text,
        )

    async def site_billing(self, site_id: UUID) -> SiteBilling:
        row = await self.row(SITE_BILLING, id=site_id)
        if row is None:
            raise NotYetKnown("site", site_id)
        return SiteBilling(site_id, row["npi"] or "", calendar_of(row), row["version"] or 0)

    async def keep_site_billing(self, kept: SiteBilling) -> None:
        await self._keep(
            KEEP_SITE_BILLING,
            kept.version,
            site_id=kept.site_id,
            npi=kept.npi,
            closed_dates=sorted(kept.calendar.closed),
            open_dates=sorted(kept.calendar.open),
        )

    async def _keep(self, statement: Statement, version: int, **values: Any) -> None:
        if not await self.row(statement, **values, version=version, seen=version - 1):
            raise StaleEtag()


def calendar_of(row: Record) -> BusinessCalendar:
    return BusinessCalendar(frozenset(row["closed_dates"] or ()), frozenset(row["open_dates"] or ()))
