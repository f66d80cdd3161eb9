"""Protocols out of scheduling as files, and back, as `atoll protocols` does it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from atoll.scheduling.v1.protocol_service_pb2 import GetProtocolDraftRequest
from cli.client import Client
from cli.protocols import all_protocols, exported, library, loaded, read
from tests.support.scheduling import Clinic, open_clinic, open_scheduling
from tests.support.service import Running


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def client(clinic: Clinic) -> Client:
    return Client(clinic.svc.channel, clinic.svc.token)


async def test_every_protocol_of_the_library_is_published_and_exported_as_it_was(clinic: Clinic) -> None:
    files = {name: read(name) for name in library()}
    for name, file in files.items():
        number = 2 if name == "iv_six" else 1  # The clinic has a protocol of that code.
        assert await loaded(client(clinic), file, draft=False) == f"{name}: published as version {number}"
    found = await exported(client(clinic))
    assert found.keys() == files.keys()
    for file in found.values():
        assert (await loaded(client(clinic), file, draft=False)).endswith(" already")
    assert await clinic.count("protocol_version") == 1 + len(files)


async def test_a_changed_file_is_the_next_version_or_a_draft(clinic: Clinic) -> None:
    file = read("iv_pain_five")
    await loaded(client(clinic), file, draft=False)
    file["template"]["phases"][1]["visitsMin"] = 9
    lines = [await loaded(client(clinic), file, draft=True) for _ in range(2)]
    assert lines[0] == lines[1]
    assert lines[0].startswith("iv_pain_five: kept as a draft\n  template.phases[1].visits_default: ")
    file["template"]["phases"][1]["visitsMin"] = 4
    assert await loaded(client(clinic), file, draft=False) == "iv_pain_five: published as version 2"
    known = {each.code: each for each in await all_protocols(client(clinic))}
    request = GetProtocolDraftRequest(protocol_id=known["iv_pain_five"].id)
    draft = (await clinic.svc.call(clinic.protocols.GetProtocolDraft, request)).protocol_draft
    assert draft.template.phases[1].visits_min == 9  # Publishing something else leaves it.
