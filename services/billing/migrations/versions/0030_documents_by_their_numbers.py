"""documents by their numbers"""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.create_index("credit_note_of_number_idx", "credit_note", ["chain_id", "number", "prefix"], unique=False)
    op.create_index("invoice_of_number_idx", "invoice", ["chain_id", "number", "prefix"], unique=False)
