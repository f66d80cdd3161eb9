"""A gRPC server in the process that answers as it is told, for tests of clients."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status


class Refusal(Exception):
    """What the stand-in answers instead of a message."""

    def __init__(
        self, code: grpc.StatusCode, reason: str = "", *details: Message, retry_s: float | None = None, **metadata: str
    ) -> None:
        super().__init__(reason)
        status = Status(code=code.value[0], message="refused by the stand-in")
        if reason:
            status.details.add().Pack(ErrorInfo(reason=reason, domain="atoll.health", metadata=metadata))
        if retry_s is not None:
            delay = Duration()
            delay.FromMilliseconds(round(retry_s * 1e3))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        for detail in details:
            status.details.add().Pack(detail)
        self.status = status


Answer = Message | Refusal
Script = list[Answer | list[Answer | float]]
"""One entry for each call of an RPC; of a stream a list of what it sends, and how many seconds it is silent. The last
one stays."""


@dataclass
class StandIn:
    """`answers["GetSite"]`: a script, or a function of the request. What it was asked is remembered."""

    url: str = ""
    answers: dict[str, Script | Callable[[Any], Awaitable[Answer]]] = field(default_factory=dict)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    metadata: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, name: str, request: Any) -> Answer | list[Answer | float]:
        script = self.answers[name]
        if callable(script):
            return await script(request)
        return script.pop(0) if len(script) > 1 else script[0]


@asynccontextmanager
async def stand_in(*modules: Any) -> AsyncIterator[StandIn]:
    """For all services of these `_pb2` modules."""
    server, there = grpc.aio.server(), StandIn()
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            handlers = {method.name: _handler(there, module, method) for method in service.methods}
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service.full_name, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    there.url = f"http://127.0.0.1:{port}"
    await server.start()
    try:
        yield there
    finally:
        await server.stop(None)


def _handler(there: StandIn, module: Any, method: Any) -> Any:
    async def unary(request: Any, context: Any) -> Any:
        _note(there, method.name, request, context)
        return await _sent(await there.answer(method.name, request), context)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        _note(there, method.name, request, context)
        answers = await there.answer(method.name, request)
        assert isinstance(answers, list)
        for each in answers:
            if isinstance(each, float):
                await asyncio.sleep(each)
            else:
                yield await _sent(each, context)

    wrap = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    behaviour: Any = stream if method.server_streaming else unary
    return wrap(
        behaviour,
        request_deserializer=getattr(module, method.input_type.name).FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _note(there: StandIn, name: str, request: Any, context: Any) -> None:
    there.asked[name].append(request)
    there.metadata.append(dict(context.invocation_metadata()))


async def _sent(answer: Any, context: Any) -> Any:
    if isinstance(answer, Refusal):
        await context.abort_with_status(rpc_status.to_status(answer.status))
    return answer
