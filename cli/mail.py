"""`atoll mail`: what the local mail sink received."""

import json
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.local.home import Home
from deploy.local.mail import Mailbox
from deploy.local.process import LocalError

mail = typer.Typer(help="Mail that the stack sent, delivered to nobody.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(mail, name="mail")


@mail.command("list")
def list_messages(
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What arrived, the latest first."""
    messages = list(islice(_mailbox().messages(), limit))
    if as_json:
        typer.echo(json.dumps([message.summary for message in messages], indent=2))
        return
    table = Table("Id", "Received (UTC)", "To", "Subject", box=None, padding=(0, 2))
    for each in messages:
        table.add_row(
            each.id, each.received_time[:19].replace("T", " "), escape(", ".join(each.recipients)), escape(each.subject)
        )
    Console(highlight=False).print(table if messages else "Nothing has arrived yet.")


@mail.command()
def show(id: Annotated[str, typer.Argument(help="As `atoll mail list` names it.")]) -> None:
    """One message."""
    message = _mailbox().message(id)
    if message is None:
        raise LocalError(f"no message {id}")
    console = Console(highlight=False)
    console.print(
        f"[bold]{escape(message.subject)}[/]\n"
        f"[dim]from[/] {escape(message.sender)}\n[dim]to[/]   {escape(', '.join(message.recipients))}\n"
    )
    console.print(message.text or message.html, markup=False)
    for name, kind, text in message.attachments:
        console.print(f"\n[dim]attached:[/] {escape(name)} [dim]({kind})[/]")
        if text:
            console.print(text, markup=False)


def _mailbox() -> Mailbox:
    return Mailbox(Home.default().mail)
