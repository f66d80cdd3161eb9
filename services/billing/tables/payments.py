"""What becomes of payments after they were taken: taken off invoices, reversed, made credit or a fee, given back.

How much of a payment is where stands in its open item: what is left of it, what of it is credit, what of it is gone.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, SmallInteger, Text, UniqueConstraint

from chassis.tables import NOT_FOR_PATIENTS, chain_table
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    metadata,
    minor_column,
    number_column,
    text_column,
)

# What a terminal printed, or the number of a patient's cheque: once on a day, unless its payment is reversed.
taken_reference = chain_table(
    "taken_reference",
    metadata,
    id_column("site_id", key=True),
    Column("business_date", Date, primary_key=True),
    Column("tender", SmallInteger, primary_key=True),
    Column("reference", Text, primary_key=True),
    id_column("payer_id", key=True),  # Of a cheque its patient, since theirs are numbered alike; else nobody's.
    id_column("payment_id"),
    Index("taken_reference_of_payment_idx", "chain_id", "payment_id"),
    shown_if=NOT_FOR_PATIENTS,
)

reversal = chain_table(
    "reversal",
    metadata,
    id_column("payment_id", key=True),  # Once.
    id_column("site_id"),
    id_column("patient_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    text_column("reason"),
    text_column("actor"),
    day_column("business_date"),
    instant_column("reversed_at"),
    belongs_to("payment", "payment_id"),
    Index("reversal_of_patient_idx", "chain_id", "patient_id"),
    Index("reversal_of_day_idx", "chain_id", "site_id", "business_date"),
    append_only=True,
)

credit_transfer = chain_table(
    "credit_transfer",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("payment_id"),
    text_column("currency"),
    minor_column("amount_minor"),  # Above zero into credit, below out of it.
    instant_column("moved_at"),
    CheckConstraint("amount_minor <> 0", name="amount"),
    belongs_to("payment", "payment_id"),
    Index("credit_transfer_of_patient_idx", "chain_id", "patient_id"),
    append_only=True,
)

# Part of a deposit that became a fee; below zero, what of it was given back when the fee was waived.
forfeiture = chain_table(
    "forfeiture",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id"),
    id_column("payment_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    text_column("reason"),
    text_column("actor"),
    instant_column("forfeited_at"),
    id_column("charge_id", needed=False),  # Of the fee, which charges only the rest. None: somebody did it by hand.
    Column("tax_minor", BigInteger, nullable=False, server_default="0"),  # That `amount_minor` includes.
    CheckConstraint("amount_minor > 0 OR amount_minor < 0 AND charge_id IS NOT NULL", name="amount"),
    CheckConstraint("tax_minor BETWEEN 0 AND amount_minor OR tax_minor <= 0 AND tax_minor >= amount_minor", name="tax"),
    belongs_to("payment", "payment_id"),
    belongs_to("course", "course_id"),
    belongs_to("charge", "charge_id"),
    Index("forfeiture_of_patient_idx", "chain_id", "patient_id"),
    Index("forfeiture_of_charge_idx", "chain_id", "charge_id"),
    Index("forfeiture_of_course_idx", "chain_id", "course_id"),
    append_only=True,
)

refund = chain_table(
    "refund",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    text_column("reason"),
    text_column("actor"),
    day_column("business_date"),
    instant_column("created_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    Index("refund_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("refund_of_day_idx", "chain_id", "site_id", "business_date", "id"),
    append_only=True,
)

# What of a refund comes from one payment, or from credit of the patient, which is the open item of a credit note or of
# the end of a package: then the payment, if any, is the one whose card gets it. Its state changes where a card
# processor makes it.
refund_part = chain_table(
    "refund_part",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("refund_id"),
    id_column("payment_id", needed=False),
    id_column("credit_id", needed=False),
    code_column("tender"),
    text_column("reference"),
    text_column("currency"),
    minor_column("amount_minor"),
    minor_column("credit_minor"),  # Of it: what was credit.
    code_column("state"),
    Column("processor_id", Text),
    text_column("failure"),
    number_column("tries"),
    instant_column("look_at", needed=False),  # When to ask the processor again, in real time. None: no need.
    instant_column("changed_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("credit_minor BETWEEN 0 AND amount_minor", name="credit"),
    CheckConstraint("(state = 1) = (look_at IS NOT NULL)", name="looked_at"),
    CheckConstraint(
        "CASE WHEN credit_id IS NULL THEN payment_id IS NOT NULL"
        " ELSE credit_minor = amount_minor AND (tender = 4) = (payment_id IS NOT NULL) END",
        name="source",
    ),
    belongs_to("refund", "refund_id"),
    belongs_to("payment", "payment_id"),
    belongs_to("open_item", "credit_id"),
    Index("refund_part_of_refund_idx", "chain_id", "refund_id"),
    Index("refund_part_of_payment_idx", "chain_id", "payment_id"),
    Index("refund_part_of_processor_idx", "chain_id", "processor_id"),
)
Index(
    "refund_part_look_idx",
    refund_part.c.chain_id,
    refund_part.c.look_at,
    postgresql_where=refund_part.c.look_at.is_not(None),
)

# What was in the drawer at the end of a day beside its float, in each currency; below zero, what was missing from that.
# It is counted once, and closes the day's cash.
cash_count = chain_table(
    "cash_count",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    day_column("business_date"),
    text_column("currency"),
    minor_column("expected_minor"),
    minor_column("counted_minor"),
    text_column("note"),
    text_column("actor"),
    instant_column("counted_at"),
    Index("cash_count_of_site_idx", "chain_id", "site_id", "id"),
    UniqueConstraint("chain_id", "site_id", "business_date", "currency", name="cash_is_counted_once"),
    belongs_to("site", "site_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)
