"""Who sees a record sees all of it"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "break_glass",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "started_at < expire_at AND expire_at <= started_at + interval '60 minutes'",
            name=op.f("break_glass_minutes_check"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("break_glass_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("break_glass_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("break_glass_pkey")),
    )
    op.create_index(
        "break_glass_patient_idx", "break_glass", ["chain_id", "patient_id", "actor", "expire_at"], unique=False
    )
    op.execute("ALTER TABLE break_glass ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE break_glass FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON break_glass USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON break_glass AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON break_glass AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON break_glass TO patients")
    op.execute("DROP POLICY own_sites ON screening")
    op.execute(
        "CREATE POLICY own_sites ON screening AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = screening.chain_id AND seen.patient_id = screening.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = screening.chain_id AND seen.patient_id = screening.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON screening AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute("DROP POLICY own_sites ON clearance")
    op.execute(
        "CREATE POLICY own_sites ON clearance AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = clearance.chain_id AND seen.patient_id = clearance.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = clearance.chain_id AND seen.patient_id = clearance.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON clearance AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
