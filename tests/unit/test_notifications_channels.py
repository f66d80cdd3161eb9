"""Which channel carries a message: addresses, permissions, quiet hours, caps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.notifications.domain.cadence import Timing
from services.notifications.domain.caps import COURTESY, EXEMPT, Cap, room, since
from services.notifications.domain.contacts import Contact, Permission, Point, Related, Use
from services.notifications.domain.kinds import Anchor, Channel, MessageKind, Purpose, Recipient
from services.notifications.domain.messages import PassedOver, Reason, Status
from services.notifications.domain.sending import Policy, Postpone, Settle, Taken, Way, no_way, ways
from services.notifications.domain.visits import Site, Visit, VisitStatus

DENVER, NEW_YORK = ZoneInfo("America/Denver"), ZoneInfo("America/New_York")
NOON = datetime(2027, 6, 8, 18, tzinfo=UTC)
NIGHT = datetime(2027, 6, 9, 5, tzinfo=UTC)
"""23:00 in Denver."""
START = datetime(2027, 6, 10, 15, tzinfo=UTC)
EVERY = (Channel.SMS, Channel.VOICE, Channel.EMAIL, Channel.IN_APP)
MOBILE = Point(True, "+15055550123", Use.MOBILE, 2)
HOME = Point(True, "+15055550199", Use.HOME, 1)
MAIL = Point(False, "ana@example.org", Use.ANY, 1)


def message(kind: MessageKind = MessageKind.VISIT_REMINDER, *channels: Channel) -> Taken:
    one = UUID(int=1)
    timing = Timing(Anchor.START, START, -timedelta(hours=48), START)
    site = Site(one, "Harbor Lane", DENVER, "1 Main St", "+15055550100")
    visit = Visit(one, VisitStatus.BOOKED, START, START, telehealth=False)
    return Taken(
        one,
        one,
        kind,
        Status.SCHEDULED,
        0,
        one,
        one,
        DENVER,
        timing,
        channels or EVERY,
        (),
        site,
        visit,
        START,
    )


def contact(*points: Point, permissions: tuple[Permission, ...] = (), related: tuple[Related, ...] = ()) -> Contact:
    return Contact("Ana", "en", False, points, permissions, related)


def told(channel: Channel, purpose: Purpose, permitted: bool, use: Use = Use.ANY) -> Permission:
    return Permission(channel, purpose, use, permitted)


def by(taken: Taken, of: Contact, now: datetime = NOON) -> dict[Channel, str]:
    """Where each channel reaches the recipient, or why it does not."""
    found = ways(taken, of, now)
    return {
        way.channel: way.reason if isinstance(way, PassedOver) else (way.to.value if way.to else "") for way in found
    }


def test_a_reminder_reaches_whoever_forbade_nothing_where_they_read_it_best() -> None:
    assert by(message(), contact(HOME, MOBILE, MAIL)) == {
        Channel.SMS: MOBILE.value,
        Channel.VOICE: MOBILE.value,
        Channel.EMAIL: MAIL.value,
        Channel.IN_APP: "",
    }


def test_without_an_address_a_channel_is_passed_over() -> None:
    found = by(message(), contact())
    assert (found[Channel.SMS], found[Channel.VOICE]) == (Reason.NO_PHONE_NUMBER, Reason.NO_PHONE_NUMBER)
    assert (found[Channel.EMAIL], found[Channel.IN_APP]) == (Reason.NO_EMAIL_ADDRESS, "")


@pytest.mark.parametrize("channel", EVERY)
def test_what_a_patient_forbade_does_not_reach_them(channel: Channel) -> None:
    forbidden = contact(MOBILE, MAIL, permissions=(told(channel, Purpose.APPOINTMENT, False),))
    found = by(message(), forbidden)
    assert [each for each, value in found.items() if value is Reason.NOT_PERMITTED] == [channel]


def test_what_is_said_of_one_use_goes_before_what_is_said_of_all() -> None:
    said = (
        told(Channel.SMS, Purpose.APPOINTMENT, False),
        told(Channel.SMS, Purpose.APPOINTMENT, True, Use.HOME),
    )
    assert by(message(), contact(MOBILE, HOME, permissions=said))[Channel.SMS] == HOME.value


def test_a_bill_is_texted_only_to_whom_permitted_it_and_mailed_to_who_did_not_forbid_it() -> None:
    bill = message(MessageKind.INVOICE_ISSUED, Channel.SMS, Channel.EMAIL)
    assert by(bill, contact(MOBILE, MAIL)) == {Channel.SMS: Reason.NOT_PERMITTED, Channel.EMAIL: MAIL.value}
    permitted = contact(MOBILE, MAIL, permissions=(told(Channel.SMS, Purpose.BILLING, True),))
    assert by(bill, permitted)[Channel.SMS] == MOBILE.value
    of_visits = contact(MOBILE, MAIL, permissions=(told(Channel.SMS, Purpose.APPOINTMENT, True),))
    assert by(bill, of_visits)[Channel.SMS] == Reason.NOT_PERMITTED


def test_a_bill_goes_to_the_guarantor_where_there_is_one() -> None:
    payer = Related(Recipient.PAYER, "", "payer@example.org")
    bill = message(MessageKind.INVOICE_ISSUED, Channel.EMAIL)
    assert by(bill, contact(MAIL, related=(payer,))) == {Channel.EMAIL: "payer@example.org"}
    nowhere = Related(Recipient.PAYER, "", "")
    assert by(bill, contact(MAIL, related=(nowhere,))) == {Channel.EMAIL: MAIL.value}


PARENT = Related(Recipient.PAYER, "+15055550177", "parent@example.org")


@pytest.mark.parametrize("kind", [MessageKind.VISIT_REMINDER, MessageKind.INVOICE_ISSUED])
def test_what_is_about_a_minor_is_told_to_the_guarantor(kind: MessageKind) -> None:
    bills = (told(Channel.SMS, Purpose.BILLING, True),)
    minor = replace(contact(MOBILE, MAIL, permissions=bills, related=(PARENT,)), minor=True)
    found = by(message(kind, Channel.SMS, Channel.EMAIL, Channel.IN_APP), minor)
    assert found == {
        Channel.SMS: "+15055550177",
        Channel.EMAIL: "parent@example.org",
        Channel.IN_APP: Reason.MINORS_INBOX,
    }


def test_what_a_guarantor_cannot_be_reached_by_is_as_of_anybody() -> None:
    minor = replace(contact(MOBILE, MAIL, related=(replace(PARENT, phone=""),)), minor=True)
    assert by(message(MessageKind.VISIT_REMINDER, Channel.SMS, Channel.EMAIL), minor) == {
        Channel.SMS: Reason.NO_PHONE_NUMBER,
        Channel.EMAIL: "parent@example.org",
    }


@pytest.mark.parametrize("kind", [MessageKind.VISIT_REMINDER, MessageKind.INVOICE_ISSUED])
def test_nothing_is_told_of_a_minor_whom_nobody_answers_for(kind: MessageKind) -> None:
    escort = Related(Recipient.COMPANION, "+15055550142", "friend@example.org")
    minor = replace(contact(MOBILE, MAIL, related=(escort,)), minor=True)
    nobody = dict.fromkeys((Channel.SMS, Channel.EMAIL), Reason.NO_GUARANTOR)
    assert by(message(kind, Channel.SMS, Channel.EMAIL), minor) == nobody


def test_a_minor_who_asked_to_be_reached_in_confidence_is_told_themself() -> None:
    minor = replace(contact(MOBILE, MAIL), minor=True, confidential=True)
    assert by(message(MessageKind.VISIT_REMINDER, Channel.SMS, Channel.EMAIL, Channel.IN_APP), minor) == {
        Channel.SMS: MOBILE.value,
        Channel.EMAIL: MAIL.value,
        Channel.IN_APP: "",
    }


def test_a_minors_companion_is_told_as_any() -> None:
    pick_up, yes = message(MessageKind.COMPANION_PICK_UP, Channel.SMS), told(Channel.SMS, Purpose.COMPANION, True)
    escort = Related(Recipient.COMPANION, "+15055550142", "")
    minor = replace(contact(MOBILE, permissions=(yes,), related=(PARENT, escort)), minor=True)
    assert by(pick_up, minor) == {Channel.SMS: "+15055550142"}


def test_a_companion_is_told_only_by_permission_and_never_at_the_patients_own_address() -> None:
    pick_up = message(MessageKind.COMPANION_PICK_UP, Channel.SMS, Channel.EMAIL)
    escort = Related(Recipient.COMPANION, "+15055550142", "friend@example.org")
    permitted = (told(Channel.SMS, Purpose.COMPANION, True),)
    nobody = dict.fromkeys((Channel.SMS, Channel.EMAIL), Reason.NO_COMPANION)
    assert by(pick_up, contact(MOBILE, MAIL, permissions=permitted)) == nobody
    forbidden = dict.fromkeys((Channel.SMS, Channel.EMAIL), Reason.NOT_PERMITTED)
    assert by(pick_up, contact(MOBILE, MAIL, related=(escort,))) == forbidden
    found = by(pick_up, contact(MOBILE, MAIL, permissions=permitted, related=(escort,)))
    assert found == {Channel.SMS: "+15055550142", Channel.EMAIL: Reason.NOT_PERMITTED}


def test_what_rings_keeps_quiet_at_night_in_the_recipients_zone() -> None:
    found = by(message(), contact(MOBILE, MAIL), NIGHT)
    assert (found[Channel.SMS], found[Channel.VOICE]) == (Reason.QUIET_HOURS, Reason.QUIET_HOURS)
    assert (found[Channel.EMAIL], found[Channel.IN_APP]) == (MAIL.value, "")
    evening = datetime(2027, 6, 9, 1, 30, tzinfo=UTC)  # 19:30 in Denver, 21:30 in New York.
    assert by(message(), contact(MOBILE), evening)[Channel.SMS] == MOBILE.value
    assert by(replace(message(), zone=NEW_YORK), contact(MOBILE), evening)[Channel.SMS] == Reason.QUIET_HOURS


def test_an_answer_asks_neither_for_permission_nor_for_the_hour() -> None:
    answer = message(MessageKind.OPT_OUT_CONFIRMED, Channel.SMS)
    forbidden = contact(MOBILE, permissions=(told(Channel.SMS, Purpose.APPOINTMENT, False),))
    assert by(answer, forbidden, NIGHT) == {Channel.SMS: MOBILE.value}


def test_who_permitted_texts_gets_as_many_as_the_chain_says_and_others_as_the_exemption_allows() -> None:
    policy = Policy(courtesy=Cap(4, 9))
    permitted = (told(Channel.SMS, Purpose.APPOINTMENT, True),)
    [consented, *_] = ways(message(), contact(MOBILE, permissions=permitted), NOON)
    [silent, *_] = ways(message(), contact(MOBILE), NOON)
    assert isinstance(consented, Way)
    assert consented.cap(policy) == Cap(4, 9)
    assert isinstance(silent, Way)
    assert silent.cap(policy) == EXEMPT


@pytest.mark.parametrize(
    ("cap", "today", "in_week", "before", "fits"),
    [
        (EXEMPT, 0, 0, 0, True),
        (EXEMPT, 1, 1, 0, False),
        (EXEMPT, 0, 2, 0, True),
        (EXEMPT, 0, 3, 0, False),
        (EXEMPT, 0, 0, 1, False),
        (COURTESY, 1, 6, 0, True),
        (COURTESY, 1, 1, 1, False),
        (COURTESY, 0, 7, 0, False),
    ],
)
def test_a_cap_counts_what_went_out_and_what_comes_first(
    cap: Cap, today: int, in_week: int, before: int, fits: bool
) -> None:
    assert room(cap, today, in_week, before) is fits


def test_a_day_and_a_week_are_the_recipients() -> None:
    """The Sunday on which clocks go forward began at 5:00 UTC in New York; the week before it in winter time, too."""
    found = since(datetime(2027, 3, 15, 3, 59, tzinfo=UTC), NEW_YORK)
    assert found.day == datetime(2027, 3, 14, 5, tzinfo=UTC)
    assert found.week == datetime(2027, 3, 8, 5, tzinfo=UTC)
    assert since(datetime(2027, 3, 15, 4, tzinfo=UTC), NEW_YORK).day == datetime(2027, 3, 15, 4, tzinfo=UTC)


def passed(channel: Channel, reason: Reason, code: str = "") -> PassedOver:
    return PassedOver(channel, reason, code)


def test_a_message_that_only_the_night_holds_up_waits_for_the_morning_if_that_is_in_time() -> None:
    text = message(MessageKind.VISIT_REMINDER, Channel.SMS)
    quiet = [passed(Channel.SMS, Reason.QUIET_HOURS)]
    morning = datetime(2027, 6, 9, 14, tzinfo=UTC)
    assert no_way(text, quiet, NIGHT) == Postpone(morning)
    too_late = replace(text, timing=replace(text.timing, until=morning))
    assert no_way(too_late, quiet, NIGHT) == Settle(Status.SUPPRESSED, Reason.QUIET_HOURS, None, tuple(quiet))


def test_the_reason_is_that_of_the_channel_that_was_wanted_most_or_of_one_that_failed() -> None:
    none = [passed(Channel.SMS, Reason.NOT_PERMITTED), passed(Channel.EMAIL, Reason.NO_EMAIL_ADDRESS)]
    assert no_way(message(), none, NOON) == Settle(Status.SUPPRESSED, Reason.NOT_PERMITTED, None, tuple(none))
    refused = replace(message(), passed_over=(passed(Channel.EMAIL, Reason.REFUSED, "SMTP_550"),))
    assert no_way(refused, none, NOON) == Settle(Status.FAILED, Reason.REFUSED, "SMTP_550", tuple(none))


def test_what_may_be_out_by_one_channel_goes_by_no_other() -> None:
    doubtful = replace(message(MessageKind.VISIT_CONFIRMATION, Channel.SMS, Channel.EMAIL), status=Status.SENDING)
    assert by(doubtful, contact(MOBILE, MAIL), NIGHT) == {Channel.SMS: "QUIET_HOURS"}
    unsure = replace(doubtful, status=Status.SCHEDULED)
    assert set(by(unsure, contact(MOBILE, MAIL), NIGHT)) == {Channel.SMS, Channel.EMAIL}
