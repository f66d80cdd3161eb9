"""Invoices and charges."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any
from uuid import UUID

from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.billing.v1.charge_pb2 import Charge as WireCharge
from atoll.billing.v1.charge_pb2 import ChargeKind, CorrectionReason
from atoll.billing.v1.service_code_pb2 import ServiceCode
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import Money
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.accounts import Charge
from services.billing.domain.credit_notes import CreditPurpose
from services.billing.domain.invoices import (
    NOTHING,
    Discount,
    DiscountReason,
    Invoice,
    InvoiceDraft,
    InvoiceStatus,
    Line,
    Taken,
    TaxLine,
    Wording,
)
from services.billing.rpc.common import about, before_id, read_id
from services.billing.rpc.credit_notes import credit_note_to_wire
from services.billing.store import BillingStore
from services.billing.use_cases import credit_notes, invoices


class InvoiceServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def IssueInvoice(self, request: pb.IssueInvoiceRequest, call: Call) -> pb.IssueInvoiceResponse:
        issue = _issuing(request)

        async def work(store: BillingStore) -> pb.IssueInvoiceResponse:
            return pb.IssueInvoiceResponse(invoice=invoice_to_wire(await issue(store)))

        return await self._db.once(call, request, pb.IssueInvoiceResponse, BillingStore, work)

    async def GetInvoice(self, request: pb.GetInvoiceRequest, call: Call) -> pb.GetInvoiceResponse:
        invoice_id = from_wire("invoice", request.invoice_id)
        invoice = await self._db.read(call, request, BillingStore, lambda store: store.invoice(invoice_id))
        return pb.GetInvoiceResponse(invoice=invoice_to_wire(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, call: Call) -> pb.ListInvoicesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, BillingStore, _listing(request, page))
        kept, token = page.cut(found, key=_overdue_key if request.overdue else _key)
        return pb.ListInvoicesResponse(invoices=[invoice_to_wire(each) for each in kept], next_page_token=token)

    async def VoidInvoice(self, request: pb.VoidInvoiceRequest, call: Call) -> pb.VoidInvoiceResponse:
        invoice_id, purpose = from_wire("invoice", request.invoice_id), CreditPurpose(request.purpose)
        command = credit_notes.VoidInvoice(invoice_id, purpose, request.note, request.bill_again)

        async def work(store: BillingStore) -> pb.VoidInvoiceResponse:
            note, charges = await credit_notes.void_invoice(store, command)
            return pb.VoidInvoiceResponse(credit_note=credit_note_to_wire(note), charges=map(charge_to_wire, charges))

        return await self._db.once(call, request, pb.VoidInvoiceResponse, BillingStore, work)

    async def CreateInvoiceDraft(
        self, request: pb.CreateInvoiceDraftRequest, call: Call
    ) -> pb.CreateInvoiceDraftResponse:
        command = invoices.CreateInvoiceDraft(
            course_id=read_id("course", request.course_id),
            charge_ids=_charge_ids(request),
            wording=_wording(request),
        )

        async def work(store: BillingStore) -> pb.CreateInvoiceDraftResponse:
            draft = await invoices.create_draft(store, command)
            return pb.CreateInvoiceDraftResponse(invoice_draft=_draft(draft, await invoices.preview(store, draft)))

        return await self._db.once(call, request, pb.CreateInvoiceDraftResponse, BillingStore, work)

    async def UpdateInvoiceDraft(
        self, request: pb.UpdateInvoiceDraftRequest, call: Call
    ) -> pb.UpdateInvoiceDraftResponse:
        command = invoices.UpdateInvoiceDraft(
            draft_id=from_wire("invoicedraft", request.invoice_draft_id),
            version=from_etag(request.etag),
            charge_ids=_charge_ids(request),
            wording=_wording(request),
        )

        async def work(store: BillingStore) -> pb.UpdateInvoiceDraftResponse:
            draft = await invoices.update_draft(store, command)
            return pb.UpdateInvoiceDraftResponse(invoice_draft=_draft(draft, await invoices.preview(store, draft)))

        return await self._db.once(call, request, pb.UpdateInvoiceDraftResponse, BillingStore, work)

    async def DeleteInvoiceDraft(
        self, request: pb.DeleteInvoiceDraftRequest, call: Call
    ) -> pb.DeleteInvoiceDraftResponse:
        draft_id, version = from_wire("invoicedraft", request.invoice_draft_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.DeleteInvoiceDraftResponse:
            await store.delete_draft(draft_id, version)
            return pb.DeleteInvoiceDraftResponse()

        return await self._db.once(call, request, pb.DeleteInvoiceDraftResponse, BillingStore, work)

    async def GetInvoiceDraft(self, request: pb.GetInvoiceDraftRequest, call: Call) -> pb.GetInvoiceDraftResponse:
        draft_id = from_wire("invoicedraft", request.invoice_draft_id)

        async def work(store: BillingStore) -> pb.InvoiceDraft:
            draft = await store.draft(draft_id)
            return _draft(draft, await invoices.preview(store, draft))

        return pb.GetInvoiceDraftResponse(invoice_draft=await self._db.read(call, request, BillingStore, work))

    async def ListInvoiceDrafts(self, request: pb.ListInvoiceDraftsRequest, call: Call) -> pb.ListInvoiceDraftsResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.drafts(site_id, before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda draft: [str(draft.id)])
        return pb.ListInvoiceDraftsResponse(invoice_drafts=[_draft(each) for each in kept], next_page_token=token)


def _issuing(request: pb.IssueInvoiceRequest) -> Callable[[BillingStore], Awaitable[Invoice]]:
    if request.course_id:
        course_id = from_wire("course", request.course_id)
        return lambda store: invoices.issue_invoice(store, course_id)
    if request.invoice_draft_id:
        draft_id, version = from_wire("invoicedraft", request.invoice_draft_id), from_etag(request.etag)
        return lambda store: invoices.issue_draft(store, draft_id, version)
    charge_ids = _charge_ids(request)
    return lambda store: invoices.invoice_charges(store, charge_ids)


def _listing(request: pb.ListInvoicesRequest, page: Page) -> Callable[[BillingStore], Awaitable[list[Invoice]]]:
    if request.overdue:
        site_id = from_wire("site", request.site_id)
        after = (date.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else None
        return lambda store: invoices.overdue(store, site_id, after, page.limit)
    if request.status:
        site_id, status = from_wire("site", request.site_id), InvoiceStatus(request.status)
        return lambda store: store.invoices_by_status(site_id, status, before_id(page), page.limit)
    if request.display_number:
        return lambda store: store.invoices_by_number(request.display_number, before_id(page), page.limit)
    return lambda store: store.invoices(*about(request), before_id(page), page.limit)


def _key(invoice: Invoice) -> list[str]:
    return [str(invoice.id)]


def _overdue_key(invoice: Invoice) -> list[str]:
    assert invoice.due_date
    return [invoice.due_date.isoformat(), str(invoice.id)]


def _charge_ids(request: Any) -> tuple[UUID, ...]:
    return tuple(from_wire("charge", each) for each in request.charge_ids)


def _wording(request: Any) -> Wording:
    discount = None
    if request.HasField("discount"):
        amount = money_from_wire(request.discount.amount, "discount.amount")
        discount = Discount(amount, DiscountReason(request.discount.reason))
    due = from_date(request.due_date, "due_date") if request.HasField("due_date") else None
    return Wording(discount, due, request.note)


def _draft(draft: InvoiceDraft, preview: Invoice | None = None) -> pb.InvoiceDraft:
    wording = draft.wording
    shown = invoice_to_wire(preview) if preview else None
    if shown:
        for name in ("id", "number", "display_number"):
            shown.ClearField(name)
    return pb.InvoiceDraft(
        id=to_wire("invoicedraft", draft.id),
        site_id=to_wire("site", draft.site_id),
        patient_id=to_wire("patient", draft.patient_id),
        course_id=some_to_wire("course", draft.course_id),
        charge_ids=[to_wire("charge", each) for each in draft.charge_ids],
        discount=_discount(wording.discount),
        due_date=to_date(wording.due_date) if wording.due_date else None,
        note=wording.note,
        create_time=to_timestamp(draft.created_at),
        update_time=to_timestamp(draft.updated_at),
        etag=to_etag(draft.version),
        invoice=shown,
    )


def _discount(discount: Discount | None) -> pb.Discount | None:
    if discount is None:
        return None
    return pb.Discount(amount=money_to_wire(discount.amount), reason=pb.DiscountReason.ValueType(discount.reason))


def invoice_to_wire(invoice: Invoice) -> pb.Invoice:
    return pb.Invoice(
        id=to_wire("invoice", invoice.id),
        site_id=to_wire("site", invoice.site_id),
        legal_entity_id=to_wire("legalentity", invoice.legal_entity_id),
        number=invoice.number,
        patient_id=to_wire("patient", invoice.patient_id),
        course_id=some_to_wire("course", invoice.course_id),
        charges=[charge_to_wire(charge) for charge in invoice.charges],
        total=money_to_wire(invoice.total),
        balance=money_to_wire(invoice.balance),
        issue_time=to_timestamp(invoice.issued_at),
        status=pb.InvoiceStatus.ValueType(invoice.status or 0),
        subtotal=money_to_wire(invoice.subtotal),
        discount=_discount(invoice.discount),
        tax=money_to_wire(invoice.tax),
        due_date=to_date(invoice.due_date) if invoice.due_date else None,
        note=invoice.note,
        display_number=invoice.display_number,
        lines=[_line(line, invoice.credited_of.get(line.charge.id, NOTHING)) for line in invoice.lines],
        credited=money_to_wire(invoice.credited),
        taxes=[_tax(each) for each in invoice.taxes],
        disputed=invoice.disputed,
        replaces_invoice_ids=[to_wire("invoice", each) for each in invoice.replaces],
    )


def _line(line: Line, taken: Taken) -> pb.InvoiceLine:
    return pb.InvoiceLine(
        charge_id=to_wire("charge", line.charge.id),
        service_date=to_date(line.charge.service_date),
        description=line.charge.description,
        item_code=line.charge.item_code,
        quantity=line.charge.quantity,
        amount=money_to_wire(line.amount),
        discount=money_to_wire(line.discount),
        tax=money_to_wire(line.tax),
        included_tax=money_to_wire(line.included_tax),
        total=money_to_wire(line.total),
        credited=money_to_wire(Money(taken.amount_minor + taken.tax_minor, line.amount.currency)),
        codes=[ServiceCode(code=each.code, units=each.units, modifiers=each.modifiers) for each in line.codes],
    )


def _tax(tax: TaxLine) -> pb.InvoiceTax:
    return pb.InvoiceTax(
        name=tax.name,
        rate_ppm=tax.rate_ppm,
        included=tax.included,
        base=money_to_wire(tax.base),
        amount=money_to_wire(tax.amount),
    )


def charge_to_wire(charge: Charge) -> WireCharge:
    return WireCharge(
        id=to_wire("charge", charge.id),
        site_id=to_wire("site", charge.site_id),
        patient_id=to_wire("patient", charge.patient_id),
        course_id=some_to_wire("course", charge.course_id),
        visit_id=some_to_wire("visit", charge.visit_id),
        service_date=to_date(charge.service_date),
        visit_type_code=charge.service.visit_type_code if charge.service else "",
        route_code=charge.service.route_code if charge.service else "",
        band_code=charge.service.band_code if charge.service else "",
        description=charge.description,
        amount=money_to_wire(charge.amount),
        price_book_id=some_to_wire("pricebook", charge.price_book_id),
        price_book_version=charge.price_book_version,
        price_item_id=some_to_wire("priceitem", charge.price_item_id),
        event_id=str(charge.event_id) if charge.event_id else "",
        post_time=to_timestamp(charge.posted_at),
        kind=ChargeKind.ValueType(charge.kind),
        item_code=charge.item_code,
        quantity=charge.quantity,
        corrects_charge_id=some_to_wire("charge", charge.corrects_id),
        made_by=charge.made_by,
        correction_reason=CorrectionReason.ValueType(charge.reason or 0),
        note=charge.note,
        replaces_charge_id=some_to_wire("charge", charge.replaces_id),
    )
