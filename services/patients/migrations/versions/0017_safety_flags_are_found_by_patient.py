"""safety flags are found by patient"""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_index("safety_flag_patient_idx", "safety_flag", ["chain_id", "patient_id", "id"], unique=False)
