"""Who an audit row is about"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "audit_subject",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "subject_id", "position", name=op.f("audit_subject_pkey")),
    )
    op.execute("ALTER TABLE audit_subject ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_subject FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_subject USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_subject ON audit_subject AS RESTRICTIVE USING (CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE subject_id::text = current_setting('app.patient', true) END)"
    )
    op.execute("GRANT SELECT, INSERT ON audit_subject TO billing")
    op.execute("CREATE POLICY every_chain ON audit_subject TO billing_sealer USING (true)")
    op.execute("GRANT SELECT ON audit_subject TO billing_sealer")
