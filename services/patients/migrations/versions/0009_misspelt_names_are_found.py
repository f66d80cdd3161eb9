"""Misspelt names are found, and restricted patients no more

Words that stand there get their line, in the order of the words until the patient is changed, and their spellings. The
owner does that for every chain, so row-level security stops being forced on it for as long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "name_spelling",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("spelling", sa.Text(collation="C"), nullable=False),
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "spelling", "word", name=op.f("name_spelling_pkey")),
    )
    op.add_column("patient_name", sa.Column("line", sa.Text(collation="C"), server_default="", nullable=False))
    op.execute("ALTER TABLE name_spelling ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE name_spelling FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON name_spelling USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON name_spelling TO patients")
    op.execute("ALTER TABLE patient_name DROP CONSTRAINT patient_name_pkey")
    op.execute("ALTER TABLE patient_name NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE name_spelling NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE patient NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "DELETE FROM patient_name USING patient WHERE patient.chain_id = patient_name.chain_id AND patient.id = patient_name.patient_id AND patient.restricted"
    )
    op.execute("ALTER TABLE patient FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE patient_name SET line = CASE WHEN length(whole.line) <= 100 THEN whole.line ELSE rtrim(left(whole.line, 100)) END FROM (SELECT chain_id, patient_id, ' ' || string_agg(word, ' ' ORDER BY word) || ' ' AS line FROM patient_name GROUP BY chain_id, patient_id) AS whole WHERE whole.chain_id = patient_name.chain_id AND whole.patient_id = patient_name.patient_id"
    )
    op.execute(
        "INSERT INTO name_spelling (chain_id, spelling, word) SELECT DISTINCT chain_id, left(word, n - 1) || substr(word, n + 1), word FROM (SELECT DISTINCT chain_id, word FROM patient_name WHERE length(word) >= 4) AS known, generate_series(1, length(word) + 1) AS n"
    )
    op.execute("ALTER TABLE patient_name FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE name_spelling FORCE ROW LEVEL SECURITY")
    op.create_primary_key("patient_name_pkey", "patient_name", ["chain_id", "word", "line", "patient_id"])
    op.drop_index("patient_name_patient_idx", table_name="patient_name")
    op.create_index("patient_name_patient_idx", "patient_name", ["chain_id", "patient_id"], unique=False)
