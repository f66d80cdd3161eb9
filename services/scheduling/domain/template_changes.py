"""What a change of a protocol is: against the version before, and to the courses that are running."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import Violation
from services.scheduling.domain.hours import Slot
from services.scheduling.domain.protocols import Template

_NAMED_BY = ("code", "key", "requirement_key")
_PREFIX = re.compile(r"(GATE|SEGMENT)_(KIND|STAGE)_")


class ChangeKind(StrEnum):
    ADDED = "TEMPLATE_CHANGE_KIND_ADDED"
    REMOVED = "TEMPLATE_CHANGE_KIND_REMOVED"
    CHANGED = "TEMPLATE_CHANGE_KIND_CHANGED"


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    """With the codes of what it is in: "phases[induction].gap_days_min"."""
    kind: ChangeKind
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class RunningVisit:
    phase_code: str
    visit_type_code: str
    slot: Slot
    """While the patient is there."""


@dataclass(frozen=True, slots=True)
class RunningCourse:
    """One with visits still to come."""

    id: UUID
    site_id: UUID
    version: int
    """Of the protocol, that the course is pinned to."""
    route_code: str
    zone: ZoneInfo
    visits: tuple[RunningVisit, ...]
    """Those that took place or are to; in order of time."""

    def day(self, visit: RunningVisit) -> date:
        """The site's."""
        return visit.slot.start.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class SiteImpact:
    """Of a template on the courses that are running at a site."""

    site_id: UUID
    courses: int
    visits: int
    """Still to come."""
    breaching: int
    """Courses that the template would not allow as they are."""


@dataclass(frozen=True, slots=True)
class Impact:
    sites: tuple[SiteImpact, ...]
    """By id."""
    breaching: tuple[tuple[RunningCourse, tuple[Violation, ...]], ...]


def changes(before: Template, after: Template) -> list[Change]:
    """In the order of the template, then what stands in another order, then what was taken away. What was added or
    removed whole is named once."""
    old, new = dict(_leaves("", asdict(before))), dict(_leaves("", asdict(after)))
    added = _whole(path for path in new if path not in old)
    removed = _whole(path for path in old if path not in new)
    found = list[Change]()
    for path, value in new.items():
        if path in old and old[path] != value:
            found.append(Change(path, ChangeKind.CHANGED, old[path], value))
        elif path in added:
            found.append(Change(path, ChangeKind.ADDED, after=value))
    found += _reordered(old, new)
    return found + [Change(path, ChangeKind.REMOVED, before=old[path]) for path in old if path in removed]


def impact_of(courses: Sequence[RunningCourse], template: Template, now: datetime) -> Impact:
    faults = {course.id: tuple(breaches(course, template, now)) for course in courses}
    by_site: dict[UUID, list[RunningCourse]] = {}
    for course in courses:
        by_site.setdefault(course.site_id, []).append(course)
    sites = (
        SiteImpact(
            site_id,
            courses=len(each),
            visits=sum(visit.slot.start > now for course in each for visit in course.visits),
            breaching=sum(bool(faults[course.id]) for course in each),
        )
        for site_id, each in sorted(by_site.items())
    )
    breaching = ((course, faults[course.id]) for course in courses if faults[course.id])
    return Impact(tuple(sites), tuple(breaching))


def breaches(course: RunningCourse, template: Template, now: datetime) -> Iterator[Violation]:
    """What of a running course the template would not allow, were it to go on by that; what is over stands."""
    if course.route_code not in template.route_codes:
        yield Violation("route_code", "ROUTE_UNKNOWN", f"{course.route_code} is no route of it")
    for n, visit in enumerate(course.visits):
        if visit.slot.start < now:
            continue
        if visit.phase_code not in template.order:
            yield Violation(f"visits[{n}].phase_code", "PHASE_UNKNOWN", f"{visit.phase_code} is no phase of it")
            continue
        visit_type = template.visit_type(template.phase(visit.phase_code).visit_type_code)
        if visit_type.stay > visit.slot.end - visit.slot.start:
            text = f"a visit takes {visit_type.stay_minutes} minutes"
            yield Violation(f"visits[{n}]", "TOO_SHORT", text)
    yield from _count_breaches(course, template)
    yield from _chain_breaches(course, template, now)
    yield from _window_breaches(course, template, now)
    yield from _anchor_breaches(course, template, now)


def _count_breaches(course: RunningCourse, template: Template) -> Iterator[Violation]:
    """Fewer than a phase then has are none: as long as a course runs, more may be booked, or some were called off."""
    for code, count in Counter(visit.phase_code for visit in course.visits).items():
        if code in template.order and count > template.phase(code).visits_max:
            yield Violation("visits", "VISIT_COUNT", f"{count} of {code}, not {template.phase(code).visits_max}")


def _chain_breaches(course: RunningCourse, template: Template, now: datetime) -> Iterator[Violation]:
    """Order and gaps, of which what has an anchor keeps none."""
    chain = [
        (n, visit, template.phase(visit.phase_code))
        for n, visit in enumerate(course.visits)
        if visit.phase_code in template.order and not template.phase(visit.phase_code).anchor
    ]
    for (_, one, before), (n, other, within) in pairwise(chain):
        phase = within if within.code == before.code else within.entered
        days = (course.day(other) - course.day(one)).days
        if other.slot.start >= now and template.order[within.code] < template.order[before.code]:
            yield Violation(f"visits[{n}].phase_code", "OUT_OF_ORDER", "comes before a phase above it")
        if other.slot.start >= now and not phase.gap_days_min <= days <= phase.gap_days_max:
            text = f"{days} days after the visit before it, not {phase.gap_days_min} to {phase.gap_days_max}"
            yield Violation(f"visits[{n}].start_time", "SPACING", text)


def _window_breaches(course: RunningCourse, template: Template, now: datetime) -> Iterator[Violation]:
    first: dict[str, date] = {}
    for n, visit in enumerate(course.visits):
        if visit.phase_code not in template.order:
            continue
        window, day = template.phase(visit.phase_code).window_days, course.day(visit)
        days = (day - first.setdefault(visit.phase_code, day)).days + 1
        if visit.slot.start >= now and window and days > window:
            text = f"the phase takes {days} days until then, not at most {window}"
            yield Violation(f"visits[{n}].start_time", "WINDOW_EXCEEDED", text)


def _anchor_breaches(course: RunningCourse, template: Template, now: datetime) -> Iterator[Violation]:
    """Of a visit whose anchor was called off nobody can say."""
    for n, visit in enumerate(course.visits):
        anchor = template.phase(visit.phase_code).anchor if visit.phase_code in template.order else None
        if anchor is None or visit.slot.start < now:
            continue
        anchoring = [course.day(each) for each in course.visits if each.phase_code == anchor.phase_code]
        if anchoring:
            day, (first, last) = course.day(visit), anchor.days(anchoring[-1])
            if not first <= day <= last:
                text = f"{visit.phase_code} is on {day}, not from {first} to {last}"
                yield Violation(f"visits[{n}].start_time", "ANCHOR_DISTANCE", text)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each value by its path; of a thing with a name, first that it is there."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _leaves_of_list(path, value)
    else:
        yield path, "" if value is None else str(value)


def _leaves_of_list(path: str, values: Sequence[Any]) -> Iterator[tuple[str, str]]:
    if values and not isinstance(values[0], Mapping):
        yield path, ", ".join(map(str, values))
        return
    seen = Counter[str]()
    for each in values:
        name = _name(each)
        seen[name] += 1
        part = f"{path}[{name}]" if seen[name] == 1 else f"{path}[{name}#{seen[name]}]"
        yield part, ""
        yield from _leaves(part, each)


def _name(part: Mapping[str, Any]) -> str:
    """Its code; or of what it is, and when that is looked at: a place in the list would be another's when one before it
    goes."""
    if code := next((part[key] for key in _NAMED_BY if key in part), None):
        return str(code)
    return "/".join(_PREFIX.sub("", part[key]) for key in ("kind", "stage") if key in part)


def _reordered(old: Iterable[str], new: Iterable[str]) -> Iterator[Change]:
    """Lists in which the parts that both have stand in another order; by the paths of both."""
    before = _named(old)
    for path, names in _named(new).items():
        was = [name for name in before.get(path, ()) if name in names]
        now = [name for name in names if name in was]
        if was != now:
            yield Change(path, ChangeKind.CHANGED, ", ".join(was), ", ".join(now))


def _named(paths: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """What the parts of each list are called, as they stand there."""
    found = dict[str, list[str]]()
    for path in paths:
        if path.endswith("]"):
            of, _, name = path[:-1].rpartition("[")
            found.setdefault(of, []).append(name)
    return found


def _whole(paths: Iterator[str]) -> set[str]:
    """Without those inside others of them."""
    found = set[str]()
    for path in paths:
        if not any(path.startswith((f"{outer}.", f"{outer}[")) for outer in found):
            found.add(path)
    return found
