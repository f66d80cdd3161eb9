"""Files that tell of patients: for their owner only, also where one that all could read was there before."""

from io import TextIOWrapper
from pathlib import Path
from typing import Literal


def open_private(path: Path, mode: Literal["w", "a"] = "w") -> TextIOWrapper:
    """Lines end as they are written."""
    path.touch(mode=0o600)
    if path.is_file():  # A device is not ours to close to others.
        path.chmod(0o600)
    return path.open(mode, encoding="utf-8", newline="")
