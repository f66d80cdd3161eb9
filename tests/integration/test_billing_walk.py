"""Whatever happens in billing, in whatever order: the books, the documents and a small model of them agree."""

import pytest
from pydantic import SecretStr

from chassis.ids import to_wire
from services.billing.processor import ProcessorAccount
from tests.integration.test_billing_cards import house
from tests.support.billing import open_chain
from tests.support.billing_till import ACCOUNT, House
from tests.support.billing_walk import Walk
from tests.support.processor import SECRET, fake_processor

__all__ = ["house"]
HAPPENED = {"merge", "close", "drawn", "stop", "void", "billed again", "dispute", "paid by card", "paid out"}
HAPPENED |= {"refund failed"}
"""Without which a walk would show little."""


async def walk(house: House, seed: int, steps: int) -> Walk:
    billing = await open_chain(house.svc)
    async with fake_processor() as fake:
        account = ProcessorAccount(
            chain_id=to_wire("chain", billing.svc.chain_id),
            secret_key=SecretStr("sk_test_1"),
            webhook_secrets=(SecretStr(SECRET),),
            legal_entity_ids=frozenset({billing.legal_entity_id}),
            api_url=fake.url,
        )
        house.processors.give(ACCOUNT, account)
        url = f"http://127.0.0.1:{house.listener.port}/v1/processorWebhooks/{ACCOUNT}"
        walked = await Walk(billing, house.processors, fake, url, seed).open()
        await walked.go(steps)
    return walked


async def test_a_walk_keeps_the_books(house: House) -> None:
    walked = await walk(house, 46, 150)
    assert walked.happened >= HAPPENED


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(2, 42))
async def test_a_long_walk_keeps_the_books(house: House, seed: int) -> None:
    await walk(house, seed, 260)
