"""Patients' files that others made. They are read beside the checkout and never kept in it: a clone alone has none."""

from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "data"
