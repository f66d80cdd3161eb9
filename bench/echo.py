"""A bare grpc.aio server that answers each call with what it was sent: `python -m bench.echo PORT`.

What gRPC itself costs in one process of Python, and so the limit of what only reads. Same event loop and options as a
service has.
"""

import asyncio
import signal
import sys
from itertools import repeat
from typing import Any

import grpc
import uvloop

from bench.harness import LIMIT_S, Limit, Stage, running
from bench.load import Load
from bench.load import run as run_load
from chassis.server import OPTIONS
from deploy.local.process import free_port

SERVICE, METHOD = "bench.Echo", "Say"


async def echo_limit(body: bytes, concurrency: int, stage: Stage) -> Limit:
    """One process, the same load generator and metadata as large as a token."""
    token = stage.issuer.token("bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})

    async def take() -> Load:
        address = f"127.0.0.1:{free_port()}"
        with running(stage.folder, 1, "-m", "bench.echo", address):
            return await run_load(
                address,
                f"/{SERVICE}/{METHOD}",
                [("authorization", f"Bearer {token}")],
                repeat(body),
                concurrency,
                LIMIT_S,
                concurrency,
            )

    return take


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def main(address: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    server.add_insecure_port(address)
    await server.start()
    print('"serving"', flush=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
