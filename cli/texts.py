"""`atoll texts`: what the local provider of texts was given, and a reply as from the telephone that it went to."""

import json
from typing import Annotated
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import typer
from rich.console import Console

from deploy.local.home import Home
from deploy.local.process import LocalError

ANSWER_S = 15.0
SAID_MAX = 200
"""Bytes of a refusal that are shown."""
texts = typer.Typer(help="Texts and calls that the stack made, which went to no telephone.", no_args_is_help=True)
Number = Annotated[str, typer.Argument(help="The telephone's, as `atoll texts list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(texts, name="texts")


@texts.command("list")
def list_texts(
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What was said to and from each number, the latest first."""
    said = sorted(_said(), key=lambda each: each["at"], reverse=True)[:limit]
    if as_json:
        typer.echo(json.dumps(said, indent=2))
        return
    console = Console(highlight=False)
    for each in said:
        ends = (each["theirs"], each["ours"]) if each["kind"] == "reply" else (each["ours"], each["theirs"])
        kind = "call, " if each["kind"] == "call" else ""
        _print(console, each, f"{ends[0]} to {ends[1]}, {kind}{each['status']}")
    if not said:
        console.print("Nothing was sent yet.")


@texts.command()
def show(number: Number) -> None:
    """A conversation, from its first word to the last."""
    console = Console(highlight=False)
    for each in _with(number):
        who = "them" if each["kind"] == "reply" else each["ours"]
        _print(console, each, f"{who}, {each['status']}")


@texts.command()
def reply(
    number: Number,
    text: Annotated[str, typer.Argument(help="C, R, STOP, START, HELP, or words of their own.")],
) -> None:
    """Answer what came last to a number, as from its telephone."""
    ours = _with(number)[-1]["ours"]
    _asked(f"/texts/{quote(ours)}/{quote(number)}", urlencode({"said": text}).encode())
    typer.echo(f"{number} said to {ours}: {text}")


def _print(console: Console, said: dict[str, str], head: str) -> None:
    console.print(f"[dim]{said['at'][:19].replace('T', ' ')} UTC  {head}[/]")
    console.print(f"{said['body']}\n", markup=False)


def _with(number: str) -> list[dict[str, str]]:
    found = sorted((each for each in _said() if each["theirs"] == number), key=lambda each: each["at"])
    if not found:
        raise LocalError(f"nothing was said to or from {number}")
    return found


def _said() -> list[dict[str, str]]:
    """Each as deploy.local.texts.provider.Said has it."""
    said: list[dict[str, str]] = json.loads(_asked("/texts.json"))["texts"]
    return said


def _asked(path: str, form: bytes | None = None) -> bytes:
    url = Home.default().running().texts_url
    try:
        with urlopen(url + path, form, timeout=ANSWER_S) as answer:  # noqa: S310  # Of this machine.
            content: bytes = answer.read()
    except HTTPError as error:
        said = error.read(SAID_MAX).decode(errors="replace")
        raise LocalError(f"the provider of texts answered {error.code} {error.reason}: {said}") from error
    except OSError as error:
        raise LocalError(f"the provider of texts on {url} did not answer: see its log, mail.log") from error
    return content
