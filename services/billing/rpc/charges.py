"""Charges beside visits."""

from collections.abc import Awaitable, Callable
from datetime import date
from uuid import UUID

from atoll.billing.v1 import charge_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import BadRequest, Violation
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.accounts import Charge, CorrectionReason
from services.billing.domain.charges import Credit, Explanation, Replaced
from services.billing.domain.payments import Forfeiture
from services.billing.domain.sites import RenderedVisit
from services.billing.rpc.common import FIRST_ID, after_id, read_id, some_money
from services.billing.rpc.invoices import charge_to_wire
from services.billing.store import BillingStore
from services.billing.use_cases import charging

DAYS_MAX = 92
"""Of services that are looked through at once."""


class ChargeServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ChargeProduct(self, request: pb.ChargeProductRequest, call: Call) -> pb.ChargeProductResponse:
        command = charging.ChargeProduct(
            site_id=from_wire("site", request.site_id),
            patient_id=from_wire("patient", request.patient_id),
            course_id=read_id("course", request.course_id),
            visit_id=read_id("visit", request.visit_id),
            product_code=request.product_code,
            quantity=request.quantity,
        )

        async def work(store: BillingStore) -> pb.ChargeProductResponse:
            return pb.ChargeProductResponse(charge=charge_to_wire(await charging.charge_product(store, command)))

        locks = [command.patient_id]
        return await self._db.once(call, request, pb.ChargeProductResponse, BillingStore, work, locks=locks)

    async def CorrectCharge(self, request: pb.CorrectChargeRequest, call: Call) -> pb.CorrectChargeResponse:
        command = charging.CorrectCharge(
            charge_id=from_wire("charge", request.charge_id),
            amount=money_from_wire(request.amount, "amount"),
            reason=CorrectionReason(request.reason),
            note=request.note,
        )

        async def work(store: BillingStore) -> pb.CorrectChargeResponse:
            return pb.CorrectChargeResponse(charge=charge_to_wire(await charging.correct_charge(store, command)))

        return await self._db.once(call, request, pb.CorrectChargeResponse, BillingStore, work)

    async def WaiveFee(self, request: pb.WaiveFeeRequest, call: Call) -> pb.WaiveFeeResponse:
        charge_id = from_wire("charge", request.charge_id)

        async def work(store: BillingStore) -> pb.WaiveFeeResponse:
            return pb.WaiveFeeResponse(charge=charge_to_wire(await charging.waive_fee(store, charge_id, request.note)))

        return await self._db.once(call, request, pb.WaiveFeeResponse, BillingStore, work)

    async def ExplainCharge(self, request: pb.ExplainChargeRequest, call: Call) -> pb.ExplainChargeResponse:
        charge_id = from_wire("charge", request.charge_id)
        found = await self._db.read(
            call, request, BillingStore, lambda store: charging.explain_charge(store, charge_id)
        )
        return pb.ExplainChargeResponse(explanation=_explanation(found))

    async def ListUninvoicedCharges(
        self, request: pb.ListUninvoicedChargesRequest, call: Call
    ) -> pb.ListUninvoicedChargesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, BillingStore, _uninvoiced(request, page))
        kept, token = page.cut(found, key=_posted if request.patient_id else _served)
        return pb.ListUninvoicedChargesResponse(charges=map(charge_to_wire, kept), next_page_token=token)

    async def ListUnchargedVisits(
        self, request: pb.ListUnchargedVisitsRequest, call: Call
    ) -> pb.ListUnchargedVisitsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.uncharged_visits(site_id, _after(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda visit: [visit.service_date.isoformat(), str(visit.id)])
        return pb.ListUnchargedVisitsResponse(visits=map(_visit, kept), next_page_token=token)


def _uninvoiced(
    request: pb.ListUninvoicedChargesRequest, page: Page
) -> Callable[[BillingStore], Awaitable[list[Charge]]]:
    if request.patient_id:
        patient_id, site_id = from_wire("patient", request.patient_id), read_id("site", request.site_id)
        return lambda store: store.uninvoiced(patient_id, site_id, after_id(page), page.limit)
    of_site, (first, last) = from_wire("site", request.site_id), _days(request)
    after = _after(page) if page.after else (first, FIRST_ID)
    return lambda store: store.uninvoiced_of_days(of_site, last, after, page.limit)


def _days(request: pb.ListUninvoicedChargesRequest) -> tuple[date, date]:
    first, last = from_date(request.first_date, "first_date"), from_date(request.last_date, "last_date")
    if not 0 <= (last - first).days < DAYS_MAX:
        raise BadRequest(Violation("last_date", "DAYS", f"is before first_date, or makes more than {DAYS_MAX} days"))
    return first, last


def _posted(charge: Charge) -> list[str]:
    return [str(charge.id)]


def _served(charge: Charge) -> list[str]:
    return [charge.service_date.isoformat(), str(charge.id)]


def _after(page: Page) -> tuple[date, UUID]:
    return (date.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else (date.min, FIRST_ID)


def _explanation(found: Explanation) -> pb.ChargeExplanation:
    return pb.ChargeExplanation(
        charge=charge_to_wire(found.charge),
        rule=pb.PricingRule.ValueType(found.rule),
        item_description=found.item_description,
        unit_price=some_money(found.unit_price),
        net=money_to_wire(found.net),
        corrections=map(charge_to_wire, found.corrections),
        invoice_id=some_to_wire("invoice", found.invoice_id),
        invoice_display_number=found.invoice_display_number,
        credits=map(_credit, found.credits),
        deposit_parts=map(_deposit_part, found.deposit_parts),
        replaces=_replaces(found.replaces) if found.replaces else None,
        replaced_by_charge_id=some_to_wire("charge", found.replaced_by_id),
    )


def _replaces(replaced: Replaced) -> pb.ChargeExplanation.Replaced:
    return pb.ChargeExplanation.Replaced(
        charge_id=to_wire("charge", replaced.charge_id),
        invoice_id=to_wire("invoice", replaced.invoice_id),
        invoice_display_number=replaced.invoice_display_number,
    )


def _credit(credit: Credit) -> pb.ChargeExplanation.Credit:
    return pb.ChargeExplanation.Credit(
        credit_note_id=to_wire("creditnote", credit.credit_note_id),
        display_number=credit.display_number,
        amount=money_to_wire(credit.amount),
        issue_time=to_timestamp(credit.issued_at),
    )


def _deposit_part(part: Forfeiture) -> pb.ChargeExplanation.DepositPart:
    return pb.ChargeExplanation.DepositPart(
        payment_id=to_wire("payment", part.payment_id),
        amount=money_to_wire(part.amount),
        time=to_timestamp(part.forfeited_at),
        tax=money_to_wire(part.tax),
    )


def _visit(visit: RenderedVisit) -> pb.UnchargedVisit:
    return pb.UnchargedVisit(
        visit_id=to_wire("visit", visit.id),
        site_id=to_wire("site", visit.site_id),
        patient_id=to_wire("patient", visit.patient_id),
        course_id=to_wire("course", visit.course_id),
        visit_type_code=visit.kind.visit_type_code,
        route_code=visit.kind.route_code,
        band_code=visit.kind.band_code,
        service_date=to_date(visit.service_date),
    )
