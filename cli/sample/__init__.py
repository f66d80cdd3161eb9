"""`atoll sample`: a chain of five sites, one for each clinic programme, its patients, and a course booked for each.

`protocols/` holds the programmes as the API takes them, `sites/` each site with its rooms, staff and prices.
"""

import asyncio

import typer
from rich.console import Console

from deploy.local.home import Home
from deploy.local.process import LocalError


def register(app: typer.Typer) -> None:
    @app.command()
    def sample() -> None:
        """Load the sample chain of five sites into the stack that runs, once."""
        home, console = Home.default(), Console(highlight=False)
        info = home.running()
        if home.sample_loaded.exists():
            console.print("The sample was loaded before.")
            return
        from cli.client import Refused
        from cli.sample.load import load  # Imports all the services' APIs: no other command should wait for that.

        try:
            asyncio.run(load(home, info, console))
        except Refused as error:
            raise LocalError(f"loading the sample stopped: {error}; run it again to go on") from error
