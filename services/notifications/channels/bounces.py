"""Where an email comes back to that could not be delivered, and what the mail says that brings it back.

Each letter has a return path of its own (its envelope sender, RFC 5321 section 4.5.5): 64 characters, as many as may
stand before the @, of the chain, the message and a signature. So nobody says of a message that it came back but a
server that had it, and no address need be looked for in what comes.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from typing import Any
from uuid import UUID

SIGNATURE_BYTES = 8
LOCAL_PART = re.compile(r"[a-z2-7]{64}", re.IGNORECASE)
FOR_GOOD = re.compile(r"5\.\d{1,3}\.\d{1,3}")
Sign = Callable[[bytes], bytes]


def return_path(chain_id: UUID, message_id: UUID, domain: str, sign: Sign) -> str:
    signature = sign(_signed(chain_id, message_id))[:SIGNATURE_BYTES]
    local_part = base64.b32encode(chain_id.bytes + message_id.bytes + signature).decode().lower()
    return f"{local_part}@{domain}"


def returned_to(address: str, sign: Sign) -> tuple[UUID, UUID] | None:
    """Of which chain and message it is the return path; None: of none. Servers may have changed its case."""
    local_part = address.partition("@")[0]
    if not LOCAL_PART.fullmatch(local_part):
        return None
    raw = base64.b32decode(local_part.upper())
    chain_id, message_id = UUID(bytes=raw[:16]), UUID(bytes=raw[16:32])
    expected = sign(_signed(chain_id, message_id))[:SIGNATURE_BYTES]
    return (chain_id, message_id) if hmac.compare_digest(raw[32:], expected) else None


def failure_in(content: bytes) -> str:
    """The enhanced status code (RFC 3463) of a report that a letter was given up (RFC 3464); empty: it says no such
    thing, as one about a delay does not, nor somebody's answering machine."""
    return next(_failures(message_from_bytes(content)), "")


def _failures(mail: Message) -> Iterator[str]:
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status" and part.is_multipart():
            recipients: Any = part.get_payload()
            for recipient in recipients:
                action = str(recipient.get("Action", "")).strip().lower()
                status = FOR_GOOD.match(str(recipient.get("Status", "")).strip())
                if action == "failed" and status:
                    yield status.group()


def _signed(chain_id: UUID, message_id: UUID) -> bytes:
    return f"returned {chain_id} {message_id}".encode()
