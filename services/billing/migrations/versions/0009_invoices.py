"""Invoices drafted, taxed and credited, charges corrected"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "credit_note_series",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "legal_entity_id", name=op.f("credit_note_series_pkey")),
    )
    op.create_table(
        "invoice_draft",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("charge_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_reason", sa.SmallInteger(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("discount_minor >= 0", name=op.f("invoice_draft_discount_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("invoice_draft_pkey")),
    )
    op.create_index(
        "invoice_draft_of_site_idx",
        "invoice_draft",
        ["chain_id", "site_id", "id"],
        unique=False,
        postgresql_where=sa.text("invoice_id IS NULL"),
    )
    op.create_table(
        "tax_rule",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rate_ppm", sa.Integer(), nullable=False),
        sa.Column("charge_kinds", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("product_codes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("included", sa.Boolean(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("end_date >= effective_date", name=op.f("tax_rule_dates_check")),
        sa.CheckConstraint("rate_ppm > 0", name=op.f("tax_rule_rate_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("tax_rule_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("tax_rule_pkey")),
        sa.UniqueConstraint(
            "chain_id",
            "site_id",
            "name",
            "effective_date",
            name=op.f("tax_rule_chain_id_site_id_name_effective_date_key"),
        ),
    )
    op.create_index("tax_rule_of_site_idx", "tax_rule", ["chain_id", "site_id", "effective_date", "id"], unique=False)
    op.create_table(
        "credit_note",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("offset_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("purpose", sa.SmallInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "total_minor > 0 AND offset_minor BETWEEN 0 AND total_minor", name=op.f("credit_note_total_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("credit_note_chain_id_invoice_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("credit_note_pkey")),
        sa.UniqueConstraint(
            "chain_id", "legal_entity_id", "number", name=op.f("credit_note_chain_id_legal_entity_id_number_key")
        ),
    )
    op.create_index("credit_note_of_invoice_idx", "credit_note", ["chain_id", "invoice_id", "id"], unique=False)
    op.create_index("credit_note_of_patient_idx", "credit_note", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("credit_note_of_site_idx", "credit_note", ["chain_id", "site_id", "id"], unique=False)
    op.create_table(
        "invoice_tax",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("tax_rule_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rate_ppm", sa.Integer(), nullable=False),
        sa.Column("included", sa.Boolean(), nullable=False),
        sa.Column("base_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("invoice_tax_chain_id_invoice_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "invoice_id", "tax_rule_id", name=op.f("invoice_tax_pkey")),
    )
    op.create_table(
        "offence",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("offended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"], ["visit.chain_id", "visit.id"], name=op.f("offence_chain_id_visit_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "visit_id", name=op.f("offence_pkey")),
    )
    op.create_index("offence_of_patient_idx", "offence", ["chain_id", "patient_id", "offended_at"], unique=False)
    op.create_table(
        "credit_use",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("credit_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("credit_use_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "credit_id"],
            ["open_item.chain_id", "open_item.id"],
            name=op.f("credit_use_chain_id_credit_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("credit_use_chain_id_invoice_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("credit_use_pkey")),
    )
    op.create_index("credit_use_of_invoice_idx", "credit_use", ["chain_id", "invoice_id"], unique=False)
    op.create_table(
        "unapplication",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("credit_note_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("unapplied_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("unapplication_amount_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "credit_note_id"],
            ["credit_note.chain_id", "credit_note.id"],
            name=op.f("unapplication_chain_id_credit_note_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("unapplication_pkey")),
    )
    op.create_index("unapplication_of_application_idx", "unapplication", ["chain_id", "application_id"], unique=False)
    op.create_table(
        "credit_note_line",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("credit_note_id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("included_tax_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount_minor > 0 AND discount_minor >= 0 AND tax_minor >= 0", name=op.f("credit_note_line_amounts_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "charge_id"],
            ["invoice_line.chain_id", "invoice_line.charge_id"],
            name=op.f("credit_note_line_chain_id_charge_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "credit_note_id"],
            ["credit_note.chain_id", "credit_note.id"],
            name=op.f("credit_note_line_chain_id_credit_note_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "credit_note_id", "charge_id", name=op.f("credit_note_line_pkey")),
    )
    op.create_index("credit_note_line_of_charge_idx", "credit_note_line", ["chain_id", "charge_id"], unique=False)
    op.add_column("charge", sa.Column("made_by", sa.Text(), server_default="", nullable=False))
    op.add_column("charge", sa.Column("reason", sa.SmallInteger(), nullable=True))
    op.add_column("charge", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.drop_constraint(op.f("charge_chain_id_visit_id_key"), "charge", type_="unique")
    op.create_index("charge_corrects_idx", "charge", ["chain_id", "corrects_id"], unique=False)
    op.create_index(
        "charge_fee_of_visit_idx",
        "charge",
        ["chain_id", "visit_id"],
        unique=True,
        postgresql_where=sa.text("kind IN (2, 3)"),
    )
    op.create_index(
        "charge_of_visit_idx", "charge", ["chain_id", "visit_id"], unique=True, postgresql_where=sa.text("kind = 1")
    )
    op.add_column("invoice", sa.Column("subtotal_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice", sa.Column("discount_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice", sa.Column("discount_reason", sa.SmallInteger(), nullable=True))
    op.add_column("invoice", sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice", sa.Column("prefix", sa.Text(), server_default="", nullable=False))
    op.add_column("invoice", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.add_column("invoice_line", sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice_line", sa.Column("discount_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice_line", sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("invoice_line", sa.Column("included_tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "invoice_line", sa.Column("codes", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False)
    )
    op.add_column("open_item", sa.Column("whole_minor", sa.BigInteger(), nullable=True))
    op.add_column("open_item", sa.Column("credited_minor", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("open_item", sa.Column("due_date", sa.Date(), nullable=True))
    op.add_column(
        "open_item",
        sa.Column(
            "status",
            sa.SmallInteger(),
            sa.Computed(
                "CASE WHEN kind <> 2 THEN NULL WHEN credited_minor > 0 AND credited_minor = whole_minor THEN 4 WHEN left_minor = 0 THEN 3 WHEN left_minor + credited_minor < whole_minor THEN 2 ELSE 1 END",
                persisted=True,
            ),
            nullable=True,
        ),
    )
    op.create_index(
        "open_item_due_idx",
        "open_item",
        ["chain_id", "site_id", "due_date", "id"],
        unique=False,
        postgresql_where=sa.text("kind = 2 AND left_minor > 0"),
    )
    op.create_index(
        "open_item_status_idx",
        "open_item",
        ["chain_id", "site_id", "status", "id"],
        unique=False,
        postgresql_where=sa.text("kind = 2"),
    )
    _fill()
    op.create_check_constraint(op.f("charge_reason_check"), "charge", "(kind = 5) = (reason IS NOT NULL)")
    op.create_check_constraint(
        op.f("invoice_total_check"), "invoice", "total_minor = subtotal_minor - discount_minor + tax_minor"
    )
    op.create_check_constraint(
        op.f("invoice_parts_check"), "invoice", "discount_minor BETWEEN 0 AND subtotal_minor AND tax_minor >= 0"
    )
    op.create_check_constraint(
        op.f("invoice_discount_check"), "invoice", "(discount_minor > 0) = (discount_reason IS NOT NULL)"
    )
    op.create_check_constraint(
        op.f("invoice_line_discount_check"), "invoice_line", "discount_minor BETWEEN 0 AND amount_minor"
    )
    op.create_check_constraint(op.f("invoice_line_tax_check"), "invoice_line", "tax_minor >= 0")
    op.create_check_constraint(
        op.f("invoice_line_included_tax_check"),
        "invoice_line",
        "included_tax_minor BETWEEN 0 AND amount_minor - discount_minor",
    )
    op.create_check_constraint(
        op.f("open_item_whole_check"),
        "open_item",
        "left_minor + credited_minor <= whole_minor AND credited_minor >= 0",
    )
    op.add_column("visit", sa.Column("visit_type_code", sa.Text(), server_default="", nullable=False))
    op.add_column("visit", sa.Column("route_code", sa.Text(), server_default="", nullable=False))
    op.add_column("visit", sa.Column("band_code", sa.Text(), server_default="", nullable=False))
    op.execute("ALTER TABLE credit_note_series ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE credit_note_series FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON credit_note_series USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON credit_note_series TO billing")
    op.execute("ALTER TABLE invoice_draft ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invoice_draft FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON invoice_draft USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON invoice_draft AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON invoice_draft AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON invoice_draft TO billing")
    op.execute("ALTER TABLE tax_rule ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE tax_rule FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON tax_rule USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON tax_rule AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON tax_rule TO billing")
    op.execute("ALTER TABLE credit_note ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE credit_note FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON credit_note USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON credit_note AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON credit_note AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON credit_note TO billing")
    op.execute("ALTER TABLE invoice_tax ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invoice_tax FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON invoice_tax USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON invoice_tax AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON invoice_tax TO billing")
    op.execute("ALTER TABLE offence ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE offence FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON offence USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON offence AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON offence AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON offence TO billing")
    op.execute("ALTER TABLE credit_use ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE credit_use FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON credit_use USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON credit_use AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON credit_use TO billing")
    op.execute("ALTER TABLE unapplication ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE unapplication FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON unapplication USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON unapplication AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON unapplication TO billing")
    op.execute("ALTER TABLE credit_note_line ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE credit_note_line FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON credit_note_line USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON credit_note_line AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON credit_note_line TO billing")


def _fill() -> None:
    """What invoices issued before are made of: their charges, without discount or tax. They were due when issued."""
    tables = ("invoice", "invoice_line", "open_item", "charge", "site")
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE charge SET reason = 6 WHERE kind = 5")
    op.execute("UPDATE invoice SET subtotal_minor = total_minor")
    op.execute(
        "UPDATE invoice_line SET amount_minor = charge.amount_minor FROM charge "
        "WHERE charge.chain_id = invoice_line.chain_id AND charge.id = invoice_line.charge_id"
    )
    op.execute(
        "UPDATE open_item SET whole_minor = invoice.total_minor, "
        "due_date = (invoice.issued_at AT TIME ZONE site.time_zone)::date "
        "FROM invoice JOIN site ON site.chain_id = invoice.chain_id AND site.id = invoice.site_id "
        "WHERE invoice.chain_id = open_item.chain_id AND invoice.id = open_item.id"
    )
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
