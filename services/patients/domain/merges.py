"""Merges: that two records are one person's, and that they are not after all."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from typeid import base32

from chassis.errors import DomainError, Kind, Violation
from chassis.etags import StaleEtag
from services.patients.domain.retention import PatientRestricted

MERGED_MAX = 20
"""Records of one person beside the one that stands for them."""


class MergeOfSame(DomainError):
    kind, reason, message = Kind.INVALID, "MERGE_OF_SAME", "a record is not merged into itself"


class PatientMerged(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_MERGED", "another record stands for this one"

    def __init__(self, survivor_id: UUID | None = None, field: str = "") -> None:
        violations = [Violation(field, self.reason, self.message)] if field else []
        super().__init__(
            *violations, **{"patient_id": f"patient_{base32.encode(survivor_id.bytes)}"} if survivor_id else {}
        )


class PatientNotMerged(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_NOT_MERGED", "the record stands for itself"


class MergeNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "MERGE_NOT_FOUND", "no such merge of a record that the caller may see"


class TooManyMerged(DomainError):
    kind, reason = Kind.EXHAUSTED, "TOO_MANY_MERGED"
    message = "one person has no more than 20 merged records"


@dataclass(frozen=True, slots=True)
class ToMerge:
    """A record that is to be merged, or to stand for another."""

    id: UUID
    version: int
    restricted: bool
    survivor_id: UUID | None
    merged_count: int
    """Records that it stands for."""
    last_version: int
    """Of its merges and unmerges; 0: it never was merged."""

    def check(self, version: int, named: str = "") -> None:
        """`named` stands before the names of the request's fields that are about it."""
        field = f"{named}patient_id"
        if self.survivor_id is not None:
            raise PatientMerged(self.survivor_id, field)
        if self.restricted:
            raise PatientRestricted(Violation(field, PatientRestricted.reason, PatientRestricted.message))
        if self.version != version:
            raise StaleEtag(Violation(f"{named}etag", StaleEtag.reason, StaleEtag.message))


@dataclass(frozen=True, slots=True)
class Merge:
    id: UUID
    survivor_id: UUID
    """The record that was named, which may have been merged itself later."""
    merged_id: UUID
    version: int
    reason: str
    merged_by: str
    merged_at: datetime
    unmerge_id: UUID | None = None
    unmerge_reason: str | None = None
    unmerged_by: str | None = None
    unmerged_at: datetime | None = None

    def unmerged(self, id: UUID, reason: str, by: str, at: datetime) -> Self:
        ended = replace(self, version=self.version + 1, unmerge_id=id, unmerge_reason=reason)
        return replace(ended, unmerged_by=by, unmerged_at=at)


@dataclass(frozen=True, slots=True)
class Written:
    """Something that was written under the survivor while it stood for another."""

    kind: str
    id: UUID
    patient_id: UUID
    site_id: UUID


def check_two(survivor_id: UUID, merged_id: UUID) -> None:
    if survivor_id == merged_id:
        raise MergeOfSame(Violation("merged_patient_id", "SAME", MergeOfSame.message))


def check_count(survivor: ToMerge, merged: ToMerge) -> None:
    if survivor.merged_count + merged.merged_count + 1 > MERGED_MAX:
        raise TooManyMerged(Violation("merged_patient_id", "TOO_MANY_MERGED", TooManyMerged.message))


def branch(of: UUID, standing: Sequence[Merge]) -> frozenset[UUID]:
    """The records that `of` stands for by itself: those merged into it, and into those."""
    found: Collection[UUID] = {each.merged_id for each in standing if each.survivor_id == of}
    return frozenset(found).union(*(branch(each, standing) for each in found))
