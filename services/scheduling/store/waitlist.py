"""Waitlists: who waits, what they are offered, and which sites are to be looked at."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.ids import to_wire
from chassis.pages import Page
from chassis.sql import Statement, param, params
from chassis.store import Store
from chassis.tables import NO_CHAIN, Instant
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.planning import Between
from services.scheduling.domain.waitlist import (
    AFTER,
    EndReason,
    Entry,
    EntryNotFound,
    EntryStatus,
    Offer,
    OfferNotFound,
    Outcome,
)
from services.scheduling.store.patients import PATIENTS
from services.scheduling.store.sites import CHAIN, LIMIT, LONG_AGO, NO_ID
from services.scheduling.tables import site, waiting_chain, waitlist_entry, waitlist_look, waitlist_offer

ENTRY, SITE, PATIENT = param("entry_id", Uuid), param("site_id", Uuid), param("patient_id", Uuid)
OFFER, STATUS, REASON = param("offer_id", Uuid), param("status", Text), param("end_reason", Text)

_new_entry = insert(waitlist_entry).values(params(*waitlist_entry.c.keys())).cte("new_entry")
_waiting = pg_insert(waiting_chain).values(chain_id=CHAIN).on_conflict_do_nothing().cte("waiting")
ADD_ENTRY = Statement(
    insert(waitlist_look).from_select(["chain_id", "site_id"], select(CHAIN, SITE)).add_cte(_new_entry, _waiting)
)

_open = and_(
    waitlist_offer.c.chain_id == waitlist_entry.c.chain_id,
    waitlist_offer.c.entry_id == waitlist_entry.c.id,
    waitlist_offer.c.outcome.is_(None),
)
_of_offer = [waitlist_offer.c[name].label(f"offer_{name}") for name in ("id", "course_id", "start_at", "end_at")]
_entries = (
    select(waitlist_entry, *_of_offer, waitlist_offer.c.expire_at)
    .select_from(waitlist_entry.outerjoin(waitlist_offer, _open))
    .where(waitlist_entry.c.chain_id == CHAIN)
)
ENTRY_OF = Statement(_entries.where(waitlist_entry.c.id == ENTRY))
LOCK_ENTRY = Statement(
    select(waitlist_entry.c.id)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.id == ENTRY)
    .with_for_update()
)
_in_order = tuple_(waitlist_entry.c.joined_at, waitlist_entry.c.id)
_after = tuple_(param("after", Instant), param("after_id", Uuid))
_ids = PATIENTS.all_ids(PATIENT)
_LISTED_BY = {
    "patient_id": waitlist_entry.c.patient_id == any_(_ids),
    "status": waitlist_entry.c.status == param("status", Text),
}


def _listed(*filters: str) -> Statement:
    """A page of a site's list. One statement for each set of filters, so that each has its own plan."""
    chosen = _entries.where(waitlist_entry.c.site_id == SITE, _in_order > _after)
    chosen = chosen.where(*(_LISTED_BY[name] for name in filters))
    return Statement(chosen.order_by(waitlist_entry.c.joined_at, waitlist_entry.c.id).limit(LIMIT))


ENTRIES: Mapping[tuple[str, ...], Statement] = {
    names: _listed(*names) for names in ((), ("patient_id",), ("status",), ("patient_id", "status"))
}

_going = or_(waitlist_entry.c.status == EntryStatus.WAITING.value, waitlist_entry.c.status == EntryStatus.OFFERED.value)
ENTRIES_OF_PATIENT = Statement(
    select(func.count().label("entries")).where(
        waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.patient_id == any_(_ids), _going
    )
)
END_ENTRY = Statement(
    update(waitlist_entry)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.id == ENTRY)
    .where(waitlist_entry.c.status == EntryStatus.WAITING.value)
    .values(status=EntryStatus.ENDED.value, end_reason=REASON)
)
_over = (
    select(waitlist_entry.c.id)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.status == EntryStatus.WAITING.value)
    .where(waitlist_entry.c.over_at <= param("now", Instant))
    .order_by(waitlist_entry.c.over_at)
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
END_OVER = Statement(
    update(waitlist_entry)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.id.in_(_over))
    .values(status=EntryStatus.ENDED.value, end_reason=REASON)
    .returning(waitlist_entry.c.id)
)

ADD_OFFER = Statement(
    update(waitlist_entry)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.id == ENTRY)
    .values(status=EntryStatus.OFFERED.value)
    .add_cte(
        insert(waitlist_offer)
        .values(
            chain_id=CHAIN,
            outcome=null(),
            **params("id", "entry_id", "site_id", "patient_id", "course_id", "start_at", "end_at", "expire_at"),
        )
        .cte("new_offer")
    )
)
OFFER_OF = Statement(select(waitlist_offer).where(waitlist_offer.c.chain_id == CHAIN, waitlist_offer.c.id == OFFER))
OFFERED = Statement(
    select(waitlist_offer.c.start_at, waitlist_offer.c.end_at).where(
        waitlist_offer.c.chain_id == CHAIN, waitlist_offer.c.entry_id == ENTRY
    )
)
OFFERS_OPEN = Statement(
    select(func.count().label("offers")).where(
        waitlist_offer.c.chain_id == CHAIN, waitlist_offer.c.site_id == SITE, waitlist_offer.c.outcome.is_(None)
    )
)
_ended = (
    update(waitlist_offer)
    .where(waitlist_offer.c.chain_id == CHAIN, waitlist_offer.c.id == OFFER)
    .values(outcome=param("outcome", Text))
    .returning(waitlist_offer.c.entry_id)
    .cte("ended")
)
END_OFFER = Statement(
    update(waitlist_entry)
    .where(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.id == _ended.c.entry_id)
    .values(status=STATUS, end_reason=REASON)
    .returning(waitlist_entry.c.id)
)

_freed = func.unnest(param("site_ids", ARRAY(Uuid))).table_valued("id").render_derived(name="freed")
_freed_at = cast(_freed.c.id, Uuid)
_someone_waits = exists().where(
    waitlist_entry.c.chain_id == CHAIN,
    waitlist_entry.c.site_id == _freed_at,
    waitlist_entry.c.status == EntryStatus.WAITING.value,
)
LOOK_AGAIN = Statement(
    insert(waitlist_look).from_select(["chain_id", "site_id"], select(CHAIN, _freed_at).where(_someone_waits))
)
_each = func.unnest(param("patient_ids", ARRAY(Uuid))).table_valued("id").render_derived(name="each")
_theirs = PATIENTS.each_id(cast(_each.c.id, Uuid), "theirs")
LOOK_AGAIN_FOR = Statement(
    insert(waitlist_look).from_select(
        ["chain_id", "site_id"],
        select(CHAIN, waitlist_entry.c.site_id)
        .distinct()
        .select_from(_each.join(_theirs, true()))
        .join(
            waitlist_entry,
            and_(waitlist_entry.c.chain_id == CHAIN, waitlist_entry.c.patient_id == cast(_theirs.c.id, Uuid)),
        )
        .where(waitlist_entry.c.status == EntryStatus.WAITING.value),
    )
)
# For whoever may not see who waits.
look_at_site = insert(waitlist_look).from_select(
    ["chain_id", "site_id"], select(CHAIN, SITE).where(exists().where(waiting_chain.c.chain_id == CHAIN))
)
LOOKS = Statement(
    select(site.c.id, site.c.time_zone)
    .where(site.c.chain_id == CHAIN)
    .where(exists().where(waitlist_look.c.chain_id == CHAIN, waitlist_look.c.site_id == site.c.id))
    .order_by(site.c.id)
)
REASONS = Statement(
    select(waitlist_look.c.place)
    .where(waitlist_look.c.chain_id == CHAIN, waitlist_look.c.site_id == SITE)
    .order_by(waitlist_look.c.place)
    .limit(LIMIT)
)
LOOKED = Statement(
    delete(waitlist_look).where(
        waitlist_look.c.chain_id == CHAIN, waitlist_look.c.place == any_(param("places", ARRAY(BigInteger)))
    )
)
CHAINS = Statement(select(waiting_chain.c.chain_id).where(CHAIN == NO_CHAIN).order_by(waiting_chain.c.chain_id))


class WaitlistStore(Store):
    async def join_waitlist(self, new: Entry, over_at: datetime) -> None:
        """Who joins is looked at."""
        await self.rows(
            ADD_ENTRY,
            id=new.id,
            site_id=new.site_id,
            patient_id=new.patient_id,
            protocol_version_id=new.protocol_version_id,
            course_id=new.course_id,
            phase_code=new.phase_code,
            visit_type_code=new.visit_type_code,
            route_code=new.route_code,
            first_date=new.days.first,
            last_date=new.days.last,
            weekdays=sorted(new.weekdays),
            start_from=new.start_from,
            start_until=new.start_until,
            notice_minutes=new.notice_minutes,
            joined_at=new.joined_at,
            over_at=over_at,
            status=new.status,
            end_reason=new.end_reason,
        )

    async def entry(self, id: UUID) -> Entry:
        row = await self.row(ENTRY_OF, entry_id=id)
        if row is None:
            raise EntryNotFound(waitlist_entry_id=to_wire("waitlistentry", id))
        return _entry(row)

    async def entry_to_change(self, id: UUID) -> Entry:
        """To be locked after the course, where there is one."""
        await self.rows(LOCK_ENTRY, entry_id=id)
        return await self.entry(id)

    async def entries(
        self, site_id: UUID, patient_id: UUID | None, status: EntryStatus | None, page: Page
    ) -> list[Entry]:
        joined_at, id = page.after or [LONG_AGO.isoformat(), str(NO_ID)]
        after = datetime.fromisoformat(joined_at), UUID(id)
        return await self._listed(site_id, {"patient_id": patient_id, "status": status}, after, page.limit)

    async def waiting(self, site_id: UUID, after: Entry | None, limit: int) -> list[Entry]:
        """Who joined first first."""
        last = (after.joined_at, after.id) if after else (LONG_AGO, NO_ID)
        return await self._listed(site_id, {"status": EntryStatus.WAITING}, last, limit)

    async def _listed(
        self, site_id: UUID, asked: Mapping[str, object], after: tuple[datetime, UUID], limit: int
    ) -> list[Entry]:
        filters = {name: each for name, each in asked.items() if each}
        values = {"site_id": site_id, "after": after[0], "after_id": after[1], "limit": limit}
        return [_entry(row) for row in await self.rows(ENTRIES[tuple(filters)], **values, **filters)]

    async def entries_of(self, patient_id: UUID) -> int:
        """That wait, or are offered something, under any of the patient's ids."""
        row = await self.row(ENTRIES_OF_PATIENT, patient_id=patient_id)
        assert row
        return int(row["entries"])

    async def end_entry(self, id: UUID, reason: EndReason) -> None:
        """Unless something is offered to them since it was read."""
        await self.rows(END_ENTRY, entry_id=id, end_reason=reason)

    async def end_entries_over(self, limit: int) -> int:
        """Those who wait and whose last day is over; who is offered something may accept it yet."""
        found = await self.rows(END_OVER, now=self.call.now, end_reason=EndReason.EXPIRED, limit=limit)
        return len(found)

    async def add_offer(self, new: Offer, site_id: UUID, patient_id: UUID) -> None:
        await self.rows(
            ADD_OFFER,
            id=new.id,
            entry_id=new.entry_id,
            site_id=site_id,
            patient_id=patient_id,
            course_id=new.course_id,
            start_at=new.slot.start,
            end_at=new.slot.end,
            expire_at=new.expire_at,
        )

    async def offer(self, id: UUID) -> Offer:
        row = await self.row(OFFER_OF, offer_id=id)
        if row is None:
            raise OfferNotFound(offer_id=to_wire("offer", id))
        slot, outcome = Slot(row["start_at"], row["end_at"]), row["outcome"]
        return Offer(
            row["id"], row["entry_id"], row["course_id"], slot, row["expire_at"], Outcome(outcome) if outcome else None
        )

    async def offered(self, entry_id: UUID) -> tuple[Slot, ...]:
        """All that ever was."""
        found = await self.rows(OFFERED, entry_id=entry_id)
        return tuple(Slot(row["start_at"], row["end_at"]) for row in found)

    async def offers_open(self, site_id: UUID) -> int:
        row = await self.row(OFFERS_OPEN, site_id=site_id)
        assert row
        return int(row["offers"])

    async def end_offer(self, offer_id: UUID, outcome: Outcome) -> UUID:
        """Whose entry it was."""
        status = AFTER[outcome]
        reason = EndReason.WITHDRAWN if status is EntryStatus.ENDED else None
        row = await self.row(END_OFFER, offer_id=offer_id, outcome=outcome, status=status, end_reason=reason)
        assert row
        return row["id"]  # type: ignore[no-any-return]

    async def look_again(self, site_ids: Collection[UUID]) -> None:
        """At the lists of these sites, where somebody waits."""
        await self.rows(LOOK_AGAIN, site_ids=sorted(site_ids))

    async def look_again_for(self, patient_ids: Collection[UUID]) -> None:
        """Wherever they wait."""
        await self.rows(LOOK_AGAIN_FOR, patient_ids=sorted(patient_ids))

    async def sites_to_look_at(self) -> list[tuple[UUID, ZoneInfo]]:
        return [(row["id"], ZoneInfo(row["time_zone"])) for row in await self.rows(LOOKS)]

    async def reasons_to_look(self, site_id: UUID, limit: int) -> list[int]:
        return [row["place"] for row in await self.rows(REASONS, site_id=site_id, limit=limit)]

    async def looked(self, places: Collection[int]) -> None:
        """Just those that were there before: what came meanwhile is a reason to look again."""
        await self.rows(LOOKED, places=list(places))

    async def waiting_chains(self) -> list[UUID]:
        """Those in which anybody ever waited, for a call of NO_CHAIN; none for any other."""
        return [row["chain_id"] for row in await self.rows(CHAINS)]


def _entry(row: Record) -> Entry:
    reason = row["end_reason"]
    return Entry(
        id=row["id"],
        site_id=row["site_id"],
        patient_id=row["patient_id"],
        protocol_version_id=row["protocol_version_id"],
        course_id=row["course_id"],
        phase_code=row["phase_code"],
        visit_type_code=row["visit_type_code"],
        route_code=row["route_code"],
        days=Between(row["first_date"], row["last_date"]),
        weekdays=frozenset(row["weekdays"]),
        start_from=row["start_from"],
        start_until=row["start_until"],
        notice_minutes=row["notice_minutes"],
        joined_at=row["joined_at"],
        status=EntryStatus(row["status"]),
        end_reason=EndReason(reason) if reason else None,
        offer=_offer(row) if row["offer_id"] else None,
    )


def _offer(row: Record) -> Offer:
    slot = Slot(row["offer_start_at"], row["offer_end_at"])
    return Offer(row["offer_id"], row["id"], row["offer_course_id"], slot, row["expire_at"])
