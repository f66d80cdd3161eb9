"""What the options of `atoll import fhir` mean, without anything outside the process."""

from pathlib import Path
from typing import Any, cast

import pytest

from atoll.patients.v1.patient_pb2 import Patient
from atoll.scheduling.v1.site_service_pb2 import ListSitesResponse, Site
from cli.client import Client
from cli.importing.batches import Assignment, ImportedPatient
from cli.importing.command import Rule, find_sites
from cli.importing.documents import documents, files_of
from cli.readings import Remark
from deploy.local.process import LocalError

ABQ, PHX = Site(id="site_1", code="abq"), Site(id="site_2", code="phx")


SITES = {"abq": ABQ, "site_1": ABQ, "phx": PHX, "site_2": PHX}


def assigned_by(rule: Rule, number: int, home_site: str = "") -> Assignment:
    assigned = rule.assignment(number, ImportedPatient("a", 1, Patient(), home_site), SITES)
    assert isinstance(assigned, Assignment)
    return assigned


class Sites(Client):
    """Answers ListSites, one site a page."""

    def __init__(self) -> None:
        """Without a channel."""

    async def call(self, stub_type: Any, method: str, request: Any) -> ListSitesResponse:
        assert method == "ListSites"
        if request.page_token:
            return ListSitesResponse(sites=[PHX])
        return ListSitesResponse(sites=[ABQ], next_page_token="more")


async def test_sites_are_found_by_code_or_id_on_whatever_page() -> None:
    found = await find_sites(Sites(), ["phx", "site_1"])
    assert found == {"abq": ABQ, "site_1": ABQ, "phx": PHX, "site_2": PHX}


async def test_a_site_that_the_chain_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(LocalError, match="no site 'sea'; by code there are: abq, phx"):
        await find_sites(Sites(), ["abq", "sea"])


def test_patients_go_round_the_sites() -> None:
    rule = Rule(["abq", "phx"], "America/Denver", "")
    assigned = [assigned_by(rule, number) for number in range(3)]
    assert [each.home_site_id for each in assigned] == ["site_1", "site_2", "site_1"]
    assert {(each.time_zone, each.email) for each in assigned} == {("America/Denver", "")}


def test_an_email_domain_gives_each_patient_an_address_there() -> None:
    rule = Rule(["abq"], "", "example.org")
    emails = [assigned_by(rule, number).email for number in range(2)]
    assert emails == ["patient-000000@example.org", "patient-000001@example.org"]


def test_a_row_that_names_its_site_is_given_that_one_and_no_unknown_one() -> None:
    rule = Rule(["abq"], "", "")
    assert assigned_by(rule, 0, home_site="phx").home_site_id == "site_2"
    told = rule.assignment(0, ImportedPatient("a.csv", 2, Patient(), "Main St"), SITES)
    assert told == Remark("home_site", "HOME_SITE_UNKNOWN", "is no site of the chain")


def test_a_token_that_was_given_is_the_one_that_is_sent() -> None:
    assert Client(cast(Any, None), lambda: "abc")._metadata() == (("authorization", "Bearer abc"),)


def test_a_folder_gives_its_files_of_fhir_and_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    names = ("b.ndjson", "a.json", "notes.txt", "inner/c.jsonl", "bundle")
    (tmp_path / "inner").mkdir()
    for name in names:
        (tmp_path / name).write_text("{}")
    assert [str(path.relative_to(tmp_path)) for path in files_of([tmp_path / "bundle", tmp_path])] == [
        "bundle", "a.json", "b.ndjson", "inner/c.jsonl",
    ]  # fmt: skip


def test_lines_are_numbered_as_an_editor_does_and_empty_ones_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"1\n\n \r\n2\r\n3")
    found = [(each.row, each.content.strip()) for each in documents(tmp_path / "a.ndjson")]
    assert found == [(1, b"1"), (4, b"2"), (5, b"3")]
