"""Which vital signs count for a gate of a visit, and when it follows them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduling.domain.gates import GateFollowsVitals, GateRecord, check_recordable, states_of
from services.scheduling.domain.protocols import Gate, GateEffect, GateKind, GateStage
from services.scheduling.domain.vitals import Found, Vitals, VitalSigns

DAY = date(2027, 3, 2)
ZONE = ZoneInfo("America/Denver")
VISIT = datetime(2027, 3, 2, 16, tzinfo=UTC)  # Nine o'clock in Denver.
MIDNIGHT = datetime(2027, 3, 2, 7, tzinfo=UTC)
HOUR, MINUTE, INSTANT = timedelta(hours=1), timedelta(minutes=1), timedelta(microseconds=1)
PRESSURE, HEART = "1", "2"
CALM, HIGH = {PRESSURE: True, HEART: True}, {PRESSURE: False, HEART: True}
CHECK_IN, DISCHARGE = GateStage.CHECK_IN, GateStage.DISCHARGE


def signs(at: datetime = VISIT, within: dict[str, bool] = CALM) -> VitalSigns:
    return VitalSigns(at, within)


def vitals(*told: VitalSigns, arrived_at: datetime | None = None, treated_at: datetime | None = None) -> Vitals:
    return Vitals(told, DAY, ZONE, arrived_at, treated_at)


def of_discharge(*told: VitalSigns) -> Found | None:
    return vitals(*told, arrived_at=VISIT - HOUR, treated_at=VISIT).found(DISCHARGE)


def gate(stage: GateStage) -> Gate:
    return Gate(GateKind.VITALS, stage, GateEffect.BLOCK, ())


def by_hand(at: datetime) -> dict[GateKind, GateRecord]:
    return {GateKind.VITALS: GateRecord(True, at, "ann")}


def test_the_last_that_were_taken_decide() -> None:
    earlier = VISIT - HOUR
    assert vitals(signs(earlier, HIGH), signs()).found(CHECK_IN) == Found(True, VISIT)
    assert vitals(signs(earlier), signs(within=HIGH)).found(CHECK_IN) == Found(False, VISIT)
    assert vitals().found(CHECK_IN) is None


def test_who_takes_one_sign_anew_says_nothing_of_the_others() -> None:
    earlier = VISIT - HOUR
    assert vitals(signs(earlier, HIGH), signs(within={HEART: True})).found(CHECK_IN) == Found(False, VISIT)
    assert vitals(signs(earlier, HIGH), signs(within={PRESSURE: True})).found(CHECK_IN) == Found(True, VISIT)


def test_at_check_in_those_of_the_visits_own_day_count() -> None:
    for at, counts in (
        (MIDNIGHT - INSTANT, False),
        (MIDNIGHT, True),
        (MIDNIGHT + 24 * HOUR - INSTANT, True),
        (MIDNIGHT + 24 * HOUR, False),
    ):
        assert (vitals(signs(at)).found(CHECK_IN) is not None) is counts, at


def test_at_check_in_what_was_taken_after_it_does_not_count() -> None:
    told = signs(VISIT), signs(VISIT + INSTANT, HIGH)
    assert vitals(*told, arrived_at=VISIT).found(CHECK_IN) == Found(True, VISIT)


def test_at_discharge_those_since_treatment_began_count() -> None:
    assert of_discharge(signs(VISIT - INSTANT)) is None
    assert of_discharge(signs(VISIT - INSTANT, HIGH), signs()) == Found(True, VISIT)
    assert vitals(signs(), arrived_at=VISIT).found(DISCHARGE) == Found(True, VISIT)
    assert vitals(signs(VISIT - INSTANT), arrived_at=VISIT).found(DISCHARGE) is None
    assert vitals(signs()).found(DISCHARGE) is None


def test_at_discharge_those_of_a_day_count_past_midnight_too() -> None:
    next_day = MIDNIGHT + 24 * HOUR + MINUTE
    assert of_discharge(signs(next_day)) == Found(True, next_day)
    assert of_discharge(signs(VISIT + 24 * HOUR)) is None


def test_what_was_recorded_by_hand_counts_where_nothing_was_told_and_at_discharge_since_then_only() -> None:
    def passed(stage: GateStage, seen: Vitals, recorded_at: datetime) -> tuple[bool, str]:
        [state] = states_of([gate(stage)], by_hand(recorded_at), {}, vitals=seen)
        return state.passed, state.record.actor if state.record else ""

    begun = vitals(arrived_at=VISIT - HOUR, treated_at=VISIT)
    assert passed(CHECK_IN, vitals(), VISIT) == (True, "ann")
    assert passed(CHECK_IN, vitals(signs(within=HIGH)), VISIT + HOUR) == (False, "patients")
    assert passed(CHECK_IN, begun, VISIT + HOUR) == (True, "ann")
    assert passed(DISCHARGE, begun, VISIT) == (True, "ann")
    assert passed(DISCHARGE, begun, VISIT - INSTANT) == (False, "")
    assert passed(DISCHARGE, vitals(), VISIT) == (False, "")
    assert passed(DISCHARGE, begun, VISIT + 100 * HOUR) == (True, "ann")


def recordable(seen: Vitals, *stages: GateStage) -> bool:
    try:
        check_recordable([gate(stage) for stage in stages], GateKind.VITALS, vitals=seen)
    except GateFollowsVitals:
        return False
    return True


@pytest.mark.parametrize("stages", [(CHECK_IN, DISCHARGE), (CHECK_IN,)])
def test_before_the_patient_arrives_it_is_recorded_by_hand_where_nothing_counts_at_check_in(
    stages: tuple[GateStage, ...],
) -> None:
    assert recordable(vitals(), *stages)
    assert recordable(vitals(signs(MIDNIGHT - INSTANT)), *stages)
    assert not recordable(vitals(signs()), *stages)


@pytest.mark.parametrize("stages", [(CHECK_IN, DISCHARGE), (DISCHARGE,)])
def test_after_the_patient_arrived_it_is_recorded_by_hand_where_nothing_counts_at_discharge(
    stages: tuple[GateStage, ...],
) -> None:
    before, after = signs(VISIT - INSTANT), signs(VISIT + INSTANT)
    assert recordable(vitals(before, arrived_at=VISIT), *stages)
    assert not recordable(vitals(before, after, arrived_at=VISIT), *stages)


def test_the_only_gate_is_the_one_to_record() -> None:
    assert recordable(vitals(signs()), DISCHARGE)
    assert not recordable(vitals(signs(), arrived_at=VISIT), CHECK_IN)
