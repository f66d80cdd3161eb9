"""Words that a template is tried with: of a preview, and the longest and shortest that it has to get along with."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.notifications.wording.words import Words

"""Characters of a site's name with which a text must be within its length; a longer one is shortened when sent."""
_DENVER, _JUNEAU = ZoneInfo("America/Denver"), ZoneInfo("America/Juneau")

SAMPLE = Words(
    given_name="Alex",
    site_name="Harbor Lane",
    phone="+15055550100",
    address="1 Main St, Albuquerque, NM 87101",
    start=datetime(2027, 3, 15, 14, 5, tzinfo=_DENVER),
    end=datetime(2027, 3, 15, 15, 35, tzinfo=_DENVER),
    until=datetime(2027, 3, 15, 11, 30, tzinfo=_DENVER),
    instructions=("Have somebody drive you home.",),
    amount="$590.00",
    due_date=date(2027, 3, 31),
    document="A-1042",
    link="https://example.org/x/sample",
    text="We are closed on Monday because of snow.",
    news=("You have an appointment on Monday, March 15, 2027, at 2:05 PM MDT.", "You have a new invoice."),
)
LONG = replace(
    SAMPLE,
    site_name="Harbor Lane of Old Town, North",
    start=datetime(2027, 9, 22, 12, 55, tzinfo=_JUNEAU),
    end=datetime(2027, 9, 22, 14, 55, tzinfo=_JUNEAU),
    until=datetime(2027, 9, 22, 10, 55, tzinfo=_JUNEAU),
    amount="$12,345.00",
    due_date=date(2027, 9, 22),
    link="https://www.example.org/x/0123456789abcd",
    text="We are closed on Wednesday because of snow. We will call you.",
)
SHORT = replace(
    SAMPLE,
    online=True,
    end=None,
    instructions=(),
    amount=None,
    due_date=None,
    document=None,
    link=None,
    text="Closed.",
    news=("You have a new invoice.",),
)


def trials(words: Words) -> Iterator[Words]:
    """`words`, and the others that a template must get along with."""
    held_back = ("Stop eating six hours before your infusion.",)
    yield words
    yield replace(words, instructions=held_back)
    yield replace(words, instructions=held_back, may_name_treatment=True, attached=True)
    yield SHORT
