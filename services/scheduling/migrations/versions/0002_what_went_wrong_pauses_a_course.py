"""What went wrong pauses a course"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "adverse_event",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("pausing", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("adverse_event_pkey")),
    )
    op.create_index(
        "adverse_event_pausing_idx",
        "adverse_event",
        ["chain_id", "patient_id"],
        unique=False,
        postgresql_where=sa.text("pausing"),
    )
    op.execute("ALTER TABLE adverse_event ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE adverse_event FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON adverse_event USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON adverse_event AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON adverse_event TO scheduling")
