"""A file that is read anew when it has changed."""

import os
from pathlib import Path

from structlog.testing import capture_logs

from chassis.watched import Named, WatchedFile


def write(path: Path, text: str, at: int) -> None:
    """`at` in seconds: what file systems tell of time may be coarse."""
    path.write_text(text)
    os.utime(path, (at, at))


def watched(path: Path) -> WatchedFile[int]:
    return WatchedFile(path, int, -1)


def test_it_is_read_when_it_has_changed_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "number"
    write(path, "1", 0)
    file = watched(path)
    assert (file.changed(), file.content, file.changed()) == (True, 1, False)
    write(path, "2", 1)
    assert (file.changed(), file.content, file.changed()) == (True, 2, False)


def test_one_that_was_half_written_is_read_again_though_its_time_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "number"
    write(path, "", 1)
    file = watched(path)
    assert (file.changed(), file.content) == (False, -1)
    write(path, "7", 1)
    assert (file.changed(), file.content) == (True, 7)


def test_one_that_cannot_be_read_keeps_what_it_told_and_says_so_once_for_each_change(tmp_path: Path) -> None:
    path = tmp_path / "number"
    write(path, "1", 1)
    file = watched(path)
    assert file.changed()
    with capture_logs() as logged:
        for there in ("x", None, "1", None):
            if there is None:
                path.unlink()
            else:
                write(path, there, 1 if there == "1" else 2)
            for _ in range(3):
                assert not file.changed()
    assert file.content == 1
    assert [(each["event"], each["file"], each["error"]) for each in logged] == [
        ("file.unreadable", "number", "ValueError"),
        ("file.unreadable", "number", "FileNotFoundError"),
        ("file.unreadable", "number", "FileNotFoundError"),
    ]


def test_what_is_told_by_name_is_what_is_given_and_what_the_file_tells_now(tmp_path: Path) -> None:
    path, let_go = tmp_path / "numbers", list[str]()
    file = WatchedFile(path, lambda told: {name: int(name) for name in told.decode().split()}, dict[str, int]())
    named = Named({"0": 0}, file, let_go.append)
    assert (named.now, named.none_ever) == ({"0": 0}, False)
    write(path, "1 2", 1)
    assert (named.now, let_go) == ({"0": 0, "1": 1, "2": 2}, [])
    write(path, "2", 2)
    assert (named.now, let_go) == ({"0": 0, "2": 2}, ["1"])
    assert (Named({}).none_ever, Named({"0": 0}).none_ever) == (True, False)
