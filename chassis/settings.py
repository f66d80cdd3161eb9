"""What a service process is told by its environment: ATOLL_<NAME> for each field. See docs/operations.md."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ATOLL_", frozen=True)

    mode: Literal["development", "production"] = "production"

    database_url: str
    """The service's database, as the service's own role."""
    relay_database_url: str
    """The same database, as the role that sees the outbox of every chain and nothing else."""
    sealer_database_url: str
    """The same database, as the role that seals the audit trail and sees nothing else."""
    pool_size: int = Field(default=16, ge=2, le=200)
    """Connections of one worker to the database."""

    nats_url: str
    nats_monitor_url: str | None = None
    """NATS's monitoring endpoint, http://host:port; needed in production, where a service asks how it syncs."""
    nats_replicas: int = Field(default=1, ge=1, le=5)

    listen: str = "127.0.0.1:0"
    """host:port for calls. Port 0 takes any free one and works with one worker only."""
    probe_listen: str = "127.0.0.1:0"
    """host:port for gRPC health checks."""
    metrics_listen: str = "127.0.0.1:0"
    """host:port for Prometheus, over HTTP. With several workers the second has the next port, and so on."""
    workers: int = Field(default=1, ge=1, le=64)

    issuer: str
    """The `iss` that tokens must have."""
    jwks: str
    """Where the issuer's keys are: an https URL, or a file."""
    audience: str = "atoll"
    service_token_file: Path | None = None
    """A token of role SERVICE, for calls to other services; read anew for each call, so that it can be rotated."""

    reflection: bool | None = None
    """Answer gRPC reflection. Default: in development only."""
    clock: Path | None = None
    """A file that drives business time in development; see chassis.clock."""

    @model_validator(mode="after")
    def _workers_share_a_port(self) -> Self:
        if self.workers > 1 and self.listen.endswith(":0"):
            raise ValueError("several workers share one port, so ATOLL_LISTEN must name it")
        return self

    @cached_property
    def production(self) -> bool:
        return self.mode == "production"

    @cached_property
    def reflects(self) -> bool:
        return not self.production if self.reflection is None else self.reflection
