"""Answers are kept sealed only

Where one is not, this fails: the service wrote none so since they are sealed, and an answer is kept for a week.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

TEXT = "convert_from(response, 'UTF8')"
FORM = f"{TEXT} = '' OR {TEXT} = '-' OR {TEXT} ~ '^s1[.].+[.][A-Za-z0-9_-]+$'"


def upgrade() -> None:
    op.create_check_constraint(op.f("idempotency_response_sealed_check"), "idempotency", FORM)
