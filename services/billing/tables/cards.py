"""What is asked of a card processor, committed before it is asked, and what the processor told.

No card number is ever here: cards are the processor's tokens.
"""

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Index, SmallInteger, Text, UniqueConstraint

from chassis.tables import NOT_FOR_PATIENTS, chain_table
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

# A patient as a processor's account knows them. Written before the processor is asked.
processor_customer = chain_table(
    "processor_customer",
    metadata,
    id_column(key=True),
    id_column("patient_id"),
    text_column("account"),
    Column("processor_id", Text),  # None: not known to be made yet.
    UniqueConstraint("chain_id", "patient_id", "account"),
)

card = chain_table(
    "card",
    metadata,
    id_column(key=True),
    id_column("patient_id"),
    text_column("account"),
    text_column("customer"),
    text_column("payment_method"),
    text_column("brand"),
    text_column("last4"),
    Column("expiry_month", SmallInteger, nullable=False),
    Column("expiry_year", SmallInteger, nullable=False),
    instant_column("saved_at"),
    instant_column("detached_at", needed=False),
    instant_column("look_at", needed=False),  # When to tell the processor that it is off file, in real time.
    UniqueConstraint("chain_id", "account", "payment_method"),
    Index("card_of_patient_idx", "chain_id", "patient_id"),
)
Index("card_look_idx", card.c.chain_id, card.c.look_at, postgresql_where=card.c.look_at.is_not(None))

# Money asked of a card. The row is there before the processor is asked, under the key that makes asking twice harmless.
card_charge = chain_table(
    "card_charge",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("course_id", needed=False),
    id_column("invoice_id", needed=False),
    id_column("card_id", needed=False),  # None: the patient enters one.
    text_column("account"),
    text_column("currency"),
    minor_column("amount_minor"),
    Column("saves_card", Boolean, nullable=False),
    code_column("state"),
    Column("processor_id", Text),
    text_column("failure"),
    number_column("tries"),
    instant_column("created_at"),
    instant_column("asked_at"),  # In real time, as the processor's keys age.
    instant_column("look_at", needed=False),  # When to ask the processor again, in real time. None: no need.
    instant_column("changed_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    belongs_to("site", "site_id"),
    belongs_to("patient", "patient_id"),
    belongs_to("card", "card_id"),
    UniqueConstraint("chain_id", "account", "processor_id"),
    Index("card_charge_of_patient_idx", "chain_id", "patient_id", "id"),
)
Index(
    "card_charge_look_idx",
    card_charge.c.chain_id,
    card_charge.c.look_at,
    postgresql_where=card_charge.c.look_at.is_not(None),
)

# What a processor told, each once: which object changed, and how. What the object is now is asked of the processor.
processor_event = chain_table(
    "processor_event",
    metadata,
    Column("account", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    text_column("type"),
    text_column("object_id"),
    code_column("outcome"),
    number_column("tries"),
    instant_column("received_at"),
    instant_column("look_at", needed=False),  # When it is to be applied, in real time. None: it was.
    shown_if=NOT_FOR_PATIENTS,
)
Index(
    "processor_event_look_idx",
    processor_event.c.chain_id,
    processor_event.c.look_at,
    postgresql_where=processor_event.c.look_at.is_not(None),
)
Index("processor_event_outcome_idx", processor_event.c.chain_id, processor_event.c.outcome, processor_event.c.event_id)

dispute = chain_table(
    "dispute",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("patient_id"),
    id_column("payment_id"),
    text_column("account"),
    text_column("processor_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    code_column("state"),
    minor_column("lost_minor"),  # Of its payment: what is gone since it is owed again.
    text_column("reason"),  # The processor's code.
    text_column("note"),
    instant_column("opened_at"),
    instant_column("changed_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    UniqueConstraint("chain_id", "account", "processor_id"),
    belongs_to("payment", "payment_id"),
    Index("dispute_of_payment_idx", "chain_id", "payment_id"),
    Index("dispute_of_site_idx", "chain_id", "site_id", "id"),
)

payout = chain_table(
    "payout",
    metadata,
    id_column(key=True),
    text_column("account"),
    text_column("processor_id"),
    text_column("currency"),
    minor_column("amount_minor"),  # Below zero: the processor took it from the bank.
    Column("arrival_date", Date, nullable=False),
    instant_column("recorded_at"),
    UniqueConstraint("chain_id", "account", "processor_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# What a payout is made of; what matched no document of ours as it was recorded has no site.
payout_line = chain_table(
    "payout_line",
    metadata,
    id_column(key=True),
    id_column("payout_id"),
    id_column("site_id", needed=False),
    text_column("transaction"),
    text_column("type"),
    text_column("source"),
    minor_column("amount_minor"),
    minor_column("fee_minor"),
    id_column("matched_id", needed=False),
    UniqueConstraint("chain_id", "transaction"),
    CheckConstraint("(site_id IS NULL) = (matched_id IS NULL)", name="matched"),
    belongs_to("payout", "payout_id"),
    Index("payout_line_of_payout_idx", "chain_id", "payout_id", "id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# Those that wait for their document, by what the processor calls it.
Index(
    "payout_line_waiting_idx",
    payout_line.c.chain_id,
    payout_line.c.source,
    postgresql_where=payout_line.c.site_id.is_(None),
)

# The document of a line that came after its payout.
payout_line_match = chain_table(
    "payout_line_match",
    metadata,
    id_column("line_id", key=True),  # Once.
    id_column("site_id"),
    id_column("matched_id"),
    instant_column("matched_at"),
    belongs_to("payout_line", "line_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# A line that matches no document, and the adjustment that somebody posted for it.
payout_line_settlement = chain_table(
    "payout_line_settlement",
    metadata,
    id_column("line_id", key=True),  # Once.
    id_column("entry_id"),
    text_column("note"),
    text_column("settled_by"),
    instant_column("settled_at"),
    belongs_to("payout_line", "line_id"),
    belongs_to("entry", "entry_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# What of a payout is one site's: what its entry is posted for.
payout_share = chain_table(
    "payout_share",
    metadata,
    id_column(key=True),
    id_column("payout_id"),
    id_column("site_id"),
    minor_column("amount_minor"),
    minor_column("fee_minor"),
    UniqueConstraint("chain_id", "payout_id", "site_id"),
    belongs_to("payout", "payout_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)
