"""Who signs anew when a document has a new version. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from uuid import UUID

from services.patients.domain.consents import Signature, SiteTold
from services.patients.domain.documents import (
    EVERY_STATE,
    WESTERNMOST,
    ConsentDocument,
    DocumentVersion,
    PublishedDocument,
    applying,
    day_of,
)


@dataclass(frozen=True, slots=True)
class Recall:
    """The telling of one version, as far as it has come."""

    version_id: UUID
    after_id: UUID | None


@dataclass(frozen=True, slots=True)
class Signer:
    patient_id: UUID
    """That a signature was written under."""
    person_id: UUID
    """The record that stands for them."""
    sites: tuple[SiteTold, ...]
    """That see the record; none of somebody who is dead or forgotten."""
    signatures: tuple[Signature, ...]
    """The last under each document and each id of the person."""

    @property
    def comes_first(self) -> bool:
        """Of the ids under which the person signed: they hear under this one, and once."""
        return all(self.patient_id <= each.patient_id for each in self.signatures)

    @property
    def last(self) -> dict[UUID, Signature]:
        """By document: ids are in the order of their making."""
        return {each.document_id: each for each in sorted(self.signatures, key=lambda signature: signature.id)}


@dataclass(frozen=True, slots=True)
class Outdated:
    """What somebody is to sign, and where."""

    document: ConsentDocument
    version: DocumentVersion
    site_ids: tuple[UUID, ...]


def recalls(document: ConsentDocument, version: DocumentVersion) -> bool:
    """Whether anybody may have to sign anew: a state's first document takes the place of the one of every state."""
    if version.number == 1:
        return document.state != EVERY_STATE
    return not version.earlier_signatures_stay_good


def begun_everywhere(day: date) -> datetime:
    """When `day` has begun in every zone."""
    return datetime.combine(day, time.min, UTC) - WESTERNMOST


def outdated(
    published: Sequence[PublishedDocument], version_id: UUID, signer: Signer, now: datetime
) -> Outdated | None:
    """What the recall of a version asks of somebody. `published` are the documents of one code."""
    last = signer.last
    found = [(site.id, asked) for site in signer.sites if (asked := _asked(published, version_id, site, last, now))]
    if not found:
        return None
    document, version = found[0][1]
    return Outdated(document, version, tuple(site_id for site_id, _ in found))


def _asked(
    published: Sequence[PublishedDocument],
    version_id: UUID,
    site: SiteTold,
    last: Mapping[UUID, Signature],
    now: datetime,
) -> tuple[ConsentDocument, DocumentVersion] | None:
    day = day_of(now, site.time_zone)
    ours = next(iter(applying(published, site.state, day, site.time_zone)), None)
    recalled = ours.version(version_id) if ours else None
    in_effect = ours.in_effect(day) if ours else None
    if ours is None or recalled is None or in_effect is None or _overtaken(ours, recalled, day):
        return None
    signature = last.get(ours.document.id) or _replaced(published, ours, last)
    if signature is None or signature.withdrawn_at:
        return None
    good = signature.document_id == ours.document.id and ours.still_good(signature.version_number, day)
    return None if good else (ours.document, in_effect)


def _overtaken(ours: PublishedDocument, recalled: DocumentVersion, day: date) -> bool:
    """Whether a later version has begun that has a recall of its own."""
    later = [each for each in ours.versions if each.number > recalled.number and each.effective_date <= day]
    return any(recalls(ours.document, each) for each in later)


def _replaced(
    published: Sequence[PublishedDocument], ours: PublishedDocument, last: Mapping[UUID, Signature]
) -> Signature | None:
    """The signature under the document of every state, where `ours` is a state's own."""
    general = (each.document.id for each in published if each.document.state == EVERY_STATE)
    return next((last[id] for id in general if id in last and id != ours.document.id), None)
