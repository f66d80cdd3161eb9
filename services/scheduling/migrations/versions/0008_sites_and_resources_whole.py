"""Sites and resources whole"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "capability",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "code", name=op.f("capability_pkey")),
    )
    op.create_table(
        "busy_time",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '24 hours'", name=op.f("busy_time_a_day_at_most_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "resource_id"],
            ["resource.chain_id", "resource.id"],
            name=op.f("busy_time_chain_id_resource_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "resource_id", "source", "start_at", name=op.f("busy_time_pkey")),
    )
    op.create_index("busy_time_by_time", "busy_time", ["chain_id", "resource_id", "end_at"], unique=False)
    op.create_table(
        "closure",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "start_at < end_at AND end_at <= start_at + interval '367 days'", name=op.f("closure_a_year_at_most_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "resource_id"],
            ["resource.chain_id", "resource.id"],
            name=op.f("closure_chain_id_resource_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("closure_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("closure_pkey")),
    )
    op.create_index("closure_by_resource", "closure", ["chain_id", "resource_id", "end_at"], unique=False)
    op.create_index("closure_by_site", "closure", ["chain_id", "site_id", "end_at", "id"], unique=False)
    op.create_table(
        "lent_resource",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("to_site_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "resource_id"],
            ["resource.chain_id", "resource.id"],
            name=op.f("lent_resource_chain_id_resource_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "to_site_id"], ["site.chain_id", "site.id"], name="lent_resource_site_fkey"
        ),
        sa.PrimaryKeyConstraint("chain_id", "resource_id", "to_site_id", name=op.f("lent_resource_pkey")),
    )
    op.create_index("lent_resource_by_site", "lent_resource", ["chain_id", "to_site_id", "resource_id"], unique=False)
    op.add_column("legal_entity", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "resource",
        sa.Column(
            "credentials", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column("resource", sa.Column("roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column(
        "resource",
        sa.Column("shifts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column("resource", sa.Column("retire_date", sa.Date(), nullable=True))
    op.add_column("resource", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "site",
        sa.Column(
            "exceptions", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column(
        "site", sa.Column("observed_holidays", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("site", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("task", sa.Column("closure_id", sa.Uuid(), nullable=True))
    op.alter_column("task", "merged_patient_id", existing_type=sa.UUID(), nullable=True)
    op.alter_column("task", "merge_version", existing_type=sa.INTEGER(), nullable=True)
    op.create_unique_constraint("task_of_closure", "task", ["chain_id", "closure_id", "site_id", "patient_id"])
    op.execute("ALTER TABLE capability ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE capability FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON capability USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON capability TO scheduling")
    op.execute("ALTER TABLE busy_time ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE busy_time FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON busy_time USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON busy_time TO scheduling")
    op.execute("ALTER TABLE closure ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE closure FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON closure USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY own_sites ON closure AS RESTRICTIVE USING (true) WITH CHECK (true)")
    op.execute(
        "CREATE POLICY written_at_own_sites ON closure AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON closure AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON closure AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON closure TO scheduling")
    op.execute("ALTER TABLE lent_resource ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE lent_resource FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON lent_resource USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON lent_resource TO scheduling")
    op.execute("DROP POLICY own_sites ON allocation")
    op.execute("CREATE POLICY own_sites ON allocation AS RESTRICTIVE USING (true) WITH CHECK (true)")
    op.execute(
        "CREATE POLICY written_at_own_sites ON allocation AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON allocation AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON allocation AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("DROP POLICY own_sites ON resource")
    op.execute(
        "CREATE POLICY own_sites ON resource AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')) OR EXISTS (SELECT FROM lent_resource AS lent WHERE lent.chain_id = resource.chain_id AND lent.resource_id = resource.id AND lent.to_site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON resource AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON resource AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON resource AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("ALTER TABLE task DROP CONSTRAINT task_kind_check")
    op.execute(
        "ALTER TABLE task ADD CONSTRAINT task_kind_check CHECK (kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN', 'TASK_KIND_BROKEN_VISITS'))"
    )
    op.execute(
        "ALTER TABLE task ADD CONSTRAINT task_left_by_a_closure_check CHECK ((kind = 'TASK_KIND_BROKEN_VISITS') = (closure_id IS NOT NULL))"
    )
    op.execute(
        "ALTER TABLE task ADD CONSTRAINT task_left_by_a_merge_check CHECK ((kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN')) = (merged_patient_id IS NOT NULL) AND (merged_patient_id IS NULL) = (merge_version IS NULL))"
    )
