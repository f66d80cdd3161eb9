"""Adds what is missing: see the package."""

from tests.contract.golden import write_missing

write_missing()
