"""bills that turn out otherwise"""

from alembic import op

revision = "0016"
down_revision = "0015"

KINDS = "'VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT', 'DAILY_DIGEST', 'CONSENT_OUTDATED', 'PAYMENT_REVERSED', 'DEPOSIT_RETURNED', 'PACKAGE_TRANSFERRED'"


def upgrade() -> None:
    for table in ("message", "pause", "template"):
        op.drop_constraint(op.f(f"{table}_kind_check"), table)
        op.create_check_constraint(op.f(f"{table}_kind_check"), table, f"kind IN ({KINDS})")
