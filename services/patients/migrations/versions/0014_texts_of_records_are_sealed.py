"""Texts of records are sealed

A clean cut: SQL cannot seal what stands there in clear, and no release had it. Where there is any, this refuses to run.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

SEALED = {
    "adverse_event": ("description",),
    "glass_review": ("note",),
    "patient_change": ("reason", "changes"),
    "screening": ("answers", "answer_texts"),
    "clearance": ("conditions", "override_reason", "revoke_reason"),
    "consent": ("signer_name", "witness_name"),
    "consent_withdrawal": ("reason",),
    "duplicate_pair": ("dismiss_reason",),
    "safety_flag": ("note",),
    "patient_merge": ("reason", "unmerge_reason"),
    "break_glass": ("reason",),
    "restriction": ("reason",),
}
JSON = {"screening": "answers", "clearance": "conditions", "patient_change": "changes"}
FORM = "{name} = '' OR {name} = '-' OR {name} ~ '^s1[.].+[.][A-Za-z0-9_-]+$'"
DISMISSED = (
    "num_nonnulls(dismiss_reason, dismissed_by, dismissed_at, dismissal_id) IN (0, 4) "
    "AND CASE state WHEN 'OPEN' THEN dismissed_at IS NULL WHEN 'DISMISSED' THEN dismissed_at IS NOT NULL ELSE true END"
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
DELETE FROM match_key AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM patient_identifier AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM contact_point AS part WHERE part.chain_id = chain AND part.patient_id = patient;
DELETE FROM related_person AS part WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE screening AS part SET answer_texts = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE patient_change AS part SET reason = '', changes = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE break_glass AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE restriction AS part SET reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
UPDATE clearance AS part SET conditions = '', override_reason = '', revoke_reason = '' WHERE part.chain_id = chain AND part.patient_id = patient;
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


def upgrade() -> None:
    _refuse_clear_texts()
    op.execute("ALTER TABLE idempotency NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM idempotency")  # Answers are remembered for a week, and the new ones sealed.
    op.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY")
    op.add_column("screening", sa.Column("answer_texts", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "patient_change", sa.Column("fields", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column("duplicate_pair", sa.Column("dismissal_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE clearance ALTER COLUMN conditions DROP DEFAULT")
    for table, column in JSON.items():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text USING ''")
    op.execute("ALTER TABLE clearance ALTER COLUMN conditions SET DEFAULT ''")
    for table, columns in SEALED.items():
        for column in columns:
            op.create_check_constraint(op.f(f"{table}_{column}_sealed_check"), table, FORM.format(name=column))
    op.drop_constraint(op.f("duplicate_pair_dismissed_check"), "duplicate_pair")
    op.create_check_constraint(op.f("duplicate_pair_dismissed_check"), "duplicate_pair", DISMISSED)
    op.execute(ANONYMISE)


def _refuse_clear_texts() -> None:
    """The owner, too, sees the rows of one chain only, unless it says otherwise."""
    for table, columns in SEALED.items():
        told = [name for name in columns if name != "answer_texts"]
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        clear = " OR ".join(f"{name}::text NOT IN ('', '-', '[]')" for name in told)
        if op.get_bind().exec_driver_sql(f"SELECT EXISTS (SELECT FROM {table} WHERE {clear})").scalar():  # noqa: S608
            raise RuntimeError(
                f"{table} holds texts in clear, from before there was a release: begin with an empty database"
            )
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
