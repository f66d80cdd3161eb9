"""Invoices and charges."""

from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.billing.v1.charge_pb2 import Charge as WireCharge
from atoll.billing.v1.charge_pb2 import ChargeKind
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_date, to_timestamp
from services.billing.domain.accounts import Charge, Invoice
from services.billing.rpc.common import about, before_id, read_id, some_id
from services.billing.store import BillingStore
from services.billing.use_cases import invoices


class InvoiceServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def IssueInvoice(self, request: pb.IssueInvoiceRequest, call: Call) -> pb.IssueInvoiceResponse:
        course_id = read_id("course", request.course_id)
        charge_ids = [from_wire("charge", each) for each in request.charge_ids]

        async def work(store: BillingStore) -> pb.IssueInvoiceResponse:
            if course_id:
                return pb.IssueInvoiceResponse(invoice=_invoice(await invoices.issue_invoice(store, course_id)))
            return pb.IssueInvoiceResponse(invoice=_invoice(await invoices.invoice_charges(store, charge_ids)))

        return await self._db.once(call, request, pb.IssueInvoiceResponse, BillingStore, work)

    async def GetInvoice(self, request: pb.GetInvoiceRequest, call: Call) -> pb.GetInvoiceResponse:
        invoice_id = from_wire("invoice", request.invoice_id)
        invoice = await self._db.read(call, request, BillingStore, lambda store: store.invoice(invoice_id))
        return pb.GetInvoiceResponse(invoice=_invoice(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, call: Call) -> pb.ListInvoicesResponse:
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.invoices(*about(request), before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda invoice: [str(invoice.id)])
        return pb.ListInvoicesResponse(invoices=[_invoice(each) for each in kept], next_page_token=token)


def _invoice(invoice: Invoice) -> pb.Invoice:
    return pb.Invoice(
        id=to_wire("invoice", invoice.id),
        site_id=to_wire("site", invoice.site_id),
        legal_entity_id=to_wire("legalentity", invoice.legal_entity_id),
        number=invoice.number,
        patient_id=to_wire("patient", invoice.patient_id),
        course_id=some_id("course", invoice.course_id),
        charges=[charge_to_wire(charge) for charge in invoice.charges],
        total=money_to_wire(invoice.total),
        balance=money_to_wire(invoice.balance),
        issue_time=to_timestamp(invoice.issued_at),
    )


def charge_to_wire(charge: Charge) -> WireCharge:
    return WireCharge(
        id=to_wire("charge", charge.id),
        site_id=to_wire("site", charge.site_id),
        patient_id=to_wire("patient", charge.patient_id),
        course_id=some_id("course", charge.course_id),
        visit_id=some_id("visit", charge.visit_id),
        service_date=to_date(charge.service_date),
        visit_type_code=charge.service.visit_type_code if charge.service else "",
        route_code=charge.service.route_code if charge.service else "",
        band_code=charge.service.band_code if charge.service else "",
        description=charge.description,
        amount=money_to_wire(charge.amount),
        price_book_id=some_id("pricebook", charge.price_book_id),
        price_book_version=charge.price_book_version,
        price_item_id=some_id("priceitem", charge.price_item_id),
        event_id=str(charge.event_id) if charge.event_id else "",
        post_time=to_timestamp(charge.posted_at),
        kind=ChargeKind.ValueType(charge.kind),
        item_code=charge.item_code,
        quantity=charge.quantity,
        corrects_charge_id=some_id("charge", charge.corrects_id),
    )
