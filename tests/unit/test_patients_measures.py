"""Scores, limits and trends, by the published tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.patients.domain.measures import (
    Band,
    Content,
    Instrument,
    Measure,
    MeasureIncomplete,
    MeasureInFuture,
    MeasureRetracted,
    Questionnaire,
    SafetyFlag,
    SafetyFlagAcknowledged,
    SafetyFlagKind,
    Severity,
    SideEffect,
    SideEffects,
    VitalSigns,
    band_of,
    trend,
)

NOW = datetime(2027, 3, 1, 16, tzinfo=UTC)
ID = UUID(int=1)
WELL = Questionnaire(Instrument.PHQ_9, (0,) * 9)


def measure(content: Content = WELL, at: datetime = NOW) -> Measure:
    return Measure(ID, ID, ID, None, None, at, content, "dr", NOW)


def scored(instrument: Instrument, total: int, days: int = 0) -> Measure:
    """The first items carry the total; item 9 of the PHQ-9 only when nothing else can."""
    count, most = {Instrument.PHQ_9: (9, 3), Instrument.GAD_7: (7, 3), Instrument.PCL_5: (20, 4)}[instrument]
    items = tuple(max(0, min(most, total - most * n)) for n in range(count))
    return measure(Questionnaire(instrument, items), NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("instrument", "edges"),
    [
        (
            Instrument.PHQ_9,
            {
                0: Band.MINIMAL,
                4: Band.MINIMAL,
                5: Band.MILD,
                9: Band.MILD,
                10: Band.MODERATE,
                14: Band.MODERATE,
                15: Band.MODERATELY_SEVERE,
                19: Band.MODERATELY_SEVERE,
                20: Band.SEVERE,
                27: Band.SEVERE,
            },
        ),
        (
            Instrument.GAD_7,
            {
                0: Band.MINIMAL,
                4: Band.MINIMAL,
                5: Band.MILD,
                9: Band.MILD,
                10: Band.MODERATE,
                14: Band.MODERATE,
                15: Band.SEVERE,
                21: Band.SEVERE,
            },
        ),
        (
            Instrument.PCL_5,
            {0: Band.BELOW_CUT_POINT, 30: Band.BELOW_CUT_POINT, 31: Band.AT_CUT_POINT, 80: Band.AT_CUT_POINT},
        ),
    ],
)
def test_the_bands_are_those_of_the_published_tables(instrument: Instrument, edges: dict[int, Band]) -> None:
    assert {total: band_of(instrument, total) for total in edges} == edges


@pytest.mark.parametrize(
    ("instrument", "items", "faults"),
    [
        (Instrument.PHQ_9, (0,) * 8, [("questionnaire.item_scores", "ITEM_COUNT")]),
        (Instrument.GAD_7, (0,) * 8, [("questionnaire.item_scores", "ITEM_COUNT")]),
        (Instrument.GAD_7, (3, 3, 3, 4, 3, 3, -1), [(f"questionnaire.item_scores[{n}]", "ITEM_RANGE") for n in (3, 6)]),
        (Instrument.PCL_5, (4,) * 19 + (5,), [("questionnaire.item_scores[19]", "ITEM_RANGE")]),
    ],
)
def test_an_instrument_has_its_items_each_in_its_range(
    instrument: Instrument, items: tuple[int, ...], faults: list[tuple[str, str]]
) -> None:
    with pytest.raises(MeasureIncomplete) as refused:
        measure(Questionnaire(instrument, items)).check()
    assert [(each.field, each.rule) for each in refused.value.violations] == faults


def test_item_nine_of_the_phq_9_asks_for_a_look_and_no_other_item_does() -> None:
    for n in range(9):
        items = tuple(int(n == other) for other in range(9))
        flag = measure(Questionnaire(Instrument.PHQ_9, items)).safety_flag
        assert flag == (SafetyFlagKind.SELF_HARM if n == 8 else None), n
    assert measure(Questionnaire(Instrument.PCL_5, (4,) * 20)).safety_flag is None
    assert measure(SideEffects((SideEffect("nausea", Severity.SEVERE),))).safety_flag is None


@pytest.mark.parametrize(
    ("name", "within", "beyond"),
    [
        ("systolic_mm_hg", (90, 180), (89, 181)),
        ("heart_rate_per_minute", (50, 120), (49, 121)),
        ("oxygen_saturation_percent", (92, 100), (91, 1)),
    ],
)
def test_vital_signs_beyond_their_limits_ask_for_a_look(
    name: str, within: tuple[int, ...], beyond: tuple[int, ...]
) -> None:
    calm = VitalSigns(120, 80, 70, 98)
    for value in (*within, 0):
        assert measure(replace(calm, **{name: value})).safety_flag is None, value
    for value in beyond:
        assert measure(replace(calm, **{name: value})).safety_flag is SafetyFlagKind.VITAL_SIGNS, value


def test_nothing_is_measured_in_the_future() -> None:
    measure(at=NOW).check()
    with pytest.raises(MeasureInFuture):
        measure(at=NOW + timedelta(microseconds=1)).check()


def test_a_trend_tells_response_and_remission_against_the_first() -> None:
    points = trend([scored(Instrument.PHQ_9, total) for total in (18, 10, 9, 5, 4, 20)])
    assert [(each.total, each.change, each.response, each.remission) for each in points] == [
        (18, 0, False, False),
        (10, -8, False, False),
        (9, -9, True, False),
        (5, -13, True, False),
        (4, -14, True, True),
        (20, 2, False, False),
    ]


def test_who_began_with_nothing_cannot_respond() -> None:
    [first, second] = trend([scored(Instrument.GAD_7, 0), scored(Instrument.GAD_7, 0)])
    assert (second.response, second.remission, first.change) == (False, True, 0)


def test_five_points_down_are_a_response_by_the_pcl_5_and_none_is_a_remission() -> None:
    points = trend([scored(Instrument.PCL_5, total) for total in (50, 46, 45, 0)])
    assert [(each.response, each.remission) for each in points] == [
        (False, False), (False, False), (True, False), (True, False)
    ]  # fmt: skip


def test_a_measure_is_retracted_once_and_a_flag_acknowledged_once() -> None:
    retracted = measure().retracted("dr", NOW)
    assert (retracted.retracted_by, retracted.retracted_at) == ("dr", NOW)
    with pytest.raises(MeasureRetracted):
        retracted.retracted("other", NOW)
    flag = SafetyFlag(ID, SafetyFlagKind.SELF_HARM, ID, ID, ID, NOW).acknowledged("dr", NOW, "called")
    assert (flag.acknowledged_by, flag.note) == ("dr", "called")
    with pytest.raises(SafetyFlagAcknowledged):
        flag.acknowledged("other", NOW, "again")
