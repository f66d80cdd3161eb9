"""The way in: one object for an API and whoever calls it."""

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import grpc

from atoll.api.billing import Billing
from atoll.api.notifications import Notifications
from atoll.api.patients import Patients
from atoll.api.scheduling import Scheduling
from atoll_client.calls import Caller
from atoll_client.retries import Retry
from atoll_client.tokens import HERE, Tokens, TokenSource

OPTIONS = [
    ("grpc.enable_retries", 0),  # Retry does it: by the request_id, and within the deadline.
    ("grpc.keepalive_time_ms", 30_000),  # A stream notices that the network is gone.
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.max_receive_message_length", 16 << 20),  # Documents come as one message.
    ("grpc.primary_user_agent", "atoll-client-python"),
]


class Atoll:
    """One caller of one chain. Services hang off it, RPCs off these:

        async with Atoll("https://api.example.com", token) as atoll:
            async for site in atoll.scheduling.sites.list():
                print(site.display_name)

    An RPC takes the fields of its request by name. One that changes something is given a `request_id`, unless you give
    one of your own. All can be called at the same time; one object, and so one connection, is enough for a program.
    """

    patients: Patients
    scheduling: Scheduling
    billing: Billing
    notifications: Notifications

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        timeout_s: float = 20.0,
        retry: Retry | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        plaintext: bool = False,
    ) -> None:
        """`timeout_s`: of a call, retries included, unless it is given one of its own.

        `credentials`: `grpc.ssl_channel_credentials(...)`, where the public roots do not do or the client shows a
        certificate. `plaintext`: http:// to another machine than this one, which shows the token to whoever listens.
        """
        target, secure = _target(url, plaintext)
        if secure and credentials is None:
            credentials = grpc.ssl_channel_credentials()

        def connect() -> grpc.aio.Channel:
            if credentials is not None:
                return grpc.aio.secure_channel(target, credentials, options=OPTIONS)
            return grpc.aio.insecure_channel(target, options=OPTIONS)

        self._caller = Caller(connect, Tokens(token), timeout_s, retry or Retry())
        self.patients = Patients(self._caller)
        self.scheduling = Scheduling(self._caller)
        self.billing = Billing(self._caller)
        self.notifications = Notifications(self._caller)

    async def close(self) -> None:
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _target(url: str, plaintext: bool) -> tuple[str, bool]:
    """Host and port, and whether it is TLS. ValueError: no such address, or a token would go over the wire readably."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{url!r} is no address of an API: https://host or https://host:port")
    secure = parts.scheme == "https"
    if not secure and parts.hostname not in HERE and not plaintext:
        raise ValueError(f"{url!r} would show the token to whoever listens: use https://, or say plaintext=True")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or (443 if secure else 80)}", secure
