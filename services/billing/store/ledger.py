"""The ledger: the entries that other statements post, and what was posted."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Integer, SmallInteger, Text, Uuid, and_, cast, func, insert, literal, select

from chassis.ids import new_id
from chassis.money import Money
from chassis.sql import Statement, param, rows
from chassis.store import Store
from chassis.tables import Instant
from services.billing.domain.ledger import Account, AccountTotal, Entry, PostedEntry, Posting, Source
from services.billing.store.copies import is_about
from services.billing.tables import entry, posting

CHAIN, SITE, LEGAL_ENTITY, PATIENT = (
    param(name, Uuid) for name in ("chain_id", "site_id", "legal_entity_id", "patient_id")
)

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
_LINE = ["account", "currency", "amount_minor", "item_code", "counterparty_id"]
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
    ),
)
NEW_ENTRIES = (_new_entries.cte("new_entries"), _new_postings.cte("new_postings"))
"""Part of any statement that writes a document; its parameters are `posted(entries)`, and where, of whom and when."""

POST = Statement(select(literal(1)).add_cte(*NEW_ENTRIES))

_minor = posting.c.amount_minor
TRIAL_BALANCE = Statement(
    select(
        posting.c.account,
        posting.c.currency,
        cast(func.coalesce(func.sum(_minor).filter(_minor > 0), 0), BigInteger).label("debit_minor"),
        cast(func.coalesce(-func.sum(_minor).filter(_minor < 0), 0), BigInteger).label("credit_minor"),
    )
    .where(posting.c.chain_id == CHAIN, posting.c.legal_entity_id == LEGAL_ENTITY)
    .group_by(posting.c.account, posting.c.currency)
    .order_by(posting.c.currency, posting.c.account)
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

    async def trial_balance(self, legal_entity_id: UUID) -> list[AccountTotal]:
        """In the order of currency and account."""
        return [
            AccountTotal(
                Account(row["account"]),
                Money(row["debit_minor"], row["currency"]),
                Money(row["credit_minor"], row["currency"]),
            )
            for row in await self.rows(TRIAL_BALANCE, legal_entity_id=legal_entity_id)
        ]

    async def entries(self, about: str, about_id: UUID, before_id: UUID, limit: int) -> list[PostedEntry]:
        """`about` is one of LISTINGS. The newest first."""
        found = await self.rows(LISTINGS[about], about_id=about_id, before_id=before_id, limit=limit)
        return [_entry(list(of_one)) for _, of_one in groupby(found, key=itemgetter("id"))]


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
