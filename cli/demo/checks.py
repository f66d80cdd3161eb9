"""What must hold after the demo, asked of the databases themselves as their administrator."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import asyncpg

from chassis.ids import from_wire
from chassis.sealer import verify
from chassis.times import to_instant
from cli.sample.chain import site_files
from cli.sample.courses import Booked
from deploy.local.home import StackInfo

OVERLAPS = """
    SELECT count(*) FROM allocation a JOIN allocation b
        ON a.chain_id = b.chain_id AND a.resource_id = b.resource_id AND a.lane = b.lane AND a.ctid < b.ctid
        AND a.start_at < b.end_at AND b.start_at < a.end_at
"""
UNBALANCED = """
    SELECT count(*) FROM (
        SELECT FROM posting GROUP BY chain_id, entry_id, currency HAVING sum(amount_minor) <> 0
    ) AS unbalanced
"""
NUMBERS = """
    SELECT count(*) FROM (
        SELECT FROM invoice GROUP BY chain_id, legal_entity_id HAVING max(number) <> count(*) OR min(number) <> 1
    ) AS gaps
"""
TAXED = """
    SELECT site_id, sum(tax_minor) > 0 AS taxed FROM invoice GROUP BY site_id
"""
CHARGED_TWICE = """
    SELECT count(*) FROM (SELECT FROM charge GROUP BY chain_id, visit_id HAVING count(*) <> 1) AS twice
"""
DEAD = "SELECT count(*) FROM dead_letter"
UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
EVENTS = "SELECT count(*) FROM outbox WHERE subject LIKE $1 || '.%'"
UNSEALED = """
    SELECT count(*) FROM audit LEFT JOIN audit_seal USING (chain_id, position) WHERE audit_seal.position IS NULL
"""
UNEXPLAINED = "SELECT count(*) FROM message WHERE status NOT IN ('SENT') AND reason IS NULL"

Connections = Mapping[str, "asyncpg.Connection[asyncpg.Record]"]
AHEAD_OF_VISITS = "SELECT count(*) FROM message WHERE kind IN ('VISIT_CONFIRMATION', 'VISIT_REMINDER')"
"""Each visit gets one of either."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    found: str
    holds: bool


async def run_checks(info: StackInfo, chain_id: str, booked: Sequence[Booked]) -> list[Check]:
    connections = {
        name: await asyncpg.connect(_as_administrator(info.postgres_url, service.databases.owner))
        for name, service in info.services.items()
    }
    try:
        checks = [await check(connections) for check in CHECKS]
        checks.append(spacing(booked))
        checks.append(await _taxed(connections, booked))
        checks.append(await _audit(connections, chain_id))
        return checks
    finally:
        for connection in connections.values():
            await connection.close()


async def _no_overlap(connections: Connections) -> Check:
    overlaps = await connections["scheduling"].fetchval(OVERLAPS)
    total = await connections["scheduling"].fetchval("SELECT count(*) FROM allocation")
    return Check("no lane of a resource is taken twice", f"{overlaps} overlaps of {total} allocations", not overlaps)


async def _ledger_balances(connections: Connections) -> Check:
    unbalanced = await connections["billing"].fetchval(UNBALANCED)
    total = await connections["billing"].fetchval("SELECT count(*) FROM posting")
    return Check("every ledger entry balances", f"{unbalanced} unbalanced, {total} postings", total and not unbalanced)


async def _invoices_gapless(connections: Connections) -> Check:
    gaps = await connections["billing"].fetchval(NUMBERS)
    total = await connections["billing"].fetchval("SELECT count(*) FROM invoice")
    return Check("invoice numbers have no gap", f"{gaps} gaps, {total} invoices", total and not gaps)


async def _effects_once(connections: Connections) -> Check:
    """Facts that were told, beside what their readers made of them."""
    scheduling, billing, notifications = (connections[name] for name in ("scheduling", "billing", "notifications"))
    completed = await scheduling.fetchval(EVENTS, "scheduling.v1.visit.completed")
    charges = await billing.fetchval("SELECT count(*) FROM charge WHERE kind = 1")
    fees = await billing.fetchval("SELECT count(*) FROM charge WHERE kind IN (2, 3)")
    twice = await billing.fetchval(CHARGED_TWICE)
    visits = await scheduling.fetchval("SELECT count(*) FROM visit")
    messages = await notifications.fetchval(AHEAD_OF_VISITS)
    found = (
        f"{completed} visits completed, {charges} charged, {fees} fees; "
        f"{visits} visits booked, {messages} confirmed and reminded"
    )
    return Check("each event took effect once", found, completed == charges and not twice and messages == 2 * visits)


async def _nothing_left(connections: Connections) -> Check:
    dead = sum([await connection.fetchval(DEAD) for connection in connections.values()])
    waiting = sum([await connection.fetchval(UNPUBLISHED) for connection in connections.values()])
    found = f"{dead} dead letters, {waiting} unpublished events"
    return Check("no event is lost or stuck", found, not dead and not waiting)


async def _messages_explained(connections: Connections) -> Check:
    rows = await connections["notifications"].fetch("SELECT status, count(*) FROM message GROUP BY 1 ORDER BY 1")
    unexplained = await connections["notifications"].fetchval(UNEXPLAINED)
    found = ", ".join(f"{row['count']} {row['status'].lower()}" for row in rows)
    return Check("every message was sent, or says why not", found, not unexplained)


CHECKS: Sequence[Callable[[Connections], Awaitable[Check]]] = (
    _no_overlap,
    _ledger_balances,
    _invoices_gapless,
    _effects_once,
    _nothing_left,
    _messages_explained,
)


def spacing(booked: Sequence[Booked]) -> Check:
    """Recomputed from the plan's file and the visits' instants, in the site's local days."""
    broken = gaps = 0
    for each in booked:
        phases, zone = {phase.code: phase for phase in each.protocol.template.phases}, ZoneInfo(each.site.time_zone)
        days = [(visit, to_instant(visit.start_time).astimezone(zone).date()) for visit in each.course.visits]
        for (_, day), (visit, next_day) in pairwise(days):
            phase, gap = phases[visit.phase_code], (next_day - day).days
            gaps += 1
            broken += not phase.gap_days_min <= gap <= phase.gap_days_max
    return Check("spacing is inside the protocol", f"{broken} outside, of {gaps} gaps", not broken)


async def _taxed(connections: Connections, booked: Sequence[Booked]) -> Check:
    codes = {from_wire("site", each.site.id): each.site.code for each in booked}
    taxed = sorted(codes[row["site_id"]] for row in await connections["billing"].fetch(TAXED) if row["taxed"])
    wanted = sorted(code for code, file in site_files().items() if "taxes" in file and code in codes.values())
    return Check("invoices bear tax where the state has it", f"at {', '.join(taxed) or 'no site'}", taxed == wanted)


async def _audit(connections: Connections, chain_id: str) -> Check:
    sealed = unsealed = 0
    faults = []
    for connection in connections.values():
        verdict = await verify(connection, from_wire("chain", chain_id))
        sealed += verdict.sealed
        unsealed += await connection.fetchval(UNSEALED)
        faults += [verdict.fault] if verdict.fault else []
    found = "; ".join([f"{sealed} rows sealed, {unsealed} unsealed", *faults])
    return Check("the audit chain is intact", found, bool(sealed) and not unsealed and not faults)


def _as_administrator(server_url: str, database_url: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=urlsplit(database_url).path))
