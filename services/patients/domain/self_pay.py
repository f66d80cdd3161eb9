"""That a patient pays without insurance: what an estimate rests on."""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum


class SelfPayBasis(StrEnum):
    UNINSURED = "UNINSURED"
    INSURANCE_NOT_USED = "INSURANCE_NOT_USED"


@dataclass(frozen=True, slots=True)
class SelfPayDeclaration:
    basis: SelfPayBasis
    declare_date: date | None  # Before `examine` it may be missing.
    recorded_by: str = ""


def recorded(told: SelfPayDeclaration | None, kept: SelfPayDeclaration | None, actor: str) -> SelfPayDeclaration | None:
    """`told` by `actor`. Told again as it is `kept`, it stays with whoever recorded it first."""
    if told is None:
        return None
    again = kept is not None and replace(told, recorded_by=kept.recorded_by) == kept
    return kept if again else replace(told, recorded_by=actor)
