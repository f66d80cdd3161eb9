"""Consent documents and signatures, as patients tells of them: whether a patient has signed what a visit asks for.

The rule is that of patients' own answer about a patient and a site (`GetConsentStatus`), on the day of the visit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

EVERY_STATE = ""


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    number: int
    effective: date
    earlier_signatures_stay_good: bool


@dataclass(frozen=True, slots=True)
class Signature:
    version_number: int
    signed_at: datetime | None  # Unknown of some that are withdrawn.
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class ConsentDocument:
    """With the patient's last signature under it."""

    id: UUID
    code: str
    state: str
    retired_at: datetime | None
    versions: tuple[DocumentVersion, ...]
    signature: Signature | None = None

    def asked_for(self, day: date, zone: ZoneInfo) -> bool:
        """From the day on which it is retired nobody is, and before a version has begun nobody can be."""
        in_use = self.retired_at is None or day < self.retired_at.astimezone(zone).date()
        return in_use and any(version.effective <= day for version in self.versions)

    def is_signed(self, day: date) -> bool:
        """And nothing that began since asks for a new signature."""
        signature = self.signature
        if signature is None or signature.withdrawn:
            return False
        since = [each for each in self.versions if each.number > signature.version_number and each.effective <= day]
        return all(each.earlier_signatures_stay_good for each in since)


@dataclass(frozen=True, slots=True)
class Consents:
    """What a patient signed of the documents that apply to a visit: there is at least one."""

    documents: tuple[ConsentDocument, ...]
    day: date

    @property
    def unsigned(self) -> tuple[UUID, ...]:
        return tuple(each.id for each in self.documents if not each.is_signed(self.day))

    @property
    def signed_at(self) -> datetime:
        """When the last of them was, if all are."""
        return max(each.signature.signed_at for each in self.documents if each.signature and each.signature.signed_at)


def consents_at(told: Sequence[ConsentDocument], at: datetime, time_zone: str) -> Consents | None:
    """`told`: of the site's state and of every state. None: nothing applies on the day of `at` at the site."""
    zone = ZoneInfo(time_zone)
    day = at.astimezone(zone).date()
    applying = _applying(each for each in told if each.asked_for(day, zone))
    return Consents(applying, day) if applying else None


def _applying(asked_for: Iterable[ConsentDocument]) -> tuple[ConsentDocument, ...]:
    """By code, the state's own document, else that of every state."""
    found = dict[str, ConsentDocument]()
    for each in asked_for:
        if each.code not in found or each.state != EVERY_STATE:
            found[each.code] = each
    return tuple(found[code] for code in sorted(found))
