"""Drafts of invoices, and what corrects an invoice: credit notes, money taken off it, and credit."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import NOT_FOR_PATIENTS, chain_table, shown_with
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    id_column,
    instant_column,
    metadata,
    minor_column,
    number_column,
    text_column,
)

# What an invoice will say. Once issued it stays, so that it can tell that it was.
invoice_draft = chain_table(
    "invoice_draft",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    Column("charge_ids", ARRAY(Uuid), nullable=False),
    text_column("currency"),
    minor_column("discount_minor"),
    Column("discount_reason", SmallInteger),
    Column("due_date", Date),
    text_column("note"),
    number_column("version"),
    id_column("invoice_id", needed=False),
    instant_column("created_at"),
    instant_column("updated_at"),
    CheckConstraint("discount_minor >= 0", name="discount"),
)
Index(
    "invoice_draft_of_site_idx",
    invoice_draft.c.chain_id,
    invoice_draft.c.site_id,
    invoice_draft.c.id,
    postgresql_where=invoice_draft.c.invoice_id.is_(None),
)

# What each tax of an invoice comes to, added to prices and inside of them; its parts by line are on the lines.
invoice_tax = chain_table(
    "invoice_tax",
    metadata,
    id_column("invoice_id", key=True),
    id_column("tax_rule_id", key=True),
    id_column("site_id"),
    text_column("name"),
    number_column("rate_ppm"),
    Column("included", Boolean, primary_key=True),
    minor_column("base_minor"),
    minor_column("amount_minor"),
    belongs_to("invoice", "invoice_id"),
    append_only=True,
    shown_if=shown_with("invoice_tax", "invoice", "invoice_id"),
)

# As invoice_series, for credit notes.
credit_note_series = chain_table(
    "credit_note_series",
    metadata,
    id_column("legal_entity_id", key=True),
    Column("last_number", BigInteger, nullable=False),
    shown_if=NOT_FOR_PATIENTS,
)

credit_note = chain_table(
    "credit_note",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("legal_entity_id"),
    Column("number", BigInteger, nullable=False),
    text_column("prefix"),
    id_column("invoice_id"),
    id_column("patient_id"),
    text_column("currency"),
    minor_column("total_minor"),
    minor_column("offset_minor"),
    code_column("reason"),
    text_column("note"),
    code_column("purpose"),
    text_column("made_by"),
    instant_column("issued_at"),
    UniqueConstraint("chain_id", "legal_entity_id", "number"),
    CheckConstraint("total_minor >= 0 AND offset_minor BETWEEN 0 AND total_minor", name="total"),
    CheckConstraint("total_minor > 0 OR reason = 6", name="of_nothing"),  # Voids an invoice whose own total is zero.
    belongs_to("invoice", "invoice_id"),
    Index("credit_note_of_invoice_idx", "chain_id", "invoice_id", "id"),
    Index("credit_note_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("credit_note_of_site_idx", "chain_id", "site_id", "id"),
    Index("credit_note_of_number_idx", "chain_id", "number", "prefix"),
    append_only=True,
)

# `amount_minor` is after discount; `discount_minor` is the part of the discount that goes with it.
credit_note_line = chain_table(
    "credit_note_line",
    metadata,
    id_column("credit_note_id", key=True),
    id_column("charge_id", key=True),
    id_column("site_id"),
    number_column("quantity"),
    minor_column("amount_minor"),
    minor_column("discount_minor"),
    minor_column("tax_minor"),
    minor_column("included_tax_minor"),
    CheckConstraint("amount_minor >= 0 AND discount_minor >= 0 AND tax_minor >= 0", name="amounts"),
    belongs_to("credit_note", "credit_note_id"),
    ForeignKeyConstraint(["chain_id", "charge_id"], ["invoice_line.chain_id", "invoice_line.charge_id"]),
    Index("credit_note_line_of_charge_idx", "chain_id", "charge_id"),
    append_only=True,
    shown_if=shown_with("credit_note_line", "credit_note", "credit_note_id"),
)

# Money taken off an invoice again. `item_id` is the payment or the credit that had been applied to it.
unapplication = chain_table(
    "unapplication",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("application_id"),
    id_column("item_id"),
    id_column("invoice_id"),
    id_column("credit_note_id", needed=False),  # That did it; else somebody did.
    Column("reason", Text, nullable=False, server_default=""),
    Column("actor", Text, nullable=False, server_default=""),
    text_column("currency"),
    minor_column("amount_minor"),
    instant_column("unapplied_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    belongs_to("credit_note", "credit_note_id"),
    Index("unapplication_of_application_idx", "chain_id", "application_id"),
    append_only=True,
    shown_if=shown_with("unapplication", "invoice", "invoice_id"),
)

# What settles an invoice out of the patient's credit, which a credit note or the end of a package gave.
credit_use = chain_table(
    "credit_use",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("credit_id"),
    id_column("invoice_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    instant_column("applied_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    belongs_to("open_item", "credit_id"),
    belongs_to("invoice", "invoice_id"),
    Index("credit_use_of_invoice_idx", "chain_id", "invoice_id"),
    append_only=True,
    shown_if=shown_with("credit_use", "invoice", "invoice_id"),
)
