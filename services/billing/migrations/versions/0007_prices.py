"""Profiles of who bills; price books with items of every kind, edited as drafts; code sets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

ITEM_CHECKS = {
    "kind": "(kind = 1) = (visit_type_code <> '') AND (kind = 1) = (code = '')",
    "fee": "(kind = 4) = (terms ? 'fee')",
    "tiers": "NOT jsonb_path_exists(terms, '$.tiers[*] ? (@.minor < 0 || @.from < 2)')",
}
PUBLISHED_STAYS = """
CREATE FUNCTION refuse_change_of_published_price_book() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched record;
    of_book uuid;
BEGIN
    IF TG_OP = 'INSERT' THEN touched := NEW; ELSE touched := OLD; END IF;
    IF TG_TABLE_NAME = 'price_book' THEN of_book := touched.id; ELSE of_book := touched.price_book_id; END IF;
    IF EXISTS (SELECT FROM publication WHERE chain_id = touched.chain_id AND price_book_id = of_book) THEN
        RAISE 'price book % is published', of_book
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'published_price_book_stays';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "diagnosis_code",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.CheckConstraint("end_date >= effective_date", name=op.f("diagnosis_code_dates_check")),
        sa.PrimaryKeyConstraint("chain_id", "code", "effective_date", name=op.f("diagnosis_code_pkey")),
    )
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
    op.add_column("price_book", sa.Column("minimum_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("price_book", sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column("price_item", sa.Column("kind", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("price_item", sa.Column("code", sa.Text(), server_default="", nullable=False))
    op.add_column("price_item", sa.Column("taxable", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "price_item",
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.drop_constraint(op.f("price_item_never_twice"), "price_item", type_="unique")
    op.create_index(
        "price_item_never_twice",
        "price_item",
        ["chain_id", "price_book_id", "visit_type_code", "route_code", "band_code"],
        unique=True,
        postgresql_where=sa.text("kind = 1"),
    )
    op.create_index(
        "price_item_code_never_twice",
        "price_item",
        ["chain_id", "price_book_id", "code"],
        unique=True,
        postgresql_where=sa.text("code <> ''"),
    )
    op.create_index("price_item_of_book_idx", "price_item", ["chain_id", "price_book_id"], unique=False)
    op.add_column("service_code", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.create_index("service_code_by_code_idx", "service_code", ["chain_id", "code", "id"], unique=False)
    op.execute(
        "ALTER TABLE diagnosis_code ADD CONSTRAINT diagnosis_code_one_at_a_time EXCLUDE USING gist (chain_id WITH =, code WITH =, daterange(effective_date, end_date, '[]') WITH &&) DEFERRABLE INITIALLY DEFERRED"
    )
    op.execute("ALTER TABLE diagnosis_code ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE diagnosis_code FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON diagnosis_code USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON diagnosis_code TO billing")
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
    op.execute(
        "ALTER TABLE service_code ADD CONSTRAINT service_code_one_at_a_time EXCLUDE USING gist (chain_id WITH =, visit_type_code WITH =, route_code WITH =, band_code WITH =, code WITH =, daterange(effective_date, end_date, '[]') WITH &&) DEFERRABLE INITIALLY DEFERRED"
    )
    op.create_check_constraint(op.f("price_book_minimum_check"), "price_book", "minimum_minor >= 0")
    for name, rule in ITEM_CHECKS.items():
        op.create_check_constraint(op.f(f"price_item_{name}_check"), "price_item", rule)
    op.execute("DROP TRIGGER published_price_book_stays ON price_item")
    op.execute("DROP FUNCTION refuse_item_of_published_price_book()")
    op.execute(PUBLISHED_STAYS)
    op.execute(
        """
CREATE TRIGGER published_price_book_stays BEFORE UPDATE OR DELETE ON price_book
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_price_book()
"""
    )
    op.execute(
        """
CREATE TRIGGER published_price_book_stays BEFORE INSERT OR UPDATE OR DELETE ON price_item
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_price_book()
"""
    )
    for table in ("price_book", "price_item"):
        op.execute(f"GRANT UPDATE, DELETE ON {table} TO billing")
