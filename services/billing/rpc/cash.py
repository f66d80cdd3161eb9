"""Cash."""

from atoll.billing.v1 import cash_count_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.cash import CashCount
from services.billing.rpc.common import before_id
from services.billing.store import BillingStore
from services.billing.use_cases import cash


class CashCountServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordCashCount(self, request: pb.RecordCashCountRequest, call: Call) -> pb.RecordCashCountResponse:
        command = cash.RecordCashCount(
            site_id=from_wire("site", request.site_id),
            day=from_date(request.date, "date"),
            counted=money_from_wire(request.counted, "counted"),
            note=request.note,
        )

        async def work(store: BillingStore) -> pb.RecordCashCountResponse:
            return pb.RecordCashCountResponse(cash_count=_count(await cash.count_cash(store, command)))

        return await self._db.once(call, request, pb.RecordCashCountResponse, BillingStore, work)

    async def ListCashCounts(self, request: pb.ListCashCountsRequest, call: Call) -> pb.ListCashCountsResponse:
        page, site_id = Page.of(request, call), from_wire("site", request.site_id)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.cash_counts(site_id, before_id(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda count: [str(count.id)])
        return pb.ListCashCountsResponse(cash_counts=map(_count, kept), next_page_token=token)


def _count(count: CashCount) -> pb.CashCount:
    return pb.CashCount(
        id=to_wire("cashcount", count.id),
        site_id=to_wire("site", count.site_id),
        date=to_date(count.business_date),
        expected=money_to_wire(count.expected),
        counted=money_to_wire(count.counted),
        over=money_to_wire(count.over),
        note=count.note,
        count_time=to_timestamp(count.counted_at),
    )
