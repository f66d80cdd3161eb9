"""Which rows of a code set contradict each other."""

from datetime import date
from uuid import UUID

import pytest

from services.billing.domain.codes import (
    CodeNotValid,
    CodesOverlap,
    DiagnosisCode,
    ServiceCode,
    ServiceCodeRow,
    refuse_outlived,
    refuse_overlaps,
    with_dot,
)
from services.billing.domain.prices import VisitKind


def diagnosis(first: int, last: int | None, code: str = "F33.2") -> DiagnosisCode:
    """From a day of January 2026 to another."""
    return DiagnosisCode(code, date(2026, 1, first), date(2026, 1, last) if last else None)


def named(new: list[DiagnosisCode], known: list[DiagnosisCode]) -> list[str]:
    try:
        refuse_overlaps(new, known, "rows[{}]")
    except CodesOverlap as refused:
        return [each.field for each in refused.violations]
    return []


@pytest.mark.parametrize(
    ("new", "known", "at_fault"),
    [
        ([diagnosis(1, 5), diagnosis(6, None)], [], []),
        ([diagnosis(1, 6), diagnosis(6, None)], [], ["rows[1]"]),
        ([diagnosis(6, None), diagnosis(1, 6)], [], ["rows[0]"]),  # The one that begins later.
        ([diagnosis(1, None), diagnosis(1, None)], [], ["rows[1]"]),
        ([diagnosis(1, 20), diagnosis(5, 6), diagnosis(10, 11)], [], ["rows[1]", "rows[2]"]),  # Inside of the first.
        ([diagnosis(1, 5)], [diagnosis(5, 9)], ["rows[0]"]),  # The new one is named, though it begins sooner.
        ([diagnosis(9, None)], [diagnosis(5, 9)], ["rows[0]"]),
        ([diagnosis(5, 20)], [diagnosis(5, 9)], []),  # Takes its place,
        ([diagnosis(5, 20)], [diagnosis(5, 9), diagnosis(10, 11)], ["rows[0]"]),  # and the next one's.
        ([diagnosis(1, None, "F33.1")], [diagnosis(1, None)], []),
    ],
)
def test_of_rows_that_overlap_the_new_ones_are_named(
    new: list[DiagnosisCode], known: list[DiagnosisCode], at_fault: list[str]
) -> None:
    assert named(new, known) == at_fault


def test_a_code_has_its_dot_behind_three_characters() -> None:
    assert [with_dot(code) for code in ("F332", "F33.2", "F99", "T40606A")] == ["F33.2", "F33.2", "F99", "T40.606A"]


@pytest.mark.parametrize(
    ("code", "first", "last", "day"),
    [
        ("S0013", date(2025, 1, 1), date(2025, 12, 31), None),
        ("S0013", date(2025, 1, 1), date(2026, 1, 1), "2026-01-01"),
        ("S0013", date(2026, 2, 1), None, "2026-02-01"),
        ("J0013", date(2026, 1, 1), None, None),
        ("J0013", date(2025, 12, 31), None, "2025-12-31"),
        ("96365", date(2000, 1, 1), None, None),
    ],
)
def test_esketamine_changed_its_code_with_the_year_2026(
    code: str, first: date, last: date | None, day: str | None
) -> None:
    row = ServiceCodeRow(UUID(int=1), VisitKind("spravato", "", ""), ServiceCode(code, 1), first, last)
    if day is None:
        refuse_outlived([row], "rows[{}]")
        return
    with pytest.raises(CodeNotValid) as refused:
        refuse_outlived([row], "rows[{}]")
    assert [each.description for each in refused.value.violations] == [f"{code} is not valid on {day}"]
