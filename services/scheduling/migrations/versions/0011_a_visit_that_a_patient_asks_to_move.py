"""A visit that a patient asks to move"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index(
        "task_to_move",
        "task",
        ["chain_id", "visit_ids"],
        unique=True,
        postgresql_where=sa.text("kind = 'TASK_KIND_VISIT_TO_MOVE' AND state = 'TASK_STATE_OPEN'"),
    )
    op.execute("ALTER TABLE task DROP CONSTRAINT task_kind_check")
    op.execute(
        "ALTER TABLE task ADD CONSTRAINT task_kind_check CHECK (kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS', 'TASK_KIND_VISIT_TO_MOVE'))"
    )
