"""Measures and safety flags"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "measure",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=True),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retracted_by", sa.Text(), nullable=True),
        sa.Column("retracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(total IS NULL) = (instrument IN ('VITAL_SIGNS', 'SIDE_EFFECTS'))", name=op.f("measure_total_check")
        ),
        sa.CheckConstraint(
            "instrument IN ('PHQ_9', 'GAD_7', 'PCL_5', 'VITAL_SIGNS', 'SIDE_EFFECTS')",
            name=op.f("measure_instrument_check"),
        ),
        sa.CheckConstraint("(retracted_by IS NULL) = (retracted_at IS NULL)", name=op.f("measure_retracted_check")),
        sa.CheckConstraint("taken_at <= recorded_at", name=op.f("measure_taken_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("measure_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("measure_pkey")),
        sa.UniqueConstraint("chain_id", "patient_id", "id", name=op.f("measure_chain_id_patient_id_id_key")),
    )
    op.create_index(
        "measure_course_idx",
        "measure",
        ["chain_id", "patient_id", "course_id", "instrument", "taken_at", "id"],
        unique=False,
    )
    op.create_index("measure_patient_idx", "measure", ["chain_id", "patient_id", "taken_at", "id"], unique=False)
    op.create_table(
        "safety_flag",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("measure_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint("(acknowledged_by IS NULL) = (note = '')", name=op.f("safety_flag_note_check")),
        sa.CheckConstraint("kind IN ('SELF_HARM', 'VITAL_SIGNS')", name=op.f("safety_flag_kind_check")),
        sa.CheckConstraint(
            "(acknowledged_by IS NULL) = (acknowledged_at IS NULL)", name=op.f("safety_flag_acknowledged_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "measure_id"],
            ["measure.chain_id", "measure.patient_id", "measure.id"],
            name=op.f("safety_flag_chain_id_patient_id_measure_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("safety_flag_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("safety_flag_pkey")),
        sa.UniqueConstraint("chain_id", "measure_id", "kind", name=op.f("safety_flag_chain_id_measure_id_kind_key")),
    )
    op.create_index(
        "safety_flag_open_idx",
        "safety_flag",
        ["chain_id", "site_id", "id"],
        unique=False,
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.execute("ALTER TABLE measure ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE measure FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON measure USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON measure AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = measure.chain_id AND seen.patient_id = measure.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = measure.chain_id AND seen.patient_id = measure.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON measure AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON measure AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON measure TO patients")
    op.execute("ALTER TABLE safety_flag ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE safety_flag FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON safety_flag USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON safety_flag AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = safety_flag.chain_id AND seen.patient_id = safety_flag.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = safety_flag.chain_id AND seen.patient_id = safety_flag.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON safety_flag AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON safety_flag AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON safety_flag TO patients")
