"""What templates may say: the variables, for which kinds of message each is, and in which places it may stand. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from services.notifications.domain.documents import WITH_DOCUMENT
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.templates import ABOUT_VISIT, BILLS, REPLIES, TO_PATIENT_OF_VISIT

EVERY = frozenset(MessageKind)
DIGEST = frozenset({MessageKind.DAILY_DIGEST})
TO_PATIENT = EVERY - REPLIES - {MessageKind.COMPANION_PICK_UP}
OFFERS = frozenset({MessageKind.WAITLIST_OFFER})
PREPARED_FOR = TO_PATIENT_OF_VISIT - OFFERS - {MessageKind.VISIT_CANCELLED, MessageKind.VISIT_MISSED}
TIMED = ABOUT_VISIT | {MessageKind.CONFIRM_RECEIVED}


class VariableType(StrEnum):
    TEXT = "TEXT"
    FLAG = "FLAG"  # For `if` only.
    LIST = "LIST"  # For `for`, and for `if`.


class Part(StrEnum):
    """Of a template, by the field that it stands in."""

    SUBJECT = "subject"
    TEXT = "text"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    type: VariableType
    discreet: bool
    """Whether it may stand where others may see or hear it: in subjects, texts, calls, and what companions get."""
    kinds: frozenset[MessageKind]
    description: str


def _text(name: str, kinds: frozenset[MessageKind], description: str, *, discreet: bool = False) -> Variable:
    return Variable(name, VariableType.TEXT, discreet, kinds, description)


def _flag(name: str, kinds: frozenset[MessageKind], description: str) -> Variable:
    return Variable(name, VariableType.FLAG, False, kinds, description)


VARIABLES = (
    _text("site_name", EVERY, "The site's discreet name; in a text shortened where all would not fit.", discreet=True),
    _text("phone", EVERY, "The site's phone number; in a call digit by digit.", discreet=True),
    _text(
        "link",
        EVERY - REPLIES - DIGEST,
        "Where the recipient reads or does more. Empty for most kinds. Left out of a text that it does not fit into.",
        discreet=True,
    ),
    _text("day", TIMED, "The day of the visit's start at the site; short in a text.", discreet=True),
    _text("hour", TIMED, "The time of the visit's start at the site, with its zone.", discreet=True),
    _text("ends", TIMED, "The time of the visit's end at the site, with its zone. May be empty.", discreet=True),
    _text("until", OFFERS, "The time until which an offer holds at the site, with its zone.", discreet=True),
    _text("due_day", BILLS, "The day on which something is due or ends. May be empty.", discreet=True),
    _text("text", frozenset({MessageKind.ANNOUNCEMENT}), "The announcement's own words.", discreet=True),
    Variable("news", VariableType.LIST, False, DIGEST, "What each of the messages says that stand in the letter."),
    _text("given_name", TO_PATIENT, "The patient's given name."),
    _text("address", TO_PATIENT_OF_VISIT, "The site's address."),
    _text("place", TO_PATIENT_OF_VISIT, "The site's address, or that the visit is online."),
    _flag("online", TO_PATIENT_OF_VISIT, "The visit is online."),
    Variable(
        "instructions",
        VariableType.LIST,
        False,
        PREPARED_FOR,
        "What the patient is to do for the visit; without permission to name treatment only those that name none.",
    ),
    _flag("instructions_held_back", PREPARED_FOR, "There are instructions that may not be said in the message."),
    _flag("may_name_treatment", TO_PATIENT_OF_VISIT, "The patient permits an email to name treatment."),
    _flag("attached", WITH_DOCUMENT, "The document that an email is about comes with it."),
    _text("amount", BILLS, "An amount of money. May be empty."),
    _text("document", BILLS, "The number of the invoice, or of another document. May be empty."),
)


def variables_of(kind: MessageKind) -> list[Variable]:
    return [each for each in VARIABLES if kind in each.kinds]


def is_discreet(channel: Channel, part: Part) -> bool:
    """Whether others may see or hear this part of a message: it says the site's discreet name, date and time only."""
    return part is Part.SUBJECT or channel in (Channel.SMS, Channel.VOICE)


@cache
def allowed(kind: MessageKind, channel: Channel, part: Part) -> Mapping[str, VariableType]:
    """The variables that may stand there."""
    discreet = is_discreet(channel, part)
    return {each.name: each.type for each in variables_of(kind) if each.discreet or not discreet}
