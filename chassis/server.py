"""A service's gRPC server: its endpoints, health on a port of its own, an end that lets calls in hand finish."""

import asyncio
from typing import Any, Protocol, runtime_checkable

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from chassis.auth import Tokens
from chassis.clock import Clock
from chassis.endpoint import Endpoint, StreamEndpoint
from chassis.times import utc_now
from chassis.tls import Tls

GRACE_S = 10.0
MESSAGE_MAX = 1 << 20
CALLS_MAX = 1_000  # Health checks would count too, hence their own port.
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # Else clients with keepalive are sent away.
    ("grpc.max_connection_age_ms", 300_000),  # So that clients find new instances. What is open goes on.
    ("grpc.so_reuseport", 1),
]


@runtime_checkable
class Lasting(Protocol):
    """A servicer with something of its own that is there for as long as calls are answered."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class Server:
    def __init__(self, tokens: Tokens, clock: Clock = utc_now, tls: Tls | None = None) -> None:
        """With `tls`, calls come from the programs on its list alone. Probes are answered to all, and without it."""
        self._tokens, self._clock, self._tls = tokens, clock, tls
        self._calls = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
        self._probes = grpc.aio.server()
        self._health = health.aio.HealthServicer()
        self._in_hand: set[asyncio.Task[Any]] = set()
        self._lasting: list[Lasting] = []

    def add(self, service: ServiceDescriptor, servicer: object) -> None:
        """Refuses a service of which an RPC has no handler, or no access option."""
        if isinstance(servicer, Lasting):
            self._lasting.append(servicer)
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in service.methods:
            handler = getattr(servicer, method.name)
            streams = method.server_streaming
            endpoint = (StreamEndpoint if streams else Endpoint)(method, handler, self._tokens, self._clock, self._tls)
            wrap = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
            handlers[method.name] = wrap(
                self._tracked(endpoint), response_serializer=lambda response: response.SerializeToString()
            )
        self._calls.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service.full_name, handlers)])

    def reflect(self, image: bytes) -> None:
        """Answers for every public package, whichever service is asked: the edge need not know which has which."""
        files = descriptor_pb2.FileDescriptorSet.FromString(image)
        pool, names = descriptor_pool.DescriptorPool(), list[str]()
        for file in files.file:
            pool.AddSerializedFile(file.SerializeToString())
            names += (f"{file.package}.{service.name}" for service in file.service)
        reflection.enable_server_reflection(names, self._calls, pool)

    def _tracked(self, endpoint: Endpoint) -> Any:
        async def call(raw: bytes, context: Any) -> Any:
            task = asyncio.current_task()
            assert task
            self._in_hand.add(task)
            try:
                return await endpoint(raw, context)
            finally:
                self._in_hand.discard(task)

        return call

    async def start(self, address: str, probe_address: str) -> tuple[int, int]:
        """The ports that were bound: `host:0` takes any free one."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
        for servicer in self._lasting:
            await servicer.open()
        ports = self._bind(address), self._probes.add_insecure_port(probe_address)
        await self._calls.start()
        await self._probes.start()
        await self.set_healthy(True)
        return ports

    def _bind(self, address: str) -> int:
        if self._tls:
            return self._calls.add_secure_port(address, self._tls.server_credentials())
        return self._calls.add_insecure_port(address)

    async def set_healthy(self, healthy: bool) -> None:
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if healthy else status.NOT_SERVING)

    async def stop(self) -> None:
        """To be called before the pool closes: handlers may outlive grpc's own stop."""
        await self._health.enter_graceful_shutdown()
        await self._calls.stop(GRACE_S)
        if self._in_hand:
            await asyncio.wait(self._in_hand)
        for servicer in self._lasting:
            await servicer.close()
        await self._probes.stop(None)
