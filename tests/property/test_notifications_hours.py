"""Whatever the zone, the visit and the hour of booking: no message comes at a bad hour that could come at a good."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.notifications.domain.cadence import Timing, due
from services.notifications.domain.kinds import Anchor

ZONES = st.sampled_from(
    [
        "America/New_York", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
        "Pacific/Honolulu", "America/Puerto_Rico", "Pacific/Guam", "Asia/Kathmandu", "Australia/Lord_Howe",
        "America/Havana", "UTC",
    ]
).map(ZoneInfo)  # fmt: skip
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Bounds.
LEADS = st.timedeltas(timedelta(minutes=1), timedelta(days=60))
DAY = timedelta(hours=24)


def decent(instant: datetime, zone: ZoneInfo) -> bool:
    return time(8) <= instant.astimezone(zone).time() < time(20)


@given(ZONES, INSTANTS, LEADS)
def test_a_reminder_comes_at_a_decent_hour_and_no_later_than_48_hours_before_unless_that_has_passed(
    zone: ZoneInfo, now: datetime, lead: timedelta
) -> None:
    start = now + lead
    reminder = due(Timing(Anchor.START, start, -timedelta(hours=48), start), zone, now)
    wanted = start - timedelta(hours=48)
    if reminder > now:
        assert decent(reminder, zone)
        assert wanted - DAY < reminder <= wanted
        assert (reminder == wanted) == decent(wanted, zone)
    else:
        assert reminder == now
        assert wanted < now or not decent(wanted, zone)


@given(ZONES, INSTANTS, LEADS)
def test_a_confirmation_comes_at_the_first_decent_hour_unless_the_visit_is_before_it(
    zone: ZoneInfo, now: datetime, lead: timedelta
) -> None:
    confirmation = due(Timing(Anchor.BOOKED, now, timedelta(), now + lead), zone, now)
    if confirmation > now:
        assert decent(confirmation, zone)
        assert not decent(now, zone)
        assert not any(decent(now + timedelta(minutes=n), zone) for n in range(int((confirmation - now).seconds / 60)))
        assert confirmation < now + lead
    else:
        assert confirmation == now
        assert decent(now, zone) or not any(
            decent(now + timedelta(minutes=n), zone) for n in range(int(min(lead, DAY).total_seconds() / 60))
        )
