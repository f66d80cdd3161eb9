"""offers of the waitlist"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

KINDS = "'VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT', 'DAILY_DIGEST', 'CONSENT_OUTDATED', 'PAYMENT_REVERSED', 'DEPOSIT_RETURNED', 'PACKAGE_TRANSFERRED', 'ESTIMATE_DUE', 'WAITLIST_OFFER'"
MATTERS = "'COURSE', 'ESTIMATE', 'INVOICE', 'PAYMENT', 'REFUND', 'CREDIT_NOTE', 'CARD_CHARGE', 'PACKAGE_SALE', 'CONSENT', 'OFFER'"


def upgrade() -> None:
    op.add_column("matter", sa.Column("offer_start_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("matter", sa.Column("offer_end_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("matter", sa.Column("offer_telehealth", sa.Boolean(), nullable=True))
    op.add_column("matter", sa.Column("offer_until_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("matter_offer_check"),
        "matter",
        "num_nulls(offer_start_at, offer_end_at, offer_telehealth, offer_until_at) IN (0, 4)",
    )
    op.drop_constraint(op.f("matter_kind_check"), "matter")
    op.create_check_constraint(op.f("matter_kind_check"), "matter", f"kind IN ({MATTERS})")
    for table in ("message", "pause", "template"):
        op.drop_constraint(op.f(f"{table}_kind_check"), table)
        op.create_check_constraint(op.f(f"{table}_kind_check"), table, f"kind IN ({KINDS})")
