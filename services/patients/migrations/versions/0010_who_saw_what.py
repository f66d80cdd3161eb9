"""Who saw what"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0003"

CHANGED_BY = (
    "'*' = current_setting('app.sites', true) OR (SELECT true FROM patient_site AS seen "
    "WHERE seen.chain_id = {table}.chain_id AND seen.patient_id = {table}.patient_id LIMIT 1)"
)


def upgrade() -> None:
    op.create_table(
        "audit_subject",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "subject_id", "position", name=op.f("audit_subject_pkey")),
    )
    op.execute("ALTER TABLE audit_subject ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_subject FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON audit_subject USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_subject ON audit_subject AS RESTRICTIVE USING (CASE WHEN '' = coalesce(current_setting('app.patient', true), '') THEN true ELSE subject_id::text = current_setting('app.patient', true) END)"
    )
    op.execute("GRANT SELECT, INSERT ON audit_subject TO patients")
    op.execute("CREATE POLICY every_chain ON audit_subject TO patients_sealer USING (true)")
    op.execute("GRANT SELECT ON audit_subject TO patients_sealer")
    op.create_unique_constraint(op.f("break_glass_chain_id_id_actor_key"), "break_glass", ["chain_id", "id", "actor"])
    op.create_table(
        "glass_review",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("glass_break_id", sa.Uuid(), nullable=False),
        sa.Column("broken_by", sa.Text(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("finding IN ('JUSTIFIED', 'NOT_JUSTIFIED')", name=op.f("glass_review_finding_check")),
        sa.CheckConstraint("reviewed_by <> broken_by", name=op.f("glass_review_another_check")),
        sa.ForeignKeyConstraint(
            ["chain_id", "glass_break_id", "broken_by"],
            ["break_glass.chain_id", "break_glass.id", "break_glass.actor"],
            name=op.f("glass_review_chain_id_glass_break_id_broken_by_fkey"),
        ),
        sa.PrimaryKeyConstraint("chain_id", "glass_break_id", name=op.f("glass_review_pkey")),
    )
    op.execute("ALTER TABLE glass_review ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE glass_review FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON glass_review USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT ON glass_review TO patients")
    glass_gives_reading_only()


def glass_gives_reading_only() -> None:
    """Of every part of a record that there is by now and that can be changed."""
    parts = op.get_bind().exec_driver_sql(
        "SELECT tablename FROM pg_policies AS policy WHERE policyname = 'written_at_own_sites' "
        "AND has_table_privilege('patients', tablename, 'UPDATE') AND NOT EXISTS (SELECT FROM pg_policies AS other "
        "WHERE other.tablename = policy.tablename AND other.policyname = 'changed_by')"
    )
    for (table,) in parts.fetchall():
        changed_by = CHANGED_BY.format(table=table)
        for policy, change in (("changed_by", "UPDATE"), ("deleted_by", "DELETE")):
            op.execute(f"CREATE POLICY {policy} ON {table} AS RESTRICTIVE FOR {change} USING ({changed_by})")
