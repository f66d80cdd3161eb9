"""Issuing an invoice with three lines and a tax through gRPC, for one legal entity and for sixteen.

Held against pgbench with the same writes: the SQL of one call of ours, recorded, over other charges each time.
Of one legal entity every invoice waits for the number of the one before, here as there.
"""

import itertools
import re
from collections.abc import Iterable
from functools import partial
from uuid import UUID, uuid4

import asyncpg

from atoll.billing.v1 import invoice_service_pb2 as pb
from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from bench.harness import PROFILE_S, SECONDS, WARM_S, Limit, Operation, Result, Stage
from bench.load import Load
from bench.pgbench import FIRST, Query, numbered, pgbench, recorded, script, writes_of
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.times import utc_now
from services.billing.rpc.invoices import InvoiceServicer

SERVICE = "billing"
PATH = "/atoll.billing.v1.InvoiceService/IssueInvoice"
CONCURRENCY = 16
ENTITIES = (1, 16)
INVOICES_PER_S_MAX = 2_000
LIMIT_PER_CLIENT = round(max(2.0, SECONDS) * 800)
RECORDED, RECOGNISED = 2, 987_654_320
"""The number of a recorded invoice is found again among all others by its size."""
SERIES = "INSERT INTO invoice_series (chain_id, legal_entity_id, last_number) VALUES ($1, $2, $3)"
ENTITY_ROWS = """
    INSERT INTO legal_entity (chain_id, id, display_name)
    SELECT $1, ('0000000a-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Bench' FROM generate_series(0, 16) AS n
"""
SITES = """
    INSERT INTO site (chain_id, id, legal_entity_id, time_zone)
    SELECT chain_id, replace(id::text, '0000000a', '0000000b')::uuid, id, 'America/Denver' FROM legal_entity
"""
TAXES = """
    INSERT INTO tax_rule (chain_id, id, site_id, name, rate_ppm, charge_kinds, product_codes, included,
        effective_date, version)
    SELECT chain_id, replace(id::text, '0000000b', '0000000c')::uuid, id, 'Gross receipts tax', 76250, '{4}', '{}',
        false, '2020-01-01', 1
    FROM site
"""
COURSES = """
    INSERT INTO course (chain_id, id, site_id, patient_id, protocol_version_id, booked_at)
    SELECT $1, ('00000001-0000-7000-8000-' || n)::uuid,
        ('0000000b-0000-7000-8000-' || lpad(($5 + n % $4)::text, 12, '0'))::uuid,
        ('00000002-0000-7000-8000-' || n)::uuid, $1, now()
    FROM generate_series($2::bigint, $3::bigint) AS n
"""
CHARGES = """
    INSERT INTO charge (chain_id, id, kind, site_id, patient_id, course_id, service_date, visit_type_code, route_code,
        band_code, item_code, description, quantity, currency, amount_minor, price_book_version, posted_at)
    SELECT chain_id, ('0000001' || k || substr(id::text, 9))::uuid, 4, site_id, patient_id, id, '2026-01-01', '',
        '', '', 'salve', 'Salve', 1, 'USD', 12345, 1, now()
    FROM course, generate_series(1, 3) AS k
"""


async def run(stage: Stage) -> list[Result]:
    benches, first = list[Bench](), FIRST
    for entities in ENTITIES:
        benches.append(Bench(stage, entities, first))
        first = benches[-1].end
    await load(stage, benches)
    return [await stage.measure(bench.operation()) for bench in benches]


async def load(stage: Stage, benches: Iterable["Bench"]) -> None:
    """Rows of which only those that an invoice reads are right."""
    admin, chain_id = await asyncpg.connect(stage.admin_url), from_wire("chain", stage.chain)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(ENTITY_ROWS, chain_id)
    await admin.execute(SITES)
    await admin.execute(TAXES)
    for bench in benches:
        await admin.execute(COURSES, chain_id, bench.first, bench.end - 1, bench.entities, bench.base)
    await admin.execute(CHARGES)
    await admin.close()


class Bench:
    """Courses of one range of numbers: first those of the limit, then those of the recorded calls, then ours."""

    def __init__(self, stage: Stage, entities: int, first: int) -> None:
        self.entities, self.first = entities, first
        self.base = 0 if entities == 1 else 1  # The first of its legal entities, which are no other's.
        self._chain, self._own = stage.chain, first + CONCURRENCY * LIMIT_PER_CLIENT + 1
        self._token = stage.issuer.token("bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})
        self._used = RECORDED * entities
        self.end = self._own + RECORDED * entities + 1 + round((WARM_S + SECONDS + PROFILE_S) * INVOICES_PER_S_MAX)

    def operation(self) -> Operation:
        of = "one legal entity" if self.entities == 1 else f"{self.entities} legal entities"
        return Operation(
            name=f"issue an invoice, {of}",
            path=PATH,
            token=self._token,
            bodies=self._bodies,
            limit=self._limit,
            concurrency=CONCURRENCY,
            ended=self._ended,
        )

    def _bodies(self, seconds: float) -> Iterable[bytes]:
        wanted = range(self._used, self._used + round(seconds * INVOICES_PER_S_MAX))
        return [_request(self._own + n).SerializeToString() for n in wanted]

    def _ended(self, calls: int) -> None:
        self._used += calls

    async def _limit(self, stage: Stage) -> Limit:
        """Each client goes through numbers of its own, and goes on with them the second time."""
        numbers = iter(range(self._own, self._own + RECORDED * self.entities, self.entities))
        admin = await asyncpg.connect(stage.admin_url)
        await admin.execute(SERIES, from_wire("chain", self._chain), self._entity(self._own), RECOGNISED)
        queries = writes_of(await recorded(stage.urls.service, partial(self._issue, numbers)))
        await admin.execute("DELETE FROM invoice_series WHERE last_number > $1", RECOGNISED)
        await admin.close()
        head = f"\\set i :i + 1\n\\set n {self.first} + :client_id * {LIMIT_PER_CLIENT} + :i\n"
        scripts = [self._script(queries, entity) for entity in range(self.entities)]
        texts = [head + text.split("\n", 1)[1] for text in scripts]
        starts = itertools.count(0, LIMIT_PER_CLIENT // 2)

        async def take() -> Load:
            return await pgbench(stage.urls.service, texts, CONCURRENCY, given={"i": next(starts)})()

        return take

    async def _issue(self, numbers: Iterable[int], db: Database) -> object:
        request = _request(next(iter(numbers)))
        name = "atoll.billing.v1.InvoiceService.IssueInvoice"
        chain_id = from_wire("chain", self._chain)
        call = Call(chain_id, None, "bench", name, request.request_id, AUDIT_CHANGE, utc_now())
        return await InvoiceServicer(db).IssueInvoice(request, call)

    def _script(self, queries: list[Query], entity: int) -> str:
        """Reference data stays, but for the legal entity; all else is another in each transaction, and the number is
        the one that was taken."""
        others, here = dict[str, str](), str(self._entity(self._own))[8:]
        for value in ids_of(queries):
            text = str(value)
            if text.startswith(("0000000a", "0000000b", "0000000c")):
                others[text] = text.replace(here, f"-0000-7000-8000-{self.base + entity:012}")
            elif value != from_wire("chain", self._chain):
                known = text.startswith("000000")
                others.setdefault(text, numbered(value if known else UUID(int=(1 + len(others)) << 96)))
        # As a number, not where a document shows it.
        whole = re.sub(rf'(?<!")\b{RECOGNISED + RECORDED}\b(?!")', ":last_number", script(queries, others))
        lines = whole.splitlines()
        return "".join(f"{_kept(line)}\n" for line in lines)

    def _entity(self, number: int) -> UUID:
        return UUID(f"0000000a-0000-7000-8000-{self.base + number % self.entities:012}")


def _kept(line: str) -> str:
    return line.removesuffix(";") + " \\gset" if line.startswith("INSERT INTO invoice_series") else line


def _request(number: int) -> pb.IssueInvoiceRequest:
    course_id = UUID(f"00000001-0000-7000-8000-{number}")
    return pb.IssueInvoiceRequest(request_id=str(uuid4()), course_id=to_wire("course", course_id))


def ids_of(queries: Iterable[Query]) -> Iterable[UUID]:
    for _, arguments in queries:
        for argument in arguments:
            values = argument if isinstance(argument, list) else [argument]
            yield from (value for value in values if isinstance(value, UUID))
