"""Changes of sites"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "site_change",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column(
            "transaction", sa.BigInteger(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False
        ),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("course_version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "site_id", "transaction", "place", name=op.f("site_change_pkey")),
    )
    op.create_index("site_change_recorded_at_idx", "site_change", ["recorded_at"], unique=False)
    op.execute("ALTER TABLE site_change ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site_change FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site_change USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON site_change AS RESTRICTIVE TO scheduling USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON site_change TO scheduling")
    op.execute("CREATE POLICY every_chain ON site_change TO scheduling_relay USING (true)")
    op.execute("GRANT SELECT (recorded_at), DELETE ON site_change TO scheduling_relay")
