"""`atoll audit`: whether the audit trails are what they were when they were sealed.

A trail proves by itself that nothing inside it was touched. That its end was not cut off, or the whole made anew, is
proved by heads: export them with `atoll audit heads`, keep them elsewhere, verify against them later.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chassis.ids import BadId, from_wire, to_wire
from chassis.pool import open_pool
from chassis.sealer import Head, Verdict, read_chains, read_heads, verify
from deploy.local.home import Home, StackInfo
from deploy.local.process import LocalError

LATE_S = 3.0
"""Rows that commit late are sealed within this time by a sealer that runs."""
LOOKS = 3

audit_app = typer.Typer(help="Who did and saw what, and that nobody touched the record.", no_args_is_help=True)


@dataclass(frozen=True)
class ExportedHead:
    """One line of an export."""

    service: str
    chain: str
    sequence: int
    hash: str


_exported = TypeAdapter(ExportedHead)
Kept: TypeAlias = Mapping[tuple[str, str], Head]
"""By service and chain."""


def register(app: typer.Typer) -> None:
    app.add_typer(audit_app, name="audit")


@audit_app.command("heads")
def print_heads() -> None:
    """Print the last seal of each trail as a line of JSON, to be kept where nobody who runs the stack can change it."""
    for name, heads in asyncio.run(_heads(Home.default().running())).items():
        for head in heads:
            typer.echo(json.dumps(_exported.dump_python(exported(name, head))))


@audit_app.command("verify")
def verify_trails(
    heads: Annotated[Path | None, typer.Option(help="Heads that were exported before.", exists=True)] = None,
) -> None:
    """Recompute every seal. Ends with 1 if a trail is not what it was."""
    kept = read_exported(heads.read_text()) if heads else {}
    verdicts = asyncio.run(verdicts_of(Home.default().running(), kept))
    Console(highlight=False).print(_table(verdicts) if verdicts else "Nothing was recorded yet.")
    if any(fault_of(verdict) for _, verdict in verdicts):
        raise typer.Exit(1)


async def verdicts_of(info: StackInfo, kept: Kept) -> list[tuple[str, Verdict]]:
    return [(name, verdict) for name in info.services for verdict in await _of_service(info, name, kept)]


async def _of_service(info: StackInfo, name: str, kept: Kept) -> list[Verdict]:
    """A chain of which a head was kept is looked for, be there a row of it or not."""
    heads = {head.chain_id: head for (service, _), head in kept.items() if service == name}
    async with open_pool(info.services[name].databases.sealer, size=1) as pool, pool.acquire() as conn:
        for look in range(LOOKS):
            chains = sorted({*await read_chains(conn), *heads})
            verdicts = [await verify(conn, chain, heads.get(chain)) for chain in chains]
            if look == LOOKS - 1 or not any(verdict.late for verdict in verdicts):
                break
            await asyncio.sleep(LATE_S)
    return verdicts


def fault_of(verdict: Verdict) -> str:
    """Rows below the seals that the sealer leaves alone were not there when it passed."""
    slipped_in = f"{verdict.late} rows were put in below the seals" if verdict.late else ""
    return verdict.fault or slipped_in


async def _heads(info: StackInfo) -> dict[str, list[Head]]:
    found = {}
    for name, service in info.services.items():
        async with open_pool(service.databases.sealer, size=1) as pool, pool.acquire() as conn:
            found[name] = await read_heads(conn, await read_chains(conn))
    return found


def exported(service: str, head: Head) -> ExportedHead:
    return ExportedHead(service, to_wire("chain", head.chain_id), head.sequence, head.hash.hex())


def read_exported(text: str) -> Kept:
    kept = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            each = _exported.validate_json(line)
            head = Head(from_wire("chain", each.chain), each.sequence, bytes.fromhex(each.hash))
        except (ValidationError, BadId, ValueError):
            raise LocalError(f"line {number} of the heads is none: {line[:80]!r}") from None
        kept[each.service, each.chain] = head
    return kept


def _table(verdicts: list[tuple[str, Verdict]]) -> Table:
    table = Table("Service", "Chain", box=None, padding=(0, 2))
    for heading in ("Sealed", "Not yet", "The oldest of those"):
        table.add_column(heading, justify="right")
    table.add_column("Trail")
    for name, each in verdicts:
        fault, oldest = fault_of(each), each.oldest_unsealed
        table.add_row(
            name,
            to_wire("chain", each.chain_id),
            str(each.sealed),
            str(each.unsealed),
            f"{oldest:%Y-%m-%d %H:%M:%S}" if oldest else "",
            f"[bold red]{escape(fault)}[/]" if fault else "[green]intact[/]",
        )
    return table
