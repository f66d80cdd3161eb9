"""Protocols: what a visit is made of, how many there are and how far apart. Field names are those of the protos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from dateutil.relativedelta import relativedelta

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.hours import DAY, DAY_MINUTES
from services.scheduling.domain.resources import ResourceKind

RESERVED_KEYS = frozenset({"patient", "site", "start_time"})
"""Not for requirements: planning tells by these names what a day lacks."""
GRID_MINUTES = 15
"""Of a visit type that names no grid of its own."""
VISITS_MAX = 60
"""Of one course, which is booked at once."""
GATE_DAYS: Final = ("effective_date", "expire_date")


class ProtocolNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PROTOCOL_NOT_FOUND", "no such protocol"


class ProtocolCodeTaken(DomainError):
    kind, reason, message = Kind.CONFLICT, "PROTOCOL_CODE_TAKEN", "another protocol of the chain has this code"


class ProtocolVersionNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PROTOCOL_VERSION_NOT_FOUND", "no such protocol version"


class ProtocolDraftNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PROTOCOL_DRAFT_NOT_FOUND", "the protocol has no draft"


class ProtocolVersionRetired(DomainError):
    kind, reason = Kind.CONFLICT, "PROTOCOL_VERSION_RETIRED"
    message = "the version is retired: nothing new is booked by it"


class ProtocolTemplateInvalid(DomainError):
    kind, reason = Kind.INVALID, "PROTOCOL_TEMPLATE_INVALID"
    message = "the template names what it does not have, or its numbers do not fit together"


class SegmentKind(StrEnum):
    PREPARATION = "SEGMENT_KIND_PREPARATION"
    ADMINISTRATION = "SEGMENT_KIND_ADMINISTRATION"
    OBSERVATION = "SEGMENT_KIND_OBSERVATION"
    TURNOVER = "SEGMENT_KIND_TURNOVER"
    CONSULTATION = "SEGMENT_KIND_CONSULTATION"


class PhaseKind(StrEnum):
    ASSESSMENT = "PHASE_KIND_ASSESSMENT"
    INDUCTION = "PHASE_KIND_INDUCTION"
    MAINTENANCE = "PHASE_KIND_MAINTENANCE"
    FOLLOW_UP = "PHASE_KIND_FOLLOW_UP"


class GateKind(StrEnum):
    CONSENT = "GATE_KIND_CONSENT"
    ESTIMATE_DELIVERED = "GATE_KIND_ESTIMATE_DELIVERED"
    DEPOSIT_PAID = "GATE_KIND_DEPOSIT_PAID"
    RIDE_HOME = "GATE_KIND_RIDE_HOME"
    FASTING = "GATE_KIND_FASTING"
    REMS = "GATE_KIND_REMS"
    OBSERVATION_SERVED = "GATE_KIND_OBSERVATION_SERVED"
    VITALS = "GATE_KIND_VITALS"
    HISTORY_REVIEWED = "GATE_KIND_HISTORY_REVIEWED"
    TELEMEDICINE = "GATE_KIND_TELEMEDICINE"


class GateStage(StrEnum):
    BOOKING = "GATE_STAGE_BOOKING"
    CHECK_IN = "GATE_STAGE_CHECK_IN"
    DISCHARGE = "GATE_STAGE_DISCHARGE"


class GateEffect(StrEnum):
    """From the weakest."""

    WARN = "GATE_EFFECT_WARN"
    ALLOW_WITH_REASON = "GATE_EFFECT_ALLOW_WITH_REASON"
    BLOCK = "GATE_EFFECT_BLOCK"


LATER_THAN_BOOKING = frozenset(
    {GateKind.ESTIMATE_DELIVERED, GateKind.FASTING, GateKind.OBSERVATION_SERVED, GateKind.VITALS}
)
"""Nobody knows of these when a visit is booked. An estimate is owed from then on only."""


@dataclass(frozen=True, slots=True)
class Route:
    code: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    kind: ResourceKind
    capability: str
    credential_codes: tuple[str, ...] = ()
    """Holds one of these, valid in the site's state on the visit's day; empty: none needed."""
    same_across_visits: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    requirement_key: str
    lane_count: int


@dataclass(frozen=True, slots=True)
class Segment:
    kind: SegmentKind
    minutes: int
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class DurationBand:
    code: str
    max_minutes: int


@dataclass(frozen=True, slots=True)
class Need:
    """So many lanes of one resource, in minutes after a visit's start."""

    start: int
    end: int
    lane_count: int


@dataclass(frozen=True)
class VisitType:
    code: str
    display_name: str
    requirements: tuple[Requirement, ...]
    segments: tuple[Segment, ...]
    bands: tuple[DurationBand, ...]
    telehealth: bool
    notice_minutes: int = 0
    grid_minutes: int = 0

    @cached_property
    def notice(self) -> timedelta:
        """A visit is booked at least so long before it starts."""
        return timedelta(minutes=self.notice_minutes)

    @cached_property
    def grid(self) -> int:
        """Planned visits start on multiples of so many minutes after the full hour."""
        return self.grid_minutes or GRID_MINUTES

    @cached_property
    def same_keys(self) -> frozenset[str]:
        """Of requirements for which it must have the same as other visits of its course that have them."""
        return frozenset(each.key for each in self.requirements if each.same_across_visits)

    @cached_property
    def minutes(self) -> int:
        """Until everything it holds is free again."""
        return sum(segment.minutes for segment in self.segments)

    @cached_property
    def length(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    @cached_property
    def stay_minutes(self) -> int:
        """Until the patient may leave."""
        return sum(segment.minutes for segment in self.attended)

    @cached_property
    def stay(self) -> timedelta:
        return timedelta(minutes=self.stay_minutes)

    @cached_property
    def attended(self) -> tuple[Segment, ...]:
        """Segments with the patient there."""
        return tuple(segment for segment in self.segments if segment.kind is not SegmentKind.TURNOVER)

    @cached_property
    def administers(self) -> bool:
        return any(segment.kind is SegmentKind.ADMINISTRATION for segment in self.segments)

    @cached_property
    def administration_minutes(self) -> int:
        return sum(segment.minutes for segment in self.segments if segment.kind is SegmentKind.ADMINISTRATION)

    @cached_property
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """What each requirement holds, segment by segment."""
        needs: dict[str, list[Need]] = {requirement.key: [] for requirement in self.requirements}
        start = 0
        for segment in self.segments:
            for use in segment.uses:
                needs[use.requirement_key].append(Need(start, start + segment.minutes, use.lane_count))
            start += segment.minutes
        return {key: tuple(each) for key, each in needs.items()}

    @cached_property
    def lane_counts(self) -> Mapping[str, int]:
        """The most lanes that each requirement holds at once."""
        return {key: max(need.lane_count for need in needs) for key, needs in self.needs.items()}

    def band_code(self, minutes: Iterable[tuple[SegmentKind, int]]) -> str:
        """The first band that holds the minutes of administration or, of a visit without, of consultation."""
        priced = SegmentKind.ADMINISTRATION if self.administers else SegmentKind.CONSULTATION
        total = sum(each for kind, each in minutes if kind is priced)
        return next(band.code for band in self.bands if total <= band.max_minutes or not band.max_minutes)

    @cached_property
    def planned_band_code(self) -> str:
        return self.band_code((segment.kind, segment.minutes) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Gap:
    """How many local days lie between two visits."""

    days_min: int
    days_preferred: int
    days_max: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """So many calendar months after the last visit of another phase, give or take some days."""

    phase_code: str
    months: int
    tolerance_days: int

    def due(self, last: date) -> date:
        return last + relativedelta(months=self.months)

    def days(self, last: date) -> tuple[date, date]:
        """The first and the last day on which the visit may be."""
        due, tolerance = self.due(last), timedelta(days=self.tolerance_days)
        return max(last, due - tolerance), due + tolerance

    def last_visit_days(self, day: date) -> tuple[date, date]:
        """The other way round: on which days the last visit of the phase may be, if this one is on `day`. There may be
        none: nothing is due on the 31st of March a month later."""
        tolerance = timedelta(days=self.tolerance_days)
        return self._first_due(day - tolerance), min(day, self._first_due(day + tolerance + DAY) - DAY)

    def _first_due(self, day: date) -> date:
        """The first day from which the visit is due on `day` or later."""
        found = day - relativedelta(months=self.months)
        return found if self.due(found) >= day else found + DAY


@dataclass(frozen=True, slots=True)
class Gate:
    kind: GateKind
    stage: GateStage
    effect: GateEffect
    visit_type_codes: tuple[str, ...]
    """Empty: all."""
    effective_date: date | None = None
    expire_date: date | None = None
    """The last day of visits that it stands before, the site's; None: no such bound."""

    @property
    def days(self) -> tuple[date, date]:
        return self.effective_date or date.min, self.expire_date or date.max

    def meets(self, other: "Gate") -> bool:
        """Whether both stand on some day."""
        return max(self.days[0], other.days[0]) <= min(self.days[1], other.days[1])


@dataclass(frozen=True, slots=True)
class Instruction:
    code: str
    display_name: str
    hours_before: int
    visit_type_codes: tuple[str, ...]
    """Empty: all."""


@dataclass(frozen=True, slots=True)
class Phase:
    code: str
    kind: PhaseKind
    visit_type_code: str
    visits_min: int
    visits_default: int
    visits_max: int
    gap_days_min: int
    gap_days_preferred: int
    gap_days_max: int
    needs_clearance: bool
    window_days: int = 0
    """Within which all its visits are, the first and the last day counted; 0: no window."""
    anchor: Anchor | None = None
    entry_gap: Gap | None = None
    """From the phase before it to its first visit; None: as between its visits."""

    @property
    def entered(self) -> "Phase":
        """As its first visit after another phase has it: with the gap to that."""
        gap = self.entry_gap
        if gap is None:
            return self
        return replace(
            self, gap_days_min=gap.days_min, gap_days_preferred=gap.days_preferred, gap_days_max=gap.days_max
        )


@dataclass(frozen=True)
class Template:
    routes: tuple[Route, ...]
    visit_types: tuple[VisitType, ...]
    phases: tuple[Phase, ...]
    gates: tuple[Gate, ...] = ()
    instructions: tuple[Instruction, ...] = ()

    @cached_property
    def route_codes(self) -> frozenset[str]:
        return frozenset(route.code for route in self.routes)

    @cached_property
    def same_keys(self) -> frozenset[str]:
        """Of requirements for which all visits of a course must have the same."""
        return frozenset().union(*(each.same_keys for each in self.visit_types))

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Where each phase stands."""
        return {phase.code: n for n, phase in enumerate(self.phases)}

    @cached_property
    def _types(self) -> Mapping[str, VisitType]:
        return {each.code: each for each in self.visit_types}

    def phase(self, code: str) -> Phase:
        return self.phases[self.order[code]]

    def visit_type(self, code: str) -> VisitType:
        return self._types[code]

    def needs_clearance(self, phase_code: str, visit_type_code: str) -> bool:
        """Of a visit; without a phase it is beside them."""
        phase = self.phase(phase_code) if phase_code else self.beside(visit_type_code)
        return phase is not None and phase.needs_clearance

    def beside(self, visit_type_code: str) -> Phase | None:
        """What stands for a phase at a visit beside the phases; None: there is no such visit type."""
        if visit_type_code not in self._types:
            return None
        gated = any(each.needs_clearance for each in self.phases if each.visit_type_code == visit_type_code)
        return Phase("", PhaseKind.FOLLOW_UP, visit_type_code, 1, 1, VISITS_MAX, 0, 0, 0, needs_clearance=gated)

    def gates_of(self, visit_type_code: str, day: date) -> tuple[Gate, ...]:
        """Those that stand before visits of a type on a day of the site."""
        of_type = (each for each in self.gates if visit_type_code in (each.visit_type_codes or (visit_type_code,)))
        return tuple(each for each in of_type if each.days[0] <= day <= each.days[1])

    def check(self, path: str = "template") -> None:
        if faults := self.faults(path):
            raise ProtocolTemplateInvalid(*faults)

    def faults(self, path: str = "template") -> list[Violation]:
        """Where it names what it does not have, or its numbers do not fit together; `path` is its field."""
        return list(_faults(self, path))


NOTHING = Template((), (), ())
"""What was before the first version."""


@dataclass(frozen=True, slots=True)
class Protocol:
    id: UUID
    code: str
    display_name: str
    latest_version_id: UUID | None = None
    latest_version: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    protocol_id: UUID
    template: Template
    version: int
    """Counts its changes."""
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class ProtocolVersion:
    id: UUID
    protocol_id: UUID
    version: int
    template: Template
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Retirement:
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Adoption:
    site_id: UUID
    version_id: UUID
    adopted_at: datetime
    narrowed: Template | None = None
    """The site's own form; None: the version as it is."""


def template_of(data: Mapping[str, Any]) -> Template:
    """From plain data, as `dataclasses.asdict` makes it and as the proto's JSON is, but for days: they are ISO 8601."""
    return Template(
        routes=tuple(Route(**route) for route in data["routes"]),
        visit_types=tuple(_visit_type(each) for each in data["visit_types"]),
        phases=tuple(_phase(each) for each in data["phases"]),
        gates=tuple(_gate(each) for each in data.get("gates", ())),
        instructions=tuple(
            Instruction(**each | {"visit_type_codes": tuple(each["visit_type_codes"])})
            for each in data.get("instructions", ())
        ),
    )


def _phase(data: dict[str, Any]) -> Phase:
    anchor = Anchor(**data["anchor"]) if data.get("anchor") else None
    entry_gap = Gap(**data["entry_gap"]) if data.get("entry_gap") else None
    return Phase(**data | {"kind": PhaseKind(data["kind"]), "anchor": anchor, "entry_gap": entry_gap})


def _gate(data: dict[str, Any]) -> Gate:
    return Gate(
        GateKind(data["kind"]),
        GateStage(data["stage"]),
        GateEffect(data["effect"]),
        tuple(data["visit_type_codes"]),
        *(date.fromisoformat(data[name]) if data.get(name) else None for name in GATE_DAYS),
    )


def _requirement(data: dict[str, Any]) -> Requirement:
    codes = tuple(data.get("credential_codes", ()))
    return Requirement(**data | {"kind": ResourceKind(data["kind"]), "credential_codes": codes})


def _visit_type(data: dict[str, Any]) -> VisitType:
    requirements = map(_requirement, data["requirements"])
    segments = (
        Segment(SegmentKind(each["kind"]), each["minutes"], tuple(Use(**use) for use in each["uses"]))
        for each in data["segments"]
    )
    bands = tuple(DurationBand(**band) for band in data["bands"])
    return VisitType(**data | {"requirements": tuple(requirements), "segments": tuple(segments), "bands": bands})


def _faults(template: Template, path: str) -> Iterator[Violation]:
    yield from _repeated(f"{path}.routes", "code", [route.code for route in template.routes])
    yield from _repeated(f"{path}.visit_types", "code", [each.code for each in template.visit_types])
    yield from _repeated(f"{path}.phases", "code", [phase.code for phase in template.phases])
    for n, visit_type in enumerate(template.visit_types):
        yield from _visit_type_faults(f"{path}.visit_types[{n}]", visit_type)
    types = {each.code for each in template.visit_types}
    for n, phase in enumerate(template.phases):
        yield from _phase_faults(f"{path}.phases[{n}]", phase, types)
        yield from _anchor_faults(f"{path}.phases[{n}]", phase, template.phases[:n])
    for n, gate in enumerate(template.gates):
        yield from _type_code_faults(f"{path}.gates[{n}]", gate.visit_type_codes, types)
    for n, instruction in enumerate(template.instructions):
        yield from _type_code_faults(f"{path}.instructions[{n}]", instruction.visit_type_codes, types)
    yield from _gate_faults(path, template.gates)
    yield from _repeated(f"{path}.instructions", "code", [each.code for each in template.instructions])
    if sum(phase.visits_default for phase in template.phases) > VISITS_MAX:
        yield Violation(f"{path}.phases", "TOO_MANY_VISITS", f"a course has at most {VISITS_MAX} visits by default")


def _visit_type_faults(path: str, visit_type: VisitType) -> Iterator[Violation]:
    keys = [requirement.key for requirement in visit_type.requirements]
    yield from _repeated(f"{path}.requirements", "key", keys)
    yield from _repeated(f"{path}.bands", "code", [band.code for band in visit_type.bands])
    for n, requirement in enumerate(visit_type.requirements):
        if requirement.key in RESERVED_KEYS:
            yield Violation(f"{path}.requirements[{n}].key", "RESERVED", "is not for requirements")
        if not any(use.requirement_key == requirement.key for segment in visit_type.segments for use in segment.uses):
            yield Violation(f"{path}.requirements[{n}].key", "NEVER_USED", "no segment uses it")
        if requirement.credential_codes and requirement.kind is not ResourceKind.STAFF:
            text = "only staff have credentials"
            yield Violation(f"{path}.requirements[{n}].credential_codes", "NOT_OF_STAFF", text)
        if visit_type.telehealth and requirement.kind is ResourceKind.ROOM:
            yield Violation(f"{path}.requirements[{n}].kind", "ROOM_OF_TELEHEALTH", "a telehealth visit has no room")
    for n, segment in enumerate(visit_type.segments):
        used = [use.requirement_key for use in segment.uses]
        yield from _repeated(f"{path}.segments[{n}].uses", "requirement_key", used)
        for k, key in enumerate(used):
            if key not in keys:
                yield Violation(f"{path}.segments[{n}].uses[{k}].requirement_key", "UNKNOWN", "no such requirement")
        if segment.kind is SegmentKind.TURNOVER and (n == 0 or n < len(visit_type.segments) - 1):
            yield Violation(f"{path}.segments[{n}].kind", "TURNOVER_NOT_LAST", "turnover comes after all else")
    if visit_type.minutes > DAY_MINUTES:
        yield Violation(f"{path}.segments", "TOO_LONG", "a visit takes at most 24 hours")
    yield from _band_faults(path, visit_type.bands)


def _band_faults(path: str, bands: Sequence[DurationBand]) -> Iterator[Violation]:
    below = 0
    for n, band in enumerate(bands[:-1]):
        if band.max_minutes <= below:
            yield Violation(f"{path}.bands[{n}].max_minutes", "NOT_ASCENDING", "bands go from short to long")
        below = band.max_minutes
    if bands[-1].max_minutes:
        yield Violation(f"{path}.bands[{len(bands) - 1}].max_minutes", "NOT_OPEN", "the last band has no upper bound")


def _phase_faults(path: str, phase: Phase, types: set[str]) -> Iterator[Violation]:
    if phase.visit_type_code not in types:
        yield Violation(f"{path}.visit_type_code", "UNKNOWN", "no such visit type")
    if not phase.visits_min <= phase.visits_default <= phase.visits_max:
        yield Violation(f"{path}.visits_default", "OUT_OF_BOUNDS", "visits_min ≤ visits_default ≤ visits_max")
    if not phase.gap_days_min <= phase.gap_days_preferred <= phase.gap_days_max:
        yield Violation(f"{path}.gap_days_preferred", "OUT_OF_BOUNDS", "gap_days_min ≤ preferred ≤ gap_days_max")
    gap = phase.entry_gap
    if gap and not gap.days_min <= gap.days_preferred <= gap.days_max:
        yield Violation(f"{path}.entry_gap", "OUT_OF_BOUNDS", "days_min ≤ days_preferred ≤ days_max")
    if phase.window_days and (phase.visits_default - 1) * phase.gap_days_min >= phase.window_days:
        text = f"{phase.visits_default} visits at least {phase.gap_days_min} days apart do not fit into it"
        yield Violation(f"{path}.window_days", "TOO_NARROW", text)


def _anchor_faults(path: str, phase: Phase, above: Sequence[Phase]) -> Iterator[Violation]:
    if not phase.anchor:
        return
    if phase.anchor.phase_code not in {each.code for each in above if not each.anchor}:
        yield Violation(f"{path}.anchor.phase_code", "UNKNOWN", "no phase above without an anchor has this code")
    if phase.visits_max != 1:
        yield Violation(f"{path}.visits_max", "NOT_ONE", "a phase with an anchor has one visit")
    for field in ("gap_days_max", "window_days", "entry_gap"):
        if getattr(phase, field):
            yield Violation(f"{path}.{field}", "OF_ANCHORED", "a phase with an anchor keeps its distance by that alone")


def _type_code_faults(path: str, codes: Sequence[str], types: set[str]) -> Iterator[Violation]:
    for n, code in enumerate(codes):
        if code not in types:
            yield Violation(f"{path}.visit_type_codes[{n}]", "UNKNOWN", "no such visit type")


def _gate_faults(path: str, gates: Sequence[Gate]) -> Iterator[Violation]:
    for n, gate in enumerate(gates):
        if gate.stage is GateStage.BOOKING and gate.kind in LATER_THAN_BOOKING:
            yield Violation(f"{path}.gates[{n}].stage", "LATER_THAN_BOOKING", "is not known yet when a visit is booked")
        if gate.days[1] < gate.days[0]:
            yield Violation(f"{path}.gates[{n}].expire_date", "BEFORE_START", "is before effective_date")
        same = (each for each in gates[:n] if (each.kind, each.stage) == (gate.kind, gate.stage))
        if any(gate.meets(each) for each in same):
            yield Violation(f"{path}.gates[{n}].kind", "REPEATED", "stands above already, at the same stage and time")


def _repeated(path: str, field: str, values: Sequence[str]) -> Iterator[Violation]:
    for n, value in enumerate(values):
        if value in values[:n]:
            yield Violation(f"{path}[{n}].{field}", "REPEATED", "stands above already")
