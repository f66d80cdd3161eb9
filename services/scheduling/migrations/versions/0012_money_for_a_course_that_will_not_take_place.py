"""money for a course that will not take place"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("task", sa.Column("course_id", sa.Uuid(), nullable=True))
    op.create_index(
        "task_of_deposit",
        "task",
        ["chain_id", "course_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'TASK_KIND_DEPOSIT_TO_SETTLE' AND state = 'TASK_STATE_OPEN'"),
    )
    op.drop_constraint(op.f("task_kind_check"), "task")
    op.create_check_constraint(
        op.f("task_kind_check"),
        "task",
        "kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS', 'TASK_KIND_VISIT_TO_MOVE', 'TASK_KIND_DEPOSIT_TO_SETTLE')",
    )
    op.drop_constraint(op.f("task_visits_check"), "task")
    op.create_check_constraint(op.f("task_visits_check"), "task", "(cardinality(visit_ids) > 0) = (course_id IS NULL)")
    op.create_check_constraint(
        op.f("task_left_by_a_deposit_check"), "task", "(kind = 'TASK_KIND_DEPOSIT_TO_SETTLE') = (course_id IS NOT NULL)"
    )
