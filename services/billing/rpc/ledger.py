"""The ledger."""

from datetime import date

from atoll.billing.v1 import ledger_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_instant, to_timestamp
from services.billing.domain.ledger import Account, AccountTotal, PostedEntry, Posting, Source, totals_of_accounts
from services.billing.domain.periods import Period
from services.billing.rpc.common import about, before_id
from services.billing.store import BillingStore
from services.billing.store.ledger import FOREVER
from services.billing.use_cases import books


class LedgerServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, call: Call) -> pb.GetTrialBalanceResponse:
        legal_entity_id = from_wire("legalentity", request.legal_entity_id)
        until = to_instant(request.before_time) if request.HasField("before_time") else FOREVER

        async def work(store: BillingStore) -> list[AccountTotal]:
            await store.need_legal_entity(legal_entity_id)
            return await store.trial_balance(legal_entity_id, until)

        totals = await self._db.read(call, request, BillingStore, work)
        shown = totals if request.detailed else totals_of_accounts(totals)
        return pb.GetTrialBalanceResponse(totals=[_total(total) for total in shown])

    async def ClosePeriod(self, request: pb.ClosePeriodRequest, call: Call) -> pb.ClosePeriodResponse:
        legal_entity_id = from_wire("legalentity", request.legal_entity_id)
        last_date = from_date(request.last_date, "last_date")

        async def work(store: BillingStore) -> pb.ClosePeriodResponse:
            return pb.ClosePeriodResponse(period=_period(await books.close_period(store, legal_entity_id, last_date)))

        return await self._db.once(call, request, pb.ClosePeriodResponse, BillingStore, work)

    async def ListPeriods(self, request: pb.ListPeriodsRequest, call: Call) -> pb.ListPeriodsResponse:
        legal_entity_id, page = from_wire("legalentity", request.legal_entity_id), Page.of(request, call)
        before = date.fromisoformat(page.after[0]) if page.after else date.max

        async def work(store: BillingStore) -> list[Period]:
            await store.need_legal_entity(legal_entity_id)
            return await store.periods(legal_entity_id, before, page.limit)

        kept, token = page.cut(
            await self._db.read(call, request, BillingStore, work), key=lambda each: [each.last_date.isoformat()]
        )
        return pb.ListPeriodsResponse(periods=[_period(each) for each in kept], next_page_token=token)

    async def VerifyBooks(self, request: pb.VerifyBooksRequest, call: Call) -> pb.VerifyBooksResponse:
        legal_entity_id = from_wire("legalentity", request.legal_entity_id)
        found = await self._db.read(
            call, request, BillingStore, lambda store: books.verify_books(store, legal_entity_id)
        )
        return pb.VerifyBooksResponse(
            posting_count=found.posting_count,
            period_count=found.period_count,
            unbalanced_entry_ids=[to_wire("entry", each) for each in found.unbalanced_entry_ids],
            differences=[
                pb.VerifyBooksResponse.Difference(
                    period_id=to_wire("period", each.period_id),
                    stored=_total(each.total),
                    replayed=_total(each.replayed),
                )
                for each in found.differences
            ],
        )

    async def PostAdjustment(self, request: pb.PostAdjustmentRequest, call: Call) -> pb.PostAdjustmentResponse:
        command = books.PostAdjustment(
            site_id=from_wire("site", request.site_id),
            reason=request.reason,
            postings=tuple(
                Posting(
                    Account(each.account),
                    money_from_wire(each.amount, f"postings[{i}].amount"),
                    each.item_code,
                )
                for i, each in enumerate(request.postings)
            ),
            posted_at=to_instant(request.post_time) if request.HasField("post_time") else None,
        )

        async def work(store: BillingStore) -> pb.PostAdjustmentResponse:
            return pb.PostAdjustmentResponse(entry=_entry(await books.post_adjustment(store, command)))

        return await self._db.once(call, request, pb.PostAdjustmentResponse, BillingStore, work)

    async def ListEntries(self, request: pb.ListEntriesRequest, call: Call) -> pb.ListEntriesResponse:
        page = Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.entries(*about(request), before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda entry: [str(entry.id)])
        return pb.ListEntriesResponse(entries=[_entry(each) for each in kept], next_page_token=token)


def _total(total: AccountTotal) -> pb.GetTrialBalanceResponse.AccountTotal:
    return pb.GetTrialBalanceResponse.AccountTotal(
        account=pb.LedgerAccount.ValueType(total.account),
        debit=money_to_wire(total.debit),
        credit=money_to_wire(total.credit),
        site_id=some_to_wire("site", total.site_id),
        item_code=total.item_code,
    )


def _period(period: Period) -> pb.Period:
    return pb.Period(
        id=to_wire("period", period.id),
        legal_entity_id=to_wire("legalentity", period.legal_entity_id),
        last_date=to_date(period.last_date),
        end_time=to_timestamp(period.end_at),
        close_time=to_timestamp(period.closed_at),
        closed_by=period.closed_by,
    )


def _entry(posted: PostedEntry) -> pb.Entry:
    source_id = posted.entry.source_id
    entry = pb.Entry(
        id=to_wire("entry", posted.id),
        site_id=to_wire("site", posted.site_id),
        legal_entity_id=to_wire("legalentity", posted.legal_entity_id),
        patient_id=some_to_wire("patient", posted.patient_id),
        postings=[
            pb.Entry.Posting(
                account=pb.LedgerAccount.ValueType(each.account),
                amount=money_to_wire(each.amount),
                item_code=each.item_code,
                counterparty_legal_entity_id=some_to_wire("legalentity", each.counterparty_id),
            )
            for each in posted.entry.postings
        ],
        post_time=to_timestamp(posted.posted_at),
    )
    match posted.entry.source:
        case Source.CHARGE:
            entry.charge_id = to_wire("charge", source_id)
        case Source.PAYMENT:
            entry.payment_id = to_wire("payment", source_id)
        case Source.APPLICATION:
            entry.application_id = str(source_id)
        case other:
            entry.document.kind = pb.SourceKind.ValueType(other)
            entry.document.id = str(source_id)
    return entry
