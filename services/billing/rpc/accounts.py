"""Accounts of patients and of courses."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from atoll.billing.v1 import account_service_pb2 as pb
from atoll.billing.v1.entitlement_pb2 import Entitlement as WireEntitlement
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_date, to_timestamp
from services.billing.domain.accounts import (
    Account,
    Balance,
    Charge,
    CourseAccount,
    CourseVisit,
    Document,
    DocumentKind,
    NextDue,
)
from services.billing.rpc.cards import card_to_wire
from services.billing.rpc.common import LAST_ID, some_money
from services.billing.rpc.entitlements import entitlement_to_wire
from services.billing.rpc.invoices import charge_to_wire
from services.billing.store import BillingStore

PREFIXES = {
    DocumentKind.CHARGE: "charge",
    DocumentKind.INVOICE: "invoice",
    DocumentKind.PAYMENT: "payment",
    DocumentKind.PACKAGE_STOP: "packageend",
    DocumentKind.CREDIT_NOTE: "creditnote",
    DocumentKind.REFUND: "refundpart",
    DocumentKind.REVERSAL: "payment",
}
GIVES_CREDIT = (DocumentKind.PACKAGE_STOP, DocumentKind.CREDIT_NOTE)
ENTITLEMENTS_MAX = 100


class AccountServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> pb.GetAccountResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)

        async def work(store: BillingStore) -> pb.GetAccountResponse:
            account = await store.account(patient_id, _before(page), page.limit)
            survivor_id = account.patient_id or (await store.patient(patient_id)).end
            kept, token = page.cut(account.documents, key=lambda each: [each.at.isoformat(), str(each.id)])
            shown = _account(replace(account, documents=tuple(kept)), survivor_id)
            shown.cards.extend(map(card_to_wire, await store.cards(patient_id)))
            if due := await store.next_due(patient_id):
                shown.next_due.CopyFrom(_next_due(due))
            held = await store.open_entitlements(patient_id, ENTITLEMENTS_MAX)
            shown.entitlements.extend(entitlement_to_wire(each, call.now) for each in held)
            return pb.GetAccountResponse(account=shown, next_page_token=token)

        return await self._db.read(call, request, BillingStore, work)

    async def GetCourseAccount(self, request: pb.GetCourseAccountRequest, call: Call) -> pb.GetCourseAccountResponse:
        course_id = from_wire("course", request.course_id)

        async def work(store: BillingStore) -> pb.CourseAccount:
            account = await store.course_account(course_id)
            charges, visits = await store.charges_of_course(course_id), await store.course_visits(course_id)
            held = await store.open_entitlements(account.patient_id, ENTITLEMENTS_MAX)
            return _course_account(account, charges, visits, [entitlement_to_wire(each, call.now) for each in held])

        return pb.GetCourseAccountResponse(course_account=await self._db.read(call, request, BillingStore, work))


def _before(page: Page) -> tuple[datetime, UUID]:
    if page.after:
        return datetime.fromisoformat(page.after[0]), UUID(page.after[1])
    return datetime.max.replace(tzinfo=UTC), LAST_ID


def _account(account: Account, patient_id: UUID) -> pb.Account:
    return pb.Account(
        patient_id=to_wire("patient", patient_id),
        balances=map(_balance, account.balances()),
        documents=map(_document, account.documents),
        parts=[
            pb.Account.Part(patient_id=to_wire("patient", each), balances=map(_balance, account.balances(each)))
            for each in account.patient_ids
        ],
        site_balances=[
            pb.Account.SiteBalance(site_id=to_wire("site", site_id), balance=_balance(balance))
            for site_id in account.site_ids
            for balance in account.balances_at(site_id)
        ],
    )


def _next_due(due: NextDue) -> pb.Account.NextDue:
    return pb.Account.NextDue(
        invoice_id=to_wire("invoice", due.invoice_id), due_date=to_date(due.due_date), left=money_to_wire(due.left)
    )


def _balance(balance: Balance) -> pb.Account.Balance:
    return pb.Account.Balance(
        charged=money_to_wire(balance.charged),
        invoiced=money_to_wire(balance.invoiced),
        paid=money_to_wire(balance.paid),
        unapplied=money_to_wire(balance.unapplied),
        due=money_to_wire(balance.due),
        balance=money_to_wire(balance.balance),
        returned=money_to_wire(balance.returned),
        credit=money_to_wire(balance.credit),
    )


def _document(document: Document) -> pb.Account.Document:
    return pb.Account.Document(
        kind=pb.DocumentKind.ValueType(document.kind),
        id=to_wire(PREFIXES[document.kind], document.id) if document.kind in PREFIXES else str(document.id),
        site_id=to_wire("site", document.site_id),
        course_id=some_to_wire("course", document.course_id),
        time=to_timestamp(document.at),
        amount=money_to_wire(document.amount),
        open=money_to_wire(document.open),
        invoice_number=document.invoice_number,
        description=document.description,
        patient_id=to_wire("patient", document.patient_id),
        disputed=document.disputed,
        credit_id=to_wire("credit", document.id) if document.kind in GIVES_CREDIT and document.open.minor else "",
    )


def _course_account(
    account: CourseAccount,
    charges: Sequence[Charge],
    visits: Sequence[CourseVisit],
    entitlements: Sequence[WireEntitlement],
) -> pb.CourseAccount:
    return pb.CourseAccount(
        course_id=to_wire("course", account.course_id),
        site_id=to_wire("site", account.site_id),
        patient_id=to_wire("patient", account.patient_id),
        price_book_id=some_to_wire("pricebook", account.price_book_id),
        price_book_version=account.price_book_version,
        estimate_id=some_to_wire("estimate", account.estimate_id),
        estimated=some_money(account.estimated),
        deposit_due=some_money(account.deposit_due),
        deposit_covered=account.deposit_covered,
        charged=some_money(account.charged),
        invoiced=some_money(account.invoiced),
        paid=some_money(account.paid),
        due=some_money(account.due),
        charges=[charge_to_wire(charge) for charge in charges],
        visits=[
            pb.CourseVisit(visit_id=to_wire("visit", visit.id), status=pb.BillingStatus.ValueType(visit.status))
            for visit in visits
        ],
        entitlements=entitlements,
    )
