"""How the visits of a course stand to each other in time: order, gaps, windows, distances from an anchor."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from uuid import UUID

from chassis.errors import Violation
from services.scheduling.domain.hours import DAY, Slot
from services.scheduling.domain.protocols import Phase, Template, VisitType


@dataclass(frozen=True, slots=True)
class Stop:
    """A visit of a course as the others see it."""

    index: int | None
    """Among the visits asked for; None: it stands already."""
    phase: Phase
    type: VisitType
    stay: Slot
    day: date
    """The site's."""
    resources: Mapping[str, UUID]
    """By requirement key. Of a visit that stands without those that are to leave."""


def phase_faults(template: Template, codes: Sequence[str], standing: Sequence[str] = ()) -> Iterator[Violation]:
    """Phases go in the version's order and may be left out; one that is there has its number of visits, those that
    stand counted. One with an anchor may be anywhere."""
    order, before = template.order, -1
    for i, code in enumerate(codes):
        field = f"visits[{i}].phase_code"
        if code not in order:
            yield Violation(field, "UNKNOWN", "the version has no such phase")
            continue
        phase = template.phase(code)
        if not phase.anchor:
            if order[code] < before:
                yield Violation(field, "OUT_OF_ORDER", "comes before a phase above it")
            before = max(before, order[code])
        yield from count_faults(field, phase, codes.count(code), standing.count(code))


def count_faults(field: str, phase: Phase, asked: int, there: int) -> Iterator[Violation]:
    """`there`: how many visits of the phase the course has already."""
    if not phase.visits_min <= asked + there <= phase.visits_max:
        counted = f" with the {there} that the course has" if there else ""
        text = f"{asked + there} visits{counted}, not {phase.visits_min} to {phase.visits_max}"
        yield Violation(field, "VISIT_COUNT", text)


def order_faults(template: Template, stops: Sequence[Stop]) -> Iterator[Violation]:
    """Of visits asked for among those that stand."""
    for one, other in _chain(stops):
        if template.order[other.phase.code] < template.order[one.phase.code]:
            yield Violation(f"visits[{_asked(one, other)}].phase_code", "OUT_OF_ORDER", "comes before a phase above it")


def spacing_faults(stops: Sequence[Stop]) -> Iterator[Violation]:
    """Days are counted in the site's zone: nine o'clock to nine o'clock a week later is seven days, though 167 or 169
    hours lie between when clocks change."""
    for one, other in _chain(stops):
        days, phase = (other.day - one.day).days, gap_of(one.phase, other.phase)
        if not phase.gap_days_min <= days <= phase.gap_days_max:
            text = f"{days} days after the visit before it, not {phase.gap_days_min} to {phase.gap_days_max}"
            yield Violation(f"visits[{_asked(one, other)}].start_time", "SPACING_OUTSIDE_PROTOCOL", text)
    for phase in {stop.phase.code: stop.phase for stop in stops if stop.index is not None}.values():
        if phase.window_days:
            yield from _window_faults(phase, [stop for stop in stops if stop.phase.code == phase.code])
    yield from _anchor_faults(stops)


def same_faults(stops: Sequence[Stop]) -> Iterator[Violation]:
    """Where a requirement asks for the same resource at every visit, and one asked for has another."""
    first: dict[str, UUID] = {}
    for stop in sorted(stops, key=lambda stop: stop.index is not None):
        for wanted in stop.type.requirements:
            if not wanted.same_across_visits or wanted.key not in stop.resources:
                continue
            same = first.setdefault(wanted.key, stop.resources[wanted.key])
            if stop.index is not None and stop.resources[wanted.key] != same:
                n = list(stop.resources).index(wanted.key)
                text = "another visit of the course has another"
                yield Violation(f"visits[{stop.index}].resources[{n}].resource_id", "NOT_THE_SAME", text)


def same_as_others(stop: Stop, stops: Iterable[Stop]) -> dict[str, UUID]:
    """Those of a visit's resources that it cannot change by itself, since others have the same and have to."""
    others = (other for other in stops if other is not stop)
    shared = {key for other in others for key in other.type.same_keys & other.resources.keys()}
    return {key: stop.resources[key] for key in stop.type.same_keys & shared}


def gap_of(one: Phase, other: Phase) -> Phase:
    """The phase whose gap a visit of `other` keeps from one of `one` before it."""
    return other if other.code == one.code else other.entered


def days_of(stop: Stop, stops: Sequence[Stop], reach: int) -> tuple[date, date]:
    """The days on which a visit may be, the others being as they are: at most `reach` from where it is asked for."""
    firsts, lasts = [stop.day - reach * DAY], [stop.day + reach * DAY]
    before, after = _neighbours(stop, stops)
    if stop.phase.anchor:
        if anchoring := _anchoring(stop.phase, stops):
            first, last = stop.phase.anchor.days(anchoring.day)
            firsts, lasts = [*firsts, first], [*lasts, last]
    else:
        if before:
            gap = gap_of(before.phase, stop.phase)
            firsts, lasts = (
                [*firsts, before.day + gap.gap_days_min * DAY],
                [*lasts, before.day + gap.gap_days_max * DAY],
            )
        if after:
            gap = gap_of(stop.phase, after.phase)
            firsts, lasts = [*firsts, after.day - gap.gap_days_max * DAY], [*lasts, after.day - gap.gap_days_min * DAY]
        for each in stops:
            if each.phase.anchor and _anchoring(each.phase, stops) is stop:
                first, last = each.phase.anchor.last_visit_days(each.day)
                firsts, lasts = [*firsts, first], [*lasts, last]
    others = [each.day for each in stops if each is not stop and each.phase.code == stop.phase.code]
    if stop.phase.window_days and others:
        firsts.append(max(others) - (stop.phase.window_days - 1) * DAY)
        lasts.append(min(others) + (stop.phase.window_days - 1) * DAY)
    return max(firsts), min(lasts)


def in_order(stops: Iterable[Stop]) -> list[Stop]:
    return sorted(stops, key=lambda stop: stop.stay.start)


def _chain(stops: Sequence[Stop]) -> Iterator[tuple[Stop, Stop]]:
    """Each visit that keeps a gap with the one before it, if either is asked for."""
    for one, other in pairwise(stop for stop in stops if not stop.phase.anchor):
        if one.index is not None or other.index is not None:
            yield one, other


def _asked(one: Stop, other: Stop) -> int | None:
    return one.index if other.index is None else other.index


def _neighbours(stop: Stop, stops: Sequence[Stop]) -> tuple[Stop | None, Stop | None]:
    chain = [each for each in stops if each is stop or not each.phase.anchor]
    n = chain.index(stop)
    return (chain[n - 1] if n else None), (chain[n + 1] if n + 1 < len(chain) else None)


def _window_faults(phase: Phase, stops: Sequence[Stop]) -> Iterator[Violation]:
    days = (stops[-1].day - stops[0].day).days + 1
    if days <= phase.window_days:
        return
    asked = [stop for stop in stops if stop.index is not None]
    late = [stop for stop in asked if (stop.day - stops[0].day).days >= phase.window_days]
    for stop in late or asked[:1]:
        text = f"the phase takes {days} days, not at most {phase.window_days}"
        yield Violation(f"visits[{stop.index}].start_time", "WINDOW_EXCEEDED", text)


def _anchoring(phase: Phase, stops: Sequence[Stop]) -> Stop | None:
    """The last visit of the phase from which it keeps its distance."""
    assert phase.anchor
    return next((stop for stop in reversed(stops) if stop.phase.code == phase.anchor.phase_code), None)


def _anchor_faults(stops: Sequence[Stop]) -> Iterator[Violation]:
    for stop in stops:
        if not stop.phase.anchor:
            continue
        anchoring = _anchoring(stop.phase, stops)
        if anchoring is None:
            if stop.index is not None:
                text = f"no visit of {stop.phase.anchor.phase_code} is booked, or asked for"
                yield Violation(f"visits[{stop.index}].phase_code", "ANCHOR_MISSING", text)
            continue
        asked = _asked(anchoring, stop)
        first, last = stop.phase.anchor.days(anchoring.day)
        if asked is not None and not first <= stop.day <= last:
            text = f"{stop.phase.code} is on {stop.day}, not from {first} to {last}"
            yield Violation(f"visits[{asked}].start_time", "ANCHOR_DISTANCE", text)
