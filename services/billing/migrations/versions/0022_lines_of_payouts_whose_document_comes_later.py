"""lines of payouts whose document comes later"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "payout_line_match",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("matched_id", sa.Uuid(), nullable=False),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "line_id"],
            ["payout_line.chain_id", "payout_line.id"],
            name=op.f("payout_line_match_chain_id_line_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "line_id", name=op.f("payout_line_match_pkey")),
    )
    op.create_index(
        "payout_line_waiting_idx",
        "payout_line",
        ["chain_id", "source"],
        unique=False,
        postgresql_where=sa.text("site_id IS NULL"),
    )
    op.execute("ALTER TABLE payout_line_match ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payout_line_match FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payout_line_match USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON payout_line_match AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY shown_if ON payout_line_match AS RESTRICTIVE FOR SELECT USING (CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE false END)"
    )
    op.execute("GRANT SELECT, INSERT ON payout_line_match TO billing")
