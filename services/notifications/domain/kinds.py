"""What messages there are: their kinds, what each is for, and by what they travel. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class MessageKind(StrEnum):
    VISIT_CONFIRMATION = "VISIT_CONFIRMATION"
    VISIT_REMINDER = "VISIT_REMINDER"
    VISIT_PREPARATION = "VISIT_PREPARATION"
    VISIT_MOVED = "VISIT_MOVED"
    VISIT_CANCELLED = "VISIT_CANCELLED"
    VISIT_MISSED = "VISIT_MISSED"
    VISIT_FOLLOW_UP = "VISIT_FOLLOW_UP"
    COMPANION_PICK_UP = "COMPANION_PICK_UP"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    ESTIMATE_READY = "ESTIMATE_READY"
    INVOICE_ISSUED = "INVOICE_ISSUED"
    PAYMENT_RECEIVED = "PAYMENT_RECEIVED"
    REFUND_MADE = "REFUND_MADE"
    CREDIT_NOTE_ISSUED = "CREDIT_NOTE_ISSUED"
    CARD_CHARGE_FAILED = "CARD_CHARGE_FAILED"
    BALANCE_DUE = "BALANCE_DUE"
    DEPOSIT_RELEASED = "DEPOSIT_RELEASED"
    DEPOSIT_FORFEITED = "DEPOSIT_FORFEITED"
    PACKAGE_SOLD = "PACKAGE_SOLD"
    PACKAGE_EXPIRING = "PACKAGE_EXPIRING"
    PACKAGE_EXPIRED = "PACKAGE_EXPIRED"
    PACKAGE_STOPPED = "PACKAGE_STOPPED"
    OPT_OUT_CONFIRMED = "OPT_OUT_CONFIRMED"
    OPT_IN_CONFIRMED = "OPT_IN_CONFIRMED"
    HELP = "HELP"
    CONFIRM_RECEIVED = "CONFIRM_RECEIVED"
    MOVE_RECEIVED = "MOVE_RECEIVED"
    REPLY_RECEIVED = "REPLY_RECEIVED"
    ANNOUNCEMENT = "ANNOUNCEMENT"
    DAILY_DIGEST = "DAILY_DIGEST"
    """Of a letter in which several messages stand; each of them stays what it is."""
    CONSENT_OUTDATED = "CONSENT_OUTDATED"
    """A document that was signed has a new version."""
    PAYMENT_REVERSED = "PAYMENT_REVERSED"
    """It was keyed in by mistake."""
    DEPOSIT_RETURNED = "DEPOSIT_RETURNED"
    """What had become a fee is the patient's again."""
    PACKAGE_TRANSFERRED = "PACKAGE_TRANSFERRED"
    """To whom it was handed."""
    ESTIMATE_DUE = "ESTIMATE_DUE"
    """It is to be with the patient by a day that is near, and was not acknowledged."""
    WAITLIST_OFFER = "WAITLIST_OFFER"
    """A time that became free is kept for the patient, until an instant."""


class Channel(StrEnum):
    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"
    IN_APP = "IN_APP"


BY_PHONE = frozenset({Channel.SMS, Channel.VOICE})
"""What rings or buzzes: quiet hours hold for these alone."""


class Purpose(StrEnum):
    """As permissions are given: see MessagePurpose of patients."""

    APPOINTMENT = "APPOINTMENT"
    BILLING = "BILLING"
    COMPANION = "COMPANION"
    REPLY = "REPLY"
    """An answer to what the recipient just did: it asks for no permission."""


class Rank(IntEnum):
    """Where a cap binds, the lower goes first."""

    SAFETY = 0
    PREPARATION = 1
    VISIT = 2
    BILL = 3


class Recipient(StrEnum):
    PATIENT = "PATIENT"
    PAYER = "PAYER"
    """The guarantor where there is one, else the patient."""
    COMPANION = "COMPANION"


class Anchor(StrEnum):
    """What a message's time is reckoned from."""

    BOOKED = "BOOKED"
    MOVED = "MOVED"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"
    COMPLETED = "COMPLETED"
    START = "START"
    END = "END"
    TOLD = "TOLD"
    """When it was heard of: an invoice, a payment, an offer."""
    DUE = "DUE"
    """The last day of an invoice, or of an estimate that the law wants by then."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What holds of every message of a kind."""

    purpose: Purpose
    rank: Rank
    anchors: frozenset[Anchor]
    recipient: Recipient = Recipient.PATIENT
    resent_in_doubt: bool = False
    """Whether what may have gone out is sent again, with the same Message-ID: a lost confirmation leaves a patient
    without the date, a second reminder is a nuisance. Neither SMTP nor texting has a key that drops the second."""


def _visit(*anchors: Anchor, rank: Rank = Rank.VISIT, again: bool = False) -> Nature:
    return Nature(Purpose.APPOINTMENT, rank, frozenset(anchors), resent_in_doubt=again)


def _bill(anchor: Anchor = Anchor.TOLD, *, again: bool = False) -> Nature:
    return Nature(Purpose.BILLING, Rank.BILL, frozenset({anchor}), Recipient.PAYER, again)


_REPLY = Nature(Purpose.REPLY, Rank.SAFETY, frozenset())
NATURES: Mapping[MessageKind, Nature] = {
    MessageKind.VISIT_CONFIRMATION: _visit(Anchor.BOOKED, again=True),
    MessageKind.VISIT_REMINDER: _visit(Anchor.START),
    MessageKind.VISIT_PREPARATION: _visit(Anchor.START, rank=Rank.PREPARATION),
    MessageKind.VISIT_MOVED: _visit(Anchor.MOVED, again=True),
    MessageKind.VISIT_CANCELLED: _visit(Anchor.CANCELLED, rank=Rank.PREPARATION, again=True),
    MessageKind.VISIT_MISSED: _visit(Anchor.MISSED),
    MessageKind.VISIT_FOLLOW_UP: _visit(Anchor.COMPLETED, Anchor.END),
    MessageKind.COMPANION_PICK_UP: Nature(
        Purpose.COMPANION, Rank.SAFETY, frozenset({Anchor.START, Anchor.END}), Recipient.COMPANION
    ),
    MessageKind.HOLD_EXPIRED: _visit(Anchor.TOLD),
    MessageKind.CONSENT_OUTDATED: _visit(Anchor.TOLD, rank=Rank.PREPARATION),
    MessageKind.WAITLIST_OFFER: _visit(Anchor.TOLD, again=True),
    MessageKind.ESTIMATE_READY: _bill(again=True),
    MessageKind.ESTIMATE_DUE: _bill(Anchor.DUE),
    MessageKind.INVOICE_ISSUED: _bill(again=True),
    MessageKind.PAYMENT_RECEIVED: _bill(again=True),
    MessageKind.REFUND_MADE: _bill(again=True),
    MessageKind.CREDIT_NOTE_ISSUED: _bill(again=True),
    MessageKind.CARD_CHARGE_FAILED: _bill(),
    MessageKind.BALANCE_DUE: _bill(Anchor.DUE),
    MessageKind.DEPOSIT_RELEASED: _bill(),
    MessageKind.DEPOSIT_FORFEITED: _bill(),
    MessageKind.PACKAGE_SOLD: _bill(again=True),
    MessageKind.PACKAGE_EXPIRING: _bill(),
    MessageKind.PACKAGE_EXPIRED: _bill(),
    MessageKind.PACKAGE_STOPPED: _bill(again=True),
    MessageKind.PAYMENT_REVERSED: _bill(again=True),
    MessageKind.DEPOSIT_RETURNED: _bill(again=True),
    MessageKind.PACKAGE_TRANSFERRED: _bill(again=True),
    MessageKind.OPT_OUT_CONFIRMED: _REPLY,
    MessageKind.OPT_IN_CONFIRMED: _REPLY,
    MessageKind.HELP: _REPLY,
    MessageKind.CONFIRM_RECEIVED: _REPLY,
    MessageKind.MOVE_RECEIVED: _REPLY,
    MessageKind.REPLY_RECEIVED: _REPLY,
    MessageKind.DAILY_DIGEST: Nature(Purpose.APPOINTMENT, Rank.VISIT, frozenset(), resent_in_doubt=True),
    MessageKind.ANNOUNCEMENT: Nature(Purpose.APPOINTMENT, Rank.SAFETY, frozenset(), resent_in_doubt=True),
}
OF_VISIT = frozenset(
    {
        Anchor.BOOKED,
        Anchor.MOVED,
        Anchor.CANCELLED,
        Anchor.MISSED,
        Anchor.COMPLETED,
        Anchor.START,
        Anchor.END,
    }
)
"""The other anchors are of what is no visit: a hold, a bill, a document to sign."""


def come_before(kind: MessageKind) -> frozenset[MessageKind]:
    """Whose texts go first where a cap binds: the companion's take none of the patient's."""
    own = NATURES[kind]
    return frozenset(
        other
        for other, nature in NATURES.items()
        if nature.rank < own.rank
        and (nature.recipient is Recipient.COMPANION) == (own.recipient is Recipient.COMPANION)
    )
