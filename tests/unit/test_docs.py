"""The pages in docs/: each snippet is run, or says why not; each link leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import chassis.metrics  # noqa: F401  # It registers them.
from chassis.settings import FromEnvironment
from tests.contract.found import SERVICES, service
from tests.support.snippets import DOCS, PAGES, RUN, blocks, is_as_shown
from tools.gen import ROOT

SHOWN_ONLY = {"", "mermaid", "json", "text"}
LINKING = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "clients" / "python" / "README.md"]


def test_every_snippet_is_run_or_says_why_it_is_not() -> None:
    idle = [
        f"{block.page}:{block.line}"
        for page in DOCS.glob("*.md")
        for block in blocks(page)
        if block.run and block.language not in SHOWN_ONLY and not (page.stem in PAGES and block.language in RUN)
    ]
    assert idle == []


def test_what_is_printed_belongs_to_a_snippet_that_is_run() -> None:
    for page in PAGES:
        for block in blocks(DOCS / f"{page}.md"):
            assert block.language != "text", f"{block.page}:{block.line}"
            assert block.prints is None or block.run, f"{block.page}:{block.line}"


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []


def settings_below(parent: type[FromEnvironment]) -> Iterator[type[FromEnvironment]]:
    for each in parent.__subclasses__():
        yield each
        yield from settings_below(each)


def test_every_setting_of_a_service_stands_on_a_page() -> None:
    for name in SERVICES:
        service(name)  # Its parts bring settings of their own.
    told = "".join(page.read_text() for page in DOCS.glob("*.md"))
    ours = {
        name for each in settings_below(FromEnvironment) if "services" in each.__module__ for name in each.model_fields
    }
    assert {"pool_size", "processors"} <= ours
    assert [name for name in sorted(ours) if not re.search(rf"\b(ATOLL_)?{name.upper()}\b", told)] == []


def test_every_metric_is_among_the_alerts() -> None:
    told = (DOCS / "operations.md").read_text()
    ours = [each.name for each in REGISTRY.collect() if each.name.startswith("atoll_")]
    assert len(ours) > 3
    assert [name for name in ours if name not in told] == []


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("a\nb\n", "a\nb", True),
        ("a\nb", "a", False),
        ("course_01h  \n", "course_…", True),
        ("course_01h\nmore", "course_…", False),
        ("a\nb\nc\nd", "a\n…\nd", True),
        ("a.c", "abc", False),
        ("{'x': [1]}", "{'x': [1]}", True),
    ],
)
def test_an_ellipsis_stands_for_what_is_not_the_same_twice(printed: str, shown: str, same: bool) -> None:
    assert is_as_shown(printed, shown) is same
