"""All that a message may say, and what of it a template is given: by kind, channel and place."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlsplit

from services.notifications.domain.announcements import text_in
from services.notifications.domain.contacts import Contact
from services.notifications.domain.discretion import health_words
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.messages import TemplateRef
from services.notifications.domain.sending import Taken
from services.notifications.domain.templates import ABOUT_VISIT
from services.notifications.domain.variables import Part, allowed, is_discreet
from services.notifications.wording.speech import calendar_of, say_day, say_hour, say_money, say_phone

SLUG = re.compile(r"[a-z]+(?:-[a-z]+)*")
GSM_LANGUAGES = ("en", "es")
"""Of which a text stays readable in the GSM alphabet, without its accents."""


class BrokenTemplate(Exception):
    """A template that cannot be shipped, or filled in. Says which, never with what."""


@dataclass(frozen=True, slots=True)
class Words:
    """All that a message may say. Instants are local to the site."""

    given_name: str
    site_name: str  # The discreet one.
    phone: str  # E.164.
    address: str
    online: bool = False
    start: datetime | None = None
    end: datetime | None = None
    until: datetime | None = None
    instructions: tuple[str, ...] = ()
    amount: str | None = None
    due_date: date | None = None
    document: str | None = None
    link: str | None = None
    text: str | None = None
    may_name_treatment: bool = False
    attached: bool = False
    news: tuple[str, ...] = ()
    """What stands in a digest, of one message after another."""


@dataclass(frozen=True, slots=True)
class Written:
    subject: str  # Of an email, or in the inbox; else empty.
    text: str
    html: str | None  # Of an email.
    template: TemplateRef


def said(
    words: Words, kind: MessageKind, channel: Channel, language: str, part: Part
) -> Mapping[str, str | bool | list[str]]:
    """The variables that a template may use there. BrokenTemplate where one that must be known is not."""
    discreet = is_discreet(channel, part)
    if kind in ABOUT_VISIT and words.start is None:
        raise BrokenTemplate(f"{kind}: no start")
    if discreet and any(health_words(each) for each in (_read(words.link or ""), words.text or "")):
        raise BrokenTemplate(f"{kind}: a health word in what it is to say")
    names = allowed(kind, channel, part)
    return {name: value for name, value in _all(words, channel, language).items() if name in names}


def _read(link: str) -> str:
    """What a reader makes of it: its host, and what in it somebody wrote; in a token a word stands by chance."""
    parts = urlsplit(link)
    written = [each for each in parts.path.split("/") if SLUG.fullmatch(each)]
    return " ".join([parts.netloc, *written]).replace("-", " ").replace(".", " ")


def _all(words: Words, channel: Channel, language: str) -> Mapping[str, str | bool | list[str]]:
    calendar = calendar_of(language)
    # The inbox is read behind a sign-in: it is where an email's link leads.
    names_all = words.may_name_treatment or channel is Channel.IN_APP
    may_say = [each for each in words.instructions if names_all or not health_words(each)]
    return {
        "given_name": words.given_name,
        "site_name": words.site_name,
        "phone": say_phone(words.phone, channel),
        "address": words.address,
        "place": (calendar.online if calendar else "Online") if words.online else words.address,
        "online": words.online,
        "day": say_day(words.start, language, channel) if words.start else "",
        "hour": say_hour(words.start, language, channel) if words.start else "",
        "ends": say_hour(words.end, language, channel) if words.end else "",
        "until": say_hour(words.until, language, channel) if words.until else "",
        "instructions": may_say,
        "instructions_held_back": len(may_say) < len(words.instructions),
        "may_name_treatment": words.may_name_treatment,
        "attached": words.attached,
        "amount": words.amount or "",
        "due_day": say_day(words.due_date, language, channel) if words.due_date else "",
        "document": words.document or "",
        "link": words.link or "",
        "text": words.text or "",
        "news": list(words.news),
    }


def words_of(taken: Taken, contact: Contact, link: str | None, *, attached: bool = False) -> Words:
    """`attached`: the document that it is about comes with it."""
    site, visit, matter = taken.site, taken.visit, taken.matter
    offered = matter.offered if matter else None
    timed = visit or offered
    return Words(
        given_name=contact.given_name,
        site_name=site.discreet_name,
        phone=site.phone,
        address=site.address,
        online=bool(timed and timed.telehealth),
        start=timed.start.astimezone(site.zone) if timed else None,
        end=timed.end.astimezone(site.zone) if timed else None,
        until=offered.until.astimezone(site.zone) if offered else None,
        instructions=tuple(each.text for each in visit.instructions) if visit else (),
        amount=say_money(matter.amount) if matter and matter.amount else None,
        due_date=matter.due_date if matter else None,
        document=matter.number or None if matter else None,
        link=link,
        text=text_in(taken.announcement, contact.language) if taken.announcement else None,
        may_name_treatment=contact.may_name_treatment,
        attached=attached,
    )


def said_once(texts: Sequence[str]) -> tuple[str, ...]:
    """The texts of one letter: a paragraph that several of them have stands once, after all."""
    split = [text.strip("\n").split("\n\n") for text in texts]
    counted = Counter(part for parts in split for part in dict.fromkeys(parts))
    shared = [part for part, count in counted.items() if count > 1]
    own = ("\n\n".join(part for part in parts if part not in shared) for parts in split)
    return tuple(filter(None, (*own, *shared)))
