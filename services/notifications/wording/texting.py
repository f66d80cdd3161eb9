"""A text message on one line and within its length: the site's name gives way first, then the link."""

from collections.abc import Callable
from dataclasses import replace

from services.notifications.domain.segments import SMS_MAX, length_of, to_gsm
from services.notifications.wording.words import GSM_LANGUAGES, BrokenTemplate, Words

NAME_MIN = 12
"""Characters of a site's name that are left of it at least, so that it still names the sender."""
CUT = "..."


def one_line(text: str) -> str:
    return " ".join(text.split())


def as_sms(text: str, language: str) -> str:
    line = one_line(text)
    return to_gsm(line) if language.partition("-")[0] in GSM_LANGUAGES else line


def fitted(words: Words, language: str, write: Callable[[Words], str]) -> str:
    """What `write` makes of the words, or of as many as fit. BrokenTemplate where even those are too long."""
    short = replace(words, site_name=as_sms(words.site_name, language))
    for said in (short, replace(short, link=None)):
        if text := _fitted(said, language, write):
            return text
    raise BrokenTemplate("too long for a text")


def _fitted(words: Words, language: str, write: Callable[[Words], str]) -> str | None:
    name: str | None = words.site_name
    while name is not None:
        text = as_sms(write(replace(words, site_name=name)), language)
        over = length_of(text).characters - SMS_MAX
        if over <= 0:
            return text
        name = shortened(name, len(name) - over)
    return None


def shortened(name: str, room: int) -> str | None:
    """At the end of a word, if one ends late enough, in at most `room` characters. None where that says too little."""
    if room < NAME_MIN:
        return None
    kept = name[: room - len(CUT)]
    if not name[len(kept)].isspace() and (space := kept.rfind(" ")) >= NAME_MIN - len(CUT):
        kept = kept[:space]
    return kept.rstrip(" ,;:&-.") + CUT
