"""The `atoll` command itself: finds its commands, and says in one line what went wrong.

A module of this folder that defines `register(app)` adds commands by it.
"""

import importlib
import pkgutil
import sys

import typer
from rich.console import Console
from rich.markup import escape

import cli
from deploy.local.process import LocalError

errors = Console(stderr=True, highlight=False)


def build() -> typer.Typer:
    app = typer.Typer(
        name="atoll",
        help="Practice management for chains of self-pay clinics: the stack on this machine, and its tools.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    for module in sorted(pkgutil.iter_modules(cli.__path__), key=lambda module: module.name):
        if module.name not in ("__main__", "app"):
            register = getattr(importlib.import_module(f"cli.{module.name}"), "register", None)
            if register:
                register(app)
    return app


def main() -> None:
    try:
        build()(prog_name="atoll")
    except LocalError as error:
        errors.print(f"[bold red]atoll:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
