"""invoices of nothing that are void"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

STATUS = (
    "CASE WHEN kind <> 2 THEN NULL WHEN voided OR credited_minor > 0 AND credited_minor = whole_minor THEN 4 "
    "WHEN left_minor = 0 THEN 3 WHEN left_minor + credited_minor < whole_minor THEN 2 ELSE 1 END"
)


def upgrade() -> None:
    op.add_column("open_item", sa.Column("voided", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute(f"ALTER TABLE open_item ALTER COLUMN status SET EXPRESSION AS ({STATUS})")
    op.drop_constraint(op.f("credit_note_total_check"), "credit_note")
    op.create_check_constraint(
        op.f("credit_note_total_check"), "credit_note", "total_minor >= 0 AND offset_minor BETWEEN 0 AND total_minor"
    )
    op.create_check_constraint(op.f("credit_note_of_nothing_check"), "credit_note", "total_minor > 0 OR reason = 6")
    op.drop_constraint(op.f("credit_note_line_amounts_check"), "credit_note_line")
    op.create_check_constraint(
        op.f("credit_note_line_amounts_check"),
        "credit_note_line",
        "amount_minor >= 0 AND discount_minor >= 0 AND tax_minor >= 0",
    )
