"""Calls to other services: who they come from, and which of them are sent again."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode

from chassis.client import connect, metadata
from chassis.ids import new_id, to_wire
from chassis.settings import Settings

METHOD = "/atoll.notes.v1.NoteService/GetNote"


class Moody(grpc.GenericRpcHandler):
    """Answers each call with the next of `codes`."""

    def __init__(self) -> None:
        self.codes: list[StatusCode] = []
        self.calls = 0

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        if (code := self.codes.pop(0)) is not StatusCode.OK:
            await context.abort(code, "moody")
        return request


@pytest_asyncio.fixture
async def moody() -> AsyncIterator[tuple[Moody, Any]]:
    handler, server = Moody(), grpc.aio.server()
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        yield handler, channel.unary_unary(METHOD)
    await server.stop(None)


async def test_a_call_that_could_not_be_done_now_is_sent_again(moody: tuple[Moody, Any]) -> None:
    handler, call = moody
    handler.codes = [StatusCode.UNAVAILABLE, StatusCode.UNAVAILABLE, StatusCode.OK]
    assert await call(b"x", timeout=10) == b"x"
    assert handler.calls == 3


async def test_a_call_is_sent_four_times_at_most(moody: tuple[Moody, Any]) -> None:
    handler, call = moody
    handler.codes = [StatusCode.UNAVAILABLE] * 9
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"x", timeout=10)
    assert (refused.value.code(), handler.calls) == (StatusCode.UNAVAILABLE, 4)


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.ABORTED, StatusCode.RESOURCE_EXHAUSTED])
async def test_no_other_answer_is_asked_for_again(moody: tuple[Moody, Any], code: StatusCode) -> None:
    handler, call = moody
    handler.codes = [code, StatusCode.OK]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"x", timeout=10)
    assert (refused.value.code(), handler.calls) == (code, 1)


def settings(**changes: Any) -> Settings:
    needed = [name for name, field in Settings.model_fields.items() if field.is_required()]
    return Settings(**dict.fromkeys(needed, "x") | {"mode": "development", "jwks": "x"} | changes)


def test_a_call_names_its_service_its_chain_and_its_trace(tmp_path: Path) -> None:
    path, chain_id = tmp_path / "token", new_id()
    path.write_text("first\n")
    given = settings(service_token_file=path)
    chain: Sequence[tuple[str, str]] = [("atoll-chain", to_wire("chain", chain_id))]
    assert metadata(given, chain_id) == (("authorization", "Bearer first"), *chain)
    path.write_text("second\n")  # It is rotated.
    named = metadata(given, chain_id, "00-trace")
    assert named == (("authorization", "Bearer second"), *chain, ("traceparent", "00-trace"))


def test_a_service_without_a_token_cannot_call_another() -> None:
    with pytest.raises(RuntimeError, match="ATOLL_SERVICE_TOKEN_FILE is needed"):
        metadata(settings(), new_id())
