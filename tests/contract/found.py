"""What the contracts are about, found by looking: services, their modules, errors, RPCs and events."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

import services
from atoll.common.v1.event_meta_pb2 import subject
from chassis.errors import DomainError
from chassis.service import Service

ROOT = Path(__file__).parents[2]
GEN = ROOT / "gen" / "atoll"
PACKAGES = sorted(path.parents[1].name for path in GEN.glob("*/v1/error_reason_pb2.py"))
"""Of the public API: `common`, and one for each service."""
SERVICES = sorted(each.name for each in pkgutil.iter_modules(services.__path__))


def service(name: str) -> Service:
    found: Service = importlib.import_module(f"services.{name}.__main__").SERVICE
    return found


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in each.name:
            yield importlib.import_module(each.name)


def errors_of(package: str) -> list[type[DomainError]]:
    """Every error class below `package`, however deep the class stands."""
    list(modules_of(importlib.import_module(package)))
    return [error for error in _subclasses(DomainError) if error.__module__.startswith(f"{package}.")]


def _subclasses(base: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def files() -> list[FileDescriptor]:
    """Every file of the public API."""
    names = sorted(path.relative_to(GEN.parent).with_suffix("") for path in GEN.glob("*/v1/*_pb2.py"))
    return [importlib.import_module(".".join(name.parts)).DESCRIPTOR for name in names]


def rpc_services() -> list[ServiceDescriptor]:
    return [each for file in files() for each in file.services_by_name.values()]


def rpcs() -> list[MethodDescriptor]:
    return [method for each in rpc_services() for method in each.methods]


def events() -> list[Descriptor]:
    """Every message that says what its subject is."""
    messages = [each for file in files() for each in file.message_types_by_name.values()]
    return [each for each in messages if each.GetOptions().Extensions[subject]]


def message_type(descriptor: Descriptor) -> Any:
    return GetMessageClass(descriptor)
