"""An estimate of a course of six by a published price book, through gRPC, with the order of its document.

Held against pgbench with the same writes; what one call may take is 30 ms in its slowest hundredth.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import grpc

from atoll.billing.v1 import estimate_service_pb2 as pb
from atoll.billing.v1 import price_book_service_pb2 as prices
from atoll.billing.v1.price_book_service_pb2_grpc import PriceBookServiceStub
from atoll.common.v1.access_pb2 import AUDIT_CHANGE
from bench.harness import Limit, Operation, Result, Stage
from bench.invoices import ids_of
from bench.pgbench import numbered, pgbench, recorded, script, writes_of
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.times import to_date, to_timestamp, utc_now
from cli.client import Client
from services.billing.rpc.estimates import EstimateServicer

SERVICE = "billing"
PATH = "/atoll.billing.v1.EstimateService/CreateEstimate"
CONCURRENCY = 1
ESTIMATES_PER_S_MAX = 1_000
VISITS, DAYS_APART = 6, 3
ENTITY, SITE, PATIENT = (UUID(int=n) for n in (1, 2, 3))
ENTITIES = "INSERT INTO legal_entity (chain_id, id, display_name) VALUES ($1, $2, 'Bench')"
SITES = "INSERT INTO site (chain_id, id, legal_entity_id, time_zone) VALUES ($1, $2, $3, 'America/Denver')"
PATIENTS = "INSERT INTO patient (chain_id, id) VALUES ($1, $2)"


async def run(stage: Stage) -> list[Result]:
    await _open(stage)
    return [
        await stage.measure(
            Operation(
                name="estimate a course of six",
                path=PATH,
                token=stage.issuer.token("bench", stage.chain, {"ROLE_BILLING": ["*"]}),
                bodies=lambda seconds: _bodies(round(seconds * ESTIMATES_PER_S_MAX)),
                limit=_limit,
                concurrency=CONCURRENCY,
                workers=1,
            )
        )
    ]


async def _open(stage: Stage) -> None:
    admin, chain_id = await asyncpg.connect(stage.admin_url), from_wire("chain", stage.chain)
    await admin.execute(ENTITIES, chain_id, ENTITY)
    await admin.execute(SITES, chain_id, SITE, ENTITY)
    await admin.execute(PATIENTS, chain_id, PATIENT)
    await admin.close()
    with stage.server("-m", "services.billing", "serve", workers=1) as (address, _):
        async with grpc.aio.insecure_channel(address) as channel:
            client = Client.issued(channel, stage.issuer, "bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})
            draft = await client.call(PriceBookServiceStub, "CreatePriceBook", _price_book())
            publish = prices.PublishPriceBookRequest(price_book_id=draft.price_book.id)
            await client.call(PriceBookServiceStub, "PublishPriceBook", publish)


def _price_book() -> prices.CreatePriceBookRequest:
    infusion = prices.CreatePriceBookRequest.Item(
        visit_type_code="infusion", route_code="iv", unit_price=money_to_wire(Money(59_000)), description="IV infusion"
    )
    return prices.CreatePriceBookRequest(
        site_id=to_wire("site", SITE),
        currency_code="USD",
        effective_date=to_date(utc_now().date() - timedelta(days=1)),
        deposit=money_to_wire(Money(15_000)),
        items=[infusion],
    )


def _request() -> pb.CreateEstimateRequest:
    first = utc_now() + timedelta(days=30)
    return pb.CreateEstimateRequest(
        request_id=str(uuid4()),
        site_id=to_wire("site", SITE),
        patient_id=to_wire("patient", PATIENT),
        visits=[
            pb.CreateEstimateRequest.PlannedVisit(
                visit_type_code="infusion",
                route_code="iv",
                band_code="up_to_60",
                start_time=to_timestamp(first + n * timedelta(days=DAYS_APART)),
            )
            for n in range(VISITS)
        ],
    )


def _bodies(count: int) -> Iterable[bytes]:
    return [_request().SerializeToString() for _ in range(count)]


async def _limit(stage: Stage) -> Limit:
    queries = writes_of(await recorded(stage.urls.service, partial(_create, stage)))
    others, stays = dict[str, str](), {from_wire("chain", stage.chain), ENTITY, SITE, PATIENT}
    admin = await asyncpg.connect(stage.admin_url)
    stays |= {row["id"] for row in await admin.fetch("SELECT id FROM price_book UNION SELECT id FROM price_item")}
    await admin.close()
    for value in ids_of(queries):
        if value not in stays:
            others.setdefault(str(value), numbered(UUID(int=(1 + len(others)) << 96)))
    return pgbench(stage.urls.service, [script(queries, others)], CONCURRENCY)


async def _create(stage: Stage, db: Database) -> object:
    request = _request()
    name = "atoll.billing.v1.EstimateService.CreateEstimate"
    call = Call(from_wire("chain", stage.chain), None, "bench", name, request.request_id, AUDIT_CHANGE, utc_now())
    return await EstimateServicer(db).CreateEstimate(request, call)
