"""the digest of a day"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KINDS = "'VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT', 'DAILY_DIGEST'"


def upgrade() -> None:
    op.add_column("message", sa.Column("digest_id", sa.Uuid(), nullable=True))
    op.create_index(
        "message_digest_idx",
        "message",
        ["chain_id", "digest_id"],
        unique=False,
        postgresql_where=sa.text("digest_id IS NOT NULL"),
    )
    op.add_column("policy", sa.Column("digest_at", sa.Time(), nullable=True))
    op.create_check_constraint(op.f("policy_digest_check"), "policy", "digest_at >= begin_at AND digest_at < end_at")
    for table in ("message", "pause", "template"):
        op.drop_constraint(op.f(f"{table}_kind_check"), table)
        op.create_check_constraint(op.f(f"{table}_kind_check"), table, f"kind IN ({KINDS})")
