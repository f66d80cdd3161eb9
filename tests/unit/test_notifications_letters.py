"""An email as its readers' programs take it apart: text, HTML, invitation, and its head."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar, Event

from services.notifications.channels.email import Invitation, Letter, compose

DENVER = ZoneInfo("America/Denver")
INVITATION = Invitation(
    uid="visit_01@example.org",
    sequence=0,
    start=datetime(2027, 3, 15, 14, 5, tzinfo=DENVER),
    end=datetime(2027, 3, 15, 15, 35, tzinfo=DENVER),
    summary="Harbor Lane",
    location="1 Main St, Albuquerque, NM 87101; behind the house",
)
SMUGGLED = "x\r\nATTENDEE:mailto:x@example.org"
LETTER = Letter(
    sender="notices@example.org",
    sender_name="Harbor Lane",
    recipient="ana@example.org",
    subject="Reservado: Harbor Lane, miércoles",
    text="Hola, Ana:\n\nEl miércoles.\n",
    message_id="message_01",
    language="es",
    written=datetime(2027, 3, 1, 16, tzinfo=UTC),
    html="<p>El miércoles.</p>\n",
    invitation=INVITATION,
)


def received(letter: Letter) -> EmailMessage:
    mail = message_from_bytes(compose(letter).content, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def invited(letter: Letter) -> tuple[str, Event]:
    """The method that the part names, and its one event."""
    [part] = [part for part in received(letter).walk() if part.get_content_type() == "text/calendar"]
    calendar = Calendar.from_ical(part.get_content())
    [event] = calendar.walk("VEVENT")
    assert str(calendar["METHOD"]) == part.get_param("method")
    assert str(calendar["VERSION"]) == "2.0"
    assert isinstance(event, Event)
    return str(calendar["METHOD"]), event


def test_a_letter_is_text_html_and_invitation_the_best_last() -> None:
    mail = received(LETTER)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html", "text/calendar"]
    plain, html, _ = mail.iter_parts()
    assert plain.get_content().splitlines() == ["Hola, Ana:", "", "El miércoles."]
    assert html.get_content().splitlines() == ["<p>El miércoles.</p>"]
    assert mail["Content-Language"] == "es"
    assert mail["Subject"] == "Reservado: Harbor Lane, miércoles"


def test_a_letter_crosses_every_server() -> None:
    raw = compose(replace(LETTER, html="<p>" + "á" * 5000 + "</p>")).content
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) <= 998  # RFC 5322, 2.1.1.


def test_a_letter_without_either_is_text_alone() -> None:
    mail = received(replace(LETTER, html=None, invitation=None))
    assert mail.get_content_type() == "text/plain"
    assert mail["Content-Language"] == "es"


def test_an_invitation_is_a_visit_at_its_instant_with_the_discreet_name_alone() -> None:
    method, event = invited(LETTER)
    assert method == "REQUEST"
    assert event.decoded("dtstart") == datetime(2027, 3, 15, 20, 5, tzinfo=UTC)
    assert event.decoded("dtend") == datetime(2027, 3, 15, 21, 35, tzinfo=UTC)
    assert event.decoded("dtstamp") == LETTER.written
    said = {name: str(event[name]) for name in ("UID", "SEQUENCE", "SUMMARY", "LOCATION", "STATUS", "CLASS")}
    assert said == {
        "UID": "visit_01@example.org",
        "SEQUENCE": "0",
        "SUMMARY": "Harbor Lane",
        "LOCATION": "1 Main St, Albuquerque, NM 87101; behind the house",
        "STATUS": "CONFIRMED",
        "CLASS": "PRIVATE",
    }
    assert set(event) == set(said) | {"DTSTART", "DTEND", "DTSTAMP", "ORGANIZER", "ATTENDEE"}


def test_an_invitation_names_nobody() -> None:
    _, event = invited(LETTER)
    assert str(event["ATTENDEE"]) == "mailto:ana@example.org"
    assert dict(event["ATTENDEE"].params) == {"RSVP": "FALSE"}
    assert (str(event["ORGANIZER"]), event["ORGANIZER"].params["CN"]) == ("mailto:notices@example.org", "Harbor Lane")


def test_a_visit_that_moves_or_is_off_is_the_same_in_a_later_sequence() -> None:
    moved = replace(INVITATION, sequence=1, start=datetime(2027, 3, 16, 9, tzinfo=DENVER))
    method, event = invited(replace(LETTER, invitation=moved))
    assert (method, str(event["UID"]), event["SEQUENCE"]) == ("REQUEST", INVITATION.uid, 1)
    off = replace(moved, sequence=2, cancelled=True)
    method, event = invited(replace(LETTER, invitation=off))
    assert (method, str(event["UID"]), event["SEQUENCE"]) == ("CANCEL", INVITATION.uid, 2)
    assert str(event["STATUS"]) == "CANCELLED"


def test_a_visit_in_the_hour_that_occurs_twice_is_at_the_right_one() -> None:
    starts = [datetime(2027, 11, 7, 1, 30, fold=fold, tzinfo=DENVER) for fold in (0, 1)]
    found = [invited(replace(LETTER, invitation=replace(INVITATION, start=start)))[1] for start in starts]
    assert [event.decoded("dtstart").hour for event in found] == [7, 8]


@pytest.mark.parametrize("field", ["summary", "location", "uid"])
def test_nothing_smuggles_a_line_into_an_invitation(field: str) -> None:
    letter = replace(LETTER, invitation=replace(INVITATION, **{field: SMUGGLED}))  # type: ignore[arg-type]
    _, event = invited(letter)
    assert str(event["ATTENDEE"]) == "mailto:ana@example.org"


@pytest.mark.parametrize("address", ["https://example.org/u/abc", "mailto:out@example.org?subject=stop"])
def test_a_letter_that_nobody_needs_says_how_to_have_no_more(address: str) -> None:
    assert received(replace(LETTER, unsubscribe=address))["List-Unsubscribe"] == f"<{address}>"
    assert received(LETTER)["List-Unsubscribe"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "x\r\nBcc: x@example.org"},
        {"subject": "x\nBcc: x@example.org"},
        {"sender_name": "x\r\nBcc: x@example.org"},
        {"language": "es\r\nBcc: x@example.org"},
        {"message_id": "x\r\nBcc: x@example.org"},
        {"unsubscribe": "https://example.org/\r\nBcc: x@example.org"},
        {"unsubscribe": "https://example.org/>, <https://example.com/"},
        {"unsubscribe": "javascript:x"},
    ],
)
def test_nothing_smuggles_a_line_into_the_head(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(replace(LETTER, **change))  # type: ignore[arg-type]
