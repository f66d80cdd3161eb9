"""The books of a legal entity: closed up to a day, verified, adjusted by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.ids import new_id
from chassis.money import Money
from services.billing import events
from services.billing.domain.ledger import Account, AccountTotal, Entry, PostedEntry, Posting, Source
from services.billing.domain.periods import (
    Difference,
    Period,
    Verification,
    check_adjustment,
    end_everywhere,
    refuse_closed,
)
from services.billing.store import BillingStore

PERIODS_MAX = 600
"""So many of the newest periods are verified at once: fifty years of months."""
UNBALANCED_MAX = 100


@dataclass(frozen=True, slots=True)
class PostAdjustment:
    site_id: UUID
    reason: str
    postings: tuple[Posting, ...]
    posted_at: datetime | None
    """None: now."""


async def close_period(store: BillingStore, legal_entity_id: UUID, last_date: date) -> Period:
    """What is posted until the day is over at each site stays as it is, and its balances are stored."""
    await store.need_legal_entity(legal_entity_id)
    await store.close_alone(legal_entity_id)
    end = end_everywhere(last_date, await store.zones_of(legal_entity_id), store.call.now)
    refuse_closed(await store.last_period(legal_entity_id), end)
    period = Period(new_id(), legal_entity_id, last_date, end, store.call.now, store.call.actor)
    await store.add_period(period, await store.trial_balance(legal_entity_id, end))
    store.emit(events.period_closed(period), about=legal_entity_id)
    return period


async def verify_books(store: BillingStore, legal_entity_id: UUID) -> Verification:
    await store.need_legal_entity(legal_entity_id)
    periods, differences = await store.periods(legal_entity_id, date.max, PERIODS_MAX), list[Difference]()
    for period in periods:
        stored = await store.balances(period.id)
        replayed = await store.replayed(legal_entity_id, period.end_at)
        differences += _differences(period.id, stored, replayed)
    return Verification(
        await store.posting_count(legal_entity_id),
        len(periods),
        await store.unbalanced(legal_entity_id, UNBALANCED_MAX),
        differences,
    )


async def post_adjustment(store: BillingStore, command: PostAdjustment) -> PostedEntry:
    site, now = await store.site(command.site_id), store.call.now
    posted_at = command.posted_at or now
    check_adjustment(command.postings, posted_at, now)
    refuse_closed(await store.last_period(site.legal_entity_id), posted_at)
    entry = Entry(Source.ADJUSTMENT, new_id(), command.postings)
    await store.add_adjustment(entry.source_id, site.id, command.reason)
    entry_id = await store.post_at(entry, posted_at, legal_entity_id=site.legal_entity_id, site_id=site.id)
    return PostedEntry(entry_id, site.id, site.legal_entity_id, None, entry, posted_at)


def _differences(period_id: UUID, stored: Iterable[AccountTotal], replayed: Iterable[AccountTotal]) -> list[Difference]:
    ours, theirs = ({_key(total): total for total in totals} for totals in (stored, replayed))
    return [
        Difference(period_id, ours.get(key) or _nothing(theirs[key]), theirs.get(key) or _nothing(ours[key]))
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]


def _key(total: AccountTotal) -> tuple[str, Account, str, str]:
    return total.debit.currency, total.account, str(total.site_id), total.item_code


def _nothing(like: AccountTotal) -> AccountTotal:
    zero = Money(0, like.debit.currency)
    return AccountTotal(like.account, zero, zero, like.site_id, like.item_code)
