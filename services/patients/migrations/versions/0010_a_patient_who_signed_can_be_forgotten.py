"""A patient who signed can be forgotten

Who signed for whom is one of a few codes: it stays. Before, none of them was left, which the table refused.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

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
UPDATE idempotency AS part SET response = '' FROM audit_subject AS about
    JOIN audit ON audit.chain_id = about.chain_id AND audit.position = about.position
    WHERE about.chain_id = chain AND about.subject_id = patient AND audit.kind = 'AUDIT_CHANGE'
    AND part.chain_id = chain AND part.actor = audit.actor AND part.method = audit.method
    AND part.request_id::text = audit.cause AND part.response IS NOT NULL;
END $$
"""


def upgrade() -> None:
    op.execute(ANONYMISE)
