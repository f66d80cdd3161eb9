"""Ways to reach a patient: how they are kept, and which cannot be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import phonenumbers

from chassis.errors import Violation

HOME_REGION, HOME_CODE = "US", 1  # Of phone numbers without a leading +.
EMAIL_MAX, EMAIL_LOCAL_MAX = 254, 64

# Ten digits as the home region writes them, as most numbers are: read in a third of the time that the library takes.
_PLAIN = re.compile(r"(?:\+1[ .-]?)?\(?([2-9][0-9]{2})\)?[ .-]?([0-9]{3})[ .-]?([0-9]{4})")
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")


class ContactSystem(StrEnum):
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    POSTAL = "POSTAL"


class ContactUse(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    HOME = "HOME"
    WORK = "WORK"
    MOBILE = "MOBILE"
    TEMPORARY = "TEMPORARY"
    OLD = "OLD"


@dataclass(frozen=True, slots=True)
class ContactPoint:
    system: ContactSystem
    value: str
    use: ContactUse = ContactUse.UNSPECIFIED
    rank: int = 0
    verified: bool = False
    confidential: bool = False  # Nothing goes to any that is not, where one is.


@dataclass(frozen=True, slots=True)
class Phone:
    e164: str
    valid: bool  # An operator has given out such numbers.


def read_phone(text: str) -> Phone | None:
    """None where no such number can be. A number that can be, though none like it was given out, is a Phone."""
    if plain := _PLAIN.fullmatch(text):
        digits = "".join(plain.groups())
        number = phonenumbers.PhoneNumber(country_code=HOME_CODE, national_number=int(digits))
        at_home = phonenumbers.is_valid_number_for_region(number, HOME_REGION)  # Others share its country code.
        return Phone(f"+{HOME_CODE}{digits}", at_home or phonenumbers.is_valid_number(number))
    return _read_any_phone(text)


def _read_any_phone(text: str) -> Phone | None:
    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Phone(e164, phonenumbers.is_valid_number(number))


def read_email(text: str) -> str | None:
    """In lower case: no provider tells two people apart by capitals. None where it is no address."""
    email = text.strip().lower()
    local = email.partition("@")[0]
    if len(email) > EMAIL_MAX or len(local) > EMAIL_LOCAL_MAX or not _EMAIL.fullmatch(email):
        return None
    return email


def _told_as(point: ContactPoint, value: str, *, verified: bool) -> ContactPoint:
    same = point.value == value and point.verified == verified
    return point if same else replace(point, value=value, verified=verified)


def examine_contact_points(
    points: Sequence[ContactPoint],
) -> tuple[tuple[ContactPoint, ...], list[Violation], list[Violation]]:
    """Those that can be, as they are kept; why the others cannot; what is to be said of the kept."""
    kept, left_out, notes = list[ContactPoint](), list[Violation](), list[Violation]()
    for i, point in enumerate(points):
        field = f"contact_points[{i}].value"
        if point.system is ContactSystem.POSTAL:
            kept.append(point)
        elif point.system is ContactSystem.EMAIL:
            if email := read_email(point.value):
                kept.append(_told_as(point, email, verified=point.verified))
            else:
                left_out.append(Violation(field, "EMAIL_NOT_POSSIBLE", "is not an email address"))
        elif phone := read_phone(point.value):
            kept.append(_told_as(point, phone.e164, verified=point.verified and phone.valid))
            if not phone.valid:
                notes.append(Violation(field, "PHONE_NOT_VALID", "kept unverified: no operator gave out such a number"))
        else:
            left_out.append(Violation(field, "PHONE_NOT_POSSIBLE", "no phone number can be like this"))
    return tuple(kept), left_out, notes
