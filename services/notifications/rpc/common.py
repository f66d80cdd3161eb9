"""What several nouns have in common on the wire."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from atoll.notifications.v1 import message_pb2
from chassis.ids import from_wire, to_wire
from chassis.keyring import KeyMissing
from chassis.pages import Page
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.texting import MessageKeysMissing

FIRST_ID = UUID(int=0)


def channel_to_wire(channel: str) -> message_pb2.Channel.ValueType:
    return message_pb2.Channel.Value(f"CHANNEL_{channel}")


def channel_of(wire: message_pb2.Channel.ValueType) -> Channel:
    return Channel(message_pb2.Channel.Name(wire).removeprefix("CHANNEL_"))


def kind_to_wire(kind: str) -> message_pb2.MessageKind.ValueType:
    return message_pb2.MessageKind.Value(f"MESSAGE_KIND_{kind}")


def kind_of(wire: message_pb2.MessageKind.ValueType) -> MessageKind:
    return MessageKind(message_pb2.MessageKind.Name(wire).removeprefix("MESSAGE_KIND_"))


def some_site(site_id: str) -> UUID | None:
    """None where a caller names none."""
    return from_wire("site", site_id) if site_id else None


def site_to_wire(site_id: UUID | None) -> str:
    return to_wire("site", site_id) if site_id else ""


def after_id(page: Page) -> UUID:
    return UUID(page.after[0]) if page.after else FIRST_ID


@contextmanager
def by_keys() -> Iterator[None]:
    """For what is sealed, opened or digested under the message keys: a deployment that texts nothing may have none."""
    try:
        yield
    except KeyMissing as error:
        raise MessageKeysMissing() from error
