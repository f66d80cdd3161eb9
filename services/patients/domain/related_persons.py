"""People who stand by a patient: whom to call, who takes them home, who answers for the bills."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from chassis.errors import Violation
from services.patients.domain.contacts import read_email, read_phone
from services.patients.domain.names import search_words


class RelatedPersonRole(StrEnum):
    EMERGENCY_CONTACT = "EMERGENCY_CONTACT"
    ESCORT = "ESCORT"
    GUARANTOR = "GUARANTOR"


@dataclass(frozen=True, slots=True)
class RelatedPerson:
    role: RelatedPersonRole
    name: str
    relationship: str = ""
    phone: str = ""
    email: str = ""
    address: str = ""  # In lines.

    @property
    def reachable(self) -> bool:
        """Bills may go on paper; who is called while a patient is on the premises needs a phone."""
        if self.role is RelatedPersonRole.GUARANTOR:
            return bool(self.phone or self.email or self.address)
        return bool(self.phone)


def examine_related_persons(told: Sequence[RelatedPerson]) -> tuple[tuple[RelatedPerson, ...], list[Violation]]:
    """Those that can be, as they are kept; why the others cannot."""
    kept, left_out = list[RelatedPerson](), list[Violation]()
    for i, person in enumerate(told):
        phone, email = read_phone(person.phone) if person.phone else None, read_email(person.email)
        as_kept = replace(person, phone=phone.e164 if phone else "", email=email or "")
        faults = [replace(each, field=f"related_persons[{i}]{each.field}") for each in _faults(person, as_kept, kept)]
        left_out += faults
        if not faults:
            kept.append(as_kept)
    return tuple(kept), left_out


def guarantor(persons: Sequence[RelatedPerson]) -> RelatedPerson | None:
    return next((each for each in persons if each.role is RelatedPersonRole.GUARANTOR), None)


def _faults(told: RelatedPerson, as_kept: RelatedPerson, before: Sequence[RelatedPerson]) -> Iterator[Violation]:
    if told.role is RelatedPersonRole.GUARANTOR and guarantor(before):
        yield Violation(".role", "GUARANTOR_TWICE", "another one is the guarantor")
    if not search_words(told.name):
        yield Violation(".name", "NAME_MISSING", "a name with a letter in it is needed")
    if told.phone and not as_kept.phone:
        yield Violation(".phone", "PHONE_NOT_POSSIBLE", "no phone number can be like this")
    if told.email and not as_kept.email:
        yield Violation(".email", "EMAIL_NOT_POSSIBLE", "is not an email address")
    if not told.reachable:
        yield Violation("", "RELATED_PERSON_UNREACHABLE", "a phone, or of a guarantor any way to reach them, is needed")
