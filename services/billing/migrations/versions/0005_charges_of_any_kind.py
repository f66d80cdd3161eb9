"""Charges of any kind, entries of any document, codes"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "service_code",
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("visit_type_code", sa.Text(), nullable=False),
        sa.Column("route_code", sa.Text(), nullable=False),
        sa.Column("band_code", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("modifiers", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.CheckConstraint("end_date >= effective_date", name=op.f("service_code_dates_check")),
        sa.CheckConstraint("units > 0", name=op.f("service_code_units_check")),
        sa.PrimaryKeyConstraint("chain_id", "id", name=op.f("service_code_pkey")),
    )
    op.create_index(
        "service_code_of_visit_type_idx",
        "service_code",
        ["chain_id", "visit_type_code", "effective_date"],
        unique=False,
    )
    op.add_column("charge", sa.Column("kind", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("charge", sa.Column("item_code", sa.Text(), server_default="", nullable=False))
    op.add_column("charge", sa.Column("quantity", sa.Integer(), server_default="1", nullable=False))
    op.execute("ALTER TABLE charge NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE charge SET item_code = visit_type_code")
    op.execute("ALTER TABLE charge FORCE ROW LEVEL SECURITY")
    for column in ("kind", "item_code", "quantity"):
        op.alter_column("charge", column, server_default=None)
    op.add_column("charge", sa.Column("corrects_id", sa.Uuid(), nullable=True))
    op.alter_column("charge", "course_id", existing_type=sa.UUID(), nullable=True)
    op.alter_column("charge", "visit_id", existing_type=sa.UUID(), nullable=True)
    op.alter_column("charge", "price_book_id", existing_type=sa.UUID(), nullable=True)
    op.alter_column("charge", "price_item_id", existing_type=sa.UUID(), nullable=True)
    op.alter_column("charge", "event_id", existing_type=sa.UUID(), nullable=True)
    op.drop_constraint(op.f("charge_chain_id_visit_id_fkey"), "charge", type_="foreignkey")
    op.create_foreign_key(
        op.f("charge_chain_id_corrects_id_fkey"), "charge", "charge", ["chain_id", "corrects_id"], ["chain_id", "id"]
    )
    op.drop_constraint(op.f("charge_amount_check"), "charge", type_="check")
    op.create_check_constraint(op.f("charge_amount_check"), "charge", "amount_minor >= 0 OR kind = 5")
    op.create_check_constraint(op.f("charge_quantity_check"), "charge", "quantity > 0")
    op.create_check_constraint(
        op.f("charge_visit_check"), "charge", "kind <> 1 OR (visit_id IS NOT NULL AND price_item_id IS NOT NULL)"
    )
    op.create_check_constraint(op.f("charge_correction_check"), "charge", "(kind = 5) = (corrects_id IS NOT NULL)")
    op.alter_column("entry", "patient_id", existing_type=sa.UUID(), nullable=True)
    op.drop_constraint(op.f("entry_chain_id_source_source_id_key"), "entry", type_="unique")
    op.create_unique_constraint(
        op.f("entry_chain_id_source_source_id_legal_entity_id_key"),
        "entry",
        ["chain_id", "source", "source_id", "legal_entity_id"],
    )
    op.alter_column("invoice", "course_id", existing_type=sa.UUID(), nullable=True)
    op.add_column("posting", sa.Column("item_code", sa.Text(), server_default="", nullable=False))
    op.add_column("posting", sa.Column("counterparty_id", sa.Uuid(), nullable=True))
    op.execute("ALTER TABLE service_code ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE service_code FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_chain ON service_code USING (chain_id = nullif(current_setting('app.chain', true), '')::uuid)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON service_code TO billing")
