"""Screenings wait for review

Of those from before, whatever was not decided by a later clearance, revocation or screening waits from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

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
UPDATE screening AS part SET answer_texts = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE patient_change AS part SET reason = '', changes = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE break_glass AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE restriction AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE clearance AS part SET conditions = '', override_reason = '', revoke_reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE screening_review AS part SET reason = CASE WHEN reason = '' THEN '' ELSE '-' END WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE consent AS part SET signer_name = '-', witness_name = '-' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE consent_withdrawal AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE safety_flag AS part SET note = CASE WHEN note = '' THEN '' ELSE '-' END WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE adverse_event AS part SET description = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE glass_review AS part SET note = '' FROM break_glass AS broken
    WHERE part.chain_id = chain AND broken.chain_id = chain AND broken.id = part.glass_break_id
    AND broken.patient_id = patient;
UPDATE patient_merge AS part SET reason = '', unmerge_reason = CASE WHEN unmerged_at IS NOT NULL THEN '' END
    WHERE part.chain_id = chain AND (part.merged_id = patient OR part.survivor_id = patient);
DELETE FROM screening_review AS part
    WHERE part.chain_id = chain AND part.patient_id = patient AND part.decision IS NULL;
DELETE FROM duplicate_pair AS part
    WHERE part.chain_id = chain AND (part.first_id = patient OR part.second_id = patient);
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$"""
NAMED = ("patient", "screening", "clearance", "screening_review")
_CLEARANCES = """
SELECT FROM clearance JOIN patient AS other ON other.chain_id = clearance.chain_id AND other.id = clearance.patient_id
WHERE clearance.chain_id = last.chain_id AND clearance.protocol_id = last.protocol_id
AND coalesce(other.survivor_id, other.id) = last.person_id
"""
WAITING = f"""
INSERT INTO screening_review (chain_id, screening_id, patient_id, protocol_id, site_id, reason)
SELECT chain_id, id, patient_id, protocol_id, site_id, '' FROM (
    SELECT DISTINCT ON (screening.chain_id, coalesce(survivor_id, patient.id), protocol_id)
        screening.*, coalesce(survivor_id, patient.id) AS person_id
    FROM screening JOIN patient ON patient.chain_id = screening.chain_id AND patient.id = screening.patient_id
    WHERE anonymised_at IS NULL
    ORDER BY screening.chain_id, coalesce(survivor_id, patient.id), protocol_id, screening.id DESC
) AS last
WHERE (outcome = 'SCREENING_OUTCOME_NEEDS_REVIEW' OR outcome = 'SCREENING_OUTCOME_EXCLUDED'
    AND EXISTS ({_CLEARANCES} AND revoked_at IS NULL AND expire_date >= current_date))
AND NOT EXISTS ({_CLEARANCES} AND (clearance.id > last.id OR revoked_at > last.recorded_at))
"""  # noqa: S608


def upgrade() -> None:
    op.create_table(
        "screening_review",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("screening_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("protocol_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("clearance_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(clearance_id IS NOT NULL) = coalesce(decision IN ('SCREENING_DECISION_CLEARED', 'SCREENING_DECISION_CLEARANCE_REVOKED'), false)",
            name=op.f("screening_review_clearance_check"),
        ),
        sa.CheckConstraint(
            "(reason <> '') = coalesce(decision = 'SCREENING_DECISION_NOT_CLEARED', false)",
            name=op.f("screening_review_reason_check"),
        ),
        sa.CheckConstraint(
            "decision IN ('SCREENING_DECISION_CLEARED', 'SCREENING_DECISION_NOT_CLEARED', 'SCREENING_DECISION_CLEARANCE_REVOKED', 'SCREENING_DECISION_SCREENED_AGAIN')",
            name=op.f("screening_review_decision_check"),
        ),
        sa.CheckConstraint(
            "reason = '' OR reason = '-' OR reason ~ '^s1[.].+[.][A-Za-z0-9_-]+$'",
            name=op.f("screening_review_reason_sealed_check"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(decision, decided_by, decided_at) IN (0, 3)", name=op.f("screening_review_decided_check")
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "clearance_id"],
            ["clearance.chain_id", "clearance.id"],
            name=op.f("screening_review_chain_id_clearance_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "screening_id"],
            ["screening.chain_id", "screening.patient_id", "screening.id"],
            name=op.f("screening_review_chain_id_patient_id_screening_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_id", "patient_id", "site_id"],
            ["patient_site.chain_id", "patient_site.patient_id", "patient_site.site_id"],
            name=op.f("screening_review_chain_id_patient_id_site_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "screening_id", name=op.f("screening_review_pkey")),
    )
    op.create_index(
        "screening_review_open_idx",
        "screening_review",
        ["chain_id", "site_id", "screening_id"],
        unique=False,
        postgresql_where=sa.text("decision IS NULL"),
    )
    op.create_index("screening_review_patient_idx", "screening_review", ["chain_id", "patient_id"], unique=False)
    op.execute("ALTER TABLE screening_review ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE screening_review FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON screening_review USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_sites ON screening_review AS RESTRICTIVE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = screening_review.chain_id AND seen.patient_id = screening_review.patient_id LIMIT 1) OR screening_review.patient_id = ANY ((SELECT glass_ids())::uuid[])) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY written_at_own_sites ON screening_review AS RESTRICTIVE FOR INSERT WITH CHECK ('*' = current_setting('app.sites', true) OR site_id::text = ANY (string_to_array(current_setting('app.sites', true), ',')))"
    )
    op.execute(
        "CREATE POLICY changed_by ON screening_review AS RESTRICTIVE FOR UPDATE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = screening_review.chain_id AND seen.patient_id = screening_review.patient_id LIMIT 1)) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY deleted_by ON screening_review AS RESTRICTIVE FOR DELETE USING ('*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen WHERE seen.chain_id = screening_review.chain_id AND seen.patient_id = screening_review.patient_id LIMIT 1))"
    )
    op.execute(
        "CREATE POLICY shown_if ON screening_review AS RESTRICTIVE FOR SELECT USING ((SELECT true FROM patient AS shown WHERE shown.chain_id = screening_review.chain_id AND shown.id = screening_review.patient_id LIMIT 1))"
    )
    op.execute(
        "CREATE POLICY written_if ON screening_review AS RESTRICTIVE FOR INSERT WITH CHECK ((SELECT anonymised_at IS NULL FROM patient AS shown WHERE shown.chain_id = screening_review.chain_id AND shown.id = screening_review.patient_id LIMIT 1))"
    )
    op.execute(
        "CREATE POLICY own_patient ON screening_review AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON screening_review TO patients")
    op.execute(ANONYMISE)
    for table in NAMED:  # The owner, too, sees the rows of one chain only, unless it says otherwise.
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(WAITING)
    for table in NAMED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
