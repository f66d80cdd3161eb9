"""Which services' databases a command asks, and how: those of the stack on this machine, or those that are named."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Literal, TypeVar

import asyncpg
import typer

from chassis.pool import Pool, open_pool
from deploy.local.home import Home
from deploy.local.process import LocalError, reason

HELP = "NAME=URL of a service's database, as its {}; may be repeated. Those here, if not given."

T = TypeVar("T")
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


async def asked(urls: Mapping[str, str], ask: Callable[[str, Pool], Awaitable[T]]) -> dict[str, T]:
    """By service, what `ask` answers of it and of its database. One that is away is a LocalError that names it."""
    answers = {}
    for name, url in urls.items():
        try:
            async with open_pool(url, size=1) as pool:
                answers[name] = await ask(name, pool)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise LocalError(f"the database of {name} cannot be asked: {reason(error)}") from error
    return answers
