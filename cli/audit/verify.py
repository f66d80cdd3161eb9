"""Whether the audit trails are what they were when they were sealed.

A trail proves by itself that nothing inside it was touched. That its end was not cut off, or the whole made anew, is
proved by heads, which each service writes to a file every minute, signed: see chassis/heads.py. Those of the stack on
this machine lie in its folder; copies that were kept elsewhere prove more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from joserfc.jwk import KeySet
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chassis.heads import ExportedHead, Exports, digest_of, signed_lines
from chassis.ids import to_wire
from chassis.pool import Pool
from chassis.sealer import Head, Verdict, read_chains, read_heads, verify
from chassis.signing import BadKey, public_keys, signing_key
from chassis.times import utc_now
from cli.databases import OfSealers, asked, databases
from deploy.local.home import Home
from deploy.local.process import LocalError

LATE_S = 3.0
"""Rows that commit late are sealed within this time by a sealer that runs."""
LOOKS = 3


@dataclass(frozen=True, slots=True)
class Found:
    service: str
    verdict: Verdict
    exported: ExportedHead | None
    """The last of the heads that it was verified against."""

    @property
    def fault(self) -> str:
        """Rows below the seals that the sealer leaves alone were not there when it passed."""
        late = self.verdict.late
        slipped_in = f"{late} rows were put in below the seals" if late else ""
        return self.verdict.fault or slipped_in


def print_heads(database: OfSealers = None) -> None:
    """Print the last seal of each trail, signed, to be kept where nobody who runs the stack can change it."""
    previous = ""
    try:
        key = signing_key(Home.default().audit_key)
    except BadKey as error:
        raise LocalError(str(error)) from error
    for name, heads in asyncio.run(asked(databases(database, "sealer"), _heads)).items():
        for line in signed_lines(key, name, heads, utc_now(), previous):
            typer.echo(line)
            previous = digest_of(line)


def verify_trails(
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of heads; may be repeated. What the stack here exported, if not given.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="The keys that they are signed with (JWK or JWKS). The stack's, if not given.", exists=True),
    ] = None,
    database: OfSealers = None,
) -> None:
    """Recompute every seal, and compare with every exported head. Ends with 1 if a trail is not what it was."""
    home = Home.default()
    exports = read_exports(heads or sorted(home.audit_heads.glob("*.jsonl")), keys or home.audit_key)
    found = asyncio.run(look_at(databases(database, "sealer"), exports))
    console = Console(highlight=False)
    console.print(_table(found) if found else "Nothing was recorded yet.")
    for fault in exports.faults:
        console.print(f"[bold red]{escape(fault)}[/]", soft_wrap=True)
    if exports.faults or any(each.fault for each in found):
        raise typer.Exit(1)


def read_exports(files: Sequence[Path], keys: Path) -> Exports:
    exports = Exports()
    try:
        known = public_keys(keys) if files else KeySet([])
    except BadKey as error:
        raise LocalError(str(error)) from error
    for file in files:
        exports.read(file.read_text(errors="replace"), known, file.name)
    return exports


async def look_at(urls: Mapping[str, str], exports: Exports) -> list[Found]:
    """A chain of which a head was exported is looked for, be there a row of it or not."""

    async def look(name: str, pool: Pool) -> list[Verdict]:
        return await _verdicts(pool, {chain: seals for (of, chain), seals in exports.kept.items() if of == name})

    verdicts = await asked(urls, look)
    return [
        Found(name, verdict, exports.last.get((name, verdict.chain_id)))
        for name, of_service in verdicts.items()
        for verdict in of_service
    ]


async def _verdicts(pool: Pool, kept: Mapping[UUID, Mapping[int, bytes]]) -> list[Verdict]:
    async with pool.acquire() as conn:
        for look in range(LOOKS):
            chains = sorted({*await read_chains(conn), *kept})
            verdicts = [await verify(conn, chain, kept.get(chain, {})) for chain in chains]
            if look == LOOKS - 1 or not any(verdict.late for verdict in verdicts):
                break
            await asyncio.sleep(LATE_S)
    return verdicts


async def _heads(_: str, pool: Pool) -> list[Head]:
    async with pool.acquire() as conn:
        return await read_heads(conn, await read_chains(conn))


def _table(found: Sequence[Found]) -> Table:
    table = Table("Service", "Chain", box=None, padding=(0, 2))
    for heading in ("Sealed", "Exported", "at", "Not yet sealed", "the oldest"):
        table.add_column(heading, justify="right")
    table.add_column("Trail")
    for each in found:
        verdict, exported, oldest = each.verdict, each.exported, each.verdict.oldest_unsealed
        table.add_row(
            each.service,
            to_wire("chain", verdict.chain_id),
            str(verdict.sealed),
            str(exported.sequence) if exported else "",
            exported.exported_time[:19].replace("T", " ") if exported else "",
            str(verdict.unsealed),
            f"{oldest:%Y-%m-%d %H:%M:%S}" if oldest else "",
            f"[bold red]{escape(each.fault)}[/]" if each.fault else "[green]intact[/]",
        )
    return table
