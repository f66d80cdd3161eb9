"""Which API a command calls, and as whom."""

from dataclasses import dataclass
from typing import Annotated

import grpc
import typer

from cli.client import Client
from cli.token import Sample
from deploy.local.home import Home

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

    def client(self, channel: grpc.aio.Channel, subject: str, role: str) -> Client:
        if self.token:
            return Client(channel, lambda: self.token)
        home = Home.default()
        chain = self.chain or Sample(home).chain_id
        return Client.issued(channel, home.issuer, subject, chain, {role: ["*"]})
