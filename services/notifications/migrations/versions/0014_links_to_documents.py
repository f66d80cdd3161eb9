"""links to documents"""

from alembic import op

revision = "0014"
down_revision = "0013"

PURPOSES = (
    "'CONFIRM_VISIT', 'ACKNOWLEDGE_ESTIMATE', 'PAY', 'ACCEPT_OFFER', 'READ_RECEIPT', 'READ_REFUND', 'READ_CREDIT_NOTE'"
)


def upgrade() -> None:
    op.drop_constraint(op.f("link_purpose_check"), "link")
    op.create_check_constraint(op.f("link_purpose_check"), "link", f"purpose IN ({PURPOSES})")
