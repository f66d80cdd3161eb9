"""`atoll audit`: who did and saw what, and whether the record of it is what it was."""

import typer

from cli.audit.search import search_trails
from cli.audit.verify import print_heads, verify_trails


def register(app: typer.Typer) -> None:
    audit = typer.Typer(help="Who did and saw what, and that nobody touched the record.", no_args_is_help=True)
    audit.command("verify")(verify_trails)
    audit.command("search")(search_trails)
    audit.command("heads")(print_heads)
    app.add_typer(audit, name="audit")
