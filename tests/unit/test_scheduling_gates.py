"""What a gate does that is not passed."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.scheduling.domain.gates import (
    GateNotOfVisit,
    GateNotRecordedByHand,
    GateRecord,
    GatesNotPassed,
    check_recordable,
    let_through,
    observation_served,
    states_of,
)
from services.scheduling.domain.protocols import Gate, GateEffect, GateKind, GateStage, SegmentKind
from tests.support.scheduling import TEMPLATE, domain_template
from tests.support.service import NOW


def gate(kind: GateKind, effect: GateEffect, stage: GateStage = GateStage.CHECK_IN) -> Gate:
    return Gate(kind, stage, effect, ())


RIDE = gate(GateKind.RIDE_HOME, GateEffect.BLOCK)
FASTING = gate(GateKind.FASTING, GateEffect.ALLOW_WITH_REASON)
HISTORY = gate(GateKind.HISTORY_REVIEWED, GateEffect.WARN)
VITALS = gate(GateKind.VITALS, GateEffect.BLOCK, GateStage.DISCHARGE)
DAY = date(2027, 3, 2)
PASSED, FAILED = GateRecord(True, NOW, "ann"), GateRecord(False, NOW, "ann")


def faults(*gates: Gate, reason: str = "", **records: GateRecord) -> list[tuple[str, str]]:
    known = {GateKind[kind]: record for kind, record in records.items()}
    with pytest.raises(GatesNotPassed) as refused:
        let_through(states_of(gates, known, {}), GateStage.CHECK_IN, reason)
    return [(each.field, each.rule) for each in refused.value.violations]


def test_every_gate_that_keeps_a_visit_is_named() -> None:
    assert faults(RIDE, FASTING, HISTORY) == [("gates.RIDE_HOME", "BLOCKED"), ("gates.FASTING", "REASON_NEEDED")]
    assert faults(RIDE, FASTING, reason="Came early", RIDE_HOME=FAILED) == [("gates.RIDE_HOME", "BLOCKED")]
    assert faults(FASTING, reason=" ") == [("gates.FASTING", "REASON_NEEDED")]


def test_a_visit_goes_on_with_a_warning_or_for_a_reason_and_the_gates_are_named() -> None:
    states = states_of((RIDE, FASTING, HISTORY, VITALS), {GateKind.RIDE_HOME: PASSED}, {})
    assert [each.gate for each in let_through(states, GateStage.CHECK_IN, "Came early")] == [FASTING, HISTORY]


def test_a_gate_of_the_other_stage_is_not_looked_at() -> None:
    assert let_through(states_of((VITALS,), {}, {}), GateStage.CHECK_IN, "") == []


def test_gates_stand_before_the_visit_types_they_name_or_all() -> None:
    gates = [
        {"kind": "GATE_KIND_RIDE_HOME", "stage": "GATE_STAGE_CHECK_IN", "effect": "GATE_EFFECT_BLOCK"} | more
        for more in ({"visit_type_codes": ["treatment"]}, {"kind": "GATE_KIND_CONSENT"})
    ]
    template = domain_template({**TEMPLATE, "gates": gates})
    assert [each.kind for each in template.gates_of("treatment", DAY)] == [GateKind.RIDE_HOME, GateKind.CONSENT]
    assert [each.kind for each in template.gates_of("talk", DAY)] == [GateKind.CONSENT]


@pytest.mark.parametrize(
    ("days", "stands"),
    [
        ({}, True),
        ({"effective_date": DAY}, True),
        ({"effective_date": date(2027, 3, 3)}, False),
        ({"expire_date": DAY}, True),
        ({"expire_date": date(2027, 3, 1)}, False),
        ({"effective_date": date(2027, 1, 1), "expire_date": date(2027, 12, 31)}, True),
    ],
)
def test_a_gate_stands_before_visits_of_its_days(days: dict[str, Any], stands: bool) -> None:
    dated = replace(gate(GateKind.TELEMEDICINE, GateEffect.BLOCK), **days)
    template = replace(domain_template(), gates=(dated, FASTING))
    assert template.gates_of("talk", DAY) == ((dated, FASTING) if stands else (FASTING,))


@pytest.mark.parametrize(("minutes", "served"), [(29, False), (30, True), (31, True)])
def test_a_patient_is_watched_for_as_long_as_planned(minutes: int, served: bool) -> None:
    visit_type = domain_template().visit_type("treatment")
    spent = ((SegmentKind.ADMINISTRATION, 90), (SegmentKind.OBSERVATION, minutes))
    assert observation_served(visit_type, spent) is served


def test_what_the_system_knows_itself_and_what_a_visit_does_not_have_is_not_recorded() -> None:
    with pytest.raises(GateNotRecordedByHand):
        check_recordable([gate(GateKind.DEPOSIT_PAID, GateEffect.BLOCK)], GateKind.DEPOSIT_PAID)
    with pytest.raises(GateNotOfVisit):
        check_recordable([RIDE], GateKind.FASTING)
    check_recordable([RIDE], GateKind.RIDE_HOME)
