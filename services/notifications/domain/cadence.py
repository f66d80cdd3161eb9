"""Which messages follow from what happens, and when each is due. Pure.

A cadence is a list of rules. What a chain has not written itself is `SHIPPED`. Offsets are elapsed time, whatever
clocks do meanwhile; quiet hours are reckoned in the recipient's zone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from services.notifications.domain.hours import HOURS, SendingHours
from services.notifications.domain.kinds import NATURES, OF_VISIT, Anchor, Channel, MessageKind, Purpose, Recipient
from services.notifications.domain.matters import Matter
from services.notifications.domain.visits import Visit, VisitStatus

OFFSET_MAX = timedelta(days=60)


class CadenceRefused(DomainError):
    kind, reason = Kind.INVALID, "CADENCE_REFUSED"
    message = "a rule of the cadence cannot be kept"


class Late(StrEnum):
    """What becomes of a message whose time had passed when it was planned."""

    SEND = "SEND"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Rule:
    """One message of a kind, so long after its anchor; before it, where the offset is below zero."""

    code: str
    kind: MessageKind
    anchor: Anchor
    offset: timedelta
    channels: tuple[Channel, ...]
    """The first that may be used carries it; the next when that one fails."""
    late: Late = Late.SEND
    unless_confirmed: bool = False
    """Left out where the visit is confirmed by then."""
    visit_type_codes: frozenset[str] = frozenset()
    """Empty: of any."""
    protocol_ids: frozenset[UUID] = frozenset()
    site_ids: frozenset[UUID] = frozenset()

    def fits(self, visit: Visit, site_id: UUID) -> bool:
        return (
            (not self.visit_type_codes or visit.visit_type_code in self.visit_type_codes)
            and (not self.protocol_ids or visit.protocol_id in self.protocol_ids)
            and self.at(site_id)
            and (self.kind is not MessageKind.VISIT_PREPARATION or bool(visit.instructions))
            and (self.kind is not MessageKind.COMPANION_PICK_UP or visit.needs_ride)
        )

    @property
    def follows(self) -> bool:
        """It is said once the visit has begun, or is over: there is nothing that it could come too late for."""
        return self.anchor in {Anchor.START, Anchor.END} and self.offset >= timedelta()

    def at(self, site_id: UUID) -> bool:
        return not self.site_ids or site_id in self.site_ids


def _notice(kind: MessageKind, anchor: Anchor, *channels: Channel) -> Rule:
    return Rule(kind.lower(), kind, anchor, timedelta(), channels or (Channel.EMAIL,))


SHIPPED: tuple[Rule, ...] = (
    _notice(MessageKind.VISIT_CONFIRMATION, Anchor.BOOKED, Channel.EMAIL, Channel.SMS),
    Rule(
        "visit_reminder",
        MessageKind.VISIT_REMINDER,
        Anchor.START,
        -timedelta(hours=48),
        (Channel.EMAIL, Channel.SMS, Channel.VOICE),
    ),
    Rule("visit_preparation", MessageKind.VISIT_PREPARATION, Anchor.START, -timedelta(hours=72), (Channel.EMAIL,)),
    Rule(
        "companion_pick_up",
        MessageKind.COMPANION_PICK_UP,
        Anchor.END,
        -timedelta(minutes=45),
        (Channel.SMS, Channel.EMAIL),
        Late.SKIP,
    ),
    _notice(MessageKind.VISIT_MOVED, Anchor.MOVED, Channel.EMAIL, Channel.SMS),
    _notice(MessageKind.VISIT_CANCELLED, Anchor.CANCELLED, Channel.EMAIL, Channel.SMS),
    _notice(MessageKind.VISIT_MISSED, Anchor.MISSED),
    _notice(MessageKind.HOLD_EXPIRED, Anchor.TOLD),
    _notice(MessageKind.CONSENT_OUTDATED, Anchor.TOLD, Channel.EMAIL, Channel.SMS),
    # A text is seen in time, and has no room for the link that the email has.
    _notice(MessageKind.WAITLIST_OFFER, Anchor.TOLD),
    Rule(
        "waitlist_offer_text",
        MessageKind.WAITLIST_OFFER,
        Anchor.TOLD,
        timedelta(),
        (Channel.SMS, Channel.VOICE),
    ),
    _notice(MessageKind.ESTIMATE_READY, Anchor.TOLD),
    _notice(MessageKind.INVOICE_ISSUED, Anchor.TOLD),
    _notice(MessageKind.PAYMENT_RECEIVED, Anchor.TOLD),
    _notice(MessageKind.REFUND_MADE, Anchor.TOLD),
    _notice(MessageKind.CREDIT_NOTE_ISSUED, Anchor.TOLD),
    _notice(MessageKind.CARD_CHARGE_FAILED, Anchor.TOLD),
    Rule("balance_due", MessageKind.BALANCE_DUE, Anchor.DUE, -timedelta(days=3), (Channel.EMAIL,)),
    _notice(MessageKind.DEPOSIT_RELEASED, Anchor.TOLD),
    _notice(MessageKind.DEPOSIT_FORFEITED, Anchor.TOLD),
    _notice(MessageKind.PACKAGE_SOLD, Anchor.TOLD),
    _notice(MessageKind.PACKAGE_EXPIRING, Anchor.TOLD),
    _notice(MessageKind.PACKAGE_EXPIRED, Anchor.TOLD),
    _notice(MessageKind.PACKAGE_STOPPED, Anchor.TOLD),
    _notice(MessageKind.PAYMENT_REVERSED, Anchor.TOLD),
    _notice(MessageKind.DEPOSIT_RETURNED, Anchor.TOLD),
    _notice(MessageKind.PACKAGE_TRANSFERRED, Anchor.TOLD),
)


@dataclass(frozen=True, slots=True)
class Cadence:
    version: int
    """0: as shipped."""
    rules: tuple[Rule, ...]


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuses with every fault, each at its field."""
    faults = [fault for n, rule in enumerate(rules) for fault in _faults(rule, f"rules[{n}]")]
    codes = [rule.code for rule in rules]
    faults += [
        Violation(f"rules[{n}].code", "CADENCE_REFUSED", "is another rule's, too")
        for n, code in enumerate(codes)
        if code in codes[:n]
    ]
    if faults:
        raise CadenceRefused(*faults)


def _faults(rule: Rule, path: str) -> list[Violation]:
    nature, faults = NATURES[rule.kind], list[tuple[str, str]]()
    if rule.anchor not in nature.anchors:
        allowed = ", ".join(sorted(nature.anchors)) or "none: such messages answer people"
        faults.append(("anchor", f"is none of a {rule.kind}'s: {allowed}"))
    if (rule.anchor is Anchor.DUE and rule.offset < -OFFSET_MAX) or abs(rule.offset) > OFFSET_MAX:
        faults.append(("offset_minutes", f"is more than {OFFSET_MAX.days} days"))
    if rule.anchor not in {Anchor.START, Anchor.END, Anchor.DUE} and rule.offset < timedelta():
        faults.append(("offset_minutes", f"is before {rule.anchor}, which nobody foresees"))
    if nature.purpose is Purpose.BILLING and Channel.VOICE in rule.channels:
        faults.append(("channels", "a bill is not read out by telephone"))
    if nature.recipient is Recipient.COMPANION and Channel.IN_APP in rule.channels:
        faults.append(("channels", "a companion has no inbox"))
    if rule.anchor not in OF_VISIT and (rule.visit_type_codes or rule.protocol_ids or rule.unless_confirmed):
        faults.append(("kind", "is about no visit: such rules name neither visit types nor protocols"))
    return [Violation(f"{path}.{field}", "CADENCE_REFUSED", rule_text) for field, rule_text in faults]


@dataclass(frozen=True, slots=True)
class Timing:
    """When a message was wanted; `until`: after it nobody needs it any more."""

    anchor: Anchor
    anchor_at: datetime
    offset: timedelta
    until: datetime | None

    @property
    def wanted(self) -> datetime:
        return self.anchor_at + self.offset

    def of(self, visit: Visit) -> "Timing":
        """Of what is said ahead of a visit, or after it, by where that is now."""
        anchor_at = {Anchor.START: visit.start, Anchor.END: visit.end}.get(self.anchor, self.anchor_at)
        return replace(self, anchor_at=anchor_at, until=self.until and _until(self.anchor, visit))


def due(timing: Timing, zone: ZoneInfo, now: datetime, hours: SendingHours = HOURS) -> datetime:
    """When a message is to go out: never before `now`, and in quiet hours only if it would come too late otherwise.

    What precedes its anchor moves to the evening before; if that has passed it is due at once, and then quiet hours
    decide the channel. What follows it waits for the morning.
    """
    if timing.offset < timedelta():
        return max(hours.previous(timing.wanted, zone), now)
    soonest = max(timing.wanted, now)
    decent = hours.next(soonest, zone)
    return decent if timing.until is None or decent < timing.until else soonest


@dataclass(frozen=True, slots=True)
class Planned:
    """A message to be kept: to go out, or from the start one of those that do not."""

    rule: Rule
    timing: Timing
    due: datetime
    visit_id: UUID | None = None
    for_start: datetime | None = None
    matter_id: UUID | None = None
    withdrawn: VisitStatus | None = None
    too_late: bool = False
    text: str | None = None
    """An announcement's own words."""


def plan_visit(
    visit: Visit,
    site_id: UUID,
    happened: Anchor,
    rules: Collection[Rule],
    zone: ZoneInfo,
    now: datetime,
    hours: SendingHours = HOURS,
) -> list[Planned]:
    """The messages that follow from what was heard of a visit `now`, for a recipient in `zone`."""
    before = happened in {Anchor.BOOKED, Anchor.MOVED}
    anchors = {happened: now} | ({Anchor.START: visit.start, Anchor.END: visit.end} if before else {})
    off = visit.status if before and visit.status in OFF else None
    found = list[Planned]()
    for rule in rules:
        if rule.anchor in anchors and rule.fits(visit, site_id):
            until = None if happened in AFTER or rule.follows else _until(rule.anchor, visit)
            timing = Timing(rule.anchor, anchors[rule.anchor], rule.offset, until)
            found.append(
                Planned(
                    rule,
                    timing,
                    due(timing, zone, now, hours),
                    visit.id,
                    visit.start,
                    withdrawn=off,
                    too_late=rule.late is Late.SKIP and timing.wanted < now,
                )
            )
    return found


def _until(anchor: Anchor, visit: Visit) -> datetime:
    return visit.end if anchor is Anchor.END else visit.start


OFF = frozenset({VisitStatus.CANCELLED, VisitStatus.MISSED})
AFTER = frozenset({Anchor.MISSED, Anchor.COMPLETED, Anchor.CANCELLED})
"""What is said after these is worth saying whenever the visit would have begun."""


def plan_matter(
    matter: Matter,
    kind: MessageKind,
    rules: Collection[Rule],
    zone: ZoneInfo,
    now: datetime,
    due_at: datetime | None,
    hours: SendingHours = HOURS,
    grace: timedelta = timedelta(),
) -> list[Planned]:
    """The messages of one kind that follow from what was heard of a matter `now`, and are wanted after a `grace`. Of
    several whose times have passed by then the last alone goes out: the others would say the same in one breath."""
    anchors = {Anchor.TOLD: now + grace} | ({Anchor.DUE: due_at} if due_at else {})
    fitting = [rule for rule in rules if rule.kind is kind and rule.anchor in anchors and rule.at(matter.site_id)]
    until = matter.offered.until if matter.offered else None
    timings = [(rule, Timing(rule.anchor, anchors[rule.anchor], rule.offset, until)) for rule in fitting]
    sent_late = [timing.wanted for rule, timing in timings if timing.wanted < now + grace and rule.late is Late.SEND]
    found = list[Planned]()
    for rule, timing in timings:
        late = timing.wanted < now + grace
        too_late = late and (rule.late is Late.SKIP or timing.wanted < max(sent_late))
        if late and grace:
            timing = replace(timing, anchor_at=now + grace - rule.offset)
        found.append(Planned(rule, timing, due(timing, zone, now, hours), matter_id=matter.id, too_late=too_late))
    return found
