"""Whatever somebody is called, and however it is typed, a beginning of a name is found."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from services.patients.domain.contacts import read_email, read_phone
from services.patients.domain.names import AFTER_EVERYTHING, search_words

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)


def fits(asked: str, words: tuple[str, ...]) -> bool:
    """As the database compares them: in the order of code points."""
    return all(any(each <= word < each + AFTER_EVERYTHING for word in words) for each in search_words(asked))


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_name_is_found_by_itself_in_any_case_and_form(names: list[str]) -> None:
    words = search_words(*names)
    for name in names:
        assert fits(name, words)
        assert fits(unicodedata.normalize("NFD", name), words)
        assert fits(unicodedata.normalize("NFC", name), words)
        assert fits(name.casefold(), words)


@settings(deadline=None)
@given(st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=20), st.integers(1, 20))
def test_a_name_is_found_by_each_beginning_of_it(name: str, length: int) -> None:
    words = search_words(name)
    assert fits(words[0][:length], words)


@settings(deadline=None)
@given(NAMES)
def test_words_are_words_of_themselves(name: str) -> None:
    words = search_words(name)
    assert search_words(*words) == words
    assert all(word < AFTER_EVERYTHING and " " not in word for word in words)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_the_order_of_names_does_not_matter(one: str, other: str) -> None:
    assert set(search_words(one, other)) == set(search_words(other, one))


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_makes_reading_an_email_or_a_phone_fail(text: str) -> None:
    email, phone = read_email(text), read_phone(text)
    assert email is None or read_email(email) == email
    assert phone is None or read_phone(phone.e164) == phone
