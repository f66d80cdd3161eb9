"""The last visit is kept

Of visits that were completed before, `atoll events replay` tells as far back as outboxes reach, 14 days. Older ones are
contacts by what was entered in the record at them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "last_visit",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("last_visit_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", name=op.f("last_visit_pkey")),
    )
    op.execute("ALTER TABLE last_visit ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE last_visit FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON last_visit USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON last_visit AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON last_visit TO patients")
