"""Signatures and withdrawals, and where a patient stands with each document.

A patient's signatures under one document form a line. The last one holds, unless it is withdrawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.patients.domain.documents import (
    EVERY_STATE,
    ConsentDocument,
    DocumentVersion,
    PublishedDocument,
    applying,
    day_of,
)

ADULT_YEARS = 18


class ConsentVersionNotCurrent(DomainError):
    kind, reason = Kind.CONFLICT, "CONSENT_VERSION_NOT_CURRENT"
    message = "the version is not the one to sign at this site"


class ConsentAlreadyGiven(DomainError):
    kind, reason, message = Kind.CONFLICT, "CONSENT_ALREADY_GIVEN", "the version is signed and not withdrawn"


class SignatureRefused(DomainError):
    kind, reason, message = Kind.INVALID, "SIGNATURE_REFUSED", "whoever signs, or how, cannot be"


class ConsentNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CONSENT_NOT_FOUND", "no such consent of this patient"


class ConsentNotStanding(DomainError):
    kind, reason, message = Kind.CONFLICT, "CONSENT_NOT_STANDING", "there is nothing to withdraw"


class Relationship(StrEnum):
    """What a signer is to the patient."""

    SELF = "SELF"
    PARENT = "PARENT"
    GUARDIAN = "GUARDIAN"
    REPRESENTATIVE = "REPRESENTATIVE"
    GUARANTOR = "GUARANTOR"


MAY_SIGN_FOR_A_MINOR = frozenset({Relationship.PARENT, Relationship.GUARDIAN, Relationship.REPRESENTATIVE})


class Method(StrEnum):
    ELECTRONIC = "ELECTRONIC"
    PAPER = "PAPER"
    VERBAL = "VERBAL"


class Status(StrEnum):
    CURRENT = "CURRENT"
    OUTDATED = "OUTDATED"
    WITHDRAWN = "WITHDRAWN"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class SiteTold:
    """What scheduling told of a site."""

    id: UUID
    state: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Withdrawal:
    site_id: UUID
    reason: str
    withdrawn_by: str
    withdrawn_at: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    id: UUID
    patient_id: UUID
    site_id: UUID
    document_id: UUID
    version_id: UUID
    sequence: int  # In the line of the patient's signatures under the document.
    language: str
    signer_name: str
    relationship: Relationship
    method: Method
    witness_name: str
    signed_at: datetime
    recorded_by: str
    recorded_at: datetime
    withdrawal: Withdrawal | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What rules ask of a consent. Nothing of it is sealed: names that do not open keep nobody from signing anew."""

    id: UUID
    patient_id: UUID
    document_id: UUID
    version_id: UUID
    version_number: int
    sequence: int
    relationship: Relationship
    signed_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeptConsent:
    """A consent with what it was given to."""

    consent: Consent
    document_code: str
    state: str
    version_number: int
    effective_date: date
    earlier_signatures_stay_good: bool
    content_hash: str


@dataclass(frozen=True, slots=True)
class Signing:
    """What is said of a new signature, before it is judged."""

    language: str
    relationship: Relationship
    method: Method
    witness_name: str
    signed_at: datetime | None  # None: now.
    by_patient: bool  # The patient calls, nobody of the staff.


@dataclass(frozen=True, slots=True)
class DocumentConsent:
    """Where a patient stands with one document."""

    document: ConsentDocument
    in_effect: DocumentVersion
    status: Status
    signature: KeptConsent | None


def years_old(birth_date: date, day: date) -> int:
    """Whoever was born on 29 February is a year older on 1 March."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def end_of(day: date, time_zone: str) -> datetime:
    """The midnight after `day`, in the zone."""
    if day == date.max:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(time_zone)).astimezone(UTC)


def check_version_current(
    published: Sequence[PublishedDocument], version_id: UUID, site: SiteTold, signed_on: date, today: date
) -> tuple[PublishedDocument, DocumentVersion]:
    """The document and version signed, of those with one code: in effect on the day of signing and still good today."""
    [(ours, version)] = [(each, found) for each in published if (found := each.version(version_id))]
    current = next(iter(applying(published, site.state, today, site.time_zone)), None)
    rule = _why_not(ours, version, site, signed_on, today, current)
    if rule is None:
        return ours, version
    in_effect = current.in_effect(today) if current else None
    named = {"current_version_id": to_wire("consentdocumentversion", in_effect.id)} if in_effect else {}
    raise ConsentVersionNotCurrent(Violation("consent_document_version_id", rule, _SAID_OF[rule]), **named)


_SAID_OF = {
    "OTHER_STATE": "the document is another state's",
    "RETIRED": "the document was retired",
    "STATE_HAS_ITS_OWN": "the state has a document of its own",
    "NOT_YET_IN_EFFECT": "the version's first day has not come at the site",
    "OUTDATED": "another version took its place",
}


def _why_not(
    ours: PublishedDocument,
    version: DocumentVersion,
    site: SiteTold,
    signed_on: date,
    today: date,
    current: PublishedDocument | None,
) -> str | None:
    if ours.document.state not in (site.state, EVERY_STATE):
        return "OTHER_STATE"
    if not ours.document.in_use(today, site.time_zone):
        return "RETIRED"
    if version.effective_date > signed_on:
        return "NOT_YET_IN_EFFECT"
    if current is not ours:
        return "STATE_HAS_ITS_OWN"
    if ours.in_effect(signed_on) != version or not ours.still_good(version.number, today):
        return "OUTDATED"
    return None


def check_signing(
    signing: Signing,
    document: ConsentDocument,
    version: DocumentVersion,
    age: int,
    last: Signature | None,
    now: datetime,
) -> None:
    """`age` in years on the day of signing; `last` is the patient's last signature under the document."""
    faults = [*_signer_faults(signing, document, age), *_method_faults(signing, version)]
    faults += _sign_time_faults(signing.signed_at, version, last, now)
    if faults:
        raise SignatureRefused(*faults)


def _signer_faults(signing: Signing, document: ConsentDocument, age: int) -> Iterator[Violation]:
    relationship = signing.relationship
    if signing.by_patient and relationship is not Relationship.SELF:
        yield Violation("relationship", "SIGNER_NOT_PATIENT", "what others sign, staff record")
    if age < ADULT_YEARS and relationship not in MAY_SIGN_FOR_A_MINOR:
        yield Violation("relationship", "SIGNER_UNDER_AGE", "for a minor a parent, guardian or representative signs")
    elif relationship is Relationship.GUARANTOR and not document.guarantor_may_sign:
        yield Violation("relationship", "GUARANTOR_MAY_NOT_SIGN", "the document is not one that whoever pays may sign")


def _method_faults(signing: Signing, version: DocumentVersion) -> Iterator[Violation]:
    if signing.by_patient and signing.method is not Method.ELECTRONIC:
        yield Violation("method", "METHOD_NOT_PATIENTS", "a patient's own call is an electronic signature")
    if signing.by_patient and signing.witness_name:
        yield Violation("witness_name", "WITNESS_NOT_PATIENTS", "what a witness heard, staff record")
    if signing.method is Method.VERBAL and not signing.witness_name:
        yield Violation("witness_name", "WITNESS_MISSING", "a spoken consent needs a witness")
    if signing.language not in version.languages:
        yield Violation("language_code", "LANGUAGE_NOT_PUBLISHED", "the version is not written in this language")
    if signing.by_patient and signing.signed_at is not None:
        yield Violation("sign_time", "SIGN_TIME_NOT_PATIENTS", "a patient signs now")


def _sign_time_faults(
    signed_at: datetime | None, version: DocumentVersion, last: Signature | None, now: datetime
) -> Iterator[Violation]:
    if signed_at is None:
        return
    if signed_at > now:
        yield Violation("sign_time", "SIGN_TIME_IN_FUTURE", "is after now")
    if signed_at < version.published_at:
        yield Violation("sign_time", "SIGN_TIME_BEFORE_PUBLISHED", "is before the version was published")
    if last and signed_at < (last.withdrawn_at or last.signed_at):
        yield Violation("sign_time", "SIGN_TIME_BEFORE_LAST", "the patient signed or withdrew later than that")


def check_not_given(version: DocumentVersion, relationship: Relationship, last: Signature | None) -> None:
    """A parent's signature does not keep a patient who has come of age from signing for themself."""
    if last and not last.withdrawn_at and (last.version_id, last.relationship) == (version.id, relationship):
        raise ConsentAlreadyGiven(consent_id=to_wire("consent", last.id))


def check_standing(consent: Consent, last: Signature) -> None:
    """`last` is the last of its line."""
    if consent.withdrawal:
        raise ConsentNotStanding(Violation("consent_id", "WITHDRAWN", "the consent was withdrawn before"))
    if consent.id != last.id:
        superseded = Violation("consent_id", "SUPERSEDED", "a later signature took its place")
        raise ConsentNotStanding(superseded, consent_id=to_wire("consent", last.id))


def status_at(
    published: Sequence[PublishedDocument], site: SiteTold, day: date, last: Mapping[UUID, KeptConsent]
) -> list[DocumentConsent]:
    """By code. `last`: by document, the last signature until the end of `day`, with a withdrawal until then."""
    found = list[DocumentConsent]()
    for each in applying(published, site.state, day, site.time_zone):
        in_effect, signature = each.in_effect(day), last.get(each.document.id)
        assert in_effect
        found.append(DocumentConsent(each.document, in_effect, _status(each, signature, day), signature))
    return found


def _status(published: PublishedDocument, signature: KeptConsent | None, day: date) -> Status:
    if signature is None:
        return Status.MISSING
    if signature.consent.withdrawal:
        return Status.WITHDRAWN
    return Status.CURRENT if published.still_good(signature.version_number, day) else Status.OUTDATED


def signed_on(signing: Signing, site: SiteTold, now: datetime) -> date:
    return day_of(signing.signed_at or now, site.time_zone)
