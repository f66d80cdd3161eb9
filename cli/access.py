"""Which API a command calls, and as whom."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import grpc
import typer

from cli.client import Client, Refused, open_channel
from cli.token import Sample
from deploy.local.home import Home
from deploy.local.process import LocalError

T = TypeVar("T")

Edge = Annotated[str, typer.Option(help="URL of the API. Of the stack on this machine, if not given.")]
Token = Annotated[str, typer.Option(envvar="ATOLL_TOKEN", help="Made for the stack here, if not given.")]
Chain = Annotated[str, typer.Option(help="Id of the chain a token is made for. The sample's, if not given.")]


@dataclass(frozen=True, slots=True)
class Access:
    edge: str
    token: str
    chain: str

    @property
    def url(self) -> str:
        return self.edge or Home.default().running().edge_url

    @property
    def ca_file(self) -> str | None:
        return None if self.edge else Home.default().running().ca_file

    def client(self, channel: grpc.aio.Channel, subject: str, role: str) -> Client:
        if self.token:
            if not (self.token.isascii() and self.token.isprintable()):
                raise LocalError("the token has a character that none has: copy it anew, into --token or ATOLL_TOKEN")
            return Client(channel, lambda: self.token)
        home = Home.default()
        chain = self.chain or Sample(home).chain_id
        return Client.issued(channel, home.issuer, subject, chain, {role: ["*"]})


def ask(
    to: Access,
    work: Callable[[Client], Awaitable[T]],
    role: str = "ROLE_CHAIN_ADMIN",
    subject: str = "developer",
) -> T:
    """`work` done through the API; what that refuses is a LocalError, in one readable line. `role` and `subject` are of
    the token that is made where none was given."""

    async def run() -> T:
        async with open_channel(to.url, to.ca_file) as channel:
            return await work(to.client(channel, subject, role))

    try:
        return asyncio.run(run())
    except Refused as error:
        raise LocalError(str(error)) from error
