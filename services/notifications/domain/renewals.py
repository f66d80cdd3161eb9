"""Documents that a patient is to sign anew. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from chassis.ids import to_wire
from services.notifications.domain.matters import Matter, MatterKind


@dataclass(frozen=True, slots=True)
class Renewal:
    patient_id: UUID
    document_id: UUID
    version_id: UUID
    number: int
    site_ids: tuple[UUID, ...]
    """Where it is to be signed."""
    asked_at: datetime

    @property
    def matter_id(self) -> UUID:
        """One for each patient and version, so that it is told once."""
        return uuid5(self.version_id, str(self.patient_id))

    def matter(self, site_id: UUID) -> Matter:
        about = to_wire("consentdocumentversion", self.version_id)
        return Matter(self.matter_id, MatterKind.CONSENT, site_id, self.patient_id, about=about)


@dataclass(frozen=True, slots=True)
class Ending:
    """A version is signed, or its signature taken back. It ends what asked for this version or an earlier one, whenever
    that was, and what asked before it for any: a signature of a version that is still good, on paper, comes after the
    next one has begun."""

    patient_id: UUID
    document_id: UUID
    number: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A renewal as it stands. A patient who was merged may have one of a document under each id."""

    renewal: Renewal
    ended: bool
    """Signed, taken back or retired, under any id."""
    told_id: UUID | None
    """The matter that was told of it, or of a version before it."""
    told_open: bool
    """That matter still asks."""
    sent: bool
    """What it told went out, or may have."""
    next_site_id: UUID | None
    """Where the patient's next visit is, of the sites where it is to be signed."""

    @property
    def told(self) -> bool:
        return self._was_told and self.told_open

    @property
    def told_before(self) -> bool:
        """It is not told any more: what ended it was another's, as it turned out."""
        return self._was_told and not self.told_open

    @property
    def heard(self) -> bool:
        return self._was_told and self.sent

    @property
    def _was_told(self) -> bool:
        return self.told_id == self.renewal.matter_id


def still_asked(found: Sequence[Standing]) -> list[Standing]:
    """Of each document one: the latest version, unless that is ended; of several of it what was heard, else told, else
    asked first."""
    by_age = sorted(found, key=lambda each: each.renewal.asked_at, reverse=True)
    ordered = sorted(by_age, key=lambda each: (each.renewal.number, not each.ended, each.heard, each.told))
    latest = {each.renewal.document_id: each for each in ordered}
    return [each for each in latest.values() if not each.ended]


def to_tell(asked: Sequence[Standing]) -> list[Standing]:
    """With a visit to come, and not told yet, or not any more."""
    return [each for each in asked if each.next_site_id and not each.told]


def told_in_vain(found: Sequence[Standing], asked: Sequence[Standing]) -> list[UUID]:
    """Matters that still ask for what is not asked any more."""
    standing = {each.renewal.matter_id for each in asked}
    return [each.told_id for each in found if each.told_id and each.told_open and each.told_id not in standing]
