"""Vital signs, as patients tells of them: whether the last of a visit are within limits. No values are known here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.scheduling.domain.hours import DAY
from services.scheduling.domain.protocols import GateStage


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """Of one moment."""

    taken_at: datetime
    within: Mapping[str, bool]
    """Of each sign that was taken, by the number that patients gives it, whether it is within its limits. Not empty."""


@dataclass(frozen=True, slots=True)
class Found:
    within: bool
    at: datetime
    """When the last of them were taken."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was told of a visit's patient, in the order in which it was taken, and how far the visit is."""

    told: Sequence[VitalSigns]
    day: date
    zone: ZoneInfo
    arrived_at: datetime | None = None
    treated_at: datetime | None = None
    """When treatment began."""

    @property
    def stage(self) -> GateStage:
        """The one that is ahead."""
        return GateStage.DISCHARGE if self.arrived_at else GateStage.CHECK_IN

    @property
    def since(self) -> datetime | None:
        """What was seen earlier says nothing about going home. None: nobody is there yet."""
        return self.treated_at or self.arrived_at

    def found(self, stage: GateStage) -> Found | None:
        """None: nothing was told that counts. A sign that was not taken again stands as it was: who takes the pressure
        anew says nothing of the heart rate."""
        counting = [each for each in self.told if self._counts(each.taken_at, stage)]
        last = {sign: within for each in counting for sign, within in each.within.items()}
        return Found(all(last.values()), counting[-1].taken_at) if counting else None

    def _counts(self, at: datetime, stage: GateStage) -> bool:
        """Nothing lasts longer than a day."""
        if stage is GateStage.DISCHARGE:
            return self.since is not None and self.since <= at < self.since + DAY
        return at.astimezone(self.zone).date() == self.day and (self.arrived_at is None or at <= self.arrived_at)
