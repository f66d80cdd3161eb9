"""Requests that keep their fields' rules, made from the descriptors alone: a new RPC is covered by itself."""

from itertools import combinations
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator

from tests.support.canaries import Canaries

TURNS = range(6)
LEFT_OUT_MAX = 2
_validator = Validator()


def valid(rpc: MethodDescriptor, canaries: Canaries, keep: frozenset[str] = frozenset()) -> Any | None:
    """None if leaving out what breaks a rule, and a field or two more, does not do. The fields in `keep` stay."""
    for turn in TURNS:
        request: Any = canaries.fill(GetMessageClass(rpc.input_type)(), turn)
        if not keep <= {each.name for each, _ in request.ListFields()}:
            continue  # Of a oneof the turn chose another.
        for name in _broken(request) - keep:
            request.ClearField(name)
        loose = [each.name for each, _ in request.ListFields() if each.name not in keep]
        for count in range(LEFT_OUT_MAX + 1):
            for left_out in combinations(loose, count):
                if is_valid(attempt := _without(request, left_out)):
                    return attempt
    return None


def is_valid(request: Any) -> bool:
    return not _validator.collect_violations(request)


def _broken(request: Any) -> set[str]:
    """The request's own fields in which something breaks a rule."""
    paths = (violation.proto.field for violation in _validator.collect_violations(request))
    return {path.elements[0].field_name for path in paths if path}


def _without(request: Any, names: tuple[str, ...]) -> Any:
    copy = type(request)()
    copy.CopyFrom(request)
    for name in names:
        copy.ClearField(name)
    return copy
