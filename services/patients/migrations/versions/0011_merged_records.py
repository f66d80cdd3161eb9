"""Merged records"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

SURVIVOR_STANDS = """\
CREATE FUNCTION survivor_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND id = NEW.survivor_id AND survivor_id IS NOT NULL)
OR EXISTS (SELECT FROM patient WHERE chain_id = NEW.chain_id AND survivor_id = NEW.id AND NEW.survivor_id IS NOT NULL)
THEN
    RAISE EXCEPTION 'a merged record stands for no other'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'patient_survivor_stands';
END IF;
RETURN NULL;
END $$"""
SURVIVOR_STANDS_TRIGGER = """\
CREATE TRIGGER patient_survivor_stands AFTER UPDATE OF survivor_id ON patient
FOR EACH ROW EXECUTE FUNCTION survivor_stands()"""
SHARE_SITES = """\
CREATE FUNCTION share_sites(members uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    chain constant uuid := nullif(current_setting('app.chain', true), '')::uuid;
    callers constant text := current_setting('app.sites', true);
    own uuid[];
    extra record;
BEGIN
PERFORM set_config('app.sites', '*', true);
SELECT array_agg(DISTINCT site_id) INTO own FROM patient_site
    WHERE chain_id = chain AND patient_id = ANY (members) AND NOT shared;
INSERT INTO patient_site (chain_id, patient_id, site_id, shared)
    SELECT chain, member, site, true FROM unnest(members) AS member, unnest(own) AS site ORDER BY member, site
    ON CONFLICT DO NOTHING;
FOR extra IN SELECT patient_id, site_id FROM patient_site
    WHERE chain_id = chain AND patient_id = ANY (members) AND shared AND site_id <> ALL (own)
LOOP
    BEGIN
        DELETE FROM patient_site
            WHERE chain_id = chain AND patient_id = extra.patient_id AND site_id = extra.site_id;
    EXCEPTION WHEN foreign_key_violation THEN
        NULL;  -- Something was written there meanwhile.
    END;
END LOOP;
PERFORM set_config('app.sites', callers, true);
END $$"""
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
UPDATE consent AS part SET signer_name = '-', witness_name = '-' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE consent_withdrawal AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE safety_flag AS part SET note = CASE WHEN note = '' THEN '' ELSE '-' END WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE adverse_event AS part SET description = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE glass_review AS part SET note = '' FROM break_glass AS broken
    WHERE part.chain_id = chain AND broken.chain_id = chain AND broken.id = part.glass_break_id
    AND broken.patient_id = patient;
UPDATE patient_merge AS part SET reason = '', unmerge_reason = CASE WHEN unmerged_at IS NOT NULL THEN '' END
    WHERE part.chain_id = chain AND (part.merged_id = patient OR part.survivor_id = patient);
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$"""


def upgrade() -> None:
    op.create_table(
        "patient_merge",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("merged_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("merged_by", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unmerge_id", sa.Uuid(), nullable=True),
        sa.Column("unmerge_reason", sa.Text(), nullable=True),
        sa.Column("unmerged_by", sa.Text(), nullable=True),
        sa.Column("unmerged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(unmerge_id, unmerge_reason, unmerged_by, unmerged_at) IN (0, 4)",
            name=op.f("patient_merge_unmerged_check"),
        ),
        sa.CheckConstraint("survivor_id <> merged_id", name=op.f("patient_merge_two_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "merged_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_merge_chain_id_merged_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "survivor_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("patient_merge_chain_id_survivor_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("patient_merge_pkey")),
        sa.UniqueConstraint(
            "chain_id", "merged_id", "version", name=op.f("patient_merge_chain_id_merged_id_version_key")
        ),
    )
    op.create_index(
        "patient_merge_standing_key",
        "patient_merge",
        ["chain_id", "merged_id"],
        unique=True,
        postgresql_where=sa.text("unmerged_at IS NULL"),
    )
    op.create_index("patient_merge_survivor_idx", "patient_merge", ["chain_id", "survivor_id", "id"], unique=False)
    op.add_column("patient", sa.Column("survivor_id", sa.Uuid(), nullable=True))
    op.create_index(
        "patient_survivor_idx",
        "patient",
        ["chain_id", "survivor_id"],
        unique=False,
        postgresql_where=sa.text("survivor_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("patient_chain_id_survivor_id_fkey"), "patient", "patient", ["chain_id", "survivor_id"], ["chain_id", "id"]
    )
    op.create_check_constraint(op.f("patient_survivor_check"), "patient", "survivor_id <> id")
    op.add_column("patient_site", sa.Column("shared", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("ALTER TABLE patient_merge ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient_merge FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON patient_merge USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON patient_merge TO patients")
    op.execute(SURVIVOR_STANDS)
    op.execute(SURVIVOR_STANDS_TRIGGER)
    op.execute(SHARE_SITES)
    op.execute("REVOKE EXECUTE ON FUNCTION share_sites FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION share_sites TO patients")
    op.execute(ANONYMISE)
