"""What may be offered to whom, and for how long: without anything outside the process."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduling.domain.hours import DAY
from services.scheduling.domain.waitlist import (
    AFTER,
    OFFER_TIME,
    EntryStatus,
    Outcome,
    accept_until,
    offers_are_made,
)
from tests.support.scheduling import DENVER, local

NOW = local(3, 1, 12)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("ahead", "notice", "lasts"), [(DAY, 0, 2), (4 * HOUR, 2, 2), (3 * HOUR, 2, 1), (HOUR, 0, 1)])
def test_an_offer_lasts_two_hours_but_not_beyond_the_notice(ahead: timedelta, notice: int, lasts: int) -> None:
    assert accept_until(NOW, NOW + ahead, notice * HOUR) == NOW + lasts * HOUR
    assert OFFER_TIME == 2 * HOUR


@pytest.mark.parametrize(
    ("month", "day", "hour", "minute", "made"),
    [
        (3, 1, 7, 59, False),
        (3, 1, 8, 0, True),
        (3, 1, 19, 59, True),
        (3, 1, 20, 0, False),
        (3, 14, 8, 0, True),  # The day on which clocks are put forward.
        (3, 14, 7, 59, False),
    ],
)
def test_offers_are_made_by_the_clocks_of_the_site(month: int, day: int, hour: int, minute: int, *, made: bool) -> None:
    assert offers_are_made(local(month, day, hour, minute), DENVER) is made


def test_another_site_has_another_day() -> None:
    assert not offers_are_made(local(3, 1, 8), ZoneInfo("America/Los_Angeles"))


def test_who_lets_an_offer_go_waits_on_and_who_takes_or_leaves_does_not() -> None:
    waiting = {outcome for outcome, status in AFTER.items() if status is EntryStatus.WAITING}
    assert waiting == {Outcome.DECLINED, Outcome.EXPIRED}
    assert AFTER.keys() == set(Outcome)
