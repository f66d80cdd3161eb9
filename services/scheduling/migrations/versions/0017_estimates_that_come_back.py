"""estimates that come back"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "estimate_delivery",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("returned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id", "course_id"],
            ["course.chain_id", "course.id"],
            name=op.f("estimate_delivery_chain_id_course_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("estimate_delivery_pkey")),
    )
    op.create_index("estimate_delivery_by_course", "estimate_delivery", ["chain_id", "course_id"], unique=False)
    op.add_column("course", sa.Column("estimate_version", sa.Integer(), server_default="0", nullable=False))
    op.execute("ALTER TABLE course NO FORCE ROW LEVEL SECURITY")  # The owner, too, sees the rows of one chain only.
    op.execute(
        "INSERT INTO estimate_delivery (chain_id, id, course_id, version, delivered_at, returned)"
        " SELECT chain_id, gen_random_uuid(), id, 0, estimate_delivered_at, false"
        " FROM course WHERE estimate_delivered_at IS NOT NULL"
    )
    op.execute("ALTER TABLE course FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_delivery ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE estimate_delivery FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON estimate_delivery USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY shown_if ON estimate_delivery AS RESTRICTIVE FOR SELECT USING (CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE (SELECT true FROM course WHERE course.chain_id = estimate_delivery.chain_id AND course.id = estimate_delivery.course_id LIMIT 1) END)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON estimate_delivery TO scheduling")
