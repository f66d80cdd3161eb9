"""The chain's words for what resources can do and protocols ask for."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.narrowing import PATH
from services.scheduling.domain.protocols import Template
from services.scheduling.domain.resources import Resource


class CapabilityUnknown(DomainError):
    kind, reason, message = Kind.INVALID, "CAPABILITY_UNKNOWN", "a capability that the chain has not registered"


class CapabilityExists(DomainError):
    kind, reason, message = Kind.CONFLICT, "CAPABILITY_EXISTS", "the capability is registered already"


@dataclass(frozen=True, slots=True)
class Capability:
    code: str
    display_name: str


Named = tuple[str, str]
"""A field of a request, and the code that it names."""


def named_by_resource(resource: Resource, path: str = "") -> Iterator[Named]:
    for code in sorted(resource.capabilities):
        yield f"{path}capabilities", code


def named_by_template(template: Template, path: str = "template") -> Iterator[Named]:
    for n, visit_type in enumerate(template.visit_types):
        for k, requirement in enumerate(visit_type.requirements):
            if requirement.capability:
                yield f"{path}.visit_types[{n}].requirements[{k}].capability", requirement.capability


def named_beyond(base: Template, narrowed: Template) -> Iterator[Named]:
    """By a site's form of a version, which asks anyway for what the version asks for."""
    known = {code for _, code in named_by_template(base)}
    return (named for named in named_by_template(narrowed, PATH) if named[1] not in known)


def check_known(named: Iterable[Named], unknown: Collection[str]) -> None:
    if faults := list(unknown_faults(named, unknown)):
        raise CapabilityUnknown(*faults)


def unknown_faults(named: Iterable[Named], unknown: Collection[str]) -> Iterator[Violation]:
    for field, code in named:
        if code in unknown:
            yield Violation(field, "CAPABILITY_UNKNOWN", f"{code} is not registered")
