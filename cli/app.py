"""The `atoll` command itself: finds its commands, and says in one line what went wrong.

A module of this folder that defines `register(app)` adds by it the command of its name.
"""

import importlib
import pkgutil
import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

import cli
from deploy.local.process import LocalError

MODULES = {"export": "exporting", "import": "importing"}
"""Of commands that cannot be named as their modules are."""
errors = Console(stderr=True, highlight=False)


def build(word: str = "") -> typer.Typer:
    """Every command, or only the one that `word` names: what all of them import weighs 60 MB, and takes seconds."""
    app = typer.Typer(
        name="atoll",
        help="Practice management for chains of self-pay clinics: the stack on this machine, and its tools.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_atoll)
    names = sorted({module.name for module in pkgutil.iter_modules(cli.__path__)} - {"__main__", "app"})
    asked = MODULES.get(word, word)
    for name in [asked] if asked in names else names:
        register = getattr(importlib.import_module(f"cli.{name}"), "register", None)
        if register:
            register(app)
    return app


def _atoll() -> None:
    """Has a single command be called by its name as well."""


def main() -> None:
    try:
        build(*sys.argv[1:2])(prog_name="atoll")
    except LocalError as error:
        _end(str(error))
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error) or type(error).__name__)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(text: str) -> NoReturn:
    errors.print(f"[bold red]atoll:[/] {escape(text)}", soft_wrap=True)
    sys.exit(1)
