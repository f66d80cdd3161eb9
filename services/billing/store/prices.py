"""Price books, drafts and published, and the one that a course is pinned to."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    and_,
    collate,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.etags import StaleEtag
from chassis.ids import to_wire
from chassis.money import Money
from chassis.sql import Statement, param, params, rows
from chassis.store import Store
from services.billing.domain.prices import ItemKind, PriceBook, PriceBookNotFound, PriceItem
from services.billing.store.price_terms import read_terms, terms_of
from services.billing.tables import charge, pin, price_book, price_item, publication

CHAIN, ID, SITE, COURSE = (param(name, Uuid) for name in ("chain_id", "id", "site_id", "course_id"))

_new_item = rows(
    "new_item",
    item_id=Uuid,
    kind=SmallInteger,
    visit_type_code=Text,
    route_code=Text,
    band_code=Text,
    code=Text,
    unit_price_minor=BigInteger,
    description=Text,
    terms=JSONB,
)
_copied = [column.name for column in _new_item.c if column.name != "item_id"]
_new_items = insert(price_item).from_select(
    ["chain_id", "id", "site_id", "price_book_id", *_copied],
    select(CHAIN, _new_item.c.item_id, SITE, ID, *(_new_item.c[name] for name in _copied)),
)
_new_book = insert(price_book).values(params(*price_book.c.keys()))
ADD_PRICE_BOOK = Statement(_new_items.add_cte(_new_book.cte("new_book")))
ADD_ITEMS = Statement(_new_items)
_its_items = delete(price_item).where(price_item.c.chain_id == CHAIN, price_item.c.price_book_id == ID)
_as_seen = and_(price_book.c.chain_id == CHAIN, price_book.c.id == ID, price_book.c.revision == param("seen", Integer))
CHANGE_PRICE_BOOK = Statement(
    update(price_book)
    .where(_as_seen)
    .values(params("effective_date", "deposit_minor", "minimum_minor", "revision"))
    .returning(price_book.c.id)
)
DELETE_ITEMS = Statement(_its_items)
DELETE_PRICE_BOOK = Statement(
    delete(price_book).where(_as_seen).returning(price_book.c.id).add_cte(_its_items.cte("its_items"))
)
PUBLISH = Statement(insert(publication).values(params(*publication.c.keys())))
PIN = Statement(pg_insert(pin).values(params(*pin.c.keys())).on_conflict_do_nothing())
PINNED_VERSION = Statement(select(pin.c.version).where(pin.c.chain_id == CHAIN, pin.c.course_id == COURSE))

_of_book = and_(publication.c.chain_id == price_book.c.chain_id, publication.c.price_book_id == price_book.c.id)
_in_book = and_(price_item.c.chain_id == price_book.c.chain_id, price_item.c.price_book_id == price_book.c.id)
_codes = ("visit_type_code", "route_code", "band_code", "code")
_key = [price_item.c.kind, *(collate(price_item.c[name], "C") for name in _codes)]  # In the order of `PriceItem.key`.
_books = select(price_book, publication.c.version, publication.c.published_at)
_items = [price_item.c.id.label("item_id"), *(price_item.c[name] for name in _copied)]
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
CHARGED_BY = Statement(
    select(func.count())
    .select_from(charge)
    .where(
        charge.c.chain_id == CHAIN,
        charge.c.course_id == COURSE,
        charge.c.price_item_id == ID,
        charge.c.visit_id.is_not(None),
        charge.c.replaces_id.is_(None),
    )
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
            minimum_minor=new.least.minor,
            revision=new.revision,
            created_at=new.created_at,
            **_columns(new.items),
        )

    async def change_price_book(self, changed: PriceBook, *, with_items: bool) -> None:
        """Unless somebody else did since it was read."""
        row = await self.row(
            CHANGE_PRICE_BOOK,
            id=changed.id,
            effective_date=changed.effective_date,
            deposit_minor=changed.deposit.minor,
            minimum_minor=changed.least.minor,
            revision=changed.revision,
            seen=changed.revision - 1,
        )
        if row is None:
            raise StaleEtag()
        if with_items:
            await self.rows(DELETE_ITEMS, id=changed.id)
            await self.rows(ADD_ITEMS, id=changed.id, site_id=changed.site_id, **_columns(changed.items))

    async def delete_price_book(self, draft: PriceBook) -> None:
        """Unless somebody else changed it since it was read."""
        if await self.row(DELETE_PRICE_BOOK, id=draft.id, seen=draft.revision) is None:
            raise StaleEtag()

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

    async def charged_by(self, course_id: UUID, item_id: UUID) -> int:
        """How many visits of a course the item has priced."""
        row = await self.row(CHARGED_BY, course_id=course_id, id=item_id)
        assert row
        return int(row[0])

    async def pin(self, course_id: UUID, book: PriceBook) -> None:
        """Once: a course that is pinned stays so."""
        await self.rows(PIN, course_id=course_id, site_id=book.site_id, price_book_id=book.id, version=book.version)

    async def pinned(self, site_id: UUID, course_id: UUID) -> list[PriceBook]:
        """The price book that a course is pinned to, and all later ones; none while the site has published none."""
        row = await self.row(PINNED_VERSION, course_id=course_id)
        return await self.published(site_id, row["version"]) if row else []


def _columns(items: Sequence[PriceItem]) -> dict[str, list[Any]]:
    return {
        "item_id": [item.id for item in items],
        "kind": [item.kind for item in items],
        "visit_type_code": [item.visit_type_code for item in items],
        "route_code": [item.route_code for item in items],
        "band_code": [item.band_code for item in items],
        "code": [item.code for item in items],
        "unit_price_minor": [item.unit_price.minor for item in items],
        "description": [item.description for item in items],
        "terms": [terms_of(item) for item in items],
    }


def _book(found: Sequence[Record]) -> PriceBook:
    return _header(found[0], tuple(map(_item, found)))


def _item(row: Record) -> PriceItem:
    return PriceItem(
        id=row["item_id"],
        visit_type_code=row["visit_type_code"],
        route_code=row["route_code"],
        band_code=row["band_code"],
        unit_price=Money(row["unit_price_minor"], row["currency"]),
        description=row["description"],
        kind=ItemKind(row["kind"]),
        code=row["code"],
        **read_terms(row["terms"], row["currency"]),
    )


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
        minimum=Money(row["minimum_minor"], row["currency"]) if row["minimum_minor"] else None,
        revision=row["revision"],
    )
