"""Every event of every service, told to the chain's endpoints in the transaction that handles it.

One consumer of a stream handles an event in one transaction: what notifications does of its own with it, and the
deliveries, commit together, once. An event that waits for something is told when it is handled; one that is buried is
told when it is replayed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf.message import Message

from chassis.consumer import Handler, Reads, Together, fact_of
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import webhooks
from services.notifications.webhooks.payload import EVENTS, fact_of_event


def with_webhooks(reads: Mapping[str, Reads]) -> Mapping[str, Reads]:
    """`reads`, and all events that those do not name."""
    return {
        stream: {each: _told(each, reads.get(stream, {}).get(each)) for each in EVENTS[stream]} for stream in EVENTS
    }


def _told(event_type: type[Message], own: Handler | Together | None) -> Handler | Together:
    tell = partial(tell_endpoints, fact_of(event_type))

    async def one(store: NotificationsStore, event: Any) -> None:
        assert own
        assert not isinstance(own, Together)
        await own(store, event)
        await tell(store, [event])

    async def several(store: NotificationsStore, events: Sequence[Any]) -> None:
        if isinstance(own, Together):
            await own.handle(store, events)
        await tell(store, events)

    return Together(several) if own is None or isinstance(own, Together) else one


async def tell_endpoints(fact: str, store: NotificationsStore, events: Sequence[Any]) -> None:
    """In one statement where nobody listens, in two where somebody does, however many the events."""
    await webhooks.tell(store, fact, lambda: [fact_of_event(each) for each in events])
