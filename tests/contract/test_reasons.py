"""What a service can answer is what its protos promise."""

import ast
import importlib
import re
from collections.abc import Iterator

import pytest

from chassis.auth import AccessDenied
from chassis.errors import BadRequest, DomainError, Kind, NotYetKnown, TryAgain, Violation
from chassis.ids import new_id
from chassis.status import CODES, status_of
from tests.contract.found import PACKAGES, ROOT, SERVICES, errors_of, rpcs

RULE = re.compile(r"[A-Z][A-Z0-9_]{2,}")


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


def told(package: str) -> set[str]:
    """Whatever a comment of its protos names."""
    protos = (ROOT / "protos" / "atoll" / package / "v1").glob("*.proto")
    lines = (line.strip() for proto in protos for line in proto.read_text().splitlines())
    return {name for line in lines if line.startswith("//") for name in RULE.findall(line)}


def rules(package: str) -> Iterator[str]:
    """Those of faults that are made with a rule by its name, by themselves or by a function that makes nothing else."""
    for path in sorted((ROOT / "services" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"Violation": 1, "_fault": 0, "refuse": 0}.get(node.func.id, len(node.args))
                names = [each.value for each in node.args[place:][:1] if isinstance(each, ast.Constant)]
                yield from (str(name) for name in names if RULE.fullmatch(str(name)))


@pytest.mark.parametrize("package", SERVICES)
def test_each_rule_that_a_refusal_tells_is_told_in_the_protos_of_its_package(package: str) -> None:
    """A front end says in its own words which rule is broken: it has to know which there are."""
    found = set(rules(package))
    assert sorted(found - told(package) - promised(package)) == []
    assert len(found) > 3, "the search finds nothing any more"


def said_of_rpcs() -> Iterator[tuple[str, str]]:
    """The name of each RPC, and the comment above it."""
    for proto in sorted((ROOT / "protos" / "atoll").glob("*/v1/*_service.proto")):
        said = list[str]()
        for line in map(str.strip, proto.read_text().splitlines()):
            if name := re.match(r"rpc (\w+)\(", line):
                yield f"{proto.parts[-3]}.{name[1]}", " ".join(said)
            said = [*said, line] if line.startswith("//") else []


def test_every_list_in_pages_says_that_it_refuses_a_token_of_another() -> None:
    paged = {
        f"{method.full_name.split('.')[1]}.{method.name}": "page_token" in method.input_type.fields_by_name
        for method in rpcs()
    }
    assert {name: "BAD_PAGE_TOKEN" in said for name, said in said_of_rpcs()} == paged


def test_whoever_has_the_reasons_of_another_call_says_so_in_words_that_are_read() -> None:
    """`reasons of CreatePackage`, or each by its name: the OpenAPI document has no other from the comment."""
    for name, said in said_of_rpcs():
        assert not re.search(rf"({'|'.join(code.name for code in CODES.values())}): as (of )?[A-Z][a-z]", said), name


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
