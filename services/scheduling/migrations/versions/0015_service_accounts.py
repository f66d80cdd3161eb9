"""service accounts"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "service_account",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("site_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("service_account_pkey")),
    )
    op.create_table(
        "service_account_key",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(secret_digest) = 32", name=op.f("service_account_key_a_digest_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "account_id"],
            ["service_account.chain_id", "service_account.id"],
            name=op.f("service_account_key_chain_id_account_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("service_account_key_pkey")),
    )
    op.create_index("service_account_key_of_account", "service_account_key", ["chain_id", "account_id"], unique=False)
    op.execute("ALTER TABLE service_account ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE service_account FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON service_account USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON service_account TO scheduling")
    op.execute("ALTER TABLE service_account_key ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE service_account_key FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON service_account_key USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON service_account_key TO scheduling")
