"""Who did and saw what, in all services, by time: what their AuditServices find, merged."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from atoll.billing.v1 import audit_service_pb2 as billing
from atoll.billing.v1.audit_service_pb2_grpc import AuditServiceStub as BillingStub
from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from atoll.common.v1.audit_pb2 import AuditEntry
from atoll.notifications.v1 import audit_service_pb2 as notifications
from atoll.notifications.v1.audit_service_pb2_grpc import AuditServiceStub as NotificationsStub
from atoll.patients.v1 import audit_service_pb2 as patients
from atoll.patients.v1.audit_service_pb2_grpc import AuditServiceStub as PatientsStub
from atoll.scheduling.v1 import audit_service_pb2 as scheduling
from atoll.scheduling.v1.audit_service_pb2_grpc import AuditServiceStub as SchedulingStub
from chassis.times import to_instant, to_timestamp, utc_now
from cli.access import Access, Chain, Edge, Token, ask
from cli.client import Client
from cli.events import instant_of

ASKED = (
    (PatientsStub, patients.SearchAuditRequest),
    (SchedulingStub, scheduling.SearchAuditRequest),
    (BillingStub, billing.SearchAuditRequest),
    (NotificationsStub, notifications.SearchAuditRequest),
)
PAGE_SIZE = 200
IDS_SHOWN = 3
WIDTH_MAX = 1_000


def search_trails(
    patient: Annotated[str, typer.Option(help="Id of a patient.")] = "",
    actor: Annotated[str, typer.Option(help="Who called: the subject of the token.")] = "",
    method: Annotated[str, typer.Option(help="Full name of an RPC: atoll.patients.v1.PatientService.GetPatient")] = "",
    since: Annotated[str, typer.Option(help="An instant, or a while ago: 2027-03-01, 2h, 3d.")] = "",
    until: Annotated[str, typer.Option(help="The same. What was done then is left out.")] = "",
    limit: Annotated[int, typer.Option(help="Entries, the latest of all.", min=1, max=100_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each entry.")] = False,
    edge: Edge = "",
    token: Token = "",
    chain: Chain = "",
) -> None:
    """Search the audit trails of all services: the latest first. Needs the role AUDITOR at every site."""
    asked: dict[str, Any] = {"patient_id": patient, "actor": actor, "method": method}
    for name, text in (("start_time", since), ("end_time", until)):
        if text:
            asked[name] = to_timestamp(instant_of(text, utc_now()))
    found = ask(Access(edge, token, chain), lambda client: _search(client, asked, limit), "ROLE_AUDITOR")
    if as_json:
        for entry in found:
            typer.echo(json.dumps(MessageToDict(entry, preserving_proto_field_name=True)))
        return
    console = Console(highlight=False)
    print_entries(console, found, patient)
    if len(found) == limit:
        console.print(f"[dim]The latest {limit}; there may be more: --limit, --until[/]")


async def _search(client: Client, asked: dict[str, Any], limit: int) -> list[AuditEntry]:
    of_services = await asyncio.gather(*(_of_one(client, stub, kind(**asked), limit) for stub, kind in ASKED))
    every = [entry for found in of_services for entry in found]
    return sorted(every, key=lambda entry: to_instant(entry.entry_time), reverse=True)[:limit]


async def _of_one(client: Client, stub: Any, request: Any, limit: int) -> list[AuditEntry]:
    """The latest of one service, page by page."""
    found = list[AuditEntry]()
    while len(found) < limit:
        request.page_size = min(PAGE_SIZE, limit - len(found))
        page = await client.call(stub, "SearchAudit", request)
        found += page.entries
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    return found


def print_entries(console: Console, found: Sequence[AuditEntry], patient: str) -> None:
    """A table where it fits; else two lines or more for each, as ids are long."""
    if not found:
        console.print("Nothing was found.")
        return
    table = _table(found, patient)
    if Measurement.get(console, console.options.update(max_width=WIDTH_MAX), table).maximum <= console.width:
        console.print(table)
        return
    for entry in found:
        roles = f" [dim]({_roles(entry)})[/]" if entry.roles else ""
        console.print(f"{_time(entry)}  {escape(entry.actor)} {_did(entry)} {_call(entry.method)}{roles}")
        if ids := [*_patients(entry, patient), *_ids(entry)]:
            console.print(Padding(Columns(ids, padding=(0, 2)), (0, 0, 0, 2)))


def _table(found: Sequence[AuditEntry], patient: str) -> Table:
    table = Table("Time (UTC)", "Actor", "Did", "Call", "Patients", "Ids", box=None, padding=(0, 2, 0, 0))
    for entry in found:
        actor = f"{escape(entry.actor)} [dim]{_roles(entry)}[/]".rstrip()
        who, what = "".join(_patients(entry, patient)), "\n".join(_ids(entry))
        table.add_row(_time(entry), actor, _did(entry), _call(entry.method), who, what)
    return table


def _time(entry: AuditEntry) -> str:
    at = to_instant(entry.entry_time).astimezone(UTC)
    return f"[dim]{at:%Y-%m-%d}[/] {at:%H:%M:%S}"


def _did(entry: AuditEntry) -> str:
    return "[yellow]changed[/]" if entry.kind == AUDIT_CHANGE else "[dim]saw[/]"


def _roles(entry: AuditEntry) -> str:
    return ", ".join(role.lower() for role in entry.roles)


def _call(method: str) -> str:
    """`atoll.patients.v1.PatientService.GetPatient` as "patients GetPatient"."""
    parts = method.split(".")
    return f"[dim]{escape(parts[1])}[/] {escape(parts[-1])}" if len(parts) > 2 else escape(method)


def _patients(entry: AuditEntry, asked_for: str) -> list[str]:
    """All under the first one's id; of many, how many more."""
    if not entry.patient_count:
        return []
    more = f" [dim]and {entry.patient_count - 1} more[/]" if entry.patient_count > 1 else ""
    first = entry.patient_ids[0]
    return [(f"[bold]{first}[/]" if first == asked_for else first) + more]


def _ids(entry: AuditEntry) -> list[str]:
    named = [id for name, id in sorted(entry.ids.items()) if id not in entry.patient_ids and name != "request_id"]
    shown = list(dict.fromkeys(named))
    return [*shown[:IDS_SHOWN], *(["…"] if len(shown) > IDS_SHOWN else [])]
