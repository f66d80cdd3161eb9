"""Billing's tables, with the last line of each invariant. The chassis adds its own, and row-level security.

Documents (price books, estimates, charges, payments, invoices) and the ledger are append-only: the service's role may
not change them. What changes is kept beside them: what became of a visit, what is left of an invoice or a payment, the
last number of a series.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
)

from chassis.aliases import alias_table
from chassis.tables import Instant, chain_table, service_metadata

metadata = service_metadata()


def _id(name: str = "id", *, key: bool = False, needed: bool = True) -> Column[UUID]:
    return Column(name, Uuid, primary_key=key, nullable=not needed)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _code(name: str) -> Column[int]:
    """Of an enum, numbered as in the proto."""
    return Column(name, SmallInteger, nullable=False)


def _minor(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _at(name: str, *, needed: bool = True) -> Column[datetime]:
    return Column(name, Instant, nullable=not needed)


def _day(name: str) -> Column[date]:
    return Column(name, Date, nullable=False)


def _kind_of_visit() -> list[Column[str]]:
    return [_text("visit_type_code"), _text("route_code"), _text("band_code")]


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["chain_id", column], [f"{table}.chain_id", f"{table}.id"])


# Copies of what other services own, kept by their events.

legal_entity = chain_table(
    "legal_entity",
    metadata,
    _id(key=True),
    _text("display_name"),
    Column("version", Integer, nullable=False, server_default="1"),  # Of the event that it is known from.
)

site = chain_table("site", metadata, _id(key=True), _id("legal_entity_id"), _text("time_zone"))

patient = chain_table("patient", metadata, _id(key=True))

# Which id of a patient is another's now; documents stay under the id that they were written with.
patient_alias = alias_table("patient_alias", metadata)

visit_type = chain_table(
    "visit_type",
    metadata,
    _id("protocol_version_id", key=True),
    Column("code", Text, primary_key=True),
    _text("display_name"),
)

course = chain_table(
    "course",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("protocol_version_id"),
    _at("booked_at"),
    _belongs_to("site", "site_id"),
    append_only=True,
)

visit = chain_table(
    "visit",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id"),
    _code("status"),
    _at("start_at"),
    _belongs_to("course", "course_id"),
    Index("visit_of_course_idx", "chain_id", "course_id"),
)

# A visit that took place, as it was: what its charge is made from, at once or when a price for it is published.
rendered_visit = chain_table(
    "rendered_visit",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id"),
    *_kind_of_visit(),
    _day("service_date"),
    _id("event_id"),
    _belongs_to("course", "course_id"),
    Index("rendered_visit_of_site_idx", "chain_id", "site_id"),
    append_only=True,
)

# Prices.

price_book = chain_table(
    "price_book",
    metadata,
    _id(key=True),
    _id("site_id"),
    _text("currency"),
    _day("effective_date"),
    _minor("deposit_minor"),
    _at("created_at"),
    CheckConstraint("deposit_minor >= 0", name="deposit"),
    _belongs_to("site", "site_id"),
    Index("price_book_of_site_idx", "chain_id", "site_id", "effective_date"),
    append_only=True,
)

# A published price book never changes: no role may change a row of it, and this trigger refuses further ones.
_PUBLISHED_STAYS = """
CREATE FUNCTION refuse_item_of_published_price_book() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM publication WHERE chain_id = NEW.chain_id AND price_book_id = NEW.price_book_id
    ) THEN
        RAISE 'price book % is published', NEW.price_book_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'published_price_book_stays';
    END IF;
    RETURN NEW;
END $$
"""
_PUBLISHED_STAYS_TRIGGER = """
CREATE TRIGGER published_price_book_stays BEFORE INSERT ON price_item
    FOR EACH ROW EXECUTE FUNCTION refuse_item_of_published_price_book()
"""

price_item = chain_table(
    "price_item",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("price_book_id"),
    *_kind_of_visit(),
    _minor("unit_price_minor"),
    _text("description"),
    CheckConstraint("unit_price_minor >= 0", name="unit_price"),
    UniqueConstraint(
        "chain_id", "price_book_id", "visit_type_code", "route_code", "band_code", name="price_item_never_twice"
    ),
    _belongs_to("price_book", "price_book_id"),
    append_only=True,
)
price_item.info["ddl"] = [_PUBLISHED_STAYS, _PUBLISHED_STAYS_TRIGGER]

publication = chain_table(
    "publication",
    metadata,
    _id("price_book_id", key=True),
    _id("site_id"),
    _number("version"),
    _day("effective_date"),
    _at("published_at"),
    CheckConstraint("version >= 1", name="version"),
    UniqueConstraint("chain_id", "site_id", "version"),
    UniqueConstraint("chain_id", "site_id", "effective_date"),
    _belongs_to("price_book", "price_book_id"),
    append_only=True,
)

# The price book that a course is priced by. Written once: at booking, or when the site's first one is published.
pin = chain_table(
    "pin",
    metadata,
    _id("course_id", key=True),
    _id("site_id"),
    _id("price_book_id"),
    _number("version"),
    _belongs_to("course", "course_id"),
    ForeignKeyConstraint(["chain_id", "price_book_id"], ["publication.chain_id", "publication.price_book_id"]),
    append_only=True,
)

# Estimates.

estimate = chain_table(
    "estimate",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id", needed=False),
    _number("version"),
    _code("trigger"),
    _day("service_date"),
    _id("price_book_id", needed=False),
    _number("price_book_version"),
    Column("currency", Text),
    Column("total_minor", BigInteger),
    Column("deposit_minor", BigInteger),
    _at("created_at"),
    _at("due_at", needed=False),
    UniqueConstraint("chain_id", "course_id", "version"),
    _belongs_to("site", "site_id"),
    Index("estimate_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("estimate_of_site_idx", "chain_id", "site_id", "id"),
    append_only=True,
)
Index(
    "estimate_unpriced_idx",
    estimate.c.chain_id,
    estimate.c.site_id,
    estimate.c.id,
    postgresql_where=estimate.c.total_minor.is_(None),
)

estimate_line = chain_table(
    "estimate_line",
    metadata,
    _id("estimate_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    _id("site_id"),
    *_kind_of_visit(),
    _text("description"),
    _number("count"),
    Column("unit_price_minor", BigInteger),
    _id("price_item_id", needed=False),
    CheckConstraint("count > 0", name="count"),
    CheckConstraint("(unit_price_minor IS NULL) = (price_item_id IS NULL)", name="priced"),
    _belongs_to("estimate", "estimate_id"),
    append_only=True,
)

# What patients owe and paid.

charge = chain_table(
    "charge",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id"),
    _id("visit_id"),
    _day("service_date"),
    *_kind_of_visit(),
    _text("description"),
    _text("currency"),
    _minor("amount_minor"),
    _id("price_book_id"),
    _number("price_book_version"),
    _id("price_item_id"),
    _id("event_id"),
    _at("posted_at"),
    CheckConstraint("amount_minor >= 0", name="amount"),
    UniqueConstraint("chain_id", "visit_id"),
    _belongs_to("rendered_visit", "visit_id"),
    _belongs_to("price_item", "price_item_id"),
    Index("charge_of_course_idx", "chain_id", "course_id"),
    Index("charge_of_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)

payment = chain_table(
    "payment",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id", needed=False),
    _code("kind"),
    _code("tender"),
    _text("terminal_reference"),
    _text("currency"),
    _minor("amount_minor"),
    _day("business_date"),
    _at("received_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    _belongs_to("site", "site_id"),
    _belongs_to("patient", "patient_id"),
    _belongs_to("course", "course_id"),
    Index("payment_of_day_idx", "chain_id", "site_id", "business_date", "id"),
    Index("payment_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("payment_of_course_idx", "chain_id", "course_id"),
    append_only=True,
)

# The last number of each legal entity: taken last in a transaction, and given back with it.
invoice_series = chain_table(
    "invoice_series",
    metadata,
    _id("legal_entity_id", key=True),
    Column("last_number", BigInteger, nullable=False),
)

invoice = chain_table(
    "invoice",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("legal_entity_id"),
    Column("number", BigInteger, nullable=False),
    _id("patient_id"),
    _id("course_id"),
    _text("currency"),
    _minor("total_minor"),
    _at("issued_at"),
    UniqueConstraint("chain_id", "legal_entity_id", "number"),
    _belongs_to("course", "course_id"),
    Index("invoice_of_patient_idx", "chain_id", "patient_id", "id"),
    Index("invoice_of_course_idx", "chain_id", "course_id", "id"),
    Index("invoice_of_site_idx", "chain_id", "site_id", "id"),
    append_only=True,
)

invoice_line = chain_table(
    "invoice_line",
    metadata,
    _id("charge_id", key=True),  # A charge is on one invoice.
    _id("site_id"),
    _id("invoice_id"),
    _belongs_to("charge", "charge_id"),
    _belongs_to("invoice", "invoice_id"),
    Index("invoice_line_of_invoice_idx", "chain_id", "invoice_id"),
    append_only=True,
)

# An invoice or a payment, and what is left of it. `left_minor` is what the applications leave; the check is the last
# line against money that is applied twice.
open_item = chain_table(
    "open_item",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("patient_id"),
    _id("course_id", needed=False),
    _code("kind"),
    _text("currency"),
    _minor("left_minor"),
    _at("since"),
    CheckConstraint("left_minor >= 0", name="left"),
)
Index(
    "open_item_left_idx",
    open_item.c.chain_id,
    open_item.c.patient_id,
    open_item.c.site_id,
    postgresql_where=open_item.c.left_minor > 0,
)

application = chain_table(
    "application",
    metadata,
    _id(key=True),
    _id("site_id"),
    _id("payment_id"),
    _id("invoice_id"),
    _text("currency"),
    _minor("amount_minor"),
    _at("applied_at"),
    CheckConstraint("amount_minor > 0", name="amount"),
    _belongs_to("payment", "payment_id"),
    _belongs_to("invoice", "invoice_id"),
    Index("application_of_payment_idx", "chain_id", "payment_id"),
    Index("application_of_invoice_idx", "chain_id", "invoice_id"),
    append_only=True,
)

# The ledger. An entry is refused at commit unless its postings sum to zero in each currency, and there are some.

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
    _id(key=True),
    _id("site_id"),
    _id("legal_entity_id"),
    _id("patient_id"),
    _code("source"),
    _id("source_id"),
    _at("posted_at"),
    UniqueConstraint("chain_id", "source", "source_id"),  # Each document posts once.
    Index("entry_of_site_idx", "chain_id", "site_id", "id"),
    Index("entry_of_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)

posting = chain_table(
    "posting",
    metadata,
    _id("entry_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    _id("site_id"),
    _id("legal_entity_id"),
    _code("account"),
    _text("currency"),
    _minor("amount_minor"),  # A debit above zero, a credit below.
    CheckConstraint("amount_minor <> 0", name="amount"),
    _belongs_to("entry", "entry_id"),
    Index("posting_of_legal_entity_idx", "chain_id", "legal_entity_id", "account", "currency"),
    append_only=True,
)
posting.info["ddl"] = [_BALANCES, *(_BALANCES_TRIGGER.format(table=table) for table in ("entry", "posting"))]
