"""Price books, and which course is priced by which. A draft may be changed until it is published, and never again."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.tables import chain_table, shown_with
from services.billing.tables.columns import (
    belongs_to,
    day_column,
    id_column,
    instant_column,
    kind_of_visit,
    metadata,
    minor_column,
    number_column,
    text_column,
)

price_book = chain_table(
    "price_book",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    text_column("currency"),
    day_column("effective_date"),
    minor_column("deposit_minor"),
    instant_column("created_at"),
    Column("minimum_minor", BigInteger, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="1"),
    CheckConstraint("deposit_minor >= 0", name="deposit"),
    CheckConstraint("minimum_minor >= 0", name="minimum"),
    belongs_to("site", "site_id"),
    Index("price_book_of_site_idx", "chain_id", "site_id", "effective_date"),
)

# A published price book never changes: these triggers refuse to change or delete it, and any change of its items.
_PUBLISHED_STAYS = """
CREATE FUNCTION refuse_change_of_published_price_book() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched record;
    of_book uuid;
BEGIN
    IF TG_OP = 'INSERT' THEN touched := NEW; ELSE touched := OLD; END IF;
    IF TG_TABLE_NAME = 'price_book' THEN of_book := touched.id; ELSE of_book := touched.price_book_id; END IF;
    IF EXISTS (SELECT FROM publication WHERE chain_id = touched.chain_id AND price_book_id = of_book) THEN
        RAISE 'price book % is published', of_book
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'published_price_book_stays';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$
"""
_PUBLISHED_STAYS_TRIGGERS = (
    """
CREATE TRIGGER published_price_book_stays BEFORE UPDATE OR DELETE ON price_book
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_price_book()
""",
    """
CREATE TRIGGER published_price_book_stays BEFORE INSERT OR UPDATE OR DELETE ON price_item
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_price_book()
""",
)

price_item = chain_table(
    "price_item",
    metadata,
    id_column(key=True),
    id_column("site_id"),
    id_column("price_book_id"),
    *kind_of_visit(),  # Empty where it is not of a visit.
    minor_column("unit_price_minor"),
    text_column("description"),
    Column("kind", SmallInteger, nullable=False, server_default="1"),
    Column("code", Text, nullable=False, server_default=""),
    # What only some kinds have: tiers, an add-on's visit types, the terms of a fee. `store/price_terms.py` reads it.
    Column("terms", JSONB, nullable=False, server_default=text("'{}'")),
    CheckConstraint("unit_price_minor >= 0", name="unit_price"),
    CheckConstraint("(kind = 1) = (visit_type_code <> '') AND (kind = 1) = (code = '')", name="kind"),
    CheckConstraint("(kind = 4) = (terms ? 'fee')", name="fee"),
    CheckConstraint("NOT jsonb_path_exists(terms, '$.tiers[*] ? (@.minor < 0 || @.from < 2)')", name="tiers"),
    belongs_to("price_book", "price_book_id"),
    Index("price_item_of_book_idx", "chain_id", "price_book_id"),
)
Index(
    "price_item_never_twice",
    *(price_item.c[name] for name in ("chain_id", "price_book_id", "visit_type_code", "route_code", "band_code")),
    unique=True,
    postgresql_where=text("kind = 1"),
)
Index(
    "price_item_code_never_twice",
    *(price_item.c[name] for name in ("chain_id", "price_book_id", "code")),
    unique=True,
    postgresql_where=text("code <> ''"),
)
price_item.info["ddl"] = [_PUBLISHED_STAYS, *_PUBLISHED_STAYS_TRIGGERS]

publication = chain_table(
    "publication",
    metadata,
    id_column("price_book_id", key=True),
    id_column("site_id"),
    number_column("version"),
    day_column("effective_date"),
    instant_column("published_at"),
    CheckConstraint("version >= 1", name="version"),
    UniqueConstraint("chain_id", "site_id", "version"),
    UniqueConstraint("chain_id", "site_id", "effective_date"),
    belongs_to("price_book", "price_book_id"),
    append_only=True,
)

# The price book that a course is priced by. Written once: at booking, or when the site's first one is published.
pin = chain_table(
    "pin",
    metadata,
    id_column("course_id", key=True),
    id_column("site_id"),
    id_column("price_book_id"),
    number_column("version"),
    belongs_to("course", "course_id"),
    ForeignKeyConstraint(["chain_id", "price_book_id"], ["publication.chain_id", "publication.price_book_id"]),
    append_only=True,
    shown_if=shown_with("pin", "course", "course_id"),
)
