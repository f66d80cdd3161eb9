"""consents as patients tells of them

What chains with patients had signed before was not told here. Until all is, it decides nothing of theirs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "chain_without_consents",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("chain_without_consents_pkey")),
    )
    op.create_table(
        "consent_document",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("consent_document_pkey")),
    )
    op.create_table(
        "consent_signature",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("consent_signature_pkey")),
    )
    op.create_index(
        "consent_signature_by_patient",
        "consent_signature",
        ["chain_id", "patient_id", "document_id", "id"],
        unique=False,
    )
    op.create_table(
        "consent_document_version",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("earlier_signatures_stay_good", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "document_id"],
            ["consent_document.chain_id", "consent_document.id"],
            name=op.f("consent_document_version_chain_id_document_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "document_id", "number", name=op.f("consent_document_version_pkey")),
    )
    op.execute("ALTER TABLE patient NO FORCE ROW LEVEL SECURITY")
    op.execute("INSERT INTO chain_without_consents SELECT DISTINCT chain_id FROM patient")
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE chain_without_consents ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE chain_without_consents FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON chain_without_consents USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON chain_without_consents TO scheduling")
    op.execute("ALTER TABLE consent_document ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_document FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_document USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON consent_document TO scheduling")
    op.execute("ALTER TABLE consent_signature ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_signature FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_signature USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON consent_signature AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id = ANY ((SELECT own_ids())::uuid[]))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON consent_signature TO scheduling")
    op.execute("ALTER TABLE consent_document_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE consent_document_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON consent_document_version USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON consent_document_version TO scheduling")
