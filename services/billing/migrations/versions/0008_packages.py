"""Packages"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "package",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("valid_days", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.SmallInteger(), nullable=False),
        sa.Column("transferable", sa.Boolean(), nullable=False),
        sa.Column("redeem_site_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("freeze_days", sa.Integer(), nullable=False),
        sa.Column("early_stop", sa.SmallInteger(), nullable=False),
        sa.Column("stop_fee_percent", sa.SmallInteger(), nullable=False),
        sa.Column("redeemable_unpaid", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(version = 0) = (published_at IS NULL)", name=op.f("package_published_check")),
        sa.CheckConstraint("price_minor > 0", name=op.f("package_price_check")),
        sa.CheckConstraint("retired_at IS NULL OR published_at IS NOT NULL", name=op.f("package_retired_check")),
        sa.CheckConstraint("stop_fee_percent BETWEEN 0 AND 100", name=op.f("package_fee_check")),
        sa.CheckConstraint("valid_days > 0 AND freeze_days >= 0", name=op.f("package_days_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("package_pkey")),
    )
    op.create_index(
        "package_version_idx",
        "package",
        ["chain_id", "code", "version"],
        unique=True,
        postgresql_where=sa.text("version > 0"),
    )
    op.create_table(
        "package_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("package_chain_pkey")),
    )
    op.create_table(
        "settlement",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("selling_site_id", sa.Uuid(), nullable=False),
        sa.Column("debtor_id", sa.Uuid(), nullable=False),
        sa.Column("creditor_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("bank_reference", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("settlement_pkey")),
    )
    op.create_table(
        "package_item",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("package_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.CheckConstraint("count > 0", name=op.f("package_item_count_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "package_id"],
            ["package.chain_id", "package.id"],
            name=op.f("package_item_chain_id_package_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "package_id", "position", name=op.f("package_item_pkey")),
        sa.UniqueConstraint(
            "chain_id", "package_id", "visit_type_code", "route_code", "band_code", name="package_item_never_twice"
        ),
    )
    op.create_table(
        "package_price",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("package_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price_minor > 0", name=op.f("package_price_price_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "package_id"],
            ["package.chain_id", "package.id"],
            name=op.f("package_price_chain_id_package_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("package_price_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "package_id", "site_id", name=op.f("package_price_pkey")),
    )
    op.create_table(
        "package_sale",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("package_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("holder_id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("redeem_site_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("sold_on", sa.Date(), nullable=False),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("frozen_on", sa.Date(), nullable=True),
        sa.Column("frozen_days", sa.Integer(), nullable=False),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_as", sa.SmallInteger(), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_as IS NULL)", name=op.f("package_sale_ended_check")),
        sa.CheckConstraint("(expires_on IS NULL) = (expire_at IS NULL)", name=op.f("package_sale_expires_check")),
        sa.CheckConstraint("frozen_days >= 0", name=op.f("package_sale_frozen_days_check")),
        sa.CheckConstraint("price_minor > 0", name=op.f("package_sale_price_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "charge_id"],
            ["charge.chain_id", "charge.id"],
            name=op.f("package_sale_chain_id_charge_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "holder_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("package_sale_chain_id_holder_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "package_id"],
            ["package.chain_id", "package.id"],
            name=op.f("package_sale_chain_id_package_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("package_sale_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("package_sale_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("package_sale_pkey")),
        sa.UniqueConstraint("chain_id", "charge_id", name=op.f("package_sale_chain_id_charge_id_key")),
    )
    op.create_index(
        "package_sale_expiring_idx",
        "package_sale",
        ["chain_id", "expire_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "entitlement",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sale_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("redeem_site_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("value_minor", sa.BigInteger(), nullable=False),
        sa.Column("left_count", sa.Integer(), nullable=False),
        sa.Column("left_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("left_count > 0 OR left_minor = 0", name=op.f("entitlement_left_check")),
        sa.CheckConstraint("left_count BETWEEN 0 AND count", name=op.f("entitlement_left_count_check")),
        sa.CheckConstraint("left_minor BETWEEN 0 AND value_minor", name=op.f("entitlement_left_minor_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "sale_id"],
            ["package_sale.chain_id", "package_sale.id"],
            name=op.f("entitlement_chain_id_sale_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("entitlement_pkey")),
    )
    op.create_index("entitlement_of_patient_idx", "entitlement", ["chain_id", "patient_id", "id"], unique=False)
    op.create_index("entitlement_of_sale_idx", "entitlement", ["chain_id", "sale_id"], unique=False)
    op.create_table(
        "package_end",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sale_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("ended_as", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("left_minor", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("forgiven_minor", sa.BigInteger(), nullable=False),
        sa.Column("refundable_minor", sa.BigInteger(), nullable=False),
        sa.Column("rerated_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("breakage_minor", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("forgiven_minor = 0 OR invoice_id IS NOT NULL", name=op.f("package_end_forgiven_check")),
        sa.CheckConstraint(
            "least(forgiven_minor, refundable_minor, rerated_minor, fee_minor, breakage_minor) >= 0",
            name=op.f("package_end_parts_check"),
        ),
        sa.CheckConstraint(
            "left_minor = forgiven_minor + refundable_minor + rerated_minor + fee_minor + breakage_minor",
            name=op.f("package_end_whole_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "invoice_id"],
            ["invoice.chain_id", "invoice.id"],
            name=op.f("package_end_chain_id_invoice_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "sale_id"],
            ["package_sale.chain_id", "package_sale.id"],
            name=op.f("package_end_chain_id_sale_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("package_end_pkey")),
        sa.UniqueConstraint("chain_id", "sale_id", name=op.f("package_end_chain_id_sale_id_key")),
    )
    op.create_index("package_end_of_patient_idx", "package_end", ["chain_id", "patient_id", "id"], unique=False)
    op.create_table(
        "package_transfer",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sale_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("from_patient_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("transferred_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "sale_id"],
            ["package_sale.chain_id", "package_sale.id"],
            name=op.f("package_transfer_chain_id_sale_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("package_transfer_pkey")),
    )
    op.create_index("package_transfer_of_sale_idx", "package_transfer", ["chain_id", "sale_id"], unique=False)
    op.create_table(
        "redemption",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sale_id", sa.Uuid(), nullable=False),
        sa.Column("entitlement_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("selling_site_id", sa.Uuid(), nullable=False),
        sa.Column("selling_legal_entity_id", sa.Uuid(), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("item_code", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("list_minor", sa.BigInteger(), nullable=True),
        sa.Column("value_minor", sa.BigInteger(), nullable=False),
        sa.Column("unpaid_reason", sa.Text(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undo_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(undone_at IS NULL) = (undo_reason IS NULL)", name=op.f("redemption_undone_check")),
        sa.CheckConstraint("value_minor >= 0 AND list_minor >= 0", name=op.f("redemption_amounts_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "entitlement_id"],
            ["entitlement.chain_id", "entitlement.id"],
            name=op.f("redemption_chain_id_entitlement_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "visit_id"],
            ["rendered_visit.chain_id", "rendered_visit.id"],
            name=op.f("redemption_chain_id_visit_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("redemption_pkey")),
    )
    op.create_index("redemption_of_sale_idx", "redemption", ["chain_id", "sale_id", "id"], unique=False)
    op.create_index(
        "redemption_once_idx",
        "redemption",
        ["chain_id", "visit_id"],
        unique=True,
        postgresql_where=sa.text("undone_at IS NULL"),
    )
    op.create_table(
        "settlement_item",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("redemption_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("selling_site_id", sa.Uuid(), nullable=False),
        sa.Column("debtor_id", sa.Uuid(), nullable=False),
        sa.Column("creditor_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settlement_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("settlement_item_amount_check")),
        sa.CheckConstraint("debtor_id <> creditor_id", name=op.f("settlement_item_two_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "redemption_id"],
            ["redemption.chain_id", "redemption.id"],
            name=op.f("settlement_item_chain_id_redemption_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "settlement_id"],
            ["settlement.chain_id", "settlement.id"],
            name=op.f("settlement_item_chain_id_settlement_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("settlement_item_pkey")),
    )
    op.create_index(
        "settlement_item_open_idx",
        "settlement_item",
        ["chain_id", "debtor_id", "creditor_id", "selling_site_id", "site_id"],
        unique=False,
        postgresql_where=sa.text("settlement_id IS NULL"),
    )
    op.execute("ALTER TABLE package ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON package TO billing")
    op.execute("ALTER TABLE package_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON package_chain TO billing")
    op.execute(
        "CREATE POLICY every_chain ON package_chain FOR SELECT TO billing USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute("ALTER TABLE settlement ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE settlement FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON settlement USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON settlement AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR selling_site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON settlement AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON settlement TO billing")
    op.execute("ALTER TABLE package_item ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_item FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_item USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON package_item TO billing")
    op.execute("ALTER TABLE package_price ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_price FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_price USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON package_price AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON package_price TO billing")
    op.execute(
        "\nCREATE FUNCTION refuse_change_of_published_package() RETURNS trigger LANGUAGE plpgsql AS $$\nDECLARE\n    of_package uuid;\n    published boolean;\nBEGIN\n    IF TG_TABLE_NAME = 'package' THEN\n        published := OLD.published_at IS NOT NULL AND (\n            TG_OP = 'DELETE' OR to_jsonb(NEW) - 'retired_at' - 'row_version'\n                IS DISTINCT FROM to_jsonb(OLD) - 'retired_at' - 'row_version'\n        );\n    ELSE\n        of_package := CASE WHEN TG_OP = 'INSERT' THEN NEW.package_id ELSE OLD.package_id END;\n        SELECT published_at IS NOT NULL INTO published FROM package\n            WHERE chain_id = CASE WHEN TG_OP = 'INSERT' THEN NEW.chain_id ELSE OLD.chain_id END AND id = of_package;\n    END IF;\n    IF published THEN\n        RAISE 'the package is published' USING ERRCODE = 'integrity_constraint_violation',\n            CONSTRAINT = 'published_package_stays';\n    END IF;\n    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;\nEND $$\n"
    )
    op.execute(
        "\nCREATE TRIGGER published_package_stays BEFORE UPDATE OR DELETE ON package\n    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_package()\n"
    )
    op.execute(
        "\nCREATE TRIGGER published_package_stays BEFORE INSERT OR UPDATE OR DELETE ON package_item\n    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_package()\n"
    )
    op.execute(
        "\nCREATE TRIGGER published_package_stays BEFORE INSERT OR UPDATE OR DELETE ON package_price\n    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_package()\n"
    )
    op.execute("ALTER TABLE package_sale ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_sale FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_sale USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON package_sale AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR cardinality(redeem_site_ids) = 0 OR redeem_site_ids::text[] && string_to_array(current_setting('app.sites', true), ',')) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON package_sale AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON package_sale AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON package_sale AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON package_sale AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON package_sale TO billing")
    op.execute("ALTER TABLE entitlement ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE entitlement FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON entitlement USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON entitlement AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR cardinality(redeem_site_ids) = 0 OR redeem_site_ids::text[] && string_to_array(current_setting('app.sites', true), ',')) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON entitlement AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON entitlement AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON entitlement AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON entitlement AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON entitlement TO billing")
    op.execute("ALTER TABLE package_end ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_end FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_end USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON package_end AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON package_end AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON package_end TO billing")
    op.execute("ALTER TABLE package_transfer ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE package_transfer FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON package_transfer USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON package_transfer AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON package_transfer AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON package_transfer TO billing")
    op.execute("ALTER TABLE redemption ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE redemption FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON redemption USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON redemption AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR selling_site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON redemption AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON redemption AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON redemption TO billing")
    op.execute("ALTER TABLE settlement_item ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE settlement_item FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON settlement_item USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON settlement_item AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR selling_site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON settlement_item AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON settlement_item TO billing")
