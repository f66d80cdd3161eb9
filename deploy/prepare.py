"""What must be there before the containers of deploy/compose.yaml serve; may be run again and again.

Databases and roles, their newest schema, the development issuer's keys, the services' token, certificates, the edge's
configuration. Reads ATOLL_POSTGRES_URL, whose password the roles get too; ATOLL_EDGE_SERVICES: `patients=host:port …`,
whose hosts are what certificates name; ATOLL_ACCOUNT_ISSUER, where callers find the edge, and ATOLL_EDGE_ACCOUNTS,
host:port, where it finds the tokens of service accounts; and ATOLL_EDGE_TLS: callers come over TLS, too, if not empty.
"""

import asyncio
import os
import shutil
from urllib.parse import unquote, urlsplit

from chassis.provision import provision
from deploy.envoy.config import Accounts, Edge, Service, render, secrets
from deploy.local import issuer
from deploy.local.certificates import Authority
from deploy.local.envoy import shown_by
from deploy.local.home import Home
from deploy.local.migrate import migrate_all
from deploy.local.services import SERVICES
from deploy.local.stack import IMAGE


def main() -> None:
    asyncio.run(make_databases(os.environ["ATOLL_POSTGRES_URL"]))
    home, addresses = Home.default(), os.environ["ATOLL_EDGE_SERVICES"]
    accounts = Accounts(os.environ["ATOLL_EDGE_ACCOUNTS"], os.environ["ATOLL_ACCOUNT_ISSUER"])
    make_certificates(home)
    configure_edge(home, addresses, accounts, tls=bool(os.environ.get("ATOLL_EDGE_TLS")))


async def make_databases(server_url: str) -> None:
    password = unquote(urlsplit(server_url).password or "")
    made = {name: await provision(server_url, name, password=password) for name in SERVICES}
    await migrate_all({name: urls.owner for name, urls in made.items()})


def make_certificates(home: Home) -> None:
    """New ones each time: programs that run take them up without a restart."""
    authority = Authority.open(home.certificates)
    for name in SERVICES:
        authority.issue(name)


def configure_edge(home: Home, addresses: str, accounts: Accounts, *, tls: bool) -> None:
    folder = home.folder / "edge"
    folder.mkdir(exist_ok=True)
    descriptors = folder / IMAGE.name
    shutil.copyfile(IMAGE, descriptors)
    shutil.copyfile(IMAGE.with_name("openapi.json"), folder / "openapi.json")
    shutil.copytree(IMAGE.with_name("docs"), folder / "docs", dirs_exist_ok=True)
    home.service_token.touch(mode=0o600)
    home.service_token.write_text(home.issuer.service_token("services"))
    home.make_keys()
    public, inside = shown_by(Authority.open(home.certificates))
    edge = Edge(
        services=[Service(*each.split("=", 1)) for each in addresses.split()],
        listen="0.0.0.0:8080",  # In a container of its own.
        admin="127.0.0.1:9901",
        issuer=issuer.NAME,
        accounts=accounts,
        jwks=str(home.issuer.jwks),
        descriptors=str(descriptors),
        access_log="/dev/stdout",
        certificate=public if tls else None,
        hsts_s=0,  # It is tried on a machine with other servers.
        inside=inside,
        secrets=str(folder),
        pages=str(folder),
    )
    (folder / "envoy.yaml").write_text(render(edge, IMAGE.read_bytes()))
    for name, text in secrets(edge).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
