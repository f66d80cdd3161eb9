"""Booking a course: every rule it must keep, and which lanes its visits take."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.hours import MINUTE, Hours, Slot
from services.scheduling.domain.protocols import Need, Phase, Requirement, Template, VisitType
from services.scheduling.domain.resources import Resource, ResourceNotFound
from services.scheduling.domain.spacing import Stop, in_order, order_faults, phase_faults, same_faults, spacing_faults
from services.scheduling.domain.visits import STANDING, Status, Visit


class CourseNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "COURSE_NOT_FOUND", "no such course"


class ProtocolNotAdopted(DomainError):
    kind, reason, message = Kind.CONFLICT, "PROTOCOL_NOT_ADOPTED", "the site does not treat by this version"


class RouteUnknown(DomainError):
    kind, reason = Kind.INVALID, "ROUTE_UNKNOWN"
    message = "the version has no such route, or the visit has none"


class PhasesOutsideProtocol(DomainError):
    kind, reason = Kind.INVALID, "PHASES_OUTSIDE_PROTOCOL"
    message = "a phase is not of the version, out of its order, or has fewer or more visits than it allows"


class RequirementsNotMet(DomainError):
    kind, reason = Kind.INVALID, "REQUIREMENTS_NOT_MET"
    message = "a visit does not name one resource for each requirement of its type"


class ResourceUnsuitable(DomainError):
    kind, reason = Kind.CONFLICT, "RESOURCE_UNSUITABLE"
    message = "a resource is of another kind, lacks the capability or a valid credential, or has too few lanes"


class VisitTypeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "VISIT_TYPE_NOT_FOUND", "the version has no such visit type"


class StartNotOnMinute(DomainError):
    kind, reason, message = Kind.INVALID, "START_NOT_ON_MINUTE", "a visit does not start on a whole minute"


class VisitInPast(DomainError):
    kind, reason, message = Kind.INVALID, "VISIT_IN_PAST", "a visit starts in the past"


class NoticeTooShort(DomainError):
    kind, reason = Kind.CONFLICT, "NOTICE_TOO_SHORT"
    message = "a visit starts sooner than its type's notice allows"


class CourseMismatch(DomainError):
    kind, reason = Kind.INVALID, "COURSE_MISMATCH"
    message = "the course is of another site, patient, version or route"


class VisitsOutOfOrder(DomainError):
    kind, reason, message = Kind.INVALID, "VISITS_OUT_OF_ORDER", "a visit starts before the one before it ends"


class SpacingOutsideProtocol(DomainError):
    kind, reason = Kind.INVALID, "SPACING_OUTSIDE_PROTOCOL"
    message = "visits are not as far apart as the protocol version wants them"


class OutsideHours(DomainError):
    kind, reason, message = Kind.CONFLICT, "OUTSIDE_HOURS", "the site is closed, or a resource not at work, at a visit"


class ClearanceMissing(DomainError):
    kind, reason = Kind.CONFLICT, "CLEARANCE_MISSING"
    message = "the patient's clearance is revoked, or does not cover the route, day, band or length of a visit"


class GatePending(DomainError):
    kind, reason = Kind.NOT_YET, "GATE_PENDING"
    message = "what a gate waits for was not heard of yet: a clearance for the protocol, or a deposit for the course"


class PatientDeceased(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_DECEASED", "the patient has died, as a record of theirs says"


class PatientAnonymised(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_ANONYMISED", "who the patient was is forgotten, for good"


class CoursePaused(DomainError):
    kind, reason = Kind.CONFLICT, "COURSE_PAUSED"
    message = "an adverse event of the patient awaits a clinician, who has not allowed treatment yet"


class VisitsConflict(DomainError):
    kind, reason, message = Kind.CONFLICT, "VISITS_CONFLICT", "a resource or the patient is taken when a visit is"

    @property
    def indexes(self) -> list[int]:
        """Which of the visits asked for are in conflict."""
        return sorted(indexes_of(self.violations))


def indexes_of(faults: Iterable[Violation]) -> frozenset[int]:
    """Of the visits asked for that are at fault."""
    return frozenset(int(each.field.partition("[")[2].partition("]")[0]) for each in faults)


@dataclass(frozen=True, slots=True)
class Choice:
    """When one visit starts and whom and what it takes, as asked for."""

    phase_code: str
    start: datetime
    resources: tuple[tuple[str, UUID], ...]


def choice_of(visit: Visit) -> Choice:
    """What would be asked for to have the visit."""
    return Choice(visit.phase_code, visit.slot.start, visit.resources)


NOT_CLEARED = {
    "CLEARANCE_MISSING": "no clearance covers its route and day",
    "BAND_NOT_CLEARED": "the clearance does not cover the band in which the visit is planned",
    "SESSION_TOO_LONG": "the administration is longer than the clearance allows",
}


@dataclass(frozen=True, slots=True)
class Clearance:
    route_codes: frozenset[str]
    effective: date
    expire: date
    band_codes: frozenset[str] = frozenset()
    """Empty: all."""
    session_minutes_max: int = 0
    """0: as the protocol has it."""

    def covers(self, route_code: str, day: date) -> bool:
        return route_code in self.route_codes and self.effective <= day <= self.expire

    def exceeded_by(self, visit_type: VisitType) -> Iterator[str]:
        """The rules of limits that a visit as planned goes beyond. They are of visits with administration."""
        if visit_type.administers and self.band_codes and visit_type.planned_band_code not in self.band_codes:
            yield "BAND_NOT_CLEARED"
        if self.session_minutes_max and visit_type.administration_minutes > self.session_minutes_max:
            yield "SESSION_TOO_LONG"


class Taken(NamedTuple):
    """One lane of a resource, or a patient (who has lane 0 only), is taken for a while."""

    holder_id: UUID
    lane: int
    slot: Slot
    ended_hold_of: UUID | None = None
    """The visit, if its hold has ended and nobody has cleared it away yet: it is in nobody's way."""


@dataclass(frozen=True, slots=True)
class Course:
    id: UUID
    site_id: UUID
    patient_id: UUID
    protocol_version_id: UUID
    route_code: str
    booked_at: datetime | None
    """When the first of its visits were; None while nothing is."""
    visits: tuple[Visit, ...]
    paused: bool = False
    version: int = 1
    """Counts what happened to it and its visits."""
    hold_until: datetime | None = None
    """Of what it holds; None: it holds nothing."""
    offer_id: UUID | None = None
    """Of the visit that it holds, if the waitlist offers it."""

    @property
    def held_visits(self) -> tuple[Visit, ...]:
        return tuple(visit for visit in self.visits if visit.status is Status.HELD)

    def standing(self, now: datetime) -> tuple[Visit, ...]:
        """Visits that took place or are to: those held only until the hold ends."""
        holds = self.hold_until is not None and now < self.hold_until
        return tuple(
            visit for visit in self.visits if visit.status in STANDING and (holds or visit.status is not Status.HELD)
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """A visit as asked for, with what the protocol says of it."""

    phase: Phase
    type: VisitType
    stay: Slot
    """While the patient is there."""
    hold: Slot
    """Until the turnover is over."""
    resources: Mapping[str, UUID]
    """By requirement key, in the order of the requirements."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the site, its resources, the pinned version and the patient's clearances allow a course."""

    site: Hours
    protocol_id: UUID
    template: Template
    resources: Mapping[UUID, Resource]
    """Of the site, those asked for."""
    clearances: Sequence[Clearance] | None
    """Valid ones for the protocol; None while none was ever heard of."""
    patient_id: UUID
    """For whom the course is booked: for a merged patient, the survivor."""
    patient_ids: frozenset[UUID]
    """All ids under which the patient has visits; just the one of a patient who was not merged."""
    paused: bool = False
    """An adverse event of the patient keeps treatment from going on."""
    leaving: frozenset[UUID] = frozenset()
    """Resources of visits that stand, which are to leave: where all visits must have the same, they bind none."""

    def holder(self, id: UUID) -> UUID:
        """Who is taken: a resource; or the patient, under whichever id."""
        return self.patient_id if id in self.patient_ids else id

    def lay_out(
        self,
        route_code: str,
        choices: Sequence[Choice],
        now: datetime,
        standing: Sequence[Visit] = (),
        *,
        spaced: bool = True,
    ) -> list[Layout]:
        """The visits, or a refusal for the first rule that any breaks, naming every visit that breaks it.

        `standing` are visits that the course has already. Unless they are to be `spaced` their gaps, windows and
        distances are whatever they are. Gates are another matter: see `check_gates`.
        """
        self.check_route(route_code)
        of_phases = [visit for visit in standing if visit.phase_code in self.template.order]
        codes = [choice.phase_code for choice in choices]
        refuse(PhasesOutsideProtocol, phase_faults(self.template, codes, [visit.phase_code for visit in of_phases]))
        layouts = self.layouts(choices)
        refuse(RequirementsNotMet, _each(choices, layouts, _requirement_faults))
        refuse(ResourceNotFound, _each(choices, layouts, self._absent))
        refuse(ResourceUnsuitable, _each(choices, layouts, self._unsuitable))
        self._check_times(choices, layouts, now)
        stops = self.stops(layouts, of_phases)
        refuse(PhasesOutsideProtocol, order_faults(self.template, stops) if of_phases else ())
        faults = spacing_faults(stops)
        refuse(SpacingOutsideProtocol, (each for each in faults if spaced or each.rule == "ANCHOR_MISSING"))
        refuse(ResourceUnsuitable, same_faults(stops))
        refuse(OutsideHours, self._outside_hours(choices, layouts))
        return layouts

    def out_of_spacing(self, layouts: Sequence[Layout], standing: Sequence[Visit]) -> frozenset[int]:
        """Which of the visits asked for are where the spacing does not allow them."""
        stops = self.stops(layouts, [visit for visit in standing if visit.phase_code in self.template.order])
        return indexes_of(spacing_faults(stops))

    def lay_out_beside(self, layouts: Sequence[Layout], choices: Sequence[Choice], now: datetime) -> None:
        """As `lay_out`, of visits beside the phases, which keep no gaps."""
        refuse(RequirementsNotMet, _each(choices, layouts, _requirement_faults))
        refuse(ResourceNotFound, _each(choices, layouts, self._absent))
        refuse(ResourceUnsuitable, _each(choices, layouts, self._unsuitable))
        self._check_times(choices, layouts, now)
        refuse(OutsideHours, self._outside_hours(choices, layouts))

    def layouts_beside(self, visit_type_code: str, choices: Sequence[Choice]) -> list[Layout]:
        """A visit that a phase books only for the cleared needs a clearance beside the phases, too."""
        phase = self.template.beside(visit_type_code)
        if phase is None:
            raise VisitTypeNotFound(Violation("visit_type_code", "VISIT_TYPE_NOT_FOUND", VisitTypeNotFound.message))
        return [self._layout_of(choice, phase) for choice in choices]

    def layouts(self, choices: Sequence[Choice]) -> list[Layout]:
        return [self._layout(choice) for choice in choices]

    def layouts_of(self, visits: Sequence[Visit]) -> list[Layout]:
        """Of visits that are there, of the phases or beside them."""
        found = list[Layout]()
        for visit in visits:
            choices = [choice_of(visit)]
            beside = not visit.phase_code
            found += self.layouts_beside(visit.visit_type_code, choices) if beside else self.layouts(choices)
        return found

    def check_route(self, route_code: str) -> None:
        if route_code not in self.template.route_codes:
            raise RouteUnknown(Violation("route_code", "ROUTE_UNKNOWN", "the version has no such route"))

    def check_gates(self, route_code: str, layouts: Sequence[Layout]) -> None:
        """What a visit must have when it is booked, and need not when it is held."""
        self._check_clearance(route_code, layouts)
        refuse(CoursePaused, self._paused(layouts))

    def check_open(self, choices: Sequence[Choice], layouts: Sequence[Layout]) -> None:
        """That what was held may take place yet: hours, closures, loans and retirements may be others since."""
        refuse(ResourceNotFound, _each(choices, layouts, self._absent))
        refuse(OutsideHours, self._outside_hours(choices, layouts))

    def check_not_busy(
        self, choices: Sequence[Choice], layouts: Sequence[Layout], busy: Mapping[UUID, Sequence[Slot]]
    ) -> None:
        """That nobody of those held is busy by a calendar of their own; `busy` by resource."""
        refuse(VisitsConflict, _each(choices, layouts, partial(_while_busy, busy)))

    def stops(self, layouts: Sequence[Layout], standing: Sequence[Visit] = ()) -> list[Stop]:
        """Those asked for among those that stand, in order of time."""
        asked = [
            Stop(i, layout.phase, layout.type, layout.stay, self.day(layout.stay), layout.resources)
            for i, layout in enumerate(layouts)
        ]
        return in_order([*asked, *map(self._standing, standing)]) if standing else asked

    def place(
        self, patient_id: UUID, choices: Sequence[Choice], layouts: Sequence[Layout], taken: Iterable[Taken]
    ) -> list[list[Taken]]:
        """For each visit the lanes it takes; or a refusal that names every conflict of every visit."""
        by_holder: dict[UUID, list[Taken]] = {}
        for each in taken:
            by_holder.setdefault(each.holder_id, []).append(each)
        placed, conflicts = list[list[Taken]](), list[Violation]()
        for i, (choice, layout) in enumerate(zip(choices, layouts, strict=True)):
            if any(each.slot.overlaps(layout.stay) for each in by_holder.get(patient_id, ())):
                conflicts.append(Violation(f"visits[{i}]", "PATIENT_TAKEN", "the patient has another visit then"))
            lanes = list[Taken]()
            for n, (key, resource_id) in enumerate(choice.resources):
                held = by_holder.setdefault(resource_id, [])
                found = _lanes(layout, key, self.resources[resource_id], held)
                if found is None:
                    conflicts.append(_resource_taken(i, n, resource_id))
                    continue
                lanes += found
                held += found  # Another visit of this course may be on the same day.
            placed.append(lanes)
        if conflicts:
            raise VisitsConflict(*conflicts)
        return placed

    def day(self, slot: Slot) -> date:
        """Days are the site's: late on Monday in New York is Tuesday in UTC."""
        return slot.start.astimezone(self.site.zone).date()

    def today(self, now: datetime) -> date:
        return self.day(Slot(now, now))

    def _layout(self, choice: Choice) -> Layout:
        return self._layout_of(choice, self.template.phase(choice.phase_code))

    def _layout_of(self, choice: Choice, phase: Phase) -> Layout:
        visit_type = self.template.visit_type(phase.visit_type_code)
        chosen = dict(choice.resources)
        return Layout(
            phase,
            visit_type,
            Slot(choice.start, choice.start + visit_type.stay),
            Slot(choice.start, choice.start + visit_type.length),
            {each.key: chosen[each.key] for each in visit_type.requirements if each.key in chosen},
        )

    def _standing(self, visit: Visit) -> Stop:
        phase = self.template.phase(visit.phase_code)
        visit_type = self.template.visit_type(phase.visit_type_code)
        resources = {key: id for key, id in visit.resources if id not in self.leaving}
        return Stop(None, phase, visit_type, visit.slot, self.day(visit.slot), resources)

    def _absent(self, i: int, choice: Choice, layout: Layout) -> Iterator[Violation]:
        for n, (_, resource_id) in enumerate(choice.resources):
            if resource_id not in self.resources:
                field = f"visits[{i}].resources[{n}].resource_id"
                yield Violation(field, "RESOURCE_NOT_FOUND", ResourceNotFound.message)

    def _unsuitable(self, i: int, choice: Choice, layout: Layout) -> Iterator[Violation]:
        positions = {key: n for n, (key, _) in enumerate(choice.resources)}
        for wanted in layout.type.requirements:
            resource = self.resources[layout.resources[wanted.key]]
            field = f"visits[{i}].resources[{positions[wanted.key]}].resource_id"
            if fault := unsuitable(field, resource, wanted, layout.type.lane_counts[wanted.key]):
                yield fault
            elif codes := wanted.credential_codes:
                day = self.day(layout.stay)
                if not resource.has_credential(codes, self.site.state, day):
                    text = f"has none of {', '.join(codes)} that is valid on {day}"
                    yield Violation(field, "CREDENTIAL_NOT_VALID", text)

    def _check_times(self, choices: Sequence[Choice], layouts: Sequence[Layout], now: datetime) -> None:
        """Starts are instants, so none is skipped or doubled where clocks change."""
        starts = list(enumerate(layout.stay.start for layout in layouts))
        uneven = ((i, f"{at.isoformat()} is not on a whole minute") for i, at in starts if at.second or at.microsecond)
        refuse(StartNotOnMinute, _at(StartNotOnMinute, uneven))
        refuse(VisitInPast, starts_before(choices, now))
        pairs = list(enumerate(pairwise(layouts), start=1))
        early = (
            (i, f"is before {one.stay.end.isoformat()}, when the visit above it ends")
            for i, (one, other) in pairs
            if other.stay.start < one.stay.end
        )
        refuse(VisitsOutOfOrder, _at(VisitsOutOfOrder, early))
        short = (
            (i, f"{layout.stay.start.isoformat()} is less than {layout.type.notice_minutes} minutes ahead")
            for i, layout in enumerate(layouts)
            if self._too_soon(layout, now)
        )
        refuse(NoticeTooShort, _at(NoticeTooShort, short))

    def _too_soon(self, layout: Layout, now: datetime) -> bool:
        return layout.type.notice_minutes > 0 and layout.stay.start < now + layout.type.notice

    def _outside_hours(self, choices: Sequence[Choice], layouts: Sequence[Layout]) -> Iterator[Violation]:
        """A visit in person is within the site's hours; each resource within its own, while it is held."""
        hours = {id: resource.hours(self.site) for id, resource in self.resources.items()}
        for i, (choice, layout) in enumerate(zip(choices, layouts, strict=True)):
            if not layout.type.telehealth and not self.site.hold(layout.hold):
                yield Violation(f"visits[{i}].start_time", "SITE_CLOSED", "the site is closed during the visit")
                continue
            for n, (key, resource_id) in enumerate(choice.resources):
                inherited = hours[resource_id] is self.site and not layout.type.telehealth
                if not inherited and not all(hours[resource_id].hold(slot) for slot, _ in held(layout, key)):
                    text = f"{to_wire('resource', resource_id)} is not at work then"
                    yield Violation(f"visits[{i}].resources[{n}]", "NOT_AT_WORK", text)

    def _paused(self, layouts: Sequence[Layout]) -> Iterator[Violation]:
        """Consultations go on: that is where the adverse event is talked over."""
        for i, layout in enumerate(layouts):
            if self.paused and layout.type.administers:
                yield Violation(f"visits[{i}].phase_code", "COURSE_PAUSED", CoursePaused.message)

    def _check_clearance(self, route_code: str, layouts: Sequence[Layout]) -> None:
        gated = [(i, layout) for i, layout in enumerate(layouts) if layout.phase.needs_clearance]
        if gated and self.clearances is None:
            fields = (f"visits[{i}].phase_code" for i, _ in gated)
            raise GatePending(*(Violation(field, "GATE_PENDING", "awaits a clearance") for field in fields))
        refuse(ClearanceMissing, (fault for i, layout in gated for fault in self._uncleared(i, layout, route_code)))

    def _uncleared(self, i: int, layout: Layout, route_code: str) -> Iterator[Violation]:
        for rule in lacking(self.clearances or (), layout.type, route_code, self.day(layout.stay)):
            field = "start_time" if rule == ClearanceMissing.reason else "phase_code"
            yield Violation(f"visits[{i}].{field}", rule, NOT_CLEARED[rule])


def lacking(clearances: Iterable[Clearance], visit_type: VisitType, route_code: str, day: date) -> list[str]:
    """One clearance covers all of a visit; else the rules by which the closest one does not."""
    covering = [each for each in clearances if each.covers(route_code, day)]
    exceeded = (list(each.exceeded_by(visit_type)) for each in covering)
    return min(exceeded, key=len, default=[ClearanceMissing.reason])


def check_still_cleared(
    clearances: Sequence[Clearance] | None, visit_type: VisitType, route_code: str, day: date
) -> None:
    """That a visit which is booked may begin: what it was booked by may be revoked since."""
    if clearances is None:
        raise GatePending(Violation("visit_id", "GATE_PENDING", "awaits a clearance"))
    faults = lacking(clearances, visit_type, route_code, day)
    refuse(ClearanceMissing, (Violation("visit_id", rule, NOT_CLEARED[rule]) for rule in faults))


def check_course_is(
    course: Course, site_id: UUID, patient_ids: Collection[UUID], version_id: UUID, route_code: str | None
) -> None:
    """What a request says of a course that is there is so; None: it says nothing of the route."""
    said = {
        "site_id": course.site_id == site_id,
        "patient_id": course.patient_id in patient_ids,
        "protocol_version_id": course.protocol_version_id == version_id,
        "route_code": route_code is None or course.route_code == route_code,
    }
    text = CourseMismatch.message
    refuse(CourseMismatch, (Violation(name, "COURSE_MISMATCH", text) for name, true in said.items() if not true))


def starts_before(choices: Sequence[Choice], now: datetime) -> Iterator[Violation]:
    past = ((i, f"{choice.start.isoformat()} is past") for i, choice in enumerate(choices) if choice.start < now)
    return _at(VisitInPast, past)


def laid_out(course: Course, layouts: Sequence[Layout], ids: Iterable[UUID], status: Status) -> tuple[Visit, ...]:
    """The visits as they are booked, or held."""
    return tuple(
        Visit(
            id=id,
            course_id=course.id,
            site_id=course.site_id,
            patient_id=course.patient_id,
            phase_code=layout.phase.code,
            visit_type_code=layout.type.code,
            route_code=course.route_code if layout.type.administers else "",
            band_code=layout.type.planned_band_code,
            telehealth=layout.type.telehealth,
            slot=layout.stay,
            resources=tuple(layout.resources.items()),
            status=status,
        )
        for id, layout in zip(ids, layouts, strict=True)
    )


def unsuitable(field: str, resource: Resource, wanted: Requirement, lane_count: int) -> Violation | None:
    """What keeps a resource from meeting a requirement on any day."""
    if resource.kind is not wanted.kind:
        return Violation(field, "WRONG_KIND", "is of another kind than the requirement")
    if wanted.capability and wanted.capability not in resource.capabilities:
        return Violation(field, "LACKS_CAPABILITY", f"lacks {wanted.capability}")
    if resource.lane_count < lane_count:
        return Violation(field, "TOO_FEW_LANES", f"has {resource.lane_count} lanes only, not {lane_count}")
    return None


Rule = Callable[[int, Choice, Layout], Iterator[Violation]]


def refuse(error: type[DomainError], faults: Iterable[Violation]) -> None:
    """Raises `error` if there are faults."""
    if violations := list(faults):
        raise error(*violations)


def held(layout: Layout, key: str) -> Iterator[tuple[Slot, int]]:
    """When the visit holds the resource of a requirement, and how many of its lanes."""
    start = layout.stay.start
    for need in layout.type.needs[key]:
        yield Slot(start + need.start * MINUTE, start + need.end * MINUTE), need.lane_count


def _while_busy(busy: Mapping[UUID, Sequence[Slot]], i: int, choice: Choice, layout: Layout) -> Iterator[Violation]:
    for n, (key, resource_id) in enumerate(choice.resources):
        if any(each.overlaps(slot) for each in busy.get(resource_id, ()) for slot, _ in held(layout, key)):
            yield _resource_taken(i, n, resource_id)


def _resource_taken(i: int, n: int, resource_id: UUID) -> Violation:
    text = f"{to_wire('resource', resource_id)} has no lane free then"
    return Violation(f"visits[{i}].resources[{n}]", "RESOURCE_TAKEN", text)


def _lanes(layout: Layout, key: str, resource: Resource, taken: Sequence[Taken]) -> list[Taken] | None:
    start = layout.stay.start
    busy = tuple(
        (each.lane, (each.slot.start - start) // MINUTE, -((start - each.slot.end) // MINUTE))
        for each in taken
        if each.slot.overlaps(layout.hold)
    )
    stretches = lane_stretches(layout.type.needs[key], resource.lane_count, busy)
    if stretches is None:
        return None
    return [Taken(resource.id, n, Slot(start + of * MINUTE, start + to * MINUTE)) for n, of, to in stretches]


Stretch = tuple[int, int, int]
"""A lane, and from and to in minutes after a visit's start."""


@lru_cache(maxsize=10_000)
def lane_stretches(needs: tuple[Need, ...], lane_count: int, busy: tuple[Stretch, ...]) -> tuple[Stretch, ...] | None:
    """The lowest free lanes for each segment, those held before first; one stretch per lane for as long as it lasts.

    None where a segment finds too few. Kept, since most visits find nobody busy.
    """
    current: dict[int, tuple[int, int]] = {}
    done = list[Stretch]()
    for need in needs:
        taken = {lane for lane, start, end in busy if start < need.end and need.start < end}
        going = {lane for lane, (_, end) in current.items() if end == need.start}
        free = sorted((n for n in range(lane_count) if n not in taken), key=lambda n: (n not in going, n))
        if len(free) < need.lane_count:
            return None
        for lane in free[: need.lane_count]:
            start = current[lane][0] if lane in going else need.start
            if lane in current and lane not in going:
                done.append((lane, *current[lane]))
            current[lane] = start, need.end
    return (*done, *((lane, *span) for lane, span in sorted(current.items())))


def _requirement_faults(i: int, choice: Choice, layout: Layout) -> Iterator[Violation]:
    wanted = {requirement.key for requirement in layout.type.requirements}
    keys, ids = [key for key, _ in choice.resources], [id for _, id in choice.resources]
    for n, key in enumerate(keys):
        field = f"visits[{i}].resources[{n}]"
        if key not in wanted:
            yield Violation(f"{field}.requirement_key", "REQUIREMENT_UNKNOWN", "the visit type has no such requirement")
        elif key in keys[:n]:
            yield Violation(f"{field}.requirement_key", "REQUIREMENT_TWICE", "stands above already")
        elif ids[n] in ids[:n]:
            yield Violation(f"{field}.resource_id", "RESOURCE_TWICE", "meets another requirement already")
    for key in sorted(wanted.difference(keys)):
        yield Violation(f"visits[{i}].resources", "REQUIREMENT_MISSING", f"names no resource for {key}")


def _each(choices: Sequence[Choice], layouts: Sequence[Layout], faults: Rule) -> Iterator[Violation]:
    for i, (choice, layout) in enumerate(zip(choices, layouts, strict=True)):
        yield from faults(i, choice, layout)


def _at(error: type[DomainError], starts: Iterable[tuple[int, str]]) -> Iterator[Violation]:
    """With what is wrong with the start of each."""
    for i, text in starts:
        yield Violation(f"visits[{i}].start_time", error.reason, text)
