"""What Prometheus reads of a process. Labels are names of ours, never ids."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server

RPC_SECONDS = Histogram(
    "atoll_rpc_seconds", "Time from bytes in to bytes out.", ["method", "code"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)  # fmt: skip
EVENTS_PUBLISHED = Counter("atoll_events_published_total", "Events that JetStream acknowledged.")
OUTBOX_BACKLOG = Gauge("atoll_outbox_backlog", "Events that wait in the outbox to be published.")
OUTBOX_OLDEST = Gauge("atoll_outbox_oldest_seconds", "Age of the oldest event that waits in the outbox.")
DEAD_LETTERS = Gauge("atoll_dead_letters", "Events that could not be handled, and are kept.")
EVENTS_HANDLED = Counter("atoll_events_handled_total", "Events read.", ["consumer", "outcome"])
AUDIT_SEALED = Counter("atoll_audit_sealed_total", "Audit rows that were sealed.")
AUDIT_HEADS_BEHIND = Gauge("atoll_audit_heads_behind", "Trails that end before what was exported of them.")
JOB_FAILURES = Counter("atoll_job_failures_total", "Background jobs that were started again.", ["job"])
CHAIN_FAILURES = Counter(
    "atoll_chain_failures_total", "Steps of background jobs that failed in a chain, by what the log says.", ["event"]
)


def serve_metrics(address: str, offset: int = 0) -> int:
    """The port that was bound: `offset` above that of the address, unless that is 0, which takes any free one."""
    host, _, port = address.rpartition(":")
    server, _ = start_http_server(int(port) and int(port) + offset, addr=host, registry=REGISTRY)
    return int(server.server_port)
