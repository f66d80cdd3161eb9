"""Protocols as files: the library of published schedules, and what is refused before anything is sent."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from cli.protocols import library, read
from cli.sample.chain import protocol_files
from deploy.local.process import LocalError
from services.scheduling.domain.protocols import Template
from services.scheduling.rpc.protocols import template_from_wire

FILES = {**{name: read(name) for name in library()}, **protocol_files()}


def template(name: str) -> Template:
    return template_from_wire(ParseDict(FILES[name]["template"], ProtocolTemplate()))


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_a_template_without_faults_named_by_its_code(name: str) -> None:
    assert template(name).faults() == []
    assert FILES[name]["code"] == name


def test_published_schedules_have_their_published_figures() -> None:
    six = template("iv_six")
    induction = six.phase("induction")
    assert (induction.visits_default, induction.window_days) == (6, 21)
    assert six.visit_type("infusion").administration_minutes == 40
    boosters = template("iv_six_boosters")
    assert (boosters.phase("boosters").gap_days_min, boosters.phase("boosters").gap_days_max) == (14, 42)
    assert [each.anchor.months for each in boosters.phases if each.anchor] == [1, 3, 6]
    pain = template("iv_pain_five")
    induction = pain.phase("induction")
    assert (induction.visits_min, induction.visits_default, induction.window_days) == (3, 5, 5)
    assert pain.visit_type("infusion").administration_minutes == 240
    spravato = template("spravato")
    assert [(each.code, each.visits_default, each.gap_days_max) for each in spravato.phases[1:]] == [
        ("induction", 8, 5),
        ("optimisation", 4, 8),
        ("maintenance", 6, 16),
    ]
    assert spravato.visit_type("spravato").segments[2].minutes == 120
    assert template("iv_two_weeks_apart").phase("induction").gap_days_preferred == 14


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no protocol"),
        ("[]", "is no protocol"),
        ('{"code": "a", "displayName": "A"}', "lacks 'template'"),
        ('{"code": "a", "displayName": "A", "template": {"drugs": []}}', "is no protocol"),
    ],
)
def test_a_file_that_is_no_protocol_is_refused_in_a_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(LocalError) as refused:
        read(str(path))
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_refused_with_what_the_library_has() -> None:
    with pytest.raises(LocalError) as refused:
        read("seven_infusions")
    assert "iv_six, iv_six_boosters" in str(refused.value)


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(FILES["p4"] | {"code": "mine"}))
    assert read(str(path))["code"] == "mine"
