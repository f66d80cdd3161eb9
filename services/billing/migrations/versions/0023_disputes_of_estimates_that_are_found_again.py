"""disputes of estimates that are found again"""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_index("estimate_dispute_of_course_idx", "estimate_dispute", ["chain_id", "course_id", "id"], unique=False)
    op.create_index(
        "estimate_dispute_of_patient_idx", "estimate_dispute", ["chain_id", "patient_id", "id"], unique=False
    )
    op.create_index("estimate_dispute_of_site_idx", "estimate_dispute", ["chain_id", "site_id", "id"], unique=False)
