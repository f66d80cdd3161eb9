"""Links in messages: each is good for one thing, once, for a while. Pure.

A token is the link's id and a signature over it and its purpose; it says nothing of whom it is for.
"""

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.ids import from_wire
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.sending import Taken
from services.notifications.domain.visits import LIVE, Visit

SIGNATURE_BYTES = 16
Sign = Callable[[bytes], bytes]


class LinkNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "LINK_NOT_FOUND", "no link of this chain and purpose"


class LinkExpired(DomainError):
    kind, reason, message = Kind.CONFLICT, "LINK_EXPIRED", "the link's time is over"


class LinkUsed(DomainError):
    kind, reason, message = Kind.CONFLICT, "LINK_USED", "the link was used before"


class LinkOutOfDate(DomainError):
    kind, reason = Kind.CONFLICT, "LINK_OUT_OF_DATE"
    message = "the visit, or the offer of one, is not as the message with the link said"


class LinkPurpose(StrEnum):
    CONFIRM_VISIT = "CONFIRM_VISIT"
    ACKNOWLEDGE_ESTIMATE = "ACKNOWLEDGE_ESTIMATE"
    PAY = "PAY"
    ACCEPT_OFFER = "ACCEPT_OFFER"
    READ_RECEIPT = "READ_RECEIPT"
    READ_REFUND = "READ_REFUND"
    READ_CREDIT_NOTE = "READ_CREDIT_NOTE"
    SIGN_CONSENT = "SIGN_CONSENT"


ABOUT = {
    LinkPurpose.CONFIRM_VISIT: "visit",
    LinkPurpose.ACKNOWLEDGE_ESTIMATE: "estimate",
    LinkPurpose.PAY: "invoice",
    LinkPurpose.ACCEPT_OFFER: "offer",
    LinkPurpose.READ_RECEIPT: "payment",
    LinkPurpose.READ_REFUND: "refund",
    LinkPurpose.READ_CREDIT_NOTE: "creditnote",
    LinkPurpose.SIGN_CONSENT: "consentdocumentversion",
}
"""The kind of the id that each is about."""
PATHS = {
    LinkPurpose.CONFIRM_VISIT: "confirm",
    LinkPurpose.ACKNOWLEDGE_ESTIMATE: "acknowledge",
    LinkPurpose.PAY: "pay",
    LinkPurpose.ACCEPT_OFFER: "accept",
    LinkPurpose.READ_RECEIPT: "receipt",
    LinkPurpose.READ_REFUND: "refund",
    LinkPurpose.READ_CREDIT_NOTE: "credit-note",
    LinkPurpose.SIGN_CONSENT: "sign",
}
"""Behind the base of the chain's own site, before the token: by it the page knows what it is for."""
PURPOSES = {
    MessageKind.VISIT_CONFIRMATION: LinkPurpose.CONFIRM_VISIT,
    MessageKind.VISIT_REMINDER: LinkPurpose.CONFIRM_VISIT,
    MessageKind.VISIT_MOVED: LinkPurpose.CONFIRM_VISIT,
    MessageKind.ESTIMATE_READY: LinkPurpose.ACKNOWLEDGE_ESTIMATE,
    MessageKind.ESTIMATE_DUE: LinkPurpose.ACKNOWLEDGE_ESTIMATE,
    MessageKind.INVOICE_ISSUED: LinkPurpose.PAY,
    MessageKind.BALANCE_DUE: LinkPurpose.PAY,
    MessageKind.PAYMENT_RECEIVED: LinkPurpose.READ_RECEIPT,
    MessageKind.REFUND_MADE: LinkPurpose.READ_REFUND,
    MessageKind.CREDIT_NOTE_ISSUED: LinkPurpose.READ_CREDIT_NOTE,
    MessageKind.CONSENT_OUTDATED: LinkPurpose.SIGN_CONSENT,
    MessageKind.WAITLIST_OFFER: LinkPurpose.ACCEPT_OFFER,
}
"""What the link of a message is for."""
LINK_GOOD_FOR = timedelta(days=60)
"""Of a bill, or a form to sign: one of a visit is good until it begins, one of an offer as long as that holds."""


@dataclass(frozen=True, slots=True)
class Link:
    id: UUID
    purpose: LinkPurpose
    about_id: UUID
    patient_id: UUID
    site_id: UUID
    expire_at: datetime
    used_at: datetime | None = None

    def check(self, now: datetime) -> None:
        """What was used is told before what is over: whoever sees it used need not ask for another."""
        if self.used_at:
            raise LinkUsed(use_time=self.used_at.isoformat())
        if now >= self.expire_at:
            raise LinkExpired(expire_time=self.expire_at.isoformat())

    def check_visit(self, visit: Visit | None) -> None:
        """Nobody confirms an hour that they were not told: the link is good until the start that its message named."""
        if visit is None or visit.status not in LIVE or visit.start != self.expire_at:
            raise LinkOutOfDate()


def token_of(chain_id: UUID, link_id: UUID, purpose: LinkPurpose, sign: Sign) -> str:
    """43 characters that stand in an address as they are."""
    signature = sign(_signed(chain_id, link_id, purpose))[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(link_id.bytes + signature).decode().rstrip("=")


def link_id_of(chain_id: UUID, token: str, purpose: LinkPurpose, sign: Sign) -> UUID:
    """Of a token that was made for the chain and the purpose."""
    raw = base64.urlsafe_b64decode(token + "=")
    link_id, signature = UUID(bytes=raw[:16]), raw[16:]
    if not hmac.compare_digest(signature, sign(_signed(chain_id, link_id, purpose))[:SIGNATURE_BYTES]):
        raise LinkNotFound()
    return link_id


def _signed(chain_id: UUID, link_id: UUID, purpose: LinkPurpose) -> bytes:
    return f"link {chain_id} {link_id} {purpose}".encode()


def link_for(taken: Taken, now: datetime) -> Link | None:
    """Of a message that somebody can answer; under its own id, so that an attempt more makes no other."""
    purpose = PURPOSES.get(taken.kind)
    if purpose is None:
        return None
    if taken.visit:
        about_id, until = taken.visit.id, taken.visit.start
    elif taken.matter:
        about_id = from_wire(ABOUT[purpose], taken.matter.about)
        until = taken.matter.offered.until if taken.matter.offered else now + LINK_GOOD_FOR
    else:
        return None
    return Link(taken.id, purpose, about_id, taken.recipient_id, taken.site.id, until)
