"""`atoll demo`: one patient's whole course at five sites, on a fresh stack, under a clock that jumps; then checked."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.process import LocalError

CUT_OFF = 128 + signal.SIGINT


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        patients: Annotated[
            Path | None,
            typer.Option(help="Folder or file of FHIR bundles to import; generated ones, if not given.", exists=True),
        ] = None,
        count: Annotated[int, typer.Option(help="How many patients to generate.", min=1, max=200)] = 40,
        keep: Annotated[
            Path | None, typer.Option(help="Empty folder to keep the stack's data in.", file_okay=False)
        ] = None,
    ) -> None:
        """Play one patient's whole course at five sites, and check what came of it. Exit 0 only if all checks hold."""
        from cli.client import Refused
        from cli.demo.story import run  # Imports all the services' APIs: no other command should wait for that.
        from cli.importing.documents import files_of

        if keep and keep.exists() and any(keep.iterdir()):
            raise LocalError(f"{keep} is not empty: the demo begins on a fresh stack; name another folder by --keep")
        if patients and not files_of([patients]):
            raise LocalError(f"there are no files to import in {patients}")
        console = Console(highlight=False)
        with tempfile.TemporaryDirectory(prefix="atoll-demo-") as folder:
            home = (keep or Path(folder)).resolve()
            home.mkdir(parents=True, exist_ok=True)
            home.chmod(0o755)  # PostgreSQL may run as another user.
            try:
                holds = asyncio.run(run(console, home, patients, count))
            except Refused as error:
                raise LocalError(f"the demo stopped: {error}") from error
            except asyncio.CancelledError:
                console.print("The demo was cut off. It begins on a fresh stack when it is run again.")
                sys.exit(CUT_OFF)
        if keep:
            console.print(
                f"Kept. ATOLL_HOME={keep} ./atoll up serves it, from the day on which the story ended.", soft_wrap=True
            )
        sys.exit(0 if holds else 1)
