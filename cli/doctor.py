"""`atoll doctor`: whether this machine can run the stack, and what is wrong if not."""

import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import psutil
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.local import envoy, nats, postgres
from deploy.local.home import Home
from deploy.local.process import LocalError, require_free
from deploy.local.stack import IMAGE, Options

DISK_NEEDED, MEMORY_NEEDED = 2_000_000_000, 1_000_000_000
YEAR_MIN = 2026
VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
PACKAGES = ("grpcio", "protobuf", "protovalidate", "asyncpg", "sqlalchemy", "nats-py")


def register(app: typer.Typer) -> None:
    @app.command()
    def doctor() -> None:
        """Check this machine: versions, servers, ports, disk, data, clock. Ends with 1 if something is wrong."""
        checks: dict[str, Callable[[], str]] = {
            "Python": python,
            "PostgreSQL": lambda: program_version(str(postgres.installed() / "postgres")),
            "NATS": lambda: program_version(str(nats.installed())),
            "Envoy": lambda: program_version(str(envoy.installed())),
            "Packages": packages,
            "Generated code": generated,
            "Data": data,
            "Disk": disk,
            "Memory": memory,
            "Ports": ports,
            "Clock": clock,
        }
        table, good = Table(box=None, padding=(0, 2), show_header=False), True
        for name, check in checks.items():
            try:
                table.add_row("[green]✓[/]", name, check())
            except LocalError as error:
                table.add_row("[bold red]✗[/]", name, escape(str(error)))
                good = False
        Console(highlight=False).print(table)
        if not good:
            raise typer.Exit(1)


def python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def program_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
    text = " ".join((done.stdout + done.stderr).split())
    found = VERSION.search(text.removeprefix(program))
    if done.returncode or not found:
        raise LocalError(f"{program} does not run: {text[:200]}")
    return found[0]


def packages() -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise LocalError(f"package {error.name} is missing: run `make setup`") from error


def generated() -> str:
    if not IMAGE.is_file():
        raise LocalError("missing: run `make gen`")
    return f"{IMAGE.name}, written {datetime.fromtimestamp(IMAGE.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"


def data() -> str:
    home = Home.default()
    if not home.postgres_data.exists():
        return f"{home.folder}: none yet"
    postgres.require_ours(home.postgres_data)
    return f"{home.folder}, PostgreSQL {postgres.MAJOR}"


def disk() -> str:
    folder = next(path for path in (Home.default().folder, *Home.default().folder.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < DISK_NEEDED:
        raise LocalError(f"{free / 1e9:.1f} GB free at {folder}: {DISK_NEEDED / 1e9:.0f} GB are needed")
    return f"{free / 1e9:.0f} GB free"


def memory() -> str:
    free = psutil.virtual_memory().available
    if free < MEMORY_NEEDED:
        raise LocalError(f"{free / 1e9:.1f} GB free: {MEMORY_NEEDED / 1e9:.0f} GB are needed")
    return f"{free / 1e9:.1f} GB free, {psutil.cpu_count()} cores"


def ports() -> str:
    options = Options.from_environment()
    try:
        info = Home.default().running()
    except LocalError:
        pass
    else:
        served = info.edge_url, info.mail_url, info.texts_url, info.issuer
        return f"the stack serves on {', '.join(served)} and {info.cards_url}"
    named = (
        (options.edge_port, "the edge", "ATOLL_PORT"),
        (options.mail_port, "the mail page", "ATOLL_MAIL_PORT"),
        (options.login_port, "the login page", "ATOLL_LOGIN_PORT"),
        (options.cards_port, "the card processor", "ATOLL_CARDS_PORT"),
        (options.texts_port, "the page of texts", "ATOLL_TEXTS_PORT"),
    )
    for port, what, setting in named:
        if port:
            require_free(port, what, setting)
    fixed = [str(port) for port, _, _ in named if port]
    return f"{', '.join(fixed)} are free" if fixed else "any that are free"


def clock() -> str:
    now = datetime.now(UTC)
    if now.year < YEAR_MIN:
        raise LocalError(f"it cannot be {now:%Y-%m-%d}: tokens would be refused; set this machine's clock")
    return f"{now:%Y-%m-%d %H:%M:%S} UTC, this machine is in {time.tzname[0]}"
