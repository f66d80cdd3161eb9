"""Price books, and which course is priced by which."""

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint

from chassis.tables import chain_table
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
    CheckConstraint("deposit_minor >= 0", name="deposit"),
    belongs_to("site", "site_id"),
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
    id_column(key=True),
    id_column("site_id"),
    id_column("price_book_id"),
    *kind_of_visit(),
    minor_column("unit_price_minor"),
    text_column("description"),
    CheckConstraint("unit_price_minor >= 0", name="unit_price"),
    UniqueConstraint(
        "chain_id", "price_book_id", "visit_type_code", "route_code", "band_code", name="price_item_never_twice"
    ),
    belongs_to("price_book", "price_book_id"),
    append_only=True,
)
price_item.info["ddl"] = [_PUBLISHED_STAYS, _PUBLISHED_STAYS_TRIGGER]

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
)
