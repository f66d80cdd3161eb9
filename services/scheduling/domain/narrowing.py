"""A site's own form of a protocol version: it may ask for more and allow less, never the other way round."""

from collections.abc import Iterator, Mapping, Sequence

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.protocols import (
    Gate,
    GateEffect,
    Phase,
    Requirement,
    Segment,
    SegmentKind,
    Template,
    VisitType,
)

PATH = "narrowed_template"
_STRENGTH = {effect: n for n, effect in enumerate(GateEffect)}


class NarrowingWidens(DomainError):
    kind, reason = Kind.INVALID, "NARROWING_WIDENS"
    message = "the site's form of the version allows what the version does not"


def check_narrows(base: Template, narrowed: Template) -> None:
    """Refuses a site's form that is wider than the version anywhere, naming every place.

    The site may leave out routes; may make any stretch but administration longer; may ask for more lanes, a capability
    or a credential where none was asked for, or for fewer credentials of several; may narrow numbers of visits, gaps
    and windows; may ask for clearance, longer notice and a coarser grid; may add gates and instructions and make gates
    stronger. Names, phases, visit types, requirements, bands and anchors stay what they are.
    """
    narrowed.check(PATH)
    if faults := list(_faults(base, narrowed)):
        raise NarrowingWidens(*faults)


def _faults(base: Template, narrowed: Template) -> Iterator[Violation]:
    routes = {route.code: route for route in base.routes}
    for n, route in enumerate(narrowed.routes):
        if routes.get(route.code) != route:
            yield _fault(f"{PATH}.routes[{n}]", "is not a route of the version")
    yield from _same_codes("visit_types", base.visit_types, narrowed.visit_types)
    yield from _same_codes("phases", base.phases, narrowed.phases)
    types, phases = {each.code: each for each in base.visit_types}, {each.code: each for each in base.phases}
    for n, visit_type in enumerate(narrowed.visit_types):
        if visit_type.code in types:
            yield from _visit_type_faults(f"{PATH}.visit_types[{n}]", types[visit_type.code], visit_type)
    for n, phase in enumerate(narrowed.phases):
        if phase.code in phases:
            yield from _phase_faults(f"{PATH}.phases[{n}]", phases[phase.code], phase)
    yield from _gate_faults(base.gates, narrowed)
    for instruction in base.instructions:
        if instruction not in narrowed.instructions:
            yield _fault(f"{PATH}.instructions", f"{instruction.code} is missing or changed")


def _same_codes(
    field: str, base: Sequence[VisitType] | Sequence[Phase], narrowed: Sequence[VisitType] | Sequence[Phase]
) -> Iterator[Violation]:
    if [each.code for each in base] != [each.code for each in narrowed]:
        yield _fault(f"{PATH}.{field}", "are those of the version, in its order")


def _visit_type_faults(path: str, base: VisitType, narrowed: VisitType) -> Iterator[Violation]:
    for field in ("display_name", "bands", "telehealth"):
        if getattr(base, field) != getattr(narrowed, field):
            yield _fault(f"{path}.{field}", "stays as it is")
    if narrowed.notice_minutes < base.notice_minutes:
        yield _fault(f"{path}.notice_minutes", f"is at least {base.notice_minutes}")
    if narrowed.grid % base.grid:
        yield _fault(f"{path}.grid_minutes", f"is a multiple of {base.grid}")
    if [each.key for each in base.requirements] != [each.key for each in narrowed.requirements]:
        yield _fault(f"{path}.requirements", "are those of the version, in its order")
        return
    for n, pair in enumerate(zip(base.requirements, narrowed.requirements, strict=True)):
        yield from _requirement_faults(f"{path}.requirements[{n}]", *pair)
    if [each.kind for each in base.segments] != [each.kind for each in narrowed.segments]:
        yield _fault(f"{path}.segments", "are those of the version, in its order")
        return
    for n, segments in enumerate(zip(base.segments, narrowed.segments, strict=True)):
        yield from _segment_faults(f"{path}.segments[{n}]", *segments)


def _requirement_faults(path: str, base: Requirement, narrowed: Requirement) -> Iterator[Violation]:
    if narrowed.kind is not base.kind:
        yield _fault(f"{path}.kind", "stays as it is")
    if base.capability and narrowed.capability != base.capability:
        yield _fault(f"{path}.capability", f"is {base.capability}")
    allowed = set(base.credential_codes)
    if allowed and not (narrowed.credential_codes and allowed.issuperset(narrowed.credential_codes)):
        yield _fault(f"{path}.credential_codes", f"are some of {', '.join(base.credential_codes)}")
    if base.same_across_visits and not narrowed.same_across_visits:
        yield _fault(f"{path}.same_across_visits", "is asked for by the version")


def _segment_faults(path: str, base: Segment, narrowed: Segment) -> Iterator[Violation]:
    """How long a drug is given is the chain's to say, and what its price goes by."""
    if base.kind is SegmentKind.ADMINISTRATION and narrowed.minutes != base.minutes:
        yield _fault(f"{path}.minutes", f"of administration are {base.minutes}")
    elif narrowed.minutes < base.minutes:
        yield _fault(f"{path}.minutes", f"are at least {base.minutes}")
    lanes: Mapping[str, int] = {use.requirement_key: use.lane_count for use in narrowed.uses}
    for use in base.uses:
        if lanes.get(use.requirement_key, 0) < use.lane_count:
            yield _fault(f"{path}.uses", f"hold at least {use.lane_count} of {use.requirement_key}")


def _phase_faults(path: str, base: Phase, narrowed: Phase) -> Iterator[Violation]:
    for field in ("kind", "visit_type_code", "anchor"):
        if getattr(base, field) != getattr(narrowed, field):
            yield _fault(f"{path}.{field}", "stays as it is")
    if narrowed.visits_min < base.visits_min:
        yield _fault(f"{path}.visits_min", f"is at least {base.visits_min}")
    if narrowed.visits_max > base.visits_max:
        yield _fault(f"{path}.visits_max", f"is at most {base.visits_max}")
    yield from _gap_faults(f"{path}.gap_days", base, narrowed)
    if base.entry_gap or narrowed.entry_gap:
        yield from _gap_faults(f"{path}.entry_gap.days", base.entered, narrowed.entered)
    if base.window_days and not 0 < narrowed.window_days <= base.window_days:
        yield _fault(f"{path}.window_days", f"is at most {base.window_days}")
    if base.needs_clearance and not narrowed.needs_clearance:
        yield _fault(f"{path}.needs_clearance", "is asked for by the version")


def _gap_faults(path: str, base: Phase, narrowed: Phase) -> Iterator[Violation]:
    if narrowed.gap_days_min < base.gap_days_min:
        yield _fault(f"{path}_min", f"is at least {base.gap_days_min}")
    if narrowed.gap_days_max > base.gap_days_max:
        yield _fault(f"{path}_max", f"is at most {base.gap_days_max}")


def _gate_faults(base: Sequence[Gate], narrowed: Template) -> Iterator[Violation]:
    """Of each gate of the version the site's form has one that stands before at least the same visits."""
    all_types = {each.code for each in narrowed.visit_types}
    for gate in base:
        same = (each for each in narrowed.gates if (each.kind, each.stage) == (gate.kind, gate.stage))
        stands = any(
            _STRENGTH[each.effect] >= _STRENGTH[gate.effect]
            and (set(each.visit_type_codes) or all_types) >= (set(gate.visit_type_codes) or all_types)
            and each.days[0] <= gate.days[0]
            and gate.days[1] <= each.days[1]
            for each in same
        )
        if not stands:
            name = gate.kind.removeprefix("GATE_KIND_")
            yield _fault(f"{PATH}.gates", f"{name} is missing, weaker or before fewer visits")


def _fault(field: str, text: str) -> Violation:
    return Violation(field, "WIDER", text)
