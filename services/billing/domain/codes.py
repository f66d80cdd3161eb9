"""Codes: what a payer calls a service. Effective-dated tables that a chain loads; which apply depends on the day."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceCode:
    """CPT or HCPCS. Its descriptor is not ours to ship."""

    code: str
    units: int
    modifiers: tuple[str, ...] = ()
