"""What a message says: shipped templates, one subject and one text per kind and language, filled in.

A template gets what it may say and nothing else: see `Words`. One that holds a health word, or lacks its other half,
keeps the service from starting.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError, select_autoescape

from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import MessageKind
from services.notifications.domain.messages import TemplateRef
from services.notifications.domain.sending import Taken

SHIPPED = Path(__file__).with_name("templates")
FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Words:
    """All that a message may say."""

    given_name: str
    site_name: str  # The discreet one.
    start: datetime  # Local to the site.
    online: bool
    address: str
    phone: str


@dataclass(frozen=True, slots=True)
class Written:
    subject: str
    text: str
    template: TemplateRef


class BrokenTemplate(Exception):
    """A template that cannot be shipped, or filled in. Says which, never with what."""


class Templates:
    def __init__(self, folder: Path = SHIPPED) -> None:
        environment = Environment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            autoescape=select_autoescape(),  # Of HTML; a plain text is as it is.
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        self._languages = sorted(path.name for path in folder.iterdir())
        self._pairs = dict(self._load(folder, environment))

    def _load(
        self, folder: Path, environment: Environment
    ) -> Iterator[tuple[tuple[str, MessageKind], tuple[Template, Template, TemplateRef]]]:
        for language in self._languages:
            for kind in (MessageKind.VISIT_CONFIRMATION, MessageKind.VISIT_REMINDER):
                names = [f"{language}/{kind.lower()}.{part}" for part in ("subject", "txt")]
                try:
                    source = "".join((folder / name).read_text() for name in (*names, f"{language}/when.jinja"))
                    subject, text = map(environment.get_template, names)
                except (OSError, TemplateError) as error:
                    raise BrokenTemplate(f"{language}/{kind}") from error
                if found := health_words(source):
                    raise BrokenTemplate(f"{language}/{kind} holds {found}")
                version = hashlib.sha256(source.encode()).hexdigest()[:12]
                yield (language, kind), (subject, text, TemplateRef(kind.lower(), version, language))

    def write(self, kind: MessageKind, language: str, words: Words) -> Written:
        """In `language`, a BCP 47 tag, or the nearest to it that is shipped."""
        if (self._nearest(language), kind) not in self._pairs:
            raise BrokenTemplate(kind)
        subject, text, template = self._pairs[self._nearest(language), kind]
        said = {field.name: getattr(words, field.name) for field in fields(words)}
        try:
            return Written(subject.render(said).strip(), text.render(said), template)
        except TemplateError as error:
            raise BrokenTemplate(f"{template.language}/{template.code}") from error

    def _nearest(self, language: str) -> str:
        primary = language.partition("-")[0].lower()
        return primary if primary in self._languages else FALLBACK


def words_of(taken: Taken, given_name: str) -> Words:
    site = taken.site
    if taken.visit is None:
        raise BrokenTemplate(taken.kind)
    start = taken.visit.start.astimezone(site.zone)
    return Words(given_name, site.discreet_name, start, taken.visit.telehealth, site.address, site.phone)
