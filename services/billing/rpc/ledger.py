"""The ledger."""

from atoll.billing.v1 import ledger_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.billing.domain.ledger import AccountTotal, PostedEntry, Source
from services.billing.rpc.common import about, before_id, some_id
from services.billing.store import BillingStore


class LedgerServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, call: Call) -> pb.GetTrialBalanceResponse:
        legal_entity_id = from_wire("legalentity", request.legal_entity_id)

        async def work(store: BillingStore) -> list[AccountTotal]:
            await store.need_legal_entity(legal_entity_id)
            return await store.trial_balance(legal_entity_id)

        totals = await self._db.read(call, request, BillingStore, work)
        return pb.GetTrialBalanceResponse(totals=[_total(total) for total in totals])

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
    )


def _entry(posted: PostedEntry) -> pb.Entry:
    source_id = posted.entry.source_id
    entry = pb.Entry(
        id=to_wire("entry", posted.id),
        site_id=to_wire("site", posted.site_id),
        legal_entity_id=to_wire("legalentity", posted.legal_entity_id),
        patient_id=some_id("patient", posted.patient_id),
        postings=[
            pb.Entry.Posting(
                account=pb.LedgerAccount.ValueType(each.account),
                amount=money_to_wire(each.amount),
                item_code=each.item_code,
                counterparty_legal_entity_id=some_id("legalentity", each.counterparty_id),
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
