"""Price books."""

from typing import Any

from atoll.billing.v1 import price_book_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, to_wire
from chassis.money import Money
from chassis.money import from_wire as money_from_wire
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.billing.domain.prices import Candidate, PriceBook, PriceChange, RoundingStep, VisitKind
from services.billing.rpc.common import before_day, some_money
from services.billing.rpc.price_items import item_to_wire, items_from_wire, tier_to_wire
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
            minimum=_minimum(request),
            items=items_from_wire(request.items, request.currency_code),
        )

        async def work(store: BillingStore) -> pb.CreatePriceBookResponse:
            return pb.CreatePriceBookResponse(price_book=_book(await prices.create_price_book(store, command)))

        return await self._db.once(call, request, pb.CreatePriceBookResponse, BillingStore, work)

    async def UpdatePriceBook(self, request: pb.UpdatePriceBookRequest, call: Call) -> pb.UpdatePriceBookResponse:
        price_book_id, revision = from_wire("pricebook", request.price_book_id), from_etag(request.etag)
        command = prices.UpdatePriceBook(price_book_id, revision, _changes(request))

        async def work(store: BillingStore) -> pb.UpdatePriceBookResponse:
            return pb.UpdatePriceBookResponse(price_book=_book(await prices.update_price_book(store, command)))

        return await self._db.once(call, request, pb.UpdatePriceBookResponse, BillingStore, work)

    async def DeletePriceBook(self, request: pb.DeletePriceBookRequest, call: Call) -> pb.DeletePriceBookResponse:
        price_book_id, revision = from_wire("pricebook", request.price_book_id), from_etag(request.etag)

        async def work(store: BillingStore) -> pb.DeletePriceBookResponse:
            await prices.delete_price_book(store, price_book_id, revision)
            return pb.DeletePriceBookResponse()

        return await self._db.once(call, request, pb.DeletePriceBookResponse, BillingStore, work)

    async def CopyPriceBook(self, request: pb.CopyPriceBookRequest, call: Call) -> pb.CopyPriceBookResponse:
        command = prices.CopyPriceBook(
            price_book_id=from_wire("pricebook", request.price_book_id),
            site_id=from_wire("site", request.site_id),
            effective_date=from_date(request.effective_date, "effective_date"),
            change=PriceChange(request.change_basis_points, RoundingStep(request.rounding)),
        )

        async def work(store: BillingStore) -> pb.CopyPriceBookResponse:
            return pb.CopyPriceBookResponse(price_book=_book(await prices.copy_price_book(store, command)))

        return await self._db.once(call, request, pb.CopyPriceBookResponse, BillingStore, work)

    async def DiffPriceBooks(self, request: pb.DiffPriceBooksRequest, call: Call) -> pb.DiffPriceBooksResponse:
        before, after = (from_wire("pricebook", id) for id in (request.old_price_book_id, request.new_price_book_id))
        found = await self._db.read(
            call, request, BillingStore, lambda store: prices.diff_price_books(store, before, after)
        )
        return pb.DiffPriceBooksResponse(
            added=map(item_to_wire, found.added),
            removed=map(item_to_wire, found.removed),
            changed=[
                pb.DiffPriceBooksResponse.Change(old=item_to_wire(old), new=item_to_wire(new))
                for old, new in found.changed
            ],
            deposit=_amount_change(found.deposit),
            minimum_charge=_amount_change(found.minimum),
        )

    async def PublishPriceBook(self, request: pb.PublishPriceBookRequest, call: Call) -> pb.PublishPriceBookResponse:
        price_book_id = from_wire("pricebook", request.price_book_id)
        revision = from_etag(request.etag) if request.etag else None

        async def work(store: BillingStore) -> pb.PublishPriceBookResponse:
            published = await prices.publish_price_book(store, price_book_id, revision)
            return pb.PublishPriceBookResponse(price_book=_book(published))

        return await self._db.once(call, request, pb.PublishPriceBookResponse, BillingStore, work)

    async def GetPriceBook(self, request: pb.GetPriceBookRequest, call: Call) -> pb.GetPriceBookResponse:
        price_book_id = from_wire("pricebook", request.price_book_id)
        book = await self._db.read(call, request, BillingStore, lambda store: store.price_book(price_book_id))
        return pb.GetPriceBookResponse(price_book=_book(book))

    async def ListPriceBooks(self, request: pb.ListPriceBooksRequest, call: Call) -> pb.ListPriceBooksResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        found = await self._db.read(
            call, request, BillingStore, lambda store: store.price_books(site_id, before_day(page), page.limit)
        )
        kept, token = page.cut(found, key=lambda book: [book.effective_date.isoformat(), str(book.id)])
        return pb.ListPriceBooksResponse(price_books=[_book(book) for book in kept], next_page_token=token)

    async def ExplainPrice(self, request: pb.ExplainPriceRequest, call: Call) -> pb.ExplainPriceResponse:
        site_id = from_wire("site", request.site_id)
        kind = VisitKind(request.visit_type_code, request.route_code, request.band_code)
        day = from_date(request.date, "date") if request.HasField("date") else None
        ordinal = request.ordinal or 1
        found = await self._db.read(
            call, request, BillingStore, lambda store: prices.explain_price(store, site_id, kind, day, ordinal)
        )
        price = found.price
        return pb.ExplainPriceResponse(
            item=item_to_wire(price.item),
            price_book_id=to_wire("pricebook", price.book.id),
            version=price.book.version,
            effective_date=to_date(price.book.effective_date),
            amount=money_to_wire(price.amount),
            tier=tier_to_wire(price.tier) if price.tier else None,
            minimum_charge_applied=price.minimum_applied,
            candidates=map(_candidate, found.candidates),
            add_ons=map(item_to_wire, price.book.add_ons(request.visit_type_code)),
        )


def _book(book: PriceBook) -> pb.PriceBook:
    return pb.PriceBook(
        id=to_wire("pricebook", book.id),
        site_id=to_wire("site", book.site_id),
        currency_code=book.currency,
        effective_date=to_date(book.effective_date),
        items=[item_to_wire(item) for item in book.items],
        deposit=money_to_wire(book.deposit),
        version=book.version,
        create_time=to_timestamp(book.created_at),
        publish_time=to_timestamp(book.published_at) if book.published_at else None,
        etag=to_etag(book.revision),
        minimum_charge=some_money(book.minimum),
    )


def _minimum(request: pb.CreatePriceBookRequest | pb.UpdatePriceBookRequest) -> Money | None:
    """None: none, or zero."""
    minimum = money_from_wire(request.minimum_charge, "minimum_charge") if request.HasField("minimum_charge") else None
    return minimum if minimum and minimum.minor else None


def _changes(request: pb.UpdatePriceBookRequest) -> dict[str, Any]:
    """The fields that update_mask names. Items are in the currency of what they cost."""
    fields, changes = set(request.update_mask.paths), dict[str, Any]()
    if "effective_date" in fields:
        changes["effective_date"] = from_date(request.effective_date, "effective_date")
    if "deposit" in fields:
        changes["deposit"] = money_from_wire(request.deposit, "deposit")
    if "minimum_charge" in fields:
        changes["minimum"] = _minimum(request)
    if "items" in fields:
        changes["items"] = items_from_wire(request.items)
    return changes


def _amount_change(amounts: tuple[Money, Money] | None) -> pb.DiffPriceBooksResponse.AmountChange | None:
    if not amounts:
        return None
    old, new = map(money_to_wire, amounts)
    return pb.DiffPriceBooksResponse.AmountChange(old=old, new=new)


def _candidate(candidate: Candidate) -> pb.ExplainPriceResponse.Candidate:
    return pb.ExplainPriceResponse.Candidate(
        item=item_to_wire(candidate.item),
        price_book_id=to_wire("pricebook", candidate.book.id),
        version=candidate.book.version,
        loss=pb.CandidateLoss.ValueType(candidate.loss),
    )
