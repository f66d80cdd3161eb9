"""How an address is found again that is not kept, and what is kept of a reply."""

import re
from uuid import UUID

from chassis.errors import Violation
from chassis.keyring import KeyRing
from services.notifications.domain.texting import Addressed, AddressUnusable
from services.notifications.settings import MESSAGE_KEYS

NUMBER, EMAIL = re.compile(r"\+[1-9][0-9]{6,14}"), re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def message_keys() -> KeyRing:
    """The file need not be there before the first text."""
    return KeyRing.of_environment(MESSAGE_KEYS)


def address_key(chain_id: UUID, address: str) -> bytes:
    """The same for an address of a chain however it is written, and another for another chain's. KeyMissing."""
    return message_keys().digest(f"{chain_id} {address.strip().casefold()}".encode())


def checked(channel: Addressed, address: str) -> str:
    """A number in E.164, or an email address."""
    bare = address.strip()
    if not (EMAIL if channel is Addressed.EMAIL else NUMBER).fullmatch(bare):
        raise AddressUnusable(Violation("address", "ADDRESS_UNUSABLE", AddressUnusable.message))
    return bare
