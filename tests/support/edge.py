"""A real Envoy before a stand-in that answers for the services as they would."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from atoll.notifications.v1 import message_service_pb2 as messages
from atoll.patients.v1 import patient_service_pb2 as patients
from atoll.scheduling.v1 import board_service_pb2 as boards
from chassis.tls import NAMES
from deploy.envoy.config import Edge, Service
from deploy.local.envoy import envoy
from deploy.local.issuer import NAME, Issuer
from deploy.local.process import Running, free_ports, start
from deploy.local.stack import IMAGE

GET = "/atoll.notifications.v1.MessageService/GetMessage"
MISSING = "message_missing"


@dataclass
class StandIn:
    """Answers with what it was asked, and remembers how."""

    asked: list[Any] = field(default_factory=list)
    seconds_left: list[float | None] = field(default_factory=list)
    peers: list[bytes] = field(default_factory=list)
    """Names of the certificates that it was shown."""
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, request: messages.GetMessageRequest, context: Any) -> messages.GetMessageResponse:
        self.asked.append(request)
        self.seconds_left.append(context.time_remaining())
        self.peers += context.auth_context().get(NAMES, ())
        if request.message_id == MISSING:
            status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="there is no such message")
            status.details.add().Pack(ErrorInfo(reason="MESSAGE_NOT_FOUND", domain="atoll"))
            await context.abort_with_status(rpc_status.to_status(status))
        response = messages.GetMessageResponse()
        response.message.id = request.message_id
        return response

    async def list(self, request: messages.ListMessagesRequest, context: Any) -> messages.ListMessagesResponse:
        self.asked.append(request)
        return messages.ListMessagesResponse()

    async def watch(self, request: boards.WatchSiteRequest, context: Any) -> AsyncIterator[boards.WatchSiteResponse]:
        self.asked.append(request)
        self.seconds_left.append(context.time_remaining())
        yield boards.WatchSiteResponse(resume_token="1")
        await self.goes_on.wait()
        yield boards.WatchSiteResponse(resume_token="2", visit_change=boards.VisitChange(visit_id="visit_1"))

    async def search(self, request: Any, context: Any) -> patients.SearchPatientsResponse:
        self.asked.append(request)
        return patients.SearchPatientsResponse()

    async def serve(self, port: int, credentials: grpc.ServerCredentials | None = None) -> grpc.aio.Server:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 1 << 20)])
        offered: list[tuple[str, Any, dict[str, Any]]] = [
            ("atoll.notifications.v1.MessageService", messages, {"GetMessage": self.get, "ListMessages": self.list}),
            ("atoll.patients.v1.PatientService", patients, {"SearchPatients": self.search}),
        ]
        for service, module, handlers in offered:
            wrapped: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(
                    handler,
                    request_deserializer=getattr(module, f"{name}Request").FromString,
                    response_serializer=lambda response: response.SerializeToString(),
                )
                for name, handler in handlers.items()
            }
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, wrapped)])
        watching: Any = grpc.unary_stream_rpc_method_handler(
            self.watch,
            request_deserializer=boards.WatchSiteRequest.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        handler = grpc.method_handlers_generic_handler("atoll.scheduling.v1.BoardService", {"WatchSite": watching})
        server.add_generic_rpc_handlers([handler])
        if credentials:
            server.add_secure_port(f"127.0.0.1:{port}", credentials)
        else:
            server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server


@dataclass
class Door:
    port: int
    service_port: int
    access_log: Path
    issuer: Issuer
    envoy: Running
    url: str

    def headers(self, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.token('jo', 'chain_1', {'ROLE_NURSE': ['*']}, **claims)}"}

    async def http(self, method: str, path: str, *, token: bool = True, **options: Any) -> httpx.Response:
        headers = {**(self.headers() if token else {}), **options.pop("headers", {})}
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.request(method, path, headers=headers, **options)

    async def grpc(self, method: str, request: bytes, metadata: Mapping[str, str]) -> bytes:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call: Any = channel.unary_unary(method)
            answer = await call(request, metadata=tuple(metadata.items()), timeout=20)
        assert isinstance(answer, bytes)
        return answer


@contextmanager
def opened(
    folder: Path,
    tls_name: str = "",
    names: Sequence[str] = ("patients", "notifications", "scheduling"),
    **changes: Any,
) -> Iterator[Door]:
    """An edge of its own; `changes` are fields of `Edge`, and services are certified as `tls_name`."""
    issuer, (port, admin, service_port) = Issuer.open(folder / "issuer"), free_ports(3)
    edge = Edge(
        services=[Service(name, f"127.0.0.1:{service_port}", tls_name) for name in names],
        listen=f"127.0.0.1:{port}",
        admin=f"127.0.0.1:{admin}",
        issuer=NAME,
        jwks=str(issuer.jwks),
        descriptors=str(IMAGE),
        access_log=str(folder / "access.log"),
        secrets=str(folder),
        **changes,
    )
    url = f"{'https' if edge.certificate else 'http'}://127.0.0.1:{port}"
    running = start(envoy(folder, edge), folder / "logs")
    try:
        yield Door(port, service_port, folder / "access.log", issuer, running, url)
    finally:
        running.stop()
