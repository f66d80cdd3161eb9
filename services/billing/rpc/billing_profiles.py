"""Profiles of who bills."""

from collections.abc import Sequence
from datetime import date

from google.protobuf.json_format import MessageToDict, ParseDict
from google.type.date_pb2 import Date
from google.type.postal_address_pb2 import PostalAddress

from atoll.billing.v1 import billing_profile_service_pb2 as pb
from chassis.auth import AccessDenied
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.times import from_date, to_date
from services.billing.domain.business_days import BusinessCalendar
from services.billing.domain.profiles import LegalEntityBilling, SiteBilling
from services.billing.store import BillingStore
from services.billing.use_cases import profiles


class BillingProfileServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetLegalEntityBilling(
        self, request: pb.GetLegalEntityBillingRequest, call: Call
    ) -> pb.GetLegalEntityBillingResponse:
        id = from_wire("legalentity", request.legal_entity_id)
        found = await self._db.read(call, request, BillingStore, lambda store: store.legal_entity_billing(id))
        return pb.GetLegalEntityBillingResponse(legal_entity_billing=_entity(found))

    async def UpdateLegalEntityBilling(
        self, request: pb.UpdateLegalEntityBillingRequest, call: Call
    ) -> pb.UpdateLegalEntityBillingResponse:
        told, fields = _told_entity(request.legal_entity_billing), frozenset(request.update_mask.paths)

        async def work(store: BillingStore) -> pb.UpdateLegalEntityBillingResponse:
            changed = await profiles.change_legal_entity_billing(store, told, fields)
            return pb.UpdateLegalEntityBillingResponse(legal_entity_billing=_entity(changed))

        return await self._db.once(call, request, pb.UpdateLegalEntityBillingResponse, BillingStore, work)

    async def GetSiteBilling(self, request: pb.GetSiteBillingRequest, call: Call) -> pb.GetSiteBillingResponse:
        id = from_wire("site", request.site_id)
        found = await self._db.read(call, request, BillingStore, lambda store: store.site_billing(id))
        return pb.GetSiteBillingResponse(site_billing=_site(found))

    async def UpdateSiteBilling(self, request: pb.UpdateSiteBillingRequest, call: Call) -> pb.UpdateSiteBillingResponse:
        told, fields = _told_site(request.site_billing), frozenset(request.update_mask.paths)
        if call.sites is not None and told.site_id not in call.sites:
            raise AccessDenied()

        async def work(store: BillingStore) -> pb.UpdateSiteBillingResponse:
            return pb.UpdateSiteBillingResponse(
                site_billing=_site(await profiles.change_site_billing(store, told, fields))
            )

        return await self._db.once(call, request, pb.UpdateSiteBillingResponse, BillingStore, work)


def _told_entity(told: pb.LegalEntityBilling) -> LegalEntityBilling:
    return LegalEntityBilling(
        legal_entity_id=from_wire("legalentity", told.legal_entity_id),
        legal_name=told.legal_name,
        tax_id=told.tax_id,
        npi=told.npi,
        address=MessageToDict(told.address, preserving_proto_field_name=True),
        invoice_prefix=told.invoice_prefix,
        payment_terms_days=told.payment_terms_days,
        statement_text=told.statement_text,
        version=from_etag(told.etag),
    )


def _entity(entity: LegalEntityBilling) -> pb.LegalEntityBilling:
    return pb.LegalEntityBilling(
        legal_entity_id=to_wire("legalentity", entity.legal_entity_id),
        legal_name=entity.legal_name,
        tax_id=entity.tax_id,
        npi=entity.npi,
        address=ParseDict(dict(entity.address), PostalAddress()) if entity.address else None,
        invoice_prefix=entity.invoice_prefix,
        payment_terms_days=entity.payment_terms_days,
        statement_text=entity.statement_text,
        etag=to_etag(entity.version),
    )


def _told_site(told: pb.SiteBilling) -> SiteBilling:
    calendar = BusinessCalendar(
        closed=_days(told.closed_dates, "site_billing.closed_dates"),
        open=_days(told.open_dates, "site_billing.open_dates"),
    )
    return SiteBilling(from_wire("site", told.site_id), told.npi, calendar, from_etag(told.etag))


def _days(days: Sequence[Date], field: str) -> frozenset[date]:
    return frozenset(from_date(day, f"{field}[{n}]") for n, day in enumerate(days))


def _site(site: SiteBilling) -> pb.SiteBilling:
    return pb.SiteBilling(
        site_id=to_wire("site", site.site_id),
        npi=site.npi,
        closed_dates=map(to_date, sorted(site.calendar.closed)),
        open_dates=map(to_date, sorted(site.calendar.open)),
        etag=to_etag(site.version),
    )
