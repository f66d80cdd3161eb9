"""What is kept of a patient, and what a record must have."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from chassis.errors import DomainError, Kind, Violation
from services.patients.domain.contacts import ContactPoint, examine_contact_points
from services.patients.domain.names import search_words
from services.patients.domain.related_persons import (
    RelatedPerson,
    RelatedPersonRole,
    examine_related_persons,
    guarantor,
)
from services.patients.domain.self_pay import SelfPayDeclaration

BIRTH_DATE_MIN = date(1900, 1, 1)
MINOR_UNTIL_YEARS = 18
LANGUAGE = "en-US"
UTC_ZONE = "UTC"  # While the home site is missing.
TIME_ZONES = frozenset(available_timezones())
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MRN_DIGITS = 10
MRN_SYSTEM = "urn:atoll:mrn"
PATIENT_SYSTEM = "urn:atoll:patient"
"""Of the ids of records, by which an export names those whom no other system named."""

NEVER_KEPT = {
    "a social security number": re.compile(
        r"urn:oid:2\.16\.840\.1\.113883\.4\.1|.*(^|[^a-z])(us-?)?ssn([^a-z].*)?|.*social-?security.*"
    ),
    "a driver's licence number": re.compile(r"urn:oid:2\.16\.840\.1\.113883\.4\.3(\..*)?|.*driver'?s?-?licen[cs]e.*"),
    "a passport number": re.compile(r"urn:oid:2\.16\.840\.1\.113883\.4\.330(\..*)?|.*passport.*"),
}
"""Numbers that open doors elsewhere, by the system that gives them out, in lower case."""


class PatientNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PATIENT_NOT_FOUND", "no such patient at the caller's sites"


class PatientRefused(DomainError):
    kind, reason = Kind.INVALID, "PATIENT_REFUSED"
    message = "something that a patient's record must have is missing or cannot be"


class MrnTaken(DomainError):
    kind, reason, message = Kind.CONFLICT, "MRN_TAKEN", "another patient has this medical record number"


class IdentifierTaken(DomainError):
    kind, reason, message = Kind.CONFLICT, "IDENTIFIER_TAKEN", "another patient has one of these identifiers"


class Gender(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    MALE = "MALE"
    FEMALE = "FEMALE"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class GenderIdentity(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    FEMALE = "FEMALE"
    MALE = "MALE"
    NON_BINARY = "NON_BINARY"
    TRANSGENDER_FEMALE = "TRANSGENDER_FEMALE"
    TRANSGENDER_MALE = "TRANSGENDER_MALE"
    OTHER = "OTHER"
    NON_DISCLOSE = "NON_DISCLOSE"


@dataclass(frozen=True, slots=True)
class FormerName:
    given_names: tuple[str, ...]
    family_name: str


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """What another system calls a patient; `system` is the URI of whoever gives out the values."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has an identifier."""

    patient_id: UUID
    is_number: bool = False
    """It is the number of one of their records, which makes nobody known: another chain may have given it out, too."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is told of a patient. Before `examine` it may lack anything."""

    given_names: tuple[str, ...]
    family_name: str
    birth_date: date | None
    home_site_id: UUID | None
    prefix: str = ""
    gender: Gender = Gender.UNSPECIFIED
    contact_points: tuple[ContactPoint, ...] = ()
    language: str = ""
    time_zone: str = ""
    identifiers: tuple[Identifier, ...] = ()
    deceased: bool = False
    preferred_name: str = ""
    former_names: tuple[FormerName, ...] = ()
    gender_identity: GenderIdentity = GenderIdentity.UNSPECIFIED
    related_persons: tuple[RelatedPerson, ...] = ()
    self_pay_declaration: SelfPayDeclaration | None = None
    deceased_date: date | None = None

    @property
    def search_words(self) -> tuple[str, ...]:
        """Of all names by which somebody may ask for the patient."""
        former = (name for each in self.former_names for name in (*each.given_names, each.family_name))
        return search_words(*self.given_names, self.family_name, self.preferred_name, *former)

    @property
    def called(self) -> str:
        """What to call the patient in a message."""
        return self.preferred_name or next(iter(self.given_names), self.family_name)


@dataclass(frozen=True, slots=True)
class Patient:
    id: UUID
    mrn: str
    person: Person
    site_ids: frozenset[UUID]  # Of the sites that may see the record, those that the caller may see.
    version: int
    created_at: datetime
    updated_at: datetime
    restricted: bool = False  # Found by no search.
    merged_ids: tuple[UUID, ...] = ()
    """Of records of the same person that were merged into this one."""
    survivor_id: UUID | None = None
    """Of a merged record: the one that stands for it."""
    also_called: tuple[Person, ...] = ()
    """As the merged records tell it, where they were read, too: a search finds the person by these names, and what they
    say of confidence and of death holds."""

    @property
    def ids(self) -> tuple[UUID, ...]:
        return (self.id, *self.merged_ids)

    @property
    def told(self) -> tuple[Person, ...]:
        """By each of the records, the one that stands for the others first."""
        return (self.person, *self.also_called)

    @property
    def search_words(self) -> tuple[str, ...]:
        """Without doubles."""
        return tuple(dict.fromkeys(word for each in self.told for word in each.search_words))

    @property
    def deceased(self) -> bool:
        """Where one of the records says so."""
        return any(each.deceased for each in self.told)

    @property
    def confidential_points(self) -> tuple[ContactPoint, ...]:
        """Of all the records: confidence that was asked for under one id is owed under each."""
        points = (point for each in self.told for point in each.contact_points)
        return tuple(dict.fromkeys(point for point in points if point.confidential))

    @property
    def points_to_use(self) -> tuple[ContactPoint, ...]:
        """Where the patient asked to be reached at some of them, nothing goes to any other."""
        return self.confidential_points or self.person.contact_points

    @property
    def persons_to_tell(self) -> tuple[RelatedPerson, ...]:
        """Of bills and rides home. Nobody, where the patient asked for confidence: perhaps with regard to them."""
        if self.confidential_points:
            return ()
        emergency = RelatedPersonRole.EMERGENCY_CONTACT
        return tuple(each for each in self.person.related_persons if each.role is not emergency)

    @property
    def patient_id(self) -> UUID:
        """As everything that is part of a record names whose it is."""
        return self.id

    @property
    def birth_date(self) -> date:
        assert self.person.birth_date is not None
        return self.person.birth_date

    @property
    def home_site_id(self) -> UUID:
        assert self.person.home_site_id is not None
        return self.person.home_site_id

    @property
    def own_identifier(self) -> Identifier:
        """The record number, as unique in the chain as what other systems give out."""
        return Identifier(MRN_SYSTEM, self.mrn)


@dataclass(frozen=True, slots=True)
class PatientCard:
    """As much of a patient as it takes to tell two apart."""

    id: UUID
    mrn: str
    given_names: tuple[str, ...]
    family_name: str
    birth_date: date
    home_site_id: UUID


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a patient who is searched for fits. What is None or empty, anybody fits."""

    words: tuple[str, ...] = ()  # Each the beginning of one of the patient's own.
    birth_date: date | None = None
    phone: str | None = None
    email: str | None = None
    identifier: Identifier | None = None
    mrn: str | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """A person as they are kept, and what was found on the way."""

    person: Person
    faults: tuple[Violation, ...]
    """Why the person cannot be kept."""
    left_out: tuple[Violation, ...]
    """Why a part cannot be kept; `person` lacks it."""
    notes: tuple[Violation, ...]
    """What is kept otherwise than it was told."""


def examine(person: Person, home_time_zone: str | None, now: datetime) -> Examined:
    """`home_time_zone` is the home site's: it tells what day it is, and is the default of the person's own."""
    zone = home_time_zone or UTC_ZONE
    today = now.astimezone(ZoneInfo(zone)).date()
    points, no_points, notes = examine_contact_points(person.contact_points)
    related, no_related = examine_related_persons(person.related_persons)
    no_death = list(_death_faults(person, today))
    completed = replace(
        person,
        contact_points=points,
        identifiers=tuple(each for each in person.identifiers if not never_kept(each)),
        language=person.language or LANGUAGE,
        time_zone=person.time_zone or zone,
        former_names=tuple(each for each in person.former_names if _has_letter(each)),
        related_persons=related,
        deceased_date=None if no_death else person.deceased_date,
    )
    no_declaration = list(_declaration_faults(completed, today))
    examined = replace(completed, self_pay_declaration=None) if no_declaration else completed
    left_out = (
        *no_points, *_never_kept(person.identifiers), *_empty_names(person.former_names), *no_related,
        *no_declaration, *no_death,
    )  # fmt: skip
    return Examined(examined, tuple(_faults(examined, today)), tuple(left_out), tuple(notes))


def _faults(person: Person, today: date) -> Iterator[Violation]:
    if not search_words(*person.given_names, person.family_name):
        yield Violation("family_name", "NAME_MISSING", "a name with a letter in it is needed")
    if person.birth_date is None:
        yield Violation("birth_date", "BIRTH_DATE_MISSING", "a birth date is needed")
    elif person.birth_date < BIRTH_DATE_MIN:
        yield Violation("birth_date", "BIRTH_DATE_TOO_EARLY", f"is before {BIRTH_DATE_MIN}")
    elif person.birth_date > today:
        yield Violation("birth_date", "BIRTH_DATE_IN_FUTURE", "is after today at the home site")
    if person.home_site_id is None:
        yield Violation("home_site_id", "HOME_SITE_MISSING", "a home site is needed")
    if person.time_zone not in TIME_ZONES:
        yield Violation("time_zone", "TIME_ZONE_UNKNOWN", "is not a zone of the IANA database")
    if len(set(person.identifiers)) < len(person.identifiers):
        yield Violation("identifiers", "IDENTIFIER_TWICE", "the same identifier stands there twice")


def _has_letter(name: FormerName) -> bool:
    return bool(search_words(*name.given_names, name.family_name))


def _empty_names(names: Sequence[FormerName]) -> Iterator[Violation]:
    for i, each in enumerate(names):
        if not _has_letter(each):
            yield Violation(f"former_names[{i}]", "NAME_MISSING", "a name with a letter in it is needed")


def _death_faults(person: Person, today: date) -> Iterator[Violation]:
    if person.deceased_date is None:
        return
    if not person.deceased:
        yield Violation("deceased_date", "DECEASED_DATE_OF_LIVING", "the patient is not deceased")
    if person.birth_date and person.deceased_date < person.birth_date:
        yield Violation("deceased_date", "DECEASED_DATE_BEFORE_BIRTH", "is before the birth date")
    if person.deceased_date > today:
        yield Violation("deceased_date", "DECEASED_DATE_IN_FUTURE", "is after today at the home site")


def _declaration_faults(person: Person, today: date) -> Iterator[Violation]:
    """A minor may be registered without a guarantor, as in a first call; estimates and bills need one."""
    declaration, born, field = person.self_pay_declaration, person.birth_date, "self_pay_declaration.declare_date"
    if declaration is None:
        return
    if declaration.declare_date is None:
        yield Violation(field, "DECLARE_DATE_MISSING", "the day of the declaration is needed")
    elif born and declaration.declare_date < born:
        yield Violation(field, "DECLARE_DATE_BEFORE_BIRTH", "is before the birth date")
    elif declaration.declare_date > today:
        yield Violation(field, "DECLARE_DATE_IN_FUTURE", "is after today at the home site")
    if born and is_minor(born, today) and not guarantor(person.related_persons):
        yield Violation("self_pay_declaration", "GUARANTOR_MISSING", "a minor's bills need a guarantor")


def is_minor(born: date, today: date) -> bool:
    """Of age on the birthday itself; who was born on 29 February, on 1 March of a common year."""
    return (today.year - born.year, today.month, today.day) < (MINOR_UNTIL_YEARS, born.month, born.day)


def never_kept(identifier: Identifier) -> str | None:
    """What kind of number it is, if one that is never kept."""
    return _never_kept_of(identifier.system)


@lru_cache(maxsize=1_000)
def _never_kept_of(system: str) -> str | None:
    """Few systems give out the numbers of many patients."""
    lower = system.lower()
    return next((kind for kind, pattern in NEVER_KEPT.items() if pattern.fullmatch(lower)), None)


def _never_kept(identifiers: Sequence[Identifier]) -> Iterator[Violation]:
    for i, each in enumerate(identifiers):
        if kind := never_kept(each):
            yield Violation(f"identifiers[{i}]", "IDENTIFIER_NEVER_KEPT", f"{kind} is never kept")


def mrn_of(patient_id: UUID) -> str:
    """A record number for people to read out: the random end of the id, in digits that are not mistaken for others."""
    return "".join(CROCKFORD[patient_id.int >> 5 * place & 31] for place in reversed(range(MRN_DIGITS)))
