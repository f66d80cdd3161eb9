"""estimates that come back"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "estimate_return",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("estimate_id", sa.Uuid(), nullable=False),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "estimate_id"],
            ["estimate.chain_id", "estimate.id"],
            name=op.f("estimate_return_chain_id_estimate_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "message_id", name=op.f("estimate_return_pkey")),
    )
    op.add_column("estimate_delivery", sa.Column("message_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE estimate_return ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_return FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_return USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_return AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate_return AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_return TO billing")
