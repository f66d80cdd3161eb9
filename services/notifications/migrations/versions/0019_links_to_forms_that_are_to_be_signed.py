"""links to forms that are to be signed"""

from alembic import op

revision = "0019"
down_revision = "0018"

PURPOSES = "'CONFIRM_VISIT', 'ACKNOWLEDGE_ESTIMATE', 'PAY', 'ACCEPT_OFFER', 'READ_RECEIPT', 'READ_REFUND', 'READ_CREDIT_NOTE', 'SIGN_CONSENT'"


def upgrade() -> None:
    op.drop_constraint(op.f("link_purpose_check"), "link")
    op.create_check_constraint(op.f("link_purpose_check"), "link", f"purpose IN ({PURPOSES})")
