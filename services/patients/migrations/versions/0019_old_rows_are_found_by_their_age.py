"""Old rows are found by their age

Dead letters that wait for something have a time at which they are tried again; earlier versions gave them none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_index("idempotency_age_idx", "idempotency", ["created_at"], unique=False)
    op.create_index("inbox_age_idx", "inbox", ["received_at"], unique=False)
    op.create_index(
        "outbox_age_idx", "outbox", ["published_at"], unique=False, postgresql_where=sa.text("published_at IS NOT NULL")
    )
    op.execute("ALTER TABLE dead_letter NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE dead_letter SET replay_at = now() WHERE waits_for IS NOT NULL AND replay_at IS NULL")
    op.execute("ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY")
