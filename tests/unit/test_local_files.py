"""What a home keeps is whole, or is made again, wherever whoever wrote it was killed."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.cards.keys import CardKeys
from deploy.local.files import write_whole
from deploy.local.home import Home
from deploy.local.process import LocalError
from deploy.local.texts.keys import TextKeys
from deploy.local.texts.provider import TextProvider

THEIRS, OURS = "+15055550101", "+15055570100"
FILES_OF_KEYS = 6


class Killed(Exception):
    """Stands for the end of the process."""


def kill_at_file(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """In the midst of writing it; the first is 0."""
    write, written = Path.write_text, list[Path]()

    def dying(path: Path, text: str) -> int:
        written.append(path)
        if len(written) > number:
            write(path, text[: len(text) // 2])
            raise Killed
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", dying)


def test_a_draft_that_is_left_opens_nothing_to_others(tmp_path: Path) -> None:
    left, path = tmp_path / "keys.json.draft", tmp_path / "keys.json"
    left.touch()
    left.chmod(0o644)
    write_whole(path, "{}")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(), left.exists()) == (0o600, "{}", False)


@pytest.mark.parametrize("number", range(FILES_OF_KEYS))
def test_keys_of_a_home_that_were_half_written_are_made_again(tmp_path: Path, number: int) -> None:
    home = Home(tmp_path)
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at_file(monkeypatch, number)
        with pytest.raises(Killed):
            home.make_keys()
    home.make_keys()
    made = [*tmp_path.glob("*.json")]
    assert len(made) == FILES_OF_KEYS
    told = {path.name: json.loads(path.read_text()) for path in made}
    [signing], [public] = told["account-keys.json"]["signing"], told["account-jwks.json"]["keys"]
    assert (signing["kid"], signing["x"]) == (public["kid"], public["x"])
    assert {path.name for path in made if stat.S_IMODE(path.stat().st_mode) != 0o600} == {"account-jwks.json"}


@pytest.mark.parametrize("keys_of", [CardKeys.of, TextKeys.of])
def test_keys_of_a_provider_that_were_half_written_are_made_again_and_damaged_ones_are_named(
    tmp_path: Path, keys_of: Callable[[Path], CardKeys | TextKeys]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at_file(monkeypatch, 0)
        with pytest.raises(Killed):
            keys_of(tmp_path)
    assert keys_of(tmp_path) == keys_of(tmp_path)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    for damaged in ("", "{}", "[]"):
        (tmp_path / "keys.json").write_text(damaged)
        with pytest.raises(LocalError, match=r"keys\.json holds no keys: remove it, and new ones are made"):
            keys_of(tmp_path)


def test_what_was_there_stays_until_all_of_the_new_is(tmp_path: Path) -> None:
    write_whole(tmp_path / "sites.json", "old")
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at_file(monkeypatch, 0)
        with pytest.raises(Killed):
            write_whole(tmp_path / "sites.json", "new ones")
    assert (tmp_path / "sites.json").read_text() == "old"


def test_a_line_of_what_was_said_that_was_cut_off_is_taken_away(tmp_path: Path) -> None:
    first = TextProvider(tmp_path).add("reply", OURS, THEIRS, "C", "received")
    with (tmp_path / "said.jsonl").open("a") as file:
        file.write('{"sid": "SM1", "ki')
    second = TextProvider(tmp_path).add("reply", OURS, THEIRS, "R", "received")
    assert TextProvider(tmp_path).conversation(OURS, THEIRS) == [first, second]
