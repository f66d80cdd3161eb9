"""What others found of those who broke the glass. The breaking itself stands in `records`."""

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Text

from chassis.tables import Instant, chain_table
from services.patients.domain.break_glass import Finding
from services.patients.tables.base import id_, metadata, one_of, sealed

glass_review = chain_table(
    "glass_review",
    metadata,
    id_("glass_break_id", key=True),
    Column("broken_by", Text, nullable=False),
    Column("finding", Text, nullable=False),
    *sealed("note", by=("glass_break_id",)),
    Column("reviewed_by", Text, nullable=False),
    Column("reviewed_at", Instant, nullable=False),
    ForeignKeyConstraint(
        ["chain_id", "glass_break_id", "broken_by"],
        ["break_glass.chain_id", "break_glass.id", "break_glass.actor"],
    ),
    CheckConstraint("reviewed_by <> broken_by", name="another"),
    one_of("finding", Finding),
    append_only=True,
)
