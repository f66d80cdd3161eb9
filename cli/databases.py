"""Which services' databases a command asks: those of the stack on this machine, or those that are named."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from deploy.local.home import Home
from deploy.local.process import LocalError

HELP = "NAME=URL of a service's database, as its {}; may be repeated. Those here, if not given."

OfRelays = Annotated[list[str] | None, typer.Option("--database", help=HELP.format("relay"))]
OfSealers = Annotated[list[str] | None, typer.Option("--database", help=HELP.format("sealer"))]


def databases(named: Sequence[str] | None, role: Literal["relay", "sealer"]) -> dict[str, str]:
    """URLs by service."""
    if not named:
        return {name: getattr(each.databases, role) for name, each in Home.default().running().services.items()}
    pairs = [each.partition("=") for each in named]
    if not all(name and url for name, _, url in pairs):
        raise LocalError("--database is NAME=URL, as patients=postgresql://…")
    return {name: url for name, _, url in pairs}
