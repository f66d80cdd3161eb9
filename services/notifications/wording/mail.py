"""An email as HTML: the shared layout, and in it what a template's text says.

Of a text, lines that begin with two spaces become a card, lines that begin with "- " a list, and a link that stands
alone a button; all else are paragraphs.
"""

import re
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.templates import ABOUT_VISIT
from services.notifications.wording.speech import say_day, say_hour, say_phone
from services.notifications.wording.words import Words

FOLDER = Path(__file__).parents[1] / "templates"
BUTTONS = {"en": "Open", "es": "Abrir"}
FOOTERS = {
    "en": "Please do not answer this email. To reach us, call",
    "es": "Por favor, no responda a este correo. Para hablar con nosotros, llame al",
}
LINK = re.compile(r"https://[^\s<>\"]*[^\s<>\".,;:!?)]")
BUTTON = (
    "display:inline-block;padding:12px 24px;border-radius:8px;background:#1f4e79;color:#ffffff;text-decoration:none;"
    "font-weight:600"
)
CARD = "margin:0 0 20px;padding:16px 20px;border-left:4px solid #1f4e79;border-radius:4px;background:#f1f5f9"
LAYOUT = Environment(
    loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
).get_template("layout.html.jinja")


def to_html(text: str, label: str) -> Markup:
    """`label` is what stands on a button."""
    blocks = re.split(r"\n[ \t]*\n", text.strip("\n"))
    return Markup("\n").join(_block(block.split("\n"), label) for block in blocks)


def _block(lines: list[str], label: str) -> Markup:
    if all(line.startswith("  ") for line in lines):
        first, *others = (line.strip() for line in lines)
        said = Markup("<br>\n").join([Markup("<strong>{}</strong>").format(first), *map(_inline, others)])
        return Markup('<p style="{}">{}</p>').format(CARD, said)
    if all(line.startswith("- ") for line in lines):
        items = Markup("\n").join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
        return Markup('<ul style="margin:0 0 20px;padding-left:24px">{}</ul>').format(items)
    if LINK.fullmatch(lines[-1].strip()):
        button = Markup('<p style="margin:0 0 24px"><a href="{}" style="{}">{}</a></p>').format(
            lines[-1].strip(), BUTTON, label
        )
        return (_paragraph(lines[:-1]) + Markup("\n") + button) if lines[:-1] else button
    return _paragraph(lines)


def _paragraph(lines: list[str]) -> Markup:
    return Markup('<p style="margin:0 0 20px">{}</p>').format(Markup("<br>\n").join(map(_inline, lines)))


def _inline(line: str) -> Markup:
    """With its links as links."""
    done, end = "", 0
    for found in LINK.finditer(line):
        target = escape(found.group())
        done += f'{escape(line[end : found.start()])}<a href="{target}" style="color:#1f4e79">{target}</a>'
        end = found.end()
    return Markup(done + escape(line[end:]))  # noqa: S704  # Each part of it is escaped.


def preview(words: Words, kind: MessageKind, language: str) -> str:
    """What a mail program shows beside the subject: the site, and a visit's day and hour; nothing a template says."""
    if kind not in ABOUT_VISIT or words.start is None:
        return words.site_name
    day = say_day(words.start, language, Channel.EMAIL)
    return f"{words.site_name}, {day}, {say_hour(words.start, language, Channel.EMAIL)}"


def in_layout(body: Markup, subject: str, words: Words, kind: MessageKind, language: str) -> str:
    """A whole page: no picture, script or style from elsewhere, so that opening it tells nobody."""
    primary = language.partition("-")[0]
    return LAYOUT.render(
        language=language,
        subject=subject,
        preview=preview(words, kind, language),
        site_name=words.site_name,
        body=body,
        footer=FOOTERS.get(primary, FOOTERS["en"]),
        phone=say_phone(words.phone, Channel.EMAIL),
        phone_target=words.phone,
    )


def label_of(language: str) -> str:
    return BUTTONS.get(language.partition("-")[0], BUTTONS["en"])
