"""`atoll status`: each process of the running stack, and what waits in its outboxes and dead letters."""

import asyncio
import time

import asyncpg
import psutil
import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from chassis.backlog import Backlog, backlog
from deploy.local.home import Home, ProcessInfo, ServiceInfo, StackInfo
from deploy.local.nats import trouble_at
from deploy.local.process import answers_http
from deploy.local.services import serves


def register(app: typer.Typer) -> None:
    @app.command()
    def status() -> None:
        """Show the running stack. Ends with 1 if a process is not healthy, or NATS elsewhere is not."""
        info = Home.default().running()
        console = Console(highlight=False)
        healthy = {name: is_healthy(info, name) for name in info.processes}
        elsewhere = "" if "nats" in info.processes else asyncio.run(trouble_at(info.nats_url))
        console.print(Group(_addresses(info, elsewhere), "", _processes(info, healthy), "", _backlogs(info)))
        if elsewhere or not all(healthy.values()):
            raise typer.Exit(1)


def is_healthy(info: StackInfo, name: str) -> bool:
    if name in info.services:
        return serves(info.services[name].probe_address)
    if name == "envoy":
        return answers_http(f"{info.edge_url}/healthz", info.ca_file)
    if name == "mail":
        return answers_http(f"{info.mail_url}/healthz") and answers_http(f"{info.texts_url}/healthz")
    if name == "cards":
        return answers_http(f"{info.cards_url}/healthz")
    if name == "login":
        return answers_http(f"{info.issuer}/healthz")
    if name == "nats":
        return answers_http(f"{info.nats_monitor_url}/healthz")
    return psutil.pid_exists(info.processes[name].pid)


def pss(process: ProcessInfo) -> int:
    """Bytes of memory, with those of its children; what is shared counts for each by its share."""
    total = 0
    try:
        root = psutil.Process(process.pid)
        for each in (root, *root.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        return total
    return total


async def backlogs(info: StackInfo) -> dict[str, Backlog | None]:
    names = list(info.services)
    return dict(zip(names, await asyncio.gather(*(_backlog(info.services[name]) for name in names)), strict=True))


async def _backlog(service: ServiceInfo) -> Backlog | None:
    try:
        connection = await asyncpg.connect(service.databases.relay, timeout=3)
    except (OSError, asyncpg.PostgresError):
        return None
    try:
        return await backlog(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    finally:
        await connection.close()


def _addresses(info: StackInfo, trouble_at_nats: str) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_row("API", info.edge_url)
    table.add_row("Mail", info.mail_url)
    table.add_row("Texts", info.texts_url)
    table.add_row("Login", info.issuer)
    table.add_row("Cards", info.cards_url)
    trouble = f"  [bold red]{escape(trouble_at_nats)}[/]" if trouble_at_nats else ""
    table.add_row("NATS", without_password(info.nats_url) + trouble)
    table.add_row("PostgreSQL", without_password(info.postgres_url))
    return table


def without_password(url: str) -> str:
    """Of servers elsewhere, which may be told whose they are before the last @, or after a question mark."""
    scheme, slashes, rest = url.partition("//")
    return scheme + slashes + rest.rpartition("@")[2].partition("?")[0]


def _processes(info: StackInfo, healthy: dict[str, bool]) -> Table:
    table = Table("Process", "Health", box=None, padding=(0, 2))
    for heading in ("Pid", "Port", "Restarts", "Memory (PSS)", "Up"):
        table.add_column(heading, justify="right")
    everything = {**info.processes, "supervisor": info.supervisor}
    memory = {name: pss(process) for name, process in everything.items() if name != "supervisor"}
    memory["supervisor"] = own_pss(info.supervisor)
    for name, process in everything.items():
        health = "" if name == "supervisor" else "[green]serving[/]" if healthy[name] else "[bold red]not serving[/]"
        table.add_row(
            name,
            health,
            str(process.pid),
            str(process.port or ""),
            str(process.restarts),
            megabytes(memory[name]),
            uptime(time.time() - process.created),
        )
    table.add_section()
    table.add_row("together", "", "", "", "", megabytes(sum(memory.values())), "")
    return table


def _backlogs(info: StackInfo) -> Table:
    table = Table("Service", box=None, padding=(0, 2))
    for heading in ("Events to publish", "Oldest", "Dead letters"):
        table.add_column(heading, justify="right")
    for name, found in asyncio.run(backlogs(info)).items():
        if found is None:
            table.add_row(name, "[red]no answer[/]", "", "")
        else:
            oldest = f"{found.oldest_s:.1f} s" if found.unpublished else ""
            letters = f"[red]{found.dead_letters}[/]" if found.dead_letters else "0"
            table.add_row(name, str(found.unpublished), oldest, letters)
    return table


def own_pss(process: ProcessInfo) -> int:
    """Without its children."""
    try:
        return int(psutil.Process(process.pid).memory_full_info().pss)
    except psutil.Error:
        return 0


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
