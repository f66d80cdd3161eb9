"""Holds"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "holding_chain",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("holding_chain_pkey")),
    )
    op.create_table(
        "hold",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "held_at < expire_at AND expire_at <= held_at + interval '1 hour'", name=op.f("hold_an_hour_at_most_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"], ["course.chain_id", "course.id"], name=op.f("hold_chain_id_course_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "course_id", name=op.f("hold_pkey")),
    )
    op.create_index("hold_by_actor", "hold", ["chain_id", "actor"], unique=False)
    op.create_index("hold_by_end", "hold", ["chain_id", "expire_at"], unique=False)
    op.add_column("allocation", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("course", "booked_at", existing_type=postgresql.TIMESTAMP(timezone=True), nullable=True)
    op.add_column("presence", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.execute("ALTER TABLE holding_chain ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE holding_chain FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON holding_chain USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON holding_chain TO scheduling")
    op.execute(
        "CREATE POLICY every_chain ON holding_chain FOR SELECT TO scheduling USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')"
    )
    op.execute(
        "ALTER TABLE hold ADD CONSTRAINT hold_one_at_a_time EXCLUDE USING gist (chain_id WITH =, patient_id WITH =, tstzrange(held_at, expire_at) WITH &&)"
    )
    op.execute("ALTER TABLE hold ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE hold FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON hold USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("CREATE POLICY own_sites ON hold AS RESTRICTIVE USING (true) WITH CHECK (true)")
    op.execute(
        "CREATE POLICY written_at_own_sites ON hold AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON hold AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ','))) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON hold AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON hold AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON hold TO scheduling")
