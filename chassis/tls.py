"""Mutual TLS: what this service shows to others, whom it trusts, and which of those may call it.

A certificate of the right authority opens a connection; a name on the list opens the service. Files are read anew when
they change, so that certificates can be short-lived: by the server at the next handshake, by clients at the next call.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

from chassis.errors import DomainError, Kind

log = structlog.get_logger()

NAMES = "x509_subject_alternative_name"
"""As grpc calls the names of a certificate, of whatever kind."""


class PeerRefused(DomainError):
    kind, reason, message = Kind.DENIED, "PEER_REFUSED", "this program is not one that may call this service"


@dataclass(frozen=True, slots=True)
class Tls:
    cert_file: Path
    key_file: Path
    ca_file: Path
    peers: frozenset[str]
    """DNS names and URIs, of which a caller's certificate must have one."""

    def check(self, peer: Mapping[str, Iterable[bytes]]) -> None:
        """`peer` is grpc's authentication context of a call. The subject's common name counts for nothing."""
        if self.peers.isdisjoint(name.decode(errors="replace") for name in peer.get(NAMES, ())):
            raise PeerRefused()

    def server_credentials(self) -> grpc.ServerCredentials:
        watched = Watched(self)

        def changed() -> Any:
            """Asked before each handshake; None leaves what was there, as does what grpc cannot use."""
            return _configuration(self) if watched.changed() else None

        return grpc.dynamic_ssl_server_credentials(_configuration(self), changed, require_client_authentication=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        read = Path.read_bytes
        return grpc.ssl_channel_credentials(read(self.ca_file), read(self.key_file), read(self.cert_file))


class Watched:
    """Whether the files of a certificate are others than when it was asked last."""

    def __init__(self, tls: Tls) -> None:
        self._files = tls.cert_file, tls.key_file, tls.ca_file
        self._seen = self._state()

    def changed(self) -> bool:
        """No, while one of them is missing."""
        try:
            state = self._state()
        except OSError as error:
            log.warning("tls.unreadable", error=type(error).__name__)
            return False
        changed, self._seen = state != self._seen, state
        return changed

    def _state(self) -> tuple[tuple[int, int, int], ...]:
        states = [file.stat() for file in self._files]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    pair = tls.key_file.read_bytes(), tls.cert_file.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=tls.ca_file.read_bytes())
