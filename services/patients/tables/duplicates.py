"""Duplicates: what they are found by, and the worklist of pairs.

Neither has a site: whoever registers a patient is told of a duplicate at any site of the chain.
"""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text

from chassis.tables import Instant, chain_table
from services.patients.domain.duplicates import PairState
from services.patients.tables.base import belongs_to, id_, metadata, one_of, sealed

# What two records of one person share and no other index knows: family name with year of birth, and identifiers whoever
# gave them out. Compared by equality, which row-level security lets reach the index. Of each record its own, merged or
# not: whom it stands for, a statement resolves.
match_key = chain_table(
    "match_key",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    id_("patient_id", key=True),
    belongs_to("patient", "patient_id"),
    Index("match_key_patient_idx", "chain_id", "patient_id"),
)

# `score` in ten-thousandths; `evidence` are codes, such as PHONE:EXACT, with spaces between them.
duplicate_pair = chain_table(
    "duplicate_pair",
    metadata,
    id_("first_id", key=True),
    id_("second_id", key=True),
    Column("score", Integer, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("scored_at", Instant, nullable=False),
    *sealed("dismiss_reason", by=("dismissal_id",), nullable=True),
    Column("dismissed_by", Text),
    Column("dismissed_at", Instant),
    id_("dismissal_id", nullable=True),  # Goes where the dismissal goes: to the pair of a surviving record, too.
    belongs_to("patient", "first_id"),
    belongs_to("patient", "second_id"),
    CheckConstraint("first_id < second_id", name="two"),
    CheckConstraint("score BETWEEN 0 AND 10000", name="score"),
    CheckConstraint(
        "num_nonnulls(dismiss_reason, dismissed_by, dismissed_at, dismissal_id) IN (0, 4) "
        "AND CASE state WHEN 'OPEN' THEN dismissed_at IS NULL WHEN 'DISMISSED' THEN dismissed_at IS NOT NULL "
        "ELSE true END",
        name="dismissed",
    ),
    one_of("state", PairState),
    Index("duplicate_pair_second_idx", "chain_id", "second_id"),
    Index("duplicate_pair_worklist_idx", "chain_id", "state", "score", "first_id", "second_id"),
)
