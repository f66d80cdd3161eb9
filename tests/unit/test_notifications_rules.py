"""When a message is due, what becomes of it, and how long the next attempt waits."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.notifications.domain.cadence import SHIPPED, Late, Planned, Rule, Timing, due, plan_matter, plan_visit
from services.notifications.domain.contacts import Contact
from services.notifications.domain.discretion import health_words
from services.notifications.domain.hours import SendingHours, at
from services.notifications.domain.kinds import Anchor, Channel, MessageKind
from services.notifications.domain.matters import Matter, MatterKind
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.sending import (
    ATTEMPTS_MAX,
    Answer,
    NextChannel,
    Postpone,
    Retry,
    Send,
    Settle,
    Taken,
    after_attempt,
    back_off,
    next_step,
    put_off,
    settle,
    unreachable,
)
from services.notifications.domain.visits import Instruction, Site, Visit, VisitStatus

NEW_YORK, DENVER, PHOENIX = ZoneInfo("America/New_York"), ZoneInfo("America/Denver"), ZoneInfo("America/Phoenix")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def reminded(start: datetime, zone: ZoneInfo, now: datetime) -> datetime:
    """When a reminder of 48 hours before is due."""
    return due(Timing(Anchor.START, start, -timedelta(hours=48), start), zone, now)


def confirmed(start: datetime, zone: ZoneInfo, now: datetime) -> datetime:
    return due(Timing(Anchor.BOOKED, now, timedelta(), start), zone, now)


def local(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


# Clocks of 2027 in the United States: forward on 14 March, back on 7 November.
REMINDERS = [
    # (what it shows, zone, visit, reminder), both in the wall time of the zone
    ("two days before, by the clock", NEW_YORK, "2027-06-10 09:00", "2027-06-08 09:00"),
    ("48 hours, not two days: in spring an hour earlier", NEW_YORK, "2027-03-15 09:00", "2027-03-13 08:00"),
    ("over the autumn change an hour later", NEW_YORK, "2027-11-08 09:00", "2027-11-06 10:00"),
    ("an hour earlier is quiet already: the evening before", NEW_YORK, "2027-03-15 08:30", "2027-03-12 19:00"),
    ("over the autumn change half past seven is half past eight", NEW_YORK, "2027-11-08 07:30", "2027-11-06 08:30"),
    ("no change where clocks do not change", PHOENIX, "2027-03-15 09:00", "2027-03-13 09:00"),
    ("before 8:00: the evening before", DENVER, "2027-06-10 07:59", "2027-06-07 19:00"),
    ("8:00 is not quiet", DENVER, "2027-06-10 08:00", "2027-06-08 08:00"),
    ("19:59 is not quiet", DENVER, "2027-06-10 19:59", "2027-06-08 19:59"),
    ("20:00 is quiet: the same evening", DENVER, "2027-06-10 20:00", "2027-06-08 19:00"),
    ("midnight belongs to the day that begins", DENVER, "2027-06-10 00:00", "2027-06-07 19:00"),
    ("the evening before is in the year before", DENVER, "2028-01-03 07:00", "2027-12-31 19:00"),
    ("the evening before the leap day", DENVER, "2028-03-02 07:00", "2028-02-28 19:00"),
    ("on the leap day", DENVER, "2028-03-02 09:00", "2028-02-29 09:00"),
    ("the evening before is the day of the spring change", NEW_YORK, "2027-03-17 07:00", "2027-03-14 19:00"),
]  # fmt: skip


@pytest.mark.parametrize(("shows", "zone", "visit", "reminder"), REMINDERS, ids=[row[0] for row in REMINDERS])
def test_a_reminder_is_due(shows: str, zone: ZoneInfo, visit: str, reminder: str) -> None:
    assert reminded(local(visit, zone), zone, LONG_AGO) == local(reminder, zone)


@pytest.mark.parametrize(
    ("begin", "end", "evening"),
    [
        (time(8), time(18), "2027-06-09 17:00"),
        (time(8), time(19), "2027-06-09 18:00"),
        (time(9, 30), time(19, 30), "2027-06-09 18:30"),
        (time(9), time(9, 45), "2027-06-09 09:00"),
        (time(8), time(21), "2027-06-09 19:00"),
    ],
)
def test_the_evening_before_is_within_the_hours(begin: time, end: time, evening: str) -> None:
    hours = SendingHours(begin, end)
    start = local("2027-06-10 08:00", DENVER)
    two_hours_before = Timing(Anchor.START, start, -timedelta(hours=2), start)
    found = due(two_hours_before, DENVER, LONG_AGO, hours)
    assert found == local(evening, DENVER)
    assert hours.allow(found, DENVER)


def test_of_reminders_that_are_late_together_the_last_goes_out_alone() -> None:
    now, zone = local("2027-06-10 12:00", DENVER), DENVER
    ladder = [
        Rule(f"after_{days}", MessageKind.BALANCE_DUE, Anchor.DUE, timedelta(days=days), (Channel.EMAIL,), late)
        for days, late in ((-3, Late.SEND), (7, Late.SEND), (8, Late.SKIP), (14, Late.SEND))
    ]
    invoice = Matter(UUID(int=1), MatterKind.INVOICE, UUID(int=2), UUID(int=3))
    due_at = local("2027-06-01 10:00", DENVER)
    planned = plan_matter(invoice, MessageKind.BALANCE_DUE, ladder, zone, now, due_at)
    assert [(each.rule.code, each.too_late) for each in planned] == [
        ("after_-3", True),
        ("after_7", False),
        ("after_8", True),
        ("after_14", False),
    ]
    assert [each.due for each in planned][1::2] == [now, local("2027-06-15 10:00", DENVER)]


def test_quiet_hours_are_those_of_the_recipient_and_not_of_the_site() -> None:
    start = local("2027-06-10 08:30", NEW_YORK)  # 5:30 in Los Angeles.
    los_angeles = ZoneInfo("America/Los_Angeles")
    assert reminded(start, los_angeles, LONG_AGO) == local("2027-06-07 19:00", los_angeles)


@pytest.mark.parametrize("now", ["2027-06-08 03:00", "2027-06-09 23:30"])
def test_a_reminder_whose_hour_has_passed_is_due_at_once_even_at_night(now: str) -> None:
    start = local("2027-06-10 09:00", DENVER)
    asleep = local(now, DENVER) + timedelta(hours=6)
    assert reminded(start, DENVER, asleep) == asleep


CONFIRMATIONS = [
    ("by day at once", DENVER, "2027-06-01 13:07", "2027-06-01 13:07"),
    ("at 8:00 at once", DENVER, "2027-06-01 08:00", "2027-06-01 08:00"),
    ("at night in the morning", DENVER, "2027-06-01 03:00", "2027-06-01 08:00"),
    ("at midnight in the morning of that day", DENVER, "2027-06-01 00:00", "2027-06-01 08:00"),
    ("at 20:00 the next morning", DENVER, "2027-06-01 20:00", "2027-06-02 08:00"),
    ("the night that is an hour shorter", NEW_YORK, "2027-03-13 22:00", "2027-03-14 08:00"),
    ("the night that is an hour longer", NEW_YORK, "2027-11-06 22:00", "2027-11-07 08:00"),
    ("the night before the leap day", DENVER, "2028-02-28 21:00", "2028-02-29 08:00"),
    ("the night of the new year", DENVER, "2027-12-31 23:59", "2028-01-01 08:00"),
]


@pytest.mark.parametrize(("shows", "zone", "now", "confirmation"), CONFIRMATIONS, ids=[row[0] for row in CONFIRMATIONS])
def test_a_confirmation_is_due(shows: str, zone: ZoneInfo, now: str, confirmation: str) -> None:
    start = local("2028-06-10 09:00", zone)
    assert confirmed(start, zone, local(now, zone)) == local(confirmation, zone)


def test_a_confirmation_that_would_come_after_the_visit_is_due_at_once() -> None:
    now = local("2027-06-01 23:00", DENVER)
    assert confirmed(local("2027-06-02 08:00", DENVER), DENVER, now) == now


def test_a_wall_time_that_occurs_twice_is_the_first_and_one_that_is_skipped_is_later_by_the_gap() -> None:
    assert at(date(2027, 11, 7), time(1, 30), NEW_YORK) == datetime(2027, 11, 7, 5, 30, tzinfo=UTC)
    assert at(date(2027, 3, 14), time(2, 30), NEW_YORK) == datetime(2027, 3, 14, 7, 30, tzinfo=UTC)


START = local("2027-06-10 09:00", DENVER)
NOON = local("2027-06-08 12:00", DENVER)
NIGHT = local("2027-06-08 23:00", DENVER)
MORNING = local("2027-06-09 08:00", DENVER)
CONFIRMATION, REMINDER = MessageKind.VISIT_CONFIRMATION, MessageKind.VISIT_REMINDER


SITE = Site(UUID(int=2), "Harbor Lane", DENVER, "1 Main St, Albuquerque, NM 87101", "+15055550100")


def visit(status: VisitStatus = VisitStatus.BOOKED) -> Visit:
    return Visit(UUID(int=1), status, START, START + timedelta(hours=1), telehealth=False)


def taken(
    kind: MessageKind = CONFIRMATION,
    status: Status = Status.SCHEDULED,
    attempts: int = 0,
    of: VisitStatus = VisitStatus.BOOKED,
    channels: tuple[Channel, ...] = (Channel.EMAIL,),
) -> Taken:
    one = UUID(int=3)
    before = kind is REMINDER
    timing = Timing(
        Anchor.START if before else Anchor.BOOKED,
        START if before else LONG_AGO,
        -timedelta(hours=48) if before else timedelta(),
        START,
    )
    return Taken(
        one, one, kind, status, attempts, one, one, DENVER, timing, channels, (), SITE, visit(of), for_start=START
    )


def planned(of: Visit, now: datetime) -> list[Planned]:
    return plan_visit(of, SITE.id, Anchor.BOOKED, SHIPPED, DENVER, now)


def test_a_visit_gets_a_confirmation_and_a_reminder() -> None:
    week_before = NOON - timedelta(days=7)
    assert [(each.rule.kind, each.due) for each in planned(visit(), week_before)] == [
        (CONFIRMATION, week_before),
        (REMINDER, local("2027-06-08 09:00", DENVER)),
    ]


def test_a_visit_with_instructions_is_prepared_and_one_that_needs_a_ride_told_to_the_companion() -> None:
    fasting, ride = Instruction("fasting", "No solid food", 6), Instruction("ride_home", "Somebody drives", 0)

    def kinds(*instructions: Instruction) -> dict[MessageKind, datetime]:
        told = planned(replace(visit(), instructions=instructions), NOON - timedelta(days=7))
        return {each.rule.kind: each.due for each in told if each.rule.kind not in (CONFIRMATION, REMINDER)}

    preparation = {MessageKind.VISIT_PREPARATION: local("2027-06-07 09:00", DENVER)}
    assert kinds(fasting) == preparation
    assert kinds(ride) == preparation | {MessageKind.COMPANION_PICK_UP: local("2027-06-10 09:15", DENVER)}


def test_messages_of_a_visit_that_is_off_are_withdrawn_from_the_start() -> None:
    assert {message.withdrawn for message in planned(visit(VisitStatus.CANCELLED), NOON)} == {VisitStatus.CANCELLED}


@pytest.mark.parametrize("kind", [CONFIRMATION, REMINDER])
def test_what_is_due_is_sent(kind: MessageKind) -> None:
    assert next_step(taken(kind), NOON) == Send()


def test_a_confirmation_that_was_held_up_into_the_night_waits_for_the_morning_and_a_reminder_does_not() -> None:
    assert next_step(taken(CONFIRMATION), NIGHT) == Postpone(MORNING)
    assert next_step(taken(REMINDER), NIGHT) == Send()


@pytest.mark.parametrize(
    ("of", "reason"),
    [(VisitStatus.CANCELLED, Reason.VISIT_CANCELLED), (VisitStatus.MISSED, Reason.VISIT_MISSED)],
)
def test_what_is_due_for_a_visit_that_is_off_is_withdrawn(of: VisitStatus, reason: Reason) -> None:
    assert next_step(taken(of=of), NOON) == Settle(Status.WITHDRAWN, reason)


def test_nothing_goes_out_once_the_visit_has_begun() -> None:
    assert next_step(taken(REMINDER), START) == Settle(Status.SUPPRESSED, Reason.VISIT_STARTED)
    assert next_step(taken(REMINDER), START - timedelta(seconds=1)) == Send()


@pytest.mark.parametrize("offset", [timedelta(), timedelta(hours=24)])
def test_what_follows_a_visit_goes_out_after_it_unless_it_was_off(offset: timedelta) -> None:
    rule = Rule("after", MessageKind.VISIT_FOLLOW_UP, Anchor.END, offset, (Channel.EMAIL,))
    [follow_up] = plan_visit(visit(), SITE.id, Anchor.BOOKED, [rule], DENVER, NOON)
    now = visit().end + offset
    assert follow_up.due == now

    def step(of: VisitStatus) -> object:
        return next_step(replace(taken(rule.kind, of=of), timing=follow_up.timing), now)

    assert step(VisitStatus.COMPLETED) == Send()
    assert step(VisitStatus.MISSED) == Settle(Status.WITHDRAWN, Reason.VISIT_MISSED)


IN_DOUBT = Settle(Status.UNKNOWN, Reason.NO_ANSWER)


def test_after_a_crash_a_confirmation_is_sent_again_and_a_reminder_is_not() -> None:
    assert next_step(taken(CONFIRMATION, Status.SENDING, 1), NOON) == Send()
    assert next_step(taken(REMINDER, Status.SENDING, 1), NOON) == IN_DOUBT


def test_what_may_be_out_is_never_said_not_to_be() -> None:
    for of, now, attempts in (
        (VisitStatus.CANCELLED, NOON, 1),
        (VisitStatus.BOOKED, START, 1),
        (VisitStatus.BOOKED, NOON, ATTEMPTS_MAX),
    ):
        assert next_step(taken(CONFIRMATION, Status.SENDING, attempts, of), now) == IN_DOUBT
    doubtful = taken(CONFIRMATION, Status.SENDING, 1)
    assert unreachable(doubtful, Contact("Ana", "en", deceased=True)) == IN_DOUBT
    assert settle(doubtful, Status.FAILED, Reason.REFUSED, "SMTP_550") == Settle(
        Status.UNKNOWN, Reason.NO_ANSWER, "SMTP_550"
    )
    assert settle(doubtful, Status.SENT) == Settle(Status.SENT)


def test_no_dead_person_is_written_to() -> None:
    assert unreachable(taken(), Contact("Ana", "en", deceased=False)) is None
    suppressed = Settle(Status.SUPPRESSED, Reason.PATIENT_DECEASED)
    assert unreachable(taken(), Contact("Ana", "en", deceased=True)) == suppressed


AFTER = [
    (CONFIRMATION, Answer.TAKEN, 1, Settle(Status.SENT)),
    (CONFIRMATION, Answer.NEVER, 1, Settle(Status.FAILED, Reason.REFUSED, "CODE")),
    (CONFIRMATION, Answer.NOT_NOW, 1, Retry(Status.SCHEDULED, timedelta(seconds=5), "CODE")),
    (CONFIRMATION, Answer.NOT_NOW, ATTEMPTS_MAX, Settle(Status.FAILED, Reason.ATTEMPTS_EXHAUSTED, "CODE")),
    (REMINDER, Answer.NOT_NOW, ATTEMPTS_MAX - 1, Retry(Status.SCHEDULED, timedelta(minutes=15), "CODE")),
    (CONFIRMATION, Answer.NONE, 1, Retry(Status.SENDING, timedelta(seconds=5), "CODE")),
    (CONFIRMATION, Answer.NONE, ATTEMPTS_MAX, Settle(Status.UNKNOWN, Reason.NO_ANSWER, "CODE")),
    (REMINDER, Answer.NONE, 1, Settle(Status.UNKNOWN, Reason.NO_ANSWER, "CODE")),
]


@pytest.mark.parametrize(("kind", "answer", "attempts", "end"), AFTER)
def test_what_an_attempt_leads_to(kind: MessageKind, answer: Answer, attempts: int, end: Settle | Retry) -> None:
    assert after_attempt(taken(kind, attempts=attempts), answer, "CODE", chance=1.0) == end


BOTH = (Channel.SMS, Channel.EMAIL)


@pytest.mark.parametrize(
    ("answer", "attempts", "reason"),
    [(Answer.NEVER, 1, Reason.REFUSED), (Answer.NOT_NOW, ATTEMPTS_MAX, Reason.ATTEMPTS_EXHAUSTED)],
)
def test_what_one_channel_gave_up_goes_by_the_next(answer: Answer, attempts: int, reason: Reason) -> None:
    next_one = NextChannel((PassedOver(Channel.SMS, reason, "CODE"),))
    assert after_attempt(taken(REMINDER, attempts=attempts, channels=BOTH), answer, "CODE", chance=1.0) == next_one


def test_what_may_be_out_by_one_channel_goes_by_no_other() -> None:
    for message in (taken(CONFIRMATION, Status.SENDING, 2, channels=BOTH), taken(REMINDER, attempts=1, channels=BOTH)):
        end = after_attempt(message, Answer.NEVER if message.in_doubt else Answer.NONE, "CODE", chance=1.0)
        assert end == Settle(Status.UNKNOWN, Reason.NO_ANSWER, "CODE")


def test_waiting_for_contact_details_is_no_attempt_and_changes_nothing() -> None:
    for status in (Status.SCHEDULED, Status.SENDING):
        assert put_off(taken(status=status), "PATIENTS_UNAVAILABLE", chance=0.0) == Retry(
            status, timedelta(seconds=2.5), "PATIENTS_UNAVAILABLE"
        )


def test_the_delay_doubles_up_to_a_bound_and_is_spread_over_its_second_half() -> None:
    assert [back_off(n, 1.0).total_seconds() for n in (1, 2, 3, 8, 9, 15)] == [5, 10, 20, 640, 900, 900]
    assert [back_off(3, chance).total_seconds() for chance in (0.0, 0.5)] == [10, 15]


@pytest.mark.parametrize(
    "text",
    ["Ketamine today", "your infusion", "Su clínica", "Terapia", "IV drip", "DOSE", "su tratamiento", "Dr's nurse"],
)
def test_a_health_word_is_found(text: str) -> None:
    assert health_words(text)


@pytest.mark.parametrize(
    "text", ["Harbor Lane", "Spain", "See you on Friday", "your appointment", "su cita", "private"]
)
def test_a_plain_word_is_no_health_word(text: str) -> None:
    assert health_words(text) == []
