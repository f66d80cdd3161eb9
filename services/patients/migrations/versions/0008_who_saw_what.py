"""Who saw what"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

CHANGED_BY = (
    "'*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen "
    "WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id LIMIT 1)"
)
SHOWN_IF = (
    "(SELECT true FROM patient AS shown "
    "WHERE shown.chain_id = {table}.chain_id AND shown.id = {table}.patient_id LIMIT 1)"
)
WRITTEN_IF = SHOWN_IF.replace("SELECT true", "SELECT anonymised_at IS NULL")
NOT_RESTRICTED = (
    "NOT restricted OR '' = coalesce(current_setting('app.roles', true), '') "
    "OR string_to_array(current_setting('app.roles', true), ',') "
    "&& '{CHAIN_ADMIN,AUDITOR,CLINICIAN,PATIENT,SERVICE}'::text[]"
)
ANONYMISE = """\
CREATE OR REPLACE FUNCTION anonymise_patient(patient uuid, instant timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
BEGIN
UPDATE public.patient AS part SET
    mrn = 'GONE-' || upper(right(replace(part.id::text, '-', ''), 24)), given_names = '{}', family_name = '',
    prefix = '', preferred_name = '', former_names = '[]', gender_identity = 'UNSPECIFIED', deceased_date = NULL,
    birth_date = make_date(extract(year FROM birth_date)::integer, 1, 1), restricted = true,
    version = version + 1, updated_at = instant, anonymised_at = instant
    WHERE part.chain_id = chain AND part.id = patient;
DELETE FROM patient_name AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM patient_identifier AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM contact_point AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM related_person AS part WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE screening AS part SET answers = (SELECT coalesce(jsonb_agg(CASE jsonb_typeof(answer->1) WHEN 'string'
    THEN jsonb_build_array(answer->0, '') ELSE answer END ORDER BY place), '[]')
    FROM jsonb_array_elements(answers) WITH ORDINALITY AS each (answer, place)) WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE patient_change AS part SET reason = '', changes = (SELECT coalesce(jsonb_agg(jsonb_build_array(change->0, NULL, NULL) ORDER BY place), '[]')
    FROM jsonb_array_elements(changes) WITH ORDINALITY AS each (change, place)) WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE break_glass AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE restriction AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE clearance AS part SET conditions = '[]', override_reason = '', revoke_reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE consent AS part SET signer_name = '-', relationship = '-', witness_name = '-' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE consent_withdrawal AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE safety_flag AS part SET note = CASE WHEN note = '' THEN '' ELSE '-' END WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE adverse_event AS part SET description = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE glass_review AS part SET note = '' FROM break_glass AS broken
    WHERE part.chain_id = chain AND broken.chain_id = chain AND broken.id = part.glass_break_id
    AND broken.patient_id = patient;
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$"""


def upgrade() -> None:
    op.create_table(
        "audit_subject",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "subject_id", "position", name=op.f("audit_subject_pkey")),
    )
    op.execute("ALTER TABLE audit_subject ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_subject FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_subject USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_subject ON audit_subject AS RESTRICTIVE USING (CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE subject_id::text = current_setting('app.patient', true) END)"
    )
    op.execute("GRANT SELECT, INSERT ON audit_subject TO patients")
    op.execute("CREATE POLICY every_chain ON audit_subject TO patients_sealer USING (true)")
    op.execute("GRANT SELECT ON audit_subject TO patients_sealer")
    op.create_unique_constraint(op.f("break_glass_chain_id_id_actor_key"), "break_glass", ["chain_id", "id", "actor"])
    op.create_table(
        "glass_review",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("glass_break_id", sa.Uuid(), nullable=False),
        sa.Column("broken_by", sa.Text(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("finding IN ('JUSTIFIED', 'NOT_JUSTIFIED')", name=op.f("glass_review_finding_check")),
        sa.CheckConstraint("reviewed_by <> broken_by", name=op.f("glass_review_another_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "glass_break_id", "broken_by"],
            ["break_glass.chain_id", "break_glass.id", "break_glass.actor"],
            name=op.f("glass_review_chain_id_glass_break_id_broken_by_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "glass_break_id", name=op.f("glass_review_pkey")),
    )
    op.execute("ALTER TABLE glass_review ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE glass_review FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON glass_review USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON glass_review TO patients")
    add_retention()
    confine_parts()


def add_retention() -> None:
    op.create_table(
        "retention_policy",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("years", sa.Integer(), nullable=False),
        sa.Column("years_of_age", sa.Integer(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "years BETWEEN 1 AND 50 AND years_of_age BETWEEN 0 AND 50", name=op.f("retention_policy_years_check")
        ),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("retention_policy_pkey")),
    )
    op.create_table(
        "restriction",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("restriction_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("restriction_pkey")),
    )
    op.add_column("patient", sa.Column("restricted", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("patient", sa.Column("anonymised_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("patient_anonymised_check"), "patient", "anonymised_at IS NULL OR restricted AND family_name = ''"
    )
    op.create_index(
        "patient_updated_idx",
        "patient",
        ["chain_id", "updated_at", "id"],
        unique=False,
        postgresql_where=sa.text("anonymised_at IS NULL"),
    )
    for table in ("retention_policy", "restriction"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_chain ON {table} USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
        )
    op.execute(
        "CREATE POLICY own_patient ON restriction AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON retention_policy TO patients")
    op.execute("GRANT SELECT, INSERT ON restriction TO patients")
    op.execute(
        "CREATE POLICY changed_by ON patient AS RESTRICTIVE FOR UPDATE USING (anonymised_at IS NULL) WITH CHECK (true)"
    )
    op.execute("CREATE POLICY deleted_by ON patient AS RESTRICTIVE FOR DELETE USING (anonymised_at IS NULL)")
    op.execute(f"CREATE POLICY shown_if ON patient AS RESTRICTIVE FOR SELECT USING ({NOT_RESTRICTED})")
    op.execute(ANONYMISE)
    op.execute("REVOKE EXECUTE ON FUNCTION anonymise_patient FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION anonymise_patient TO patients")


def confine_parts() -> None:
    """Of every part of a record that there is by now: glass gives reading only, and a part is shown with its patient."""
    parts = op.get_bind().exec_driver_sql(
        "SELECT tablename, has_table_privilege('patients', tablename, 'UPDATE'), "
        "array_agg(policyname::text) FROM pg_policies GROUP BY tablename"
    )
    for table, can_change, policies in parts.fetchall():
        if "written_at_own_sites" not in policies:
            continue
        if can_change and "changed_by" not in policies:
            own = CHANGED_BY.format(table=table)
            op.execute(f"CREATE POLICY changed_by ON {table} AS RESTRICTIVE FOR UPDATE USING ({own}) WITH CHECK (true)")
            op.execute(f"CREATE POLICY deleted_by ON {table} AS RESTRICTIVE FOR DELETE USING ({own})")
        if "shown_if" not in policies:
            shown = SHOWN_IF.format(table=table)
            op.execute(f"CREATE POLICY shown_if ON {table} AS RESTRICTIVE FOR SELECT USING ({shown})")
        if "written_if" not in policies and table != "patient_change":  # Which is written with the patient's own row.
            known = WRITTEN_IF.format(table=table)
            op.execute(f"CREATE POLICY written_if ON {table} AS RESTRICTIVE FOR INSERT WITH CHECK ({known})")
