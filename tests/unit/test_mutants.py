"""Rows of mutants follow the code: what they take away stands there, once, and their tests are there."""

from pathlib import Path

from tests.mutants.__main__ import MUTANTS

ROOT = Path(__file__).parents[2]


def test_every_guard_stands_once_in_its_file_and_has_a_file_of_tests() -> None:
    sources = {name: (ROOT / name).read_text() for name in {each.file for each in MUTANTS}}
    astray = [each for each in MUTANTS if sources[each.file].count(each.guard) != 1 or not (ROOT / each.tests).exists()]
    assert astray == []


def test_no_mutant_stands_twice() -> None:
    assert len(MUTANTS) == len({(each.file, each.guard, each.instead) for each in MUTANTS})
