"""`atoll up`: the whole stack in the foreground."""

import asyncio
import importlib
import inspect
import signal
import time
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.display import Display
from deploy.local.stack import Options, Stack


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        sample: Annotated[bool, typer.Option("--sample", help="Load the sample chain of five sites, once.")] = False,
    ) -> None:
        """Start everything, and keep it running until Ctrl-C."""
        asyncio.run(run(Options.from_environment(), Console(highlight=False), sample=sample))


async def run(options: Options, console: Console, *, sample: bool) -> None:
    display, started = Display(console), time.monotonic()
    stop_on_signals()
    try:
        async with AsyncExitStack() as exits:
            stack = Stack(options, display.report)
            display.expect(stack.names)
            with display:
                await exits.enter_async_context(stack)
            if sample and not stack.home.sites_file.exists():
                await load_sample(stack)
            console.print(f"\nServing after {time.monotonic() - started:.1f} s. Ctrl-C stops it.\n")
            console.print(addresses(stack))
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Stopped. The data is kept.")


def stop_on_signals() -> None:
    """Ctrl-C and SIGTERM cancel this task; what it started is then stopped in order."""
    task = asyncio.current_task()
    assert task
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)


async def load_sample(stack: Stack) -> None:
    loaded = importlib.import_module("cli.sample").load(stack)
    if inspect.isawaitable(loaded):
        await loaded


def addresses(stack: Stack) -> Table:
    info, table = stack.info, Table(box=None, padding=(0, 2), show_header=False)
    token = "./atoll token --role FRONT_DESK"  # noqa: S105  # A command that prints one.
    table.add_row("API", f"[bold cyan]{info.edge_url}[/]", "gRPC, gRPC-Web and JSON")
    table.add_row("Mail", f"[bold cyan]{info.mail_url}[/]", "what was sent, delivered to nobody")
    table.add_row("Token", token, 'then: curl -H "Authorization: Bearer $TOKEN" …')
    table.add_row("Calls", f"buf curl --list-methods {info.edge_url}", "by reflection")
    table.add_row("State", "./atoll status", f"logs in {stack.home.logs}")
    return table
