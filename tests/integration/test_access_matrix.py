"""docs/access.md is what services do: every RPC is called with a token of every role, at its site and at another."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money

from atoll.billing.v1.price_book_service_pb2 import CreatePriceBookRequest
from atoll.common.v1.access_pb2 import Role
from chassis.ids import new_id, to_wire
from services.notifications.settings import MESSAGE_KEYS
from tests.contract.found import ROOT, SERVICES, rpcs, service
from tests.support.canaries import TOLD_ON_PURPOSE, Canaries
from tests.support.requests import valid
from tests.support.service import Running, read_refusal, running
from tests.support.texting import write_message_keys

PAGE = ROOT / "docs" / "access.md"
ROLES = [name for name, number in Role.items() if number]
RPCS = {rpc.full_name: rpc for rpc in rpcs()}
SITE, ELSEWHERE, PATIENT = new_id(), new_id(), new_id()
NO_MESSAGE = b"\xff"
ANSWER_S = 10
STREAM_S = 0.5
"""A stream that has not refused by then has been opened."""
SENSIBLE_CODES = {"language_code": "en", "currency_code": "USD"}
OF_EVERY_SITE = {"SearchAudit"}
"""A role that holds at some sites only does not do: a trail is of all sites."""
OF_FEWER = {"gate_reason", "spacing_reason"}
"""What some of those who may call may not give: tests of theirs see to it."""
DENIED, REFUSED = "ACCESS_DENIED", "TOKEN_REFUSED"


def page() -> Iterator[tuple[str, Mapping[str, str]]]:
    """What the page says of each RPC: how far each role reaches."""
    package = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            package = f"atoll.{line.removeprefix('## ')}.v1"
        elif package and line.startswith("|") and "." in line:
            name, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
            yield f"{package}.{name}", dict(zip(ROLES, cells[:-1], strict=True))


MATRIX = dict(page())


@dataclass
class Door:
    """Calls one service in whatever name; says why it was refused, or nothing."""

    svc: Running
    requests: Canaries = field(default_factory=lambda: Canaries(etag="etag", codes=TOLD_ON_PURPOSE | SENSIBLE_CODES))

    def token(self, *roles: str, **changes: Any) -> str:
        at = [to_wire("site", SITE)]
        chain = "*" if roles == ("ROLE_SERVICE",) else to_wire("chain", self.svc.chain_id)
        claims = {"chain": chain, "grants": {role: ["*"] if role == "ROLE_SERVICE" else at for role in roles}}
        return self.svc.token(**claims | {"patient": to_wire("patient", PATIENT)} | changes)

    def request(self, rpc: MethodDescriptor, keep: str = "", **ids: Any) -> bytes:
        """One that keeps the rules of its fields if that can be, and does so if `keep` is a field that it must have."""
        named = {"site": SITE, "patient": PATIENT} | ids
        self.requests.ids |= {kind: to_wire(kind, id) for kind, id in named.items()}
        made = self.by_hand(rpc) or valid(rpc, self.requests, frozenset({keep} - {""}))
        if made is None and not keep:
            made = self.requests.fill(GetMessageClass(rpc.input_type)(), 0)
        assert made is not None, f"no request to {rpc.full_name} is known that keeps its rules"
        for name in OF_FEWER & set(made.DESCRIPTOR.fields_by_name):
            made.ClearField(name)
        return bytes(made.SerializeToString())

    def by_hand(self, rpc: MethodDescriptor) -> Any | None:
        """Where no value by itself keeps the rules."""
        if rpc.name != "CreatePriceBook":
            return None
        price = Money(currency_code="USD", units=590)
        item = CreatePriceBookRequest.Item(visit_type_code="infusion", unit_price=price, description="IV infusion")
        return CreatePriceBookRequest(
            request_id=str(uuid4()),
            site_id=self.requests.ids["site"],
            currency_code="USD",
            effective_date=Date(year=2027, month=3, day=1),
            items=[item],
            deposit=price,
        )

    async def refusal(self, rpc: MethodDescriptor, request: bytes, token: str) -> tuple[grpc.StatusCode, str]:
        channel: Any = self.svc.channel
        path = f"/{rpc.containing_service.full_name}/{rpc.name}"
        pairs = [("authorization", f"Bearer {token}")] if token else []
        pairs.append(("atoll-chain", to_wire("chain", self.svc.chain_id)))
        try:
            if rpc.server_streaming:
                await self._opened(channel.unary_stream(path)(request, metadata=pairs, timeout=ANSWER_S))
            else:
                await channel.unary_unary(path)(request, metadata=pairs, timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            return error.code(), read_refusal(error).reason
        return grpc.StatusCode.OK, ""

    async def _opened(self, stream: Any) -> None:
        try:
            async with asyncio.timeout(STREAM_S):
                async for _ in stream:
                    break
        except TimeoutError:
            stream.cancel()


@pytest_asyncio.fixture(scope="module", params=SERVICES)
async def door(request: pytest.FixtureRequest, postgres_url: str, issuer_folder: Path) -> AsyncIterator[Door]:
    with pytest.MonkeyPatch.context() as environment:
        write_message_keys(keys := issuer_folder / "message-keys-of-access.json")
        environment.setenv(MESSAGE_KEYS, str(keys))
        async with running(service(request.param), postgres_url, issuer_folder) as svc:
            yield Door(svc)


def of(door: Door) -> Iterator[tuple[str, MethodDescriptor]]:
    package = f"atoll.{door.svc.service.name}.v1."
    return ((name, rpc) for name, rpc in RPCS.items() if name.startswith(package))


def test_the_page_has_every_rpc_and_no_other() -> None:
    assert MATRIX.keys() == RPCS.keys()


async def test_without_a_token_every_call_is_refused(door: Door) -> None:
    for name, rpc in of(door):
        for request in (door.request(rpc), NO_MESSAGE):
            assert await door.refusal(rpc, request, "") == (grpc.StatusCode.UNAUTHENTICATED, REFUSED), name


async def test_a_role_that_the_page_leaves_empty_is_denied_before_the_request_is_looked_at(door: Door) -> None:
    for name, rpc in of(door):
        denied = [role for role in ROLES if not MATRIX[name][role]]
        for token in [*(door.token(role) for role in denied), door.token(*denied)]:
            answer = await door.refusal(rpc, NO_MESSAGE, token)
            assert answer == (grpc.StatusCode.PERMISSION_DENIED, DENIED), (name, denied)


async def test_a_role_that_the_page_names_may_call_at_its_own_site_and_for_its_own_patient(door: Door) -> None:
    for name, rpc in of(door):
        for role in (each for each in ROLES if MATRIX[name][each]):
            everywhere = {"grants": {role: ["*"]}} if rpc.name in OF_EVERY_SITE else {}
            code, reason = await door.refusal(rpc, door.request(rpc), door.token(role, **everywhere))
            assert code is not grpc.StatusCode.UNAUTHENTICATED, (name, role)
            assert reason != DENIED, (name, role)
            assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), (name, role)


async def test_who_has_a_role_at_some_sites_only_may_not_see_what_is_of_all(door: Door) -> None:
    for name, rpc in of(door):
        if rpc.name in OF_EVERY_SITE:
            for role in (each for each in ROLES if MATRIX[name][each]):
                answer = await door.refusal(rpc, door.request(rpc), door.token(role))
                assert answer == (grpc.StatusCode.PERMISSION_DENIED, DENIED), (name, role)


async def test_another_site_is_denied_to_whoever_reaches_sites_only(door: Door) -> None:
    for name, rpc in of(door):
        if "site_id" in rpc.input_type.fields_by_name:
            for role in (each for each in ROLES if MATRIX[name][each] in ("sites", "chain") and each != "ROLE_SERVICE"):
                _, reason = await door.refusal(rpc, door.request(rpc, "site_id", site=ELSEWHERE), door.token(role))
                assert (reason == DENIED) == (MATRIX[name][role] == "sites"), (name, role)


async def test_another_patient_is_denied_to_a_patient(door: Door) -> None:
    for name, rpc in of(door):
        if "patient_id" in rpc.input_type.fields_by_name and MATRIX[name]["ROLE_PATIENT"]:
            request, me = door.request(rpc, "patient_id", patient=new_id()), door.token("ROLE_PATIENT")
            assert await door.refusal(rpc, request, me) == (grpc.StatusCode.PERMISSION_DENIED, DENIED), name
            nobody = door.svc.token("ROLE_PATIENT")
            assert (await door.refusal(rpc, door.request(rpc), nobody))[1] == DENIED, name
