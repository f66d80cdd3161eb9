"""The whole stack with TLS: `atoll up --tls`."""

import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from atoll.patients.v1.patient_service_pb2 import GetContactDetailsRequest
from atoll.patients.v1.patient_service_pb2_grpc import PatientServiceStub
from atoll.scheduling.v1.site_service_pb2 import ListSitesRequest
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from chassis.client import connect
from chassis.ids import new_id, to_wire
from chassis.tls import Tls
from cli.client import Client, open_channel
from cli.status import is_healthy
from deploy.local.services import PEERS, SERVICES
from deploy.local.stack import Options, Stack
from tests.e2e.test_stack import eventually
from tests.support.service import refusal

CHAIN = to_wire("chain", new_id())
GRANTS = {"ROLE_CHAIN_ADMIN": ["*"]}


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("secure")
    folder.chmod(0o755)
    async with Stack(Options.anywhere(folder, tls=True)) as stack:
        yield stack


def certificate_of(stack: Stack, name: str) -> Tls:
    folder = stack.home.certificates
    return Tls(folder / f"{name}.pem", folder / f"{name}-key.pem", folder / "ca.pem", frozenset())


async def ask_patients(stack: Stack, caller: str) -> Any:
    tls = certificate_of(stack, caller)
    async with connect(stack.info.services["patients"].address, tls, "patients") as channel:
        return await refusal(PatientServiceStub(channel).GetContactDetails(GetContactDetailsRequest(), timeout=10))


async def test_it_serves_callers_of_every_kind_over_tls(stack: Stack) -> None:
    info = stack.info
    assert info.edge_url.startswith("https://")
    trusting = ssl.create_default_context(cafile=info.ca_file)
    headers = {"authorization": f"Bearer {stack.home.issuer.token('jo', CHAIN, GRANTS)}"}
    async with httpx.AsyncClient(base_url=info.edge_url, verify=trusting, timeout=30) as client:
        answer = await client.get("/v1/sites", headers=headers)
    assert (answer.status_code, answer.json()["sites"]) == (200, [])
    async with open_channel(info.edge_url, info.ca_file) as channel:
        client_of_grpc = Client.issued(channel, stack.home.issuer, "jo", CHAIN, GRANTS)
        assert list((await client_of_grpc.call(SiteServiceStub, "ListSites", ListSitesRequest())).sites) == []


async def test_its_state_can_be_asked_for_as_ever(stack: Stack) -> None:
    for name in stack.info.processes:
        await eventually(partial(is_healthy, stack.info, name), 30)


@pytest.mark.parametrize("caller", PEERS["patients"])
async def test_a_service_that_another_expects_gets_as_far_as_its_token(stack: Stack, caller: str) -> None:
    refused = await ask_patients(stack, caller)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED")


@pytest.mark.parametrize("caller", sorted(set(SERVICES) - set(PEERS["patients"])))
async def test_a_service_that_another_does_not_expect_is_refused(stack: Stack, caller: str) -> None:
    refused = await ask_patients(stack, caller)
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PEER_REFUSED")


def test_keys_are_for_their_owner_only(stack: Stack) -> None:
    keys: list[Path] = sorted(stack.home.certificates.glob("*-key.pem"))
    assert len(keys) == len(SERVICES) + 3  # The edge's two, and the authority's.
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
