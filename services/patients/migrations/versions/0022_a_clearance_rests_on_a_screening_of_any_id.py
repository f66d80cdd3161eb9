"""A clearance rests on a screening under any id of the person"""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.drop_constraint("clearance_chain_id_patient_id_screening_id_fkey", "clearance", type_="foreignkey")
    op.create_foreign_key(
        op.f("clearance_chain_id_screening_id_fkey"),
        "clearance",
        "screening",
        ["chain_id", "screening_id"],
        ["chain_id", "id"],
    )
