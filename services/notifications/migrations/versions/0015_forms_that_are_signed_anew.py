"""forms that are signed anew"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"

KINDS = "'VISIT_CONFIRMATION', 'VISIT_REMINDER', 'VISIT_PREPARATION', 'VISIT_MOVED', 'VISIT_CANCELLED', 'VISIT_MISSED', 'VISIT_FOLLOW_UP', 'COMPANION_PICK_UP', 'HOLD_EXPIRED', 'ESTIMATE_READY', 'INVOICE_ISSUED', 'PAYMENT_RECEIVED', 'REFUND_MADE', 'CREDIT_NOTE_ISSUED', 'CARD_CHARGE_FAILED', 'BALANCE_DUE', 'DEPOSIT_RELEASED', 'DEPOSIT_FORFEITED', 'PACKAGE_SOLD', 'PACKAGE_EXPIRING', 'PACKAGE_EXPIRED', 'PACKAGE_STOPPED', 'OPT_OUT_CONFIRMED', 'OPT_IN_CONFIRMED', 'HELP', 'CONFIRM_RECEIVED', 'MOVE_RECEIVED', 'REPLY_RECEIVED', 'ANNOUNCEMENT', 'DAILY_DIGEST', 'CONSENT_OUTDATED'"
MATTERS = (
    "'COURSE', 'ESTIMATE', 'INVOICE', 'PAYMENT', 'REFUND', 'CREDIT_NOTE', 'CARD_CHARGE', 'PACKAGE_SALE', 'CONSENT'"
)


def upgrade() -> None:
    op.create_table(
        "renewal",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("site_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "document_id", name=op.f("renewal_pkey")),
    )
    op.execute("ALTER TABLE renewal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE renewal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON renewal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON renewal AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON renewal TO notifications")
    for table in ("message", "pause", "template"):
        op.drop_constraint(op.f(f"{table}_kind_check"), table)
        op.create_check_constraint(op.f(f"{table}_kind_check"), table, f"kind IN ({KINDS})")
    op.drop_constraint(op.f("matter_kind_check"), "matter")
    op.create_check_constraint(op.f("matter_kind_check"), "matter", f"kind IN ({MATTERS})")
