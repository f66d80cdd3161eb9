"""The trial balance of a legal entity over a million postings that no closed period holds yet, at one of 20 sites.

The limit is the same statement alone, by pgbench, as the same role; the second beside it is what one call may take.
"""

import itertools
from functools import partial
from uuid import UUID

import asyncpg

from atoll.billing.v1.ledger_service_pb2 import GetTrialBalanceRequest
from atoll.common.v1.access_pb2 import AUDIT_NONE
from bench.harness import Limit, Operation, Result, Stage
from bench.pgbench import pgbench, recorded, script
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.times import utc_now
from services.billing.rpc.ledger import LedgerServicer

SERVICE = "billing"
PATH = "/atoll.billing.v1.LedgerService/GetTrialBalance"
POSTINGS, SITES = 1_000_000, 20
LEGAL_ENTITY = UUID(int=7)

ENTRIES = """
    INSERT INTO entry (chain_id, id, site_id, legal_entity_id, patient_id, source, source_id, posted_at)
    SELECT $1, md5('entry ' || n)::uuid, md5('site ' || n % $4)::uuid, $2, md5('patient ' || n % 5000)::uuid, 1,
        md5('charge ' || n)::uuid, now() - n * interval '1 minute'
    FROM generate_series(1, $3::int / 2) AS n
"""
LINES = """
    INSERT INTO posting (chain_id, entry_id, position, site_id, legal_entity_id, account, currency, amount_minor,
        item_code, posted_at)
    SELECT $1, md5('entry ' || n)::uuid, side, md5('site ' || n % $4)::uuid, $2, account, 'USD',
        CASE side WHEN 0 THEN 1 ELSE -1 END * (100 + n % 90000),
        CASE side WHEN 0 THEN '' ELSE 'item ' || n % 10 END, now() - n * interval '1 minute'
    FROM generate_series(1, $3::int / 2) AS n, (VALUES (0, 3), (1, 5)) AS half (side, account)
"""


async def run(stage: Stage) -> list[Result]:
    await _fill(stage)
    request = GetTrialBalanceRequest(legal_entity_id=to_wire("legalentity", LEGAL_ENTITY))
    return [
        await stage.measure(
            Operation(
                name=f"trial balance over {POSTINGS:,} postings",
                path=PATH,
                token=stage.issuer.token("bench", stage.chain, {"ROLE_BILLING": ["*"]}),
                bodies=lambda _: itertools.repeat(request.SerializeToString()),
                limit=partial(_limit, request),
                concurrency=1,
                workers=1,
            )
        )
    ]


async def _limit(request: GetTrialBalanceRequest, stage: Stage) -> Limit:
    async def read(db: Database) -> None:
        call = Call(
            from_wire("chain", stage.chain), None, "bench", PATH[1:].replace("/", "."), "", AUDIT_NONE, utc_now()
        )
        await LedgerServicer(db).GetTrialBalance(request, call)

    queries = await recorded(stage.urls.service, read)
    return pgbench(stage.urls.service, [script(queries, {})], 1)


async def _fill(stage: Stage) -> None:
    """As they lie there; what checks each entry is left out."""
    admin = await asyncpg.connect(stage.admin_url)
    chain_id = from_wire("chain", stage.chain)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(
        "INSERT INTO legal_entity (chain_id, id, display_name) VALUES ($1, $2, 'one')", chain_id, LEGAL_ENTITY
    )
    for statement in (ENTRIES, LINES):
        await admin.execute(statement, chain_id, LEGAL_ENTITY, POSTINGS, SITES)
    await admin.execute("VACUUM ANALYZE")
    await admin.close()
