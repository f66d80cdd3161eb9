"""Who asks for what, and when. Made once at the edge, handed inwards; stamped on events and audit rows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from atoll.common.v1.access_pb2 import Audit

Sites = frozenset[UUID] | None
"""Sites that a caller may see; None is every site of the chain."""


@dataclass(frozen=True, slots=True)
class Call:
    chain_id: UUID
    sites: Sites
    actor: str  # Id of a user or name of a service.
    method: str  # Full name of the RPC, or name of the consumer or job.
    cause: str  # request_id of the RPC, or id of the event.
    audit: Audit.ValueType
    now: datetime  # Business time.
    traceparent: str = ""
    patient_id: UUID | None = None  # Of a patient who calls for themselves: no other's rows exist for them.
    roles: frozenset[str] = frozenset()  # Those of the caller's that allow the call: "NURSE".

    @property
    def settings(self) -> dict[str, str]:
        """Who may see what, as row-level security asks for it: `app.<name>` for the time of a transaction."""
        return {
            "chain": str(self.chain_id),
            "sites": "*" if self.sites is None else ",".join(map(str, self.sites)),
            "patient": str(self.patient_id or ""),
            "actor": self.actor,
            "roles": ",".join(sorted(self.roles)),
        }
