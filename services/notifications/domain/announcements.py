"""What staff tells many at once. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import Channel

SPAN_MAX = timedelta(days=14)
RECIPIENTS_MAX = 2_000
FALLBACK = "en"


class AnnouncementRefused(DomainError):
    kind, reason, message = Kind.INVALID, "ANNOUNCEMENT_REFUSED", "the announcement cannot be made"


class RecipientsChanged(DomainError):
    kind, reason = Kind.CONFLICT, "RECIPIENTS_CHANGED"
    message = "others have a visit then than when it was previewed"


@dataclass(frozen=True, slots=True)
class Announcement:
    site_id: UUID
    start: datetime
    end: datetime
    texts: Mapping[str, str]
    """By language."""
    channels: tuple[Channel, ...]

    @property
    def written(self) -> str:
        """As a message keeps it."""
        return json.dumps(dict(self.texts))


def text_in(written: str, language: str) -> str:
    texts: dict[str, str] = json.loads(written)
    return texts.get(language.partition("-")[0].lower(), texts[FALLBACK])


def check_announcement(announcement: Announcement, now: datetime) -> None:
    faults = list[tuple[str, str]]()
    if not now < announcement.end or not announcement.start < announcement.end:
        faults.append(("end_time", "is before the start, or has passed"))
    if announcement.end - announcement.start > SPAN_MAX:
        faults.append(("end_time", f"is more than {SPAN_MAX.days} days after the start"))
    if FALLBACK not in announcement.texts:
        faults.append(("texts", "must have one in English"))
    for language, text in announcement.texts.items():
        if found := health_words(text):
            faults.append((f"texts[{language}]", f"holds a health word: {found[0]}"))
    if faults:
        raise AnnouncementRefused(
            *(Violation(f"announcement.{field}", "ANNOUNCEMENT_REFUSED", rule) for field, rule in faults)
        )


def too_many_recipients() -> AnnouncementRefused:
    rule = f"reaches more than {RECIPIENTS_MAX} patients: shorten the hours"
    return AnnouncementRefused(Violation("announcement.end_time", "ANNOUNCEMENT_REFUSED", rule))


def too_long_for_sms(languages: Sequence[str]) -> AnnouncementRefused:
    rule = "is too long for a text with the site's name and phone: €, brackets and emoji count twice"
    return AnnouncementRefused(
        *(Violation(f"announcement.texts[{each}]", "ANNOUNCEMENT_REFUSED", rule) for each in languages)
    )
