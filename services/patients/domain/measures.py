"""Measures: scores by the published rules, what asks for a look, and how a course goes.

PHQ-9: Kroenke, Spitzer, Williams 2001. GAD-7: Spitzer, Kroenke, Williams, Löwe 2006. PCL-5: National Center for PTSD,
and Blevins, Weathers, Davis, Witte, Domino 2015.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation


class MeasureNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "MEASURE_NOT_FOUND", "no such measure of a record that the caller may see"


class MeasureIncomplete(DomainError):
    kind, reason = Kind.INVALID, "MEASURE_INCOMPLETE"
    message = "a questionnaire has fewer or more items than its instrument, or one outside its range"


class MeasureInFuture(DomainError):
    kind, reason, message = Kind.INVALID, "MEASURE_IN_FUTURE", "measure_time is still to come"


class MeasureRetracted(DomainError):
    kind, reason, message = Kind.CONFLICT, "MEASURE_RETRACTED", "the measure was retracted before"


class SafetyFlagNotFound(DomainError):
    kind, reason = Kind.NOT_FOUND, "SAFETY_FLAG_NOT_FOUND"
    message = "no such safety flag of a record that the caller may see"


class SafetyFlagAcknowledged(DomainError):
    kind, reason = Kind.CONFLICT, "SAFETY_FLAG_ACKNOWLEDGED"
    message = "a clinician acknowledged the safety flag before"


class Instrument(StrEnum):
    PHQ_9 = "PHQ_9"
    GAD_7 = "GAD_7"
    PCL_5 = "PCL_5"
    VITAL_SIGNS = "VITAL_SIGNS"
    SIDE_EFFECTS = "SIDE_EFFECTS"


class Band(StrEnum):
    MINIMAL = "MINIMAL"
    MILD = "MILD"
    MODERATE = "MODERATE"
    MODERATELY_SEVERE = "MODERATELY_SEVERE"
    SEVERE = "SEVERE"
    BELOW_CUT_POINT = "BELOW_CUT_POINT"
    AT_CUT_POINT = "AT_CUT_POINT"


class Severity(StrEnum):
    MILD = "MILD"
    MODERATE = "MODERATE"
    SEVERE = "SEVERE"


class SafetyFlagKind(StrEnum):
    SELF_HARM = "SELF_HARM"
    VITAL_SIGNS = "VITAL_SIGNS"


@dataclass(frozen=True, slots=True)
class Scale:
    """How a questionnaire is scored: the sum of its items, and bands by the lowest total of each."""

    items: int
    item_max: int
    bands: tuple[tuple[int, Band], ...]
    remission_below: int = 0


SCALES: Mapping[Instrument, Scale] = {
    Instrument.PHQ_9: Scale(
        9,
        3,
        ((0, Band.MINIMAL), (5, Band.MILD), (10, Band.MODERATE), (15, Band.MODERATELY_SEVERE), (20, Band.SEVERE)),
        remission_below=5,
    ),
    Instrument.GAD_7: Scale(
        7, 3, ((0, Band.MINIMAL), (5, Band.MILD), (10, Band.MODERATE), (15, Band.SEVERE)), remission_below=5
    ),
    Instrument.PCL_5: Scale(20, 4, ((0, Band.BELOW_CUT_POINT), (31, Band.AT_CUT_POINT))),
}
SELF_HARM_ITEM = 8  # Item 9, counted from 0.
PCL_5_RESPONSE = 5  # Points down: the least change that is more than chance.
LIMITS: Mapping[str, tuple[int, int]] = {
    "systolic_mm_hg": (90, 180),
    "heart_rate_per_minute": (50, 120),
    "oxygen_saturation_percent": (92, 100),
}
"""Lowest and highest value that needs no look."""


@dataclass(frozen=True, slots=True)
class Questionnaire:
    instrument: Instrument
    item_scores: tuple[int, ...]

    def check(self) -> None:
        if faults := list(self._faults()):
            raise MeasureIncomplete(*faults)

    @property
    def total(self) -> int:
        return sum(self.item_scores)

    def _faults(self) -> Iterator[Violation]:
        scale, field = SCALES[self.instrument], "questionnaire.item_scores"
        if len(self.item_scores) != scale.items:
            yield Violation(field, "ITEM_COUNT", f"the instrument has {scale.items} items, each is needed")
        for n, score in enumerate(self.item_scores):
            if not 0 <= score <= scale.item_max:
                yield Violation(f"{field}[{n}]", "ITEM_RANGE", f"is not from 0 to {scale.item_max}")


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """Of one moment; 0 is a value that was not taken."""

    systolic_mm_hg: int = 0
    diastolic_mm_hg: int = 0
    heart_rate_per_minute: int = 0
    oxygen_saturation_percent: int = 0
    temperature_tenths_celsius: int = 0
    weight_grams: int = 0

    @property
    def looked_at(self) -> Mapping[str, bool]:
        """Those taken that have limits: whether each is within them."""
        values = ((name, getattr(self, name), limits) for name, limits in LIMITS.items())
        return {name: low <= value <= high for name, value, (low, high) in values if value}

    @property
    def within_limits(self) -> bool:
        return all(self.looked_at.values())


@dataclass(frozen=True, slots=True)
class SideEffect:
    code: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class SideEffects:
    side_effects: tuple[SideEffect, ...]


Content = Questionnaire | VitalSigns | SideEffects


@dataclass(frozen=True, slots=True)
class Measure:
    id: UUID
    patient_id: UUID
    site_id: UUID
    course_id: UUID | None
    visit_id: UUID | None
    taken_at: datetime
    content: Content
    recorded_by: str
    recorded_at: datetime
    retracted_by: str | None = None
    retracted_at: datetime | None = None

    @property
    def instrument(self) -> Instrument:
        if isinstance(self.content, Questionnaire):
            return self.content.instrument
        return Instrument.VITAL_SIGNS if isinstance(self.content, VitalSigns) else Instrument.SIDE_EFFECTS

    @property
    def total(self) -> int | None:
        return self.content.total if isinstance(self.content, Questionnaire) else None

    def check(self) -> None:
        if self.taken_at > self.recorded_at:
            raise MeasureInFuture(Violation("measure_time", "MEASURE_IN_FUTURE", MeasureInFuture.message))
        if isinstance(self.content, Questionnaire):
            self.content.check()

    @property
    def safety_flag(self) -> SafetyFlagKind | None:
        """What in it asks for a clinician's look."""
        if isinstance(self.content, VitalSigns):
            return None if self.content.within_limits else SafetyFlagKind.VITAL_SIGNS
        if self.instrument is Instrument.PHQ_9 and isinstance(self.content, Questionnaire):
            return SafetyFlagKind.SELF_HARM if self.content.item_scores[SELF_HARM_ITEM] else None
        return None

    def retracted(self, by: str, at: datetime) -> Self:
        if self.retracted_at is not None:
            raise MeasureRetracted()
        return replace(self, retracted_by=by, retracted_at=at)


@dataclass(frozen=True, slots=True)
class SafetyFlag:
    id: UUID
    kind: SafetyFlagKind
    patient_id: UUID
    site_id: UUID
    measure_id: UUID
    raised_at: datetime
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    note: str = ""

    def acknowledged(self, by: str, at: datetime, note: str) -> Self:
        if self.acknowledged_at is not None:
            raise SafetyFlagAcknowledged()
        return replace(self, acknowledged_by=by, acknowledged_at=at, note=note)


@dataclass(frozen=True, slots=True)
class Point:
    """One measure of a course, against its first."""

    measure: Measure
    total: int
    change: int
    response: bool
    remission: bool


def band_of(instrument: Instrument, total: int) -> Band:
    return next(band for lowest, band in reversed(SCALES[instrument].bands) if total >= lowest)


def trend(measures: Sequence[Measure]) -> list[Point]:
    """Of one questionnaire and course, in the order in which they were taken: the first is the baseline."""
    totals = [each.total or 0 for each in measures]
    return [_point(each, total, totals[0]) for each, total in zip(measures, totals, strict=True)]


def _point(measure: Measure, total: int, baseline: int) -> Point:
    scale = SCALES[measure.instrument]
    if measure.instrument is Instrument.PCL_5:
        response = baseline - total >= PCL_5_RESPONSE
    else:
        response = baseline > 0 and total * 2 <= baseline
    return Point(measure, total, total - baseline, response, total < scale.remission_below)
