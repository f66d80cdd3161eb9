"""A phone number as it is mostly written is read as the library for phone numbers reads it."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.patients.domain.contacts import _read_any_phone, read_phone

SIGNS = st.sampled_from(("", " ", ".", "-"))
COUNTRIES = st.sampled_from(("", "+1", "+1 ", "+1-", "1", "1-", "+", "001"))


@st.composite
def dialled(draw: st.DrawFn) -> str:
    """Ten digits or so, with signs between them or not."""
    digits = draw(st.text("0123456789", min_size=9, max_size=11)) if draw(st.booleans()) else _possible(draw)
    area = digits[:3] if draw(st.booleans()) else f"({digits[:3]})"
    return f"{draw(COUNTRIES)}{area}{draw(SIGNS)}{digits[3:6]}{draw(SIGNS)}{digits[6:]}"


def _possible(draw: st.DrawFn) -> str:
    return f"{draw(st.integers(200, 999))}{draw(st.integers(0, 9_999_999)):07}"


@given(dialled() | st.text("0123456789+-(). ", max_size=16))
@example("555-929-9025")
@example("(505) 842-2000")
@example("+1 (505) 842.2000")
@example("604-669-1234")  # Of Canada, which shares the country code.
@example("8769221234")  # Of Jamaica.
@example("(505842-2000")
@example("505842\n2000")
@example("٥٠٥٨٤٢٢٠٠٠")
def test_a_number_is_read_as_the_library_reads_it(text: str) -> None:
    assert read_phone(text) == _read_any_phone(text)
