"""What is found for whoever waits is what a hold takes, day by day, whatever visits the course has."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import DomainError
from services.scheduling.domain.courses import Choice, Clearance, Course, Terms
from services.scheduling.domain.hours import DAY, Hours, Shift, Slot
from services.scheduling.domain.planning import Between, Calendar, Place
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.domain.visits import Status, Visit
from services.scheduling.domain.waitlist import OFFER_TIME_MIN, Entry, Look
from tests.support.scheduling import DENVER, domain_template, local

SITE, ROOM, NURSE, PATIENT, ID = (UUID(int=n) for n in range(1, 6))
NOW, ORIGIN = local(3, 1, 7), datetime(2027, 2, 28, tzinfo=UTC)
FIRST, DAYS, HALF_HOUR = date(2027, 3, 2), 20, timedelta(minutes=30)
RESOURCES = (
    Resource(ROOM, SITE, ResourceKind.ROOM, "", frozenset(), 1),
    Resource(NURSE, SITE, ResourceKind.STAFF, "", frozenset({"infusion"}), 2),
)
HOURS = Hours(DENVER, tuple(Shift(day, 10 * 60, 12 * 60) for day in range(5)))


def visit(n: int, start: datetime, status: Status) -> Visit:
    slot, resources = Slot(start, start + timedelta(minutes=80)), (("nurse", NURSE), ("room", ROOM))
    names = ("induction", "treatment", "iv", "short")
    return Visit(UUID(int=100 + n), ID, SITE, PATIENT, *names, False, slot, resources, status)


@given(
    gaps=st.lists(st.integers(2, 5), max_size=4),
    missing=st.sets(st.integers(0, 4)),
    cleared=st.tuples(st.integers(0, DAYS), st.integers(0, DAYS)),
)
def test_on_each_day_something_is_found_just_if_a_hold_would_be_let_through(
    gaps: list[int], missing: set[int], cleared: tuple[int, int]
) -> None:
    starts, visits = [local(3, 3, 10)], list[Visit]()
    for gap in gaps:
        starts.append(starts[-1] + gap * DAY)
    for n, start in enumerate(starts):
        visits.append(visit(n, start, Status.CANCELLED if n in missing else Status.BOOKED))
    clearance = Clearance(frozenset({"iv"}), FIRST + min(cleared) * DAY, FIRST + max(cleared) * DAY)
    by_id = {each.id: each for each in RESOURCES}
    terms = Terms(HOURS, UUID(int=9), domain_template(), by_id, [clearance], PATIENT, frozenset({PATIENT}))
    course = Course(ID, SITE, PATIENT, UUID(int=8), "iv", NOW, tuple(visits))
    taken = [each for visit in course.standing(NOW) for each in (visit.slot.start, visit.slot.end)]
    calendar = Calendar(HOURS, RESOURCES, ORIGIN, {}, [(at - ORIGIN) // timedelta(minutes=1) for at in taken])
    entry = Entry(
        ID, SITE, PATIENT, UUID(int=8), ID, "induction", "", "iv", Between(FIRST, FIRST + DAYS * DAY), frozenset(),
        0, 24 * 60, 0, NOW,
    )  # fmt: skip
    look = Look(entry, terms, Place(SITE, terms.template, calendar), course, (), NOW)
    found = {terms.day(each.slot) for each in look.openings()}
    taking = [day for day in (FIRST + n * DAY for n in range(DAYS + 1)) if held(terms, course, day)]
    assert found == set(taking[:10])


def held(terms: Terms, course: Course, day: date) -> bool:
    """Whether a hold of any start of the day would be let through."""
    standing = course.standing(NOW)
    for n in range(2):
        start = local(day.month, day.day, 10) + n * HALF_HOUR
        choice = Choice("induction", start, (("nurse", NURSE), ("room", ROOM)))
        stay = Slot(start, start + timedelta(minutes=80))
        if start < NOW + OFFER_TIME_MIN or any(stay.overlaps(each.slot) for each in standing):
            continue
        try:
            terms.check_gates("iv", terms.lay_out("iv", [choice], NOW, standing))
        except DomainError:
            continue
        return True
    return False
