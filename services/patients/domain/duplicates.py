"""Duplicates: how likely it is that two records are one person's, by what they tell of whom they are about.

Fellegi and Sunter, "A Theory for Record Linkage" (1969): each field tells for or against, by how often two records of
one person agree in it so (m), and how often two records of anybody (u). The weights log2(m / u) add up. Names are
compared as Winkler did at the Census Bureau (1990). ADR 0011 tells where the numbers come from.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from itertools import product
from math import log2
from types import MappingProxyType
from typing import Self
from uuid import UUID

from rapidfuzz.distance import JaroWinkler
from typeid import base32

from chassis.errors import DomainError, Kind, Violation
from services.patients.domain.contacts import ContactSystem
from services.patients.domain.names import search_words
from services.patients.domain.patients import Gender, Patient, PatientCard, Person

LIKELY_MIN, POSSIBLE_MIN = 0.95, 0.5
"""Probabilities from which two records are likely one person's, and possibly: a person looks at both."""
PRIOR_BITS = -21.0
"""Of two records of a chain taken at random, about one pair in two million is one person's."""
SIMILAR_MIN = 0.88
"""Jaro-Winkler similarity from which two names may be one, spelt in two ways."""
IDENTIFIER_MIN = 5
"""Shorter values meet by chance: systems count from 1."""
SCORE_PLACES = 4
LIKELY_SHOWN_MAX = 10


class LikelyDuplicate(DomainError):
    kind, reason, message = Kind.CONFLICT, "LIKELY_DUPLICATE", "likely one person's record is there already"

    def __init__(self, ids: Iterable[UUID] = ()) -> None:
        super().__init__(patient_ids=",".join(f"patient_{base32.encode(id.bytes)}" for id in ids))


class DuplicateNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "DUPLICATE_NOT_FOUND", "no such pair, or of no record that the caller sees"


class DuplicateOfSame(DomainError):
    kind, reason, message = Kind.INVALID, "DUPLICATE_OF_SAME", "a record is no duplicate of itself"


class DuplicateSettled(DomainError):
    kind, reason, message = Kind.CONFLICT, "DUPLICATE_SETTLED", "the pair was dismissed or merged before"


class Grade(StrEnum):
    POSSIBLE = "POSSIBLE"
    LIKELY = "LIKELY"


class PairState(StrEnum):
    OPEN = "OPEN"
    DISMISSED = "DISMISSED"
    MERGED = "MERGED"


class Trait(StrEnum):
    GIVEN_NAME = "GIVEN_NAME"
    FAMILY_NAME = "FAMILY_NAME"
    BIRTH_DATE = "BIRTH_DATE"
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    POSTAL_CODE = "POSTAL_CODE"
    GENDER = "GENDER"
    IDENTIFIER = "IDENTIFIER"


class Agreement(StrEnum):
    EXACT = "EXACT"
    SIMILAR = "SIMILAR"
    SWAPPED = "SWAPPED"  # Given and family name, or day and month.
    ONE_DIGIT = "ONE_DIGIT"
    SAME_YEAR = "SAME_YEAR"
    DIFFERENT = "DIFFERENT"


M_AND_U = MappingProxyType(
    {
        (Trait.GIVEN_NAME, Agreement.EXACT): (0.85, 0.007),
        (Trait.GIVEN_NAME, Agreement.SIMILAR): (0.1, 0.02),
        (Trait.GIVEN_NAME, Agreement.SWAPPED): (0.02, 0.002),
        (Trait.GIVEN_NAME, Agreement.DIFFERENT): (0.03, 0.971),
        (Trait.FAMILY_NAME, Agreement.EXACT): (0.84, 0.002),
        (Trait.FAMILY_NAME, Agreement.SIMILAR): (0.07, 0.006),
        (Trait.FAMILY_NAME, Agreement.SWAPPED): (0.02, 0.002),
        (Trait.FAMILY_NAME, Agreement.DIFFERENT): (0.07, 0.99),
        (Trait.BIRTH_DATE, Agreement.EXACT): (0.93, 0.00004),
        (Trait.BIRTH_DATE, Agreement.SWAPPED): (0.015, 0.00004),
        (Trait.BIRTH_DATE, Agreement.ONE_DIGIT): (0.03, 0.0008),
        (Trait.BIRTH_DATE, Agreement.SAME_YEAR): (0.01, 0.015),
        (Trait.BIRTH_DATE, Agreement.DIFFERENT): (0.015, 0.98412),
        (Trait.PHONE, Agreement.EXACT): (0.6, 0.0005),
        (Trait.PHONE, Agreement.DIFFERENT): (0.4, 0.9995),
        (Trait.EMAIL, Agreement.EXACT): (0.6, 0.0002),
        (Trait.EMAIL, Agreement.DIFFERENT): (0.4, 0.9998),
        (Trait.POSTAL_CODE, Agreement.EXACT): (0.7, 0.01),
        (Trait.POSTAL_CODE, Agreement.DIFFERENT): (0.3, 0.99),
        (Trait.GENDER, Agreement.EXACT): (0.98, 0.5),
        (Trait.GENDER, Agreement.DIFFERENT): (0.02, 0.5),
        (Trait.IDENTIFIER, Agreement.EXACT): (0.3, 0.0001),
    }
)
"""How often records of one person agree so, and how often records of anybody."""
BITS = MappingProxyType({level: log2(m / u) for level, (m, u) in M_AND_U.items()})
OF_A_HOUSEHOLD = frozenset({Trait.PHONE, Trait.EMAIL, Trait.POSTAL_CODE})
HOUSEHOLD_BITS_MAX = MappingProxyType({Trait.GIVEN_NAME: 4.0, Trait.BIRTH_DATE: 12.0})
"""What a household shares tells of the household only, where given names differ, as of twins, or birth dates do, as
of a father and a son of one name: such pairs are possible, and never likely."""
_ZIP = re.compile(r"\b([0-9]{5})(?:-[0-9]{4})?\b")
_KNOWN_GENDERS = frozenset({Gender.FEMALE, Gender.MALE, Gender.OTHER})


@dataclass(frozen=True, slots=True)
class Name:
    given: str
    family: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What is compared of a person, by all of their records. Names are folded as a search folds them."""

    names: frozenset[Name]
    birth_dates: frozenset[date]
    phones: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    postal_codes: frozenset[str] = frozenset()
    genders: frozenset[Gender] = frozenset()
    identifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evidence:
    trait: Trait
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Likeness:
    score: float
    """The probability that both are one person's."""
    evidence: tuple[Evidence, ...]

    @property
    def grade(self) -> Grade | None:
        return grade_of(self.score)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another person of the chain who shares something that duplicates share."""

    id: UUID
    home_site_id: UUID
    traits: Traits
    card: PatientCard | None
    """Where the caller sees the record."""


@dataclass(frozen=True, slots=True)
class Match:
    """Somebody who may be the same person."""

    patient_id: UUID
    home_site_id: UUID
    likeness: Likeness
    card: PatientCard | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records that may be one person's, in the order of their ids."""

    first_id: UUID
    second_id: UUID
    likeness: Likeness

    @classmethod
    def of(cls, patient_id: UUID, match: Match) -> "Pair":
        first, second = sorted((patient_id, match.patient_id))
        return cls(first, second, match.likeness)


@dataclass(frozen=True, slots=True)
class Record:
    """One of a pair, as it is shown."""

    id: UUID
    home_site_id: UUID
    card: PatientCard | None


@dataclass(frozen=True, slots=True)
class ListedPair:
    first: Record
    second: Record
    likeness: Likeness
    state: PairState
    scored_at: datetime
    dismiss_reason: str
    dismissed_by: str
    dismissed_at: datetime | None

    def dismissed(self, reason: str, by: str, at: datetime) -> Self:
        if self.state is not PairState.OPEN:
            raise DuplicateSettled()
        told = replace(self, state=PairState.DISMISSED, dismiss_reason=reason)
        return replace(told, dismissed_by=by, dismissed_at=at)


def grade_of(score: float) -> Grade | None:
    if score >= LIKELY_MIN:
        return Grade.LIKELY
    return Grade.POSSIBLE if score >= POSSIBLE_MIN else None


def check_two(first_id: UUID, second_id: UUID) -> None:
    if first_id == second_id:
        raise DuplicateOfSame(Violation("other_patient_id", "SAME", DuplicateOfSame.message))


def matches(traits: Traits, candidates: Iterable[Candidate]) -> list[Match]:
    """Those who are likely or possibly the same, the likeliest first."""
    found = [Match(each.id, each.home_site_id, compare(traits, each.traits), each.card) for each in candidates]
    return sorted(
        (each for each in found if each.likeness.grade), key=lambda each: (-each.likeness.score, each.patient_id)
    )


def likely(found: Iterable[Match]) -> list[Match]:
    return [each for each in found if each.likeness.grade is Grade.LIKELY][:LIKELY_SHOWN_MAX]


def traits_of(record: Patient) -> Traits:
    people = (record.person, *record.also_called)
    return traits_of_people(people, [record.mrn])


def traits_of_people(people: Iterable[Person], mrns: Iterable[str]) -> Traits:
    people = list(people)
    points = [point for each in people for point in each.contact_points]
    postal = [point.value for point in points if point.system is ContactSystem.POSTAL]
    values = [each.value for person in people for each in person.identifiers]
    return Traits(
        names=frozenset(name for each in people for name in _names_of(each)),
        birth_dates=frozenset(each.birth_date for each in people if each.birth_date),
        phones=frozenset(point.value for point in points if point.system is ContactSystem.PHONE),
        emails=frozenset(point.value for point in points if point.system is ContactSystem.EMAIL),
        postal_codes=frozenset(code for address in postal for code in _ZIP.findall(address)[-1:]),
        genders=frozenset(each.gender for each in people if each.gender in _KNOWN_GENDERS),
        identifiers=frozenset(value for value in (*values, *mrns) if len(value) >= IDENTIFIER_MIN),
    )


def match_keys(record: Patient) -> list[str]:
    """What else duplicates share of a record than what it is indexed by: names with the year of birth, identifiers."""
    person, year = record.person, record.birth_date.year
    families = (person.family_name, *(each.family_name for each in person.former_names))
    names = {f"n:{_folded(family)}|{year}" for family in families if _folded(family)}
    return sorted(
        names | {identifier_key(each.value) for each in person.identifiers if len(each.value) >= IDENTIFIER_MIN}
    )


def identifier_key(value: str) -> str:
    return f"i:{value}"


def swapped(born: date) -> date | None:
    """With day and month in each other's place, where that is another day."""
    return date(born.year, born.day, born.month) if born.day <= 12 and born.day != born.month else None


def compare(one: Traits, other: Traits) -> Likeness:
    evidence = tuple(_evidence(one, other))
    bits = PRIOR_BITS + sum(BITS[each.trait, each.agreement] for each in evidence if each.trait not in OF_A_HOUSEHOLD)
    shared = sum(BITS[each.trait, each.agreement] for each in evidence if each.trait in OF_A_HOUSEHOLD)
    bounds = [
        HOUSEHOLD_BITS_MAX[each.trait]
        for each in evidence
        if each.trait in HOUSEHOLD_BITS_MAX and each.agreement in (Agreement.DIFFERENT, Agreement.SAME_YEAR)
    ]
    return Likeness(round(1 / (1 + 2 ** -(bits + min([shared, *bounds]))), SCORE_PLACES), evidence)


def _evidence(one: Traits, other: Traits) -> Iterator[Evidence]:
    """A trait that one of them lacks tells nothing."""
    yield from _of_names(one.names, other.names)
    if one.birth_dates and other.birth_dates:
        levels = (_of_birth_dates(*both) for both in product(one.birth_dates, other.birth_dates))
        yield max((Evidence(Trait.BIRTH_DATE, each) for each in levels), key=_bits)
    for trait, mine, theirs in (
        (Trait.PHONE, one.phones, other.phones),
        (Trait.EMAIL, one.emails, other.emails),
        (Trait.POSTAL_CODE, one.postal_codes, other.postal_codes),
        (Trait.GENDER, one.genders, other.genders),
    ):
        if mine and theirs:
            yield Evidence(trait, Agreement.EXACT if mine & theirs else Agreement.DIFFERENT)
    if one.identifiers & other.identifiers:
        yield Evidence(Trait.IDENTIFIER, Agreement.EXACT)


def _bits(evidence: Evidence) -> float:
    return BITS[evidence.trait, evidence.agreement]


def _of_names(mine: frozenset[Name], theirs: frozenset[Name]) -> tuple[Evidence, ...]:
    compared = (_of_two_names(one, other) for one, other in product(mine, theirs))
    return max(compared, key=lambda found: (sum(map(_bits, found)), found), default=())


def _of_two_names(one: Name, other: Name) -> tuple[Evidence, ...]:
    given, family = _of_given(one.given, other.given), _of_words(one.family, other.family)
    straight = _named(given, family)
    if one.given and one.family and (one.given, one.family) == (other.family, other.given) and one != other:
        return max(straight, _named(Agreement.SWAPPED, Agreement.SWAPPED), key=lambda found: sum(map(_bits, found)))
    return straight


def _named(given: Agreement | None, family: Agreement | None) -> tuple[Evidence, ...]:
    both = (Trait.GIVEN_NAME, given), (Trait.FAMILY_NAME, family)
    return tuple(Evidence(trait, agreement) for trait, agreement in both if agreement)


def _of_given(one: str, other: str) -> Agreement | None:
    """Of two who are called alike one often leaves out a second name, or all but the first letter."""
    found = _of_words(one, other)
    if found is not Agreement.DIFFERENT:
        return found
    mine, theirs = one.split()[0], other.split()[0]
    initial = 1 in (len(mine), len(theirs)) and mine[0] == theirs[0]
    return Agreement.SIMILAR if mine == theirs or initial else Agreement.DIFFERENT


def _of_words(one: str, other: str) -> Agreement | None:
    if not one or not other:
        return None
    if one == other:
        return Agreement.EXACT
    alike = JaroWinkler.similarity(*sorted((one, other))) >= SIMILAR_MIN
    return Agreement.SIMILAR if alike else Agreement.DIFFERENT


def _of_birth_dates(one: date, other: date) -> Agreement:
    if one == other:
        return Agreement.EXACT
    if swapped(one) == other:
        return Agreement.SWAPPED
    if sum(mine != theirs for mine, theirs in zip(one.isoformat(), other.isoformat(), strict=True)) == 1:
        return Agreement.ONE_DIGIT
    return Agreement.SAME_YEAR if one.year == other.year else Agreement.DIFFERENT


def _names_of(person: Person) -> Iterator[Name]:
    given, family = _folded(" ".join(person.given_names)), _folded(person.family_name)
    yield Name(given, family)
    if person.preferred_name:
        yield Name(_folded(person.preferred_name), family)
    for each in person.former_names:
        yield Name(_folded(" ".join(each.given_names)) or given, _folded(each.family_name) or family)


@lru_cache(maxsize=20_000)
def _folded(name: str) -> str:
    return " ".join(search_words(name))
