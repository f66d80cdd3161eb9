"""renewals in any order"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "renewal_end",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "document_id", name=op.f("renewal_end_pkey")),
    )
    op.create_table(
        "retired_document",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "document_id", name=op.f("retired_document_pkey")),
    )
    op.add_column(
        "renewal", sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.add_column("renewal", sa.Column("matter_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE renewal_end ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE renewal_end FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON renewal_end USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON renewal_end AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON renewal_end TO notifications")
    op.execute("ALTER TABLE retired_document ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE retired_document FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON retired_document USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON retired_document TO notifications")
