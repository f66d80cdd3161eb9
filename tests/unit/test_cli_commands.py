"""The commands that there are: all of them for who asks what there is, else the one that is named."""

import pytest
import typer

from cli.app import MODULES, build


def named(app: typer.Typer) -> list[str]:
    commands = [each.name or (each.callback.__name__ if each.callback else "") for each in app.registered_commands]
    return sorted([*commands, *(str(each.name) for each in app.registered_groups)])


@pytest.mark.parametrize("word", named(build()))
def test_a_command_that_is_named_is_the_only_one_that_is_loaded(word: str) -> None:
    assert named(build(word)) == [word]


@pytest.mark.parametrize("word", ["", "--help", "tokn"])
def test_whoever_names_none_that_there_is_gets_to_know_all(word: str) -> None:
    assert {"up", "token", "status", *MODULES} <= set(named(build(word)))
