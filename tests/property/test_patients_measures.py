"""Scores add up, whatever is answered."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.patients.domain.measures import SCALES, Band, Instrument, Measure, Questionnaire, band_of, trend

NOW = datetime(2027, 3, 1, tzinfo=UTC)
ID = UUID(int=1)
PUBLISHED = {
    Instrument.PHQ_9: [*5 * [Band.MINIMAL], *5 * [Band.MILD], *5 * [Band.MODERATE], *5 * [Band.MODERATELY_SEVERE]]
    + 8 * [Band.SEVERE],
    Instrument.GAD_7: [*5 * [Band.MINIMAL], *5 * [Band.MILD], *5 * [Band.MODERATE], *7 * [Band.SEVERE]],
    Instrument.PCL_5: [*31 * [Band.BELOW_CUT_POINT], *50 * [Band.AT_CUT_POINT]],
}
"""The band of each total, written out."""


@st.composite
def questionnaires(draw: st.DrawFn, instrument: Instrument | None = None) -> Questionnaire:
    chosen = instrument or draw(st.sampled_from(list(SCALES)))
    scale = SCALES[chosen]
    items = draw(st.lists(st.integers(0, scale.item_max), min_size=scale.items, max_size=scale.items))
    return Questionnaire(chosen, tuple(items))


def taken(content: Questionnaire) -> Measure:
    return Measure(ID, ID, ID, ID, None, NOW, content, "dr", NOW)


@given(questionnaires())
def test_every_answer_has_the_total_and_the_band_of_the_published_table(answered: Questionnaire) -> None:
    taken(answered).check()
    assert band_of(answered.instrument, answered.total) is PUBLISHED[answered.instrument][answered.total]


def test_the_published_tables_reach_from_the_least_to_the_highest_total() -> None:
    assert {each: len(bands) for each, bands in PUBLISHED.items()} == {
        each: scale.items * scale.item_max + 1 for each, scale in SCALES.items()
    }


@given(questionnaires(), st.data())
def test_a_worse_answer_to_one_item_never_lowers_the_total_or_the_band(
    answered: Questionnaire, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(answered.item_scores) - 1))
    most = SCALES[answered.instrument].item_max
    worse = data.draw(st.integers(answered.item_scores[n], most))
    items = (*answered.item_scores[:n], worse, *answered.item_scores[n + 1 :])
    total = Questionnaire(answered.instrument, items).total
    assert total - answered.total == worse - answered.item_scores[n]
    bands = PUBLISHED[answered.instrument]
    assert bands.index(bands[total]) >= bands.index(bands[answered.total])


@given(
    st.sampled_from([Instrument.PHQ_9, Instrument.GAD_7]).flatmap(
        lambda each: st.lists(questionnaires(each), min_size=1)
    )
)
def test_a_trend_is_each_total_against_the_first(course: list[Questionnaire]) -> None:
    first = sum(course[0].item_scores)
    for point, answered in zip(trend([taken(each) for each in course]), course, strict=True):
        total = sum(answered.item_scores)
        assert (point.total, point.change) == (total, total - first)
        assert point.response == (first != 0 and total <= first / 2)
        assert point.remission == (total < 5)
