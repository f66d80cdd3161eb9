"""What a template of a chain's own must be like to be saved: each fault with its field, its rule and its place.

Looked for in the source, where a condition hides nothing, and again in what the template writes of sample words.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from jinja2 import Template, TemplateError, nodes

from chassis.errors import Violation
from services.notifications.domain.discretion import NO_REPLY_WORD, health_words
from services.notifications.domain.kinds import Channel
from services.notifications.domain.segments import SMS_MAX, length_of
from services.notifications.domain.templates import REPLIES, Content, Spot, channels_of, has_subject
from services.notifications.domain.variables import Part, allowed, is_discreet, variables_of
from services.notifications.wording.engine import Misused, filled, made, misuses, parse
from services.notifications.wording.samples import LONG, SAMPLE, SHORT, trials
from services.notifications.wording.texting import as_sms, one_line
from services.notifications.wording.words import BrokenTemplate, Words, said

FAULTS_MAX = 20
"""That are told at once: more would not fit into an answer's head."""
SUBJECT_MAX = 150
"""Characters of a subject, filled in."""
VOICE_MAX = 600
"""Characters of a call: some 40 seconds."""
URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"']*", re.IGNORECASE)
BARE_HOST = re.compile(
    r"(?<![@\w/.-])(?:[a-z0-9-]+\.)+(?:com|net|org|info|biz|io|co|us|me|app|dev|health|care|clinic|link|ly|gl|to)\b",
    re.IGNORECASE,
)
"""What a reader's program makes a link of, though nobody wrote https://."""
SYNTAX = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
LINK_VARIABLE = re.compile(r"href=\"\{\{\s*link\s*\}\}\"")
LINK_HELD = "link:"
TAG = re.compile(r"</?(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?:\s+href=\"(?P<target>[^\"<>{}]*)\")?\s*/?>")
TAGS = frozenset({"a", "b", "blockquote", "br", "em", "h2", "h3", "hr", "i", "li", "ol", "p", "strong", "u", "ul"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a template, and what may stand in it."""

    spot: Spot
    part: Part
    text: str

    @property
    def discreet(self) -> bool:
        return is_discreet(self.spot.channel, self.part)

    @property
    def bare(self) -> str:
        """Its own words alone, where they stand: instead of the syntax there are spaces."""
        return SYNTAX.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), self.text)

    def fault(self, offset: int, rule: str, what: str) -> Violation:
        line = self.text.count("\n", 0, offset) + 1
        column = offset - self.text.rfind("\n", 0, offset)
        return Violation(self.part.value, rule, f"line {line}, column {column}: {what}")

    def fault_in_line(self, line: int, rule: str, what: str) -> Violation:
        return Violation(self.part.value, rule, f"line {line}: {what}")

    def fault_when_filled(self, rule: str, what: str) -> Violation:
        return Violation(self.part.value, rule, f"filled in: {what}")


def faults(spot: Spot, content: Content, hosts: Collection[str]) -> list[Violation]:
    """The first of them. `hosts` are those that a message of the chain may link to."""
    if found := [*of_other_channel(spot)] or [*_missing(spot, content)]:
        return found
    texts = {Part.SUBJECT: content.subject, Part.TEXT: content.text, Part.HTML: content.html}
    pieces = [Piece(spot, part, text) for part, text in texts.items() if text]
    return list(islice((fault for piece in pieces for fault in _faults(piece, hosts)), FAULTS_MAX))


def of_other_channel(spot: Spot) -> Iterator[Violation]:
    if spot.channel not in channels_of(spot.kind):
        yield Violation("channel", "CHANNEL_NOT_OF_KIND", f"by {', '.join(sorted(channels_of(spot.kind)))} only")


def _missing(spot: Spot, content: Content) -> Iterator[Violation]:
    if has_subject(spot.channel) and not content.subject.strip():
        yield Violation("subject", "SUBJECT_MISSING", "this channel has a subject")
    if not has_subject(spot.channel) and content.subject:
        yield Violation("subject", "SUBJECT_NOT_ALLOWED", "this channel has no subject")
    if content.html and spot.channel is not Channel.EMAIL:
        yield Violation("html", "HTML_NOT_ALLOWED", "only an email has HTML")
    if not content.text.strip():
        yield Violation("text", "TEXT_MISSING", "nothing is said")


def _faults(piece: Piece, hosts: Collection[str]) -> Iterator[Violation]:
    try:
        tree = parse(piece.text)
    except Misused as misused:
        yield piece.fault_in_line(misused.line, misused.rule, misused.what)
        return
    variables = allowed(piece.spot.kind, piece.spot.channel, piece.part)
    if found := [_misuse(piece, misused) for misused in misuses(tree, variables)]:
        yield from found
        return
    found = [*_own_words(piece, tree), *_links(piece, hosts), *_markup(piece), *_naming(piece, tree)]
    yield from found or dict.fromkeys(_when_filled(piece))  # A fault that every sample shows is one.


def _misuse(piece: Piece, misused: Misused) -> Violation:
    """A variable that there is, but not here, says so."""
    elsewhere = misused.rule == "VARIABLE_UNKNOWN" and misused.what in {
        each.name for each in variables_of(piece.spot.kind)
    }
    rule = "VARIABLE_NOT_DISCREET" if elsewhere else misused.rule
    return piece.fault_in_line(misused.line, rule, misused.what)


def _own_words(piece: Piece, tree: nodes.Template) -> Iterator[Violation]:
    if piece.part is Part.SUBJECT and "\n" in piece.text:
        yield piece.fault(piece.text.index("\n"), "SUBJECT_NOT_ONE_LINE", "a subject is one line")
    for line, text in _unguarded(tree):
        for word in health_words(text):
            yield piece.fault(_offset(piece, line, word), "HEALTH_WORD", word)
    if piece.spot.channel is Channel.SMS:
        for found in NO_REPLY_WORD.finditer(piece.bare):
            yield piece.fault(found.start(), "REPLY_WORD_OPTS_OUT", "networks take this word for STOP")


def _unguarded(node: nodes.Node) -> Iterator[tuple[int, str]]:
    """The words that it may say without permission to name treatment, and the line in which each piece begins."""
    match node:
        case nodes.TemplateData(data=data):
            yield node.lineno, data
        case nodes.Const(value=str(value)):
            yield node.lineno, value
        case nodes.If(test=nodes.Name(name="may_name_treatment")):
            for each in (*node.elif_, *node.else_):
                yield from _unguarded(each)
        case _:
            for child in node.iter_child_nodes():
                yield from _unguarded(child)


def _offset(piece: Piece, line: int, word: str) -> int:
    """Of the word in or after a line, which it is known to stand in or after."""
    begin = sum(len(each) + 1 for each in piece.text.split("\n")[: line - 1])
    return max(piece.text.find(word, begin), 0)


def _links(piece: Piece, hosts: Collection[str]) -> Iterator[Violation]:
    for found in URL.finditer(piece.text):
        if "{{" in found.group() or "{%" in found.group():
            yield piece.fault(found.start(), "LINK_HOLDS_VARIABLE", "an address in the web holds nothing of a patient")
        elif not _may_link(found.group(), hosts):
            yield piece.fault(found.start(), "LINK_HOST_NOT_ALLOWED", "not https, or not a host of the chain's list")
    for found in BARE_HOST.finditer(URL.sub(lambda url: " " * len(url.group()), piece.bare)):
        if found.group().lower() not in hosts:
            yield piece.fault(found.start(), "LINK_HOST_NOT_ALLOWED", "not a host of the chain's list")


def _may_link(url: str, hosts: Collection[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme.lower() == "https" and parts.netloc.lower() in hosts


def _markup(piece: Piece) -> Iterator[Violation]:
    """No picture, script, style or form: whatever is not one of the few tags is refused."""
    if piece.part is not Part.HTML:
        return
    held = LINK_VARIABLE.sub(lambda found: f'href="{LINK_HELD}"'.ljust(len(found.group())), piece.text)
    for found in re.finditer("<", held):
        tag = TAG.match(held, found.start())
        if tag is None or tag["name"].lower() not in TAGS:
            yield piece.fault(found.start(), "HTML_NOT_ALLOWED", f"no tag of {', '.join(sorted(TAGS))}")
        elif tag["target"] is not None and not (tag["name"].lower() == "a" and _may_lead(tag["target"])):
            yield piece.fault(found.start(), "LINK_HOST_NOT_ALLOWED", "not a link that a message may have")


def _may_lead(target: str) -> bool:
    """To which host, `_links` has looked at."""
    return target == LINK_HELD or bool(URL.fullmatch(target)) or target.startswith(("tel:+", "mailto:"))


def _naming(piece: Piece, tree: nodes.Template) -> Iterator[Violation]:
    """A text names who sends it, and how to reach them, whatever its conditions."""
    if piece.spot.channel is not Channel.SMS:
        return
    always = {
        name.name for output in tree.body if isinstance(output, nodes.Output) for name in output.find_all(nodes.Name)
    }
    if "site_name" not in always:
        yield Violation("text", "SITE_NOT_NAMED", "a text says {{ site_name }}, and not only on a condition")
    if "phone" not in always and piece.spot.kind not in REPLIES:
        yield Violation("text", "CONTACT_NOT_NAMED", "a text says {{ phone }}, and not only on a condition")


def _when_filled(piece: Piece) -> Iterator[Violation]:
    try:
        template = made(piece.text, markup=piece.part is Part.HTML)
        for words in (*trials(SAMPLE), LONG):
            yield from _faults_of(piece, _fill(piece, template, words))
        yield from _too_long(piece, _fill(piece, template, LONG))
        if not _fill(piece, template, SHORT).strip():
            yield piece.fault_when_filled("NOTHING_SAID", "nothing is left of it where little is known")
    except (TemplateError, BrokenTemplate, TypeError, ValueError):
        yield piece.fault_when_filled("CANNOT_BE_FILLED_IN", "it fails with the sample")


def _fill(piece: Piece, template: Template, words: Words) -> str:
    spot = piece.spot
    text = filled(template, said(words, spot.kind, spot.channel, spot.language, piece.part))
    return as_sms(text, spot.language) if spot.channel is Channel.SMS else text


def _faults_of(piece: Piece, text: str) -> Iterator[Violation]:
    """In discreet parts: what no piece of the source showed. Elsewhere, words may come from permitted instructions."""
    if piece.discreet and (words := health_words(text)):
        yield piece.fault_when_filled("HEALTH_WORD", words[0])


def _too_long(piece: Piece, text: str) -> Iterator[Violation]:
    if piece.spot.channel is Channel.SMS:
        length = length_of(text)
        if length.characters > SMS_MAX:
            what = f"{length.characters} of {SMS_MAX} characters, {length.encoding}, {length.segments} segments"
            yield piece.fault_when_filled("TOO_LONG", what)
    if piece.spot.channel is Channel.VOICE and len(one_line(text)) > VOICE_MAX:
        yield piece.fault_when_filled("TOO_LONG", f"{len(one_line(text))} of {VOICE_MAX} characters")
    if piece.part is Part.SUBJECT and len(one_line(text)) > SUBJECT_MAX:
        yield piece.fault_when_filled("TOO_LONG", f"{len(one_line(text))} of {SUBJECT_MAX} characters")
