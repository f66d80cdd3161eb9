"""Why no plan was found: what is lacking, of whom, on which days and at which times."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.planning.owns import NEVER
from services.scheduling.domain.planning.paths import Field, Paths
from services.scheduling.domain.planning.search import kept_keys

DAYS_NAMED_MAX = 10
TEXTS = {
    "NOBODY_FREE": "none that could meet it is there and free",
    "PATIENT_TAKEN": "the patient has other visits",
    "SITE_CLOSED": "the site is closed whenever the visit might be",
    "IN_PAST": "all is past, or within the visit's notice,",
    "NOT_WISHED": "the request allows no start",
    "NO_COMMON_TIME": "each need is met, but never all at once",
    "NOT_THE_SAME": "must be the same at all visits, and none is there and free for all of them",
    "OUTSIDE_WINDOW": "its visits do not fit into the days that the phase may take",
    "ANCHOR_NOT_REACHED": "has no place on the days on which it is due",
    "OUTSIDE_SPACING": "does not keep order, gaps, window and anchor to the course's other visits",
}
"""What is said of each rule, of some days or of all."""
RULES = {"start_time": "IN_PAST", "patient": "PATIENT_TAKEN", "site": "SITE_CLOSED"}


At = tuple[int, int]
"""Section and day."""


class PlanNotFound(DomainError):
    kind, reason, message = Kind.CONFLICT, "PLAN_NOT_FOUND", "the course does not fit into the calendar"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that a phase's next visit lacks."""

    phase_code: str
    need: str
    """The key of a requirement, "patient", "site" or "start_time"; empty: all are there, but never together."""
    rule: str
    days: tuple[date, ...]
    weekdays: tuple[int, ...] = ()
    """Those, 0 being Monday, of which every day that was looked at is among `days`, if not all weekdays are."""
    first_minute: int = 0
    """Of the starts that were possible otherwise on these days: minutes of the day of the earliest and latest."""
    last_minute: int = 0

    @property
    def field(self) -> str:
        return f"{self.phase_code}.{self.need}" if self.need else self.phase_code

    @property
    def text(self) -> str:
        names = ", ".join(day.isoformat() for day in self.days[:DAYS_NAMED_MAX])
        more = len(self.days) - DAYS_NAMED_MAX
        on_days = f" on {names}" if names else ""
        return TEXTS[self.rule] + on_days + (f" and {more} more days" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Impasse:
    """How far the course gets, and what its next visit lacks."""

    visit: int
    first_day: date | None
    last_day: date | None
    obstacles: tuple[Obstacle, ...]

    def error(self, site_id: UUID) -> PlanNotFound:
        """Of a site: others may lack other things."""
        ends = {"first_day": self.first_day, "last_day": self.last_day} if self.first_day else {}
        violations = (Violation(each.field, each.rule, each.text) for each in self.obstacles)
        return PlanNotFound(*violations, visit=self.visit, site_id=to_wire("site", site_id), **ends)


def impasse(field: Field) -> Impasse:
    """Follows the course as far as it goes; then tells what each day lacks on which the next visit might be."""
    chain, reached = field.outline.chain, dict[At, int]()
    for i in range(len(chain)):
        ahead = _ahead(field, i, reached)
        if not ahead:
            return _out_of_spacing(field, i)
        reached = dict(_reach(field, i, ahead))
        if not reached:
            return _impasse(field, i, sorted({day for _, day in ahead}))
    if not any(field.sections[i][number].leave[day] < NEVER for number, day in reached):
        return _out_of_spacing(field, i)
    for n in range(len(field.outline.beside)):
        visit = len(chain) + n
        due = sorted({day for last in range(field.chain_days) for day in _due(field, n, last)})
        if not due:
            return _out_of_spacing(field, visit)
        if not any(field.words(visit, {})[day] for day in due):
            return _impasse(field, visit, due)
    return Impasse(len(field.types) - 1, None, None, tuple(_between_visits(field)))


def _ahead(field: Field, i: int, before: Mapping[At, int]) -> dict[At, int]:
    """Where visit `i` may be by its gaps, each with the cell from which on: next to one that is planned or stands."""
    phase, sections, found = field.outline.chain[i], field.sections[i], dict[At, int]()
    for (number, day), start in before.items():
        for gap in range(phase.gap_days_min, phase.gap_days_max + 1):
            if day + gap < field.chain_days and number in sections:
                release, at = start + field.length(i - 1), (number, day + gap)
                found[at] = min(release, found.get(at, release))
    left = [number for number, day in before if field.sections[i - 1][number].leave[day] < NEVER]
    for number, section in sections.items():
        if i == 0 or any(each < number for each in left):
            within = field.cells.by_day(section.cells)
            days = (day for day, word in enumerate(within if i else within[: field.first_days]) if word)
            found |= {(number, day): 0 for day in days if section.enter[day] < NEVER}
    anywhere = field.words(i, {})
    return {at: since for at, since in found.items() if _words(field, i, at[0])[at[1]] or not anywhere[at[1]]}


def _words(field: Field, i: int, number: int) -> Sequence[int]:
    """The starts of visit `i` in a section, by day."""
    return field.words(i, {}, field.sections[i][number].closed)


def _reach(field: Field, i: int, ahead: Mapping[At, int]) -> Iterator[tuple[At, int]]:
    """Those of them that visit `i` can be at, each with its earliest start."""
    midnights = field.cells.midnights
    for (number, day), release in sorted(ahead.items()):
        early = max(0, release - midnights[day])
        if later := _words(field, i, number)[day] >> early:
            yield (number, day), midnights[day] + early + (later & -later).bit_length() - 1


def _out_of_spacing(field: Field, visit: int) -> Impasse:
    days = field.cells.days[: field.first_days] if visit == 0 else ()
    first, last = (days[0], days[-1]) if days else (None, None)
    return Impasse(
        visit, first, last, (Obstacle(field.outline.phases[visit].code, "", "OUTSIDE_SPACING", tuple(days)),)
    )


def _due(field: Field, n: int, last: int) -> range:
    due = field.due(n, last)
    return range(max(0, due.first), min(due.last + 1, len(field.cells.days)))


def _impasse(field: Field, visit: int, days: Sequence[int]) -> Impasse:
    first, last = (field.cells.days[days[0]], field.cells.days[days[-1]]) if days else (None, None)
    return Impasse(visit, first, last, tuple(_lacking(field, visit, days)))


def _lacking(field: Field, visit: int, days: Sequence[int]) -> Iterator[Obstacle]:
    """What each day lacks while the site is open, most days first; then the days that lack nothing but one time."""
    starts, lacking = field.starts(visit), dict[tuple[str, str], list[int]]()
    by_need = dict(starts.by_need)
    unwished = field.cells.by_day(starts.possible)
    lacking["start_time", "NOT_WISHED"] = [day for day in days if not unwished[day]]
    wished = [day for day in days if unwished[day]]
    during = starts.possible & by_need.pop("site", -1)
    while_open = field.cells.by_day(during)
    lacking["site", "SITE_CLOSED"] = [day for day in wished if not while_open[day]]
    open_days = [day for day in wished if while_open[day]]
    for need, bits in by_need.items():
        words = field.cells.by_day(bits & during)
        lacking[need, RULES.get(need, "NOBODY_FREE")] = [day for day in open_days if not words[day]]
    for (need, rule), without in sorted(lacking.items(), key=lambda each: -len(each[1])):
        if without:
            asked = unwished if need == "site" else while_open
            yield _obstacle(field, visit, (need, rule), without, days, asked)
    if together := sorted(set(days).difference(*lacking.values())):
        yield _obstacle(field, visit, ("", "NO_COMMON_TIME"), together, days, while_open)


def _obstacle(
    field: Field,
    visit: int,
    lack: tuple[str, str],
    without: Sequence[int],
    looked_at: Sequence[int],
    asked: Sequence[int],
) -> Obstacle:
    days, midnights = field.cells.days, field.cells.midnights
    lacking = {days[day].weekday() for day in without}
    met = {days[day].weekday() for day in set(looked_at).difference(without)}
    weekdays = tuple(sorted(lacking - met)) if met else ()
    words = [(day, asked[day]) for day in without if asked[day]]
    first = [field.cells.wall(midnights[day] + (word & -word).bit_length() - 1) for day, word in words]
    last = [field.cells.wall(midnights[day] + word.bit_length() - 1) for day, word in words]
    named, (need, rule) = tuple(days[day] for day in without), lack
    code = field.outline.phases[visit].code
    return Obstacle(code, need, rule, named, weekdays, min(first, default=0), max(last, default=0))


def _between_visits(field: Field) -> Iterator[Obstacle]:
    """Each visit has its starts, but not all of them together."""
    anyone, (hard, _) = Paths(field, {}, frozenset()).in_windows, kept_keys(field)
    if anyone.cheapest < NEVER and (same := [*hard, *sorted(field.kept.keys() & field.hard_keys)]):
        for key in same:
            phase = next(
                phase
                for phase, visit_type in zip(field.outline.phases, field.types, strict=True)
                if key in (each.key for each in visit_type.requirements)
            )
            yield Obstacle(phase.code, key, "NOT_THE_SAME", ())
        return
    windows = {phase.code: phase for phase in field.outline.chain if phase.window_days}
    for code in windows:
        yield Obstacle(code, "", "OUTSIDE_WINDOW", ())
    for phase in field.outline.beside:
        yield Obstacle(phase.code, "", "ANCHOR_NOT_REACHED", ())
    if not windows and not field.outline.beside:
        yield Obstacle(field.outline.chain[-1].code, "", "NO_COMMON_TIME", ())
