"""Packages that are offered, those that were sold, what is drawn from them, and what sites owe each other for it.

What patients hold is seen by every site where it may be drawn; what changes it is for the site that sold it.
"""

from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chassis.tables import NOT_FOR_PATIENTS, OWN_SITES, chain_list, chain_table
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

_CALLERS_SITES = "string_to_array(current_setting('app.sites', true), ',')"
_WHERE_DRAWN = f"{OWN_SITES} OR cardinality(redeem_site_ids) = 0 OR redeem_site_ids::text[] && {_CALLERS_SITES}"
_EITHER_SITE = f"{OWN_SITES} OR selling_site_id::text = ANY ({_CALLERS_SITES})"


def _redeem_sites() -> Column[list[UUID]]:
    """None of them: every site of the chain."""
    return Column("redeem_site_ids", ARRAY(Uuid), nullable=False)


package = chain_table(
    "package",
    metadata,
    id_column(key=True),
    text_column("code"),
    text_column("name"),
    text_column("currency"),
    Column("price_minor", BigInteger),  # NULL: sold only at sites with a price of their own.
    number_column("valid_days"),
    code_column("valid_from"),
    Column("transferable", Boolean, nullable=False),
    _redeem_sites(),
    number_column("freeze_days"),
    code_column("early_stop"),
    code_column("stop_fee_percent"),
    Column("redeemable_unpaid", Boolean, nullable=False),
    instant_column("created_at"),
    number_column("version"),  # 0: a draft.
    instant_column("published_at", needed=False),
    instant_column("retired_at", needed=False),
    number_column("row_version"),
    CheckConstraint("price_minor > 0", name="price"),
    CheckConstraint("valid_days > 0 AND freeze_days >= 0", name="days"),
    CheckConstraint("stop_fee_percent BETWEEN 0 AND 100", name="fee"),
    CheckConstraint("(version = 0) = (published_at IS NULL)", name="published"),
    CheckConstraint("retired_at IS NULL OR published_at IS NOT NULL", name="retired"),
)
Index(
    "package_version_idx",
    package.c.chain_id,
    package.c.code,
    package.c.version,
    unique=True,
    postgresql_where=package.c.version > 0,
)

# A published version never changes, but for being retired.
_PUBLISHED_STAYS = """
CREATE FUNCTION refuse_change_of_published_package() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_package uuid;
    published boolean;
BEGIN
    IF TG_TABLE_NAME = 'package' THEN
        published := OLD.published_at IS NOT NULL AND (
            TG_OP = 'DELETE' OR to_jsonb(NEW) - 'retired_at' - 'row_version'
                IS DISTINCT FROM to_jsonb(OLD) - 'retired_at' - 'row_version'
        );
    ELSE
        of_package := CASE WHEN TG_OP = 'INSERT' THEN NEW.package_id ELSE OLD.package_id END;
        SELECT published_at IS NOT NULL INTO published FROM package
            WHERE chain_id = CASE WHEN TG_OP = 'INSERT' THEN NEW.chain_id ELSE OLD.chain_id END AND id = of_package;
    END IF;
    IF published THEN
        RAISE 'the package is published' USING ERRCODE = 'integrity_constraint_violation',
            CONSTRAINT = 'published_package_stays';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$
"""
_PUBLISHED_STAYS_TRIGGER = """
CREATE TRIGGER published_package_stays BEFORE {changes} ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_package()
"""

package_item = chain_table(
    "package_item",
    metadata,
    id_column("package_id", key=True),
    Column("position", SmallInteger, primary_key=True),
    *kind_of_visit(),
    number_column("count"),
    CheckConstraint("count > 0", name="count"),
    UniqueConstraint(
        "chain_id", "package_id", "visit_type_code", "route_code", "band_code", name="package_item_never_twice"
    ),
    belongs_to("package", "package_id"),
)

package_price = chain_table(
    "package_price",
    metadata,
    id_column("package_id", key=True),
    id_column("site_id", key=True),
    minor_column("price_minor"),
    CheckConstraint("price_minor > 0", name="price"),
    belongs_to("package", "package_id"),
    belongs_to("site", "site_id"),
)
package_price.info["ddl"] = [
    _PUBLISHED_STAYS,
    _PUBLISHED_STAYS_TRIGGER.format(changes="UPDATE OR DELETE", table="package"),
    *(
        _PUBLISHED_STAYS_TRIGGER.format(changes="INSERT OR UPDATE OR DELETE", table=table)
        for table in ("package_item", "package_price")
    ),
]

package_sale = chain_table(
    "package_sale",
    metadata,
    id_column(key=True),
    id_column("package_id"),
    id_column("site_id"),
    id_column("legal_entity_id"),
    id_column("patient_id"),  # Who bought it.
    id_column("holder_id"),  # Who may draw from it.
    id_column("charge_id"),
    _redeem_sites(),
    text_column("currency"),
    minor_column("price_minor"),
    day_column("sold_on"),
    instant_column("sold_at"),
    Column("expires_on", Date),  # NULL: the first use starts it.
    instant_column(
        "expire_at", needed=False
    ),  # When the last day is over, in the site's zone, however long it is frozen.
    Column("frozen_on", Date),
    number_column("frozen_days"),  # Of freezes that are over.
    instant_column("warned_at", needed=False),
    instant_column("ended_at", needed=False),
    Column("ended_as", SmallInteger),
    number_column("row_version"),
    CheckConstraint("price_minor > 0", name="price"),
    CheckConstraint("frozen_days >= 0", name="frozen_days"),
    CheckConstraint("(ended_at IS NULL) = (ended_as IS NULL)", name="ended"),
    CheckConstraint("(expires_on IS NULL) = (expire_at IS NULL)", name="expires"),
    UniqueConstraint("chain_id", "charge_id"),
    belongs_to("package", "package_id"),
    belongs_to("site", "site_id"),
    belongs_to("patient", "patient_id"),
    belongs_to("patient", "holder_id"),
    belongs_to("charge", "charge_id"),
    own_sites=_WHERE_DRAWN,
    changed_by=OWN_SITES,
)
Index(
    "package_sale_expiring_idx",
    package_sale.c.chain_id,
    package_sale.c.expire_at,
    postgresql_where=package_sale.c.ended_at.is_(None),
)

# What is left of it is a number of visits and a value; the checks are the last line against what is drawn twice.
entitlement = chain_table(
    "entitlement",
    metadata,
    id_column(key=True),
    id_column("sale_id"),
    id_column("site_id"),
    id_column("patient_id"),  # Who may draw from it.
    _redeem_sites(),
    *kind_of_visit(),
    number_column("count"),
    text_column("currency"),
    minor_column("value_minor"),
    number_column("left_count"),
    minor_column("left_minor"),
    CheckConstraint("left_count BETWEEN 0 AND count", name="left_count"),
    CheckConstraint("left_minor BETWEEN 0 AND value_minor", name="left_minor"),
    CheckConstraint("left_count > 0 OR left_minor = 0", name="left"),
    belongs_to("package_sale", "sale_id"),
    Index("entitlement_of_sale_idx", "chain_id", "sale_id"),
    Index("entitlement_of_patient_idx", "chain_id", "patient_id", "id"),
    own_sites=_WHERE_DRAWN,
    changed_by=OWN_SITES,
)

redemption = chain_table(
    "redemption",
    metadata,
    id_column(key=True),
    id_column("sale_id"),
    id_column("entitlement_id"),
    id_column("visit_id"),
    id_column("course_id"),
    id_column("patient_id"),
    id_column("site_id"),  # Where the visit took place.
    id_column("legal_entity_id"),
    id_column("selling_site_id"),
    id_column("selling_legal_entity_id"),
    day_column("service_date"),
    text_column("item_code"),
    text_column("currency"),
    Column("list_minor", BigInteger),
    minor_column("value_minor"),
    text_column("unpaid_reason"),  # Why it was drawn though it was not paid for.
    instant_column("redeemed_at"),
    instant_column("undone_at", needed=False),
    Column("undo_reason", Text),
    CheckConstraint("value_minor >= 0 AND list_minor >= 0", name="amounts"),
    CheckConstraint("(undone_at IS NULL) = (undo_reason IS NULL)", name="undone"),
    belongs_to("entitlement", "entitlement_id"),
    belongs_to("rendered_visit", "visit_id"),
    Index("redemption_of_sale_idx", "chain_id", "sale_id", "id"),
    own_sites=_EITHER_SITE,
)
# Of all redemptions of a visit one stands.
Index(
    "redemption_once_idx",
    redemption.c.chain_id,
    redemption.c.visit_id,
    unique=True,
    postgresql_where=redemption.c.undone_at.is_(None),
)

package_transfer = chain_table(
    "package_transfer",
    metadata,
    id_column(key=True),
    id_column("sale_id"),
    id_column("site_id"),
    id_column("from_patient_id"),
    id_column("patient_id"),  # Who got it.
    text_column("reason"),
    text_column("actor"),
    instant_column("transferred_at"),
    belongs_to("package_sale", "sale_id"),
    Index("package_transfer_of_sale_idx", "chain_id", "sale_id"),
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,  # It names both.
)

# What became of what was left of a package when it was stopped, or expired.
package_end = chain_table(
    "package_end",
    metadata,
    id_column(key=True),
    id_column("sale_id"),
    id_column("site_id"),
    id_column("patient_id"),  # Who bought it.
    code_column("ended_as"),
    text_column("reason"),
    text_column("currency"),
    minor_column("left_minor"),
    id_column("invoice_id", needed=False),  # Of which the forgiven part need not be paid any more.
    minor_column("forgiven_minor"),
    minor_column("refundable_minor"),
    minor_column("rerated_minor"),
    minor_column("fee_minor"),
    minor_column("breakage_minor"),
    Column("tax_minor", BigInteger, nullable=False, server_default="0"),  # Of what is forgiven and comes back: added,
    Column("included_tax_minor", BigInteger, nullable=False, server_default="0"),  # and included.
    instant_column("ended_at"),
    CheckConstraint(
        "left_minor + tax_minor = forgiven_minor + refundable_minor + rerated_minor + fee_minor + breakage_minor",
        name="whole",
    ),
    CheckConstraint(
        "least(forgiven_minor, refundable_minor, rerated_minor, fee_minor, breakage_minor, tax_minor, "
        "included_tax_minor) >= 0",
        name="parts",
    ),
    CheckConstraint("forgiven_minor = 0 OR invoice_id IS NOT NULL", name="forgiven"),
    UniqueConstraint("chain_id", "sale_id"),
    belongs_to("package_sale", "sale_id"),
    belongs_to("invoice", "invoice_id"),
    Index("package_end_of_patient_idx", "chain_id", "patient_id", "id"),
    append_only=True,
)

Index(
    "package_end_forgiven_idx",
    package_end.c.chain_id,
    package_end.c.invoice_id,
    postgresql_where=package_end.c.forgiven_minor > 0,
)

# What one legal entity owes another for one redemption, or gets back when it is undone.
settlement_item = chain_table(
    "settlement_item",
    metadata,
    id_column(key=True),
    id_column("redemption_id"),
    id_column("site_id"),  # Where the visit took place.
    id_column("selling_site_id"),
    id_column("debtor_id"),
    id_column("creditor_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    instant_column("created_at"),
    id_column("settlement_id", needed=False),
    CheckConstraint("amount_minor <> 0", name="amount"),
    CheckConstraint("debtor_id <> creditor_id", name="two"),
    belongs_to("redemption", "redemption_id"),
    belongs_to("settlement", "settlement_id"),
    own_sites=_EITHER_SITE,
    shown_if=NOT_FOR_PATIENTS,
)
Index(
    "settlement_item_open_idx",
    settlement_item.c.chain_id,
    settlement_item.c.debtor_id,
    settlement_item.c.creditor_id,
    settlement_item.c.selling_site_id,
    settlement_item.c.site_id,
    postgresql_where=settlement_item.c.settlement_id.is_(None),
)

settlement = chain_table(
    "settlement",
    metadata,
    id_column(key=True),
    id_column("site_id"),  # Of whom is owed.
    id_column("selling_site_id"),
    id_column("debtor_id"),
    id_column("creditor_id"),
    text_column("currency"),
    minor_column("amount_minor"),
    text_column("bank_reference"),
    instant_column("settled_at"),
    own_sites=_EITHER_SITE,
    append_only=True,
    shown_if=NOT_FOR_PATIENTS,
)

# The chains that ever sold a package.
package_chain = chain_list("package_chain", metadata, "billing")
