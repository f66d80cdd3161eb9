"""Settlements: what one legal entity owes another for visits that it sold and the other rendered."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from grpc import StatusCode
from grpc.aio import AioRpcError

from atoll.billing.v1 import package_service_pb2 as package_pb
from atoll.billing.v1 import settlement_service_pb2 as pb
from chassis.ids import from_wire, new_id, to_wire
from tests.support.billing import ASSESSMENT, INFUSION, dollars, open_billing, open_chain, usd
from tests.support.packages import Packages
from tests.support.service import Running, read_refusal, refusal

SIX = ("infusion", "", "", 6)  # For 3,000: 500 a visit, which costs 590 by itself.


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def chain(service: Running) -> Packages:
    return await Packages(await open_chain(service)).open()


def between(found: list[pb.OpenSettlement]) -> list[tuple[str, str, float | None, int]]:
    return [
        (each.selling_site_id, each.rendering_site_id, dollars(each.amount), each.redemption_count) for each in found
    ]


async def test_a_visit_at_another_site_of_the_same_legal_entity_is_that_sites_revenue(chain: Packages) -> None:
    sister_site = await chain.billing.register_site()
    sale = await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=sister_site)
    [redemption] = await chain.redemptions(sale)
    assert (redemption.site_id, redemption.HasField("list_price")) == (sister_site, False)
    assert await chain.books() == {"CASH": 3000, "DEFERRED_REVENUE": -2500, "REVENUE": -500}
    there = await chain.billing.trial_balance(chain.billing.at(sister_site))
    assert there == {"DEFERRED_REVENUE": (500, 0), "REVENUE": (0, 500)}
    assert await chain.billing.count("settlement_item") == 0
    await chain.books_agree()


async def test_a_visit_at_another_legal_entity_is_its_revenue_and_owed_to_it(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, INFUSION, site_id=chain.other_site_id)
    assert await chain.books() == {"CASH": 3000, "DEFERRED_REVENUE": -2000, "DUE_TO": -1000}
    assert await chain.books(chain.other_entity_id) == {"DUE_FROM": 1000, "REVENUE": -1000}
    assert between(await chain.open_between()) == [(chain.billing.site_id, chain.other_site_id, 1000, 2)]
    other_way = {
        "debtor_legal_entity_id": chain.other_entity_id,
        "creditor_legal_entity_id": chain.billing.legal_entity_id,
    }
    assert await chain.open_between(**other_way) == []
    await chain.books_agree()


async def test_what_is_owed_is_settled_from_bank_to_bank(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, INFUSION, site_id=chain.other_site_id)
    [settled] = await chain.settle(1000)
    assert (settled.selling_site_id, settled.rendering_site_id) == (chain.billing.site_id, chain.other_site_id)
    assert dollars(settled.amount) == 1000
    assert await chain.open_between() == []
    assert await chain.books() == {"CASH": 3000, "DEFERRED_REVENUE": -2000, "BANK": -1000}
    assert await chain.books(chain.other_entity_id) == {"BANK": 1000, "REVENUE": -1000}
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    assert [dollars(each.amount) for each in await chain.open_between()] == [500]
    await chain.books_agree()


async def test_a_visit_undone_is_owed_no_more_or_owed_back_if_it_was_settled(chain: Packages) -> None:
    sale = await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, INFUSION, site_id=chain.other_site_id)
    first, second = await chain.redemptions(sale)
    await chain.undo(first.id)
    assert between(await chain.open_between()) == [(chain.billing.site_id, chain.other_site_id, 500, 3)]
    await chain.settle(500)
    await chain.undo(second.id)
    assert between(await chain.open_between()) == [(chain.billing.site_id, chain.other_site_id, -500, 1)]
    assert await chain.books() == {"CASH": 3000, "DEFERRED_REVENUE": -3000, "BANK": -500, "DUE_TO": 500}
    other = await chain.books(chain.other_entity_id)
    assert other == {"BANK": 500, "DUE_FROM": -500, "ACCOUNTS_RECEIVABLE": 1180, "REVENUE": -1180}
    await chain.books_agree()


async def test_each_pair_of_sites_is_settled_by_itself(chain: Packages) -> None:
    sister_site = await chain.billing.register_site(legal_entity_id=chain.other_entity_id)
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    await chain.treat(INFUSION, site_id=sister_site)
    request = pb.ListSettlementsRequest(
        debtor_legal_entity_id=chain.billing.legal_entity_id,
        creditor_legal_entity_id=chain.other_entity_id,
        page_size=1,
    )
    page = await chain.svc.call(chain.settlements.ListSettlements, request)
    rest = await chain.open_between(page_size=1, page_token=page.next_page_token)
    found = [each.rendering_site_id for each in [*page.settlements, *rest]]
    assert found == sorted([chain.other_site_id, sister_site])
    assert (await refusal(chain.open_between(page_token="x"))).reason == "BAD_PAGE_TOKEN"
    settled = await chain.settle(1000)
    assert [each.rendering_site_id for each in settled] == found
    for site_id in found:
        there = await chain.books(chain.other_entity_id, chain.billing.at(site_id))
        assert there == {"BANK": 500, "REVENUE": -500}
    await chain.books_agree()


@pytest.mark.parametrize(
    ("amount", "code", "reason"),
    [
        (499.99, StatusCode.FAILED_PRECONDITION, "SETTLEMENT_CHANGED"),
        (500.01, StatusCode.FAILED_PRECONDITION, "SETTLEMENT_CHANGED"),
        (0, StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
        (-500, StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
    ],
)
async def test_only_all_that_is_open_is_settled(chain: Packages, amount: float, code: StatusCode, reason: str) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    refused = await refusal(chain.settle(amount))
    assert (refused.code, refused.reason) == (code, reason)
    assert await chain.billing.count("settlement") == 0


async def test_legal_entities_that_are_named_must_be_known(chain: Packages) -> None:
    unknown = to_wire("legalentity", new_id())
    for name in ("debtor_legal_entity_id", "creditor_legal_entity_id"):
        refused = await refusal(chain.open_between(**{name: unknown}))
        assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": unknown})
    chain.other_entity_id = unknown
    assert (await refusal(chain.settle(1))).reason == "NOT_YET_KNOWN"


async def test_who_does_not_act_for_both_sites_settles_nothing(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    for site_id in (chain.billing.site_id, chain.other_site_id):
        token = chain.billing.at(site_id)
        assert len(await chain.open_between(token)) == 1
        refused = await refusal(chain.settle(500, token))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "PACKAGE_OTHER_SITE")
    elsewhere = chain.billing.at(await chain.billing.register_site())
    assert await chain.open_between(elsewhere) == []
    both = [from_wire("site", each) for each in (chain.billing.site_id, chain.other_site_id)]
    for role in ("ROLE_FRONT_DESK", "ROLE_SITE_MANAGER", "ROLE_AUDITOR"):
        refused = await refusal(chain.settle(500, chain.svc.token(role, sites=both)))
        assert refused.code == StatusCode.PERMISSION_DENIED
    assert len(await chain.settle(500, chain.svc.token("ROLE_BILLING", sites=both))) == 1


async def test_two_settlements_at_once_pay_once(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    ids: list[UUID] = [from_wire("legalentity", chain.billing.legal_entity_id)]
    async with chain.billing.held_open(chain.billing.payment_request(1), lambda store: store.lock(ids)):
        tasks = [asyncio.create_task(chain.settle(500)) for _ in range(2)]
        await chain.billing.someone_waits()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert len([each for each in answers if isinstance(each, list)]) == 1
    assert await chain.books() == {"CASH": 3000, "DEFERRED_REVENUE": -2500, "BANK": -500}


async def test_a_settlement_that_is_sent_again_is_made_once(chain: Packages) -> None:
    await chain.sold(SIX, price=3000)
    await chain.treat(INFUSION, site_id=chain.other_site_id)
    request = pb.SettleBetweenRequest(
        request_id=str(new_id()),
        debtor_legal_entity_id=chain.billing.legal_entity_id,
        creditor_legal_entity_id=chain.other_entity_id,
        amount=usd(500),
    )
    answers = [await chain.svc.call(chain.settlements.SettleBetween, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await chain.billing.count("settlement") == 1


async def test_whatever_happens_in_whatever_order_the_books_agree(chain: Packages) -> None:
    chance = random.Random(2)  # noqa: S311
    patients = [chain.billing.patient_id, await chain.billing.register_patient()]
    sites = [chain.billing.site_id, chain.other_site_id]
    rules: dict[str, Any] = {"transferable": True, "freeze_days": 20, "stop_fee_percent": 5, "valid_days": 60}
    stops = package_pb.EARLY_STOP_PRO_RATA, package_pb.EARLY_STOP_RERATE
    packages = [await chain.offer(SIX, ASSESSED, price=3000.01, early_stop=each, **rules) for each in stops]
    sold, refused = list[str](), Counter[str]()

    async def sell() -> None:
        patient_id = chance.choice(patients)
        sale = await chain.sell(chance.choice(packages), patient_id=patient_id, site_id=chance.choice(sites))
        sold.append(sale.id)
        await chain.invoice(sale)
        await chain.billing.pay(chance.choice([777.77, 3000.01]), patient_id=patient_id, site_id=sale.site_id)

    async def treat() -> None:
        kinds = [chance.choice([INFUSION, ASSESSMENT]) for _ in range(2)]
        await chain.treat(*kinds, site_id=chance.choice(sites), patient_id=chance.choice(patients))

    async def undo() -> None:
        for redemption in (await chain.redemptions(await chain.sale(chance.choice(sold))))[:1]:
            await chain.undo(redemption.id)

    async def settle() -> None:
        await chain.settle(sum(dollars(each.amount) or 0 for each in await chain.open_between()))

    async def wait() -> None:
        await chain.pass_days(chance.randint(1, 15))

    async def change() -> None:
        sale, method = await chain.sale(chance.choice(sold)), chance.choice(list(CHANGES))
        more = CHANGES[method] | ({"patient_id": chance.choice(patients)} if method == "TransferPackage" else {})
        await chain.change(method, sale, **more)

    await sell()
    for _ in range(30):
        step = chance.choice([sell, treat, treat, treat, undo, settle, wait, change, change])
        try:
            await step()
        except AioRpcError as error:
            refused[read_refusal(error).reason] += 1
        await chain.books_agree()
    assert set(refused) <= EXPECTED
    assert await chain.billing.count("redemption") > 3
    assert await chain.billing.count("package_end") > 0


ASSESSED = ("assessment", "", "", 1)
CHANGES: dict[str, dict[str, Any]] = {
    "FreezePackage": {},
    "UnfreezePackage": {},
    "TransferPackage": {"reason": "x"},
    "StopPackage": {"reason": "x"},
}
EXPECTED = {
    "AMOUNT_OUT_OF_RANGE",
    "PACKAGE_ENDED",
    "PACKAGE_EXPIRED",
    "PACKAGE_FROZEN",
    "PACKAGE_NOT_FREEZABLE",
    "PACKAGE_TRANSFER_TO_SELF",
    "REDEMPTION_NOT_FOUND",
    "SETTLEMENT_CHANGED",
}
