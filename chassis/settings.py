"""What a service process is told by its environment: ATOLL_<NAME> for each field. See docs/operations.md.

What is secret need not stand in the environment: ATOLL_<NAME>_FILE names a file that holds it, as orchestrators mount
them. Keys are always files; those that a local stack makes are called dev-…, and are refused in production.
"""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chassis.issuers import OWN_TYPE, Claims, Group, TrustedIssuer
from chassis.tls import Tls

PREFIX = "ATOLL_"
DEVELOPMENT = "dev-"
"""How ids of keys begin that a local stack made."""


class Files(EnvSettingsSource):
    """Fields whose value is what a file holds, without the white space around it."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = dict[str, str | None]()
        for name in self.settings_cls.model_fields:
            variable, own = f"{PREFIX}{name.upper()}", f"{name}_file" in self.settings_cls.model_fields
            if not own and (path := os.environ.get(f"{variable}_FILE")):
                if variable in os.environ:
                    raise ValueError(f"{variable} and {variable}_FILE are both set: one is too many")
                found[variable.lower()] = _text(f"{variable}_FILE", Path(path)).strip()
        return found


class FromEnvironment(BaseSettings):
    """Settings of one part of a process. What it says of a wrong one does not repeat the value, which may be secret."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Files(settings_cls), env_settings


class SettingsRefused(Exception):
    """Says why in one line, for whoever set them, and without their values."""


S = TypeVar("S", bound=FromEnvironment)


def read(kind: type[S]) -> S:
    try:
        return kind()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        said = (": ".join([*_variable(each["loc"]), each["msg"].removeprefix("Value error, ")]) for each in faults)
        raise SettingsRefused("; ".join(said)) from None
    except (ValueError, SettingsError) as error:
        raise SettingsRefused(str(error)) from None


def _variable(place: tuple[int | str, ...]) -> list[str]:
    return [f"{PREFIX}{str(place[0]).upper()}"] if place else []


def _text(variable: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"{variable} names a file that cannot be read: {path}") from None


def key_ids(text: str) -> Iterator[str]:
    """Of a file that holds a signing key (`chassis.signing`), or a ring of keys to encrypt with (`chassis.keyring`)."""
    held = json.loads(text)
    for each in held.get("keys", [held]):
        yield each if isinstance(each, str) else str(each.get("kid", ""))


class MigrationSettings(FromEnvironment):
    owner_database_url: str
    """As the role that owns the tables."""


class Settings(FromEnvironment):
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
    """The `iss` that tokens must have. Its keys are found by discovery, over https."""
    jwks: str | None = None
    """Where the issuer's keys are, if not where it says: an https URL, or a file."""
    audience: str = "atoll"
    token_types: tuple[str, ...] = (OWN_TYPE,)
    claims: Claims = Claims()
    groups: Mapping[str, Group] = {}
    site_names: Mapping[str, str] = {}
    """This and the two above as JSON: see `chassis.issuers`, and docs/authentication.md for examples."""
    issuers: tuple[TrustedIssuer, ...] = ()
    """Others that are trusted as well, as JSON."""
    service_token_file: Path | None = None
    """A token of role SERVICE, for calls to other services; read anew for each call, so that it can be rotated."""

    tls_cert_file: Path | None = None
    """This service's certificate and what leads to its authority, in PEM. With it go the other three."""
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None
    """The authorities whose certificates callers, and services that are called, must have."""
    tls_peers: Annotated[frozenset[str], NoDecode] = frozenset()
    """Who may call: DNS names or URIs of their certificates, separated by commas."""
    tls_elsewhere: bool = False
    """Something around this process, as a mesh, does mutual TLS between services. Without it, or the files, production
    is refused."""

    audit_heads_file: Path | None = None
    """Where the elected process writes the signed head of each audit trail every minute: see chassis.heads."""
    audit_key_file: Path | None = None
    """The private key that signs them, as a JWK (P-256)."""

    reflection: bool | None = None
    """Answer gRPC reflection. Default: in development only."""
    clock: Path | None = None
    """A file that drives business time in development; see chassis.clock."""

    @model_validator(mode="after")
    def _workers_share_a_port(self) -> Self:
        if self.workers > 1 and self.listen.endswith(":0"):
            raise ValueError("several workers share one port, so ATOLL_LISTEN must name it")
        return self

    @field_validator("tls_peers", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        given = [bool(each) for each in (self.tls_cert_file, self.tls_key_file, self.tls_ca_file, self.tls_peers)]
        if any(given) and not all(given):
            raise ValueError("ATOLL_TLS_CERT_FILE, _KEY_FILE, _CA_FILE and _PEERS go together")
        if self.production and not (any(given) or self.tls_elsewhere):
            raise ValueError("production needs ATOLL_TLS_CERT_FILE and what goes with it, or ATOLL_TLS_ELSEWHERE=true")
        return self

    @cached_property
    def tls(self) -> Tls | None:
        """None: without."""
        if self.tls_cert_file and self.tls_key_file and self.tls_ca_file:
            return Tls(self.tls_cert_file, self.tls_key_file, self.tls_ca_file, self.tls_peers)
        return None

    @model_validator(mode="after")
    def _trusts_no_issuer_of_developers(self) -> Self:
        names = [each.issuer for each in self.trusted]
        if len(set(names)) < len(names):
            raise ValueError("an issuer is named twice")
        for each in self.trusted:
            if self.mode == "production" and (each.is_of_this_machine or not each.issuer.startswith("https://")):
                raise ValueError(f"{each.issuer} is no issuer for production")
        return self

    @cached_property
    def trusted(self) -> tuple[TrustedIssuer, ...]:
        first = TrustedIssuer(
            issuer=self.issuer,
            jwks=self.jwks,
            audience=self.audience,
            types=self.token_types,
            claims=self.claims,
            groups=self.groups,
            sites=self.site_names,
        )
        return first, *self.issuers

    @model_validator(mode="after")
    def _heads_are_signed(self) -> Self:
        if bool(self.audit_heads_file) != bool(self.audit_key_file):
            raise ValueError("ATOLL_AUDIT_HEADS_FILE and ATOLL_AUDIT_KEY_FILE go together")
        return self

    @model_validator(mode="after")
    def _production_has_keys_of_its_own(self) -> Self:
        """Whoever has the sources of a local stack may have made the keys of one, and may have left them anywhere."""
        for name, path in self if self.mode == "production" else ():
            if (name == "audit_key_file" or name.endswith("_keys_file")) and path:
                variable = f"{PREFIX}{name.upper()}"
                try:
                    made_here = [id for id in key_ids(_text(variable, path)) if id.startswith(DEVELOPMENT)]
                except (json.JSONDecodeError, AttributeError):
                    raise ValueError(f"{variable} names a file that holds no keys: {path}") from None
                if made_here:
                    raise ValueError(f"{variable} holds a key for development, refused in production: {made_here[0]}")
        return self

    @cached_property
    def production(self) -> bool:
        return self.mode == "production"

    @cached_property
    def reflects(self) -> bool:
        return not self.production if self.reflection is None else self.reflection
