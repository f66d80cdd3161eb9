"""The ledger. An entry is refused at commit unless its postings sum to zero in each currency, and there are some."""

from sqlalchemy import CheckConstraint, Column, Index, SmallInteger, Text, UniqueConstraint

from chassis.tables import NOT_FOR_PATIENTS, chain_table
from services.billing.tables.columns import (
    belongs_to,
    code_column,
    day_column,
    id_column,
    instant_column,
    metadata,
    minor_column,
    text_column,
)

_BALANCES = """
CREATE FUNCTION refuse_unbalanced_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_entry uuid;
BEGIN
    IF TG_TABLE_NAME = 'entry' THEN of_entry := NEW.id; ELSE of_entry := NEW.entry_id; END IF;
    IF NOT EXISTS (SELECT FROM posting WHERE chain_id = NEW.chain_id AND entry_id = of_entry)
        OR EXISTS (
            SELECT FROM posting WHERE chain_id = NEW.chain_id AND entry_id = of_entry
            GROUP BY currency HAVING sum(amount_minor) <> 0
        )
    THEN
        RAISE 'entry % does not balance', of_entry
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_balances';
    END IF;
    RETURN NULL;
END $$
"""
_BALANCES_TRIGGER = """
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_entry()
"""

# Whoever posts shares a lock of the legal entity until the end, and whoever closes a period has it alone: no entry is
# on its way into a period while that is closed.
_CLOSED = """
CREATE FUNCTION refuse_entry_of_closed_period() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('books ' || NEW.legal_entity_id, 0));
    IF EXISTS (
        SELECT FROM period
        WHERE chain_id = NEW.chain_id AND legal_entity_id = NEW.legal_entity_id AND end_at > NEW.posted_at
    ) THEN
        RAISE 'the books are closed beyond %', NEW.posted_at
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'period_is_open';
    END IF;
    RETURN NEW;
END $$
"""
_CLOSED_TRIGGER = """
CREATE TRIGGER period_is_open BEFORE INSERT ON entry
    FOR EACH ROW EXECUTE FUNCTION refuse_entry_of_closed_period()
"""

# The books of a legal entity up to an instant, closed for good.
period = chain_table(
    "period",
    metadata,
    id_column(key=True),
    id_column("legal_entity_id"),
    day_column("last_date"),
    instant_column("end_at"),  # When the day is over at each of its sites.
    instant_column("closed_at"),
    text_column("closed_by"),
    UniqueConstraint("chain_id", "legal_entity_id", "last_date"),
    Index("period_of_legal_entity_idx", "chain_id", "legal_entity_id", "end_at"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# All that was posted until a period's end.
period_balance = chain_table(
    "period_balance",
    metadata,
    id_column("period_id", key=True),
    id_column("site_id", key=True),
    Column("account", SmallInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("item_code", Text, primary_key=True),
    minor_column("debit_minor"),
    minor_column("credit_minor"),
    CheckConstraint("debit_minor >= 0 AND credit_minor >= 0", name="sides"),
    belongs_to("period", "period_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# Why an entry was posted by hand.
adjustment = chain_table(
    "adjustment",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    text_column("reason"),
    text_column("posted_by"),
    belongs_to("site", "site_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

entry = chain_table(
    "entry",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("legal_entity_id"),
    id_column("patient_id", needed=False),
    code_column("source"),
    id_column("source_id"),
    instant_column("posted_at"),
    CheckConstraint("source <> 19 OR patient_id IS NULL", name="adjustment"),
    UniqueConstraint("chain_id", "source", "source_id", "legal_entity_id"),  # Each document posts once.
    Index("entry_of_site_idx", "chain_id", "site_id", "id"),
    Index("entry_of_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)
entry.info["ddl"] = [_CLOSED, _CLOSED_TRIGGER]

posting = chain_table(
    "posting",
    metadata,
    id_column("entry_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    id_column("site_id"),
    id_column("legal_entity_id"),
    code_column("account"),
    text_column("currency"),
    minor_column("amount_minor"),  # A debit above zero, a credit below.
    Column("item_code", Text, nullable=False, server_default=""),  # Of revenue: what was sold.
    id_column("counterparty_id", needed=False),  # Of what is due to or from another legal entity: which.
    instant_column("posted_at"),  # As its entry's.
    CheckConstraint("amount_minor <> 0", name="amount"),
    belongs_to("entry", "entry_id"),
    Index(
        "posting_of_legal_entity_idx",
        "chain_id",
        "legal_entity_id",
        "posted_at",
        postgresql_include=["site_id", "account", "currency", "item_code", "amount_minor"],
    ),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)
posting.info["ddl"] = [_BALANCES, *(_BALANCES_TRIGGER.format(table=table) for table in ("entry", "posting"))]
