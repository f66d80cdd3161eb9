"""What becomes of payments, cards, disputes and payouts"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "card",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("last4", sa.Text(), nullable=False),
        sa.Column("expiry_month", sa.SmallInteger(), nullable=False),
        sa.Column("expiry_year", sa.SmallInteger(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("card_pkey")),
        sa.UniqueConstraint(
            "chain_id", "account", "payment_method", name=op.f("card_chain_id_account_payment_method_key")
        ),
    )
    op.create_index(
        "card_look_idx", "card", ["chain_id", "look_at"], unique=False, postgresql_where=sa.text("look_at IS NOT NULL")
    )
    op.create_index("card_of_patient_idx", "card", ["chain_id", "patient_id"], unique=False)
    op.create_table(
        "payout",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("arrival_date", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("payout_pkey")),
        sa.UniqueConstraint(
            "chain_id", "account", "processor_id", name=op.f("payout_chain_id_account_processor_id_key")
        ),
    )
    op.create_table(
        "processor_customer",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("processor_customer_pkey")),
        sa.UniqueConstraint(
            "chain_id", "patient_id", "account", name=op.f("processor_customer_chain_id_patient_id_account_key")
        ),
    )
    op.create_table(
        "processor_event",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "account", "event_id", name=op.f("processor_event_pkey")),
    )
    op.create_index(
        "processor_event_look_idx",
        "processor_event",
        ["chain_id", "look_at"],
        unique=False,
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index("processor_event_outcome_idx", "processor_event", ["chain_id", "outcome", "event_id"], unique=False)
    op.create_table(
        "refund",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("refund_amount_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("refund_pkey")),
    )
    op.create_index("refund_of_day_idx", "refund", ["chain_id", "site_id", "business_date", "id"], unique=False)
    op.create_index("refund_of_patient_idx", "refund", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "taken_reference",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("tender", sa.SmallInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "chain_id", "site_id", "business_date", "tender", "reference", "payer_id", name=op.f("taken_reference_pkey")
        ),
    )
    op.create_index("taken_reference_of_payment_idx", "taken_reference", ["chain_id", "payment_id"], unique=False)
    op.create_table(
        "card_charge",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("card_id", sa.Uuid(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("saves_card", sa.Boolean(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("card_charge_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "card_id"], ["card.chain_id", "card.id"], name=op.f("card_charge_chain_id_card_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("card_charge_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("card_charge_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("card_charge_pkey")),
        sa.UniqueConstraint(
            "chain_id", "account", "processor_id", name=op.f("card_charge_chain_id_account_processor_id_key")
        ),
    )
    op.create_index(
        "card_charge_look_idx",
        "card_charge",
        ["chain_id", "look_at"],
        unique=False,
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index("card_charge_of_patient_idx", "card_charge", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "cash_count",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("expected_minor", sa.BigInteger(), nullable=False),
        sa.Column("counted_minor", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("counted_minor >= 0", name=op.f("cash_count_counted_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("cash_count_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("cash_count_pkey")),
        sa.UniqueConstraint("chain_id", "site_id", "business_date", "currency", name="cash_is_counted_once"),
    )
    op.create_table(
        "payout_line",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("matched_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(site_id IS NULL) = (matched_id IS NULL)", name=op.f("payout_line_matched_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "payout_id"],
            ["payout.chain_id", "payout.id"],
            name=op.f("payout_line_chain_id_payout_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("payout_line_pkey")),
        sa.UniqueConstraint("chain_id", "transaction", name=op.f("payout_line_chain_id_transaction_key")),
    )
    op.create_index("payout_line_of_payout_idx", "payout_line", ["chain_id", "payout_id", "id"], unique=False)
    op.create_table(
        "payout_share",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "payout_id"],
            ["payout.chain_id", "payout.id"],
            name=op.f("payout_share_chain_id_payout_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("payout_share_pkey")),
        sa.UniqueConstraint(
            "chain_id", "payout_id", "site_id", name=op.f("payout_share_chain_id_payout_id_site_id_key")
        ),
    )
    op.create_table(
        "credit_transfer",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("credit_transfer_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("credit_transfer_chain_id_payment_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("credit_transfer_pkey")),
    )
    op.create_index("credit_transfer_of_patient_idx", "credit_transfer", ["chain_id", "patient_id"], unique=False)
    op.create_table(
        "dispute",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("lost_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("dispute_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("dispute_chain_id_payment_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("dispute_pkey")),
        sa.UniqueConstraint(
            "chain_id", "account", "processor_id", name=op.f("dispute_chain_id_account_processor_id_key")
        ),
    )
    op.create_index("dispute_of_payment_idx", "dispute", ["chain_id", "payment_id"], unique=False)
    op.create_index("dispute_of_site_idx", "dispute", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "forfeiture",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("forfeited_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("forfeiture_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("forfeiture_chain_id_course_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("forfeiture_chain_id_payment_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("forfeiture_pkey")),
    )
    op.create_index("forfeiture_of_patient_idx", "forfeiture", ["chain_id", "patient_id"], unique=False)
    op.create_table(
        "refund_part",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("tender", sa.SmallInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("processor_id", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(state = 1) = (look_at IS NOT NULL)", name=op.f("refund_part_looked_at_check")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("refund_part_amount_check")),
        sa.CheckConstraint("credit_minor BETWEEN 0 AND amount_minor", name=op.f("refund_part_credit_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("refund_part_chain_id_payment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "refund_id"],
            ["refund.chain_id", "refund.id"],
            name=op.f("refund_part_chain_id_refund_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("refund_part_pkey")),
    )
    op.create_index(
        "refund_part_look_idx",
        "refund_part",
        ["chain_id", "look_at"],
        unique=False,
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index("refund_part_of_payment_idx", "refund_part", ["chain_id", "payment_id"], unique=False)
    op.create_index("refund_part_of_processor_idx", "refund_part", ["chain_id", "processor_id"], unique=False)
    op.create_index("refund_part_of_refund_idx", "refund_part", ["chain_id", "refund_id"], unique=False)
    op.create_table(
        "reversal",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "payment_id"],
            ["payment.chain_id", "payment.id"],
            name=op.f("reversal_chain_id_payment_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "payment_id", name=op.f("reversal_pkey")),
    )
    op.create_index("reversal_of_patient_idx", "reversal", ["chain_id", "patient_id"], unique=False)
    op.alter_column("unapplication", "credit_note_id", existing_type=sa.Uuid(), nullable=True)
    op.add_column("unapplication", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.add_column("unapplication", sa.Column("actor", sa.Text(), server_default="", nullable=False))
    op.add_column("open_item", sa.Column("credit_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("open_item", sa.Column("gone_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "open_item_credit_idx",
        "open_item",
        ["chain_id", "patient_id", "site_id"],
        unique=False,
        postgresql_where=sa.text("credit_minor > 0"),
    )
    op.add_column("payment", sa.Column("check_number", sa.Text(), server_default="", nullable=False))
    op.add_column("payment", sa.Column("benefit_account", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("payment", sa.Column("card_charge_id", sa.Uuid(), nullable=True))
    op.create_unique_constraint(op.f("payment_chain_id_card_charge_id_key"), "payment", ["chain_id", "card_charge_id"])
    op.create_index("reversal_of_day_idx", "reversal", ["chain_id", "site_id", "business_date"], unique=False)
    op.create_index("cash_count_of_site_idx", "cash_count", ["chain_id", "site_id", "id"], unique=False)
    op.create_check_constraint(op.f("open_item_credit_check"), "open_item", "credit_minor >= 0")
    op.create_check_constraint(op.f("open_item_gone_check"), "open_item", "gone_minor >= 0")
    op.create_check_constraint(op.f("payment_card_check"), "payment", "(tender = 4) = (card_charge_id IS NOT NULL)")
    op.execute("ALTER TABLE card ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE card FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON card USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON card AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON card TO billing")
    op.execute("ALTER TABLE payout ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payout FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payout USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON payout TO billing")
    op.execute("ALTER TABLE processor_customer ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE processor_customer FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON processor_customer USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON processor_customer AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON processor_customer TO billing")
    op.execute("ALTER TABLE processor_event ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE processor_event FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON processor_event USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON processor_event TO billing")
    op.execute("ALTER TABLE refund ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE refund FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON refund USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON refund AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON refund AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON refund TO billing")
    op.execute("ALTER TABLE taken_reference ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE taken_reference FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON taken_reference USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON taken_reference AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON taken_reference TO billing")
    op.execute("ALTER TABLE card_charge ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE card_charge FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON card_charge USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON card_charge AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON card_charge AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON card_charge TO billing")
    op.execute("ALTER TABLE cash_count ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE cash_count FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON cash_count USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON cash_count AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON cash_count TO billing")
    op.execute("ALTER TABLE payout_line ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payout_line FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payout_line USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON payout_line AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON payout_line TO billing")
    op.execute("ALTER TABLE payout_share ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE payout_share FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON payout_share USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON payout_share AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON payout_share TO billing")
    op.execute("ALTER TABLE credit_transfer ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE credit_transfer FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON credit_transfer USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON credit_transfer AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON credit_transfer AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON credit_transfer TO billing")
    op.execute("ALTER TABLE dispute ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE dispute FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON dispute USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON dispute AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON dispute AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dispute TO billing")
    op.execute("ALTER TABLE forfeiture ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE forfeiture FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON forfeiture USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON forfeiture AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON forfeiture AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON forfeiture TO billing")
    op.execute("ALTER TABLE refund_part ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE refund_part FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON refund_part USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON refund_part AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON refund_part AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON refund_part TO billing")
    op.execute("ALTER TABLE reversal ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE reversal FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON reversal USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON reversal AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON reversal AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON reversal TO billing")
