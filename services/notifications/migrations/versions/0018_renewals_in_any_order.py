"""renewals in any order"""

from uuid import uuid5

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

KEY = ("chain_id", "patient_id", "document_id")
RENEWAL = sa.table("renewal", *(sa.column(name, sa.Uuid) for name in (*KEY, "version_id", "matter_id")))
MATTER = sa.table("matter", *(sa.column(name, sa.Uuid) for name in ("chain_id", "id")))
BATCH = 1_000


def upgrade() -> None:
    op.create_table(
        "renewal_end",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "patient_id", "document_id", name=op.f("renewal_end_pkey")),
    )
    op.create_table(
        "retired_document",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "document_id", name=op.f("retired_document_pkey")),
    )
    op.add_column(
        "renewal", sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.add_column("renewal", sa.Column("matter_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE renewal_end ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE renewal_end FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON renewal_end USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute(
        "CREATE POLICY own_patient ON renewal_end AS RESTRICTIVE USING ('' = coalesce(current_setting('app.patient', true), '') OR patient_id::text = current_setting('app.patient', true))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON renewal_end TO notifications")
    op.execute("ALTER TABLE retired_document ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE retired_document FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON retired_document USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON retired_document TO notifications")
    for table in ("renewal", "matter"):  # The owner, too, sees the rows of one chain only, unless it says otherwise.
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    _note_what_was_told()
    for table in ("renewal", "matter"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _note_what_was_told() -> None:
    """Its matter shows it, whose id follows from the version and the patient."""
    own = sa.and_(*(RENEWAL.c[name] == sa.bindparam(f"own_{name}") for name in KEY))
    told = sa.exists().where(MATTER.c.chain_id == RENEWAL.c.chain_id, MATTER.c.id == sa.bindparam("told_id"))
    note = sa.update(RENEWAL).where(own, told).values(matter_id=sa.bindparam("told_id"))
    key = sa.tuple_(*(RENEWAL.c[name] for name in KEY))
    some = sa.select(RENEWAL).order_by(*(RENEWAL.c[name] for name in KEY)).limit(BATCH)
    found = op.get_bind().execute(some).all()
    while found:
        ids = [
            {f"own_{name}": getattr(row, name) for name in KEY}
            | {"told_id": uuid5(row.version_id, str(row.patient_id))}
            for row in found
        ]
        op.get_bind().execute(note, ids)
        last = [getattr(found[-1], name) for name in KEY]
        found = op.get_bind().execute(some.where(key > sa.tuple_(*(sa.literal(id, sa.Uuid) for id in last)))).all()
