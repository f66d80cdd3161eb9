"""Good Faith Estimates whole"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "document_order",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("shown_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("document_order_pkey")),
        sa.UniqueConstraint("chain_id", "kind", "shown_id", name=op.f("document_order_chain_id_kind_shown_id_key")),
    )
    op.create_table(
        "served_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("served_chain_pkey")),
    )
    op.create_table(
        "staff",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("npi", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("staff_pkey")),
    )
    op.create_table(
        "document",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("pdf", sa.LargeBinary(), nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("keep_until", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "octet_length(pdf) > 28 AND octet_length(snapshot) > 28", name=op.f("document_encrypted_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "id"], ["document_order.chain_id", "document_order.id"], name=op.f("document_chain_id_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("document_pkey")),
    )
    op.create_table(
        "document_work",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "document_id"],
            ["document_order.chain_id", "document_order.id"],
            name=op.f("document_work_chain_id_document_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "document_id", name=op.f("document_work_pkey")),
    )
    op.create_index("document_work_next_idx", "document_work", ["chain_id", "not_before"], unique=False)
    op.create_table(
        "estimate_acknowledgement",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("estimate_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "estimate_id"],
            ["estimate.chain_id", "estimate.id"],
            name=op.f("estimate_acknowledgement_chain_id_estimate_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "estimate_id", name=op.f("estimate_acknowledgement_pkey")),
    )
    op.create_table(
        "estimate_approval",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("up_to_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("up_to_minor > 0", name=op.f("estimate_approval_up_to_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("estimate_approval_chain_id_course_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_approval_pkey")),
    )
    op.create_index("estimate_approval_of_course_idx", "estimate_approval", ["chain_id", "course_id"], unique=False)
    op.create_table(
        "estimate_delivery",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("estimate_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "estimate_id"],
            ["estimate.chain_id", "estimate.id"],
            name=op.f("estimate_delivery_chain_id_estimate_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_delivery_pkey")),
    )
    op.create_index(
        "estimate_delivery_of_estimate_idx", "estimate_delivery", ["chain_id", "estimate_id", "id"], unique=False
    )
    op.create_table(
        "estimate_dispute",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("closed_at >= opened_at", name=op.f("estimate_dispute_closed_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("estimate_dispute_chain_id_course_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_dispute_pkey")),
    )
    op.create_index(
        "estimate_dispute_open_key",
        "estimate_dispute",
        ["chain_id", "course_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "estimate_duty",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("estimate_id", sa.Uuid(), nullable=False),
        sa.Column("trigger", sa.SmallInteger(), nullable=False),
        sa.Column("standing", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("act_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["chain_id", "estimate_id"],
            ["estimate.chain_id", "estimate.id"],
            name=op.f("estimate_duty_chain_id_estimate_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_duty_pkey")),
        sa.UniqueConstraint("chain_id", "estimate_id", name=op.f("estimate_duty_chain_id_estimate_id_key")),
    )
    op.create_index(
        "estimate_duty_open_idx",
        "estimate_duty",
        ["chain_id", "site_id", "act_by", "id"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "estimate_duty_untold_idx",
        "estimate_duty",
        ["chain_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NULL AND told_at IS NULL"),
    )
    op.create_table(
        "estimate_excess",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("billed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("estimate_excess_chain_id_course_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "course_id", name=op.f("estimate_excess_pkey")),
    )
    op.add_column("estimate", sa.Column("last_date", sa.Date(), nullable=True))
    op.add_column("estimate", sa.Column("beyond_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("estimate", sa.Column("too_late", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "estimate",
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("estimate_line", sa.Column("provider_id", sa.Uuid(), nullable=True))
    op.add_column(
        "estimate_line",
        sa.Column("codes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column("site", sa.Column("display_name", sa.Text(), server_default="", nullable=False))
    op.add_column("site", sa.Column("state", sa.Text(), server_default="", nullable=False))
    op.add_column("site", sa.Column("address", sa.Text(), server_default="", nullable=False))
    op.add_column("site", sa.Column("version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("visit", sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("ALTER TABLE document_order ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE document_order FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON document_order USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON document_order AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON document_order AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON document_order TO billing")
    op.execute("ALTER TABLE served_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE served_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON served_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON served_chain TO billing")
    op.execute(
        "CREATE POLICY every_chain ON served_chain FOR SELECT TO billing USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute("ALTER TABLE staff ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE staff FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON staff USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON staff TO billing")
    op.execute("ALTER TABLE document ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE document FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON document USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON document AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON document AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON document TO billing")
    op.execute("ALTER TABLE document_work ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE document_work FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON document_work USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON document_work AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON document_work TO billing")
    op.execute("ALTER TABLE estimate_acknowledgement ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_acknowledgement FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_acknowledgement USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_acknowledgement AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate_acknowledgement AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_acknowledgement TO billing")
    op.execute("ALTER TABLE estimate_approval ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_approval FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_approval USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_approval AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_approval TO billing")
    op.execute("ALTER TABLE estimate_delivery ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_delivery FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_delivery USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_delivery AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate_delivery AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_delivery TO billing")
    op.execute("ALTER TABLE estimate_dispute ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_dispute FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_dispute USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_dispute AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate_dispute AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON estimate_dispute TO billing")
    op.execute("ALTER TABLE estimate_duty ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_duty FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_duty USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_duty AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON estimate_duty AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON estimate_duty TO billing")
    op.execute("ALTER TABLE estimate_excess ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_excess FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_excess USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON estimate_excess AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT ON estimate_excess TO billing")
