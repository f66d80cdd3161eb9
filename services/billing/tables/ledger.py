"""The ledger. An entry is refused at commit unless its postings sum to zero in each currency, and there are some."""

from sqlalchemy import CheckConstraint, Column, Index, SmallInteger, Text, UniqueConstraint

from chassis.tables import chain_table
from services.billing.tables.columns import (
    belongs_to,
    code_column,
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
    UniqueConstraint("chain_id", "source", "source_id", "legal_entity_id"),  # Each document posts once.
    Index("entry_of_site_idx", "chain_id", "site_id", "id"),
    Index("entry_of_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)

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
    CheckConstraint("amount_minor <> 0", name="amount"),
    belongs_to("entry", "entry_id"),
    Index("posting_of_legal_entity_idx", "chain_id", "legal_entity_id", "account", "currency"),
    append_only=True,
)
posting.info["ddl"] = [_BALANCES, *(_BALANCES_TRIGGER.format(table=table) for table in ("entry", "posting"))]
