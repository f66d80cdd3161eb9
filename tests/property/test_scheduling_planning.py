"""Plans, against a planner that is slow and obviously right, at clinics so small that every course can be tried."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations, product
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import busy
from services.scheduling.domain.courses import Choice, PhasesOutsideProtocol, Taken, Terms
from services.scheduling.domain.hours import DAY, MINUTE, Days, Hours, Shift, Slot, instant
from services.scheduling.domain.planning import (
    PLANS_MAX,
    Calendar,
    Emphasis,
    Place,
    Plan,
    PlanNotFound,
    PlanPreferenceInvalid,
    Tastes,
    Wish,
    fields_of,
    outline,
    plan,
)
from services.scheduling.domain.planning.scores import CHANGE_COST, DAY_COSTS, WEEKDAY_COST
from services.scheduling.domain.planning.search import Search
from services.scheduling.domain.protocols import Phase, Template, VisitType
from services.scheduling.domain.resources import Resource, ResourceKind
from services.scheduling.domain.spacing import gap_of
from services.scheduling.domain.visits import Visit
from tests.property.test_scheduling import ZONES
from tests.support.scheduling import TEMPLATE, bands, domain_template, phase, requirement, segment

SITES = [UUID(int=1), UUID(int=2)]
PATIENT = UUID(int=3)
STAFF = [UUID(int=10 + n) for n in range(3)]
ORIGIN = datetime(2027, 3, 11, tzinfo=UTC)
FIRST, LAST = date(2027, 3, 12), date(2027, 3, 13)  # Clocks change in America on the 14th.
NOW = datetime(2027, 3, 11, 12, tzinfo=UTC)
DONE = 1 << 30

zones = st.sampled_from(ZONES).map(ZoneInfo)
spans = st.lists(
    st.tuples(st.integers(0, 8 * 1440), st.integers(1, 700)).map(lambda each: (each[0], sum(each))), max_size=3
).map(lambda each: [minute for span in each for minute in span])


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Pairs of a nurse and a doctor, then perhaps a talk: after them, or due by them."""
    same = st.sampled_from([False, False, False, True])
    nurse = requirement("nurse", "STAFF", "infusion") | {"same_across_visits": draw(same)}
    doctor = requirement("doctor", "STAFF", "prescriber") | {"same_across_visits": draw(same)}
    pair: dict[str, Any] = {
        "code": "pair",
        "display_name": "Two people",
        "requirements": [nurse, doctor],
        "segments": [
            segment("PREPARATION", 30, nurse=1),
            segment("ADMINISTRATION", 60, nurse=draw(st.integers(1, 2)), doctor=1),
            segment("TURNOVER", 10, nurse=1),
        ],
        "bands": bands(any=0),
        "notice_minutes": draw(st.sampled_from([0, 0, 1500])),
        "grid_minutes": draw(st.sampled_from([0, 20, 60])),
    }
    talk: dict[str, Any] = {
        "code": "talk",
        "display_name": "Talk",
        "requirements": [doctor],
        "segments": [segment("CONSULTATION", 45, doctor=1)],
        "bands": bands(any=0),
        "telehealth": draw(st.booleans()),
        "grid_minutes": draw(st.sampled_from([15, 30])),
    }
    least, most = draw(st.integers(0, 1)), draw(st.integers(1, 3))
    visits = draw(st.integers(1, 3))
    window = draw(st.sampled_from([0, 0, 2, 3, 4]))
    if (visits - 1) * least >= window:
        window = 0
    gaps = (least, draw(st.integers(least, most)), most)
    phases = [phase("induction", "INDUCTION", "pair", (1, visits, 4), gaps, window_days=window)]
    entry: dict[str, Any] = {"entry_gap": {"days_min": 0, "days_preferred": 0, "days_max": draw(st.integers(0, 4))}}
    kind = draw(st.sampled_from(["none", "after", "due"]))
    if kind == "after":
        gaps, its = (1, 1, draw(st.integers(1, 2))), draw(st.sampled_from([{}, entry]))
        phases.append(phase("follow_up", "FOLLOW_UP", "talk", (1, 1, 1), gaps, **its))
    if kind == "due":
        anchor = {
            "phase_code": "induction",
            "months": draw(st.integers(0, 1)),
            "tolerance_days": draw(st.integers(0, 2)),
        }
        phases.append(phase("follow_up", "FOLLOW_UP", "talk", (1, 1, 1), (0, 0, 0), anchor=anchor))
    return domain_template({"routes": TEMPLATE["routes"], "visit_types": [pair, talk], "phases": phases})


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Open two or three hours a day around the change of clocks, with few people who are often taken."""
    opens, length = draw(st.integers(0, 23 * 60)), draw(st.integers(130, 230))
    weekly = tuple(Shift(day, opens, opens + length) for day in range(7))
    abilities = st.sampled_from([{"infusion"}, {"prescriber"}, {"infusion", "prescriber"}, {"infusion", "prescriber"}])
    days_off = st.lists(st.integers(0, 3).map(lambda n: Days(FIRST + n * DAY, FIRST + n * DAY)), max_size=1)
    staff = [
        Resource(
            id, SITES[0], ResourceKind.STAFF, "", frozenset(draw(abilities)), draw(st.integers(1, 2)), (),
            tuple(draw(days_off)),
        )
        for id in STAFF[: draw(st.integers(2, 3))]
    ]  # fmt: skip
    taken = {(each.id, lane): draw(spans) for each in staff for lane in range(each.lane_count)}
    return Calendar(Hours(draw(zones), weekly), tuple(staff), ORIGIN, taken, draw(spans))


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    weekdays = frozenset(draw(st.sets(st.integers(0, 6), max_size=3)))
    bounds = draw(st.sampled_from([(0, 1440)] * 5 + [(90, 1000), (600, 1440)]))
    tastes = Tastes(
        draw(st.sampled_from([(), (0,), (700,), (130, 1200)])),
        weekdays,
        bool(weekdays) and draw(st.booleans()),
        *bounds,
    )
    same = tuple(draw(st.lists(st.sampled_from(["nurse", "doctor"]), max_size=2, unique=True)))
    return Wish("iv", (), FIRST, LAST, tastes, same, draw(st.sampled_from(Emphasis)))


@st.composite
def standing(draw: st.DrawFn) -> list[tuple[str, datetime, dict[str, UUID]]]:
    """Visits of a course that stand: which phase, when, and with whom, kept to the version or not."""
    days = [draw(st.integers(-3, 4))]
    days += [days[0] + n for n in draw(st.sampled_from([(), (), (1,), (2,), (3,), (4,), (1, 3)]))]
    codes = [draw(st.sampled_from(["induction", "induction", "induction", "follow_up"])) for _ in days]
    people = st.permutations(STAFF).map(lambda ids: {"nurse": ids[0], "doctor": ids[1]})
    begins = st.integers(0, 23 * 60).map(lambda minute: minute * MINUTE)
    return [
        (code, datetime.combine(FIRST + n * DAY, datetime.min.time(), UTC) + draw(begins), draw(people))
        for n, code in zip(days, codes, strict=True)
    ]


def visits_that_stand(template: Template, drawn: Sequence[tuple[str, datetime, dict[str, UUID]]]) -> tuple[Visit, ...]:
    """One of each phase that has an anchor."""
    found = dict[object, Visit]()
    for n, (code, start, people) in enumerate(drawn):
        if code in template.order:
            its_type = template.visit_type(template.phase(code).visit_type_code)
            resources = tuple((each.key, people[each.key]) for each in its_type.requirements)
            found[code if template.phase(code).anchor else n] = Visit(
                UUID(int=100 + n), UUID(int=99), SITES[0], PATIENT, code, its_type.code, "iv", "", its_type.telehealth,
                Slot(start, start + its_type.stay), resources,
            )  # fmt: skip
    return tuple(found.values())


PHASES_LEFT = [(), (("induction", 1),), (("induction", 2),), (("follow_up", 1),), (("induction", 1), ("follow_up", 1))]


@settings(max_examples=20, deadline=None)
@given(templates(), st.lists(calendars(), min_size=1, max_size=2), wishes())
def test_the_planner_finds_what_trying_everything_finds(template: Template, there: list[Calendar], wish: Wish) -> None:
    check_against_trying_everything(template, there, wish)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=2_000, deadline=None)
@given(templates(), st.lists(calendars(), min_size=1, max_size=2), wishes())
def test_the_planner_finds_it_in_two_thousand_clinics(template: Template, there: list[Calendar], wish: Wish) -> None:
    check_against_trying_everything(template, there, wish)


@settings(max_examples=40, deadline=None)
@given(templates(), calendars(), wishes(), standing(), st.sampled_from(PHASES_LEFT))
def test_the_planner_finds_what_trying_everything_finds_around_visits_that_stand(
    template: Template, calendar: Calendar, wish: Wish, drawn: Any, phases: tuple[tuple[str, int], ...]
) -> None:
    check_around_visits_that_stand(template, calendar, replace(wish, phases=phases), drawn)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=2_000, deadline=None)
@given(templates(), calendars(), wishes(), standing(), st.sampled_from(PHASES_LEFT))
def test_the_planner_goes_on_with_two_thousand_courses(
    template: Template, calendar: Calendar, wish: Wish, drawn: Any, phases: tuple[tuple[str, int], ...]
) -> None:
    check_around_visits_that_stand(template, calendar, replace(wish, phases=phases), drawn)


def check_around_visits_that_stand(template: Template, calendar: Calendar, wish: Wish, drawn: Any) -> None:
    visits = visits_that_stand(template, drawn)
    stays = [(at - ORIGIN) // MINUTE for each in visits for at in (each.slot.start, each.slot.end)]
    wish, there = replace(wish, visits=visits), replace(calendar, patient=[*calendar.patient, *stays])
    try:
        outline(template, wish)
    except (PhasesOutsideProtocol, PlanPreferenceInvalid):
        return
    check_against_trying_everything(template, [there], wish)


def check_against_trying_everything(template: Template, there: list[Calendar], wish: Wish) -> None:
    places = [Place(id, template, calendar) for id, calendar in zip(SITES, there, strict=False)]
    expected = sorted(cost for place in places for cost in Slow(place, wish).cheapest_by_first_day())[:PLANS_MAX]
    try:
        found = plan(places, wish, NOW)
    except PlanNotFound:
        assert expected == []
        return
    assert [each.cost for each in found.plans] == expected
    by_site = {place.site_id: place for place in places}
    for each in found.plans:
        check_can_be_booked(by_site[each.site_id], each, wish.visits)
        if not wish.visits:
            check_keeps_the_version(by_site[each.site_id], wish, each)


class Slow:
    """Tries every start of every visit with every choice of people."""

    def __init__(self, place: Place, wish: Wish) -> None:
        self.calendar, self.wish, self.template = place.calendar, wish, place.template
        self.zone, self.costs = place.calendar.site.zone, DAY_COSTS[wish.emphasis]
        self.outline = outline(place.template, wish)
        self.types = [place.template.visit_type(each.visit_type_code) for each in self.outline.phases]
        self.starts: dict[tuple[str, date], list[tuple[datetime, list[dict[str, UUID]]]]] = {}
        self.standing = sorted(wish.visits, key=lambda each: each.slot.start)

    def cheapest_by_first_day(self) -> list[int]:
        found = list[int]()
        for n in range((self.wish.latest - self.wish.earliest).days + 1):
            first = self.wish.earliest + n * DAY
            best = min((self.cheapest(first, mains) for mains in self.all_mains()), default=DONE)
            if best < DONE:
                found.append(best + n * self.costs.late)
        return found

    def all_mains(self) -> Iterator[dict[str, UUID]]:
        keys = [each.key for visit_type in self.types for each in visit_type.requirements]
        stood = {key: id for key in {*keys} for id in [self.stood(key)] if id}
        several = [key for key in ("nurse", "doctor") if keys.count(key) > 1 and key not in stood]
        kept = [key for key in several if key in self.hard or key in self.wish.same]
        for chosen in product((each.id for each in self.calendar.resources), repeat=len(kept)):
            yield {**stood, **dict(zip(kept, chosen, strict=True))}

    def stood(self, key: str) -> UUID | None:
        """Who is kept of visits that stand: the first that binds, or the last of those who are there yet."""
        met = [
            (each, dict(visit.resources)[key])
            for visit in self.standing
            for each in self.template.visit_type(visit.visit_type_code).requirements
            if each.key == key
        ]
        if key in self.hard:
            return next((id for each, id in met if each.same_across_visits), None)
        able = {id: each.capabilities for each in self.calendar.resources for id in [each.id]}
        there = [id for each, id in met if each.capability in able.get(id, ())]
        return there[-1] if there and key in self.wish.same else None

    @property
    def hard(self) -> set[str]:
        return {each.key for one in self.types for each in one.requirements if each.same_across_visits}

    def cheapest(self, first: date, mains: Mapping[str, UUID]) -> int:
        return min(self.courses(0, first, mains, []), default=DONE)

    def courses(self, i: int, day: date, mains: Mapping[str, UUID], holds: list[Slot]) -> Iterator[int]:
        """What each course costs from visit `i` on, which is on `day`."""
        chain, visit_type = self.outline.chain, self.types[i]
        before = (chain[i - 1], holds[-1].start) if i else None
        for start, cost in self.options(visit_type, day, mains):
            if holds and start < holds[-1].end:
                continue
            cost += self.gaps(before, (chain[i], start))
            held = [*holds, Slot(start, start + visit_type.length)]
            if cost >= DONE or not self.in_window(held):
                continue
            if i + 1 == len(chain):
                last = self.gaps((chain[i], start), None) + (0 if self.keeps_what_is_due(held) else DONE)
                ways = (last + way for way in self.anchored(0, held, mains) if last < DONE)
            else:
                days = range(13) if self.standing else range(chain[i + 1].gap_days_max + 1)
                onwards = (self.courses(i + 1, day + n * DAY, mains, held) for n in days)
                ways = (min(each, default=DONE) for each in onwards)
            if (best := min(ways, default=DONE)) < DONE:
                yield cost + best

    def gaps(self, one: tuple[Phase, datetime] | None, other: tuple[Phase, datetime] | None) -> int:
        """What the gaps cost from one planned visit to the next, if those that stand in between are there, too."""
        its = self.outline.chain[0]
        if its.anchor:  # Alone: it keeps no gap but that from what it is due by.
            return self.off_due(its, self.day(other[1]), []) if other else 0
        line = [(self.template.phase(each.phase_code), each.slot.start) for each in self.standing]
        between = [
            each
            for each in line
            if not each[0].anchor and (not one or each[1] > one[1]) and (not other or each[1] < other[1])
        ]
        if not between:
            return self.gap(one, other) if one and other else 0
        return (self.gap(one, between[0]) if one else 0) + (self.gap(between[-1], other) if other else 0)

    def gap(self, one: tuple[Phase, datetime], other: tuple[Phase, datetime]) -> int:
        gap, order = (self.day(other[1]) - self.day(one[1])).days, self.template.order
        after = gap_of(self.template.phase(one[0].code), self.template.phase(other[0].code))
        if order[one[0].code] > order[other[0].code] or not after.gap_days_min <= gap <= after.gap_days_max:
            return DONE
        return self.costs.gap * abs(gap - after.gap_days_preferred)

    def in_window(self, holds: Sequence[Slot]) -> bool:
        """As far as the course is planned."""
        for its in self.template.phases:
            planned, stood = self.days_of(its.code, holds), self.stood_on(its.code)
            days = planned + stood
            if planned and its.window_days and (max(days) - min(days)).days >= its.window_days:
                return False
        return True

    def keeps_what_is_due(self, holds: Sequence[Slot]) -> bool:
        """Those that stand and are due by a visit that is planned: the last of its phase, be it by an hour."""
        for visit in self.standing:
            anchor = self.template.phase(visit.phase_code).anchor
            planned = self.starts_of(anchor.phase_code, holds) if anchor else []
            stood = [each.slot.start for each in self.standing if anchor and each.phase_code == anchor.phase_code]
            if anchor and planned and max(planned) == max(planned + stood):
                first, last = anchor.days(self.day(max(planned)))
                if not first <= self.day(visit.slot.start) <= last:
                    return False
        return True

    def days_of(self, code: str, holds: Sequence[Slot]) -> list[date]:
        return [self.day(start) for start in self.starts_of(code, holds)]

    def starts_of(self, code: str, holds: Sequence[Slot]) -> list[datetime]:
        """Of a phase's visits, those that are planned."""
        return [hold.start for its, hold in zip(self.outline.chain, holds, strict=False) if its.code == code]

    def stood_on(self, code: str) -> list[date]:
        return [self.day(each.slot.start) for each in self.standing if each.phase_code == code]

    def anchored(self, n: int, holds: list[Slot], mains: Mapping[str, UUID]) -> Iterator[int]:
        if n == len(self.outline.beside):
            yield 0
            return
        its, visit_type = self.outline.beside[n], self.types[len(self.outline.chain) + n]
        planned = self.days_of(its.anchor.phase_code, holds) if its.anchor else []
        for k in range(50):
            day = FIRST + k * DAY
            off = self.off_due(its, day, planned)
            for start, cost in self.options(visit_type, day, mains) if off < DONE else ():
                hold = Slot(start, start + visit_type.length)
                if not any(hold.overlaps(other) for other in holds):
                    yield from (cost + off + rest for rest in self.anchored(n + 1, [*holds, hold], mains))

    def off_due(self, its: Phase, day: date, planned: Sequence[date]) -> int:
        assert its.anchor
        last = max([*planned, *self.stood_on(its.anchor.phase_code)])
        first_day, last_day = its.anchor.days(last)
        return self.costs.gap * abs((day - its.anchor.due(last)).days) if first_day <= day <= last_day else DONE

    def day(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def options(self, visit_type: VisitType, day: date, mains: Mapping[str, UUID]) -> Iterator[tuple[datetime, int]]:
        """Starts of the day, each with what it costs by itself."""
        if (visit_type.code, day) not in self.starts:
            self.starts[visit_type.code, day] = list(self.possible(visit_type, day))
        for start, teams in self.starts[visit_type.code, day]:
            changes = [
                sum(id != mains.get(key, id) for key, id in team.items())
                for team in teams
                if all(team.get(key, mains.get(key)) == mains.get(key) for key in self.hard if key in mains)
            ]
            if changes:
                yield start, self.taste(start) + CHANGE_COST * min(changes)

    def taste(self, start: datetime) -> int:
        wall, tastes = start.astimezone(self.zone), self.wish.tastes
        cost = WEEKDAY_COST if tastes.weekdays and wall.weekday() not in tastes.weekdays else 0
        minute = wall.hour * 60 + wall.minute
        return cost + min((abs(minute - each) for each in tastes.minutes_of_day), default=0)

    def possible(self, visit_type: VisitType, day: date) -> Iterator[tuple[datetime, list[dict[str, UUID]]]]:
        tastes, midnight = self.wish.tastes, instant(self.zone, day, 0)
        if tastes.weekdays_only and day.weekday() not in tastes.weekdays:
            return
        for fives in range(26 * 12):
            start = midnight + fives * 5 * MINUTE
            wall = start.astimezone(self.zone)
            on_grid = wall.minute % visit_type.grid == 0
            wished = tastes.start_from <= wall.hour * 60 + wall.minute <= tastes.start_until
            fits = wall.date() == day and on_grid and wished and self.free(visit_type, start)
            if fits and (teams := list(self.teams(visit_type, start))):
                yield start, teams

    def free(self, visit_type: VisitType, start: datetime) -> bool:
        if start < NOW + timedelta(minutes=visit_type.notice_minutes):
            return False
        hold = Slot(start, start + visit_type.length)
        stay = Slot(start, start + visit_type.stay)
        at_site = visit_type.telehealth or self.calendar.site.hold(hold)
        return at_site and not any(slot.overlaps(stay) for slot in slots(self.calendar.patient))

    def teams(self, visit_type: VisitType, start: datetime) -> Iterator[dict[str, UUID]]:
        keys = [(each.key, each.capability) for each in visit_type.requirements]
        for chosen in permutations(self.calendar.resources, len(keys)):
            if all(
                capability in resource.capabilities and self.can_serve(visit_type, resource, key, start)
                for (key, capability), resource in zip(keys, chosen, strict=True)
            ):
                yield {key: each.id for (key, _), each in zip(keys, chosen, strict=True)}

    def can_serve(self, visit_type: VisitType, resource: Resource, key: str, start: datetime) -> bool:
        hours = resource.hours(self.calendar.site)
        for need in visit_type.needs[key]:
            slot = Slot(start + need.start * MINUTE, start + need.end * MINUTE)
            taken = (slots(self.calendar.taken[resource.id, lane]) for lane in range(resource.lane_count))
            free = [lane for lane in taken if not any(each.overlaps(slot) for each in lane)]
            if len(free) < need.lane_count or not hours.hold(slot):
                return False
        return True


def slots(flat: Sequence[int]) -> list[Slot]:
    return slots_from(ORIGIN, flat)


def slots_from(origin: datetime, flat: Sequence[int]) -> list[Slot]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Slot(origin + start * MINUTE, origin + end * MINUTE) for start, end in pairs]


def check_can_be_booked(place: Place, found: Plan, standing: Sequence[Visit] = ()) -> None:
    """BookCourse takes the plan as it is."""
    calendar, resources = place.calendar, {each.id: each for each in place.calendar.resources}
    terms = Terms(calendar.site, UUID(int=9), place.template, resources, None, PATIENT, frozenset({PATIENT}))
    taken = [
        Taken(id, lane, slot)
        for (id, lane), flat in calendar.taken.items()
        for slot in slots_from(calendar.origin, flat)
    ]
    taken += [Taken(PATIENT, 0, slot) for slot in slots_from(calendar.origin, calendar.patient)]
    choices = [Choice(each.phase_code, each.slot.start, each.resources) for each in found.visits]
    layouts = terms.lay_out("iv", choices, NOW, standing)
    assert [layout.stay for layout in layouts] == [each.slot for each in found.visits]
    assert len(terms.place(PATIENT, choices, layouts, taken)) == len(found.visits)


def check_keeps_the_version(place: Place, wish: Wish, found: Plan) -> None:
    zone = place.calendar.site.zone
    days: dict[str, list[date]] = {}
    used: dict[str, set[UUID]] = {}
    for visit in found.visits:
        days.setdefault(visit.phase_code, []).append(visit.slot.start.astimezone(zone).date())
        for key, id in visit.resources:
            used.setdefault(key, set()).add(id)
        notice = place.template.visit_type(visit.visit_type_code).notice
        assert visit.slot.start >= NOW + notice
    for phase_code, its_days in days.items():
        its_phase = place.template.phase(phase_code)
        if its_phase.window_days:
            assert (its_days[-1] - its_days[0]).days < its_phase.window_days
        if its_phase.anchor:
            first, last = its_phase.anchor.days(days[its_phase.anchor.phase_code][-1])
            assert first <= its_days[0] <= last
    types = [place.template.visit_type(each.visit_type_code) for each in found.visits]
    for key in {each.key for one in types for each in one.requirements if each.same_across_visits}:
        assert len(used[key]) == 1


@settings(max_examples=40, deadline=None)
@given(templates(), calendars(), wishes(), st.integers(0, 2))
def test_a_plan_is_worth_the_same_whatever_the_order_of_the_resources(
    template: Template, calendar: Calendar, wish: Wish, turn: int
) -> None:
    turned = replace(calendar, resources=calendar.resources[turn:] + calendar.resources[:turn])
    try:
        found = plan([Place(SITES[0], template, calendar)], wish, NOW).plans
    except PlanNotFound:
        return
    again = plan([Place(SITES[0], template, turned)], wish, NOW).plans
    assert [each.cost for each in found] == [each.cost for each in again]


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(), ("nurse",), ("nurse", "room")]), st.sampled_from(Emphasis))
def test_at_a_large_busy_clinic_every_plan_can_be_booked(seed: int, same: tuple[str, ...], emphasis: Emphasis) -> None:
    place = busy.place(8, 12, seed=seed)
    wish = replace(busy.wish(), same=same, emphasis=emphasis, tastes=Tastes((14 * 60,), frozenset({1, 3})))
    found = plan([place], wish, busy.NOW)
    assert found.proven
    assert [each.cost for each in found.plans] == sorted(each.cost for each in found.plans)
    assert len({each.visits[0].slot.start.date() for each in found.plans}) == len(found.plans)
    for each in found.plans:
        check_can_be_booked(place, each)
        check_keeps_the_version(place, wish, each)


def steps(place: Place, wish: Wish) -> tuple[int, int]:
    """Numbers of rows, and bits of what is free."""
    [field] = fields_of([place], wish, busy.NOW)
    Search([field]).found()
    lanes = sum(each.lane_count for each in place.calendar.resources)
    return field.steps, field.cells.count * lanes


def test_the_work_grows_no_faster_than_the_days_and_the_resources() -> None:
    """Counted, not timed."""
    short = replace(busy.wish(), latest=busy.FIRST + 29 * DAY)
    long = replace(busy.wish(), latest=busy.FIRST + 89 * DAY)
    place = busy.place(4, 6, days=130)
    days = [len(fields_of([place], wish, busy.NOW)[0].cells.days) for wish in (short, long)]
    (few_steps, few_bits), (many_steps, many_bits) = (steps(place, wish) for wish in (short, long))
    assert many_steps / few_steps <= 1.1 * days[1] / days[0]
    assert many_bits / few_bits <= 1.1 * days[1] / days[0]
    large = busy.place(16, 24, days=130)
    assert steps(large, short)[0] <= 1.1 * few_steps
    assert steps(large, short)[1] == 4 * few_bits
    kept = replace(short, same=("nurse",))
    assert steps(large, kept)[0] <= 1.1 * 4 * steps(place, kept)[0]


def test_few_of_all_pairs_of_a_nurse_and_a_room_are_reckoned() -> None:
    place = busy.place(16, 24)
    kept = replace(busy.wish(), same=("nurse", "room"))
    assert steps(place, kept)[0] <= 16 * 16 / 4 * steps(place, busy.wish())[0]
