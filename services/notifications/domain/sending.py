"""What a sender does with a message that is due: by which channel it goes, whether again, when it is given up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import Enum, auto
from uuid import UUID
from zoneinfo import ZoneInfo

from services.notifications.domain.cadence import Timing, due
from services.notifications.domain.caps import COURTESY, EXEMPT, Cap
from services.notifications.domain.contacts import Contact, Point, may
from services.notifications.domain.digests import goes_out, may_stand_in
from services.notifications.domain.hours import HOURS, SendingHours
from services.notifications.domain.kinds import BY_PHONE, NATURES, Anchor, Channel, MessageKind, Purpose, Recipient
from services.notifications.domain.matters import Matter
from services.notifications.domain.messages import WITHDRAWN_BECAUSE, PassedOver, Reason, Status
from services.notifications.domain.visits import Site, Visit, VisitStatus

ATTEMPTS_MAX = 16  # Of one channel; some two hours, with the delays below.
BACK_OFF_MIN, BACK_OFF_MAX = timedelta(seconds=5), timedelta(minutes=15)
NO_HOLD = timedelta()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a chain says of its messages."""

    hours: SendingHours = HOURS
    courtesy: Cap = COURTESY
    link_base_url: str = ""
    digest: time | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a sender took up under a lease, with all that decides whether it goes out and what it says."""

    id: UUID
    lease_id: UUID
    kind: MessageKind
    status: Status
    attempts: int  # By the channel that is tried.
    event_id: UUID  # That made it.
    recipient_id: UUID  # The patient; of a merged one the survivor.
    zone: ZoneInfo  # The recipient's.
    timing: Timing
    channels: tuple[Channel, ...]  # Still to be tried, the next first.
    passed_over: tuple[PassedOver, ...]
    site: Site
    visit: Visit | None = None
    for_start: datetime | None = None
    """What it says of the visit; another than the visit's start: it has moved since."""
    matter: Matter | None = None
    matter_closed: bool = False
    unless_confirmed: bool = False
    announcement: str = ""
    policy: Policy = Policy()
    due: datetime | None = None
    digest_id: UUID | None = None
    """The message whose letter it stands in: its own id, where it is the one that is sent."""

    @property
    def may_be_combined(self) -> bool:
        return not self.digest_id and may_stand_in(self.kind, self.channels[0], self.policy.digest)

    @property
    def resent_in_doubt(self) -> bool:
        """Whether it is sent again where nobody knows whether it went out. A letter of several always is: what could be
        lost in it is more than a nuisance."""
        return self.digest_id is not None or NATURES[self.kind].resent_in_doubt

    @property
    def in_doubt(self) -> bool:
        """A sender began to send it and left it so: it may be out; not in an inbox, which it enters with word of it."""
        return self.status is Status.SENDING and self.channels[0] is not Channel.IN_APP

    @property
    def recipient(self) -> Recipient:
        return NATURES[self.kind].recipient

    @property
    def purpose(self) -> Purpose:
        return NATURES[self.kind].purpose


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing more will happen to the message."""

    status: Status
    reason: Reason | None = None
    error: str | None = None
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True)
class Postpone:
    """It would come at a bad hour. What is in doubt stays so till then."""

    due: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """Again, once `hold` of real time has passed."""

    status: Status
    hold: timedelta
    error: str


@dataclass(frozen=True, slots=True)
class NextChannel:
    """Those before it do not carry it."""

    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Go on."""


Step = Settle | Postpone | Retry | NextChannel


def settle(taken: Taken, status: Status, reason: Reason | None = None, error: str | None = None) -> Settle:
    """What may be out is never said not to be."""
    if taken.in_doubt and status is not Status.SENT:
        return Settle(Status.UNKNOWN, Reason.NO_ANSWER, error)
    return Settle(status, reason, error)


def next_step(taken: Taken, now: datetime) -> Settle | Postpone | Send:
    """What to do with a message that is due `now`."""
    if taken.in_doubt and not taken.resent_in_doubt:
        return settle(taken, Status.UNKNOWN, Reason.NO_ANSWER)
    if taken.in_doubt and taken.digest_id:
        return Send()  # As it was, whatever became of one of the messages in it.
    if reason := _withdrawn_because(taken):
        return settle(taken, Status.WITHDRAWN, reason)
    if taken.timing.until and now >= taken.timing.until:
        return settle(taken, Status.SUPPRESSED, Reason.VISIT_STARTED if taken.visit else Reason.TOO_LATE)
    if taken.unless_confirmed and taken.visit and taken.visit.status is VisitStatus.CONFIRMED:
        return settle(taken, Status.SUPPRESSED, Reason.VISIT_CONFIRMED)
    if taken.attempts >= ATTEMPTS_MAX and len(taken.channels) == 1:
        return settle(taken, Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    if taken.purpose is Purpose.REPLY:
        return Send()
    decent = due(taken.timing, taken.zone, now, taken.policy.hours)
    if decent <= now and taken.may_be_combined and taken.policy.digest and taken.due:
        decent = goes_out(taken.due, taken.timing.until, taken.policy.digest, taken.zone, now)
    return Postpone(decent) if decent > now else Send()


def _withdrawn_because(taken: Taken) -> Reason | None:
    if taken.matter_closed:
        return Reason.MATTER_CLOSED
    if taken.visit is None or taken.timing.anchor in {Anchor.CANCELLED, Anchor.MISSED, Anchor.COMPLETED, Anchor.TOLD}:
        return None
    if taken.for_start != taken.visit.start:
        return Reason.VISIT_MOVED
    return WITHDRAWN_BECAUSE.get(taken.visit.status)


@dataclass(frozen=True, slots=True)
class Way:
    """One channel and the address that it reaches the recipient at. IN_APP has no address but the patient."""

    channel: Channel
    to: Point | None
    consented: bool
    """To texts and calls: then the chain's courtesy caps hold, else those of the exemption."""

    def cap(self, policy: Policy) -> Cap:
        return policy.courtesy if self.consented else EXEMPT


def ways(taken: Taken, contact: Contact, now: datetime) -> list[Way | PassedOver]:
    """For each channel still to be tried, whether what is known of the recipient lets it carry the message. What may be
    out by the first goes by no other."""
    channels = taken.channels[:1] if taken.in_doubt else taken.channels
    return [_way(taken, contact, channel, now) for channel in channels]


def _way(taken: Taken, contact: Contact, channel: Channel, now: datetime) -> Way | PassedOver:
    purpose = taken.purpose
    if channel is Channel.IN_APP:
        if contact.spoken_for:
            return PassedOver(channel, Reason.MINORS_INBOX)
        if contact.said(channel, purpose) is False:
            return PassedOver(channel, Reason.NOT_PERMITTED)
        return Way(channel, None, consented=True)
    found = contact.addresses(channel, taken.recipient)
    if not found:
        return PassedOver(channel, _no_address(taken, contact, channel))
    permitted = [point for point in found if may(contact, channel, purpose, point.use)]
    if not permitted:
        return PassedOver(channel, Reason.NOT_PERMITTED)
    quiet = purpose is not Purpose.REPLY and not taken.policy.hours.allow(now, taken.zone)
    if channel in BY_PHONE and quiet:
        return PassedOver(channel, Reason.QUIET_HOURS)
    point = permitted[0]
    return Way(channel, point, contact.said(channel, purpose, point.use) is True)


def goes_with(other: Taken, way: Way, contact: Contact, now: datetime) -> bool:
    """Whether a message may stand in the letter that goes out this way `now`."""
    if not other.may_be_combined or not isinstance(next_step(replace(other, due=None), now), Send):
        return False
    found = _way(other, contact, way.channel, now)
    return isinstance(found, Way) and found.to is not None and way.to is not None and found.to.value == way.to.value


def _no_address(taken: Taken, contact: Contact, channel: Channel) -> Reason:
    if taken.recipient is Recipient.COMPANION:
        return Reason.NO_COMPANION
    if contact.spoken_for and not contact.has_guarantor:
        return Reason.NO_GUARANTOR
    return Reason.NO_EMAIL_ADDRESS if channel is Channel.EMAIL else Reason.NO_PHONE_NUMBER


TRIED = frozenset({Reason.REFUSED, Reason.ATTEMPTS_EXHAUSTED, Reason.UNDELIVERED, Reason.TEMPLATE_BROKEN})
"""Of a channel that was asked, or for which there were no words: then the message has failed."""


def no_way(taken: Taken, passed_over: Sequence[PassedOver], now: datetime) -> Settle | Postpone:
    """What becomes of a message that no channel carries now. Where quiet hours are in the way of one, and their end
    comes in time, it waits for it. Else the reason is that of the channel that failed, or was wanted most."""
    all_passed = [*taken.passed_over, *passed_over]
    quiet = any(each.reason is Reason.QUIET_HOURS for each in passed_over)
    morning = taken.policy.hours.next(now, taken.zone)
    if quiet and morning > now and (taken.timing.until is None or morning < taken.timing.until):
        return Postpone(morning)
    first = next((each for each in all_passed if each.reason in TRIED), all_passed[0])
    failed = first.reason in TRIED
    settled = settle(taken, Status.FAILED if failed else Status.SUPPRESSED, first.reason, first.code or None)
    return replace(settled, passed_over=tuple(passed_over))


def unreachable(taken: Taken, contact: Contact) -> Settle | None:
    """Why nothing can be sent to a patient by any channel, if so."""
    return settle(taken, Status.SUPPRESSED, Reason.PATIENT_DECEASED) if contact.deceased else None


def put_off(taken: Taken, code: str, chance: float, hold: timedelta = BACK_OFF_MIN) -> Retry:
    """Contact details, or a document, could not be had. Not an attempt: nothing is lost by waiting until the visit
    begins."""
    return Retry(taken.status, spread(hold, chance), code)


class Answer(Enum):
    """What came of handing a message to the next server."""

    TAKEN = auto()
    NOT_NOW = auto()  # It did not take the message, and may later.
    NEVER = auto()  # It refuses the message for good.
    NONE = auto()  # The line broke when the message was on it: it may have been taken.


NOT_TAKEN = frozenset({Answer.NOT_NOW, Answer.NEVER})
"""Nothing went out."""


def after_attempt(taken: Taken, answer: Answer, code: str, chance: float) -> Settle | Retry | NextChannel:
    """What becomes of a message after its attempt; `chance`, from 0 to 1, spreads those that failed together."""
    if answer is Answer.TAKEN:
        return settle(taken, Status.SENT)
    if answer is Answer.NEVER:
        return _given_up(taken, Reason.REFUSED, code)
    lost = answer is Answer.NONE
    if lost and not taken.resent_in_doubt:
        return settle(taken, Status.UNKNOWN, Reason.NO_ANSWER, code)
    if taken.attempts >= ATTEMPTS_MAX:
        if lost:
            return Settle(Status.UNKNOWN, Reason.NO_ANSWER, code)
        return _given_up(taken, Reason.ATTEMPTS_EXHAUSTED, code)
    return Retry(Status.SENDING if lost else taken.status, back_off(taken.attempts, chance), code)


def _given_up(taken: Taken, reason: Reason, code: str) -> Settle | NextChannel:
    """What may be out goes by no second channel."""
    if len(taken.channels) > 1 and not taken.in_doubt:
        return NextChannel((PassedOver(taken.channels[0], reason, code),))
    return settle(taken, Status.FAILED, reason, code)


def back_off(attempts: int, chance: float) -> timedelta:
    """Doubles from attempt to attempt."""
    return spread(min(BACK_OFF_MIN * 2.0 ** (attempts - 1), BACK_OFF_MAX), chance)


def spread(delay: timedelta, chance: float) -> timedelta:
    """Between half and the whole of it, so that a crowd does not come back at once."""
    return delay * (0.5 + chance / 2)
