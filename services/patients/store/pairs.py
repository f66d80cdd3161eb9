"""Writes to the worklist of duplicates that go along with changes of records: new pairs, and what merges do to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Integer, Text, Uuid, and_, any_, case, delete, func, literal, not_, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.sql import param, rows
from chassis.tables import Instant
from services.patients.domain.duplicates import Agreement, Evidence, Pair, PairState, Trait
from services.patients.tables.duplicates import duplicate_pair

CHAIN = param("chain_id", Uuid)
SCORE_UNIT = 10_000
_KEY = ["chain_id", "first_id", "second_id"]

_new = rows("new_pair", pair_first=Uuid, pair_second=Uuid, pair_score=Integer, pair_evidence=Text, pair_at=Instant)
_inserted = pg_insert(duplicate_pair).from_select(
    [*_KEY, "state", "score", "evidence", "scored_at"],
    select(
        CHAIN,
        _new.c.pair_first,
        _new.c.pair_second,
        literal(PairState.OPEN.value, Text),
        _new.c.pair_score,
        _new.c.pair_evidence,
        _new.c.pair_at,
    ),
)
NEW_PAIRS = _inserted.on_conflict_do_update(
    index_elements=_KEY,
    set_={name: _inserted.excluded[name] for name in ("score", "evidence", "scored_at")},
    where=duplicate_pair.c.state == PairState.OPEN.value,
).cte("new_pairs")
"""A pair that is open is scored anew; `pair_columns` are its parameters."""


def forgotten_pairs(patient_id: Any, anew: Any) -> Any:
    """Of a record that changed in what is compared: what was said of it before, dismissals too, no longer holds."""
    of_it = or_(duplicate_pair.c.first_id == patient_id, duplicate_pair.c.second_id == patient_id)
    return delete(duplicate_pair).where(
        duplicate_pair.c.chain_id == CHAIN, of_it, duplicate_pair.c.state != PairState.MERGED.value, anew
    )


_FIRST, _SECOND = duplicate_pair.c.first_id, duplicate_pair.c.second_id
_theirs = param("their_ids", ARRAY(Uuid))
_survivor = param("standing_id", Uuid)
_parted = (any_(_theirs) == _FIRST) != (any_(_theirs) == _SECOND)
_of_theirs = and_(duplicate_pair.c.chain_id == CHAIN, or_(any_(_theirs) == _FIRST, any_(_theirs) == _SECOND))
_persons = param("person_ids", ARRAY(Uuid))
MERGED_PAIRS = (
    update(duplicate_pair)
    .where(duplicate_pair.c.chain_id == CHAIN, any_(_persons) == _FIRST, any_(_persons) == _SECOND)
    .values(state=PairState.MERGED.value)
    .cte("merged_pairs")
)
"""Of records that are one person's now."""
_other = case((any_(_theirs) == _FIRST, _SECOND), else_=_FIRST)
_told = ("score", "evidence", "state", "scored_at", "dismiss_reason", "dismissed_by", "dismissed_at", "dismissal_id")
_low, _high = func.least(_other, _survivor).label("low"), func.greatest(_other, _survivor).label("high")
_carried = (
    select(CHAIN, _low, _high, *(duplicate_pair.c[name] for name in _told))
    .where(_of_theirs, _parted, not_(_other == any_(_persons)))
    .ext(distinct_on(_low, _high))
    .order_by(_low, _high, duplicate_pair.c.score.desc())
)
CARRIED_PAIRS = (
    pg_insert(duplicate_pair).from_select([*_KEY, *_told], _carried).on_conflict_do_nothing().cte("carried_pairs")
)
"""What is said of a record that is merged holds of the one that stands for it, unless of that something is said."""
PARTED_PAIRS = (
    update(duplicate_pair)
    .where(_of_theirs, _parted, duplicate_pair.c.state == PairState.MERGED.value)
    .values(
        state=case((duplicate_pair.c.dismissed_at.is_not(None), PairState.DISMISSED.value), else_=PairState.OPEN.value)
    )
    .cte("parted_pairs")
)
"""Of records that are two persons' again."""


def pair_columns(pairs: Sequence[Pair], at: datetime) -> dict[str, list[Any]]:
    """In one order, so that of two calls that write the same pairs one waits for the other, and none for both."""
    ordered = sorted(pairs, key=lambda each: (each.first_id, each.second_id))
    return {
        "pair_first": [each.first_id for each in ordered],
        "pair_second": [each.second_id for each in ordered],
        "pair_score": [round(each.likeness.score * SCORE_UNIT) for each in ordered],
        "pair_evidence": [_written(each.likeness.evidence) for each in ordered],
        "pair_at": [at] * len(ordered),
    }


def _written(evidence: Sequence[Evidence]) -> str:
    return " ".join(f"{each.trait}:{each.agreement}" for each in evidence)


def read_evidence(text: str) -> tuple[Evidence, ...]:
    parts = (each.split(":") for each in text.split())
    return tuple(Evidence(Trait(trait), Agreement(agreement)) for trait, agreement in parts)
