"""The ledger: the entries that other statements post, and what was posted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Integer,
    Label,
    SmallInteger,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
    true,
    union_all,
)

from chassis.ids import new_id
from chassis.money import Money
from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.ledger import Account, AccountTotal, Booked, Entry, PostedEntry, Posting, Source
from services.billing.store.copies import is_about
from services.billing.tables import entry, period, period_balance, posting

CHAIN, SITE, LEGAL_ENTITY, PATIENT = (
    param(name, Uuid) for name in ("chain_id", "site_id", "legal_entity_id", "patient_id")
)

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

_new_entry = rows("new_entry", entry_id=Uuid, source=SmallInteger, source_id=Uuid)
_new_entries = insert(entry).from_select(
    ["chain_id", "id", "site_id", "legal_entity_id", "patient_id", "source", "source_id", "posted_at"],
    select(
        CHAIN,
        _new_entry.c.entry_id,
        SITE,
        LEGAL_ENTITY,
        PATIENT,
        _new_entry.c.source,
        _new_entry.c.source_id,
        param("posted_at", Instant),
    ),
)
_new_posting = rows(
    "new_posting",
    of_entry_id=Uuid,
    place=SmallInteger,
    account=SmallInteger,
    posted_currency=Text,
    posted_minor=BigInteger,
    item_code=Text,
    counterparty_id=Uuid,
)
_LINE = ["account", "currency", "amount_minor", "item_code", "counterparty_id", "posted_at"]
_new_postings = insert(posting).from_select(
    ["chain_id", "entry_id", "position", "site_id", "legal_entity_id", *_LINE],
    select(
        CHAIN,
        _new_posting.c.of_entry_id,
        _new_posting.c.place,
        SITE,
        LEGAL_ENTITY,
        _new_posting.c.account,
        _new_posting.c.posted_currency,
        _new_posting.c.posted_minor,
        _new_posting.c.item_code,
        _new_posting.c.counterparty_id,
        param("posted_at", Instant),
    ),
)
NEW_ENTRIES = (_new_entries.cte("new_entries"), _new_postings.cte("new_postings"))
"""Part of any statement that writes a document; its parameters are `posted(entries)`, and where, of whom and when."""

POST = Statement(select(literal(1)).add_cte(*NEW_ENTRIES))

_booked = rows("booked", entry_id=Uuid, booked_site_id=Uuid, booked_entity_id=Uuid, source=SmallInteger, source_id=Uuid)
_booked_entries = insert(entry).from_select(
    ["chain_id", "id", "site_id", "legal_entity_id", "patient_id", "source", "source_id", "posted_at"],
    select(
        CHAIN,
        _booked.c.entry_id,
        _booked.c.booked_site_id,
        _booked.c.booked_entity_id,
        PATIENT,
        _booked.c.source,
        _booked.c.source_id,
        param("posted_at", Instant),
    ),
)
_booked_postings = insert(posting).from_select(
    ["chain_id", "entry_id", "position", "site_id", "legal_entity_id", *_LINE],
    select(
        CHAIN,
        _new_posting.c.of_entry_id,
        _new_posting.c.place,
        _booked.c.booked_site_id,
        _booked.c.booked_entity_id,
        _new_posting.c.account,
        _new_posting.c.posted_currency,
        _new_posting.c.posted_minor,
        _new_posting.c.item_code,
        _new_posting.c.counterparty_id,
        param("posted_at", Instant),
    ).join_from(_new_posting, _booked, _booked.c.entry_id == _new_posting.c.of_entry_id),
)
POST_BOOKED = Statement(
    select(literal(1)).add_cte(_booked_entries.cte("new_entries"), _booked_postings.cte("new_postings"))
)

_KEY = ("site_id", "account", "currency", "item_code")
_UNTIL = param("until", Instant)
_minor, _zero = posting.c.amount_minor, literal_column("0", BigInteger)
_last_closed = (
    select(period.c.id, period.c.end_at)
    .where(period.c.chain_id == CHAIN, period.c.legal_entity_id == LEGAL_ENTITY, period.c.end_at <= _UNTIL)
    .order_by(period.c.end_at.desc())
    .limit(1)
    .cte("last_closed")
)
_closed_until = func.coalesce(
    select(_last_closed.c.end_at).scalar_subquery(), cast(literal_column("'-infinity'"), Instant)
)


def _sides() -> list[Label[Any]]:
    return [
        cast(func.coalesce(func.sum(_minor).filter(_minor > _zero), 0), BigInteger).label("debit_minor"),
        cast(func.coalesce(-func.sum(_minor).filter(_minor < _zero), 0), BigInteger).label("credit_minor"),
    ]


_of_legal_entity = and_(posting.c.chain_id == CHAIN, posting.c.legal_entity_id == LEGAL_ENTITY)
_since = (
    select(*(posting.c[name] for name in _KEY), *_sides())
    .where(_of_legal_entity, posting.c.posted_at >= _closed_until, posting.c.posted_at < _UNTIL)
    .group_by(*(posting.c[name] for name in _KEY))
)
_until_then = select(
    *(period_balance.c[name] for name in _KEY), period_balance.c.debit_minor, period_balance.c.credit_minor
).join(_last_closed, and_(period_balance.c.chain_id == CHAIN, period_balance.c.period_id == _last_closed.c.id))
_both = union_all(_until_then, _since).subquery("both")
TOTALS = (
    select(
        *(_both.c[name] for name in _KEY),
        cast(func.sum(_both.c.debit_minor), BigInteger).label("debit_minor"),
        cast(func.sum(_both.c.credit_minor), BigInteger).label("credit_minor"),
    )
    .group_by(*(_both.c[name] for name in _KEY))
    .order_by(_both.c.currency, _both.c.account, _both.c.site_id, _both.c.item_code)
)
"""All that was posted before :until: what the last period closed by then has, and what came after it."""
TRIAL_BALANCE = Statement(TOTALS)
# Row-level security hides from the planner how many rows there are: for the few it expects it would sort a million.
UNSORTED = Statement(
    select(func.set_config(literal_column("'enable_sort'"), literal_column("'off'"), true())).where(CHAIN.is_not(None))
)
REPLAYED = Statement(
    select(*(posting.c[name] for name in _KEY), *_sides())
    .where(_of_legal_entity, posting.c.posted_at < _UNTIL)
    .group_by(*(posting.c[name] for name in _KEY))
)


def _listing(about: str) -> Statement:
    page = (
        select(entry)
        .where(
            entry.c.chain_id == CHAIN,
            is_about(entry, about),
            entry.c.id < param("before_id", Uuid),
        )
        .order_by(entry.c.id.desc())
        .limit(param("limit", Integer))
        .subquery("page")
    )
    of_it = and_(posting.c.chain_id == page.c.chain_id, posting.c.entry_id == page.c.id)
    return Statement(
        select(
            page,
            posting.c.account,
            posting.c.currency,
            posting.c.amount_minor,
            posting.c.item_code,
            posting.c.counterparty_id,
        )
        .join(posting, of_it)
        .order_by(page.c.id.desc(), posting.c.position)
    )


LISTINGS = {about: _listing(about) for about in ("site_id", "patient_id")}


def posted(entries: Sequence[Entry]) -> Mapping[str, list[Any]]:
    """The parameters of NEW_ENTRIES."""
    with_ids = [(new_id(), each) for each in entries]
    lines = [(id, place, line) for id, each in with_ids for place, line in enumerate(each.postings)]
    return {
        "entry_id": [id for id, _ in with_ids],
        "source": [each.source for _, each in with_ids],
        "source_id": [each.source_id for _, each in with_ids],
        "of_entry_id": [id for id, _, _ in lines],
        "place": [place for _, place, _ in lines],
        "account": [line.account for _, _, line in lines],
        "posted_currency": [line.amount.currency for _, _, line in lines],
        "posted_minor": [line.amount.minor for _, _, line in lines],
        "item_code": [line.item_code for _, _, line in lines],
        "counterparty_id": [line.counterparty_id for _, _, line in lines],
    }


class LedgerStore(Store):
    async def post(
        self, entries: Sequence[Entry], *, legal_entity_id: UUID, site_id: UUID, patient_id: UUID | None
    ) -> None:
        """Entries of one legal entity, of documents that are written by other statements of the transaction."""
        where = {"legal_entity_id": legal_entity_id, "site_id": site_id, "patient_id": patient_id}
        await self.rows(POST, **where, posted_at=self.call.now, **posted(entries))

    async def post_booked(self, booked: Sequence[Booked], *, patient_id: UUID | None) -> None:
        """As `post`, each in the books that it names."""
        if booked:
            where = {
                "booked_site_id": [each.site_id for each in booked],
                "booked_entity_id": [each.legal_entity_id for each in booked],
            }
            values = posted([each.entry for each in booked])
            await self.rows(POST_BOOKED, **where, patient_id=patient_id, posted_at=self.call.now, **values)

    async def post_at(self, entry: Entry, posted_at: datetime, *, legal_entity_id: UUID, site_id: UUID) -> UUID:
        """One that is about no patient, and may belong into the past; its id."""
        values, where = posted([entry]), {"legal_entity_id": legal_entity_id, "site_id": site_id, "patient_id": None}
        await self.rows(POST, **where, posted_at=posted_at, **values)
        [entry_id] = values["entry_id"]
        assert isinstance(entry_id, UUID)
        return entry_id

    async def trial_balance(self, legal_entity_id: UUID, until: datetime = FOREVER) -> list[AccountTotal]:
        """Of what was posted before `until`, by site and item; in the order of currency and account."""
        await self.rows(UNSORTED)
        found = await self.rows(TRIAL_BALANCE, legal_entity_id=legal_entity_id, until=until)
        return [total_of(row) for row in found]

    async def replayed(self, legal_entity_id: UUID, until: datetime) -> list[AccountTotal]:
        """As trial_balance, from the first posting on."""
        await self.rows(UNSORTED)
        found = await self.rows(REPLAYED, legal_entity_id=legal_entity_id, until=until)
        return [total_of(row) for row in found]

    async def entries(self, about: str, about_id: UUID, before_id: UUID, limit: int) -> list[PostedEntry]:
        """`about` is one of LISTINGS. The newest first."""
        found = await self.rows(LISTINGS[about], about_id=about_id, before_id=before_id, limit=limit)
        return [_entry(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


def total_of(row: Record) -> AccountTotal:
    return AccountTotal(
        Account(row["account"]),
        Money(row["debit_minor"], row["currency"]),
        Money(row["credit_minor"], row["currency"]),
        row["site_id"],
        row["item_code"],
    )


def _entry(found: Sequence[Record]) -> PostedEntry:
    row = found[0]
    postings = tuple(
        Posting(
            Account(line["account"]),
            Money(line["amount_minor"], line["currency"]),
            line["item_code"],
            line["counterparty_id"],
        )
        for line in found
    )
    return PostedEntry(
        row["id"],
        row["site_id"],
        row["legal_entity_id"],
        row["patient_id"],
        Entry(Source(row["source"]), row["source_id"], postings),
        row["posted_at"],
    )
