"""Words that nobody is called by are forgotten

Of names that were changed until now they stayed, also after the patient was forgotten.
"""

from alembic import op

revision = "0021"
down_revision = "0020"

FORGET_WORDS = """
DELETE FROM name_spelling WHERE NOT EXISTS (
    SELECT FROM patient_name
    WHERE patient_name.chain_id = name_spelling.chain_id AND patient_name.word = name_spelling.word
)
"""
NAMED = ("patient_name", "name_spelling")


def upgrade() -> None:
    for table in NAMED:  # The owner, too, sees the rows of one chain only, unless it says otherwise.
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(FORGET_WORDS)
    for table in NAMED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
