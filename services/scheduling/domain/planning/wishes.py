"""What somebody wishes of a course's plan, and what a version makes of it before any calendar is looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.courses import PhasesOutsideProtocol, RouteUnknown, refuse
from services.scheduling.domain.hours import DAY
from services.scheduling.domain.protocols import VISITS_MAX, Phase, Template

WINDOW_DAYS_MAX = 92
HORIZON_DAYS_MAX = 400
"""From the window's first day to the course's last."""
MONTH_DAYS_MAX = 31
STRETCH_DAYS_MAX = 28
"""By how much the window is made longer when nothing else fits."""


class PlanWindowInvalid(DomainError):
    kind, reason = Kind.INVALID, "PLAN_WINDOW_INVALID"
    message = "latest_date is before earliest_date, or too far from it"


class PlanTooLong(DomainError):
    kind, reason, message = Kind.INVALID, "PLAN_TOO_LONG", "the course is longer than can be planned at once"


class PlanPreferenceInvalid(DomainError):
    kind, reason = Kind.INVALID, "PLAN_PREFERENCE_INVALID"
    message = "a preference names what no visit needs, or leaves no time at all"


class Emphasis(StrEnum):
    """What weighs more: an early first visit, or preferred gaps."""

    BALANCED = "PLAN_EMPHASIS_UNSPECIFIED"
    SOONEST = "PLAN_EMPHASIS_SOONEST"
    REGULAR = "PLAN_EMPHASIS_REGULAR"


@dataclass(frozen=True, slots=True)
class Tastes:
    """When visits should start, by the site's wall clock. A doubled hour has its times twice, a skipped one never: what
    is nearest by the clock is best."""

    minutes_of_day: tuple[int, ...] = ()
    """The nearest counts. None: any."""
    weekdays: frozenset[int] = frozenset()
    """0 is Monday. None: any."""
    weekdays_only: bool = False
    """On no other weekday."""
    start_from: int = 0
    """Minutes of the day before which no visit starts, and after which none does."""
    start_until: int = 24 * 60


@dataclass(frozen=True, slots=True)
class Wish:
    route_code: str
    phases: tuple[tuple[str, int], ...]
    """Code, and how many visits or 0 for the default. None: every phase."""
    earliest: date
    latest: date
    tastes: Tastes = Tastes()
    same: tuple[str, ...] = ()
    """Keys of requirements that one resource should meet at every visit."""
    emphasis: Emphasis = Emphasis.BALANCED
    same_across: bool = True
    """Whether requirements that the version wants met by one resource are."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The phase of each visit."""

    chain: tuple[Phase, ...]
    """One after another, each at its gap from the one before."""
    beside: tuple[Phase, ...] = ()
    """Due so long after another phase, whatever else there is meanwhile."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.chain + self.beside

    def anchors(self, i: int) -> tuple[Phase, ...]:
        """Phases due by visit `i` of the chain, if it is the last of its own."""
        code = self.chain[i].code
        if i + 1 < len(self.chain) and self.chain[i + 1].code == code:
            return ()
        return tuple(phase for phase in self.beside if phase.anchor and phase.anchor.phase_code == code)


def outline(template: Template, wish: Wish) -> Outline:
    """Refuses a wish that the version does not allow, whatever the calendar."""
    if wish.route_code not in template.route_codes:
        raise RouteUnknown(Violation("route_code", "ROUTE_UNKNOWN", RouteUnknown.message))
    if not timedelta(0) <= wish.latest - wish.earliest <= timedelta(days=WINDOW_DAYS_MAX):
        raise PlanWindowInvalid(Violation("latest_date", "PLAN_WINDOW_INVALID", PlanWindowInvalid.message))
    refuse(PhasesOutsideProtocol, _phase_faults(template, wish.phases))
    wanted = wish.phases or tuple((phase.code, 0) for phase in template.phases)
    counted = [(template.phase(code), count) for code, count in wanted]
    chain = tuple(
        phase if n else phase.entered
        for phase, count in counted
        if not phase.anchor
        for n in range(count or phase.visits_default)
    )
    outlined = Outline(chain, tuple(phase for phase, _ in counted if phase.anchor))
    if len(outlined.phases) > VISITS_MAX or sum(phase.gap_days_min for phase in chain[1:]) > HORIZON_DAYS_MAX:
        raise PlanTooLong(visits_max=VISITS_MAX, days_max=HORIZON_DAYS_MAX)
    refuse(PlanPreferenceInvalid, _preference_faults(template, outlined, wish))
    return outlined


def last_day(outlined: Outline, wish: Wish) -> date:
    """Of the course at its longest, as far as is planned."""
    days = (wish.latest - wish.earliest).days + sum(phase.gap_days_max for phase in outlined.chain[1:])
    days += max(
        (each.anchor.months * MONTH_DAYS_MAX + each.anchor.tolerance_days for each in outlined.beside if each.anchor),
        default=0,
    )
    return wish.earliest + min(days, HORIZON_DAYS_MAX) * DAY


def _phase_faults(template: Template, wanted: Sequence[tuple[str, int]]) -> Iterator[Violation]:
    before, codes = -1, {code for code, _ in wanted}
    for n, (code, count) in enumerate(wanted):
        if code not in template.order:
            yield Violation(f"phases[{n}].phase_code", "UNKNOWN", "the version has no such phase")
            continue
        if template.order[code] <= before:
            yield Violation(f"phases[{n}].phase_code", "OUT_OF_ORDER", "stands before a phase above it, or twice")
        before, phase = template.order[code], template.phase(code)
        if count and not phase.visits_min <= count <= phase.visits_max:
            text = f"{count} visits, not {phase.visits_min} to {phase.visits_max}"
            yield Violation(f"phases[{n}].visit_count", "VISIT_COUNT", text)
        if phase.anchor and phase.anchor.phase_code not in codes:
            text = f"is due by {phase.anchor.phase_code}, which is not planned"
            yield Violation(f"phases[{n}].phase_code", "ANCHOR_NOT_PLANNED", text)


def _preference_faults(template: Template, outlined: Outline, wish: Wish) -> Iterator[Violation]:
    types = (template.visit_type(phase.visit_type_code) for phase in outlined.phases)
    keys = {requirement.key for visit_type in types for requirement in visit_type.requirements}
    for n, key in enumerate(wish.same):
        if key not in keys:
            text = "no visit that is planned has such a requirement"
            yield Violation(f"same_requirement_keys[{n}]", "REQUIREMENT_UNKNOWN", text)
    if wish.tastes.start_until < wish.tastes.start_from:
        yield Violation("start_until", "BEFORE_START", "is before start_from")
    if wish.tastes.weekdays_only and not wish.tastes.weekdays:
        yield Violation("preferred_weekdays", "MISSING", "names no weekday, and no other is allowed")
