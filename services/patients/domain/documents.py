"""Consent documents: their versions, which of them applies where and when, and in which language it is read."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire

EVERY_STATE = ""
WESTERNMOST = timedelta(hours=-12)  # Where a day ends last.
FALLBACK_LANGUAGE = "en"


class ConsentDocumentNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "CONSENT_DOCUMENT_NOT_FOUND", "no such document, or version of one"


class ConsentDocumentTaken(DomainError):
    kind, reason = Kind.CONFLICT, "CONSENT_DOCUMENT_TAKEN"
    message = "the chain has a document of this code and state"


class ConsentDocumentRetired(DomainError):
    kind, reason, message = Kind.CONFLICT, "CONSENT_DOCUMENT_RETIRED", "the document was retired before"


class ConsentVersionRefused(DomainError):
    kind, reason, message = Kind.INVALID, "CONSENT_VERSION_REFUSED", "the version cannot be published like this"


class TextFormat(StrEnum):
    PLAIN = "PLAIN"
    MARKDOWN = "MARKDOWN"


@dataclass(frozen=True, slots=True)
class ConsentText:
    language: str  # As `language_tag` writes it.
    format: TextFormat
    content: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the UTF-8 bytes, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ConsentDocument:
    id: UUID
    code: str
    state: str
    display_name: str
    guarantor_may_sign: bool
    created_at: datetime
    retired_at: datetime | None = None
    retired_by: str | None = None

    def retired(self, by: str, at: datetime) -> Self:
        self.check_in_use()
        return replace(self, retired_at=at, retired_by=by)

    def check_in_use(self) -> None:
        if self.retired_at is not None:
            raise ConsentDocumentRetired(consent_document_id=to_wire("consentdocument", self.id))

    def in_use(self, day: date, time_zone: str) -> bool:
        """From the day on which it is retired nobody is asked for it."""
        return self.retired_at is None or day < day_of(self.retired_at, time_zone)


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    id: UUID
    document_id: UUID
    number: int
    effective_date: date
    earlier_signatures_stay_good: bool
    content_hashes: tuple[tuple[str, str], ...]  # By language.
    published_at: datetime
    published_by: str

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(language for language, _ in self.content_hashes))


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """A document and its versions, by number."""

    document: ConsentDocument
    versions: tuple[DocumentVersion, ...]

    def in_effect(self, day: date) -> DocumentVersion | None:
        """The highest that has begun: a version begins on no earlier day than the one before it."""
        begun = [version for version in self.versions if version.effective_date <= day]
        return begun[-1] if begun else None

    def version(self, version_id: UUID) -> DocumentVersion | None:
        return next((version for version in self.versions if version.id == version_id), None)

    def still_good(self, signed_number: int, day: date) -> bool:
        """Whether nothing that began since asks for a new signature."""
        since = [each for each in self.versions if each.number > signed_number and each.effective_date <= day]
        return all(each.earlier_signatures_stay_good for each in since)


def applying(published: Sequence[PublishedDocument], state: str, day: date, time_zone: str) -> list[PublishedDocument]:
    """By code, what applies in `state` on `day`: the state's own document, else the one of every state."""
    found = dict[str, PublishedDocument]()
    for each in published:
        document = each.document
        if document.state in (state, EVERY_STATE) and document.in_use(day, time_zone) and each.in_effect(day):
            before = found.get(document.code)
            if before is None or before.document.state == EVERY_STATE:
                found[document.code] = each
    return [found[code] for code in sorted(found)]


def check_version(
    texts: Sequence[ConsentText], effective_date: date, last: DocumentVersion | None, now: datetime
) -> None:
    faults = list(_version_faults(texts, effective_date, last, now))
    if faults:
        raise ConsentVersionRefused(*faults)


def _version_faults(
    texts: Sequence[ConsentText], effective_date: date, last: DocumentVersion | None, now: datetime
) -> Iterator[Violation]:
    seen = set[str]()
    for i, text in enumerate(texts):
        if text.language in seen:
            yield Violation(f"texts[{i}].language_code", "LANGUAGE_TWICE", "another text is in this language")
        seen.add(text.language)
    if effective_date < (now.astimezone(UTC) + WESTERNMOST).date():
        yield Violation("effective_date", "EFFECTIVE_DATE_PASSED", "this day has passed everywhere on earth")
    if last and effective_date < last.effective_date:
        rule = "EFFECTIVE_DATE_BEFORE_LAST_VERSION"
        yield Violation("effective_date", rule, "the version published last begins later")


def language_tag(text: str) -> str:
    """As BCP 47 recommends to write it: es-MX, zh-Hant-TW."""
    first, *others = text.split("-")
    return "-".join([first.lower(), *map(_subtag, others)])


def _subtag(text: str) -> str:
    if len(text) == 4 and text.isalpha():
        return text.title()
    return text.upper() if len(text) == 2 else text.lower()


def nearest_language(languages: Sequence[str], wanted: str) -> str:
    """Of `languages`: the wanted one, then what it is a kind of, then another of its kind, then English, then any."""
    for asked in (language_tag(wanted), FALLBACK_LANGUAGE) if wanted else (FALLBACK_LANGUAGE,):
        parts = asked.split("-")
        for count in range(len(parts), 0, -1):
            if (tag := "-".join(parts[:count])) in languages:
                return tag
        if kin := [each for each in sorted(languages) if each.split("-")[0] == parts[0]]:
            return kin[0]
    return sorted(languages)[0]


def day_of(instant: datetime, time_zone: str) -> date:
    return instant.astimezone(ZoneInfo(time_zone)).date()
