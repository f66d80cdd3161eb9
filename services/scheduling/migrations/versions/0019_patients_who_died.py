"""patients who died"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("patient", sa.Column("deceased", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("patient", sa.Column("version", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "task_to_cancel",
        "task",
        ["chain_id", "site_id", "patient_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'TASK_KIND_VISITS_TO_CANCEL' AND state = 'TASK_STATE_OPEN'"),
    )
    op.drop_constraint(op.f("task_kind_check"), "task")
    op.create_check_constraint(
        op.f("task_kind_check"),
        "task",
        "kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS', 'TASK_KIND_VISIT_TO_MOVE', 'TASK_KIND_DEPOSIT_TO_SETTLE', 'TASK_KIND_OFFER_TO_SETTLE', 'TASK_KIND_VISITS_TO_CANCEL')",
    )
