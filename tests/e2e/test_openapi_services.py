"""Every operation of the document, asked on the whole stack by what schemathesis makes of it.

Answers have the statuses, reasons, types of content and fields that the document says; what breaks a rule is refused,
and what the document allows breaks none that JSON Schema can say. Ids of what is there take the place of made up ones.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio
from rich.progress import Progress
from schemathesis import GenerationMode

from atoll.common.v1.access_pb2 import ROLE_PATIENT, ROLE_SERVICE, Role
from chassis.times import utc_now
from cli.client import open_channel
from cli.demo.queues import open_queues
from cli.sample.load import Sample, westernmost_day
from deploy.local.stack import IMAGE, Options, Stack
from tests.support.openapi import Call, Prober

PATIENTS = 5
EXAMPLES = 5
"""Of each operation, valid ones and as many invalid ones."""
STAFF = [Role.Name(role) for role in Role.values() if role not in (0, ROLE_PATIENT, ROLE_SERVICE)]


@dataclass
class Asked:
    prober: Prober
    calls: list[Call]


@pytest_asyncio.fixture(scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asked]:
    home = tmp_path_factory.mktemp("openapi")
    async with Stack(Options.anywhere(home)) as stack, open_channel(stack.info.edge_url) as channel:
        sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), PATIENTS)
        await sample.load(None, Progress(disable=True))
        async with open_queues(stack.info) as queues:
            await queues.drained()
        everything = stack.home.issuer.token("tester", sample.chain_id, {role: ["*"] for role in STAFF})
        service = stack.home.issuer.service_token("tester")
        [patient_id, *_] = sample.imported.patient_ids
        patient = stack.home.issuer.token("patient", sample.chain_id, {"ROLE_PATIENT": ["*"]}, patient=patient_id)

        def headers(roles: list[str]) -> Mapping[str, str]:
            [role, *others] = roles
            token = everything if others else {"SERVICE": service, "PATIENT": patient}.get(role, everything)
            return {"authorization": f"Bearer {token}", "atoll-chain": sample.chain_id}

        prober = Prober(stack.info.edge_url, headers)
        document = json.loads((IMAGE.parent / "openapi.json").read_text())
        calls = await asyncio.to_thread(prober.calls, document)
        # Lists and reads first: what they find is asked about later.
        yield Asked(prober, sorted(calls, key=lambda call: not call.method.name.startswith(("List", "Get"))))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_every_operation_answers_as_the_document_says(asked: Asked) -> None:
    wrong = []
    for call in asked.calls:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            faults = await asyncio.to_thread(asked.prober.try_out, call, mode, EXAMPLES)
            wrong += [f"{call.method.full_name}: {fault}" for fault in faults]
    assert not wrong, "\n\n".join(wrong[:20])
    assert asked.prober.asked >= 2 * len(asked.calls)
    assert {200, 400, 404} <= asked.prober.answered.keys()
