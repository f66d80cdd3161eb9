"""Taxes of sites."""

from atoll.billing.v1 import tax_service_pb2 as pb
from atoll.billing.v1.charge_pb2 import ChargeKind as WireKind
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date
from services.billing.domain.accounts import ChargeKind
from services.billing.domain.tax import TaxRule
from services.billing.rpc.common import before_day
from services.billing.store import BillingStore
from services.billing.use_cases import tax


class TaxServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def SetTaxRule(self, request: pb.SetTaxRuleRequest, call: Call) -> pb.SetTaxRuleResponse:
        rule = TaxRule(
            id=new_id(),
            site_id=from_wire("site", request.site_id),
            name=request.name,
            rate_ppm=request.rate_ppm,
            charge_kinds=frozenset(map(ChargeKind, request.charge_kinds)),
            product_codes=frozenset(request.product_codes),
            included=request.included,
            effective_date=from_date(request.effective_date, "effective_date"),
        )

        async def work(store: BillingStore) -> pb.SetTaxRuleResponse:
            return pb.SetTaxRuleResponse(tax_rule=_rule(await tax.set_tax_rule(store, rule)))

        return await self._db.once(call, request, pb.SetTaxRuleResponse, BillingStore, work, locks=[rule.site_id])

    async def EndTaxRule(self, request: pb.EndTaxRuleRequest, call: Call) -> pb.EndTaxRuleResponse:
        tax_rule_id, version = from_wire("taxrule", request.tax_rule_id), from_etag(request.etag)
        end = from_date(request.end_date, "end_date")

        async def work(store: BillingStore) -> pb.EndTaxRuleResponse:
            return pb.EndTaxRuleResponse(tax_rule=_rule(await tax.end_tax_rule(store, tax_rule_id, version, end)))

        return await self._db.once(call, request, pb.EndTaxRuleResponse, BillingStore, work)

    async def ListTaxRules(self, request: pb.ListTaxRulesRequest, call: Call) -> pb.ListTaxRulesResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.tax_rules(site_id, before_day(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda rule: [rule.effective_date.isoformat(), str(rule.id)])
        return pb.ListTaxRulesResponse(tax_rules=[_rule(each) for each in kept], next_page_token=token)


def _rule(rule: TaxRule) -> pb.TaxRule:
    return pb.TaxRule(
        id=to_wire("taxrule", rule.id),
        site_id=to_wire("site", rule.site_id),
        name=rule.name,
        rate_ppm=rule.rate_ppm,
        charge_kinds=[WireKind.ValueType(each) for each in sorted(rule.charge_kinds)],
        product_codes=sorted(rule.product_codes),
        included=rule.included,
        effective_date=to_date(rule.effective_date),
        end_date=to_date(rule.end_date) if rule.end_date else None,
        etag=to_etag(rule.version),
    )
