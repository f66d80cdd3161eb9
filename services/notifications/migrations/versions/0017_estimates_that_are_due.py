"""estimates that are due"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

KINDS = "'VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT', 'DAILY_DIGEST', 'CONSENT_OUTDATED', 'PAYMENT_REVERSED', 'DEPOSIT_RETURNED', 'PACKAGE_TRANSFERRED', 'ESTIMATE_DUE'"


def upgrade() -> None:
    op.add_column("matter", sa.Column("course_id", sa.Uuid()))
    op.add_column("matter", sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_index(
        "matter_course_idx", "matter", ["chain_id", "course_id"], postgresql_where=sa.text("course_id IS NOT NULL")
    )
    for table in ("message", "pause", "template"):
        op.drop_constraint(op.f(f"{table}_kind_check"), table)
        op.create_check_constraint(op.f(f"{table}_kind_check"), table, f"kind IN ({KINDS})")
