"""One guard, taken away."""

from typing import NamedTuple


class Mutant(NamedTuple):
    file: str
    guard: str
    """What stands there, exactly once."""
    instead: str
    tests: str
    words: str = ""
    """Of the tests that must notice; all of the file if empty."""
