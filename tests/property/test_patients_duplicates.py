"""What holds of any two records that are compared."""

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from services.patients.domain.duplicates import Name, Traits, compare, swapped
from services.patients.domain.patients import Gender

WORDS = st.sampled_from(["", "ana", "anna", "ana maria", "a", "jon", "john", "ruiz", "ruis", "ortega", "山 田"])
NAMES = st.builds(Name, WORDS, WORDS)
DAYS = st.dates(date(1950, 1, 1), date(1953, 12, 31))
TRAITS = st.builds(
    Traits,
    names=st.frozensets(NAMES, min_size=1, max_size=3),
    birth_dates=st.frozensets(DAYS, min_size=1, max_size=2),
    phones=st.frozensets(st.sampled_from(["+1", "+2", "+3"]), max_size=2),
    emails=st.frozensets(st.sampled_from(["a@x", "b@x"]), max_size=2),
    postal_codes=st.frozensets(st.sampled_from(["87106", "10001"]), max_size=2),
    genders=st.frozensets(st.sampled_from([Gender.MALE, Gender.FEMALE]), max_size=1),
    identifiers=st.frozensets(st.sampled_from(["12345", "54321"]), max_size=2),
)


@given(TRAITS, TRAITS)
def test_it_does_not_matter_which_is_compared_with_which(one: Traits, other: Traits) -> None:
    assert compare(one, other) == compare(other, one)


@given(TRAITS, TRAITS)
def test_a_score_is_a_probability(one: Traits, other: Traits) -> None:
    assert 0 <= compare(one, other).score <= 1


@given(TRAITS, TRAITS)
def test_nobody_is_likelier_than_somebody_with_the_same_of_everything(one: Traits, other: Traits) -> None:
    same = replace(one, identifiers=one.identifiers & other.identifiers)
    both = replace(other, identifiers=same.identifiers)
    gone = [name for name in ("phones", "emails", "postal_codes", "genders") if not getattr(one, name)]
    assert compare(one, replace(both, **dict.fromkeys(gone, frozenset()))).score <= compare(one, same).score


@given(TRAITS, TRAITS)
def test_one_number_more_in_common_never_makes_it_less_likely(one: Traits, other: Traits) -> None:
    more = replace(one, phones=one.phones | {"+9"}), replace(other, phones=other.phones | {"+9"})
    assert compare(*more).score >= compare(one, other).score


@given(DAYS)
def test_day_and_month_changed_places_twice_are_as_before(day: date) -> None:
    other = swapped(day)
    assert other is None or swapped(other) == day
