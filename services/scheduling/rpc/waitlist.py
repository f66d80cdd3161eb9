"""WaitlistService."""

from uuid import UUID

from google.type.dayofweek_pb2 import DayOfWeek

from atoll.scheduling.v1 import waitlist_pb2
from atoll.scheduling.v1 import waitlist_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, some_to_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.scheduling.domain.hours import DAY_MINUTES
from services.scheduling.domain.planning import Between
from services.scheduling.domain.waitlist import Entry, EntryStatus, Offer
from services.scheduling.rpc.hours import bound_of_day, time_of_day, weekday_of
from services.scheduling.rpc.visits import visit_to_wire
from services.scheduling.store import SchedulingStore
from services.scheduling.use_cases import waitlist


class WaitlistServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def JoinWaitlist(self, request: pb.JoinWaitlistRequest, call: Call) -> pb.JoinWaitlistResponse:
        told = _told(request, call)

        async def work(store: SchedulingStore) -> pb.JoinWaitlistResponse:
            return pb.JoinWaitlistResponse(waitlist_entry=_entry(await waitlist.join(store, told)))

        locks = [told.patient_id]
        return await self._db.once(call, request, pb.JoinWaitlistResponse, SchedulingStore, work, locks=locks)

    async def LeaveWaitlist(self, request: pb.LeaveWaitlistRequest, call: Call) -> pb.LeaveWaitlistResponse:
        id = from_wire("waitlistentry", request.waitlist_entry_id)

        async def work(store: SchedulingStore) -> pb.LeaveWaitlistResponse:
            return pb.LeaveWaitlistResponse(waitlist_entry=_entry(await waitlist.leave(store, id)))

        return await self._db.once(call, request, pb.LeaveWaitlistResponse, SchedulingStore, work)

    async def GetWaitlistEntry(self, request: pb.GetWaitlistEntryRequest, call: Call) -> pb.GetWaitlistEntryResponse:
        id = from_wire("waitlistentry", request.waitlist_entry_id)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.entry(id))
        return pb.GetWaitlistEntryResponse(waitlist_entry=_entry(found))

    async def ListWaitlistEntries(
        self, request: pb.ListWaitlistEntriesRequest, call: Call
    ) -> pb.ListWaitlistEntriesResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        status = EntryStatus(waitlist_pb2.WaitlistStatus.Name(request.status)) if request.status else None
        patient_id = from_wire("patient", request.patient_id) if request.patient_id else None
        found = await self._db.read(
            call, request, SchedulingStore, lambda store: store.entries(site_id, patient_id, status, page)
        )
        entries, token = page.cut(found, key=lambda entry: [entry.joined_at.isoformat(), str(entry.id)])
        return pb.ListWaitlistEntriesResponse(waitlist_entries=map(_entry, entries), next_page_token=token)

    async def AcceptOffer(self, request: pb.AcceptOfferRequest, call: Call) -> pb.AcceptOfferResponse:
        id = from_wire("offer", request.offer_id)

        async def work(store: SchedulingStore) -> pb.AcceptOfferResponse:
            entry, visit = await waitlist.accept(store, id)
            return pb.AcceptOfferResponse(waitlist_entry=_entry(entry), visit=visit_to_wire(visit))

        return await self._db.once(call, request, pb.AcceptOfferResponse, SchedulingStore, work)

    async def DeclineOffer(self, request: pb.DeclineOfferRequest, call: Call) -> pb.DeclineOfferResponse:
        id = from_wire("offer", request.offer_id)

        async def work(store: SchedulingStore) -> pb.DeclineOfferResponse:
            return pb.DeclineOfferResponse(waitlist_entry=_entry(await waitlist.decline(store, id)))

        return await self._db.once(call, request, pb.DeclineOfferResponse, SchedulingStore, work)


def _told(request: pb.JoinWaitlistRequest, call: Call) -> Entry:
    course_id: UUID | None = from_wire("course", request.course_id) if request.course_id else None
    return Entry(
        id=new_id(),
        site_id=from_wire("site", request.site_id),
        patient_id=from_wire("patient", request.patient_id),
        protocol_version_id=from_wire("protocolversion", request.protocol_version_id),
        course_id=course_id,
        phase_code=request.phase_code,
        visit_type_code=request.visit_type_code,
        route_code=request.route_code,
        days=Between(from_date(request.first_date, "first_date"), from_date(request.last_date, "last_date")),
        weekdays=frozenset(weekday_of(day) for day in request.weekdays),
        start_from=bound_of_day(request, "start_from", 0),
        start_until=bound_of_day(request, "start_until", DAY_MINUTES),
        notice_minutes=request.notice_minutes,
        joined_at=call.now,
    )


def _entry(entry: Entry) -> waitlist_pb2.WaitlistEntry:
    wire = waitlist_pb2.WaitlistEntry(
        id=to_wire("waitlistentry", entry.id),
        site_id=to_wire("site", entry.site_id),
        patient_id=to_wire("patient", entry.patient_id),
        protocol_version_id=to_wire("protocolversion", entry.protocol_version_id),
        course_id=some_to_wire("course", entry.course_id),
        phase_code=entry.phase_code,
        visit_type_code=entry.visit_type_code,
        route_code=entry.route_code,
        first_date=to_date(entry.days.first),
        last_date=to_date(entry.days.last),
        weekdays=[DayOfWeek.ValueType(day + 1) for day in sorted(entry.weekdays)],
        start_from=time_of_day(entry.start_from),
        start_until=time_of_day(entry.start_until),
        notice_minutes=entry.notice_minutes,
        status=waitlist_pb2.WaitlistStatus.Value(entry.status),
        join_time=to_timestamp(entry.joined_at),
        offer=_offer(entry.offer) if entry.offer else None,
    )
    if entry.end_reason:
        wire.end_reason = waitlist_pb2.WaitlistEndReason.Value(entry.end_reason)
    return wire


def _offer(offer: Offer) -> waitlist_pb2.Offer:
    return waitlist_pb2.Offer(
        id=to_wire("offer", offer.id),
        visit_id=to_wire("visit", offer.id),
        course_id=to_wire("course", offer.course_id),
        start_time=to_timestamp(offer.slot.start),
        end_time=to_timestamp(offer.slot.end),
        expire_time=to_timestamp(offer.expire_at),
    )
