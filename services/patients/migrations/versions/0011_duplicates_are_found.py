"""Duplicates are found"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

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
DELETE FROM match_key AS part WHERE part.chain_id = chain AND part.patient_id = patient;
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
DELETE FROM duplicate_pair AS part
    WHERE part.chain_id = chain AND (part.first_id = patient OR part.second_id = patient);
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$"""
# Names of other letters get their keys when a record changes, or is scored.
KEYS = """\
INSERT INTO match_key (chain_id, key, patient_id)
SELECT chain_id, 'n:' || lower(family_name) || '|' || extract(year FROM birth_date)::integer, id FROM patient
    WHERE family_name ~ '^[A-Za-z]+( [A-Za-z]+)*$'
UNION SELECT chain_id, 'i:' || value, patient_id FROM patient_identifier WHERE length(value) >= 5"""
FILLED = ("match_key", "patient", "patient_identifier")


def upgrade() -> None:
    op.create_table(
        "duplicate_pair",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dismiss_reason", sa.Text(), nullable=True),
        sa.Column("dismissed_by", sa.Text(), nullable=True),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(dismiss_reason, dismissed_by, dismissed_at) IN (0, 3) AND CASE state WHEN 'OPEN' THEN dismissed_at IS NULL WHEN 'DISMISSED' THEN dismissed_at IS NOT NULL ELSE true END",
            name=op.f("duplicate_pair_dismissed_check"),
        ),
        sa.CheckConstraint("state IN ('OPEN', 'DISMISSED', 'MERGED')", name=op.f("duplicate_pair_state_check")),
        sa.CheckConstraint("first_id < second_id", name=op.f("duplicate_pair_two_check")),
        sa.CheckConstraint("score BETWEEN 0 AND 10000", name=op.f("duplicate_pair_score_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "first_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("duplicate_pair_chain_id_first_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "second_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("duplicate_pair_chain_id_second_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "first_id", "second_id", name=op.f("duplicate_pair_pkey")),
    )
    op.create_index("duplicate_pair_second_idx", "duplicate_pair", ["chain_id", "second_id"], unique=False)
    op.create_index(
        "duplicate_pair_worklist_idx",
        "duplicate_pair",
        ["chain_id", "state", "score", "first_id", "second_id"],
        unique=False,
    )
    op.create_table(
        "match_key",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id"],
            ["patient.chain_id", "patient.id"],
            name=op.f("match_key_chain_id_patient_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "key", "patient_id", name=op.f("match_key_pkey")),
    )
    op.create_index("match_key_patient_idx", "match_key", ["chain_id", "patient_id"], unique=False)
    op.execute("ALTER TABLE duplicate_pair ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE duplicate_pair FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON duplicate_pair USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON duplicate_pair TO patients")
    op.execute("ALTER TABLE match_key ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE match_key FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON match_key USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON match_key AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON match_key TO patients")
    op.execute(ANONYMISE)
    for table in FILLED:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(KEYS)
    for table in FILLED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
