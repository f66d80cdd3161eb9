"""vital signs as patients tells of them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "vital_signs",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("within", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("retracted", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("vital_signs_pkey")),
    )
    op.create_index("vital_signs_by_patient", "vital_signs", ["chain_id", "patient_id", "taken_at"], unique=False)
    op.create_index("vital_signs_told_at_idx", "vital_signs", ["told_at"], unique=False)
    op.execute("ALTER TABLE vital_signs ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vital_signs FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON vital_signs USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON vital_signs AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON vital_signs TO scheduling")
    op.execute("CREATE POLICY every_chain ON vital_signs TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT (told_at), DELETE ON vital_signs TO scheduling_relay")
