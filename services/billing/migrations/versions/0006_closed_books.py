"""Books are closed and adjusted

Postings get the instant of their entries. The owner does that for every chain, so row-level security stops being forced
on it for as long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "period",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("last_date", sa.Date(), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("period_pkey")),
        sa.UniqueConstraint(
            "chain_id", "legal_entity_id", "last_date", name=op.f("period_chain_id_legal_entity_id_last_date_key")
        ),
    )
    op.create_index("period_of_legal_entity_idx", "period", ["chain_id", "legal_entity_id", "end_at"], unique=False)
    op.create_table(
        "adjustment",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("posted_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("adjustment_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("adjustment_pkey")),
    )
    op.create_table(
        "period_balance",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("period_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("item_code", sa.Text(), nullable=False),
        sa.Column("debit_minor", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debit_minor >= 0 AND credit_minor >= 0", name=op.f("period_balance_sides_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "period_id"],
            ["period.chain_id", "period.id"],
            name=op.f("period_balance_chain_id_period_id_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "chain_id", "period_id", "site_id", "account", "currency", "item_code", name=op.f("period_balance_pkey")
        ),
    )
    op.add_column("posting", sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("ALTER TABLE posting NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE entry NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE posting SET posted_at = entry.posted_at FROM entry WHERE entry.chain_id = posting.chain_id AND entry.id = posting.entry_id"
    )
    op.execute("ALTER TABLE entry FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE posting FORCE ROW LEVEL SECURITY")
    op.alter_column("posting", "posted_at", nullable=False)
    op.create_check_constraint(op.f("entry_adjustment_check"), "entry", "source <> 19 OR patient_id IS NULL")
    op.drop_index(op.f("posting_of_legal_entity_idx"), table_name="posting")
    op.create_index(
        "posting_of_legal_entity_idx",
        "posting",
        ["chain_id", "legal_entity_id", "posted_at"],
        unique=False,
        postgresql_include=["site_id", "account", "currency", "item_code", "amount_minor"],
    )
    op.execute("ALTER TABLE period ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE period FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON period USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON period TO billing")
    op.execute("ALTER TABLE adjustment ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE adjustment FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON adjustment USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON adjustment AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON adjustment TO billing")
    op.execute("ALTER TABLE period_balance ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE period_balance FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON period_balance USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON period_balance AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON period_balance TO billing")
    op.execute(
        """CREATE FUNCTION refuse_entry_of_closed_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('books ' || NEW.legal_entity_id, 0));
    IF EXISTS (
        SELECT FROM period
        WHERE chain_id = NEW.chain_id AND legal_entity_id = NEW.legal_entity_id AND end_at > NEW.posted_at
    ) THEN
        RAISE 'the books are closed beyond %', NEW.posted_at
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'period_is_open';
    END IF;
    RETURN NEW;
END $$"""
    )
    op.execute(
        """CREATE TRIGGER period_is_open BEFORE INSERT ON entry
    FOR EACH ROW EXECUTE FUNCTION refuse_entry_of_closed_period()"""
    )
