"""Files that tell of patients are for whoever runs the command."""

import os
import stat
from pathlib import Path

import pytest

from cli.private import open_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("before", "after"), [(None, "new\n"), ("old\n", "new\n")])
def test_a_file_is_for_its_owner_only_whatever_it_was(tmp_path: Path, before: str | None, after: str) -> None:
    path = tmp_path / "export.ndjson"
    if before is not None:
        path.write_text(before)
        path.chmod(0o644)
    with open_private(path) as file:
        file.write("new\n")
        assert mode_of(path) == 0o600
    assert path.read_text() == after


def test_one_that_goes_on_is_closed_to_others_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("old\n")
    path.chmod(0o644)
    with open_private(path, "a") as file:
        file.write("new\r\n")
    assert (mode_of(path), path.read_bytes()) == (0o600, b"old\nnew\r\n")


def test_what_is_no_file_stays_open_to_whom_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    path.chmod(0o644)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open_private(path) as file:
        file.write("new\n")
    assert (mode_of(path), os.read(reader, 10)) == (0o644, b"new\n")
    os.close(reader)
