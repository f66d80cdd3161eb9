"""What a service can answer is what its protos promise."""

import importlib

import pytest

from chassis.auth import AccessDenied
from chassis.errors import BadRequest, DomainError, Kind, NotYetKnown, TryAgain, Violation
from chassis.ids import new_id
from chassis.status import CODES, status_of
from tests.contract.found import PACKAGES, SERVICES, errors_of


def promised(package: str) -> set[str]:
    """Without the prefix, as ErrorInfo carries them."""
    proto = importlib.import_module(f"atoll.{package}.v1.error_reason_pb2").DESCRIPTOR
    values = proto.enum_types_by_name["ErrorReason"].values
    return {value.name.removeprefix("ERROR_REASON_") for value in values} - {"UNSPECIFIED"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reasons_a_package_can_answer_are_those_of_its_enum(package: str) -> None:
    errors = errors_of("chassis" if package == "common" else f"services.{package}")
    reasons = [error.reason for error in errors if "reason" in vars(error)]
    assert sorted(reasons) == sorted(promised(package))


def test_no_service_gives_another_meaning_to_a_reason_that_all_share() -> None:
    for package in set(PACKAGES) - {"common"}:
        assert promised(package) & promised("common") == set(), package


def test_every_kind_of_error_has_a_code() -> None:
    assert set(CODES) == set(Kind)


@pytest.mark.parametrize("package", ["chassis", *(f"services.{name}" for name in SERVICES)])
def test_every_error_has_a_constant_message_and_a_kind(package: str) -> None:
    for error in errors_of(package):
        assert isinstance(error.kind, Kind), error
        assert error.message, error
        assert "{" not in error.message, error


def details(error: DomainError) -> list[str]:
    return [detail.type_url.rpartition(".")[2] for detail in status_of(error).details]


def test_a_status_carries_what_helps_the_caller_of_its_kind() -> None:
    at_fault = Violation("title", "rule", "why")
    assert details(AccessDenied(site_id="x")) == ["ErrorInfo"]
    assert details(BadRequest(at_fault)) == ["ErrorInfo", "BadRequest"]
    assert details(TryAgain()) == ["ErrorInfo", "RetryInfo"]
    assert details(NotYetKnown("course", new_id())) == ["ErrorInfo", "RetryInfo"]
