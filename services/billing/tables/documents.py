"""What patients owe and paid: charges, invoices, payments, and what is left of each."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    and_,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import NOT_FOR_PATIENTS, chain_table, shown_with
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    kind_of_visit,
    metadata,
    minor_column,
    number_column,
    text_column,
)

charge = chain_table(
    "charge",
    metadata,
    id_column(key=True),
    code_column("kind"),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    id_column("visit_id", needed=False),
    day_column("service_date"),
    *kind_of_visit(),  # Empty where no visit took place.
    text_column("item_code"),
    text_column("description"),
    number_column("quantity"),
    text_column("currency"),
    minor_column("amount_minor"),
    id_column("price_book_id", needed=False),
    number_column("price_book_version"),
    id_column("price_item_id", needed=False),
    id_column("event_id", needed=False),
    id_column("corrects_id", needed=False),
    # What a void took back, and is to be billed again, is another charge: in place of which, and of which at first.
    id_column("replaces_id", needed=False),
    id_column("first_id", needed=False),
    Column("made_by", Text, nullable=False, server_default=""),  # Empty: an event made it.
    Column("reason", SmallInteger),  # Of a correction.
    Column("note", Text, nullable=False, server_default=""),
    instant_column("posted_at"),
    CheckConstraint("amount_minor >= 0 OR kind = 5", name="amount"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("kind <> 1 OR (visit_id IS NOT NULL AND price_item_id IS NOT NULL)", name="visit"),
    CheckConstraint("(kind = 5) = (corrects_id IS NOT NULL)", name="correction"),
    CheckConstraint("(kind = 5) = (reason IS NOT NULL)", name="reason"),
    CheckConstraint("(replaces_id IS NULL) = (first_id IS NULL)", name="first"),
    CheckConstraint("replaces_id IS NULL OR kind NOT IN (5, 6)", name="replaces"),
    belongs_to("price_item", "price_item_id"),
    belongs_to("charge", "corrects_id"),
    belongs_to("charge", "replaces_id"),
    belongs_to("charge", "first_id"),
    Index("charge_of_course_idx", "chain_id", "course_id"),
    Index("charge_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("charge_of_day_idx", "chain_id", "site_id", "service_date", "id"),
    Index("charge_corrects_idx", "chain_id", "corrects_id"),
    append_only=True,
)
# A visit is charged once, and so is its fee; a visit that took place after all may have both. Nothing is billed again
# twice.
Index(
    "charge_of_visit_idx",
    charge.c.chain_id,
    charge.c.visit_id,
    unique=True,
    postgresql_where=and_(charge.c.kind == 1, charge.c.replaces_id.is_(None)),
)
Index(
    "charge_fee_of_visit_idx",
    charge.c.chain_id,
    charge.c.visit_id,
    unique=True,
    postgresql_where=and_(charge.c.kind.in_([2, 3]), charge.c.replaces_id.is_(None)),
)
Index(
    "charge_replaces_idx",
    charge.c.chain_id,
    charge.c.replaces_id,
    unique=True,
    postgresql_where=charge.c.replaces_id.is_not(None),
)

payment = chain_table(
    "payment",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    code_column("kind"),
    code_column("tender"),
    text_column("terminal_reference"),
    text_column("currency"),
    minor_column("amount_minor"),
    day_column("business_date"),
    instant_column("received_at"),
    Column("check_number", Text, nullable=False, server_default=""),
    Column("benefit_account", SmallInteger, nullable=False, server_default="0"),  # 0: none.
    id_column("card_charge_id", needed=False),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("(tender = 4) = (card_charge_id IS NOT NULL)", name="card"),
    UniqueConstraint("chain_id", "card_charge_id"),  # What a card was charged is a payment once.
    belongs_to("site", "site_id"),
    belongs_to("patient", "patient_id"),
    belongs_to("course", "course_id"),
    Index("payment_of_day_idx", "chain_id", "site_id", "business_date", "id"),
    Index("payment_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("payment_of_course_idx", "chain_id", "course_id"),
    append_only=True,
)

# The last number of each legal entity: taken last in a transaction, and given back with it.
invoice_series = chain_table(
    "invoice_series",
    metadata,
    id_column("legal_entity_id", key=True),
    Column("last_number", BigInteger, nullable=False),
    shown_if=NOT_FOR_PATIENTS,
)

invoice = chain_table(
    "invoice",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("legal_entity_id"),
    Column("number", BigInteger, nullable=False),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    text_column("currency"),
    Column("subtotal_minor", BigInteger, nullable=False, server_default="0"),
    Column("discount_minor", BigInteger, nullable=False, server_default="0"),
    Column("discount_reason", SmallInteger),
    Column("tax_minor", BigInteger, nullable=False, server_default="0"),  # Added to the prices.
    minor_column("total_minor"),
    Column("prefix", Text, nullable=False, server_default=""),  # Before its number, as it was when it was issued.
    Column("note", Text, nullable=False, server_default=""),
    instant_column("issued_at"),
    CheckConstraint("total_minor = subtotal_minor - discount_minor + tax_minor", name="total"),
    CheckConstraint("discount_minor BETWEEN 0 AND subtotal_minor AND tax_minor >= 0", name="parts"),
    CheckConstraint("(discount_minor > 0) = (discount_reason IS NOT NULL)", name="discount"),
    UniqueConstraint("chain_id", "legal_entity_id", "number"),
    belongs_to("course", "course_id"),
    Index("invoice_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("invoice_of_course_idx", "chain_id", "course_id", "id"),
    Index("invoice_of_site_idx", "chain_id", "site_id", "id"),
    Index("invoice_of_number_idx", "chain_id", "number", "prefix"),
    append_only=True,
)

invoice_line = chain_table(
    "invoice_line",
    metadata,
    id_column("charge_id", key=True),  # A charge is on one invoice.
    id_column("site_id"),
    id_column("invoice_id"),
    # With its corrections, whose own rows have nothing.
    Column("amount_minor", BigInteger, nullable=False, server_default="0"),
    Column("discount_minor", BigInteger, nullable=False, server_default="0"),
    Column("tax_minor", BigInteger, nullable=False, server_default="0"),
    Column("included_tax_minor", BigInteger, nullable=False, server_default="0"),
    Column("codes", JSONB, nullable=False, server_default="[]"),
    CheckConstraint("discount_minor BETWEEN 0 AND amount_minor", name="discount"),
    CheckConstraint("tax_minor >= 0", name="tax"),
    CheckConstraint("included_tax_minor BETWEEN 0 AND amount_minor - discount_minor", name="included_tax"),
    belongs_to("charge", "charge_id"),
    belongs_to("invoice", "invoice_id"),
    Index("invoice_line_of_invoice_idx", "chain_id", "invoice_id"),
    append_only=True,
    shown_if=shown_with("invoice_line", "invoice", "invoice_id"),
)

_STATUS = (
    "CASE WHEN kind <> 2 THEN NULL WHEN voided OR credited_minor > 0 AND credited_minor = whole_minor THEN 4 "
    "WHEN left_minor = 0 THEN 3 WHEN left_minor + credited_minor < whole_minor THEN 2 ELSE 1 END"
)

# An invoice or a payment, and what is left of it. `left_minor` is what the applications leave; the check is the last
# line against money that is applied twice.
open_item = chain_table(
    "open_item",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    code_column("kind"),
    text_column("currency"),
    minor_column("left_minor"),
    instant_column("since"),
    Column("whole_minor", BigInteger),  # Of an invoice: its total, what credit notes took back of it, and until when.
    Column("credited_minor", BigInteger, nullable=False, server_default="0"),
    Column("voided", Boolean, nullable=False, server_default=false()),  # By a credit note, be its total zero.
    Column("due_date", Date),
    Column("status", SmallInteger, Computed(_STATUS, persisted=True)),  # Of an invoice, numbered as in the proto.
    Column("credit_minor", BigInteger, nullable=False, server_default="0"),  # Of a payment: what is credit.
    Column("gone_minor", BigInteger, nullable=False, server_default="0"),  # Reversed, given back, or a fee by now.
    Column("version", Integer, nullable=False, server_default="1"),  # Counts the changes of `left_minor`.
    CheckConstraint("left_minor >= 0", name="left"),
    CheckConstraint("credit_minor >= 0", name="credit"),
    CheckConstraint("gone_minor >= 0", name="gone"),
    CheckConstraint("left_minor + credited_minor <= whole_minor AND credited_minor >= 0", name="whole"),
)
Index(
    "open_item_status_idx",
    open_item.c.chain_id,
    open_item.c.site_id,
    open_item.c.status,
    open_item.c.id,
    postgresql_where=open_item.c.kind == 2,
)
Index(
    "open_item_due_idx",
    open_item.c.chain_id,
    open_item.c.site_id,
    open_item.c.due_date,
    open_item.c.id,
    postgresql_where=and_(open_item.c.kind == 2, open_item.c.left_minor > 0),
)
Index(
    "open_item_left_idx",
    open_item.c.chain_id,
    open_item.c.patient_id,
    open_item.c.site_id,
    postgresql_where=open_item.c.left_minor > 0,
)
Index(
    "open_item_credit_idx",
    open_item.c.chain_id,
    open_item.c.patient_id,
    open_item.c.site_id,
    postgresql_where=open_item.c.credit_minor > 0,
)

application = chain_table(
    "application",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("payment_id"),
    id_column("invoice_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    instant_column("applied_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    belongs_to("payment", "payment_id"),
    belongs_to("invoice", "invoice_id"),
    Index("application_of_payment_idx", "chain_id", "payment_id"),
    Index("application_of_invoice_idx", "chain_id", "invoice_id"),
    append_only=True,
    shown_if=shown_with("application", "invoice", "invoice_id"),
)
