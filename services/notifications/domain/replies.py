"""What somebody means who answers a text, in English or Spanish, and what they are told at once. Pure."""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.etags import StaleEtag
from services.notifications.domain.discretion import health_words

TEXT_MAX = 320
"""Characters of what staff answer: two texts' worth."""


class ReplyNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "REPLY_NOT_FOUND", "no such reply"


class ReplyClosed(DomainError):
    kind, reason, message = Kind.CONFLICT, "REPLY_CLOSED", "the reply was closed before"


class ReplyPurged(DomainError):
    kind, reason, message = Kind.CONFLICT, "REPLY_PURGED", "the reply's text and number are not kept any more"


class AnswerRefused(DomainError):
    kind, reason, message = Kind.INVALID, "ANSWER_REFUSED", "a text may not say this"


class RecipientOptedOut(DomainError):
    kind, reason, message = Kind.CONFLICT, "RECIPIENT_OPTED_OUT", "whoever has the number asked for no more texts"


class NoTexting(DomainError):
    kind, reason, message = Kind.CONFLICT, "NO_TEXTING", "the number that it came to is nobody's to send from any more"


class Meaning(StrEnum):
    OPT_OUT = "OPT_OUT"
    OPT_OUT_LIKELY = "OPT_OUT_LIKELY"  # Words of their own that read like it.
    OPT_IN = "OPT_IN"
    HELP = "HELP"
    CONFIRM = "CONFIRM"
    MOVE = "MOVE"
    OTHER = "OTHER"


class ReplyState(StrEnum):
    OPEN = "OPEN"
    ASSIGNED = "ASSIGNED"
    CLOSED = "CLOSED"


class AnswerKind(StrEnum):
    """What goes out because somebody texted: kinds of messages, and staff's own words."""

    OPT_OUT_CONFIRMED = "OPT_OUT_CONFIRMED"
    OPT_IN_CONFIRMED = "OPT_IN_CONFIRMED"
    HELP = "HELP"
    CONFIRM_RECEIVED = "CONFIRM_RECEIVED"
    MOVE_RECEIVED = "MOVE_RECEIVED"
    REPLY_RECEIVED = "REPLY_RECEIVED"
    STAFF = "STAFF"


class AnswerState(StrEnum):
    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    FAILED = "FAILED"  # Refused for good, or its time was over.
    SUPPRESSED = "SUPPRESSED"  # Whoever it is for opted out meanwhile.
    UNKNOWN = "UNKNOWN"  # It may have gone out; it is not sent again.


GOOD_FOR = {kind: timedelta(minutes=30) for kind in AnswerKind} | {
    AnswerKind.OPT_OUT_CONFIRMED: timedelta(minutes=5),
    AnswerKind.STAFF: timedelta(hours=2),
}
"""How long after it was asked for an answer may still go out. One confirmation of an opt-out, within five minutes, is
what the law allows (47 CFR 64.1200(a)(12))."""
TO_THE_OPTED_OUT = frozenset({AnswerKind.OPT_OUT_CONFIRMED, AnswerKind.HELP})
"""Answers to what they just asked: all that somebody who opted out is still sent."""
RECEIVED_AGAIN_AFTER = timedelta(days=1)
"""Whoever texts on and on is told once a day that a person will answer: two machines must not talk to each other."""

ENGLISH_OUT = {"stop", "stopall", "quit", "end", "revoke", "optout", "cancel", "unsubscribe"}
SPANISH_OUT = {
    "alto", "parar", "pare", "paren", "cancelar", "cancela", "baja", "darmedebaja", "darsedebaja", "salir", "detener",
    "terminar", "fin", "revocar", "noenviar",
}  # fmt: skip
ENGLISH_IN, SPANISH_IN = {"start", "unstop", "optin", "subscribe"}, {"alta", "comenzar", "empezar", "iniciar"}
ENGLISH_HELP, SPANISH_HELP = {"help", "info"}, {"ayuda"}
ENGLISH_CONFIRM, SPANISH_CONFIRM = {"c", "confirm"}, {"confirmar", "confirmo"}
ENGLISH_MOVE, SPANISH_MOVE = {"r", "reschedule"}, {"reprogramar"}

SAID = {
    Meaning.OPT_OUT: (ENGLISH_OUT, SPANISH_OUT),
    Meaning.OPT_IN: (ENGLISH_IN, SPANISH_IN),
    Meaning.HELP: (ENGLISH_HELP, SPANISH_HELP),
    Meaning.CONFIRM: (ENGLISH_CONFIRM, SPANISH_CONFIRM),
    Meaning.MOVE: (ENGLISH_MOVE, SPANISH_MOVE),
}
EITHER = {"c", "r"}
"""Said in both languages."""

_OUT = r"text(?:s|ing)?|messag(?:e|es|ing)|sms|contact(?:ing)?|writ(?:e|ing)|send(?:ing)?"
_VISITING = (
    r" by\b(?! god\b)| in(?: (?:the(?! future)|at|on|to|for|around|today|tomorrow|\d+)\b|$)|"
    r" at (?:the|your|my|noon|\d+)\b| (?:over|off)(?: (?:at|on|in|by|today|tomorrow|\d+)\b|$)"
)
"""Behind "stop": somebody means to come."""
_WHEN = r"(?! (?:before|after|until|till|at|on|in|between|during|from|today|tomorrow|\d+)\b)"
ENGLISH_LIKE_OUT = re.compile(
    rf"\bstop\b(?!{_VISITING})|\bunsubscribe|\brevoke\b|\bopt(?:ed|ing)? ?(?:(?:me|us|my number|this number) )?out\b|"
    r"^(?:please )*(?:quit|end|no more)(?: (?:please|it|this|now|already|thanks|thank you))*$|"
    rf"\b(?:do not|don t|dont|never) (?:ever )?call (?:me|us|here|again|this number)\b{_WHEN}|"
    rf"\bwrong (?:number|person)\b|\b(?:quit|cancel|end) (?:all |the |these |those |your |my |sending )*(?:{_OUT})\b|"
    rf"\bremove (?:me|my number|this number)\b|\btake (?:me|us|my number|this number) off\b|\bleave me alone\b|"
    rf"\b(?:do not|don t|dont|never|no longer) (?:ever )?(?:{_OUT})\b|\bno more (?:of )?(?:these |your )?(?:{_OUT})\b|"
    rf"\bdo(?: not|n t|nt) want (?:any |more |any more |these |your |to get |to receive )*(?:{_OUT})\b"
)
_FUERA = r"(?:envi|mand|escrib|contact|molest|text)\w*"
SPANISH_LIKE_OUT = re.compile(
    r"^(?:por favor )?no mas(?: por favor| gracias)?$|"
    r"\bno (?:me |nos )?llam(?:e|es|en|ar)\b(?! (?:antes|despues|hasta|a|por|en|el|hoy|manana)\b)|"
    rf"\bno (?:me |nos )?{_FUERA}|\bdej\w+ de {_FUERA}|\bno mas (?:mensajes|textos|sms)\b|\bnumero equivocado\b|"
    r"\bno (?:quiero|deseo) (?:mas |recibir |sus |estos )*(?:mensaje|texto|recibir|sms)\w*|"
    r"\b(?:darme|darse|dar|denme|deme|dame) de baja\b|"
    r"\b(?:cancel|par|deten)\w* (?:los |estos |sus |de )*(?:mensaje|texto|sms|enviar|escribir)\w*"
)


@dataclass(frozen=True, slots=True)
class Understood:
    meaning: Meaning
    language: str | None
    """Of the words; None: they tell none."""


def understand(text: str) -> Understood:
    """Neither case nor accents, punctuation and spaces count: "S.T.O.P. " is a stop."""
    words = _plain(text)
    word = words.replace(" ", "")
    for meaning, languages in SAID.items():
        for language, said in zip(("en", "es"), languages, strict=True):
            if word in said:
                return Understood(meaning, None if word in EITHER else language)
    for language, like in (("en", ENGLISH_LIKE_OUT), ("es", SPANISH_LIKE_OUT)):
        if like.search(words):
            return Understood(Meaning.OPT_OUT_LIKELY, language)
    return Understood(Meaning.OTHER, None)


def _plain(text: str) -> str:
    bare = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.findall(r"[a-z0-9]+", bare.casefold()))


@dataclass(frozen=True, slots=True)
class LastTexted:
    """Somebody who was texted at a number, from one of ours, and about which visit last."""

    patient_id: UUID
    site_id: UUID
    language: str
    to_companion: bool
    open_visit_id: UUID | None
    """What a C would confirm: it is booked and still to come."""
    movable_visit_id: UUID | None
    """What an R would move: it may be confirmed already."""

    def visit_id(self, meaning: Meaning) -> UUID | None:
        """That a C or an R of theirs stands for. What a companion answers stands for none."""
        if self.to_companion:
            return None
        return self.open_visit_id if meaning is Meaning.CONFIRM else self.movable_visit_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done about a reply, beside what its opt-out or opt-in does."""

    answer: AnswerKind | None
    visit_id: UUID | None = None
    """To confirm, or to move."""
    closed: bool = True
    """Nobody needs to look at it."""


def judge(meaning: Meaning, texted: list[LastTexted]) -> Verdict:
    """`texted`: those who were texted at the number, the last first.

    A C or an R stands for one visit: where mother and child share a number and both have one to come, a person asks.
    """
    match meaning:
        case Meaning.OPT_OUT | Meaning.OPT_OUT_LIKELY:
            return Verdict(AnswerKind.OPT_OUT_CONFIRMED, closed=meaning is Meaning.OPT_OUT)
        case Meaning.OPT_IN:
            return Verdict(AnswerKind.OPT_IN_CONFIRMED)
        case Meaning.HELP:
            return Verdict(AnswerKind.HELP)
        case Meaning.CONFIRM | Meaning.MOVE:
            visits = {visit_id for each in texted if (visit_id := each.visit_id(meaning))}
            if len(visits) == 1:
                confirms = meaning is Meaning.CONFIRM
                return Verdict(AnswerKind.CONFIRM_RECEIVED if confirms else AnswerKind.MOVE_RECEIVED, visits.pop())
    return Verdict(AnswerKind.REPLY_RECEIVED, closed=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A text that came in. What it says, and from which number, is kept apart, encrypted."""

    id: UUID
    site_id: UUID
    account: str
    sender: str
    """Of ours, that it came to."""
    address_key: bytes
    meaning: Meaning
    patient_id: UUID | None
    """Whom the number was texted about last."""
    visit_id: UUID | None
    language: str
    state: ReplyState
    received_at: datetime
    version: int = 1
    assigned_to: str | None = None
    closed_by: str | None = None
    closed_at: datetime | None = None
    close_reason: str = ""
    purged: bool = False

    def assigned(self, version: int, to: str) -> "Reply":
        self._check_open(version)
        return replace(self, version=version + 1, state=ReplyState.ASSIGNED, assigned_to=to)

    def closed(self, version: int, by: str, at: datetime, reason: str) -> "Reply":
        self._check_open(version)
        done = replace(self, version=version + 1, state=ReplyState.CLOSED, closed_by=by, closed_at=at)
        return replace(done, close_reason=reason)

    def _check_open(self, version: int) -> None:
        if self.state is ReplyState.CLOSED:
            raise ReplyClosed(closed_by=str(self.closed_by))
        if version != self.version:
            raise StaleEtag()


@dataclass(frozen=True, slots=True)
class Answer:
    """A text to whoever sent a reply."""

    id: UUID
    reply_id: UUID
    site_id: UUID
    kind: AnswerKind
    state: AnswerState
    language: str
    written_by: str
    created_at: datetime
    expire_at: datetime
    code: str = ""
    sent_at: datetime | None = None


def check_answer(text: str) -> None:
    """Staff's own words in a text: as short and as discreet as any."""
    faults = list[Violation]()
    if len(text) > TEXT_MAX:
        faults.append(Violation("text", "TOO_LONG", f"more than {TEXT_MAX} characters"))
    if health_words(text):
        faults.append(Violation("text", "HEALTH_WORD", "names what kind of appointment it is"))
    if faults:
        raise AnswerRefused(*faults)
