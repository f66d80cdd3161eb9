"""The shipped templates, and each message written from one of them or from a chain's own.

One file for a kind and a language, one table in it for a channel. A template that is not there, that asks for what it
may not say, or that holds a health word keeps the service from starting.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import TemplateError
from markupsafe import Markup

from chassis.ids import to_wire
from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.messages import TemplateRef
from services.notifications.domain.templates import (
    SHIPPED_LANGUAGES,
    Content,
    OwnTemplate,
    channels_of,
    has_subject,
    shipped_language,
)
from services.notifications.domain.variables import Part, allowed
from services.notifications.wording.engine import Misused, compiled, filled, misuses, parse
from services.notifications.wording.mail import FOLDER, in_layout, label_of, to_html
from services.notifications.wording.texting import fitted, one_line
from services.notifications.wording.words import BrokenTemplate, Words, Written, said

Place = tuple[MessageKind, Channel, str]


@dataclass(frozen=True, slots=True)
class Source:
    """What a message is written from, with the label of its button."""

    content: Content
    label: str
    ref: TemplateRef


class Templates:
    def __init__(self, folder: Path = FOLDER) -> None:
        self._shipped = _shipped(folder)

    def shipped(self, kind: MessageKind, channel: Channel, language: str) -> Source:
        """In `language`, a BCP 47 tag, or the nearest to it that is shipped. BrokenTemplate where there is none."""
        try:
            return self._shipped[kind, channel, shipped_language(language)]
        except KeyError:
            raise BrokenTemplate(f"{kind} by {channel}") from None

    def write(
        self, kind: MessageKind, channel: Channel, language: str, words: Words, own: OwnTemplate | None
    ) -> Written:
        """`own`, if any, is the chain's text that goes before the shipped one."""
        source = source_of(own) if own else self.shipped(kind, channel, language)
        return write(kind, channel, words, source)

    def piece(self, kind: MessageKind, language: str, words: Words, own: OwnTemplate | None) -> str:
        """What an email of several messages says of one: its inbox line, with what an email may say, and its link."""
        source = source_of(own) if own else self.shipped(kind, Channel.IN_APP, language)
        given = said(words, kind, Channel.EMAIL, source.ref.language, Part.TEXT)
        try:
            text = _tidy(filled(compiled(source.content.text), given))
        except TemplateError as error:
            raise BrokenTemplate(f"{source.ref.language}/{source.ref.code}") from error
        return f"{text}\n{words.link}\n" if words.link else text


def source_of(own: OwnTemplate) -> Source:
    ref = TemplateRef(to_wire("template", own.id), str(own.number), own.spot.language)
    return Source(own.content, label_of(own.spot.language), ref)


def write(kind: MessageKind, channel: Channel, words: Words, source: Source) -> Written:
    """BrokenTemplate where it cannot be filled in with these words."""
    ref = source.ref
    try:
        return _written(kind, channel, words, source)
    except TemplateError as error:
        raise BrokenTemplate(f"{ref.language}/{ref.code}") from error


def _written(kind: MessageKind, channel: Channel, words: Words, source: Source) -> Written:
    content, language = source.content, source.ref.language

    def fill(part: Part, text: str, given: Words) -> str:
        return filled(compiled(text, markup=part is Part.HTML), said(given, kind, channel, language, part))

    if channel is Channel.SMS:
        text = fitted(words, language, lambda given: fill(Part.TEXT, content.text, given))
        return Written("", text, None, source.ref)
    text = fill(Part.TEXT, content.text, words)
    if channel is Channel.VOICE:
        return Written("", one_line(text), None, source.ref)
    subject, text = one_line(fill(Part.SUBJECT, content.subject, words)), _tidy(text)
    if channel is Channel.IN_APP:
        return Written(subject, text, None, source.ref)
    body = _body(source, text, lambda html: fill(Part.HTML, html, words))
    return Written(subject, text, in_layout(body, subject, words, kind, language), source.ref)


def _body(source: Source, text: str, fill: Callable[[str], str]) -> Markup:
    if source.content.html:
        return Markup(fill(source.content.html))  # noqa: S704  # Checked when it was saved; what it says is escaped.
    return to_html(text, source.label)


def _tidy(text: str) -> str:
    """Without the empty lines that conditions leave behind."""
    paragraphs = [part.strip("\n") for part in text.split("\n\n")]
    return "\n\n".join(part for part in paragraphs if part.strip()) + "\n"


@cache
def _shipped(folder: Path) -> Mapping[Place, "Source"]:
    """Read and checked once in a process, whoever writes messages in it."""
    return dict(_load(folder))


def _load(folder: Path) -> Iterator[tuple[Place, Source]]:
    for language in SHIPPED_LANGUAGES:
        for kind in MessageKind:
            name = f"{language}/{kind.lower()}"
            try:
                tables = tomllib.loads((folder / f"{name}.toml").read_text())
                wanted = {channel.lower(): channel for channel in channels_of(kind)}
                if tables.keys() != wanted.keys():
                    raise BrokenTemplate(f"{language}/{kind}: {sorted(tables.keys() ^ wanted.keys())}")
                for table, parts in tables.items():
                    yield (kind, wanted[table], language), _source(kind, wanted[table], language, parts)
            except (OSError, KeyError, ValueError, Misused) as error:
                raise BrokenTemplate(f"{language}/{kind}") from error


def _source(kind: MessageKind, channel: Channel, language: str, parts: Mapping[str, str]) -> Source:
    content = Content(parts["subject"] if has_subject(channel) else "", parts["text"])
    label = parts.get("button", label_of(language))
    for part, text in ((Part.SUBJECT, content.subject), (Part.TEXT, content.text)):
        for misuse in misuses(parse(text), allowed(kind, channel, part)):
            raise misuse
    told = "\n".join((content.subject, content.text, label))
    if found := health_words(told):
        raise BrokenTemplate(f"{language}/{kind} holds {found}")
    version = hashlib.sha256(told.encode()).hexdigest()[:12]
    return Source(content, label, TemplateRef(kind.lower(), version, language))
