"""Profiles of who bills; price books with items of every kind, edited as drafts; code sets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_prices"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "legal_entity_billing",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("legal_name", sa.Text(), nullable=False),
        sa.Column("tax_id", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.Column("address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("invoice_prefix", sa.Text(), nullable=False),
        sa.Column("payment_terms_days", sa.Integer(), nullable=False),
        sa.Column("statement_text", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("npi ~ '^([12][0-9]{9})?$'", name=op.f("legal_entity_billing_npi_check")),
        sa.CheckConstraint("tax_id ~ '^([0-9]{2}-[0-9]{7})?$'", name=op.f("legal_entity_billing_tax_id_check")),
        sa.CheckConstraint(
            "payment_terms_days BETWEEN 0 AND 365", name=op.f("legal_entity_billing_payment_terms_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "legal_entity_id"],
            ["legal_entity.chain_id", "legal_entity.id"],
            name=op.f("legal_entity_billing_chain_id_legal_entity_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "legal_entity_id", name=op.f("legal_entity_billing_pkey")),
    )
    op.create_index(
        "invoice_prefix_is_one_entitys",
        "legal_entity_billing",
        ["chain_id", "invoice_prefix"],
        unique=True,
        postgresql_where=sa.text("invoice_prefix <> ''"),
    )
    op.create_table(
        "site_billing",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.Column("closed_dates", postgresql.ARRAY(sa.Date()), nullable=False),
        sa.Column("open_dates", postgresql.ARRAY(sa.Date()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("npi ~ '^([12][0-9]{9})?$'", name=op.f("site_billing_npi_check")),
        sa.CheckConstraint("NOT closed_dates && open_dates", name=op.f("site_billing_dates_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("site_billing_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "site_id", name=op.f("site_billing_pkey")),
    )
    op.execute("ALTER TABLE legal_entity_billing ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE legal_entity_billing FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON legal_entity_billing USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON legal_entity_billing TO billing")
    op.execute("ALTER TABLE site_billing ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE site_billing FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON site_billing USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON site_billing AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON site_billing TO billing")
