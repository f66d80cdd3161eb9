"""The four services as programs of the local stack: their ports, their environment, their health."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from chassis.provision import DatabaseUrls
from deploy.local.certificates import Authority
from deploy.local.process import HOST, PYTHON, SPARING, Program, is_open

SERVICES = ("patients", "scheduling", "billing", "notifications")
PROBE_TIMEOUT_S = 1.0
POOL_SIZE = 4
"""Connections of each service: one that is in use has PostgreSQL keep 10 MB for it, in plans most of all, and here one
process of each service asks it."""
STOP_WITHIN_S = 30.0
"""Calls in hand have 10 s when a service stops, beside messages' 10 and webhooks' 20; then all is closed."""
EDGE = "edge"
PEERS = {
    "patients": (EDGE, "billing", "notifications"),
    "scheduling": (EDGE,),
    "billing": (EDGE, "notifications"),
    "notifications": (EDGE,),
}
"""Who calls which service, by the names of their certificates: others are refused. With TLS only."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service finds around it: the same for all."""

    nats_url: str
    issuer: str
    jwks: Path
    service_token: Path
    smtp_port: int
    patients_address: str
    billing_address: str
    document_keys: Path
    message_keys: Path
    record_keys: Path
    card_accounts: Path
    webhook_port: int
    """Where the card processor tells billing what came of payments."""
    text_accounts: Path
    texting_port: int
    """Where the provider of texts tells notifications of receipts and replies."""
    audit_heads: Path
    audit_key: Path
    account_keys: Path
    account_jwks: Path
    account_issuer: str
    token_listen: str
    clock: Path | None = None
    authority: Authority | None = None
    """Signs what services show to each other. None: they speak in the clear."""

    def environment(self) -> dict[str, str]:
        values = {
            **SPARING,
            "ATOLL_MODE": "development",
            "ATOLL_POOL_SIZE": str(POOL_SIZE),
            "ATOLL_NATS_URL": self.nats_url,
            "ATOLL_ISSUER": self.issuer,
            "ATOLL_JWKS": str(self.jwks),
            "ATOLL_ISSUERS": json.dumps([{"issuer": self.account_issuer, "jwks": str(self.account_jwks)}]),
            "ATOLL_SERVICE_TOKEN_FILE": str(self.service_token),
            "ATOLL_AUDIT_KEY_FILE": str(self.audit_key),
        }
        if self.clock:
            values["ATOLL_CLOCK"] = str(self.clock)
        return values

    def of_tls(self, name: str) -> dict[str, str]:
        if self.authority is None:
            return {}
        certificate = self.authority.issue(name)
        return {
            "ATOLL_TLS_CERT_FILE": str(certificate.cert_file),
            "ATOLL_TLS_KEY_FILE": str(certificate.key_file),
            "ATOLL_TLS_CA_FILE": str(self.authority.ca_file),
            "ATOLL_TLS_PEERS": ",".join(PEERS[name]),
            "ATOLL_PATIENTS_TLS_NAME": "patients",  # Here their hosts have others.
            "ATOLL_BILLING_TLS_NAME": "billing",
        }

    def of_patients(self) -> dict[str, str]:
        return {"ATOLL_RECORD_KEYS_FILE": str(self.record_keys)}

    def of_scheduling(self) -> dict[str, str]:
        return {
            "ATOLL_ACCOUNT_KEYS_FILE": str(self.account_keys),
            "ATOLL_ACCOUNT_ISSUER": self.account_issuer,
            "ATOLL_TOKEN_LISTEN": self.token_listen,
        }

    def of_billing(self) -> dict[str, str]:
        return {
            "ATOLL_PATIENTS_ADDRESS": self.patients_address,
            "ATOLL_DOCUMENT_KEYS_FILE": str(self.document_keys),
            "ATOLL_PROCESSORS_FILE": str(self.card_accounts),
            "ATOLL_WEBHOOK_LISTEN": f"{HOST}:{self.webhook_port}",
        }

    def of_notifications(self) -> dict[str, str]:
        return {
            "ATOLL_PATIENTS_ADDRESS": self.patients_address,
            "ATOLL_BILLING_ADDRESS": self.billing_address,
            "ATOLL_SMTP_HOST": HOST,
            "ATOLL_SMTP_PORT": str(self.smtp_port),
            "ATOLL_MESSAGE_KEYS_FILE": str(self.message_keys),
            "ATOLL_WEBHOOK_ALLOW_LOOPBACK": "true",
            "ATOLL_TEXTING_ACCOUNTS_FILE": str(self.text_accounts),
            "ATOLL_TEXTING_LISTEN": f"{HOST}:{self.texting_port}",
        }


@dataclass(frozen=True, slots=True)
class ServicePorts:
    calls: int
    probe: int
    metrics: int


def serve(name: str, ports: ServicePorts, databases: DatabaseUrls, around: Surroundings) -> Program:
    environment = {
        **PYTHON,
        **around.environment(),
        **around.of_tls(name),
        **(around.of_notifications() if name == "notifications" else {}),
        **(around.of_billing() if name == "billing" else {}),
        "ATOLL_AUDIT_HEADS_FILE": str(around.audit_heads / f"{name}.jsonl"),
        **(around.of_scheduling() if name == "scheduling" else {}),
        **(around.of_patients() if name == "patients" else {}),
        "ATOLL_DATABASE_URL": databases.service,
        "ATOLL_RELAY_DATABASE_URL": databases.relay,
        "ATOLL_SEALER_DATABASE_URL": databases.sealer,
        "ATOLL_LISTEN": f"{HOST}:{ports.calls}",
        "ATOLL_PROBE_LISTEN": f"{HOST}:{ports.probe}",
        "ATOLL_METRICS_LISTEN": f"{HOST}:{ports.metrics}",
    }
    return Program(
        name=name,
        command=(sys.executable, "-m", f"services.{name}", "serve"),
        ready=lambda pid: serves(f"{HOST}:{ports.probe}"),
        environment=environment,
        stop_within_s=STOP_WITHIN_S,
        fault=lambda log: f"{name} failed: {_last_line(log)}",
    )


def migrate(databases: Mapping[str, DatabaseUrls]) -> Program:
    owners = {name: urls.owner for name, urls in databases.items()}
    return Program(
        name="migrate",
        command=(sys.executable, "-m", "deploy.local.migrate"),
        environment={**PYTHON, "ATOLL_OWNER_DATABASE_URLS": json.dumps(owners)},
        fault=_last_line,
    )


def serves(probe_address: str) -> bool:
    """Its own word, by the standard gRPC health check. Only of a port that is open: each question makes a channel."""
    if not is_open(probe_address):
        return False
    with grpc.insecure_channel(probe_address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _last_line(log: str) -> str | None:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else None
