"""`atoll token`: a token of the development issuer."""

import json
import re
from collections.abc import Sequence
from typing import Annotated

import typer

from atoll.common.v1.access_pb2 import Role
from deploy.local.home import Home
from deploy.local.issuer import EVERYTHING
from deploy.local.process import LocalError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
ROLES = [name.removeprefix("ROLE_") for name in Role.keys() if not name.endswith("_UNSPECIFIED")]  # noqa: SIM118


def register(app: typer.Typer) -> None:
    @app.command()
    def token(
        role: Annotated[list[str], typer.Option(help=f"{', '.join(ROLES)}; may be repeated.")],
        site: Annotated[
            list[str] | None, typer.Option(help="Code or id of a site; may be repeated. All, if not given.")
        ] = None,
        chain: Annotated[str | None, typer.Option(help="Id of the chain. The sample's, if not given.")] = None,
        patient: Annotated[str | None, typer.Option(help="Id of the patient whom a PATIENT token is for.")] = None,
        subject: Annotated[str, typer.Option(help="Who calls: the actor on record.")] = "developer",
        expires_in: Annotated[str, typer.Option(help="90s, 15m, 12h or 7d.")] = "12h",
    ) -> None:
        """Print a token for the API of this stack."""
        home, sample = Home.default(), Sample(Home.default())
        grants = {role_name(each): sample.site_ids(site or [EVERYTHING]) for each in role}
        chain_id = EVERYTHING if "ROLE_SERVICE" in grants else chain or sample.chain_id
        seconds = duration_s(expires_in)
        typer.echo(home.issuer.token(subject, chain_id, grants, patient=patient, expires_in_s=seconds))


class Sample:
    """The names of the sample chain's sites, once it is loaded."""

    def __init__(self, home: Home) -> None:
        file = home.sites_file
        try:
            content = json.loads(file.read_text()) if file.exists() else {}
        except ValueError as error:
            raise LocalError(f"{file} is damaged: move it away, and load the sample again") from error
        self._chain_id: str | None = content.get("chain_id")
        self._sites: dict[str, str] = content.get("sites", {})

    @property
    def chain_id(self) -> str:
        if self._chain_id is None:
            raise LocalError("no sample chain is loaded: name one by --chain, or load it with `atoll up --sample`")
        return self._chain_id

    def site_ids(self, sites: Sequence[str]) -> list[str]:
        return [self._site_id(site) for site in sites]

    def _site_id(self, site: str) -> str:
        if site == EVERYTHING or site.startswith("site_"):
            return site
        if site not in self._sites:
            known = ", ".join(sorted(self._sites)) or "none, as no sample is loaded"
            raise LocalError(f"no site {site!r}; by code there are: {known}")
        return self._sites[site]


def role_name(given: str) -> str:
    name = given.upper().removeprefix("ROLE_")
    if name not in ROLES:
        raise LocalError(f"no role {given!r}; there are {', '.join(ROLES)}")
    return f"ROLE_{name}"


def duration_s(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise LocalError(f"{text!r} is no duration: write 90s, 15m, 12h or 7d")
    return int(found[1]) * UNITS[found[2]]
