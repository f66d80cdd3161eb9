"""`atoll up`: the whole stack in the foreground."""

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from cli.display import Display
from deploy.local.process import LocalError
from deploy.local.stack import Options, Stack


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        sample: Annotated[bool, typer.Option("--sample", help="Load the sample chain of five sites, once.")] = False,
        tls: Annotated[
            bool, typer.Option("--tls", help="TLS at the edge, and mutual TLS behind it, by an authority made here.")
        ] = False,
    ) -> None:
        """Start everything, and keep it running until Ctrl-C."""
        options = replace(Options.from_environment(), tls=tls)
        asyncio.run(run(options, Console(highlight=False), sample=sample))


async def run(options: Options, console: Console, *, sample: bool) -> None:
    display, started = Display(console), time.monotonic()
    stop_on_signals()
    try:
        async with AsyncExitStack() as exits:
            stack = Stack(options, display.report)
            display.expect(stack.names)
            with display:
                await exits.enter_async_context(stack)
            if sample:
                await load_sample()
            console.print(f"\nServing after {time.monotonic() - started:.1f} s. Ctrl-C stops it.\n")
            print_addresses(console, stack)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Stopped. The data is kept.")


def stop_on_signals() -> None:
    """Ctrl-C and SIGTERM cancel this task; what it started is then stopped in order."""
    task = asyncio.current_task()
    assert task
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)


async def load_sample() -> None:
    """By a program of its own: the APIs of all services, which it imports, weigh 45 MB, and go with it."""
    loading = await asyncio.create_subprocess_exec(sys.executable, "-m", "cli", "sample")
    try:
        code = await loading.wait()
    finally:
        if loading.returncode is None:
            loading.send_signal(signal.SIGINT)  # As Ctrl-C does: it leaves the terminal as it found it.
            await loading.wait()
    if code:
        raise LocalError("the sample is not loaded; what is there of it is used when `atoll up --sample` runs again")


def print_addresses(console: Console, stack: Stack) -> None:
    """One line each, never broken, so that they can be copied."""
    info = stack.info
    trust = f"--cacert {info.ca_file} " if info.ca_file else ""
    for name, text, remark in (
        ("API", f"[bold cyan]{info.edge_url}[/]", "gRPC, gRPC-Web, Connect and JSON"),
        ("Mail", f"[bold cyan]{info.mail_url}[/]", "what was sent, delivered to nobody"),
        ("Texts", f"[bold cyan]{info.texts_url}[/]", "what was texted to nobody's telephone; answer it there"),
        ("Login", f"[bold cyan]{info.issuer}[/]", "sign in as anybody; an OIDC issuer for front ends"),
        ("Cards", f"[bold cyan]{info.cards_url}[/]", "a card processor that takes test cards"),
        ("Token", "TOKEN=$(./atoll token --role FRONT_DESK)", "--help names the roles"),
        ("JSON", f'curl {trust}-H "Authorization: Bearer $TOKEN" {info.edge_url}/v1/sites', ""),
        ("Calls", f"buf curl {trust}--list-methods {info.edge_url}", "by reflection"),
        ("State", "./atoll status", f"logs in {stack.home.logs}"),
    ):
        console.print(f"  [dim]{name:<6}[/] {text}{f'   [dim]{remark}[/]' if remark else ''}", soft_wrap=True)
