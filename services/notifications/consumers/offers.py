"""Events of the waitlist: patients are told of what is offered to them, as long as it is."""

from uuid import UUID

from atoll.scheduling.v1.events_pb2 import OfferEnded, OfferMade
from chassis.consumer import Reads
from chassis.ids import from_wire
from chassis.times import to_instant
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.matters import Matter, MatterKind, Offered
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages

KINDS = (MessageKind.WAITLIST_OFFER,)


async def tell_offer(store: NotificationsStore, event: OfferMade) -> None:
    visit = event.visit
    offered = Offered(
        start=to_instant(visit.start_time),
        end=to_instant(visit.end_time),
        telehealth=visit.telehealth,
        until=to_instant(event.expire_time),
    )
    offer = _offer(event, offered)
    await messages.tell_matter(store, messages.TellMatter(offer, KINDS, UUID(event.meta.event_id)))


async def close_offer(store: NotificationsStore, event: OfferEnded) -> None:
    """Taken, given up or run out: nobody can take it any more."""
    await messages.close_matter(store, _offer(event), KINDS)


def _offer(event: OfferMade | OfferEnded, offered: Offered | None = None) -> Matter:
    return Matter(
        from_wire("offer", event.offer_id),
        MatterKind.OFFER,
        from_wire("site", event.site_id),
        from_wire("patient", event.patient_id),
        about=event.offer_id,
        offered=offered,
    )


READS: Reads = {OfferMade: tell_offer, OfferEnded: close_offer}
