"""`atoll protocols`: a chain's protocols as files, out of the system and into it, through the public API.

A file holds one protocol as the API takes it: `code`, `displayName` and `template`. `protocol_library/` beside this
module has the treatment schedules that clinics publish, to start from.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from atoll.scheduling.v1.protocol_service_pb2 import (
    CreateProtocolRequest,
    GetProtocolDraftRequest,
    GetProtocolVersionRequest,
    ListProtocolsRequest,
    Protocol,
    PublishProtocolVersionRequest,
    SaveProtocolDraftRequest,
)
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from cli import access
from cli.access import Access, ask
from cli.client import Client, Refused
from deploy.local.process import LocalError

LIBRARY = Path(__file__).parent / "protocol_library"
PAGE = 200

protocols_app = typer.Typer(help="Protocols as files.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(protocols_app, name="protocols")


@protocols_app.callback()
def protocols() -> None:
    """Protocols as files."""


@protocols_app.command("list")
def list_protocols(edge: access.Edge = "", token: access.Token = "", chain: access.Chain = "") -> None:
    """The chain's protocols, and those of the library that can be loaded by name."""
    found = ask(Access(edge, token, chain), all_protocols)
    shown = Table("Code", "Name", "Version", box=None, padding=(0, 2))
    for protocol in found:
        shown.add_row(protocol.code, escape(protocol.display_name), str(protocol.latest_version or "none"))
    for name in sorted(library().keys() - {protocol.code for protocol in found}):
        shown.add_row(name, str(json.loads(library()[name].read_text())["displayName"]), "in the library")
    Console(highlight=False).print(shown)


@protocols_app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="Where the files go, one for each protocol: CODE.json.", file_okay=False)
    ],
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """Writes the version published last of every protocol. What was there under the same name is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ask(Access(edge, token, chain), exported)
    for code, file in files.items():
        (folder / f"{code}.json").write_text(json.dumps(file, indent=2, ensure_ascii=False) + "\n")
    Console(highlight=False).print(f"{len(files)} protocols written to {folder}")


@protocols_app.command()
def load(
    files: Annotated[list[str], typer.Argument(help="Files, or names of the library.")],
    draft: Annotated[bool, typer.Option("--draft", help="Keep each as a draft, to be looked at first.")] = False,
    edge: access.Edge = "",
    token: access.Token = "",
    chain: access.Chain = "",
) -> None:
    """Registers each protocol and publishes its template as the next version. The same as the last one: nothing new."""
    wanted = [read(name) for name in files]

    async def run(client: Client) -> list[str]:
        return [await loaded(client, file, draft=draft) for file in wanted]

    for line in ask(Access(edge, token, chain), run):
        Console(highlight=False).print(line, markup=False)


def library() -> dict[str, Path]:
    return {path.stem: path for path in LIBRARY.glob("*.json")}


def read(name: str) -> dict[str, Any]:
    """A protocol's file, or that of the library by its name; refused in a line where it is none."""
    path = library().get(name, Path(name))
    try:
        file: dict[str, Any] = json.loads(path.read_text())
        ParseDict(file["template"], ProtocolTemplate())
        return {"code": str(file["code"]), "displayName": str(file["displayName"]), "template": file["template"]}
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}; the library has {', '.join(sorted(library()))}") from error
    except KeyError as error:
        raise LocalError(f"{path}: lacks {error}") from error
    except (ValueError, TypeError, ParseError) as error:
        raise LocalError(f"{path}: is no protocol: {error}") from error


async def all_protocols(client: Client) -> list[Protocol]:
    pages = client.pages(ProtocolServiceStub, "ListProtocols", ListProtocolsRequest(page_size=PAGE))
    return [each async for page in pages for each in page.protocols]


async def exported(client: Client) -> dict[str, dict[str, Any]]:
    """The file of each protocol with a version, by code."""
    return {
        each.code: {
            "code": each.code,
            "displayName": each.display_name,
            "template": MessageToDict(await _template(client, each)),
        }
        for each in await all_protocols(client)
        if each.latest_version_id
    }


async def loaded(client: Client, file: dict[str, Any], *, draft: bool) -> str:
    """What was done, in a line."""
    code, template = file["code"], ParseDict(file["template"], ProtocolTemplate())
    known = {each.code: each for each in await all_protocols(client)}
    protocol = known.get(code)
    if protocol is None:
        request = CreateProtocolRequest(code=code, display_name=file["displayName"])
        protocol = (await client.call(ProtocolServiceStub, "CreateProtocol", request)).protocol
    elif protocol.latest_version_id and await _template(client, protocol) == template:
        return f"{code}: is version {protocol.latest_version} already"
    if draft:
        return await _saved(client, protocol, template)
    publish = PublishProtocolVersionRequest(protocol_id=protocol.id, template=template)
    version = (await client.call(ProtocolServiceStub, "PublishProtocolVersion", publish)).protocol_version
    return f"{code}: published as version {version.version}"


async def _saved(client: Client, protocol: Protocol, template: ProtocolTemplate) -> str:
    request = SaveProtocolDraftRequest(protocol_id=protocol.id, template=template)
    try:
        before = await client.call(
            ProtocolServiceStub, "GetProtocolDraft", GetProtocolDraftRequest(protocol_id=protocol.id)
        )
        request.etag = before.protocol_draft.etag
    except Refused as error:
        if error.reason != "PROTOCOL_DRAFT_NOT_FOUND":
            raise
    draft = (await client.call(ProtocolServiceStub, "SaveProtocolDraft", request)).protocol_draft
    faults = "".join(f"\n  {fault.field}: {fault.description}" for fault in draft.faults)
    return f"{protocol.code}: kept as a draft{faults}"


async def _template(client: Client, protocol: Protocol) -> ProtocolTemplate:
    request = GetProtocolVersionRequest(protocol_version_id=protocol.latest_version_id)
    version = (await client.call(ProtocolServiceStub, "GetProtocolVersion", request)).protocol_version
    template: ProtocolTemplate = version.template
    return template
