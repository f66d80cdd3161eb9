"""Merged patients, and what they leave to do"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "patient_alias",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("alias_id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=True),
        sa.Column("end_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("survivor_id <> alias_id", name=op.f("patient_alias_of_another_check")),
        sa.PrimaryKeyConstraint("chain_id", "alias_id", name=op.f("patient_alias_pkey")),
    )
    op.create_index("patient_alias_end_idx", "patient_alias", ["chain_id", "end_id"], unique=False)
    op.create_table(
        "patient_merge",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("alias_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "alias_id", "version", name=op.f("patient_merge_pkey")),
    )
    op.create_table(
        "task",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("merged_patient_id", sa.Uuid(), nullable=False),
        sa.Column("merge_version", sa.Integer(), nullable=False),
        sa.Column("visit_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("completed_by", sa.Text(), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'TASK_STATE_DONE') = (completed_at IS NOT NULL) AND (completed_by IS NULL) = (completed_at IS NULL)",
            name=op.f("task_completed_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('TASK_KIND_OVERLAPPING_VISITS', 'TASK_KIND_VISITS_TO_ASSIGN')", name=op.f("task_kind_check")
        ),
        sa.CheckConstraint("state IN ('TASK_STATE_OPEN', 'TASK_STATE_DONE')", name=op.f("task_state_check")),
        sa.CheckConstraint("cardinality(visit_ids) > 0", name=op.f("task_visits_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("task_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("task_pkey")),
        sa.UniqueConstraint(
            "chain_id", "site_id", "kind", "merged_patient_id", "merge_version", "visit_ids", name="task_never_twice"
        ),
    )
    op.create_index("task_by_site", "task", ["chain_id", "site_id", "id"], unique=False)
    op.create_index("task_by_state", "task", ["chain_id", "site_id", "state", "id"], unique=False)
    op.execute("ALTER TABLE patient_alias ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_alias FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_alias USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_alias TO scheduling")
    op.execute("ALTER TABLE patient_merge ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_merge FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_merge USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON patient_merge TO scheduling")
    op.execute("ALTER TABLE task ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE task FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON task USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON task AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON task AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON task TO scheduling")
