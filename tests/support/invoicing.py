"""What staff charges, invoices and credits, beside `tests.support.billing`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

from google.type import money_pb2

from atoll.billing.v1 import (
    charge_pb2,
    charge_service_pb2,
    credit_note_service_pb2,
    invoice_service_pb2,
    price_book_service_pb2,
    tax_service_pb2,
)
from atoll.billing.v1.charge_service_pb2_grpc import ChargeServiceStub
from atoll.billing.v1.credit_note_service_pb2_grpc import CreditNoteServiceStub
from atoll.billing.v1.tax_service_pb2_grpc import TaxServiceStub
from chassis.ids import from_wire
from chassis.money import Money, to_wire
from chassis.times import to_date
from tests.support.billing import TODAY, Billing, BookedCourse, dollars, usd

ALBUQUERQUE_PPM = 76_250
"""Gross receipts tax there: 7.625 %."""
FEE_CENTS, SALVE_CENTS = 7_500, 1_999
EVERYTHING = (charge_pb2.CHARGE_KIND_VISIT, charge_pb2.CHARGE_KIND_PRODUCT, charge_pb2.CHARGE_KIND_NO_SHOW_FEE)


async def sell_salve(billing: Billing) -> None:
    """From today on, at 19.99."""
    await _price_from_today(
        billing, billing.site_id, [_item("PRODUCT", "salve", "Salve", unit_price=cents_of(SALVE_CENTS))]
    )


async def sell_extras(billing: Billing) -> None:
    """From today on: a salve at 19.99, from the third on 15 each; music at 25 for an infusion."""
    tier = price_book_service_pb2.PriceTier(from_number=3, unit_price=cents_of(1_500))
    salve = _item("PRODUCT", "salve", "Salve", unit_price=cents_of(SALVE_CENTS), tiers=[tier])
    music = _item("ADD_ON", "music", "Music", unit_price=cents_of(2_500), visit_type_codes=["infusion"])
    await _price_from_today(billing, billing.site_id, [salve, music])


async def ask_fees(
    billing: Billing,
    *,
    grace: int = 0,
    site_id: str = "",
    least: int = 0,
    third: int = 0,
    of_deposit: bool = False,
    effective: date = TODAY,
) -> None:
    """From today on, or a later day: 75 for a missed visit, a quarter of its price for one that is cancelled within a
    day, no visit for less than `least` cents, and from the third on an infusion for `third`. `of_deposit`: what is kept
    for the course becomes the fee first."""
    fees = _fees(grace, of_deposit=of_deposit)
    changes = {"minimum_charge": cents_of(least), "effective": effective, "third": third}
    await _price_from_today(billing, site_id or billing.site_id, fees, **changes)


async def price_everything(billing: Billing, site_id: str) -> None:
    """From today on: the visits, the salve, and the fees of `ask_fees`, taken of deposits."""
    salve = _item("PRODUCT", "salve", "Salve", unit_price=cents_of(SALVE_CENTS))
    await _price_from_today(billing, site_id, [salve, *_fees(0, of_deposit=True)])


def _fees(grace: int, *, of_deposit: bool = False) -> list[price_book_service_pb2.CreatePriceBookRequest.Item]:
    use = price_book_service_pb2.DEPOSIT_USE_FEE_FIRST if of_deposit else price_book_service_pb2.DEPOSIT_USE_UNSPECIFIED
    amounts = {"NO_SHOW": (0, {"fixed": cents_of(FEE_CENTS)}), "LATE_CANCELLATION": (24, {"basis_points": 2_500})}
    return [
        _item(
            "FEE",
            kind.lower(),
            "Missed visit",
            fee=price_book_service_pb2.FeeTerms(
                kind=price_book_service_pb2.FeeKind.Value(f"FEE_KIND_{kind}"),
                hours=price_book_service_pb2.NOTICE_HOURS_CLOCK,
                grace_count=grace,
                deposit_use=use,
                tiers=[
                    price_book_service_pb2.FeeTerms.FeeTier(
                        notice_hours=hours, amount=price_book_service_pb2.FeeTerms.FeeAmount(**amount)
                    )
                ],
            ),
        )
        for kind, (hours, amount) in amounts.items()
    ]


def cents_of(minor: int) -> money_pb2.Money:
    return to_wire(Money(minor))


def _item(kind: str, code: str, description: str, **says: Any) -> price_book_service_pb2.CreatePriceBookRequest.Item:
    return price_book_service_pb2.CreatePriceBookRequest.Item(
        kind=price_book_service_pb2.PriceItemKind.Value(f"PRICE_ITEM_KIND_{kind}"),
        code=code,
        description=description,
        **says,
    )


async def _price_from_today(
    billing: Billing,
    site_id: str,
    items: Sequence[price_book_service_pb2.CreatePriceBookRequest.Item],
    third: int = 0,
    **changes: Any,
) -> None:
    request = billing.price_book_request(site_id=site_id, **changes)
    if third:
        infusion = next(each for each in request.items if each.visit_type_code == "infusion")
        infusion.tiers.add(from_number=3, unit_price=cents_of(third))
    request.items.extend(items)
    answer = await billing.svc.call(billing.price_books.CreatePriceBook, request)
    await billing.publish(answer.price_book)


@dataclass
class Invoicing:
    billing: Billing

    def __post_init__(self) -> None:
        self.svc = self.billing.svc
        self.charges = self.svc.stub(ChargeServiceStub)
        self.credit_notes = self.svc.stub(CreditNoteServiceStub)
        self.taxes = self.svc.stub(TaxServiceStub)
        self.invoices = self.billing.invoices

    async def visit_charges(self, course: BookedCourse) -> list[str]:
        """Their ids, in the order of the visits."""
        return [each.id for each in (await self.billing.course_account(course)).charges if each.visit_id]

    async def issue(self, *charge_ids: str, token: str | None = None, **request: Any) -> invoice_service_pb2.Invoice:
        wanted = invoice_service_pb2.IssueInvoiceRequest(request_id=str(uuid4()), charge_ids=charge_ids, **request)
        answer = await self.svc.call(self.invoices.IssueInvoice, wanted, token)
        return answer.invoice  # type: ignore[no-any-return]

    async def invoice(self, invoice_id: str) -> invoice_service_pb2.Invoice:
        request = invoice_service_pb2.GetInvoiceRequest(invoice_id=invoice_id)
        return (await self.svc.call(self.invoices.GetInvoice, request)).invoice  # type: ignore[no-any-return]

    async def listed(self, token: str | None = None, **request: Any) -> list[str]:
        found = await self.svc.call(
            self.invoices.ListInvoices, invoice_service_pb2.ListInvoicesRequest(**request), token
        )
        return [each.id for each in found.invoices]

    async def draft(self, *charge_ids: str, token: str | None = None, **says: Any) -> invoice_service_pb2.InvoiceDraft:
        request = invoice_service_pb2.CreateInvoiceDraftRequest(request_id=str(uuid4()), charge_ids=charge_ids, **says)
        answer = await self.svc.call(self.invoices.CreateInvoiceDraft, request, token)
        return answer.invoice_draft  # type: ignore[no-any-return]

    async def update(
        self, draft: invoice_service_pb2.InvoiceDraft, token: str | None = None, **says: Any
    ) -> invoice_service_pb2.InvoiceDraft:
        own = {"invoice_draft_id": draft.id, "etag": draft.etag, "charge_ids": draft.charge_ids}
        request = invoice_service_pb2.UpdateInvoiceDraftRequest(request_id=str(uuid4()), **(own | says))
        answer = await self.svc.call(self.invoices.UpdateInvoiceDraft, request, token)
        return answer.invoice_draft  # type: ignore[no-any-return]

    async def delete(self, draft: invoice_service_pb2.InvoiceDraft, token: str | None = None) -> None:
        request = invoice_service_pb2.DeleteInvoiceDraftRequest(
            request_id=str(uuid4()), invoice_draft_id=draft.id, etag=draft.etag
        )
        await self.svc.call(self.invoices.DeleteInvoiceDraft, request, token)

    async def issue_draft(
        self, draft: invoice_service_pb2.InvoiceDraft, token: str | None = None
    ) -> invoice_service_pb2.Invoice:
        return await self.issue(invoice_draft_id=draft.id, etag=draft.etag, token=token)

    async def void(
        self, invoice_id: str, purpose: int = credit_note_service_pb2.CREDIT_PURPOSE_OFFSET, token: str | None = None
    ) -> credit_note_service_pb2.CreditNote:
        request = invoice_service_pb2.VoidInvoiceRequest(
            request_id=str(uuid4()),
            invoice_id=invoice_id,
            purpose=purpose,  # type: ignore[arg-type]  # An enum's number.
        )
        return (await self.svc.call(self.invoices.VoidInvoice, request, token)).credit_note  # type: ignore[no-any-return]

    async def bill_again(
        self, invoice_id: str, purpose: int = credit_note_service_pb2.CREDIT_PURPOSE_OFFSET, token: str | None = None
    ) -> list[charge_pb2.Charge]:
        """What waits in place of the charges of an invoice that is void by now."""
        return list((await self.void_to_bill_again(invoice_id, purpose, token)).charges)

    async def void_to_bill_again(
        self, invoice_id: str, purpose: int, token: str | None = None
    ) -> invoice_service_pb2.VoidInvoiceResponse:
        request = invoice_service_pb2.VoidInvoiceRequest(
            request_id=str(uuid4()),
            invoice_id=invoice_id,
            purpose=purpose,  # type: ignore[arg-type]  # An enum's number.
            bill_again=True,
        )
        return await self.svc.call(self.invoices.VoidInvoice, request, token)  # type: ignore[no-any-return]

    def credit_request(
        self, invoice_id: str, *lines: tuple[str, float], **changes: Any
    ) -> credit_note_service_pb2.CreateCreditNoteRequest:
        """Of each line a charge and an amount."""
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "invoice_id": invoice_id,
            "lines": [{"charge_id": charge_id, "amount": usd(amount)} for charge_id, amount in lines],
            "reason": credit_note_service_pb2.CREDIT_REASON_PRICING_ERROR,
            "purpose": credit_note_service_pb2.CREDIT_PURPOSE_OFFSET,
        }
        return credit_note_service_pb2.CreateCreditNoteRequest(**fields | changes)

    async def credit(
        self, invoice_id: str, *lines: tuple[str, float], token: str | None = None, **changes: Any
    ) -> credit_note_service_pb2.CreditNote:
        request = self.credit_request(invoice_id, *lines, **changes)
        answer = await self.svc.call(self.credit_notes.CreateCreditNote, request, token)
        return answer.credit_note  # type: ignore[no-any-return]

    async def tax(
        self,
        rate_ppm: int = ALBUQUERQUE_PPM,
        *,
        name: str = "Gross receipts tax",
        kinds: Sequence[int] = EVERYTHING,
        effective: date = TODAY,
        token: str | None = None,
        **changes: Any,
    ) -> tax_service_pb2.TaxRule:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "site_id": self.billing.site_id,
            "name": name,
            "rate_ppm": rate_ppm,
            "charge_kinds": kinds,
            "effective_date": to_date(effective),
        }
        request = tax_service_pb2.SetTaxRuleRequest(**fields | changes)
        return (await self.svc.call(self.taxes.SetTaxRule, request, token)).tax_rule  # type: ignore[no-any-return]

    async def product(self, quantity: int = 1, token: str | None = None, **changes: Any) -> charge_pb2.Charge:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "site_id": self.billing.site_id,
            "patient_id": self.billing.patient_id,
            "product_code": "salve",
            "quantity": quantity,
        }
        request = charge_service_pb2.ChargeProductRequest(**fields | changes)
        return (await self.svc.call(self.charges.ChargeProduct, request, token)).charge  # type: ignore[no-any-return]

    async def correct(
        self, charge_id: str, amount: float, token: str | None = None, **changes: Any
    ) -> charge_pb2.Charge:
        fields: dict[str, Any] = {
            "request_id": str(uuid4()),
            "charge_id": charge_id,
            "amount": usd(amount),
            "reason": charge_pb2.CORRECTION_REASON_PRICING_ERROR,
        }
        request = charge_service_pb2.CorrectChargeRequest(**fields | changes)
        return (await self.svc.call(self.charges.CorrectCharge, request, token)).charge  # type: ignore[no-any-return]

    async def waive(self, charge_id: str, token: str | None = None) -> charge_pb2.Charge:
        request = charge_service_pb2.WaiveFeeRequest(request_id=str(uuid4()), charge_id=charge_id, note="Snow")
        return (await self.svc.call(self.charges.WaiveFee, request, token)).charge  # type: ignore[no-any-return]

    async def explain(self, charge_id: str, token: str | None = None) -> charge_service_pb2.ChargeExplanation:
        request = charge_service_pb2.ExplainChargeRequest(charge_id=charge_id)
        answer = await self.svc.call(self.charges.ExplainCharge, request, token)
        return answer.explanation  # type: ignore[no-any-return]

    async def uninvoiced(self, token: str | None = None, **request: Any) -> list[charge_pb2.Charge]:
        """Of the patient."""
        wanted = charge_service_pb2.ListUninvoicedChargesRequest(patient_id=self.billing.patient_id, **request)
        return list((await self.svc.call(self.charges.ListUninvoicedCharges, wanted, token)).charges)

    def of_days(self, first: date, last: date, **more: Any) -> charge_service_pb2.ListUninvoicedChargesRequest:
        days = {"first_date": to_date(first), "last_date": to_date(last)}
        return charge_service_pb2.ListUninvoicedChargesRequest(site_id=self.billing.site_id, **days, **more)

    async def uninvoiced_of_days(self, first: date, last: date) -> list[str]:
        """The ids of the site's."""
        answer = await self.svc.call(self.charges.ListUninvoicedCharges, self.of_days(first, last))
        return [each.id for each in answer.charges]


async def invoicing_story(billing: Billing) -> None:
    """One row at least in each table of invoices, taxes and credit; an offence is put there, as no rule makes one."""
    desk = Invoicing(billing)
    await desk.tax(kinds=[charge_pb2.CHARGE_KIND_VISIT])
    for _ in range(2):
        course = await billing.book()
        await billing.complete(course, 1)
        await billing.pay(2000, course_id=course.id)
        draft = await desk.draft(course_id=course.id)
        invoice = await desk.issue_draft(draft)
        await desk.void(invoice.id, credit_note_service_pb2.CREDIT_PURPOSE_CREDIT)
    course = await billing.book()
    await billing.complete(course, 1)
    await billing.issue(course)
    await billing.fetch(
        "INSERT INTO offence SELECT chain_id, id, site_id, patient_id, 2, id, now() FROM visit WHERE id = $1",
        from_wire("visit", course.visits[0].visit_id),
    )


def cents(money: Any) -> int:
    amount = dollars(money)
    return 0 if amount is None else round(100 * amount)
