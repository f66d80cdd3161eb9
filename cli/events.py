"""`atoll events`: what could not be handled, and what is to be published again."""

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from rich.console import Console
from rich.table import Table

from atoll.common.v1.event_meta_pb2 import subject
from chassis.ids import to_wire
from chassis.pool import Pool
from chassis.relay import publish_again
from cli.databases import OfRelays, asked, databases
from deploy.local.process import LocalError

LETTERS = "SELECT * FROM dead_letter ORDER BY buried_at"
REPLAY = "UPDATE dead_letter SET replay_at = clock_timestamp() WHERE $1 OR message_id = ANY ($2) RETURNING message_id"
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

events_app = typer.Typer(help="Events that the services tell each other.", no_args_is_help=True)
letters_app = typer.Typer(help="Events that could not be handled.", no_args_is_help=True)
events_app.add_typer(letters_app, name="dead-letters")

T = TypeVar("T")
ServiceOption = Annotated[str | None, typer.Option("--service", help="Of this service only.")]


def register(app: typer.Typer) -> None:
    app.add_typer(events_app, name="events")


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter, and whose it is."""

    service: str
    row: asyncpg.Record

    @property
    def fact(self) -> str:
        return str(self.row["subject"].rpartition(".")[0])


@letters_app.command("list")
def list_letters(service: ServiceOption = None, database: OfRelays = None) -> None:
    """The oldest first."""
    letters = _letters(service, database)
    table = Table("Service", "Message", "Fact", "Reason", "Waits for", box=None, padding=(0, 2))
    for heading in ("Attempts", "Buried (UTC)"):
        table.add_column(heading, justify="right")
    for each in letters:
        row, at = each.row, each.row["replay_at"]
        again = f" [yellow]again at {at:%Y-%m-%d %H:%M:%S}[/]" if at else ""
        buried = f"{row['buried_at']:%Y-%m-%d %H:%M:%S}{again}"
        waits_for = row["waits_for"] or ""
        table.add_row(
            each.service, row["message_id"], each.fact, row["reason"], waits_for, str(row["attempts"]), buried
        )
    Console(highlight=False).print(table if letters else "There are none.")


@letters_app.command()
def show(
    message: Annotated[str, typer.Argument(help="As `list` names it.")],
    service: ServiceOption = None,
    database: OfRelays = None,
) -> None:
    """What one holds. Events hold ids, never a patient's data."""
    found = [each for each in _letters(service, database) if each.row["message_id"] == message]
    if not found:
        raise LocalError(f"no dead letter {message}")
    console = Console(highlight=False)
    for each in found:
        row = each.row
        console.print(f"[bold]{each.fact}[/]\n[dim]service[/]  {each.service}\n[dim]chain[/]    {_chain(row)}")
        console.print(f"[dim]reason[/]   {row['reason']}, {row['attempts']} attempts\n")
        console.print(content(each.fact, row["payload"]), markup=False)


@letters_app.command("replay")
def replay_letters(
    messages: Annotated[list[str] | None, typer.Argument(help="As `list` names them.")] = None,
    service: ServiceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    database: OfRelays = None,
) -> None:
    """Ask the services to try letters again. Those that fail again stay."""
    if bool(messages) == everything:
        raise LocalError("name the letters to replay, or say --all")
    named = messages or []
    done = _in_each(service, database, lambda pool: pool.fetch(REPLAY, everything, named))
    found = [row["message_id"] for rows in done.values() for row in rows]
    again = f"{len(found)} letters are tried again"
    if missing := sorted({*named} - {*found}):
        raise LocalError(f"{again}; there is no letter {', '.join(missing)}")
    typer.echo(again)


@events_app.command()
def replay(
    since: Annotated[str, typer.Option(help="An instant (2027-03-01T16:00:00+00:00, real time), or 30m, 2h, 3d ago.")],
    service: ServiceOption = None,
    database: OfRelays = None,
) -> None:
    """Publish events again that were recorded since, as after NATS lost its store. Readers drop what they have had."""
    instant = instant_of(since, datetime.now(UTC))
    table = Table("Service", box=None, padding=(0, 2))
    table.add_column("Events", justify="right")
    for name, count in _in_each(service, database, lambda pool: publish_again(pool, instant)).items():
        table.add_row(name, str(count))
    Console(highlight=False).print(table)


def instant_of(text: str, now: datetime) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
            return now - int(ago[1]) * UNITS[ago[2]]
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except ValueError:
        raise LocalError(f"{text!r} is neither an instant nor a while ago, as 2h or 3d") from None
    except OverflowError:
        raise LocalError(f"{text!r} is beyond the calendar, which begins with the year 1") from None


def content(fact: str, payload: bytes) -> str:
    """The event as JSON, or why it cannot be shown."""
    event_type = _event_type(fact)
    if event_type is None:
        return f"{len(payload)} bytes of an event that is not known here"
    try:
        return json_format.MessageToJson(event_type.FromString(payload), preserving_proto_field_name=True)
    except DecodeError:
        return f"{len(payload)} bytes that are no {event_type.DESCRIPTOR.full_name}"


def _event_type(fact: str) -> Any:
    try:
        events = importlib.import_module(f"atoll.{fact.partition('.')[0]}.v1.events_pb2").DESCRIPTOR
    except ModuleNotFoundError:
        return None
    named = {each.GetOptions().Extensions[subject]: each for each in events.message_types_by_name.values()}
    return GetMessageClass(named[fact]) if fact in named else None


def _letters(service: str | None, named: Sequence[str] | None) -> list[Buried]:
    found = _in_each(service, named, lambda pool: pool.fetch(LETTERS))
    return [Buried(name, row) for name, rows in found.items() for row in rows]


def _in_each(service: str | None, named: Sequence[str] | None, ask: Callable[[Pool], Awaitable[T]]) -> dict[str, T]:
    """Asks each service's database, as its relay: that role sees events and dead letters of every chain."""
    relays = databases(named, "relay")
    if service and service not in relays:
        raise LocalError(f"no service {service}: there are {', '.join(relays)}")
    wanted = {name: url for name, url in relays.items() if service in (None, name)}
    return asyncio.run(asked(wanted, lambda _, pool: ask(pool)))


def _chain(row: asyncpg.Record) -> str:
    return to_wire("chain", row["chain_id"])
