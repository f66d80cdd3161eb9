"""Price books."""

from datetime import date
from uuid import UUID

from atoll.billing.v1 import price_book_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.prices import PriceBook, PriceItem, VisitKind
from services.billing.rpc.common import LAST_ID
from services.billing.store import BillingStore
from services.billing.use_cases import prices


class PriceBookServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreatePriceBook(self, request: pb.CreatePriceBookRequest, call: Call) -> pb.CreatePriceBookResponse:
        command = prices.CreatePriceBook(
            site_id=from_wire("site", request.site_id),
            currency=request.currency_code,
            effective_date=from_date(request.effective_date, "effective_date"),
            deposit=money_from_wire(request.deposit, "deposit"),
            items=tuple(
                PriceItem(
                    new_id(),
                    item.visit_type_code,
                    item.route_code,
                    item.band_code,
                    money_from_wire(item.unit_price, f"items[{i}].unit_price"),
                    item.description,
                )
                for i, item in enumerate(request.items)
            ),
        )

        async def work(store: BillingStore) -> pb.CreatePriceBookResponse:
            return pb.CreatePriceBookResponse(price_book=_book(await prices.create_price_book(store, command)))

        return await self._db.once(call, request, pb.CreatePriceBookResponse, BillingStore, work)

    async def PublishPriceBook(self, request: pb.PublishPriceBookRequest, call: Call) -> pb.PublishPriceBookResponse:
        price_book_id = from_wire("pricebook", request.price_book_id)

        async def work(store: BillingStore) -> pb.PublishPriceBookResponse:
            return pb.PublishPriceBookResponse(price_book=_book(await prices.publish_price_book(store, price_book_id)))

        return await self._db.once(call, request, pb.PublishPriceBookResponse, BillingStore, work)

    async def GetPriceBook(self, request: pb.GetPriceBookRequest, call: Call) -> pb.GetPriceBookResponse:
        price_book_id = from_wire("pricebook", request.price_book_id)
        book = await self._db.read(call, request, BillingStore, lambda store: store.price_book(price_book_id))
        return pb.GetPriceBookResponse(price_book=_book(book))

    async def ListPriceBooks(self, request: pb.ListPriceBooksRequest, call: Call) -> pb.ListPriceBooksResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.price_books(site_id, _before(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda book: [book.effective_date.isoformat(), str(book.id)])
        return pb.ListPriceBooksResponse(price_books=[_book(book) for book in kept], next_page_token=token)

    async def ExplainPrice(self, request: pb.ExplainPriceRequest, call: Call) -> pb.ExplainPriceResponse:
        site_id = from_wire("site", request.site_id)
        kind = VisitKind(request.visit_type_code, request.route_code, request.band_code)
        day = from_date(request.date, "date") if request.HasField("date") else None
        price = await self._db.read(
            call, request, BillingStore, lambda store: prices.explain_price(store, site_id, kind, day)
        )
        return pb.ExplainPriceResponse(
            item=_item(price.item),
            price_book_id=to_wire("pricebook", price.book.id),
            version=price.book.version,
            effective_date=to_date(price.book.effective_date),
        )


def _before(page: Page) -> tuple[date, UUID]:
    return (date.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else (date.max, LAST_ID)


def _book(book: PriceBook) -> pb.PriceBook:
    return pb.PriceBook(
        id=to_wire("pricebook", book.id),
        site_id=to_wire("site", book.site_id),
        currency_code=book.currency,
        effective_date=to_date(book.effective_date),
        items=[_item(item) for item in book.items],
        deposit=money_to_wire(book.deposit),
        version=book.version,
        create_time=to_timestamp(book.created_at),
        publish_time=to_timestamp(book.published_at) if book.published_at else None,
    )


def _item(item: PriceItem) -> pb.PriceItem:
    return pb.PriceItem(
        id=to_wire("priceitem", item.id),
        visit_type_code=item.visit_type_code,
        route_code=item.route_code,
        band_code=item.band_code,
        unit_price=money_to_wire(item.unit_price),
        description=item.description,
    )
