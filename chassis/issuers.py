"""Whose tokens are trusted, and where in them stands what: settings of a deployment, and pure reading of claims.

An issuer that knows Atoll's own words needs no mapping. Any other says by `claims` where the chain, the groups and the
patient stand, and by `groups` what each of its groups may do. See docs/authentication.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from atoll.common.v1.access_pb2 import Role
from chassis.call import Sites
from chassis.ids import BadId, from_wire

EVERY = "*"
SERVICE = "ROLE_SERVICE"
OWN_TYPE = "at+jwt"
GRANTED = frozenset(name for name in Role.keys() if name not in ("ROLE_UNSPECIFIED", SERVICE))  # noqa: SIM118
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Path: TypeAlias = str | tuple[str, ...]
"""Name of a claim, whatever signs it holds; or the names on the way to one: ["realm_access", "roles"]."""


class WrongClaims(Exception):
    """What the token says is nothing that may be said."""


class Group(BaseModel):
    """What an issuer's group may do in Atoll."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    sites: tuple[str, ...] | None = None
    """Site ids, or `*`. None: those of the claim `sites`, or every site where no such claim is named."""

    @field_validator("role")
    @classmethod
    def _is_a_role(cls, value: str) -> str:
        name = f"ROLE_{value.upper().removeprefix('ROLE_')}"
        if name not in GRANTED:
            raise ValueError(f"{value!r} is no role that may be given")
        return name

    @field_validator("sites")
    @classmethod
    def _are_sites(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else _checked(value)


class Claims(BaseModel):
    """Where in a token stands what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Path = "sub"
    chain: Path = "chain"
    grants: Path = "grants"
    """Roles with their sites, as Atoll writes them. Not read where `groups` is named."""
    groups: Path | None = None
    """A list of names, or names with spaces between them. What `groups` does not name counts for nothing."""
    sites: Path | None = None
    """A list of site ids or of names that the issuer's sites name; or `*`. A token without it is of no site."""
    patient: Path = "patient"


class TrustedIssuer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    """The `iss` that its tokens have. Its keys are found by discovery from it, over https."""
    jwks: str | None = None
    """Where its keys are: an https URL, or a file. None: where its discovery document says."""
    audience: str = "atoll"
    types: tuple[str, ...] = Field(default=(OWN_TYPE,), min_length=1)
    """The header `typ` of its access tokens. With `JWT`, identity tokens are told apart by what they say."""
    claims: Claims = Claims()
    groups: Mapping[str, Group] = {}
    sites: Mapping[str, str] = {}
    """Site id by the issuer's name of the site."""
    chain_id: str | None = None
    """All of its tokens are of this chain, and none is of a service."""

    @model_validator(mode="after")
    def _finds_its_keys(self) -> Self:
        if self.jwks is None and not self.issuer.startswith("https://"):
            raise ValueError(f"{self.issuer!r} is no https URL, so its keys cannot be discovered: name its jwks")
        if self.jwks is not None and "://" in self.jwks and not self.jwks.startswith("https://"):
            raise ValueError(f"keys are read from a file or over https, not from {self.jwks!r}")
        if bool(self.groups) != (self.claims.groups is not None):
            raise ValueError(
                "claims.groups says where the groups stand, and groups what they may do: one needs the other"
            )
        _checked(self.sites.values())
        return self

    @field_validator("chain_id")
    @classmethod
    def _is_a_chain(cls, value: str | None) -> str | None:
        return None if value is None else _checked([value], "chain")[0]

    @property
    def is_of_this_machine(self) -> bool:
        """One for development."""
        host = urlsplit(self.issuer).hostname or ""
        return host in LOOPBACK or host.endswith(".test")

    def read(self, claims: Mapping[str, Any]) -> "Said":
        """WrongClaims, or BadId, where it cannot be read."""
        subject, chain = _at(claims, self.claims.subject), self.chain_id or _at(claims, self.claims.chain)
        patient = _at(claims, self.claims.patient)
        grants = self._grants(claims)
        is_service = chain == EVERY
        if is_service and grants.keys() != {SERVICE}:
            raise WrongClaims("services alone are of every chain")
        if self.chain_id and SERVICE in grants:
            raise WrongClaims("an issuer of one chain has no services")
        return Said(
            subject=subject,
            chain_id=None if is_service else from_wire("chain", _text(chain)),
            grants=grants,
            patient_id=None if patient is None else from_wire("patient", _text(patient)),
        )

    def _grants(self, claims: Mapping[str, Any]) -> dict[str, Sites]:
        if self.claims.groups is None:
            found = _at(claims, self.claims.grants)
            if not isinstance(found, Mapping):
                raise WrongClaims("no grants")
            return {str(role): _sites(sites) for role, sites in found.items()}
        everywhere = self._sites_of(claims)
        granted: dict[str, Sites] = {}
        for name in _names(_at(claims, self.claims.groups)):
            if group := self.groups.get(name):
                sites = everywhere if group.sites is None else _sites(group.sites)
                before = granted.get(group.role, frozenset())
                granted[group.role] = None if sites is None or before is None else sites | before
        return granted

    def _sites_of(self, claims: Mapping[str, Any]) -> Sites:
        if self.claims.sites is None:
            return None
        return _sites(self.sites.get(name, name) for name in _names(_at(claims, self.claims.sites)))


@dataclass(frozen=True, slots=True)
class Said:
    """What a token says of its caller."""

    subject: Any
    chain_id: UUID | None
    grants: Mapping[str, Sites]
    patient_id: UUID | None


def _at(claims: Mapping[str, Any], path: Path) -> Any:
    """None where there is nothing."""
    found: Any = claims
    for name in (path,) if isinstance(path, str) else path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _names(found: Any) -> list[str]:
    if found is None:
        return []
    if isinstance(found, str):
        return found.split()
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return found
    raise WrongClaims("neither a list of names nor a text")


def _sites(wire: Iterable[str]) -> Sites:
    if isinstance(wire, str):
        raise WrongClaims("sites are a list")
    named = list(wire)
    return None if EVERY in named else frozenset(from_wire("site", _text(site)) for site in named)


def _checked(ids: Iterable[str], kind: str = "site") -> tuple[str, ...]:
    """As settings have them: a mistake among them is told as one."""
    named = tuple(ids)
    for id in named:
        try:
            if kind != "site" or id != EVERY:
                from_wire(kind, id)
        except BadId:
            raise ValueError(f"{id!r} is no id of a {kind}") from None
    return named


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise BadId()
    return found
