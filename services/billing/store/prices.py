"""Price books, and the one that a course is pinned to."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Date, Integer, Text, Uuid, and_, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.prices import PriceBook, PriceBookNotFound, PriceItem
from services.billing.tables import pin, price_book, price_item, publication

CHAIN, ID, SITE, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id"))

_new_item = rows(
    "new_item",
    item_id=Uuid,
    visit_type_code=Text,
    route_code=Text,
    band_code=Text,
    unit_price_minor=BigInteger,
    description=Text,
)
_copied = ["visit_type_code", "route_code", "band_code", "unit_price_minor", "description"]
_new_book = insert(price_book).values(params(*price_book.c.keys()))
ADD_PRICE_BOOK = Statement(
    insert(price_item)
    .from_select(
        ["chain_id", "id", "site_id", "price_book_id", *_copied],
        select(CHAIN, _new_item.c.item_id, SITE, ID, *(_new_item.c[name] for name in _copied)),
    )
    .add_cte(_new_book.cte("new_book"))
)
PUBLISH = Statement(insert(publication).values(params(*publication.c.keys())))
PIN = Statement(pg_insert(pin).values(params(*pin.c.keys())).on_conflict_do_nothing())
PINNED_VERSION = Statement(select(pin.c.version).where(pin.c.chain_id == CHAIN, pin.c.course_id == COURSE))

_of_book = and_(publication.c.chain_id == price_book.c.chain_id, publication.c.price_book_id == price_book.c.id)
_in_book = and_(price_item.c.chain_id == price_book.c.chain_id, price_item.c.price_book_id == price_book.c.id)
_key = [price_item.c[name] for name in ("visit_type_code", "route_code", "band_code")]
_books = select(price_book, publication.c.version, publication.c.published_at)
_items = [
    price_item.c.id.label("item_id"),
    *_key,
    price_item.c.unit_price_minor,
    price_item.c.description,
]
PRICE_BOOK = Statement(
    _books.add_columns(*_items)
    .outerjoin(publication, _of_book)
    .join(price_item, _in_book)
    .where(price_book.c.chain_id == CHAIN, price_book.c.id == ID)
    .order_by(*_key)
)
PUBLISHED = Statement(
    _books.add_columns(*_items)
    .join(publication, _of_book)
    .join(price_item, _in_book)
    .where(
        publication.c.chain_id == CHAIN, publication.c.site_id == SITE, publication.c.version >= param("from_version")
    )
    .order_by(publication.c.version, *_key)
)
PRICE_BOOKS = Statement(
    _books.outerjoin(publication, _of_book)
    .where(
        price_book.c.chain_id == CHAIN,
        price_book.c.site_id == SITE,
        tuple_(price_book.c.effective_date, price_book.c.id)
        < tuple_(param("before_date", Date), param("before_id", Uuid)),
    )
    .order_by(price_book.c.effective_date.desc(), price_book.c.id.desc())
    .limit(param("limit", Integer))
)


class PriceStore(Store):
    async def add_price_book(self, new: PriceBook) -> None:
        await self.rows(
            ADD_PRICE_BOOK,
            id=new.id,
            site_id=new.site_id,
            currency=new.currency,
            effective_date=new.effective_date,
            deposit_minor=new.deposit.minor,
            created_at=new.created_at,
            item_id=[item.id for item in new.items],
            visit_type_code=[item.visit_type_code for item in new.items],
            route_code=[item.route_code for item in new.items],
            band_code=[item.band_code for item in new.items],
            unit_price_minor=[item.unit_price.minor for item in new.items],
            description=[item.description for item in new.items],
        )

    async def publish(self, published: PriceBook) -> None:
        await self.rows(
            PUBLISH,
            price_book_id=published.id,
            site_id=published.site_id,
            version=published.version,
            effective_date=published.effective_date,
            published_at=published.published_at,
        )

    async def price_book(self, price_book_id: UUID) -> PriceBook:
        found = await self.rows(PRICE_BOOK, id=price_book_id)
        if not found:
            raise PriceBookNotFound(price_book_id=to_wire("pricebook", price_book_id))
        return _book(found)

    async def published(self, site_id: UUID, from_version: int = 1) -> list[PriceBook]:
        """A site's published price books in the order of their versions, which is that of their effective dates."""
        found = await self.rows(PUBLISHED, site_id=site_id, from_version=from_version)
        return [_book(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]

    async def price_books(self, site_id: UUID, before: tuple[date, UUID], limit: int) -> list[PriceBook]:
        """Without their items, the latest effective first."""
        before_date, before_id = before
        found = await self.rows(PRICE_BOOKS, site_id=site_id, before_date=before_date, before_id=before_id, limit=limit)
        return [_header(row, ()) for row in found]

    async def pin(self, course_id: UUID, book: PriceBook) -> None:
        """Once: a course that is pinned stays so."""
        await self.rows(PIN, course_id=course_id, site_id=book.site_id, price_book_id=book.id, version=book.version)

    async def pinned(self, site_id: UUID, course_id: UUID) -> list[PriceBook]:
        """The price book that a course is pinned to, and all later ones; none while the site has published none."""
        row = await self.row(PINNED_VERSION, course_id=course_id)
        return await self.published(site_id, row["version"]) if row else []


def _book(found: Sequence[Record]) -> PriceBook:
    items = tuple(
        PriceItem(
            row["item_id"],
            row["visit_type_code"],
            row["route_code"],
            row["band_code"],
            Money(row["unit_price_minor"], row["currency"]),
            row["description"],
        )
        for row in found
    )
    return _header(found[0], items)


def _header(row: Record, items: tuple[PriceItem, ...]) -> PriceBook:
    return PriceBook(
        id=row["id"],
        site_id=row["site_id"],
        effective_date=row["effective_date"],
        deposit=Money(row["deposit_minor"], row["currency"]),
        items=items,
        created_at=row["created_at"],
        version=row["version"] or 0,
        published_at=row["published_at"],
    )
