"""What a record holds and how it changed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "patient_change",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_change_chain_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "site_id"], ["site.chain_id", "site.id"], name=op.f("patient_change_chain_id_site_id_fkey")
        ),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "version", name=op.f("patient_change_pkey")),
    )
    op.create_table(
        "related_person",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("relationship", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "role IN ('EMERGENCY_CONTACT', 'ESCORT', 'GUARANTOR')", name=op.f("related_person_role_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("related_person_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "place", name=op.f("related_person_pkey")),
    )
    op.create_index(
        "related_person_guarantor_idx",
        "related_person",
        ["chain_id", "patient_id"],
        unique=True,
        postgresql_where=sa.text("role = 'GUARANTOR'"),
    )
    op.add_column(
        "contact_point", sa.Column("confidential", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("patient", sa.Column("preferred_name", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "patient",
        sa.Column(
            "former_names", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column("patient", sa.Column("gender_identity", sa.Text(), server_default="UNSPECIFIED", nullable=False))
    op.add_column("patient", sa.Column("deceased_date", sa.Date(), nullable=True))
    op.add_column("patient", sa.Column("self_pay_basis", sa.Text(), nullable=True))
    op.add_column("patient", sa.Column("self_pay_date", sa.Date(), nullable=True))
    op.add_column("patient", sa.Column("self_pay_recorded_by", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("patient_gender_identity_check"),
        "patient",
        "gender_identity IN ('UNSPECIFIED', 'FEMALE', 'MALE', 'NON_BINARY', 'TRANSGENDER_FEMALE', 'TRANSGENDER_MALE', 'OTHER', 'NON_DISCLOSE')",
    )
    op.create_check_constraint(
        op.f("patient_self_pay_basis_check"), "patient", "self_pay_basis IN ('UNINSURED', 'INSURANCE_NOT_USED')"
    )
    op.create_check_constraint(
        op.f("patient_self_pay_check"),
        "patient",
        "num_nonnulls(self_pay_basis, self_pay_date, self_pay_recorded_by) IN (0, 3)",
    )
    op.create_check_constraint(op.f("patient_self_pay_date_check"), "patient", "birth_date <= self_pay_date")
    op.create_check_constraint(
        op.f("patient_deceased_date_check"),
        "patient",
        "deceased_date IS NULL OR deceased AND birth_date <= deceased_date",
    )
    op.execute("ALTER TABLE patient_change ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_change FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_change USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON patient_change AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = patient_change.chain_id AND seen.patient_id = patient_change.patient_id LIMIT 1) OR (SELECT true FROM break_glass AS seen WHERE seen.chain_id = patient_change.chain_id AND seen.patient_id = patient_change.patient_id AND seen.actor = current_setting('app.actor', true) AND seen.expire_at > clock_timestamp() LIMIT 1) OR '*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON patient_change AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY own_patient ON patient_change AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT ON patient_change TO patients")
    op.execute("ALTER TABLE related_person ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE related_person FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON related_person USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON related_person AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON related_person TO patients")
